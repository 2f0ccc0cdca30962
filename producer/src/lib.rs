//! A producer for Amazon Kinesis Data Streams: aggregation, batching, retries.
//!
//! What the Kinesis Producer Library does, in the application's own process.
//!
//! ```
//! use shardwise_producer::{Aws, Producer, Record};
//! # use shardwise_mock::Mock;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! # let mock = Mock::new();
//! let aws = Aws::in_process(mock.service()); // in production: Aws::load().await?
//! # aws.kinesis().create_stream(&"orders".parse()?, 2).await?;
//! let producer = Producer::builder(&aws).stream("orders").build()?;
//!
//! let record = Record::new("user-42".parse()?, "hello");
//! let delivery = producer.send(record).await?; // there was room
//! let receipt = delivery.await?; // it is stored
//! println!("{} in {}", receipt.sequence_number, receipt.shard_id);
//!
//! let report = producer.close(std::time::Duration::from_secs(5)).await;
//! assert!(report.is_complete());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised
//!
//! - **At least once.** A record that is accepted ends acknowledged, or as an error that gives it
//!   back and says whether it may have been [`written`](DeliveryError::written) all the same.
//! - **Acknowledged means readable.** The KCL drops an aggregate of which one member lies outside
//!   the shard that holds it, as happens around a split. Such an aggregate is sent again, whole,
//!   and is not acknowledged before it fits.
//! - **Bounded.** [`send`](Producer::send) waits for room in bytes and records;
//!   [`try_send`](Producer::try_send) refuses. What is held never exceeds the settings.
//! - **Permanent errors come at once**, transient ones are tried again with backoff and jitter
//!   until the record's time to live is over. A record that the service refuses fails alone.
//! - **No order.** Records of one partition key may overtake each other.
//!
//! # A stream that does not exist
//!
//! Its records end as [`Rejected`](DeliveryErrorKind::Rejected) with the code
//! `ResourceNotFoundException` as soon as the service has said so. The producer stays usable:
//! records that are sent later wait for another look, a second at most, and go out once the stream
//! is there. While a stream is being made its records are held, unless aggregation is off.
//!
//! A stream that is deleted and created again has the same shard ids with other ranges. The
//! producer knows shards by their first sequence numbers, forgets all when the service does not
//! find the stream, and after a pause longer than
//! [`shard_map_refresh`](ProducerBuilder::shard_map_refresh) looks at the stream before it sends
//! aggregates.
//!
//! # Many producers
//!
//! Producers of one stream that are built from clones of one [`Aws`] fetch its shards and
//! description together: a thousand of them ask the service no more often than one.
//!
//! # Permissions
//!
//! `kinesis:PutRecords`; `kinesis:ListShards` and `kinesis:DescribeStreamSummary` for aggregation.
//! Without the last two records travel one by one, as [`ProducerStats::aggregation_off`] says.
//!
//! # Features
//! None is on by default.
//!
//! - `aws-config`: `Aws::load` finds profiles, SSO, web identity and the roles of containers and
//!   instances, as AWS's own tools do.
//! - `aws-lc-rs`: the cryptography of TLS from AWS-LC in place of ring, a C build of minutes.

mod barrier;
mod buffer;
mod buffer_limit;
mod builder;
mod close_report;
mod collect;
mod completions;
mod delivery;
mod engine;
mod error;
mod fetch;
mod kinesis_record;
mod open_aggregate;
mod producer;
mod put_call;
mod record;
mod refresh;
mod retry;
mod settings;
mod shard_check;
mod shard_map;
mod shared;
mod stats;
mod stats_handle;
mod stream_cache;
mod stream_info;

pub use shardwise_client::{Aws, Error as RequestError, Written};
pub use shardwise_types::{
    ConfigError, ConfigErrorKind, HashKey, Invalid, PartitionKey, SequenceNumber, ShardId,
    StreamName, limits,
};

pub use crate::builder::ProducerBuilder;
pub use crate::close_report::{CloseReport, Unsent};
pub use crate::delivery::{Delivery, Receipt};
pub use crate::error::{
    Closed, DeliveryError, DeliveryErrorKind, EntryError, SendError, SendErrorKind, WrongShard,
};
pub use crate::producer::Producer;
pub use crate::record::Record;
pub use crate::settings::{
    DEFAULT_AGGREGATE_MAX_BYTES, DEFAULT_LINGER, DEFAULT_MAX_BUFFERED_BYTES,
    DEFAULT_MAX_BUFFERED_RECORDS, DEFAULT_MAX_REQUEST_BYTES, DEFAULT_MAX_REQUESTS_IN_FLIGHT,
    DEFAULT_RECORD_TTL, DEFAULT_SHARD_MAP_REFRESH,
};
pub use crate::stats::{AggregationOff, ProducerStats};
pub use crate::stats_handle::StatsHandle;
