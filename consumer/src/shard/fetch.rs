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
    ChildShard, Error, ErrorKind, GetRecordsOutput, IteratorPosition, Kinesis, Record, ShardFilter,
    ShardIterator,
};
use shardwise_env::{Env, Instant};
use shardwise_types::{SequenceNumber, Shard, ShardId, StreamName};
use tokio::sync::{mpsc, watch};

use super::pace::{Pace, Tip};
use super::run::Orders;
use crate::config::Config;
use crate::leases::LeaseHandle;
use crate::stats::Stats;
use crate::stream::{is_gone, may_be_gone};

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
    orders: watch::Receiver<Orders>,
    stats: Stats,
    /// Where the next iterator is to point.
    position: IteratorPosition,
    iterator: Option<ShardIterator>,
    /// The service gave no next iterator, and named these children; perhaps none.
    end: Option<Vec<ChildShard>>,
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
        orders: watch::Receiver<Orders>,
        stats: Stats,
        from: ReadFrom,
    ) -> Self {
        let env = kinesis.env().clone();
        Self {
            kinesis: kinesis.clone(),
            reads: kinesis.clone().with_data_path_retries(RetryPolicy::never()),
            stream: config.stream.clone(),
            shard_id: lease.shard_id().clone(),
            max_records: config.max_records,
            lease,
            orders,
            stats,
            position: match from {
                ReadFrom::TrimHorizon => IteratorPosition::TrimHorizon,
                ReadFrom::Latest => IteratorPosition::Latest,
                ReadFrom::AtTimestamp(time) => IteratorPosition::AtTimestamp(time),
                ReadFrom::At(number) => IteratorPosition::AtSequenceNumber(number),
            },
            iterator: None,
            end: None,
            pace: Pace::new(config.idle_between_reads, env.now()),
            failures: 0,
            waits: READ_RETRIES.delays(&env),
            refused_waits: REFUSED_RETRIES.delays(&env),
            absent_since: None,
            env,
        }
    }

    /// Reads until the end of the shard, of the lease or of the receiver, or until it is told to
    /// stop.
    pub(crate) async fn run(mut self, out: mpsc::Sender<Fetched>) {
        loop {
            // Room first: what is read has a place to go, and a slow processor holds the reads up.
            let Ok(room) = out.reserve().await else {
                return;
            };
            self.env.sleep_until(self.pace.next()).await;
            if self.lease.valid().await.is_err() || *self.orders.borrow() == Orders::Stop {
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
        match self.end.take() {
            Some(children) if !children.is_empty() => Some(Fetched::Ended(children)),
            Some(_) => self.look_for_children(sent).await,
            None => match self.read().await {
                Ok(output) => self.answered(sent, output),
                Err(error) => self.failed(sent, &error).await,
            },
        }
    }

    async fn read(&mut self) -> Result<GetRecordsOutput, Error> {
        let iterator = match &self.iterator {
            Some(iterator) => iterator,
            None => {
                let iterator = self
                    .reads
                    .get_shard_iterator(&self.stream, &self.shard_id, &self.position)
                    .await?;
                self.iterator.insert(iterator)
            }
        };
        self.reads
            .get_records(iterator, Some(self.max_records))
            .await
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
        if output.next_shard_iterator.is_none() {
            self.end = Some(output.child_shards);
            // What comes next is no read, or a listing.
            self.pace.skip(self.env.now());
        }
        self.iterator = output.next_shard_iterator;
        (!output.records.is_empty()).then_some(Fetched::Records {
            records: output.records,
            behind_latest: output.behind_latest,
        })
    }

    /// There was no next iterator, but no child either: only the listing can say what that means.
    async fn look_for_children(&mut self, sent: Instant) -> Option<Fetched> {
        match self.fate().await {
            Ok(Fate::Closed(children)) if !children.is_empty() => Some(Fetched::Ended(children)),
            // The service gave no next iterator, and now it names the children.
            Ok(Fate::Absent(children)) if !children.is_empty() => Some(Fetched::Ended(children)),
            // The listing lags behind the shard.
            Ok(Fate::Closed(_)) => {
                self.absent_since = None;
                self.end = Some(Vec::new());
                self.wait(
                    sent,
                    "the shard is closed, but its children are not listed yet",
                );
                None
            }
            Ok(Fate::Open) => {
                self.absent_since = None;
                self.wait(sent, "an open shard gave no next iterator");
                None
            }
            Ok(Fate::Absent(children)) => {
                self.end = Some(Vec::new());
                self.absent(sent, children)
            }
            Ok(Fate::StreamGone) => Some(Fetched::StreamDeleted),
            Err(error) => {
                self.end = Some(Vec::new());
                self.wait_after_error(sent, &error);
                None
            }
        }
    }

    async fn failed(&mut self, sent: Instant, error: &Error) -> Option<Fetched> {
        match error.kind() {
            ErrorKind::ExpiredIterator => {
                self.stats.count(|stats| stats.expired_iterators += 1);
                self.iterator = None;
                self.pace.failed(sent, self.env.now(), Duration::ZERO);
                return None;
            }
            ErrorKind::ResourceNotFound => {
                self.iterator = None;
                return self.not_found(sent).await;
            }
            ErrorKind::Throttled => self.stats.count(|stats| stats.throttled += 1),
            _ => self.stats.count(|stats| stats.read_failures += 1),
        }
        if !error.is_retryable() {
            // A refused iterator stays refused; a new one may do.
            self.iterator = None;
        }
        self.wait_after_error(sent, error);
        None
    }

    /// A read says that there is no such shard or stream: that is not the shard's end.
    async fn not_found(&mut self, sent: Instant) -> Option<Fetched> {
        self.stats.count(|stats| stats.read_failures += 1);
        match self.fate().await {
            Ok(Fate::StreamGone) => Some(Fetched::StreamDeleted),
            Ok(Fate::Absent(children)) => self.absent(sent, children),
            Ok(Fate::Open | Fate::Closed(_)) => {
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
        let (stream, shard_id) = (&self.stream, &self.shard_id);
        let absent_for = sent - *self.absent_since.get_or_insert(sent);
        if !children.is_empty() && absent_for >= ABSENT_FOR {
            tracing::error!(
                %stream,
                %shard_id,
                "the shard is older than the retention period: what was not read is gone"
            );
            return Some(Fetched::Ended(children));
        }
        self.failures += 1;
        let delay = self.refused_waits.next_delay();
        self.pace.failed(sent, self.env.now(), delay);
        tracing::error!(
            %stream,
            %shard_id,
            attempt = self.failures,
            ?absent_for,
            children = children.len(),
            "the stream does not list the shard, whose end was not read: waiting for it"
        );
        None
    }

    /// What the service's listing says about the shard.
    async fn fate(&self) -> Result<Fate, Error> {
        match self
            .kinesis
            .list_shards(&self.stream, ShardFilter::All)
            .await
        {
            Ok(shards) => Ok(Fate::of(&self.shard_id, &shards)),
            Err(error) if may_be_gone(&error) => {
                match is_gone(&self.kinesis, &self.stream).await? {
                    true => Ok(Fate::StreamGone),
                    false => Err(error),
                }
            }
            Err(error) => Err(error),
        }
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
        tracing::warn!(stream = %self.stream, shard_id = %self.shard_id, attempt = self.failures, why, "odd answer");
    }

    fn wait_after_error(&mut self, sent: Instant, error: &Error) {
        self.failures += 1;
        let delay = if error.is_retryable() {
            self.waits.next_delay()
        } else {
            self.refused_waits.next_delay()
        };
        self.pace.failed(sent, self.env.now(), delay);
        let (stream, shard_id, attempt) = (&self.stream, &self.shard_id, self.failures);
        if attempt < LOUD_AFTER && error.is_retryable() {
            tracing::warn!(%stream, %shard_id, attempt, %error, "could not read the shard");
        } else {
            tracing::error!(%stream, %shard_id, attempt, %error, "could not read the shard");
        }
    }
}

/// What a listing says about a shard.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Open,
    /// Closed, with these children.
    Closed(Vec<ChildShard>),
    /// Not listed, though there are others; these call it their parent.
    Absent(Vec<ChildShard>),
    StreamGone,
}

impl Fate {
    fn of(shard_id: &ShardId, shards: &[Shard]) -> Self {
        let children = || {
            shards
                .iter()
                .filter(|shard| shard.parents().any(|parent| parent == shard_id))
                .map(child)
                .collect()
        };
        match shards.iter().find(|shard| shard.shard_id == *shard_id) {
            Some(shard) if shard.is_open() => Self::Open,
            Some(_) => Self::Closed(children()),
            None => Self::Absent(children()),
        }
    }
}

fn child(shard: &Shard) -> ChildShard {
    let parents = shard.parents().cloned().collect();
    ChildShard::new(shard.shard_id.clone(), parents, shard.hash_key_range)
}

/// What the service counts of a record.
fn size(record: &Record) -> usize {
    let key = record
        .partition_key
        .as_ref()
        .map_or(0, |key| key.as_str().len());
    record.data.len() + key
}

#[cfg(test)]
mod tests {
    use shardwise_types::HashKeyRange;

    use super::*;

    fn shard(number: u32, parents: &[u32], is_open: bool) -> Shard {
        let mut shard = Shard::new(
            ShardId::from_number(number),
            HashKeyRange::FULL,
            "1".parse().unwrap(),
        );
        let mut parents = parents.iter().map(|parent| ShardId::from_number(*parent));
        shard.parent_shard_id = parents.next();
        shard.adjacent_parent_shard_id = parents.next();
        shard.ending_sequence_number = (!is_open).then(|| "9".parse().unwrap());
        shard
    }

    fn children(fate: Fate) -> Vec<(u32, usize)> {
        let (Fate::Closed(children) | Fate::Absent(children)) = fate else {
            return Vec::new();
        };
        let child =
            |child: ChildShard| (child.shard_id.number().unwrap(), child.parent_shards.len());
        children.into_iter().map(child).collect()
    }

    #[test]
    fn the_listing_tells_an_open_shard_from_a_closed_and_a_forgotten_one() {
        let one = ShardId::from_number(1);
        let open = [shard(0, &[], true), shard(1, &[], true)];
        assert_eq!(Fate::of(&one, &open), Fate::Open);

        let merged = [
            shard(0, &[], false),
            shard(1, &[], false),
            shard(2, &[0, 1], true),
        ];
        assert_eq!(children(Fate::of(&one, &merged)), [(2, 2)]);

        let late = [shard(0, &[], false), shard(1, &[], false)];
        assert_eq!(Fate::of(&one, &late), Fate::Closed(Vec::new()));

        let forgotten = [shard(2, &[1], true), shard(3, &[1], true)];
        assert!(matches!(Fate::of(&one, &forgotten), Fate::Absent(_)));
        assert_eq!(children(Fate::of(&one, &forgotten)), [(2, 1), (3, 1)]);
    }
}
