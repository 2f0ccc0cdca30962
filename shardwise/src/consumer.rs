//! Processes a stream's records in a fleet of workers: leases, checkpoints, resharding.
//!
//! What the Kinesis Client Library does, on its own lease rows. The page of the crate
//! `shardwise-consumer` says what is promised, what is not done, and which permissions are needed.

pub use shardwise_consumer::{
    Batch, BoxError, COOL_DOWN, CheckpointError, CheckpointErrorKind, Checkpointer, ConsumedRecord,
    DEFAULT_FAILOVER, DEFAULT_IDLE_BETWEEN_READS, DEFAULT_PROCESSOR_ATTEMPTS,
    DEFAULT_SHUTDOWN_GRACE, EndAcked, InitialPosition, LeaseEnd, LeaseEvent, LeaseEventKind,
    LeaseKey, MIN_FAILOVER, MemoryLeaseStore, Position, RecordForm, RecordProcessor, Recorded,
    ShardEnd, ShardInfo, ShardState, StatsHandle, StreamKey, Worker, WorkerBuilder, WorkerError,
    WorkerErrorKind, WorkerStats,
};
