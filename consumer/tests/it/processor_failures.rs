//! Processors that fail, panic and come back: nothing is ever skipped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use shardwise_consumer::{
    Batch, BoxError, COOL_DOWN, Checkpointer, DEFAULT_PROCESSOR_ATTEMPTS, LeaseEnd, LeaseEventKind,
    RecordProcessor,
};

use crate::journal::{Habits, Trouble, What};
use crate::support::{TestResult, World, seconds};

fn holds(batch: &Batch, data: &str) -> bool {
    batch.records().iter().any(|record| record.data == data)
}

/// Trouble with the batch that holds this record, the first `times` times.
fn trouble_at(data: &'static str, times: u32, trouble: Trouble) -> (Habits, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    let habits = Habits::trouble(move |batch| {
        if holds(batch, data) && counted.fetch_add(1, Ordering::SeqCst) < times {
            trouble.clone()
        } else {
            Trouble::None
        }
    });
    (habits, count)
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_comes_again_and_is_never_skipped() -> TestResult {
    let world = World::new(1);
    let all = world.put_numbered("r", 9).await;
    let host = world.host("a");
    let (habits, calls) = trouble_at("r4", 3, Trouble::Fail);
    let worker = host.start_with(host.builder().max_records(2), habits);
    world.until_processed(&all).await;
    assert_eq!(world.journal.records(|_| true), all);
    assert_eq!(calls.load(Ordering::SeqCst), 4);
    let stats = worker.stats.snapshot();
    assert_eq!((stats.processor_failures, stats.shards_given_up), (3, 0));
    assert_eq!(
        world
            .journal
            .count(|entry| matches!(entry.what, What::Started(_))),
        1,
        "after an error the same processor goes on"
    );
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_batch_says_which_attempt_it_is() -> TestResult {
    let world = World::new(1);
    world.put("r").await;
    let host = world.host("a");
    let attempts = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = attempts.clone();
    let habits = Habits::trouble(move |batch| {
        seen.lock().unwrap().push(batch.attempt());
        if batch.attempt() < 4 {
            Trouble::Fail
        } else {
            Trouble::None
        }
    });
    let worker = host.start_with(host.builder(), habits);
    world.until_processed(&["r".to_owned()]).await;
    assert_eq!(*attempts.lock().unwrap(), [1, 2, 3, 4]);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_processor_that_keeps_failing_makes_room_for_another_worker() -> TestResult {
    let world = World::new(1);
    let bad = world.host("bad");
    let (habits, calls) = trouble_at("r1", u32::MAX, Trouble::Fail);
    let bad_worker = bad.start_with(bad.builder().max_records(1), habits);
    let all = world.put_numbered("r", 3).await;
    world
        .until("given up", || {
            bad_worker.stats.snapshot().shards_given_up == 1
        })
        .await;
    assert_eq!(calls.load(Ordering::SeqCst), DEFAULT_PROCESSOR_ATTEMPTS);
    assert_eq!(
        world.journal.records(|_| true),
        ["r0"],
        "r1 and what follows are not skipped"
    );
    assert_eq!(
        world.journal.count(|entry| entry.what == What::LeaseLost),
        1
    );
    assert_eq!(world.leases().await[&0].get("leaseOwner"), None);
    let good = world.host("good");
    let begin = world.now();
    let good_worker = good.start();
    world.until_processed(&all).await;
    assert!(world.now() - begin < seconds(5.0));
    assert_eq!(
        world.journal.records(|entry| entry.host == "good"),
        ["r1", "r2"]
    );
    bad_worker.stop().await?;
    good_worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_lone_worker_takes_the_shard_back_after_the_cool_down() -> TestResult {
    let world = World::new(1);
    let all = world.put_numbered("r", 3).await;
    let host = world.host("a");
    let (habits, _) = trouble_at("r1", 7, Trouble::Fail);
    let worker = host.start_with(host.builder().max_records(1), habits);
    world
        .until("given up", || worker.stats.snapshot().shards_given_up == 1)
        .await;
    let given_up = world.now();
    let back = world.until_processed(&all).await;
    assert!(back - given_up >= COOL_DOWN, "{:?}", back - given_up);
    assert!(back - given_up < COOL_DOWN + seconds(10.0));
    assert_eq!(world.journal.records(|_| true), all);
    let kinds: Vec<_> = worker
        .stats
        .snapshot()
        .events
        .iter()
        .map(|event| event.kind.clone())
        .collect();
    let taken = LeaseEventKind::Taken;
    let given_up = LeaseEventKind::Ended(LeaseEnd::GivenUp);
    assert_eq!(kinds, [taken.clone(), given_up, taken]);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_caught_and_a_new_processor_goes_on_from_the_checkpoint() -> TestResult {
    let world = World::new(1);
    let all = world.put_numbered("r", 9).await;
    let host = world.host("a");
    let (habits, _) = trouble_at("r4", 2, Trouble::Panic);
    let worker = host.start_with(host.builder().max_records(2), habits);
    world.until_processed(&all).await;
    assert_eq!(world.journal.records(|_| true), all);
    let starts: Vec<_> = world
        .journal
        .entries()
        .into_iter()
        .filter_map(|entry| match entry.what {
            What::Started(from) => Some(from.is_some()),
            _ => None,
        })
        .collect();
    assert_eq!(starts, [false, true, true], "each panic costs a processor");
    assert_eq!(worker.stats.snapshot().processor_failures, 2);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_poison_record_is_given_up_though_the_batches_before_it_succeed() -> TestResult {
    let world = World::new(1);
    world.put_numbered("r", 9).await;
    let host = world.host("a");
    let (mut habits, calls) = trouble_at("r6", u32::MAX, Trouble::Panic);
    habits.checkpoints = crate::journal::Checkpoints::Never;
    let worker = host.start_with(host.builder().max_records(2), habits);
    world
        .until("given up", || worker.stats.snapshot().shards_given_up == 1)
        .await;
    assert_eq!(calls.load(Ordering::SeqCst), DEFAULT_PROCESSOR_ATTEMPTS);
    worker.stop().await?;
    Ok(())
}

/// Fails in every call but `process`, each the first two times.
struct Clumsy {
    started: Arc<AtomicU32>,
    ended: Arc<AtomicU32>,
    inner: crate::journal::Journaling,
}

impl RecordProcessor for Clumsy {
    async fn started(
        &mut self,
        from: Option<&shardwise_consumer::Position>,
    ) -> Result<(), BoxError> {
        match self.started.fetch_add(1, Ordering::SeqCst) {
            0 => Err("not yet".into()),
            1 => panic!("not yet"),
            _ => self.inner.started(from).await,
        }
    }

    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        self.inner.process(batch, checkpointer).await
    }

    async fn shard_ended(
        &mut self,
        end: shardwise_consumer::ShardEnd,
    ) -> Result<shardwise_consumer::EndAcked, BoxError> {
        match self.ended.fetch_add(1, Ordering::SeqCst) {
            0 => Err("not yet".into()),
            1 => panic!("not yet"),
            _ => self.inner.shard_ended(end).await,
        }
    }

    async fn shutting_down(&mut self, _checkpointer: &Checkpointer) -> Result<(), BoxError> {
        panic!("never")
    }
}

#[tokio::test(start_paused = true)]
async fn start_and_end_are_repeated_and_a_failing_goodbye_releases_the_lease() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let counts = [Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0))];
    let journal = world.journal.clone();
    let worker = host.builder().build(move |shard| Clumsy {
        // Only the parent is clumsy at the start.
        started: counts[0].clone(),
        ended: counts[1].clone(),
        inner: journal.processor("a", shard, &Habits::default()),
    })?;
    let worker = host.run(worker);
    let before = world.put_numbered("before-", 3).await;
    world.until_processed(&before).await;
    world.split(0).await;
    let after = world.put_numbered("after-", 3).await;
    world.until_processed(&after).await;
    assert_eq!(world.journal.records(|_| true).len(), 6);
    worker.stop().await?;
    for row in world.leases().await.values() {
        assert!(row["checkpoint"] == "SHARD_END" || !row.contains_key("leaseOwner"));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_lease_table_does_not_use_up_the_attempts() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let worker = host.start();
    let first = world.put_numbered("first-", 1).await;
    world.until_processed(&first).await;
    for operation in ["UpdateItem", "Scan", "GetItem"] {
        host.faults.on(
            operation,
            100_000,
            shardwise_client::transport::TransportFault::InternalFailure,
        );
    }
    let second = world.put_numbered("second-", 1).await;
    world.sleep(seconds(120.0)).await;
    host.faults.clear();
    world
        .until("checkpointed", || {
            world
                .journal
                .count(|entry| matches!(entry.what, What::Checkpointed(_)))
                >= 2
        })
        .await;
    world.until_processed(&second).await;
    let stats = worker.stats.snapshot();
    assert_eq!((stats.shards_given_up, stats.leases_lost), (0, 0));
    worker.stop().await?;
    Ok(())
}

/// Ends its shard, and goes wrong before it can say so.
struct Afterthought {
    panics: bool,
    inner: crate::journal::Journaling,
}

impl RecordProcessor for Afterthought {
    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        self.inner.process(batch, checkpointer).await
    }

    async fn shard_ended(
        &mut self,
        end: shardwise_consumer::ShardEnd,
    ) -> Result<shardwise_consumer::EndAcked, BoxError> {
        self.inner.shard_ended(end).await?;
        assert!(!self.panics, "as the test asks");
        Err("as the test asks".into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_processor_that_fails_after_the_checkpointed_end_has_ended_its_shard() -> TestResult {
    for panics in [true, false] {
        let world = World::new(1);
        let host = world.host("a");
        let journal = world.journal.clone();
        let worker = host.builder().build(move |shard| Afterthought {
            panics,
            inner: journal.processor("a", shard, &Habits::default()),
        })?;
        let worker = host.run(worker);
        let mut all = world.put_numbered("before-", 3).await;
        world.until_processed(&all).await;
        world.split(0).await;
        all.extend(world.put_numbered("after-", 3).await);
        world.until_processed(&all).await;
        world.sleep(seconds(60.0)).await;
        let records = world.journal.records(|_| true);
        assert_eq!(records.len(), all.len(), "panics {panics}: nothing twice");
        assert_eq!(world.journal.count(|entry| entry.what == What::Ended), 1);
        assert_eq!(worker.stats.snapshot().shards_ended, 1);
        assert_eq!(worker.holds(), [1, 2].into(), "panics {panics}");
        let asked = world.now();
        worker.stop().await?;
        assert!(world.now() - asked < seconds(5.0), "panics {panics}");
    }
    Ok(())
}

/// Panics at the end of its shard.
struct Endless {
    ended: Arc<AtomicU32>,
    inner: crate::journal::Journaling,
}

impl RecordProcessor for Endless {
    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        self.inner.process(batch, checkpointer).await
    }

    async fn shard_ended(
        &mut self,
        _end: shardwise_consumer::ShardEnd,
    ) -> Result<shardwise_consumer::EndAcked, BoxError> {
        self.ended.fetch_add(1, Ordering::SeqCst);
        panic!("as the test asks")
    }
}

#[tokio::test(start_paused = true)]
async fn a_processor_that_panics_at_the_end_of_its_shard_is_given_up() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let ended = Arc::new(AtomicU32::new(0));
    let (journal, counted) = (world.journal.clone(), ended.clone());
    let habits = Habits::checkpoints(crate::journal::Checkpoints::Never);
    let worker = host.builder().build(move |shard| Endless {
        ended: counted.clone(),
        inner: journal.processor("a", shard, &habits),
    })?;
    let worker = host.run(worker);
    let all = world.put_numbered("r", 3).await;
    world.until_processed(&all).await;
    world.split(0).await;
    world.sleep(seconds(50.0)).await;
    assert_eq!(worker.stats.snapshot().shards_given_up, 1);
    assert_eq!(ended.load(Ordering::SeqCst), DEFAULT_PROCESSOR_ATTEMPTS);
    worker.stop().await?;
    Ok(())
}

/// Takes its time to say good-bye.
struct SlowGoodbye {
    inner: crate::journal::Journaling,
    takes: std::time::Duration,
    env: shardwise_env::Env,
}

impl RecordProcessor for SlowGoodbye {
    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        self.inner.process(batch, checkpointer).await
    }

    async fn lease_lost(&mut self) {
        self.inner.lease_lost().await;
    }

    async fn shutting_down(&mut self, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        self.env.sleep(self.takes).await;
        self.inner.shutting_down(checkpointer).await
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_called_after_the_goodbye_though_the_lease_is_lost() -> TestResult {
    let world = World::new(1);
    let (host, other) = (world.host("a"), world.host("b"));
    let (journal, env) = (world.journal.clone(), host.node.env());
    let builder = host.builder().shutdown_grace(seconds(120.0));
    let worker = builder.build(move |shard| SlowGoodbye {
        inner: journal.processor("a", shard, &Habits::default()),
        takes: seconds(60.0),
        env: env.clone(),
    })?;
    let worker = host.run(worker);
    let all = world.put_numbered("r", 3).await;
    world.until_processed(&all).await;
    let heir = other.start();
    world.sleep(seconds(3.0)).await;
    worker.ask_to_stop();
    world.sleep(seconds(0.1)).await;
    host.faults.on(
        "UpdateItem",
        100_000,
        shardwise_client::transport::TransportFault::LoseRequest,
    );
    world.until("taken", || heir.holds().len() == 1).await;
    host.faults.clear();
    let stats = worker.stats.clone();
    worker.stop().await?;
    let last = |what: &What| {
        world
            .journal
            .count(|entry| entry.host == "a" && entry.what == *what)
    };
    assert_eq!(
        (last(&What::ShuttingDown), last(&What::LeaseLost)),
        (1, 0),
        "the good-bye is the last call"
    );
    assert_eq!(stats.snapshot().leases_lost, 1);
    heir.stop().await?;
    Ok(())
}

/// Checkpoints the second shard where it came to in the first.
struct Mixer {
    shard: u32,
    of_first: Arc<std::sync::Mutex<Option<shardwise_consumer::Position>>>,
    refused: Arc<std::sync::Mutex<Vec<shardwise_consumer::CheckpointErrorKind>>>,
}

impl RecordProcessor for Mixer {
    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        if self.shard == 0 {
            *self.of_first.lock().unwrap() = Some(batch.end().clone());
            return Ok(());
        }
        let position = self.of_first.lock().unwrap().clone();
        let error = match position {
            None => return Err("not yet".into()),
            Some(position) => checkpointer.checkpoint(&position).await.unwrap_err(),
        };
        assert!(!error.is_retryable());
        self.refused.lock().unwrap().push(error.kind());
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_position_of_another_shard_is_refused_and_nothing_is_written() -> TestResult {
    let world = World::new(2);
    let host = world.host("a");
    let (of_first, refused) = (Arc::default(), Arc::default());
    let seen: Arc<std::sync::Mutex<Vec<_>>> = Arc::clone(&refused);
    let worker = host.builder().build(move |shard| Mixer {
        shard: shard.shard_id.number().unwrap(),
        of_first: Arc::clone(&of_first),
        refused: Arc::clone(&refused),
    })?;
    let worker = host.run(worker);
    for hash_key in [0, u128::MAX] {
        let hash_key = shardwise_types::HashKey::new(hash_key);
        world.put_raw("r".into(), hash_key).await;
    }
    world
        .until("refused", || !seen.lock().unwrap().is_empty())
        .await;
    let foreign = shardwise_consumer::CheckpointErrorKind::ForeignPosition;
    assert_eq!(*seen.lock().unwrap(), [foreign]);
    assert_eq!(world.checkpoint(1).await, "TRIM_HORIZON/0");
    worker.stop().await?;
    Ok(())
}
