//! An application whose style is drawn from the seed: what it does between two checkpoints decides
//! which bugs can show.

use std::time::Duration;

use shardwise_consumer::{
    Batch, BoxError, Checkpointer, DEFAULT_PROCESSOR_ATTEMPTS, EndAcked, Position, RecordProcessor,
    ShardEnd, ShardInfo,
};
use shardwise_env::Env;
use shardwise_types::ShardId;

use super::ledger::{Checkpoint, Place};
use super::oracle::Oracle;
use super::workload::parse;

/// How an application goes about its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A checkpoint after each batch.
    PerBatch,
    /// A checkpoint after each record, most of them inside an aggregate. One call in twenty fails
    /// half-way: either all of its records come again, or it panics and another processor goes on.
    PerRecord,
    /// A checkpoint after one batch in seven.
    Rarely,
    /// As `PerBatch`, but some calls take seconds.
    Slow,
    /// As `PerBatch`, but one call in five fails half-way.
    Failing,
    /// A checkpoint at a record in the middle of each batch, and at its end in the next one.
    Behind,
}

impl Style {
    pub(super) const ALL: [Self; 6] = [
        Self::PerBatch,
        Self::PerRecord,
        Self::Rarely,
        Self::Slow,
        Self::Failing,
        Self::Behind,
    ];
}

/// The processor of one shard.
pub(super) struct App {
    shard: ShardId,
    node: String,
    worker: String,
    style: Style,
    oracle: Oracle,
    env: Env,
    calls: u64,
    /// Calls that failed since one was accepted.
    failures: u32,
    /// Whether the observer sees the checkpoints; else they are reported to the oracle here.
    observed: bool,
    /// Where `Behind` will checkpoint next.
    behind: Option<Position>,
}

impl App {
    pub(super) fn new(
        shard: &ShardInfo,
        (node, worker): (&str, &str),
        style: Style,
        oracle: Oracle,
        env: Env,
        observed: bool,
    ) -> Self {
        let (node, worker) = (node.to_owned(), worker.to_owned());
        let shard = shard.shard_id.clone();
        Self {
            shard,
            node,
            worker,
            style,
            oracle,
            env,
            observed,
            calls: 0,
            failures: 0,
            behind: None,
        }
    }

    /// Where this style has a checkpoint after the record at `index`, if it has.
    fn checkpoint_at(&mut self, index: usize, batch: &Batch) -> Option<Position> {
        let record = &batch.records()[index];
        let last = index + 1 == batch.records().len();
        match self.style {
            Style::PerRecord => Some(record.position()),
            Style::PerBatch | Style::Slow | Style::Failing if last => Some(batch.end().clone()),
            Style::Rarely if last && self.calls.is_multiple_of(7) => Some(batch.end().clone()),
            Style::Behind if index == batch.records().len() / 2 => {
                self.behind.replace(record.position())
            }
            _ => None,
        }
    }

    fn counted<T, E>(&mut self, call: Result<T, E>) -> Result<T, E> {
        match call {
            Ok(_) => self.failures = 0,
            Err(_) => self.failures += 1,
        }
        call
    }

    async fn work(&mut self, batch: &Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        self.calls += 1;
        self.oracle.batch_begins(&self.node, &self.shard);
        if self.style == Style::Slow && self.calls.is_multiple_of(4) {
            self.env
                .sleep(Duration::from_millis(self.env.random_below(5_000)))
                .await;
        }
        let fails = match self.style {
            Style::Failing => self.env.random_below(5) == 0,
            Style::PerRecord => self.env.random_below(20) == 0,
            _ => false,
        };
        for index in 0..batch.records().len() {
            if fails && index == batch.records().len() / 2 {
                let why = "as its style has it";
                if self.style == Style::PerRecord && self.calls.is_multiple_of(2) {
                    // As a panic, but without a message on the screen.
                    std::panic::resume_unwind(Box::new(why));
                }
                return Err(why.into());
            }
            let record = &batch.records()[index];
            let place: Place = (record.sequence_number.clone(), record.sub_sequence_number);
            let id = parse(&record.data)?;
            self.oracle.delivered(&self.worker, id, &self.shard, place);
            if self.style == Style::PerRecord {
                self.env.sleep(Duration::from_millis(2)).await;
            }
            if let Some(position) = self.checkpoint_at(index, batch) {
                checkpointer.checkpoint(&position).await?;
                if !self.observed && self.style != Style::Behind {
                    let number = record.sequence_number.clone();
                    let checkpoint = Checkpoint::At(number, record.sub_sequence_number);
                    self.oracle
                        .checkpoint_accepted(&self.node, &self.shard, checkpoint);
                }
            }
        }
        Ok(())
    }
}

impl RecordProcessor for App {
    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        let worked = self.work(&batch, checkpointer).await;
        self.counted(worked)
    }

    async fn shard_ended(&mut self, end: ShardEnd) -> Result<EndAcked, BoxError> {
        let acked = end.checkpoint().await;
        let acked = self.counted(acked)?;
        if !self.observed {
            let checkpoint = Checkpoint::ShardEnd;
            self.oracle
                .checkpoint_accepted(&self.node, &self.shard, checkpoint);
        }
        Ok(acked)
    }

    async fn lease_lost(&mut self) {
        // A worker that gives a shard up because of its processor may fail to say so in the table.
        if self.failures >= DEFAULT_PROCESSOR_ATTEMPTS {
            return;
        }
        self.oracle.lease_lost(&self.worker, &self.shard);
    }
}
