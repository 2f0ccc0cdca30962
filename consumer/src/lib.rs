//! A consumer for Amazon Kinesis Data Streams: leases, checkpoints, polling.

mod checkpoint;
mod config;
mod coordinator;
mod error;
mod keeper;
mod leases;
mod processor;
mod record;
mod shard;
mod stats;
mod worker;

pub use bytes::Bytes;
pub use shardwise_client::Aws;
pub use shardwise_types::{
    ApplicationName, HashKey, HashKeyRange, PartitionKey, SequenceNumber, ShardId, StreamName,
    WorkerId,
};

pub use crate::checkpoint::{Checkpointer, EndAcked, ShardEnd};
pub use crate::config::{
    COOL_DOWN, DEFAULT_FAILOVER, DEFAULT_IDLE_BETWEEN_READS, DEFAULT_PROCESSOR_ATTEMPTS,
    DEFAULT_SHUTDOWN_GRACE, InitialPosition, MIN_FAILOVER, WorkerBuilder,
};
pub use crate::error::{CheckpointError, CheckpointErrorKind, WorkerError, WorkerErrorKind};
pub use crate::leases::MemoryLeaseStore;
pub use crate::processor::{BoxError, RecordProcessor, ShardInfo};
pub use crate::record::{Batch, ConsumedRecord, Position, RecordForm};
pub use crate::shard::state::ShardState;
pub use crate::stats::{LeaseEvent, LeaseEventKind, Stats, WorkerStats};
pub use crate::worker::Worker;
