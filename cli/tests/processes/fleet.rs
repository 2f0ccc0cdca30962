//! Workers in processes of their own, records on the way to them, and what must hold at the end.
//!
//! All workers append to one file. The kernel puts each batch, which is one write, behind all that
//! was written before: so the file has the order in which records were delivered, across processes.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use shardwise_env::{Env, Task};
use shardwise_producer::{Producer, Record};
use shardwise_tests::proxy::{Proxy, Way};
use shardwise_types::{SequenceNumber, ShardId};

use crate::support::{Folder, MockProcess, Process, shardwise, until};

/// Shards of the stream.
pub(crate) const SHARDS: u32 = 4;

/// Leases are short, so that the test is.
const FAILOVER: &str = "2";

const APPLICATION: &str = "billing";
const OUTPUT: &str = "output";

/// Partition keys: enough for each shard to have some.
const KEYS: usize = 24;

/// Between two bursts of records, one for each key.
const BETWEEN_BURSTS: Duration = Duration::from_millis(100);

/// Looks in a row at which a worker has to have printed more than it has checkpointed.
const LOOKS: u32 = 3;

/// How such a write begins: requests are plain HTTP/1.1, and nothing follows a request on its
/// connection before the answer.
const LEASE_WRITE: &[u8] = b"DynamoDB_20120810.UpdateItem";

/// Where a record lies.
pub(crate) type Place = (ShardId, SequenceNumber, u64);

/// How far shards are checkpointed; those without any checkpoint are left out.
pub(crate) type Checkpoints = BTreeMap<ShardId, (SequenceNumber, u64)>;

/// What had been done before the first fault.
pub(crate) struct Before {
    checkpoints: Checkpoints,
    /// Lines that were printed by then. While leases first change hands, a batch that two workers
    /// have in hand is printed by both; that is not what the fault is to blame for.
    lines: usize,
}

/// The world of one test.
pub(crate) struct Fleet {
    pub(crate) mock: MockProcess,
    folder: Folder,
    dynamodb: aws_sdk_dynamodb::Client,
    /// No more records.
    stopped: Arc<AtomicBool>,
    /// No more workers.
    ended: Arc<AtomicBool>,
    feeder: Option<Task<BTreeMap<String, Place>>>,
    sent: Arc<Mutex<BTreeMap<String, Place>>>,
    watcher: Option<Task<usize>>,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let mock = MockProcess::start(SHARDS);
        let aws = mock.aws();
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version_latest()
            .region(aws_sdk_dynamodb::config::Region::new("us-east-1"))
            .endpoint_url(mock.url())
            .credentials_provider(aws.credentials_provider().unwrap())
            .http_client(aws.http_client())
            .time_source(aws.time_source())
            .sleep_impl(aws.async_sleep())
            .build();
        Self {
            mock,
            folder: Folder::new(),
            dynamodb: aws_sdk_dynamodb::Client::from_conf(config),
            stopped: Arc::default(),
            ended: Arc::default(),
            feeder: None,
            sent: Arc::default(),
            watcher: None,
        }
    }

    /// Starts a worker, which finds the mock at this address.
    pub(crate) fn worker(&self, name: &str, address: &str) -> Process {
        let endpoint = format!("http://{address}");
        let mut command = shardwise(&[
            "consume",
            "--stream",
            "orders",
            "--application",
            APPLICATION,
            "--worker-id",
            name,
            "--failover",
            FAILOVER,
            "--output",
            "json",
            "--endpoint-url",
            &endpoint,
        ]);
        command
            .env("RUST_LOG", "info")
            .stdout(self.folder.append(OUTPUT))
            .stderr(Stdio::from(self.folder.append(name)));
        Process::start(&mut command)
    }

    async fn rows(&self) -> Vec<BTreeMap<String, String>> {
        rows(&self.dynamodb).await
    }

    /// Shards by the worker that holds them.
    pub(crate) async fn holders(&self) -> BTreeMap<String, BTreeSet<ShardId>> {
        let mut holders: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for row in self.rows().await {
            if let Some(owner) = row.get("leaseOwner") {
                let shards = holders.entry(owner.clone()).or_default();
                shards.insert(row["leaseKey"].parse().unwrap());
            }
        }
        holders
    }

    /// Waits until these workers hold all shards, evenly.
    pub(crate) async fn until_shared_by(&self, workers: &[&str]) {
        let share = SHARDS as usize / workers.len();
        let what = format!("an even share for {workers:?}");
        until(&what, async || {
            let holders = self.holders().await;
            let even = |name: &&str| {
                holders
                    .get(*name)
                    .is_some_and(|shards| shards.len() == share)
            };
            workers.iter().all(even).then_some(())
        })
        .await;
    }

    pub(crate) async fn checkpoints(&self) -> Checkpoints {
        self.rows().await.iter().filter_map(checkpoint).collect()
    }

    /// Waits until every shard delivers and nothing is under way from before, and looks.
    pub(crate) async fn before(&self) -> Before {
        self.until_flowing().await;
        self.until_caught_up().await;
        let checkpoints = self.checkpoints().await;
        let lines = self.delivered().len();
        Before { checkpoints, lines }
    }

    /// Begins to send records and to watch the checkpoints.
    pub(crate) fn begin(&mut self) {
        let env = Env::system();
        let producer = Producer::builder(&self.mock.aws())
            .stream("orders")
            .build()
            .unwrap();
        let feeder = feed(producer, self.stopped.clone(), self.sent.clone());
        self.feeder = Some(env.spawn(feeder));
        let watcher = watch(self.dynamodb.clone(), self.ended.clone());
        self.watcher = Some(env.spawn(watcher));
    }

    /// What was delivered until now, in order.
    pub(crate) fn delivered(&self) -> Vec<(String, Place)> {
        // The last line may still be on its way.
        let text = self.folder.text(OUTPUT);
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(parse).collect()
    }

    /// Bytes that all workers have printed.
    pub(crate) fn printed(&self) -> u64 {
        std::fs::metadata(self.folder.path(OUTPUT)).map_or(0, |data| data.len())
    }

    /// Waits until all that is stored by now is delivered.
    pub(crate) async fn until_caught_up(&self) {
        let sent: BTreeSet<String> = self.sent.lock().unwrap().keys().cloned().collect();
        until("everything is delivered", async || {
            let mut missing = sent.clone();
            for (data, _) in self.delivered() {
                missing.remove(&data);
            }
            missing.is_empty().then_some(())
        })
        .await;
    }

    /// Waits until each shard has delivered something, and more is on its way.
    async fn until_flowing(&self) {
        until("every shard delivers and is checkpointed", async || {
            (self.checkpoints().await.len() == SHARDS as usize).then_some(())
        })
        .await;
    }

    /// Brings a worker to where it has printed what it has not checkpointed, and keeps it there:
    /// its writes to the lease table are held back at the proxy.
    pub(crate) async fn until_between_print_and_checkpoint(
        &self,
        worker: &str,
        all: &[&str],
        proxy: &Proxy,
    ) {
        loop {
            let held = self.holders().await.remove(worker).unwrap_or_default();
            proxy.set(Way::Hold(LEASE_WRITE));
            // A write that was through the proxy before may still be under way: what is seen again
            // and again is none of that kind.
            let mut seen = 0;
            let found = until("something is printed or the lease expires", async || {
                let delivered = self.delivered();
                // Later than the output: what is checkpointed meanwhile does not count.
                let checkpoints = self.checkpoints().await;
                let holders = self.holders().await;
                if holders.get(worker) != Some(&held) {
                    return Some(false);
                }
                let ahead = |(shard_id, number, sub): &Place| {
                    let done = checkpoints.get(shard_id);
                    held.contains(shard_id)
                        && done.is_some_and(|done| (&done.0, done.1) < (number, *sub))
                };
                seen = if delivered.iter().any(|(_, place)| ahead(place)) {
                    seen + 1
                } else {
                    0
                };
                (seen == LOOKS).then_some(true)
            })
            .await;
            if found {
                return;
            }
            // The machine is so busy that the lease expired before the next batch. Once more.
            proxy.set(Way::Open);
            self.until_shared_by(all).await;
        }
    }

    /// Ends everything and checks what must hold. `before` are the checkpoints before the
    /// first fault. Returns how many deliveries were repetitions.
    pub(crate) async fn finish(
        mut self,
        what: &str,
        workers: &mut [(&str, Process)],
        before: &Before,
    ) -> usize {
        self.stopped.store(true, Ordering::Relaxed);
        let sent = self.feeder.take().unwrap().await.unwrap();
        self.until_caught_up().await;
        for (name, worker) in workers.iter_mut() {
            assert!(
                worker.is_running(),
                "{name} ended: {}",
                self.folder.text(name)
            );
            worker.signal("TERM");
        }
        for (name, worker) in workers.iter_mut() {
            let code = worker.ended().await.code();
            assert_eq!(code, Some(0), "{name}: {}", self.folder.text(name));
            assert!(
                !self.holders().await.contains_key(*name),
                "{name} keeps leases"
            );
        }
        self.ended.store(true, Ordering::Relaxed);
        let looks = self.watcher.take().unwrap().await.unwrap();
        let delivered = self.delivered();
        let repeated = check(&sent, &delivered, before);
        println!(
            "{what}: {} records stored and delivered, {repeated} of them again, checkpoints looked \
             at {looks} times",
            sent.len()
        );
        repeated
    }
}

/// Nothing lost, order kept, nothing repeated that was checkpointed before the fault. Returns how
/// many deliveries were repetitions.
fn check(sent: &BTreeMap<String, Place>, delivered: &[(String, Place)], before: &Before) -> usize {
    let mut newest: BTreeMap<&ShardId, (&SequenceNumber, u64)> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut repeated = 0;
    for (line, (data, place)) in delivered.iter().enumerate() {
        let (shard_id, sequence_number, sub_sequence_number) = place;
        let at = (sequence_number, *sub_sequence_number);
        if let Some(stored) = sent.get(data) {
            assert_eq!(
                stored, place,
                "{data} is delivered from where it was stored"
            );
        }
        if seen.insert(data) {
            let last = newest.insert(shard_id, at);
            assert!(
                last.is_none_or(|last| last < at),
                "{data} out of order in {shard_id}"
            );
        } else {
            repeated += 1;
            let done = before
                .checkpoints
                .get(shard_id)
                .map(|(number, sub)| (number, *sub));
            assert!(
                line < before.lines || done.is_none_or(|done| done < at),
                "{data} was checkpointed and is delivered again"
            );
        }
    }
    let lost: Vec<_> = sent.keys().filter(|data| !seen.contains(data)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    repeated
}

/// One line of a worker's output.
fn parse(line: &str) -> (String, Place) {
    // A worker that is killed in the middle of a write leaves a part of a line, behind which the
    // next worker's begins.
    let start = line.rfind(r#"{"shard_id":"#).unwrap();
    let value: serde_json::Value = serde_json::from_str(&line[start..]).unwrap();
    let text = |name: &str| value[name].as_str().unwrap().to_owned();
    let place = (
        text("shard_id").parse().unwrap(),
        text("sequence_number").parse().unwrap(),
        value["sub_sequence_number"].as_u64().unwrap(),
    );
    let data = text("data");
    assert!(
        data.starts_with(&format!("{}/", text("partition_key"))),
        "{line}"
    );
    (data, place)
}

/// Sends a burst of records now and then, and returns where they are stored.
async fn feed(
    producer: Producer,
    stopped: Arc<AtomicBool>,
    sent: Arc<Mutex<BTreeMap<String, Place>>>,
) -> BTreeMap<String, Place> {
    let env = Env::system();
    for burst in 0.. {
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        let mut deliveries = Vec::new();
        for key in 0..KEYS {
            let (key, data) = (format!("key-{key}"), format!("key-{key}/{burst}"));
            let record = Record::new(key.try_into().unwrap(), data.clone());
            deliveries.push((data, producer.send(record).await.unwrap()));
        }
        for (data, delivery) in deliveries {
            let receipt = delivery.await.unwrap();
            assert!(
                !receipt.maybe_duplicate,
                "this process has no fault in its way"
            );
            let place = (
                receipt.shard_id,
                receipt.sequence_number,
                receipt.sub_sequence_number,
            );
            sent.lock().unwrap().insert(data, place);
        }
        env.sleep(BETWEEN_BURSTS).await;
    }
    sent.lock().unwrap().clone()
}

/// Looks at the checkpoints all the time: none may ever move backwards.
async fn watch(dynamodb: aws_sdk_dynamodb::Client, ended: Arc<AtomicBool>) -> usize {
    let env = Env::system();
    let mut last = Checkpoints::new();
    for looks in 1.. {
        let end = ended.load(Ordering::Relaxed);
        let now: Checkpoints = rows(&dynamodb)
            .await
            .iter()
            .filter_map(checkpoint)
            .collect();
        for (shard_id, old) in &last {
            let new = &now[shard_id];
            assert!(
                new >= old,
                "the checkpoint of {shard_id} moved from {old:?} to {new:?}"
            );
        }
        last = now;
        if end {
            return looks;
        }
        env.sleep(BETWEEN_BURSTS).await;
    }
    0
}

/// The lease table; empty while there is none.
async fn rows(dynamodb: &aws_sdk_dynamodb::Client) -> Vec<BTreeMap<String, String>> {
    let scan = dynamodb
        .scan()
        .table_name(APPLICATION)
        .consistent_read(true)
        .send()
        .await;
    let items = match &scan {
        Ok(output) => output.items(),
        Err(error) => {
            let missing = error
                .as_service_error()
                .is_some_and(|e| e.is_resource_not_found_exception());
            assert!(missing, "{error:?}");
            &[]
        }
    };
    let text = |value: &AttributeValue| match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
        other => format!("{other:?}"),
    };
    let row = items.iter().map(|item| -> BTreeMap<String, String> {
        item.iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect()
    });
    row.filter(|row| row.contains_key("checkpoint")).collect()
}

fn checkpoint(row: &BTreeMap<String, String>) -> Option<(ShardId, (SequenceNumber, u64))> {
    let number = row["checkpoint"].parse().ok()?;
    let sub = row
        .get("checkpointSubSequenceNumber")
        .map_or(0, |sub| sub.parse().unwrap());
    Some((row["leaseKey"].parse().unwrap(), (number, sub)))
}
