//! What is known of the stream: its shards, how it spreads records over them, how large they may
//! be, and when to ask again. Pure: [`fetch`](crate::fetch) makes the calls, the engine acts.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use shardwise_client::{Error, ErrorKind, StreamSummary};
use shardwise_env::Instant;
use shardwise_types::limits::{RECORD_MAX_BYTES, RECORD_MAX_BYTES_DEFAULT};

use crate::error::is_passing;
use crate::fetch::Fetched;
use crate::refresh::Refresh;
use crate::settings::ProducerSettings;
use crate::shard_map::{Routing, ShardMap};
use crate::stats::AggregationOff;
use crate::stream_cache::{REFUSED_SPACING, Wanted};

/// Between two questions whether the stream takes larger records by now: a refused record asks.
const LIMIT_SPACING: Duration = Duration::from_secs(1);

/// Whether these are the creations of two streams: the encodings round one time differently.
fn are_apart(one: SystemTime, other: SystemTime) -> bool {
    let distance = one.duration_since(other);
    distance.unwrap_or_else(|earlier| earlier.duration()) >= Duration::from_millis(500)
}

/// What is known of the stream.
#[derive(Debug)]
pub(crate) struct StreamInfo {
    aggregation: bool,
    assume_partition_key_distribution: bool,
    /// What the application says a record may have.
    record_limit_set: Option<usize>,
    max_buffered_bytes: usize,
    max_age: Duration,
    /// The last good map, whether it routes or not: it also says whether consumers can read what
    /// was stored.
    map: Option<Arc<ShardMap>>,
    /// When the fetch began that brought it.
    map_begun: Instant,
    distribution: Distribution,
    /// When the stream was created, if it has said so.
    created: Option<SystemTime>,
    /// What the stream says a record may have, if it has said so.
    record_limit: Option<usize>,
    /// When the stream described itself last.
    described_at: Option<Instant>,
    /// A record was refused by what the stream said: it may take larger ones by now.
    limit_doubted: bool,
    refresh: Refresh,
    /// Whether a fetch has ended, in whatever way.
    asked: bool,
    /// The service has said that there is no such stream, and nothing else since.
    gone: bool,
    /// Why the last listing failed, if it did.
    error: Option<Error>,
    /// Why the last description failed, if it did.
    description_error: Option<Error>,
}

/// How the stream spreads records over its shards, as far as it has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Distribution {
    Unknown,
    ByPartitionKey,
    Auto,
}

/// What a fetch means for the records.
#[derive(Debug)]
pub(crate) enum News {
    /// Nothing yet: the last good map serves on; without one records are held.
    Nothing,
    /// There is no such stream, or none any more: what is held is refused.
    NoStream(Error),
    /// The stream was created again since the last description: what was known is forgotten, and
    /// records are held for the next fetch.
    CreatedAgain,
    /// There may be another routing. If the news are incomplete, another fetch will follow soon.
    Routing { complete: bool },
}

impl StreamInfo {
    pub(crate) fn new(settings: &ProducerSettings, now: Instant) -> Self {
        Self {
            aggregation: settings.aggregation,
            assume_partition_key_distribution: settings.assume_partition_key_distribution,
            record_limit_set: settings.max_record_bytes,
            max_buffered_bytes: settings.max_buffered_bytes,
            max_age: settings.shard_map_refresh,
            map: None,
            map_begun: now,
            distribution: Distribution::Unknown,
            created: None,
            record_limit: None,
            described_at: None,
            limit_doubted: false,
            refresh: Refresh::new(settings.shard_map_refresh, now),
            asked: false,
            gone: false,
            error: None,
            description_error: None,
        }
    }

    pub(crate) fn map(&self) -> Option<&ShardMap> {
        self.map.as_deref()
    }

    /// When the fetch began that brought the map.
    pub(crate) fn map_begun(&self) -> Instant {
        self.map_begun
    }

    /// Why the last listing failed, if it did.
    pub(crate) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Why the last fetch was not complete, if it was not.
    pub(crate) fn last_failure(&self) -> Option<&Error> {
        self.error.as_ref().or(self.description_error.as_ref())
    }

    /// Bytes that a record may have. Until the stream has said what it takes, nothing is refused
    /// that some stream takes.
    pub(crate) fn record_limit(&self) -> usize {
        self.record_limit_set
            .or(self.record_limit)
            .unwrap_or(RECORD_MAX_BYTES)
            .min(self.max_buffered_bytes)
    }

    /// Where records go, and why they are not aggregated, if they are not.
    pub(crate) fn routing(&self) -> (Routing, Option<AggregationOff>) {
        let assumed = self.assume_partition_key_distribution;
        let off = match (self.distribution, &self.map) {
            // Records that travel alone need no map.
            _ if !self.aggregation => AggregationOff::Disabled,
            (Distribution::Auto, _) => AggregationOff::AutoDistribution,
            (_, None) if !self.asked || self.gone => return (Routing::Unknown, None),
            (Distribution::Unknown, _) if !assumed => AggregationOff::DistributionUnknown,
            (_, None) => AggregationOff::ShardsUnknown,
            (_, Some(map)) => return (Routing::Aggregate(map.clone()), None),
        };
        (Routing::Loose, Some(off))
    }

    /// Something happened that only a newer map can explain.
    pub(crate) fn need_map(&mut self, now: Instant) {
        self.refresh.need(now);
    }

    /// A map is needed, and the last one was of no use.
    pub(crate) fn need_map_after(&mut self, now: Instant, delay: Duration) {
        self.refresh.failed(now, delay);
    }

    /// A record was refused because it is larger than the stream said: asks whether that still
    /// holds.
    pub(crate) fn doubt_record_limit(&mut self, now: Instant) {
        let lately = |at| now < at + LIMIT_SPACING;
        let discovered = self.record_limit_set.is_none() && self.record_limit.is_some();
        if discovered && !self.described_at.is_some_and(lately) && !self.limit_doubted {
            self.limit_doubted = true;
            self.refresh.need(now);
        }
    }

    /// The service knows no such stream: nothing that is known holds for the one that may be
    /// created under its name.
    pub(crate) fn forget(&mut self, now: Instant) {
        self.map = None;
        self.distribution = Distribution::Unknown;
        self.created = None;
        self.record_limit = None;
        self.asked = false;
        self.gone = true;
        self.refresh.need(now);
    }

    /// Whether a fetch is to begin now; if so it counts as begun.
    pub(crate) fn begin_fetch(&mut self, now: Instant, outstanding: usize) -> bool {
        self.is_wanted(outstanding) && self.refresh.begin(now)
    }

    /// What would serve the fetch that has just begun.
    pub(crate) fn wanted(&self, now: Instant, closed: bool) -> Wanted {
        Wanted {
            since: self.refresh.since(now),
            closed,
        }
    }

    /// When the next fetch is to begin.
    pub(crate) fn next_fetch(&self, outstanding: usize) -> Option<Instant> {
        self.refresh.due().filter(|_| self.is_wanted(outstanding))
    }

    /// Until when aggregates may be opened without another look at the stream.
    pub(crate) fn fresh_until(&self) -> Option<Instant> {
        self.refresh.fresh_until()
    }

    /// The first fetch is for the records to come; later ones need a reason.
    fn is_wanted(&self, outstanding: usize) -> bool {
        outstanding > 0 || !self.asked || self.limit_doubted
    }

    /// A fetch has ended; `None` if it brought nothing at all. `delay` is how long to wait before
    /// another if this one was of no use, `random` a number from 0 to 1.
    pub(crate) fn on_fetched(
        &mut self,
        fetched: Option<&Fetched>,
        now: Instant,
        delay: Duration,
        random: f64,
    ) -> News {
        self.asked = true;
        self.limit_doubted = false;
        let Some(fetched) = fetched else {
            self.refresh.failed(now, delay);
            return News::Nothing;
        };
        let before = self.created;
        if let Some(created) = fetched.created()
            && before.is_some_and(|before| are_apart(before, created))
        {
            // The listing that came with it may be of either stream.
            self.refresh.succeeded(fetched.begun, now, random);
            self.forget(now);
            self.created = Some(created);
            return News::CreatedAgain;
        }
        self.on_described(fetched.summary.as_ref(), fetched.begun);
        match &fetched.shards {
            // A stream that is being made has no shards yet.
            Ok(map) if map.open().is_empty() => {
                self.refresh.failed(now, delay);
                News::Nothing
            }
            Ok(map) => {
                self.map = Some(map.clone());
                self.map_begun = fetched.begun;
                self.error = None;
                self.gone = false;
                let complete = fetched.is_described();
                if complete {
                    self.refresh.succeeded(fetched.begun, now, random);
                } else {
                    self.refresh.failed(now, delay);
                }
                News::Routing { complete }
            }
            Err(error) => self.on_not_listed(error.clone(), now, delay),
        }
    }

    /// Notes what the stream says of itself.
    fn on_described(&mut self, summary: Option<&Result<StreamSummary, Error>>, begun: Instant) {
        match summary {
            Some(Ok(summary)) => {
                let auto = summary.record_distribution_strategy.as_deref() == Some("AUTO");
                self.distribution = if auto {
                    Distribution::Auto
                } else {
                    Distribution::ByPartitionKey
                };
                let limit = summary.max_record_bytes;
                self.record_limit = Some(limit.unwrap_or(RECORD_MAX_BYTES_DEFAULT));
                self.created = summary.created.or(self.created);
                self.described_at = Some(begun);
                self.description_error = None;
            }
            // What it said before still counts: if that has changed, records are stored where they
            // should not, or are refused, and that is noticed.
            Some(Err(error)) => self.description_error = Some(error.clone()),
            None => {}
        }
    }

    fn on_not_listed(&mut self, error: Error, now: Instant, delay: Duration) -> News {
        self.error = Some(error.clone());
        if error.kind() == ErrorKind::ResourceNotFound {
            self.forget(now);
            self.asked = true;
            self.refresh.failed(now, REFUSED_SPACING);
            return News::NoStream(error);
        }
        self.gone = false;
        let passing = is_passing(&error);
        let delay = match &self.map {
            // Not permitted, say: that is not looked at more often than a good map.
            None if !passing => self.max_age,
            _ => delay,
        };
        self.refresh.failed(now, delay);
        match &self.map {
            Some(_) => News::Nothing,
            None if passing && self.distribution != Distribution::Auto => News::Nothing,
            None => News::Routing { complete: !passing },
        }
    }
}
