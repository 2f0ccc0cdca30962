//! Rows as a KCL 2.x writes them, and what we leave of them.

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use shardwise_client::Aws;
use shardwise_mock::Mock;

use crate::leases::end::LeaseEnd;
use crate::leases::lease::Checkpoint;
use crate::leases::row::Item;
use crate::leases::store::{LeaseStore, MissingTable, StoreErrorKind};

use super::support::{application, at, child, dynamodb_on, free, key, shard, table, take};

struct Bench {
    raw: Client,
    store: Arc<dyn LeaseStore>,
}

impl Bench {
    async fn new() -> Self {
        let store = dynamodb_on(&Aws::in_process(Mock::new().service()));
        store.ensure_table(MissingTable::Create).await.unwrap();
        Self {
            raw: store.client().clone(),
            store: Arc::new(store),
        }
    }

    async fn put(&self, item: Item) {
        let put = self.raw.put_item().table_name(application().as_str());
        put.set_item(Some(item)).send().await.unwrap();
    }

    async fn item(&self, number: u32) -> Item {
        let get = self.raw.get_item().table_name(application().as_str());
        let key = AttributeValue::S(shard(number).to_string());
        let output = get.key("leaseKey", key).send().await.unwrap();
        output.item.unwrap()
    }
}

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn n(number: &str) -> AttributeValue {
    AttributeValue::N(number.to_owned())
}

/// A lease of a Java worker in the middle of a two-phase checkpoint.
fn java_row(number: u32) -> Item {
    [
        ("leaseKey", s(shard(number).as_str())),
        ("leaseOwner", s("ip-10-0-0-1.ec2.internal:5f0c1e3a")),
        ("leaseCounter", n("41")),
        ("ownerSwitchesSinceCheckpoint", n("2")),
        (
            "checkpoint",
            s("49590338271490256608559692538361571095921575989136588898"),
        ),
        ("checkpointSubSequenceNumber", n("3")),
        (
            "pendingCheckpoint",
            s("49590338271490256608559692540925702759324208523137515618"),
        ),
        ("pendingCheckpointSubSequenceNumber", n("0")),
        (
            "pendingCheckpointState",
            AttributeValue::B(Blob::new("state")),
        ),
        ("startingHashKey", s("0")),
        (
            "endingHashKey",
            s("340282366920938463463374607431768211455"),
        ),
        ("throughputKBps", n("12.345678")),
        ("entityType", s("LEASE")),
        ("somethingOfTomorrow", AttributeValue::L(vec![n("1")])),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// What differs between two items, by name.
fn differences(before: &Item, after: &Item) -> Vec<String> {
    let mut names: Vec<String> = before.keys().chain(after.keys()).cloned().collect();
    names.sort();
    names.dedup();
    names.retain(|name| before.get(name) != after.get(name));
    names
}

#[tokio::test(start_paused = true)]
async fn each_write_changes_what_it_must_and_leaves_the_rest() {
    let bench = Bench::new().await;
    let before = java_row(0);
    bench.put(before.clone()).await;
    let worker = table(&bench.store, "a");
    let seen = bench.store.read(&key(0)).await.unwrap().unwrap();
    let held = take(&worker, &seen).await.unwrap();
    let taken = bench.item(0).await;
    assert_eq!(
        differences(&before, &taken),
        [
            "incarnation",
            "leaseCounter",
            "leaseOwner",
            "ownerSwitchesSinceCheckpoint"
        ]
    );
    assert_eq!(taken["leaseCounter"], n("42"));
    assert_eq!(taken["leaseOwner"], s("a"));
    assert_eq!(taken["ownerSwitchesSinceCheckpoint"], n("3"));

    // Equal length, larger: behind the checkpoint of the Java worker.
    let further = "49590338271490256608559692540925702759324208523137515618";
    let checkpoint = Checkpoint::from_row(further, 7).unwrap();
    held.checkpoint(checkpoint).await.unwrap();
    let checkpointed = bench.item(0).await;
    assert_eq!(
        differences(&taken, &checkpointed),
        [
            "checkpoint",
            "checkpointSubSequenceNumber",
            "leaseCounter",
            "ownerSwitchesSinceCheckpoint",
            "pendingCheckpoint",
            "pendingCheckpointState",
            "pendingCheckpointSubSequenceNumber",
        ]
    );
    assert_eq!(checkpointed["checkpoint"], s(further));
    assert_eq!(checkpointed["checkpointSubSequenceNumber"], n("7"));
    assert_eq!(checkpointed["ownerSwitchesSinceCheckpoint"], n("0"));

    assert_eq!(held.release().await, LeaseEnd::Released);
    let released = bench.item(0).await;
    assert_eq!(
        differences(&checkpointed, &released),
        ["incarnation", "leaseCounter", "leaseOwner"]
    );
    assert_eq!(released.get("leaseOwner"), None);
}

#[tokio::test(start_paused = true)]
async fn an_end_writes_what_a_java_worker_looks_for() {
    let bench = Bench::new().await;
    bench.put(java_row(0)).await;
    let seen = bench.store.read(&key(0)).await.unwrap().unwrap();
    let mut held = take(&table(&bench.store, "a"), &seen).await.unwrap();
    held.end(&[child(1, &[0]), child(2, &[0])]).await.unwrap();
    let parent = bench.item(0).await;
    assert_eq!(parent["checkpoint"], s("SHARD_END"));
    assert_eq!(parent["checkpointSubSequenceNumber"], n("0"));
    let children = ["shardId-000000000001", "shardId-000000000002"].map(str::to_owned);
    assert_eq!(parent["childShardIds"].as_ss().unwrap(), &children);
    let first = bench.item(1).await;
    assert_eq!(first["checkpoint"], s("TRIM_HORIZON"));
    assert_eq!(first["leaseCounter"], n("0"));
    assert_eq!(first["leaseOwner"], s("a"));
    let parents = ["shardId-000000000000".to_owned()];
    assert_eq!(first["parentShardId"].as_ss().unwrap(), &parents);
    assert_eq!(first["startingHashKey"], s("0"));
}

#[tokio::test(start_paused = true)]
async fn a_java_latest_is_dated_by_the_services_clock_when_it_is_claimed() {
    let bench = Bench::new().await;
    let mut row = java_row(0);
    row.insert("checkpoint".to_owned(), s("LATEST"));
    row.insert("checkpointSubSequenceNumber".to_owned(), n("0"));
    bench.put(row).await;
    let service_time = bench
        .store
        .service_time()
        .expect("the service has answered");
    let seen = bench.store.read(&key(0)).await.unwrap().unwrap();
    let held = take(&table(&bench.store, "a"), &seen).await.unwrap();
    assert_eq!(held.claimed().checkpoint, Checkpoint::Latest);
    let started_at = held.claimed().started_at.unwrap();
    let ahead = service_time.duration_since(started_at).unwrap();
    assert!((1_000..=3_000).contains(&ahead.as_millis()), "{ahead:?}");

    // Whoever takes it next keeps the date; a checkpoint ends it.
    let again = take(&table(&bench.store, "b"), &held_row(&bench).await)
        .await
        .unwrap();
    assert_eq!(again.claimed().started_at, Some(started_at));
    again.checkpoint(at(1)).await.unwrap();
    assert_eq!(bench.item(0).await.get("startedAt"), None);
}

async fn held_row(bench: &Bench) -> crate::leases::lease::Lease {
    bench.store.read(&key(0)).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_java_worker_that_takes_the_lease_has_it() {
    let bench = Bench::new().await;
    let worker = table(&bench.store, "a");
    worker.create(&[free(0)]).await.unwrap();
    let held = take(&worker, &free(0)).await.unwrap();
    // Java moves owner and counter, and leaves the incarnation as it is.
    let mut row = bench.item(0).await;
    row.insert("leaseOwner".to_owned(), s("java"));
    row.insert("leaseCounter".to_owned(), n("2"));
    bench.put(row).await;
    let error = held.checkpoint(at(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "the lease is lost: worker java has it");
}

#[tokio::test(start_paused = true)]
async fn broken_rows_are_counted_and_passed_over() {
    let bench = Bench::new().await;
    bench.put(java_row(0)).await;
    let mut broken = java_row(1);
    broken.insert("leaseCounter".to_owned(), s("many"));
    bench.put(broken).await;
    let mut other = java_row(2);
    other.insert("entityType".to_owned(), s("WORKER_METRICS"));
    bench.put(other).await;
    let scan = bench.store.scan().await.unwrap();
    assert_eq!(scan.leases.len(), 1);
    assert_eq!(scan.unreadable.len(), 1);
    assert_eq!(scan.unreadable[0].key(), shard(1).as_str());
    let error = bench.store.read(&key(1)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unreadable);
    // Its children wait.
    let mut child = free(3);
    child.parents = [shard(1)].into();
    table(&bench.store, "a")
        .may_start(&child)
        .await
        .unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn leases_of_many_streams_are_counted_and_left_alone() {
    let bench = Bench::new().await;
    bench.put(java_row(0)).await;
    let mut other = java_row(1);
    let text = "123456789012:orders:1700000000:shardId-000000000001";
    other.insert("leaseKey".to_owned(), s(text));
    bench.put(other).await;
    let scan = bench.store.scan().await.unwrap();
    let keys: Vec<_> = scan.leases.iter().map(|lease| &lease.key).collect();
    assert_eq!(keys, [&key(0)]);
    assert_eq!((scan.multi_stream, scan.unreadable.len()), (1, 0));
    let row = bench.store.read(&text.parse().unwrap()).await.unwrap();
    assert_eq!(row, None, "no lease to work on");
}

/// A page of a scan holds a megabyte.
#[tokio::test(start_paused = true)]
async fn a_scan_reads_every_page() {
    let bench = Bench::new().await;
    for number in 0..10 {
        let mut row = java_row(number);
        row.insert("somethingLong".to_owned(), s(&"x".repeat(300_000)));
        bench.put(row).await;
    }
    assert_eq!(bench.store.scan().await.unwrap().leases.len(), 10);
}
