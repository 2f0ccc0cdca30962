//! What is known of the stream: its shards, how it spreads records over them, how large they may
//! be, and when to ask again. Pure: [`fetch`](crate::fetch) makes the calls, the engine acts.

use std::sync::Arc;
use std::time::Duration;

use shardwise_client::{Error, ErrorKind, StreamSummary};
use shardwise_env::Instant;
use shardwise_types::Shard;
use shardwise_types::limits::{RECORD_MAX_BYTES, RECORD_MAX_BYTES_DEFAULT};

use crate::fetch::Fetched;
use crate::settings::ProducerSettings;
use crate::shard_map::{Refresh, Routing, ShardMap};
use crate::stats::AggregationOff;

/// Between two fetches for a stream that does not exist: its records fail at once, and those that
/// come later after this long at most.
const UNKNOWN_STREAM_SPACING: Duration = Duration::from_secs(1);

/// What is known of the stream.
#[derive(Debug)]
pub(crate) struct StreamInfo {
    aggregation: bool,
    assume_partition_key_distribution: bool,
    /// What the application says a record may have.
    record_limit_set: Option<usize>,
    max_buffered_bytes: usize,
    max_age: Duration,
    /// The last good map, whether it routes or not: it also judges where records landed.
    map: Option<Arc<ShardMap>>,
    distribution: Distribution,
    record_limit: usize,
    refresh: Refresh,
    /// Whether a fetch has ended, in whatever way.
    asked: bool,
    /// Why the last listing failed, if it did.
    error: Option<Error>,
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
    /// There is no such stream, and never was: what is held is refused.
    NoStream(Error),
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
            distribution: Distribution::Unknown,
            // Until the stream has said what it takes, nothing is refused that some stream takes.
            record_limit: settings
                .max_record_bytes
                .unwrap_or(RECORD_MAX_BYTES)
                .min(settings.max_buffered_bytes),
            refresh: Refresh::new(settings.shard_map_refresh, now),
            asked: false,
            error: None,
        }
    }

    pub(crate) fn map(&self) -> Option<&ShardMap> {
        self.map.as_deref()
    }

    /// Why the last listing failed, if it did.
    pub(crate) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Bytes that a record may have.
    pub(crate) fn record_limit(&self) -> usize {
        self.record_limit
    }

    /// Where records go, and why they are not aggregated, if they are not.
    pub(crate) fn routing(&self) -> (Routing, Option<AggregationOff>) {
        let assumed = self.assume_partition_key_distribution;
        let off = match (self.distribution, &self.map) {
            // Records that travel alone need no map.
            _ if !self.aggregation => AggregationOff::Disabled,
            (Distribution::Auto, _) => AggregationOff::AutoDistribution,
            (_, None) if !self.asked => return (Routing::Unknown, None),
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

    /// Whether a fetch is to begin now; if so it counts as begun.
    pub(crate) fn begin_fetch(&mut self, now: Instant, outstanding: usize) -> bool {
        self.is_wanted(outstanding) && self.refresh.begin(now)
    }

    /// When the next fetch is to begin.
    pub(crate) fn next_fetch(&self, outstanding: usize) -> Option<Instant> {
        self.refresh.due().filter(|_| self.is_wanted(outstanding))
    }

    /// The first fetch is for the records to come; later ones need a reason.
    fn is_wanted(&self, outstanding: usize) -> bool {
        outstanding > 0 || !self.asked
    }

    /// A fetch has ended; `None` if it brought nothing at all. `delay` is how long to wait before
    /// another if this one was of no use.
    pub(crate) fn on_fetched(
        &mut self,
        fetched: Option<Fetched>,
        now: Instant,
        delay: Duration,
    ) -> News {
        self.asked = true;
        let Some(Fetched { shards, summary }) = fetched else {
            self.refresh.failed(now, delay);
            return News::Nothing;
        };
        let described = self.on_described(summary);
        match shards {
            // A stream that is being made has no shards yet.
            Ok(shards) if !shards.iter().any(Shard::is_open) => {
                self.refresh.failed(now, delay);
                News::Nothing
            }
            Ok(shards) => {
                self.map = Some(Arc::new(ShardMap::new(shards)));
                self.error = None;
                if described {
                    self.refresh.succeeded(now);
                } else {
                    self.refresh.failed(now, delay);
                }
                News::Routing {
                    complete: described,
                }
            }
            Err(error) => self.on_not_listed(error, now, delay),
        }
    }

    /// Notes what the stream says of itself. Returns whether it has said all that it will.
    fn on_described(&mut self, summary: Option<Result<StreamSummary, Error>>) -> bool {
        match summary {
            Some(Ok(summary)) => {
                let auto = summary.record_distribution_strategy.as_deref() == Some("AUTO");
                self.distribution = if auto {
                    Distribution::Auto
                } else {
                    Distribution::ByPartitionKey
                };
                self.set_record_limit(summary.max_record_bytes);
                true
            }
            failed => {
                // What it said before still counts: if that has changed, records land where they
                // should not, and that is noticed.
                if self.distribution == Distribution::Unknown {
                    self.set_record_limit(None);
                }
                matches!(failed, Some(Err(error)) if !error.is_retryable())
            }
        }
    }

    fn set_record_limit(&mut self, said: Option<usize>) {
        self.record_limit = self
            .record_limit_set
            .unwrap_or_else(|| said.unwrap_or(RECORD_MAX_BYTES_DEFAULT))
            .min(self.max_buffered_bytes);
    }

    fn on_not_listed(&mut self, error: Error, now: Instant, delay: Duration) -> News {
        let unknown = error.kind() == ErrorKind::ResourceNotFound;
        // A stream that is being made will be ready.
        let passing = error.is_retryable() || error.kind() == ErrorKind::ResourceInUse;
        self.error = Some(error.clone());
        let delay = match &self.map {
            None if unknown => UNKNOWN_STREAM_SPACING,
            // Not permitted, say: that is not looked at more often than a good map.
            None if !passing => self.max_age,
            _ => delay,
        };
        self.refresh.failed(now, delay);
        match &self.map {
            Some(_) => News::Nothing,
            None if unknown => News::NoStream(error),
            None if passing && self.distribution != Distribution::Auto => News::Nothing,
            None => News::Routing { complete: !passing },
        }
    }
}
