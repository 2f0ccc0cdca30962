//! Polling: GetShardIterator, GetRecords, and what their failures mean.
//!
//! One task per shard, a little ahead of the processor. Nothing here ends a shard by inference: its
//! end is what the service says, with the children beside it. A shard that is merely missing is
//! waited for, loudly and with its lease kept: no other worker would find it, and the position is
//! there when it comes back.
//!
//! Whole requests are retried in the client (`client/src/retry`), entries of PutRecords in the
//! producer; reads are retried here and only here, at the pace of [`pace`](super::pace).

use std::time::{Duration, SystemTime};

use shardwise_client::retry::{Delays, RetryPolicy};
use shardwise_client::{
    ChildShard, Error, ErrorKind, GetRecordsOutput, IteratorPosition, Kinesis, Record,
    ShardIterator,
};
use shardwise_env::{Env, Instant};
use shardwise_types::{SequenceNumber, ShardId, StreamName, with_causes};
use tokio::sync::{mpsc, watch};

use super::command::ShardCommand;
use super::listing::ShardListing;
use super::pace::{Pace, Tip};
use crate::config::Config;
use crate::leases::LeaseHandle;
use crate::stats::StatsHandle;

/// Answers that wait for the processor, besides the one that it works on: one, so that fetching and
/// processing overlap. An answer has up to 10 MiB, and every shard of the worker has its own.
pub(crate) const ANSWERS_AHEAD: usize = 1;

/// Waits between reads that fail: a throttled shard answers again within the second, and a service
/// that is down is not helped by more than a call every two seconds for each shard.
const READ_RETRIES: RetryPolicy =
    RetryPolicy::never().schedule(Duration::from_millis(200), Duration::from_secs(2));

/// Waits between reads that are refused, for want of a permission, say: a human has to act, so
/// asking often is of no use, and records go on within this time once it is cured.
const REFUSED_RETRIES: RetryPolicy =
    RetryPolicy::never().schedule(Duration::from_secs(1), Duration::from_secs(30));

/// Failures in a row from which on the log calls for a human.
const LOUD_AFTER: u32 = 5;

/// How long the listing must lack a shard, and name its children all the same, before it is believed
/// to be forgotten. The children are the service's word that it was closed. The time outlasts a
/// listing that is behind or wrong for a while, which is what an outage of the service looks like;
/// it costs nothing, since what such a shard held is gone and its records are older than the
/// retention period, a day at least.
const ABSENT_FOR: Duration = Duration::from_secs(5 * 60);

/// What a fetch brings.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// Records, in order, behind all that came before.
    Records {
        records: Vec<Record>,
        behind_latest: Option<Duration>,
        /// When the answer was there: the records had arrived before.
        read: Instant,
    },
    /// There are no more records, and the service names these children. The last answer.
    Ended(Vec<ChildShard>),
    /// The stream is gone. The last answer.
    StreamDeleted,
}

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadFrom {
    TrimHorizon,
    Latest,
    AtTimestamp(SystemTime),
    /// At this Kinesis record, of which a part may be processed.
    At(SequenceNumber),
}

/// What is to be done next.
#[derive(Debug)]
enum Next {
    /// A read, with this iterator or with a new one.
    Read(Option<ShardIterator>),
    /// The service gave no next iterator, and named these children: the shard has ended.
    End(Vec<ChildShard>),
    /// The service gave no next iterator and named no child: the listing has to say what that means.
    FindChildren,
}

/// Reads one shard.
pub(crate) struct Fetcher {
    env: Env,
    /// With retries, for ListShards and DescribeStreamSummary.
    kinesis: Kinesis,
    /// Without: the pace retries.
    reads: Kinesis,
    stream: StreamName,
    shard_id: ShardId,
    max_records: u32,
    lease: LeaseHandle,
    command: watch::Receiver<ShardCommand>,
    stats: StatsHandle,
    /// Where the next iterator is to point.
    position: IteratorPosition,
    next: Next,
    pace: Pace,
    failures: u32,
    waits: Delays,
    refused_waits: Delays,
    /// Since when no listing and no read has shown the shard.
    absent_since: Option<Instant>,
}

impl Fetcher {
    pub(crate) fn new(
        kinesis: &Kinesis,
        config: &Config,
        lease: LeaseHandle,
        command: watch::Receiver<ShardCommand>,
        stats: StatsHandle,
        from: ReadFrom,
    ) -> Self {
        let env = kinesis.env().clone();
        Self {
            kinesis: kinesis.clone(),
            reads: kinesis.clone().with_data_path_retries(RetryPolicy::never()),
            stream: config.stream.clone(),
            shard_id: lease.shard_id().clone(),
            max_records: config.options.max_records,
            lease,
            command,
            stats,
            position: match from {
                ReadFrom::TrimHorizon => IteratorPosition::TrimHorizon,
                ReadFrom::Latest => IteratorPosition::Latest,
                ReadFrom::AtTimestamp(time) => IteratorPosition::AtTimestamp(time),
                ReadFrom::At(number) => IteratorPosition::AtSequenceNumber(number),
            },
            next: Next::Read(None),
            pace: Pace::new(config.options.idle_between_reads, env.now()),
            failures: 0,
            waits: READ_RETRIES.delays(&env),
            refused_waits: REFUSED_RETRIES.delays(&env),
            absent_since: None,
            env,
        }
    }

    /// Reads until the end of the shard, of the lease or of the receiver, or until the
    /// command to stop.
    pub(crate) async fn run(mut self, out: mpsc::Sender<Fetched>) {
        loop {
            // Room first: what is read has a place to go, and a slow processor holds the reads up.
            let Ok(room) = out.reserve().await else {
                return;
            };
            self.env.sleep_until(self.pace.next()).await;
            if self.lease.valid().await.is_err() || *self.command.borrow() == ShardCommand::Stop {
                return;
            }
            let Some(fetched) = self.step().await else {
                continue;
            };
            let is_last = !matches!(fetched, Fetched::Records { .. });
            room.send(fetched);
            if is_last {
                return;
            }
        }
    }

    /// One read, or one try to find out what follows the last.
    async fn step(&mut self) -> Option<Fetched> {
        let sent = self.env.now();
        match &mut self.next {
            Next::End(children) => Some(Fetched::Ended(std::mem::take(children))),
            Next::FindChildren => self.find_children(sent).await,
            Next::Read(_) => match self.read().await {
                Ok(output) => self.answered(sent, output),
                Err(error) => self.failed(sent, &error).await,
            },
        }
    }

    async fn read(&mut self) -> Result<GetRecordsOutput, Error> {
        if let Next::Read(Some(iterator)) = &self.next {
            return self.get_records(iterator).await;
        }
        let iterator = self
            .reads
            .get_shard_iterator(&self.stream, &self.shard_id, &self.position)
            .await?;
        let output = self.get_records(&iterator).await;
        if output.is_err() {
            self.next = Next::Read(Some(iterator));
        }
        output
    }

    async fn get_records(&self, iterator: &ShardIterator) -> Result<GetRecordsOutput, Error> {
        let max_records = Some(self.max_records);
        self.reads.get_records(iterator, max_records).await
    }

    fn answered(&mut self, sent: Instant, output: GetRecordsOutput) -> Option<Fetched> {
        self.recovered();
        let tip = match output.behind_latest {
            Some(behind) if behind.is_zero() => Tip::Reached,
            None if output.records.is_empty() => Tip::Reached,
            _ => Tip::Behind,
        };
        let bytes = output.records.iter().map(size).sum();
        self.pace.answered(sent, bytes, tip);
        if let Some(last) = output.records.last() {
            self.position = IteratorPosition::AfterSequenceNumber(last.sequence_number.clone());
        }
        self.next = match output.next_shard_iterator {
            Some(iterator) => Next::Read(Some(iterator)),
            None if output.child_shards.is_empty() => Next::FindChildren,
            None => Next::End(output.child_shards),
        };
        if !matches!(self.next, Next::Read(_)) {
            self.pace.skip(self.env.now());
        }
        (!output.records.is_empty()).then_some(Fetched::Records {
            records: output.records,
            behind_latest: output.behind_latest,
            read: self.env.now(),
        })
    }

    /// There was no next iterator, but no child either: only the listing can say what that means.
    async fn find_children(&mut self, sent: Instant) -> Option<Fetched> {
        match self.ask_listing().await {
            // The service gave no next iterator, and now it names the children.
            Ok(ShardListing::Closed(children) | ShardListing::Absent(children))
                if !children.is_empty() =>
            {
                return Some(Fetched::Ended(children));
            }
            Ok(ShardListing::StreamGone) => return Some(Fetched::StreamDeleted),
            // The listing lags behind the shard.
            Ok(ShardListing::Closed(_)) => {
                self.absent_since = None;
                self.wait(
                    sent,
                    "the shard is closed, but its children are not listed yet",
                );
            }
            Ok(ShardListing::Open) => {
                self.absent_since = None;
                self.next = Next::Read(None);
                self.wait(sent, "an open shard gave no next iterator");
            }
            Ok(ShardListing::Absent(children)) => return self.absent(sent, children),
            Err(error) => self.wait_after_error(sent, &error),
        }
        None
    }

    async fn failed(&mut self, sent: Instant, error: &Error) -> Option<Fetched> {
        match error.kind() {
            ErrorKind::ExpiredIterator => {
                self.stats.count(|stats| stats.expired_iterators += 1);
                self.next = Next::Read(None);
                self.pace.failed(sent, self.env.now(), Duration::ZERO);
                return None;
            }
            ErrorKind::ResourceNotFound => {
                self.next = Next::Read(None);
                return self.not_found(sent).await;
            }
            ErrorKind::Throttled => self.stats.count(|stats| stats.throttled += 1),
            _ => self.stats.count(|stats| stats.read_failures += 1),
        }
        if !error.is_retryable() {
            // A refused iterator stays refused; a new one may do.
            self.next = Next::Read(None);
        }
        self.wait_after_error(sent, error);
        None
    }

    /// A read says that there is no such shard or stream: that is not the shard's end.
    async fn not_found(&mut self, sent: Instant) -> Option<Fetched> {
        self.stats.count(|stats| stats.read_failures += 1);
        match self.ask_listing().await {
            Ok(ShardListing::StreamGone) => Some(Fetched::StreamDeleted),
            Ok(ShardListing::Absent(children)) => self.absent(sent, children),
            Ok(ShardListing::Open | ShardListing::Closed(_)) => {
                self.absent_since = None;
                self.wait(sent, "a shard that is listed was not found");
                None
            }
            Err(error) => {
                self.wait_after_error(sent, &error);
                None
            }
        }
    }

    /// The stream is there and lists its shards, but not this one. Either the listing is wrong, and
    /// the shard comes back; or it was closed longer ago than records are kept, and its children are
    /// all that is left of it. Only what names children for long enough is the latter: an end that
    /// is written too early skips records, one that is written late loses nothing.
    fn absent(&mut self, sent: Instant, children: Vec<ChildShard>) -> Option<Fetched> {
        let absent_for = sent - *self.absent_since.get_or_insert(sent);
        if !children.is_empty() && absent_for >= ABSENT_FOR {
            tracing::error!(
                "records of the shard are gone: it is older than the retention period, and only its \
                 children are listed"
            );
            return Some(Fetched::Ended(children));
        }
        self.failures += 1;
        let delay = self.refused_waits.next_delay();
        self.pace.failed(sent, self.env.now(), delay);
        tracing::error!(
            operation = "ListShards",
            attempt = self.failures,
            ?absent_for,
            children = children.len(),
            "could not read the shard, which is waited for: it is not listed, and its end was not read"
        );
        None
    }

    async fn ask_listing(&self) -> Result<ShardListing, Error> {
        ShardListing::ask(&self.kinesis, &self.stream, &self.shard_id).await
    }

    fn recovered(&mut self) {
        if self.failures > 0 {
            self.failures = 0;
            self.absent_since = None;
            self.waits = READ_RETRIES.delays(&self.env);
            self.refused_waits = REFUSED_RETRIES.delays(&self.env);
        }
    }

    fn wait(&mut self, sent: Instant, why: &'static str) {
        self.failures += 1;
        let delay = self.waits.next_delay();
        self.pace.failed(sent, self.env.now(), delay);
        let attempt = self.failures;
        tracing::warn!(
            attempt,
            "could not read the shard, which is tried again: {why}"
        );
    }

    fn wait_after_error(&mut self, sent: Instant, error: &Error) {
        self.failures += 1;
        let delay = if error.is_retryable() {
            self.waits.next_delay()
        } else {
            self.refused_waits.next_delay()
        };
        self.pace.failed(sent, self.env.now(), delay);
        let (attempt, operation) = (self.failures, error.operation());
        let cause = with_causes(error);
        if attempt < LOUD_AFTER && error.is_retryable() {
            tracing::warn!(operation, attempt, "could not read the shard: {cause}");
        } else {
            tracing::error!(operation, attempt, "could not read the shard: {cause}");
        }
    }
}

/// What the service counts of a record.
fn size(record: &Record) -> usize {
    let key = record
        .partition_key
        .as_ref()
        .map_or(0, |key| key.as_str().len());
    record.data.len() + key
}
