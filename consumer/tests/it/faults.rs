//! Each kind of request with each kind of fault: nothing is lost, nothing stalls, no lease is lost.
//! And answers that a careless reader would take for the end of a shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use shardwise_client::Transport;
use shardwise_client::transport::{Body, BoxFuture, TransportError, TransportFault};
use shardwise_consumer::{
    Batch, BoxError, CheckpointErrorKind, Checkpointer, EndAcked, LeaseEnd, LeaseEventKind,
    Position, RecordProcessor, ShardEnd, WorkerErrorKind,
};
use shardwise_mock::Operation;

use crate::journal::{Habits, What};
use crate::support::{Host, TestResult, World, seconds};

const FAULTS: [TransportFault; 8] = [
    TransportFault::Throttle,
    TransportFault::InternalFailure,
    TransportFault::Refuse,
    TransportFault::LoseRequest,
    TransportFault::LoseResponse,
    TransportFault::TruncateBody,
    TransportFault::Delay(Duration::from_millis(900)),
    TransportFault::HangAfter,
];

/// A worker's whole life with some faults of one kind all along: start, read, checkpoint, split,
/// read on, stop.
async fn live_with(operation: &str, fault: TransportFault) -> TestResult {
    let world = World::new(2);
    let host = world.host("a");
    let plan = |times| {
        for _ in 0..times {
            host.faults
                .on(operation, 1, fault)
                .on(operation, 2, TransportFault::Pass);
        }
    };
    plan(2);
    let worker = host.start();
    let mut all = world.put_numbered("first-", 10).await;
    world.until_processed(&all).await;
    plan(2);
    world.split(0).await;
    all.extend(world.put_numbered("second-", 10).await);
    world.until_processed(&all).await;
    world.sleep(seconds(20.0)).await;
    all.extend(world.put_numbered("third-", 10).await);
    world.until_processed(&all).await;
    let took = world.now();
    let stats = worker.stats.snapshot();
    assert_eq!(stats.leases_lost, 0, "{operation} {fault:?}");
    assert_eq!((stats.shards_given_up, stats.processor_failures), (0, 0));
    let records = world.journal.records(|_| true);
    assert_eq!(
        records.len(),
        all.len(),
        "{operation} {fault:?}: nothing twice"
    );
    worker.stop().await?;
    assert!(world.now() - took < seconds(12.0), "{operation} {fault:?}");
    for row in world.leases().await.values() {
        assert!(
            row["checkpoint"] == "SHARD_END" || !row.contains_key("leaseOwner"),
            "{row:?}"
        );
    }
    Ok(())
}

async fn live_with_all(operation: &str) -> TestResult {
    for fault in FAULTS {
        println!("{operation} {fault:?}");
        live_with(operation, fault).await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn failing_lost_and_slow_get_records_lose_nothing() -> TestResult {
    live_with_all("GetRecords").await
}

#[tokio::test(start_paused = true)]
async fn failing_lost_and_slow_get_shard_iterator_lose_nothing() -> TestResult {
    live_with_all("GetShardIterator").await
}

#[tokio::test(start_paused = true)]
async fn failing_lost_and_slow_list_shards_lose_nothing() -> TestResult {
    live_with_all("ListShards").await
}

#[tokio::test(start_paused = true)]
async fn failing_lost_and_slow_describe_stream_summary_lose_nothing() -> TestResult {
    live_with_all("DescribeStreamSummary").await
}

#[tokio::test(start_paused = true)]
async fn failing_lost_and_slow_scan_lose_nothing() -> TestResult {
    live_with_all("Scan").await
}

#[tokio::test(start_paused = true)]
async fn failing_lost_and_slow_get_item_lose_nothing() -> TestResult {
    live_with_all("GetItem").await
}

#[tokio::test(start_paused = true)]
async fn failing_lost_and_slow_update_item_lose_nothing() -> TestResult {
    live_with_all("UpdateItem").await
}

#[tokio::test(start_paused = true)]
async fn failing_lost_and_slow_put_item_lose_nothing() -> TestResult {
    live_with_all("PutItem").await
}

#[tokio::test(start_paused = true)]
async fn failing_lost_and_slow_create_table_lose_nothing() -> TestResult {
    live_with_all("CreateTable").await
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_down_for_an_hour_is_waited_for() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let worker = host.start();
    let first = world.put_numbered("first-", 2).await;
    world.until_processed(&first).await;
    host.faults.on("*", 10_000_000, TransportFault::Refuse);
    let second = world.put_numbered("second-", 2).await;
    world.sleep(seconds(3600.0)).await;
    host.faults.clear();
    world.until_processed(&second).await;
    assert_eq!(world.journal.records(|_| true).len(), 4);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_without_an_answer_is_never_followed_by_an_older_one() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let worker = host.start_with(host.builder().max_records(1), Habits::default());
    let first = world.put_numbered("first-", 1).await;
    world.until_processed(&first).await;
    let mut before = world.checkpoint(0).await;
    for _ in 0..20 {
        host.faults
            .on("UpdateItem", 1, TransportFault::LoseResponse)
            .on("UpdateItem", 1, TransportFault::Pass);
    }
    let all = world.put_numbered("r", 15).await;
    for _ in 0..400 {
        world.sleep(seconds(0.01)).await;
        let now = world.checkpoint(0).await;
        assert!(now >= before, "{now} after {before}");
        before = now;
    }
    world.until_processed(&all).await;
    assert_eq!(worker.stats.snapshot().leases_lost, 0);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_cannot_be_written_is_an_error_and_not_a_loss() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let worker = host.start_with(host.builder(), Habits::slow(seconds(1.0)));
    world.put("r").await;
    world.sleep(seconds(1.5)).await;
    host.faults
        .on("UpdateItem", 100_000, TransportFault::InternalFailure);
    world.sleep(seconds(30.0)).await;
    let refused = What::Refused(CheckpointErrorKind::Unavailable);
    assert!(world.journal.count(|entry| entry.what == refused) >= 1);
    host.faults.clear();
    world
        .until("checkpointed", || {
            world
                .journal
                .count(|entry| matches!(entry.what, What::Checkpointed(_)))
                == 1
        })
        .await;
    assert_eq!(worker.stats.snapshot().leases_lost, 0);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn resource_not_found_is_not_the_end_of_a_shard() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let worker = host.start();
    let first = world.put_numbered("first-", 2).await;
    world.until_processed(&first).await;
    let not_found = shardwise_mock::Fault::error(400, "ResourceNotFoundException", "no shard");
    world
        .mock
        .on(Operation::GetRecords)
        .times(3)
        .reply(not_found.clone());
    world
        .mock
        .on(Operation::GetShardIterator)
        .times(3)
        .reply(not_found);
    let second = world.put_numbered("second-", 2).await;
    world.until_processed(&second).await;
    assert_eq!(world.journal.records(|_| true).len(), 4);
    assert_eq!(world.journal.count(|entry| entry.what == What::Ended), 0);
    assert_ne!(world.leases().await[&0]["checkpoint"], "SHARD_END");
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_deleted_stream_ends_the_worker_and_leaves_the_checkpoints() -> TestResult {
    let world = World::new(2);
    let host = world.host("a");
    let worker = host.start();
    let all = world.put_numbered("r", 10).await;
    world.until_processed(&all).await;
    world.sleep(seconds(2.0)).await;
    let before = [world.checkpoint(0).await, world.checkpoint(1).await];
    world.delete_stream().await;
    let error = worker.task.await?.unwrap_err();
    assert_eq!(error.kind(), WorkerErrorKind::StreamDeleted);
    assert_eq!(
        [world.checkpoint(0).await, world.checkpoint(1).await],
        before
    );
    assert_eq!(world.journal.count(|entry| entry.what == What::Ended), 0);
    Ok(())
}

/// Leaves the first shard out of the listing while it is switched on: another name stands for it.
#[derive(Debug)]
struct Forget<T> {
    inner: T,
    forgets: Arc<AtomicBool>,
}

impl<T: Transport> Transport for Forget<T> {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>> {
        Box::pin(async move {
            let is_listing = request.headers()["x-amz-target"]
                .as_bytes()
                .ends_with(b".ListShards");
            let response = self.inner.send(request).await?;
            if !is_listing || !self.forgets.load(Ordering::SeqCst) {
                return Ok(response);
            }
            let (parts, body) = response.into_parts();
            let body = body
                .collect()
                .await
                .map_err(TransportError::broken)?
                .to_bytes();
            let text = String::from_utf8_lossy(&body).into_owned();
            let one = "\"ShardId\":\"shardId-000000000000\"";
            assert!(text.contains(one), "{text}");
            let text = text.replace(one, "\"ShardId\":\"shardId-000000000999\"");
            Ok(http::Response::from_parts(parts, Body::full(text.into())))
        })
    }
}

/// A stream whose first shard the service has forgotten, by its own account, until it is switched
/// remember.
struct Amnesia {
    world: World,
    host: Host,
    forgets: Arc<AtomicBool>,
}

impl Amnesia {
    fn new() -> Self {
        let world = World::new(1);
        let forgets = Arc::new(AtomicBool::new(false));
        let host = world.host_with("a", |inner| Forget {
            inner,
            forgets: forgets.clone(),
        });
        Self {
            world,
            host,
            forgets,
        }
    }

    fn forget(&self) {
        self.forgets.store(true, Ordering::SeqCst);
        let not_found = shardwise_mock::Fault::error(400, "ResourceNotFoundException", "no shard");
        for operation in [Operation::GetRecords, Operation::GetShardIterator] {
            let fault = self.world.mock.on(operation);
            fault.times(100_000).reply(not_found.clone());
        }
    }

    fn remember(&self) {
        self.forgets.store(false, Ordering::SeqCst);
        self.world.mock.clear_faults();
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_missing_from_some_listings_has_not_ended() -> TestResult {
    let amnesia = Amnesia::new();
    let world = &amnesia.world;
    let worker = amnesia.host.start();
    let first = world.put_numbered("first-", 2).await;
    world.until_processed(&first).await;
    world.sleep(seconds(3.0)).await;
    amnesia.forget();
    world.sleep(seconds(40.0)).await;
    assert_eq!(world.journal.count(|entry| entry.what == What::Ended), 0);
    assert_ne!(world.leases().await[&0]["checkpoint"], "SHARD_END");
    assert!(
        worker.holds().contains(&0),
        "no other worker would do better"
    );
    amnesia.remember();
    let second = world.put_numbered("second-", 2).await;
    world.until_processed(&second).await;
    assert_eq!(world.journal.records(|_| true).len(), 4);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_children_alone_are_listed_for_minutes_has_ended() -> TestResult {
    let amnesia = Amnesia::new();
    let world = &amnesia.world;
    let worker = amnesia.host.start();
    let first = world.put_numbered("first-", 2).await;
    world.until_processed(&first).await;
    world.sleep(seconds(3.0)).await;
    amnesia.forget();
    world.split(0).await;
    let forgotten = world.now();
    let ended = world
        .until("ended", || {
            world
                .journal
                .count(|entry| entry.shard == 0 && entry.what == What::Ended)
                == 1
        })
        .await;
    let took = ended - forgotten;
    assert!(took > seconds(300.0) && took < seconds(400.0), "{took:?}");
    amnesia.remember();
    let second = world.put_numbered("second-", 2).await;
    world.until_processed(&second).await;
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_lease_table_that_is_deleted_ends_the_worker() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let worker = host.start();
    let all = world.put_numbered("r", 2).await;
    world.until_processed(&all).await;
    world.sleep(seconds(5.0)).await;
    let delete = world.dynamodb().delete_table();
    delete
        .table_name(crate::support::APPLICATION)
        .send()
        .await?;
    let ended = world.env.timeout(seconds(180.0), worker.task).await;
    let error = ended.expect("it ends by itself")?.unwrap_err();
    assert_eq!(error.kind(), WorkerErrorKind::LeaseTable);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_could_not_be_released_is_not_reported_as_released() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let worker = host.start();
    let all = world.put_numbered("r", 2).await;
    world.until_processed(&all).await;
    world.sleep(seconds(5.0)).await;
    host.faults
        .on("UpdateItem", 100_000, TransportFault::LoseRequest);
    let stats = worker.stats.clone();
    worker.stop().await?;
    assert!(world.leases().await[&0].contains_key("leaseOwner"));
    let events = stats.snapshot().events;
    let last = events.back().map(|event| event.kind.clone());
    assert_eq!(last, Some(LeaseEventKind::Ended(LeaseEnd::Abandoned)));
    Ok(())
}

/// Asks for a checkpoint after the end of its shard was asked for in vain.
struct Hesitant {
    inner: crate::journal::Journaling,
    faults: shardwise_client::transport::Faults,
    last: Option<(Checkpointer, Position)>,
}

impl RecordProcessor for Hesitant {
    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        self.last = Some((checkpointer.clone(), batch.end().clone()));
        self.inner.process(batch, checkpointer).await
    }

    async fn shard_ended(&mut self, end: ShardEnd) -> Result<EndAcked, BoxError> {
        self.faults
            .on("UpdateItem", 100_000, TransportFault::LoseRequest);
        let error = end.checkpoint().await.unwrap_err();
        assert_eq!(error.kind(), CheckpointErrorKind::Unavailable);
        self.faults.clear();
        let (checkpointer, last) = self.last.as_ref().unwrap();
        checkpointer.checkpoint(last).await?;
        Err(error.into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_after_an_end_without_an_answer_writes_the_end() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let (journal, faults) = (world.journal.clone(), host.faults.clone());
    let habits = Habits::checkpoints(crate::journal::Checkpoints::Never);
    let worker = host.builder().build(move |shard| Hesitant {
        inner: journal.processor("a", shard, &habits),
        faults: faults.clone(),
        last: None,
    })?;
    let worker = host.run(worker);
    let mut all = world.put_numbered("before-", 3).await;
    world.until_processed(&all).await;
    world.split(0).await;
    all.extend(world.put_numbered("after-", 3).await);
    world.until_processed(&all).await;
    let stats = worker.stats.snapshot();
    assert_eq!((stats.shards_ended, stats.processor_failures), (1, 1));
    assert_eq!(world.leases().await[&0]["checkpoint"], "SHARD_END");
    assert_eq!(world.journal.records(|_| true).len(), all.len());
    worker.stop().await?;
    Ok(())
}

/// Takes away from GetRecords answers what only the end of a shard lacks.
#[derive(Debug)]
struct Strip<T> {
    inner: T,
    what: &'static str,
    after: std::sync::atomic::AtomicU32,
}

impl<T: Transport> Transport for Strip<T> {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>> {
        Box::pin(async move {
            let is_read = request.headers()["x-amz-target"]
                .as_bytes()
                .ends_with(b".GetRecords");
            let response = self.inner.send(request).await?;
            let count = |field: &std::sync::atomic::AtomicU32| field.fetch_add(1, Ordering::SeqCst);
            // Every third answer.
            if !is_read || count(&self.after) % 3 != 2 {
                return Ok(response);
            }
            let (parts, body) = response.into_parts();
            let body = body
                .collect()
                .await
                .map_err(TransportError::broken)?
                .to_bytes();
            let text = String::from_utf8_lossy(&body).into_owned();
            // Another name is an unknown field to the reader.
            let text = text.replace(&format!("\"{}\"", self.what), "\"Nothing\"");
            Ok(http::Response::from_parts(parts, Body::full(text.into())))
        })
    }
}

fn strip<T>(inner: T, what: &'static str) -> Strip<T> {
    Strip {
        inner,
        what,
        after: 0.into(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_shard_needs_the_services_word_not_just_a_missing_iterator() -> TestResult {
    let world = World::new(1);
    let host = world.host_with("a", |inner| strip(inner, "NextShardIterator"));
    let worker = host.start();
    let mut all = Vec::new();
    for turn in 0..10 {
        all.extend(world.put_numbered(&format!("t{turn}-"), 2).await);
        world.until_processed(&all).await;
        world.sleep(seconds(1.0)).await;
    }
    assert_eq!(world.journal.records(|_| true), all);
    assert_eq!(world.journal.count(|entry| entry.what == What::Ended), 0);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn children_that_the_last_answer_does_not_name_are_taken_from_the_listing() -> TestResult {
    let world = World::new(1);
    let host = world.host_with("a", |inner| strip(inner, "ChildShards"));
    let worker = host.start();
    let mut all = Vec::new();
    for (turn, open) in [0, 1, 3, 5].into_iter().enumerate() {
        all.extend(world.put_numbered(&format!("t{turn}-"), 4).await);
        world.until_processed(&all).await;
        world.split(open).await;
    }
    all.extend(world.put_numbered("last-", 4).await);
    world.until_processed(&all).await;
    assert_eq!(world.journal.records(|_| true).len(), all.len());
    worker.stop().await?;
    Ok(())
}
