//! What an application does with the library beside running a worker: it tests its processor alone, and
//! keeps positions beside its own data.

use std::sync::{Arc, Mutex};

use shardwise_consumer::{
    Batch, BoxError, CheckpointError, CheckpointErrorKind, Checkpointer, ConsumedRecord, EndAcked,
    MemoryLeaseStore, Position, RecordProcessor, Recorded, ShardEnd, ShardId, ShardInfo,
    StatsHandle, Worker, WorkerBuilder, WorkerError, WorkerStats,
};

use crate::support::{STREAM, TestResult, World};

fn record(shard: &ShardId, number: u32, data: &str) -> ConsumedRecord {
    let number = number.to_string().parse().unwrap();
    ConsumedRecord::new(shard, number, data.to_owned())
}

/// The application's database: what its processors have done, and how far that goes.
#[derive(Debug, Clone, Default)]
struct Database(Arc<Mutex<Row>>);

#[derive(Debug, Default)]
struct Row {
    lines: Vec<String>,
    position: Option<String>,
}

/// Takes each record once, whatever comes again: its position stands in the row that it changes.
struct Ledger {
    database: Database,
    shard_id: ShardId,
    checkpoints: bool,
}

impl Ledger {
    fn new(database: &Database, shard: &ShardInfo) -> Self {
        Self {
            database: database.clone(),
            shard_id: shard.shard_id.clone(),
            checkpoints: true,
        }
    }

    fn kept(&self) -> Result<Option<Position>, BoxError> {
        let row = self.database.0.lock().unwrap();
        Ok(row.position.as_deref().map(str::parse).transpose()?)
    }
}

impl RecordProcessor for Ledger {
    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        let kept = self.kept()?;
        for record in &batch {
            let position = record.position();
            if kept.as_ref().is_some_and(|kept| position <= *kept) {
                continue;
            }
            if record.data == "poison" {
                return Err(format!("{} cannot take {position}", self.shard_id).into());
            }
            let mut row = self.database.0.lock().unwrap();
            row.lines.push(String::from_utf8_lossy(&record.data).into());
            row.position = Some(position.to_string());
        }
        if let (true, Some(kept)) = (self.checkpoints, self.kept()?) {
            checkpointer.checkpoint(&kept).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_processor_is_tested_without_a_worker() -> Result<(), BoxError> {
    let shard = ShardInfo::new(STREAM.parse()?, ShardId::from_number(3));
    let database = Database::default();
    let mut ledger = Ledger::new(&database, &shard);
    let (checkpointer, recorded) = Checkpointer::recording(&shard.shard_id);
    ledger.started(None).await?;

    let id = &shard.shard_id;
    let good = Batch::new(id, [record(id, 1, "a"), record(id, 2, "b")])?;
    ledger.process(good.clone(), &checkpointer).await?;
    assert_eq!(recorded.last().as_ref(), Some(good.end()));

    // Delivered again after a crash: nothing is taken twice.
    ledger.process(good.with_attempt(2), &checkpointer).await?;
    assert_eq!(database.0.lock().unwrap().lines, ["a", "b"]);
    assert_eq!(recorded.positions().len(), 1);

    let poisoned = Batch::new(id, [record(id, 3, "c"), record(id, 4, "poison")])?;
    assert!(ledger.process(poisoned, &checkpointer).await.is_err());
    assert_eq!(recorded.positions().len(), 1, "and nothing is checkpointed");

    recorded.refuse(CheckpointErrorKind::LeaseLost);
    let late = Batch::new(id, [record(id, 5, "d")])?;
    let error = ledger.process(late, &checkpointer).await.unwrap_err();
    assert!(error.to_string().contains("lease"), "{error}");
    ledger.lease_lost().await;

    recorded.accept();
    let children = [ShardId::from_number(4), ShardId::from_number(5)];
    let end = recorded.shard_end(children.clone());
    assert!(end.children().eq(&children));
    ledger.shard_ended(end).await?;
    assert!(recorded.is_ended());
    Ok(())
}

#[tokio::test]
async fn recorded_checkpoints_keep_to_the_rules_of_a_lease() -> TestResult {
    let shard = ShardId::from_number(0);
    let (checkpointer, recorded) = Checkpointer::recording(&shard);
    let at = |number: u32| record(&shard, number, "").position();
    for number in [7, 5, 9, 9] {
        checkpointer.checkpoint(&at(number)).await?;
    }
    assert_eq!(recorded.positions(), [at(7), at(9)], "never backwards");

    let foreign = record(&ShardId::from_number(1), 10, "").position();
    let error = checkpointer.checkpoint(&foreign).await.unwrap_err();
    assert_eq!(error.kind(), CheckpointErrorKind::ForeignPosition);

    for kind in [
        CheckpointErrorKind::Unavailable,
        CheckpointErrorKind::LeaseLost,
    ] {
        recorded.refuse(kind);
        let error = checkpointer.checkpoint(&at(10)).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        let error = recorded.shard_end([]).checkpoint().await.unwrap_err();
        assert_eq!(error.kind(), kind);
    }
    recorded.accept();
    recorded.shard_end([]).checkpoint().await?;
    checkpointer.checkpoint(&at(11)).await?;
    assert_eq!(recorded.last(), Some(at(9)), "nothing follows the end");
    Ok(())
}

#[test]
fn a_batch_that_no_worker_would_deliver_is_refused() {
    let (here, elsewhere) = (ShardId::from_number(0), ShardId::from_number(1));
    let wrong = [
        vec![],
        vec![record(&elsewhere, 1, "")],
        vec![record(&here, 1, ""), record(&elsewhere, 2, "")],
        vec![record(&here, 2, ""), record(&here, 1, "")],
        vec![record(&here, 1, ""), record(&here, 1, "")],
    ];
    for records in wrong {
        assert_eq!(Batch::new(&here, records).unwrap_err().what(), "batch");
    }
    let mut second = record(&here, 1, "");
    second.sub_sequence_number = 1;
    let batch = Batch::new(&here, [record(&here, 1, ""), second]).unwrap();
    assert_eq!((batch.records().len(), batch.attempt()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_position_kept_as_text_is_accepted_back_as_a_checkpoint() -> TestResult {
    let world = World::new(1);
    let database = Database::default();
    let start = |host: &crate::support::Host, checkpoints| {
        let database = database.clone();
        let worker = host.builder().build(move |shard| Ledger {
            checkpoints,
            ..Ledger::new(&database, shard)
        });
        host.run(worker.unwrap())
    };
    let lines = || database.0.lock().unwrap().lines.clone();
    let crashing = world.host("a");
    let _worker = start(&crashing, false);
    let first = world.put_numbered("first-", 3).await;
    world.until("taken", || lines() == first).await;
    assert_eq!(world.checkpoint(0).await, "TRIM_HORIZON/0");
    crashing.node.kill();

    let heir = world.host("b");
    let worker = start(&heir, true);
    let second = world.put_numbered("second-", 3).await;
    let all = [first, second].concat();
    world.until("taken", || lines().len() == all.len()).await;
    worker.stop().await?;
    assert_eq!(lines(), all, "each once, though the first come again");
    let kept: Position = database
        .0
        .lock()
        .unwrap()
        .position
        .clone()
        .unwrap()
        .parse()?;
    assert_eq!(
        world.checkpoint(0).await,
        format!("{}/{}", kept.sequence_number(), kept.sub_sequence_number())
    );
    Ok(())
}

fn can_be_sent<T: Send>(_: &T) {}

const fn can_be_shared<T: Send + Sync>() {}

const _: () = {
    can_be_shared::<(Batch, ConsumedRecord, Position, ShardInfo)>();
    can_be_shared::<(Checkpointer, Recorded, ShardEnd, EndAcked)>();
    can_be_shared::<(Worker<Ledger>, WorkerBuilder, MemoryLeaseStore)>();
    can_be_shared::<(StatsHandle, WorkerStats)>();
    can_be_shared::<(WorkerError, CheckpointError)>();
};

#[tokio::test]
async fn a_running_worker_can_move_between_threads() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let database = Database::default();
    let worker = host
        .builder()
        .build(move |shard| Ledger::new(&database, shard))?;
    can_be_sent(&worker.run_until(std::future::pending::<()>()));
    Ok(())
}
