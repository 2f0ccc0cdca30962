//! Connections that die without a word, under HTTP/2, where one carries every call of a process.
//!
//! Real sockets and TLS: the mock's, through a proxy that forgets a connection as a router does.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shardwise_client::retry::RetryPolicy;
use shardwise_client::{Aws, Kinesis, PutRecordsEntry, ShardFilter};
use shardwise_consumer::{Batch, BoxError, Checkpointer, InitialPosition, RecordProcessor, Worker};
use shardwise_env::Env;
use shardwise_mock::{Mock, Server};
use shardwise_producer::{Producer, Record};
use shardwise_tests::proxy::Proxy;
use tokio::sync::mpsc;

use crate::official::{credentials, stream};

/// What is promised: how long nothing comes through after a connection has died.
const LONGEST_GAP: Duration = Duration::from_secs(5);

/// Between two records.
const PACE: Duration = Duration::from_millis(50);

/// A mock behind TLS, a proxy before it, and handles that go through the proxy.
struct World {
    env: Env,
    mock: Mock,
    server: Server,
    proxy: Proxy,
    aws: Aws,
}

impl World {
    /// `name` makes the certificate's file this test's own.
    async fn new(name: &str) -> Self {
        let mock = Mock::new();
        mock.create_stream(&stream(), 1).unwrap();
        let server = mock.listen_tls(([127, 0, 0, 1], 0).into()).await.unwrap();
        let proxy = Proxy::start(server.local_addr()).await;
        let certificate = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pem"));
        std::fs::write(&certificate, server.certificate().unwrap()).unwrap();
        let aws = Aws::builder()
            .region("us-east-1")
            .credentials(credentials())
            .endpoint_url(format!("https://{}", proxy.address()))
            .ca_bundle_file(certificate)
            .build()
            .unwrap();
        Self {
            env: Env::system(),
            mock,
            server,
            proxy,
            aws,
        }
    }

    /// Past the proxy.
    fn kinesis(&self) -> Kinesis {
        Aws::in_process(self.mock.service()).kinesis()
    }
}

#[tokio::test]
async fn a_call_on_a_dead_connection_fails_within_seconds_and_a_new_one_works() {
    let world = World::new("dead-call").await;
    let kinesis = world.aws.kinesis();
    for _ in 0..3 {
        let shards = kinesis.list_shards(&stream(), ShardFilter::All).await;
        assert_eq!(shards.unwrap().len(), 1);
    }
    assert_eq!(world.proxy.accepted(), 1, "one connection carries all");
    world.proxy.silence();
    let begin = world.env.now();
    let shards = kinesis.list_shards(&stream(), ShardFilter::All).await;
    let took = world.env.now() - begin;
    assert_eq!(shards.unwrap().len(), 1);
    assert!(took < LONGEST_GAP, "{took:?}");
    assert_eq!(world.proxy.accepted(), 2);
    world.server.shutdown().await;
}

#[tokio::test]
async fn a_large_request_on_a_narrow_way_is_not_taken_for_dead() {
    let world = World::new("narrow").await;
    let kinesis = world.aws.kinesis();
    let kinesis = kinesis.with_data_path_retries(RetryPolicy::never());
    let data = Bytes::from(vec![7; 200_000]);
    let entries = vec![PutRecordsEntry::new("key".parse().unwrap(), data); 8];
    world.proxy.set_bytes_per_second(NonZeroU32::new(500_000));
    let begin = world.env.now();
    let results = kinesis.put_records(&stream(), &entries).await.unwrap();
    assert!(results.iter().all(Result::is_ok));
    let took = world.env.now() - begin;
    assert!(
        took > Duration::from_secs(3),
        "longer than pings take: {took:?}"
    );
    assert_eq!(world.proxy.accepted(), 1);
}

#[tokio::test]
async fn a_producer_goes_on_within_seconds_and_no_record_expires() {
    let world = World::new("dead-producer").await;
    let producer = Producer::builder(&world.aws)
        .stream(stream())
        .linger(Duration::from_millis(20))
        .build()
        .unwrap();
    let record = |n: u32| Record::new(format!("key-{n}").parse().unwrap(), "data");
    let mut deliveries = Vec::new();
    for n in 0..10 {
        deliveries.push(producer.send(record(n)).await.unwrap());
        world.env.sleep(PACE).await;
    }
    for delivery in deliveries.drain(..) {
        delivery.await.unwrap();
    }
    world.proxy.silence();
    let begin = world.env.now();
    let first = producer.send(record(10)).await.unwrap();
    let mut first = std::pin::pin!(first);
    let mut n = 10;
    let gap = loop {
        n += 1;
        deliveries.push(producer.send(record(n)).await.unwrap());
        if let Ok(receipt) = world.env.timeout(PACE, &mut first).await {
            receipt.unwrap();
            break world.env.now() - begin;
        }
    };
    assert!(gap < LONGEST_GAP, "{gap:?}");
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    assert!(producer.close(LONGEST_GAP).await.is_complete());
}

/// Tells what it has checkpointed.
struct Checkpointing(mpsc::UnboundedSender<Bytes>);

impl RecordProcessor for Checkpointing {
    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        checkpointer.checkpoint(batch.end()).await?;
        for record in batch.records() {
            self.0.send(record.data.clone())?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_worker_reads_and_checkpoints_within_seconds_and_keeps_its_lease() {
    let world = World::new("dead-worker").await;
    let (sender, mut done) = mpsc::unbounded_channel();
    let worker = Worker::builder(&world.aws)
        .application("billing")
        .stream(stream())
        .initial_position(InitialPosition::TrimHorizon)
        .build(move |_| Checkpointing(sender.clone()))
        .unwrap();
    let stop = Arc::new(tokio::sync::Notify::new());
    let stopped = stop.clone();
    let running = world.env.spawn(async move {
        worker
            .run_until(async move { stopped.notified().await })
            .await
    });
    let kinesis = world.kinesis();
    for n in 0..4 {
        if n == 2 {
            world.proxy.silence();
        }
        let begin = world.env.now();
        let data = Bytes::from(n.to_string());
        let entry = PutRecordsEntry::new("key".parse().unwrap(), data.clone());
        kinesis.put_record(&stream(), &entry).await.unwrap();
        assert_eq!(done.recv().await.unwrap(), data);
        let gap = world.env.now() - begin;
        // The first record waits for the lease table to be made.
        assert!(n == 0 || gap < LONGEST_GAP, "{gap:?}");
    }
    stop.notify_one();
    running.await.unwrap().unwrap();
}
