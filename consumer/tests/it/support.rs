//! A stream, a fleet of hosts and a journal of what their processors saw; all in one process, on
//! one virtual clock, without a socket.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use shardwise_aggregation_proto::{Aggregator, UserRecord};
use shardwise_client::transport::{Faults, Faulty, InProcess};
use shardwise_client::{Aws, Kinesis, PutRecordsEntry, ShardFilter};
use shardwise_consumer::{RecordProcessor, StatsHandle, Worker, WorkerBuilder, WorkerError};
use shardwise_env::{Env, Instant, Node, Simulation, Task};
use shardwise_mock::{Mock, MockService};
use shardwise_types::{HashKey, Shard, ShardId, StreamName};
use tokio::sync::watch;

use crate::journal::{Habits, Journal};

pub(crate) type TestResult = Result<(), Box<dyn std::error::Error>>;

pub(crate) const STREAM: &str = "orders";
pub(crate) const APPLICATION: &str = "billing";

pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// The mock and what is common to all hosts.
pub(crate) struct World {
    pub(crate) simulation: Simulation,
    pub(crate) mock: Mock,
    pub(crate) env: Env,
    pub(crate) stream: StreamName,
    pub(crate) journal: Journal,
    kinesis: Kinesis,
    aws: Aws,
}

impl World {
    /// A stream with this many shards.
    pub(crate) fn new(shards: u32) -> Self {
        let world = Self::empty();
        world.mock.create_stream(&world.stream, shards).unwrap();
        world
    }

    /// No stream.
    pub(crate) fn empty() -> Self {
        let simulation = Simulation::new(7);
        let env = simulation.node("world", 1.0).env();
        let mock = Mock::builder().env(env.clone()).seed(7).build();
        let aws = Aws::builder()
            .in_process(mock.service())
            .env(env.clone())
            .build()
            .unwrap();
        Self {
            simulation,
            mock,
            stream: STREAM.parse().unwrap(),
            journal: Journal::new(env.clone()),
            kinesis: aws.kinesis(),
            env,
            aws,
        }
    }

    /// A host with a clock, a transport and faults of its own.
    pub(crate) fn host(&self, name: &str) -> Host {
        self.host_with(name, |transport| transport)
    }

    /// A host whose transport is wrapped.
    pub(crate) fn host_with<T: shardwise_client::Transport>(
        &self,
        name: &str,
        wrap: impl FnOnce(InProcess<MockService>) -> T,
    ) -> Host {
        let node = self.simulation.node(name, 1.0);
        let transport = Faulty::new(wrap(InProcess::new(self.mock.service())), node.env());
        let faults = transport.faults();
        let aws = Aws::builder()
            .in_process_transport(transport)
            .env(node.env())
            .build()
            .unwrap();
        Host {
            name: name.to_owned(),
            node,
            aws,
            faults,
            journal: self.journal.clone(),
        }
    }

    pub(crate) async fn sleep(&self, duration: Duration) {
        self.env.sleep(duration).await;
    }

    pub(crate) fn now(&self) -> Instant {
        self.env.now()
    }

    /// Puts one record that goes where its key says; key and data are the same.
    pub(crate) async fn put(&self, data: &str) {
        let entry = PutRecordsEntry::new(data.parse().unwrap(), Bytes::from(data.to_owned()));
        self.kinesis.put_record(&self.stream, &entry).await.unwrap();
    }

    pub(crate) async fn put_all<'a>(&self, data: impl IntoIterator<Item = &'a str>) {
        for data in data {
            self.put(data).await;
        }
    }

    /// Puts `prefix0` to `prefix(count-1)` and returns them.
    pub(crate) async fn put_numbered(&self, prefix: &str, count: usize) -> Vec<String> {
        let all: Vec<String> = (0..count).map(|n| format!("{prefix}{n}")).collect();
        self.put_all(all.iter().map(String::as_str)).await;
        all
    }

    /// Puts an aggregate of these members into the shard that takes the hash key.
    pub(crate) async fn put_aggregate(&self, members: &[&str], hash_key: HashKey) {
        let mut aggregator = Aggregator::new(50_000);
        for member in members {
            let data = Bytes::from((*member).to_owned());
            aggregator
                .try_push(UserRecord::new(member.parse().unwrap(), data))
                .unwrap();
        }
        self.put_raw(aggregator.finish().unwrap().data, hash_key)
            .await;
    }

    /// Puts these with one key, alone or in an aggregate, where the key says.
    pub(crate) async fn put_keyed(&self, key: &str, members: &[&str], hash_key: HashKey) {
        let data = |member: &str| Bytes::from(member.to_owned());
        if let [one] = members {
            return self.put_raw(data(one), hash_key).await;
        }
        let mut aggregator = Aggregator::new(50_000);
        for member in members {
            let record = UserRecord::new(key.parse().unwrap(), data(member));
            aggregator.try_push(record).unwrap();
        }
        self.put_raw(aggregator.finish().unwrap().data, hash_key)
            .await;
    }

    pub(crate) async fn put_raw(&self, data: Bytes, hash_key: HashKey) {
        let mut entry = PutRecordsEntry::new("a".parse().unwrap(), data);
        entry.explicit_hash_key = Some(hash_key);
        self.kinesis.put_record(&self.stream, &entry).await.unwrap();
    }

    pub(crate) async fn shards(&self) -> Vec<Shard> {
        self.kinesis
            .list_shards(&self.stream, ShardFilter::All)
            .await
            .unwrap()
    }

    /// Splits a shard in the middle of its range.
    pub(crate) async fn split(&self, number: u32) {
        let id = ShardId::from_number(number);
        let shards = self.shards().await;
        let range = shards
            .iter()
            .find(|shard| shard.shard_id == id)
            .unwrap()
            .hash_key_range;
        let (start, end) = (range.start().get(), range.end().get());
        let middle = HashKey::new(start + (end - start) / 2 + 1);
        self.kinesis
            .split_shard(&self.stream, &id, middle)
            .await
            .unwrap();
    }

    pub(crate) async fn merge(&self, one: u32, other: u32) {
        let (one, other) = (ShardId::from_number(one), ShardId::from_number(other));
        self.kinesis
            .merge_shards(&self.stream, &one, &other)
            .await
            .unwrap();
    }

    pub(crate) async fn delete_stream(&self) {
        self.kinesis.delete_stream(&self.stream).await.unwrap();
    }

    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version_latest()
            .region(aws_sdk_dynamodb::config::Region::new("us-east-1"))
            .endpoint_url("http://in-process.invalid")
            .credentials_provider(self.aws.credentials_provider().unwrap())
            .http_client(self.aws.http_client())
            .time_source(self.aws.time_source())
            .sleep_impl(self.aws.async_sleep())
            .build();
        aws_sdk_dynamodb::Client::from_conf(config)
    }

    /// The lease rows: for each shard number its attributes as text.
    pub(crate) async fn leases(&self) -> BTreeMap<u32, BTreeMap<String, String>> {
        let scan = self.dynamodb().scan().table_name(APPLICATION).send();
        let mut rows = BTreeMap::new();
        for item in scan.await.unwrap().items() {
            let row: BTreeMap<String, String> = item
                .iter()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect();
            let id: ShardId = row["leaseKey"].parse().unwrap();
            rows.insert(id.number().unwrap(), row);
        }
        rows
    }

    /// Removes a lease's row, as somebody might by hand.
    pub(crate) async fn delete_lease(&self, shard: u32) {
        let key = AttributeValue::S(ShardId::from_number(shard).to_string());
        let delete = self.dynamodb().delete_item().table_name(APPLICATION);
        delete.key("leaseKey", key).send().await.unwrap();
    }

    /// Gives a lease to a worker that there is not.
    pub(crate) async fn give_away_lease(&self, shard: u32) {
        let key = AttributeValue::S(ShardId::from_number(shard).to_string());
        let set = "SET leaseOwner = :other, incarnation = :other ADD leaseCounter :one";
        let update = self.dynamodb().update_item().table_name(APPLICATION);
        let update = update.key("leaseKey", key).update_expression(set);
        let update = update.expression_attribute_values(
            ":other",
            AttributeValue::S("a-worker-that-is-not-there".into()),
        );
        let update = update.expression_attribute_values(":one", AttributeValue::N("1".into()));
        update.send().await.unwrap();
    }

    /// The checkpoint of a shard, as the table has it.
    pub(crate) async fn checkpoint(&self, shard: u32) -> String {
        let rows = self.leases().await;
        let row = &rows[&shard];
        format!(
            "{}/{}",
            row["checkpoint"], row["checkpointSubSequenceNumber"]
        )
    }

    /// Waits, for an hour at most, until a condition holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) -> Instant {
        let deadline = self.now() + seconds(3600.0);
        while !holds() {
            assert!(
                self.now() < deadline,
                "never: {what}\n{:#?}",
                self.journal.entries()
            );
            self.sleep(Duration::from_millis(10)).await;
        }
        self.now()
    }

    /// As [`Self::until_processed`], for long runs with large journals.
    pub(crate) async fn until_processed_slowly(&self, all: &[String]) {
        let all: BTreeSet<_> = all.iter().cloned().collect();
        for _ in 0..600 {
            let done = self.journal.data();
            if done.is_superset(&all) {
                return;
            }
            self.sleep(seconds(1.0)).await;
        }
        let missing: Vec<_> = all.difference(&self.journal.data()).cloned().collect();
        panic!(
            "never processed: {missing:?}, leases {:#?}",
            self.leases().await
        );
    }

    /// Waits until all of these were processed, by whomever.
    pub(crate) async fn until_processed(&self, all: &[String]) -> Instant {
        let all: BTreeSet<_> = all.iter().cloned().collect();
        self.until("processed", || self.journal.data().is_superset(&all))
            .await
    }
}

fn text(value: &AttributeValue) -> String {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
        AttributeValue::Ss(texts) => texts.join(","),
        other => format!("{other:?}"),
    }
}

/// One simulated host.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) node: Node,
    pub(crate) aws: Aws,
    pub(crate) faults: Faults,
    journal: Journal,
}

impl Host {
    /// A worker named after the host.
    pub(crate) fn builder(&self) -> WorkerBuilder {
        self.named(&self.name)
    }

    pub(crate) fn named(&self, worker_id: &str) -> WorkerBuilder {
        Worker::builder(&self.aws)
            .application(APPLICATION)
            .stream(STREAM)
            .worker_id(worker_id)
    }

    /// Starts a worker with the usual processors.
    pub(crate) fn start(&self) -> Started {
        self.start_with(self.builder(), Habits::default())
    }

    pub(crate) fn start_with(&self, builder: WorkerBuilder, habits: Habits) -> Started {
        let (journal, host) = (self.journal.clone(), self.name.clone());
        let worker = builder
            .build(move |shard| journal.processor(&host, shard, &habits))
            .unwrap();
        self.run(worker)
    }

    pub(crate) fn run<P: RecordProcessor>(&self, worker: Worker<P>) -> Started {
        let stats = worker.stats();
        let (stop, mut stopped) = watch::channel(false);
        let task = self.node.env().spawn(async move {
            worker
                .run_until(async move {
                    let _ = stopped.wait_for(|stop| *stop).await;
                })
                .await
        });
        Started { stop, task, stats }
    }
}

/// A worker that runs.
pub(crate) struct Started {
    stop: watch::Sender<bool>,
    pub(crate) task: Task<Result<(), WorkerError>>,
    pub(crate) stats: StatsHandle,
}

impl Started {
    pub(crate) fn ask_to_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Stops it cleanly.
    pub(crate) async fn stop(self) -> Result<(), WorkerError> {
        self.ask_to_stop();
        self.task.await.unwrap()
    }

    /// Shards that it holds, by number.
    pub(crate) fn holds(&self) -> BTreeSet<u32> {
        let shards = self.stats.snapshot().shards;
        let numbers = shards.keys().map(|key| key.shard_id().number());
        numbers.flatten().collect()
    }
}
