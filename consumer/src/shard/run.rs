//! The life of one shard at this worker: wait for the parents, start the processor, fetch, process,
//! end, leave.
//!
//! One task per shard owns all of it: the processor, the fetcher's task and the lease's renewals. It decides
//! nothing about leases; it asks the [`LeaseHandle`] before each batch whether the shard is still its
//! own.

use std::sync::Arc;
use std::time::Duration;

use shardwise_client::retry::{Delays, RetryPolicy};
use shardwise_client::{ChildShard, Kinesis, Record};
use shardwise_env::{Env, Instant, Task};
use shardwise_types::with_causes;
use tokio::sync::{mpsc, watch};
use tracing::Instrument as _;

use super::calls::{CallError, Calls, Factory};
use super::command::ShardCommand;
use super::deaggregate::{Counts, Deaggregator, Unpacked};
use super::fetch::{ANSWERS_AHEAD, Fetched, Fetcher, ReadFrom};
use super::state::{AfterFailure, FailedAt, Failures, ShardState};
use crate::checkpoint::{Checkpointer, ShardEnd};
use crate::config::{Config, InitialPosition};
use crate::leases::{Checkpoint, LeaseEnd, LeaseHandle};
use crate::position::Position;
use crate::processor::{RecordProcessor, ShardInfo};
use crate::record::Batch;
use crate::record_distribution::RecordDistribution;
use crate::shard_sync::{ShardSyncError, lease_parents};
use crate::stats::StatsHandle;

/// What a shard's task is made of.
pub(crate) struct ShardRun<P> {
    pub(crate) env: Env,
    pub(crate) kinesis: Kinesis,
    pub(crate) config: Arc<Config>,
    pub(crate) info: ShardInfo,
    pub(crate) lease: LeaseHandle,
    #[expect(
        dead_code,
        reason = "held to be dropped: the renewals end with the shard"
    )]
    pub(crate) renewals: Task<()>,
    pub(crate) factory: Factory<P>,
    pub(crate) stats: StatsHandle,
    pub(crate) distribution: RecordDistribution,
    pub(crate) command: watch::Receiver<ShardCommand>,
}

/// How far one processor came.
enum Consumed {
    /// To the end of the shard, which these follow.
    All(Vec<ChildShard>),
    /// It is gone, by a panic: what is behind the checkpoint is for a new one.
    Again,
}

/// The moving parts.
struct Run<P> {
    parts: ShardRun<P>,
    calls: Calls<P>,
    failures: Failures,
    waits: Delays,
    /// Whether it was said that members of aggregates are left out.
    has_left_out: bool,
}

impl<P: RecordProcessor> ShardRun<P> {
    /// Runs until the shard has ended or is no longer this worker's.
    pub(crate) async fn run(self) -> LeaseEnd {
        let checkpointer = Checkpointer::new(self.lease.clone(), self.stats.clone());
        let mut run = Run {
            calls: Calls::new(self.env.clone(), checkpointer),
            failures: Failures::new(self.config.options.processor_attempts),
            waits: processor_retries().delays(&self.env),
            has_left_out: false,
            parts: self,
        };
        let reason = run.live().await;
        run.leave(reason).await
    }

    async fn pause(&self, delay: Duration) -> Result<(), LeaseEnd> {
        tokio::select! {
            biased;
            end = self.interrupted() => Err(end),
            () = self.env.sleep(delay) => Ok(()),
        }
    }

    /// Makes sure that all parents of the children have leases. Whatever hinders that is no failure of
    /// the processor, so the processor is not called before.
    async fn lease_parents(&self, children: &[ChildShard]) -> Result<(), LeaseEnd> {
        let mut waits = processor_retries().delays(&self.env);
        loop {
            let result = tokio::select! {
                biased;
                end = self.interrupted() => return Err(end),
                result = lease_parents(&self.kinesis, &self.config, &self.lease, children) => result,
            };
            let shard_id = &self.info.shard_id;
            match result {
                Ok(()) => return Ok(()),
                Err(ShardSyncError::StreamGone) => return Err(LeaseEnd::StreamDeleted),
                // Another worker may have the permission.
                Err(error) if error.is_refused() => {
                    tracing::error!(%shard_id, %error, "the shard is given up at its end");
                    return Err(LeaseEnd::GivenUp);
                }
                Err(error) => {
                    tracing::warn!(%shard_id, %error, "could not lease the other parents");
                }
            }
            self.pause(waits.next_delay()).await?;
        }
    }

    /// Resolves when the shard is not to go on here, with the reason to let the lease go.
    async fn interrupted(&self) -> LeaseEnd {
        let mut command = self.command.clone();
        tokio::select! {
            biased;
            end = self.lease.gone() => end,
            _ = command.wait_for(|command| *command == ShardCommand::Stop) => LeaseEnd::Released,
        }
    }
}

/// Waits between the tries of a processor's call: the client's schedule for slow operations. What a
/// processor fails on is mostly a service behind it.
fn processor_retries() -> RetryPolicy {
    RetryPolicy::control_plane()
}

impl<P: RecordProcessor> Run<P> {
    async fn live(&mut self) -> LeaseEnd {
        loop {
            match self.turn().await {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    /// One processor's turn. Returns only when another one has to go on.
    async fn turn(&mut self) -> Result<(), LeaseEnd> {
        self.wait_for_parents().await?;
        self.start().await?;
        match self.consume().await? {
            Consumed::All(children) => self.end(children).await,
            Consumed::Again => Ok(()),
        }
    }

    async fn wait_for_parents(&mut self) -> Result<(), LeaseEnd> {
        if *self.parts.command.borrow() == ShardCommand::Wait {
            self.enter(ShardState::WaitingForParents);
            let mut command = self.parts.command.clone();
            tokio::select! {
                biased;
                end = self.parts.interrupted() => return Err(end),
                _ = command.wait_for(|command| *command >= ShardCommand::Process) => {}
            }
        }
        Ok(())
    }

    async fn start(&mut self) -> Result<(), LeaseEnd> {
        self.enter(ShardState::Starting);
        while !self.calls.is_started() {
            self.ready().await?;
            let from = self.checkpointed();
            let ShardRun { factory, info, .. } = &self.parts;
            if let Err(error) = self.calls.start(factory, info, from).await {
                self.failed(&error, FailedAt::Start).await?;
            }
        }
        Ok(())
    }

    /// Reads and processes behind the checkpoint.
    async fn consume(&mut self) -> Result<Consumed, LeaseEnd> {
        self.enter(ShardState::Processing);
        let (answers, mut fetched) = mpsc::channel(ANSWERS_AHEAD);
        let fetcher = Fetcher::new(
            &self.parts.kinesis,
            &self.parts.config,
            self.parts.lease.clone(),
            self.parts.command.clone(),
            self.parts.stats.clone(),
            self.start_of_reading(),
        );
        let mut after = self.checkpointed();
        let fetching = self.parts.env.spawn(fetcher.run(answers).in_current_span());
        loop {
            let next = tokio::select! {
                biased;
                end = self.parts.interrupted() => return Err(end),
                // Cancel safe: an answer stays in the channel.
                next = fetched.recv() => next,
            };
            match next {
                Some(Fetched::Records {
                    records,
                    behind_latest,
                    read,
                }) => {
                    let mut answer = self.unpack(records, after.clone());
                    while let Some(batch) = self.next_batch(&mut answer, read).await? {
                        let batch = batch.with_behind_latest(behind_latest);
                        after = Some(batch.end().clone());
                        if self.deliver(&batch).await? == Delivered::ProcessorGone {
                            return Ok(Consumed::Again);
                        }
                    }
                }
                Some(Fetched::Ended(children)) => return Ok(Consumed::All(children)),
                Some(Fetched::StreamDeleted) => return Err(LeaseEnd::StreamDeleted),
                // The fetcher leaves without a word only when this task is about to.
                None => {
                    if let Err(error) = fetching.await {
                        tracing::error!(
                            "the task that reads the shard ended, the shard is given up: {error}"
                        );
                        return Err(LeaseEnd::GivenUp);
                    }
                    return Err(self.parts.interrupted().await);
                }
            }
        }
    }

    fn unpack(&self, records: Vec<Record>, after: Option<Position>) -> Deaggregator {
        let ShardRun {
            info, distribution, ..
        } = &self.parts;
        let range = info
            .hash_key_range
            .filter(|_| distribution.may_be_by_partition_key());
        Deaggregator::new(info.shard_id.clone(), records, after, range)
    }

    /// The next records of an answer that was there at `read`.
    async fn next_batch(
        &mut self,
        answer: &mut Deaggregator,
        read: Instant,
    ) -> Result<Option<Batch>, LeaseEnd> {
        let max = self.parts.config.options.max_records;
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        loop {
            match answer.next_batch(max) {
                Unpacked::Records(records) => {
                    self.count(answer.take_counts());
                    return Ok(Batch::from_read(records));
                }
                Unpacked::DistributionNeeded => {
                    let by_partition_key = tokio::select! {
                        biased;
                        end = self.parts.interrupted() => return Err(end),
                        known = self.parts.distribution.was_by_partition_key(read) => known,
                    };
                    answer.filter(by_partition_key);
                }
            }
        }
    }

    fn count(&mut self, counts: Counts) {
        self.parts.stats.count(|stats| {
            stats.filtered += counts.filtered;
            stats.corrupt += counts.corrupt;
        });
        if let Some(partition_key) = counts.example
            && !std::mem::replace(&mut self.has_left_out, true)
        {
            tracing::warn!(
                %partition_key,
                "members of aggregates are left out, as a KCL does: their hash keys belong to other shards"
            );
        }
    }

    /// Brings one batch to the processor, again and again if need be.
    async fn deliver(&mut self, batch: &Batch) -> Result<Delivered, LeaseEnd> {
        loop {
            self.ready().await?;
            let attempt = self.failures.next_attempt();
            let Err(error) = self
                .calls
                .process(batch.clone().with_attempt(attempt))
                .await
            else {
                self.parts.stats.count(|stats| {
                    stats.batches += 1;
                    stats.records += batch.records().len() as u64;
                });
                if self.failures.accepted(batch.end()) {
                    self.waits = processor_retries().delays(&self.parts.env);
                }
                return Ok(Delivered::Accepted);
            };
            self.failed(&error, FailedAt::Batch(batch.end().clone()))
                .await?;
            if !self.calls.is_started() {
                return Ok(Delivered::ProcessorGone);
            }
        }
    }

    /// Every record is processed: the processor has the last word.
    async fn end(&mut self, children: Vec<ChildShard>) -> Result<(), LeaseEnd> {
        self.enter(ShardState::Ending);
        let children: Arc<[ChildShard]> = children.into();
        while self.calls.is_started() {
            self.parts.lease_parents(&children).await?;
            self.ready().await?;
            let ShardRun { lease, stats, .. } = &self.parts;
            let end = ShardEnd::new(lease.clone(), stats.clone(), children.clone());
            match self.calls.shard_ended(end).await {
                Ok(acked) if acked.shard_id == self.parts.info.shard_id => {
                    return Err(LeaseEnd::ShardEnded);
                }
                Ok(acked) => {
                    let error = format!("it acknowledged the end of {} instead", acked.shard_id);
                    self.failed(&CallError::Failed(error.into()), FailedAt::End)
                        .await?;
                }
                Err(error) => self.failed(&error, FailedAt::End).await?,
            }
        }
        // A new processor has not seen what lies behind the checkpoint.
        Ok(())
    }

    /// Waits until the lease is good for another step. There is none behind the shard's end: once
    /// that is checkpointed the shard is done, whatever its processor says or does afterwards.
    async fn ready(&mut self) -> Result<(), LeaseEnd> {
        if self.parts.lease.is_ended() {
            return Err(LeaseEnd::ShardEnded);
        }
        tokio::select! {
            biased;
            _ = self.parts.command.wait_for(|command| *command == ShardCommand::Stop) => Err(LeaseEnd::Released),
            valid = self.parts.lease.valid() => valid,
        }
    }

    /// Counts a failure of the processor, and waits for the next try.
    async fn failed(&mut self, error: &CallError, at: FailedAt) -> Result<(), LeaseEnd> {
        let is_ended = self.parts.lease.is_ended();
        // A processor that fails because its lease is lost has not failed.
        if let Some(end) = self.parts.lease.lost()
            && !is_ended
        {
            return Err(end);
        }
        self.parts
            .stats
            .count(|stats| stats.processor_failures += 1);
        let cause = with_causes(error);
        if is_ended {
            tracing::warn!("the processor failed after its shard's end was checkpointed: {cause}");
            return Err(LeaseEnd::ShardEnded);
        }
        match self.failures.failed(at) {
            AfterFailure::Again(attempt) => {
                tracing::warn!(attempt, "the processor failed and is called again: {cause}");
                let delay = self.waits.next_delay();
                self.parts.pause(delay).await
            }
            AfterFailure::GiveUp => {
                tracing::error!("the processor failed too often, the shard is given up: {cause}");
                Err(LeaseEnd::GivenUp)
            }
        }
    }

    /// Says good-bye to the processor and lets the lease go, for this reason. Gives what became of it.
    async fn leave(mut self, reason: LeaseEnd) -> LeaseEnd {
        self.enter(ShardState::Stopping);
        // The end may have been checkpointed in the very moment of the order to stop.
        let reason = if self.parts.lease.is_ended() {
            LeaseEnd::ShardEnded
        } else {
            reason
        };
        let end = match &reason {
            LeaseEnd::Released | LeaseEnd::StreamDeleted => {
                self.say_goodbye().await;
                self.release(&reason).await
            }
            LeaseEnd::GivenUp => self.release(&reason).await,
            reason => reason.clone(),
        };
        // After the good-bye there is no call, whatever became of the lease meanwhile.
        if (reason.is_lost() || reason == LeaseEnd::GivenUp)
            && self.calls.is_started()
            && let Err(error) = self.calls.lease_lost().await
        {
            self.complain(&error);
        }
        self.parts.stats.left(self.parts.lease.key(), end.clone());
        end
    }

    /// The processor's last call, while the lease is good.
    async fn say_goodbye(&mut self) {
        if self.calls.is_started()
            && self.parts.lease.valid().await.is_ok()
            && let Err(error) = self.calls.shutting_down().await
        {
            self.complain(&error);
        }
    }

    async fn release(&mut self, reason: &LeaseEnd) -> LeaseEnd {
        match self.parts.lease.release().await {
            lost if lost.is_lost() => lost,
            LeaseEnd::Abandoned if *reason == LeaseEnd::Released => LeaseEnd::Abandoned,
            _ => reason.clone(),
        }
    }

    fn complain(&self, error: &CallError) {
        self.parts
            .stats
            .count(|stats| stats.processor_failures += 1);
        tracing::warn!("the processor's last call failed: {}", with_causes(error));
    }

    fn enter(&self, state: ShardState) {
        self.parts.stats.entered(self.parts.lease.key(), state);
    }

    fn checkpointed(&self) -> Option<Position> {
        match self.parts.lease.checkpointed() {
            Checkpoint::At {
                sequence_number,
                sub_sequence,
            } => {
                let shard_id = self.parts.info.shard_id.clone();
                Some(Position::new(shard_id, sequence_number, sub_sequence))
            }
            _ => None,
        }
    }

    fn start_of_reading(&self) -> ReadFrom {
        let lease = &self.parts.lease;
        match lease.checkpointed() {
            Checkpoint::At {
                sequence_number, ..
            } => ReadFrom::At(sequence_number),
            Checkpoint::Latest => lease
                .started_at()
                .map_or(ReadFrom::Latest, ReadFrom::AtTimestamp),
            Checkpoint::AtTimestamp => match self.parts.config.options.initial_position {
                InitialPosition::AtTimestamp(time) => ReadFrom::AtTimestamp(time),
                // The row does not hold the time, and this worker is not set to it: rather all
                // records than too few.
                InitialPosition::TrimHorizon | InitialPosition::Latest => ReadFrom::TrimHorizon,
            },
            Checkpoint::TrimHorizon | Checkpoint::ShardEnd => ReadFrom::TrimHorizon,
        }
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivered {
    Accepted,
    ProcessorGone,
}
