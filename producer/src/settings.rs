//! Settings of a producer: their defaults with the reasons, and the ranges that are allowed.
//!
//! What an application calls is [`ProducerBuilder`](crate::ProducerBuilder).

use std::time::Duration;

use shardwise_types::{ConfigError, ConfigErrorKind, limits};

use crate::collect::COLLECT_TARGET_BYTES;
use crate::kinesis_record::AggregateLimits;

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

/// Age at which a shard map that is in use is fetched anew, at the latest: up to a quarter of it
/// earlier, so that producers do not ask together. A split is noticed by where records are stored;
/// this bounds how long a merge or a changed distribution strategy goes unseen. One ListShards and
/// one DescribeStreamSummary a minute, whatever the number of producers of one `Aws`, stay far
/// below the 20 a second that an account has.
pub const DEFAULT_SHARD_MAP_REFRESH: Duration = Duration::from_secs(60);

/// A time that no process lives to see, and that can still be added to another.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Below this an aggregate holds nothing: the KPL's lower bound.
const AGGREGATE_MIN_BYTES: usize = 64;

/// The checked settings.
#[derive(Debug, Clone)]
pub(crate) struct ProducerSettings {
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

impl Default for ProducerSettings {
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

impl ProducerSettings {
    pub(crate) fn limits(&self) -> AggregateLimits {
        AggregateLimits {
            aggregate_max_bytes: self.aggregate_max_bytes,
            aggregate_max_records: self.aggregate_max_records,
            loose_max_records: self.max_request_entries,
            loose_max_bytes: COLLECT_TARGET_BYTES.min(self.max_request_bytes),
        }
    }
}

/// Cuts off what could not be added to a point in time: `Duration::MAX` means without end.
pub(crate) fn finite(duration: Duration) -> Duration {
    duration.min(FOREVER)
}

/// Checks each setting against its range and against the others.
///
/// # Errors
/// [`ConfigErrorKind::InvalidSetting`], whose message names the setting and its value.
pub(crate) fn check(settings: &ProducerSettings) -> Result<(), ConfigError> {
    let invalid = |message: String| Err(ConfigError::new(ConfigErrorKind::InvalidSetting, message));
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
        // Records of a delivery group are numbered with 32 bits.
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
            "max_buffered_bytes is {}, but a record may have {record_bytes}, which would never fit",
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
        check(&ProducerSettings::default()).unwrap();
    }

    #[test]
    fn settings_out_of_range_or_at_odds_are_refused() {
        let refused = |change: fn(&mut ProducerSettings)| {
            let mut settings = ProducerSettings::default();
            change(&mut settings);
            check(&settings).unwrap_err().kind()
        };
        let changes: [fn(&mut ProducerSettings); 10] = [
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
                ConfigErrorKind::InvalidSetting,
                "change {index}"
            );
        }
    }
}
