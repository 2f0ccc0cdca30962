//! What a worker is set to, the defaults and the reasons for them. How an application sets it:
//! `worker/builder.rs`.

use std::time::{Duration, SystemTime};

use shardwise_types::{ApplicationName, StreamName, WorkerId, limits};

use crate::leases::MemoryLeaseStore;

/// How long a lease is good without a renewal, unless
/// [`failover`](crate::WorkerBuilder::failover) says otherwise: as in the KCL. After a crash a shard stands
/// still for this long, and some more.
pub const DEFAULT_FAILOVER: Duration = Duration::from_secs(10);

/// The shortest [`failover`](crate::WorkerBuilder::failover): below it, an ordinary slow answer of the
/// lease table would cost a lease.
pub const MIN_FAILOVER: Duration = Duration::from_secs(1);

/// The pause between two reads at the tip of a shard, unless
/// [`idle_between_reads`](crate::WorkerBuilder::idle_between_reads) says otherwise: one call a second of
/// the five that a shard answers leaves room for other applications.
pub const DEFAULT_IDLE_BETWEEN_READS: Duration = Duration::from_secs(1);

/// How long a worker takes at most to stop, unless
/// [`shutdown_grace`](crate::WorkerBuilder::shutdown_grace) says otherwise: less than the 30 s after
/// which orchestrators kill a process.
pub const DEFAULT_SHUTDOWN_GRACE: Duration = Duration::from_secs(20);

/// How often a failing call of a processor is tried, unless
/// [`processor_attempts`](crate::WorkerBuilder::processor_attempts) says otherwise.
pub const DEFAULT_PROCESSOR_ATTEMPTS: u32 = 5;

/// How long a worker does not take a shard back that its own processor failed on: long enough for
/// every other worker to try it first, short enough for a lone worker to go on the same minute.
pub const COOL_DOWN: Duration = Duration::from_secs(60);

/// Where an application begins in a shard in which it has no checkpoint.
///
/// Only the first worker that ever meets the shard asks: what it decides stands in the lease table,
/// so nothing is skipped or repeated because a worker with another setting came later. Children of
/// known shards always begin at their first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum InitialPosition {
    /// At the oldest record that is kept: nothing is missed.
    #[default]
    TrimHorizon,
    /// At the records that come from now on. "Now" is made durable with the lease: what arrives
    /// before the first checkpoint is not lost if the worker is.
    Latest,
    /// At the first record that arrived at this time or later.
    AtTimestamp(SystemTime),
}

/// What a worker needs to know all the time.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) application: ApplicationName,
    pub(crate) stream: StreamName,
    pub(crate) worker_id: WorkerId,
    pub(crate) options: Options,
}

/// What has a default.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) initial_position: InitialPosition,
    pub(crate) failover: Duration,
    pub(crate) idle_between_reads: Duration,
    pub(crate) max_records: u32,
    pub(crate) shutdown_grace: Duration,
    pub(crate) max_leases: usize,
    pub(crate) processor_attempts: u32,
}

/// Where the leases are kept.
#[derive(Debug, Clone)]
pub(crate) enum StoreChoice {
    DynamoDb { create_table: bool },
    Memory(MemoryLeaseStore),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            initial_position: InitialPosition::default(),
            failover: DEFAULT_FAILOVER,
            idle_between_reads: DEFAULT_IDLE_BETWEEN_READS,
            max_records: limits::GET_RECORDS_MAX_RECORDS,
            shutdown_grace: DEFAULT_SHUTDOWN_GRACE,
            max_leases: usize::MAX,
            processor_attempts: DEFAULT_PROCESSOR_ATTEMPTS,
        }
    }
}
