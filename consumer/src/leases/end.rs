//! What became of a lease: one word for it from the protocol up to the worker's counters.
//!
//! Plain data. What makes a lease end is decided in `decide.rs` (another worker's write), `state.rs`
//! (this worker's own) and by the shard's task (why it lets a lease go).

use std::fmt;

use shardwise_types::WorkerId;

/// What became of a lease that a worker held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LeaseEnd {
    /// Its shard is checkpointed at the end.
    ShardEnded,
    /// The worker released it, at shutdown: any other may take it at once.
    Released,
    /// The worker released it because the processor failed too often, or because a service refuses
    /// what the shard's end needs. If the lease table gave no answer, the lease expires by itself.
    GivenUp,
    /// The worker released it because the stream is deleted. If the lease table gave no answer, the
    /// lease expires by itself.
    StreamDeleted,
    /// At shutdown the grace ended before the processor did, or the lease table gave no answer to
    /// the release. The lease expires by itself.
    Abandoned,
    /// This worker took it.
    TakenBy(WorkerId),
    /// Another process that uses the same worker id took it.
    TakenByNamesake(WorkerId),
    /// Its owner was removed from the row, by no write of this worker.
    Freed,
    /// Its row was deleted, or cannot be read.
    RowGone,
}

impl LeaseEnd {
    /// Whether it was taken from the worker, which did not let it go.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        match self {
            Self::TakenBy(_) | Self::TakenByNamesake(_) | Self::Freed | Self::RowGone => true,
            Self::ShardEnded
            | Self::Released
            | Self::GivenUp
            | Self::StreamDeleted
            | Self::Abandoned => false,
        }
    }
}

impl fmt::Display for LeaseEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShardEnded => f.write_str("its shard is checkpointed at the end"),
            Self::Released => f.write_str("it was released"),
            Self::GivenUp => f.write_str("it was given up"),
            Self::StreamDeleted => f.write_str("its stream is deleted"),
            Self::Abandoned => f.write_str("it was left to expire"),
            Self::TakenBy(worker) => write!(f, "worker {worker} has it"),
            Self::TakenByNamesake(worker) => {
                write!(f, "another process with the worker id {worker} has it")
            }
            Self::Freed => f.write_str("its owner was removed from the row"),
            Self::RowGone => f.write_str("its row is gone"),
        }
    }
}
