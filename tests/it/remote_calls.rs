//! Every remote call of a running application, with every way in which a call can go wrong, in one
//! table.
//!
//! The application is a producer and a worker with its leases in DynamoDB, through a split and until
//! the finished lease is removed. However a call fails, all records are stored and processed, and
//! the worker ends when it is asked to. What single calls promise about their errors is in
//! `client/tests/faults.rs`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shardwise_client::transport::{Faults, Faulty, InProcess, TransportFault};
use shardwise_client::{Aws, Kinesis};
use shardwise_consumer::{
    Batch, BoxError, Checkpointer, EndAcked, RecordProcessor, ShardEnd, Worker, WorkerError,
};
use shardwise_env::{Env, Simulation, Task};
use shardwise_mock::{KeyPairs, Mock, Operation};
use shardwise_producer::{Producer, Record};
use shardwise_types::{HashKey, ShardId, StreamName};
use tokio::sync::oneshot;

const FAULTS: [TransportFault; 9] = [
    TransportFault::Throttle,
    TransportFault::InternalFailure,
    TransportFault::Refuse,
    TransportFault::LoseRequest,
    TransportFault::LoseResponse,
    TransportFault::TruncateBody,
    TransportFault::Delay(Duration::from_secs(4)),
    TransportFault::HangBefore,
    TransportFault::HangAfter,
];

/// What the application calls. [`Operation::CreateStream`] and [`Operation::SplitShard`] are the
/// test's own calls.
const CALLS: [Operation; 12] = [
    Operation::DescribeStreamSummary,
    Operation::GetRecords,
    Operation::GetShardIterator,
    Operation::ListShards,
    Operation::PutRecords,
    Operation::CreateTable,
    Operation::DescribeTable,
    Operation::GetItem,
    Operation::PutItem,
    Operation::Scan,
    Operation::UpdateItem,
    Operation::DeleteItem,
];

const RECORDS: usize = 40;

/// A finished lease is removed some time after its children have begun.
const UNTIL_CLEANED: Duration = Duration::from_secs(10 * 60);

const PATIENCE: Duration = Duration::from_secs(120);

/// Remembers what it was handed.
struct Collector(Arc<Mutex<BTreeSet<String>>>);

impl RecordProcessor for Collector {
    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        for record in batch.records() {
            let text = String::from_utf8(record.data.to_vec())?;
            self.0.lock().unwrap().insert(text);
        }
        checkpointer.checkpoint(batch.end()).await?;
        Ok(())
    }

    async fn shard_ended(&mut self, end: ShardEnd) -> Result<EndAcked, BoxError> {
        Ok(end.checkpoint().await?)
    }
}

struct Life {
    env: Env,
    mock: Mock,
    /// The test's own, whose calls do not fail.
    kinesis: Kinesis,
    stream: StreamName,
    faults: Faults,
    producer: Producer,
    processed: Arc<Mutex<BTreeSet<String>>>,
    stop: oneshot::Sender<()>,
    worker: Task<Result<(), WorkerError>>,
}

impl Life {
    /// Begins it, with this fault in the way of the first call, and of the third if there is one.
    fn begin(call: Operation, fault: Option<TransportFault>) -> Self {
        let env = Simulation::new(7).node("application", 1.0).env();
        let mock = Mock::builder()
            .env(env.clone())
            .seed(7)
            .verify_signatures(KeyPairs::any_id("test"))
            .build();
        let stream: StreamName = "orders".parse().unwrap();
        mock.create_stream(&stream, 2).unwrap();
        let calm = Aws::builder()
            .in_process(mock.service())
            .env(env.clone())
            .build()
            .unwrap();
        let transport = Faulty::new(InProcess::new(mock.service()), env.clone());
        let faults = transport.faults();
        if let Some(fault) = fault {
            faults
                .on(call.name(), 1, fault)
                .on(call.name(), 1, TransportFault::Pass)
                .on(call.name(), 1, fault);
        }
        let aws = Aws::builder()
            .in_process_transport(transport)
            .env(env.clone())
            .build()
            .unwrap();
        let producer = Producer::builder(&aws).stream(&stream).build().unwrap();
        let processed: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let collected = processed.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = Worker::builder(&aws)
            .application("billing")
            .stream(&stream)
            .worker_id("worker")
            .build(move |_| Collector(collected.clone()))
            .unwrap();
        let worker = env.spawn(worker.run_until(async {
            // Dropped or sent: the end.
            let _ = stopped.await;
        }));
        Self {
            env,
            mock,
            kinesis: calm.kinesis(),
            stream,
            faults,
            producer,
            processed,
            stop,
            worker,
        }
    }

    /// Sends records of these numbers and waits until they are processed.
    async fn pass(&self, numbers: std::ops::Range<usize>) {
        for number in numbers.clone() {
            let record = Record::new(format!("key-{number}").parse().unwrap(), number.to_string());
            let delivery = self.producer.send(record).await.unwrap();
            delivery.await.unwrap();
        }
        let deadline = self.env.now() + PATIENCE;
        let all: BTreeSet<String> = numbers.map(|number| number.to_string()).collect();
        while !all.is_subset(&self.processed.lock().unwrap()) {
            assert!(self.env.now() < deadline, "not processed in {PATIENCE:?}");
            self.env.sleep(Duration::from_millis(100)).await;
        }
    }

    async fn run(self, removes_the_lease: bool) -> Mock {
        self.pass(0..RECORDS / 2).await;
        let point = HashKey::new(1 << 126);
        self.kinesis
            .split_shard(&self.stream, &ShardId::from_number(0), point)
            .await
            .unwrap();
        self.pass(RECORDS / 2..RECORDS).await;
        if removes_the_lease {
            self.env.sleep(UNTIL_CLEANED).await;
            assert!(self.mock.calls(Operation::DeleteItem) > 0);
        }
        assert!(self.faults.left() <= 2, "nothing has met the fault");
        assert!(self.producer.close(PATIENCE).await.is_complete());
        drop(self.stop);
        self.worker.await.unwrap().unwrap();
        assert_eq!(self.processed.lock().unwrap().len(), RECORDS);
        self.mock
    }
}

#[tokio::test(start_paused = true)]
async fn the_table_names_every_call_of_an_application() {
    let mock = Life::begin(Operation::Scan, None).run(true).await;
    let made: BTreeSet<Operation> = Operation::ALL
        .iter()
        .copied()
        .filter(|operation| mock.calls(*operation) > 0)
        .filter(|operation| *operation != Operation::SplitShard)
        .collect();
    assert_eq!(made, BTreeSet::from(CALLS));
}

#[tokio::test(start_paused = true)]
async fn no_fault_of_any_call_stops_an_application_or_loses_a_record() {
    for call in CALLS {
        for fault in FAULTS {
            println!("{call} meets {fault:?}");
            let life = Life::begin(call, Some(fault));
            life.run(call == Operation::DeleteItem).await;
        }
    }
}
