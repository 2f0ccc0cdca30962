//! Sends records to a stream: aggregation, batching, retries.
//!
//! What the Kinesis Producer Library does, in the application's own process. The page of the crate
//! `shardwise-producer` says what is promised, what a missing stream does, and which permissions are
//! needed.

pub use shardwise_producer::{
    AggregationOff, CloseReport, Closed, DEFAULT_AGGREGATE_MAX_BYTES, DEFAULT_LINGER,
    DEFAULT_MAX_BUFFERED_BYTES, DEFAULT_MAX_BUFFERED_RECORDS, DEFAULT_MAX_REQUEST_BYTES,
    DEFAULT_MAX_REQUESTS_IN_FLIGHT, DEFAULT_RECORD_TTL, DEFAULT_SHARD_MAP_REFRESH, Delivery,
    DeliveryError, DeliveryErrorKind, EntryError, Producer, ProducerBuilder, ProducerStats,
    Receipt, Record, SendError, SendErrorKind, StatsHandle, Unsent, WrongShard,
};
