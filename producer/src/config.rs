//! Settings of a producer, their defaults and the reasons.

use std::time::Duration;

use shardwise_client::Aws;
use shardwise_types::{StreamName, limits};

use crate::aggregate::Limits;
use crate::collect::COLLECT_TARGET_BYTES;
use crate::error::{BuildError, BuildErrorKind};
use crate::producer::Producer;

/// How long a record waits for company: the KPL's `RecordMaxBufferedTime`.
pub const DEFAULT_LINGER: Duration = Duration::from_millis(100);

/// Bytes of an aggregate's data: the KPL's `AggregationMaxSize`. A shard takes a thousand records
/// and a mebibyte a second, so a larger aggregate saves no record that the byte limit would let
/// through.
pub const DEFAULT_AGGREGATE_MAX_BYTES: usize = 51_200;

/// Bytes of one PutRecords call: the KPL's `CollectionMaxSize`, half of what the service takes. A
/// larger call saves nothing more and loses more when it fails.
pub const DEFAULT_MAX_REQUEST_BYTES: usize = 5 * 1024 * 1024;

/// Bytes of accepted records that are not settled. At 100 ms of linger and 50 ms of round trip it
/// lets through 200 MiB a second.
pub const DEFAULT_MAX_BUFFERED_BYTES: usize = 32 * 1024 * 1024;

/// Accepted records that are not settled: each costs some 200 bytes besides its own, which
/// [`DEFAULT_MAX_BUFFERED_BYTES`] does not count.
pub const DEFAULT_MAX_BUFFERED_RECORDS: usize = 100_000;

/// How long a record is tried: the KPL's `RecordTtl`.
pub const DEFAULT_RECORD_TTL: Duration = Duration::from_secs(30);

/// PutRecords calls under way at a time: the KPL's `MaxConnections`. More would only queue for
/// connections, and what is under way can no longer expire or be collected.
pub const DEFAULT_MAX_REQUESTS_IN_FLIGHT: usize = 24;

/// The most calls that may be allowed at a time, as in the KPL.
const REQUESTS_IN_FLIGHT_LIMIT: usize = 256;

/// Age at which a shard map that is in use is fetched anew. A split is noticed by where records
/// land; this bounds how long a merge or a changed distribution strategy goes unseen. One ListShards
/// and one DescribeStreamSummary a minute stay far below the 20 a second that an account has.
pub const DEFAULT_SHARD_MAP_REFRESH: Duration = Duration::from_secs(60);

/// A time that is as good as for ever, and that can still be added to another.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Below this an aggregate holds nothing: the KPL's lower bound.
const AGGREGATE_MIN_BYTES: usize = 64;

/// Settings of a [`Producer`], checked together by [`build`](Self::build).
///
/// ```
/// use std::time::Duration;
/// use shardwise_producer::{BuildErrorKind, Producer};
/// # use shardwise_producer::Aws;
/// # use shardwise_mock::Mock;
/// # let aws = Aws::in_process(Mock::new().service());
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # let _entered = runtime.enter();
///
/// let producer = Producer::builder(&aws, "orders".parse()?)
///     .linger(Duration::from_millis(20))
///     .max_buffered_bytes(16 << 20)
///     .build()?;
///
/// let error = Producer::builder(&aws, "orders".parse()?)
///     .max_buffered_bytes(1)
///     .build()
///     .unwrap_err();
/// assert_eq!(error.kind(), BuildErrorKind::InvalidSetting);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct ProducerBuilder {
    aws: Aws,
    stream: StreamName,
    settings: Settings,
}

/// The checked settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) linger: Duration,
    pub(crate) aggregation: bool,
    pub(crate) assume_partition_key_distribution: bool,
    pub(crate) aggregate_max_bytes: usize,
    pub(crate) aggregate_max_records: usize,
    pub(crate) max_request_entries: usize,
    pub(crate) max_request_bytes: usize,
    pub(crate) max_buffered_bytes: usize,
    pub(crate) max_buffered_records: usize,
    /// What the application says a record may have; else the service is asked.
    pub(crate) max_record_bytes: Option<usize>,
    pub(crate) record_ttl: Duration,
    pub(crate) max_requests_in_flight: usize,
    pub(crate) shard_map_refresh: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            linger: DEFAULT_LINGER,
            aggregation: true,
            assume_partition_key_distribution: false,
            aggregate_max_bytes: DEFAULT_AGGREGATE_MAX_BYTES,
            aggregate_max_records: usize::MAX,
            max_request_entries: limits::PUT_RECORDS_MAX_ENTRIES,
            max_request_bytes: DEFAULT_MAX_REQUEST_BYTES,
            max_buffered_bytes: DEFAULT_MAX_BUFFERED_BYTES,
            max_buffered_records: DEFAULT_MAX_BUFFERED_RECORDS,
            max_record_bytes: None,
            record_ttl: DEFAULT_RECORD_TTL,
            max_requests_in_flight: DEFAULT_MAX_REQUESTS_IN_FLIGHT,
            shard_map_refresh: DEFAULT_SHARD_MAP_REFRESH,
        }
    }
}

impl Settings {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            aggregate_max_bytes: self.aggregate_max_bytes,
            aggregate_max_records: self.aggregate_max_records,
            loose_max_records: self.max_request_entries,
            loose_max_bytes: COLLECT_TARGET_BYTES.min(self.max_request_bytes),
        }
    }
}

impl ProducerBuilder {
    pub(crate) fn new(aws: Aws, stream: StreamName) -> Self {
        Self {
            aws,
            stream,
            settings: Settings::default(),
        }
    }

    /// How long a record may wait for others to share an aggregate and a call with;
    /// [`DEFAULT_LINGER`] if not set. Zero sends at once what is there. The KPL's
    /// `RecordMaxBufferedTime`.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.settings.linger = finite(linger);
        self
    }

    /// Whether to pack small records into aggregates, which consumers must unpack: the KCL and
    /// Shardwise's consumer do. On if not set. The KPL's `AggregationEnabled`.
    ///
    /// It is switched off, with a warning, on streams that may not have it:
    /// [`Stats::aggregation_off`](crate::Stats::aggregation_off).
    pub fn aggregation(mut self, aggregation: bool) -> Self {
        self.settings.aggregation = aggregation;
        self
    }

    /// Aggregates even if DescribeStreamSummary fails or is not permitted.
    ///
    /// On a stream whose record distribution strategy is `AUTO` consumers drop aggregates. If the
    /// call does answer, its answer counts.
    pub fn assume_partition_key_distribution(mut self) -> Self {
        self.settings.assume_partition_key_distribution = true;
        self
    }

    /// Bytes of an aggregate, at most; [`DEFAULT_AGGREGATE_MAX_BYTES`] if not set. A record that
    /// would not fit travels alone. The KPL's `AggregationMaxSize`.
    pub fn aggregate_max_bytes(mut self, bytes: usize) -> Self {
        self.settings.aggregate_max_bytes = bytes;
        self
    }

    /// Records in an aggregate, at most; no limit if not set. The KPL's `AggregationMaxCount`.
    pub fn aggregate_max_records(mut self, records: usize) -> Self {
        self.settings.aggregate_max_records = records;
        self
    }

    /// Kinesis records in one PutRecords call, at most;
    /// [`PUT_RECORDS_MAX_ENTRIES`](limits::PUT_RECORDS_MAX_ENTRIES) if not set. The KPL's
    /// `CollectionMaxCount`.
    pub fn max_request_entries(mut self, entries: usize) -> Self {
        self.settings.max_request_entries = entries;
        self
    }

    /// Bytes of one PutRecords call, at most; [`DEFAULT_MAX_REQUEST_BYTES`] if not set. One record
    /// that is larger goes alone. The KPL's `CollectionMaxSize`.
    pub fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_request_bytes = bytes;
        self
    }

    /// Bytes of accepted records that are not settled, at most;
    /// [`DEFAULT_MAX_BUFFERED_BYTES`] if not set. Beyond it [`send`](Producer::send) waits.
    pub fn max_buffered_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_buffered_bytes = bytes;
        self
    }

    /// Accepted records that are not settled, at most; [`DEFAULT_MAX_BUFFERED_RECORDS`] if not
    /// set. Beyond it [`send`](Producer::send) waits.
    pub fn max_buffered_records(mut self, records: usize) -> Self {
        self.settings.max_buffered_records = records;
        self
    }

    /// Bytes of a record, partition key included. If not set it is what the stream says, or
    /// [`RECORD_MAX_BYTES_DEFAULT`](limits::RECORD_MAX_BYTES_DEFAULT) if it says nothing. The KPL's
    /// `MaxUserRecordSize`.
    pub fn max_record_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_record_bytes = Some(bytes);
        self
    }

    /// How long a record is tried before it is given back as
    /// [`Expired`](crate::DeliveryErrorKind::Expired), counted from its acceptance;
    /// [`DEFAULT_RECORD_TTL`] if not set. A record whose call is under way then is
    /// [`Unknown`](crate::Written::Unknown) to be written. The KPL's `RecordTtl`.
    pub fn record_ttl(mut self, ttl: Duration) -> Self {
        self.settings.record_ttl = finite(ttl);
        self
    }

    /// PutRecords calls under way at a time, at most; [`DEFAULT_MAX_REQUESTS_IN_FLIGHT`] if not
    /// set. The KPL's `MaxConnections`.
    pub fn max_requests_in_flight(mut self, requests: usize) -> Self {
        self.settings.max_requests_in_flight = requests;
        self
    }

    /// Age at which a shard map that is in use is fetched anew; [`DEFAULT_SHARD_MAP_REFRESH`] if
    /// not set. A record that lands on another shard than expected has it fetched at once.
    pub fn shard_map_refresh(mut self, age: Duration) -> Self {
        self.settings.shard_map_refresh = finite(age);
        self
    }

    /// Starts the producer on the current tokio runtime. It fetches the shard map at once; records
    /// may be sent before that is done.
    ///
    /// # Errors
    /// A [`BuildError`] if a setting is out of its range or contradicts another, or if there is no
    /// runtime. No call has been made then. That the stream does not exist is told by the first
    /// delivery.
    pub fn build(self) -> Result<Producer, BuildError> {
        check(&self.settings)?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(BuildError::new(
                BuildErrorKind::NoRuntime,
                "there is no tokio runtime here to run on",
            ));
        }
        Ok(Producer::start(&self.aws, self.stream, self.settings))
    }
}

/// Cuts off what could not be added to a point in time: `Duration::MAX` means for ever.
pub(crate) fn finite(duration: Duration) -> Duration {
    duration.min(FOREVER)
}

fn check(settings: &Settings) -> Result<(), BuildError> {
    let invalid = |message: String| Err(BuildError::new(BuildErrorKind::InvalidSetting, message));
    let within = |name: &str, value: usize, min: usize, max: usize| {
        if (min..=max).contains(&value) {
            Ok(())
        } else {
            invalid(format!("{name} is {value}, {min} to {max} are allowed"))
        }
    };
    let record_bytes = settings
        .max_record_bytes
        .unwrap_or(limits::RECORD_MAX_BYTES_DEFAULT);
    within(
        "max_record_bytes",
        record_bytes,
        1,
        limits::RECORD_MAX_BYTES,
    )?;
    // An aggregate's own partition key is one byte.
    within(
        "aggregate_max_bytes",
        settings.aggregate_max_bytes,
        AGGREGATE_MIN_BYTES,
        record_bytes.max(limits::RECORD_MAX_BYTES_DEFAULT) - 1,
    )?;
    within(
        "aggregate_max_records",
        settings.aggregate_max_records,
        1,
        usize::MAX,
    )?;
    within(
        "max_request_entries",
        settings.max_request_entries,
        1,
        limits::PUT_RECORDS_MAX_ENTRIES,
    )?;
    within(
        "max_request_bytes",
        settings.max_request_bytes,
        1,
        limits::PUT_RECORDS_MAX_BYTES,
    )?;
    within(
        "max_buffered_records",
        settings.max_buffered_records,
        1,
        // Records of a batch are numbered with 32 bits.
        u32::MAX as usize,
    )?;
    within(
        "max_requests_in_flight",
        settings.max_requests_in_flight,
        1,
        REQUESTS_IN_FLIGHT_LIMIT,
    )?;
    if settings.max_buffered_bytes < record_bytes {
        return invalid(format!(
            "max_buffered_bytes is {}, but a record may have {record_bytes} and would wait for ever",
            settings.max_buffered_bytes
        ));
    }
    if settings.record_ttl <= settings.linger {
        return invalid(format!(
            "record_ttl is {:?}, but a record may linger for {:?} before it is sent",
            settings.record_ttl, settings.linger
        ));
    }
    if settings.shard_map_refresh.is_zero() {
        return invalid("shard_map_refresh is zero".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(check(&Settings::default()), Ok(()));
    }

    #[test]
    fn settings_out_of_range_or_at_odds_are_refused() {
        let refused = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            check(&settings).unwrap_err().kind()
        };
        let changes: [fn(&mut Settings); 10] = [
            |s| s.max_request_entries = 501,
            |s| s.max_request_entries = 0,
            |s| s.max_request_bytes = limits::PUT_RECORDS_MAX_BYTES + 1,
            |s| s.aggregate_max_bytes = 63,
            |s| s.aggregate_max_bytes = limits::RECORD_MAX_BYTES_DEFAULT,
            |s| s.max_buffered_bytes = limits::RECORD_MAX_BYTES_DEFAULT - 1,
            |s| s.max_buffered_records = 0,
            |s| s.max_requests_in_flight = 257,
            |s| s.record_ttl = s.linger,
            |s| s.max_record_bytes = Some(limits::RECORD_MAX_BYTES + 1),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert_eq!(
                refused(change),
                BuildErrorKind::InvalidSetting,
                "change {index}"
            );
        }
    }
}
