//! How an application sets a producer up. Defaults and ranges are [`settings`](crate::settings)'.

use std::time::Duration;

use shardwise_client::Aws;
use shardwise_types::{ConfigError, ConfigErrorKind, StreamName};

#[cfg(doc)]
use shardwise_types::limits;

use crate::producer::Producer;
#[cfg(doc)]
use crate::settings::{
    DEFAULT_AGGREGATE_MAX_BYTES, DEFAULT_LINGER, DEFAULT_MAX_BUFFERED_BYTES,
    DEFAULT_MAX_BUFFERED_RECORDS, DEFAULT_MAX_REQUEST_BYTES, DEFAULT_MAX_REQUESTS_IN_FLIGHT,
    DEFAULT_RECORD_TTL, DEFAULT_SHARD_MAP_REFRESH,
};
use crate::settings::{ProducerSettings, check, finite};

impl Producer {
    /// A builder with the default of every setting but the stream.
    pub fn builder(aws: &Aws) -> ProducerBuilder {
        ProducerBuilder {
            aws: aws.clone(),
            stream: None,
            settings: ProducerSettings::default(),
        }
    }
}

/// Settings of a [`Producer`], checked together by [`build`](Self::build).
///
/// ```
/// use std::time::Duration;
/// use shardwise_producer::{ConfigErrorKind, Producer};
/// # use shardwise_producer::Aws;
/// # use shardwise_mock::Mock;
/// # let aws = Aws::in_process(Mock::new().service());
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # let _entered = runtime.enter();
///
/// let producer = Producer::builder(&aws)
///     .stream("orders")
///     .linger(Duration::from_millis(20))
///     .max_buffered_bytes(16 << 20)
///     .build()?;
///
/// let error = Producer::builder(&aws)
///     .stream("orders")
///     .max_buffered_bytes(1)
///     .build()
///     .unwrap_err();
/// assert_eq!(error.kind(), ConfigErrorKind::InvalidSetting);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct ProducerBuilder {
    aws: Aws,
    stream: Option<String>,
    settings: ProducerSettings,
}

impl ProducerBuilder {
    /// The stream to send to, by its name. It must be given.
    pub fn stream(mut self, stream: impl Into<String>) -> Self {
        self.stream = Some(stream.into());
        self
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
    /// [`Stats::aggregation_off`](crate::ProducerStats::aggregation_off).
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

    /// Age at which a shard map that is in use is fetched anew, at the latest;
    /// [`DEFAULT_SHARD_MAP_REFRESH`] if not set. A record that is stored by another shard than
    /// expected has it fetched at once. After a pause in which it has grown older than that,
    /// aggregates wait for a new one, since the stream may have been deleted and created again.
    /// Producers of one [`Aws`] and stream share what is fetched.
    pub fn shard_map_refresh(mut self, age: Duration) -> Self {
        self.settings.shard_map_refresh = finite(age);
        self
    }

    /// Starts the producer on the current tokio runtime. It fetches the shard map at once; records
    /// may be sent before that is done.
    ///
    /// # Errors
    /// A [`ConfigError`] if the stream's name is missing or no such name, if a setting is out of
    /// its range or contradicts another, or if there is no runtime. No call has been made then.
    /// That the stream does not exist is the outcome of the first delivery.
    pub fn build(self) -> Result<Producer, ConfigError> {
        let Some(stream) = self.stream else {
            return Err(ConfigError::new(
                ConfigErrorKind::InvalidName,
                "no stream: name one with stream(..)",
            ));
        };
        let stream: StreamName = stream.parse()?;
        check(&self.settings)?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(ConfigError::new(
                ConfigErrorKind::NoRuntime,
                "there is no tokio runtime here to run on",
            ));
        }
        Ok(Producer::start(&self.aws, stream, self.settings))
    }
}
