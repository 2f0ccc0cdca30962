//! What a worker wants of the task of a shard. The worker sends it, the shard's tasks watch it.

/// What a shard's task is to do; from one to the next, never back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShardCommand {
    /// Hold the lease and wait: a parent is not at its end.
    Wait,
    /// Read and process.
    Process,
    /// Finish the call that runs, say good-bye, release the lease.
    Stop,
}
