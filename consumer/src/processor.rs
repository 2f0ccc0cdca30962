//! What an application implements: the processor of one shard.

use shardwise_types::{HashKeyRange, ShardId, StreamName};

use crate::checkpoint::{Checkpointer, EndAcked, ShardEnd};
use crate::error::BoxError;
use crate::position::Position;
use crate::record::Batch;

/// Processes the records of one shard. Write the methods as plain `async fn`.
///
/// The worker makes one processor per shard that it holds. Calls for one shard never overlap, and a
/// call is never dropped half-way, except when [`run_until`](crate::Worker::run_until) itself is
/// dropped or the grace at shutdown ends. The order of calls is
///
/// ```text
/// started → process* → shard_ended | lease_lost | shutting_down
/// ```
///
/// # Delivery
/// At least once: after a crash, and when a shard changes hands, records behind the last checkpoint
/// come again. Records of a shard come in order, and those of its children only after it is
/// checkpointed at its end.
///
/// # Errors and panics
/// Whatever fails is tried again, with pauses that grow, up to
/// [`processor_attempts`](crate::WorkerBuilder::processor_attempts) times in a row without progress:
/// after an error the same batch with the same processor; after a panic everything behind the last
/// checkpoint with a new one, because the old one's state may be broken. Then the lease is released, for
/// another worker or for this one after a cool-down. A batch is never skipped: to skip a
/// record, or to put it elsewhere, is for the processor to decide ([`Batch::attempt`] helps).
///
/// # Tests
/// Without a worker: [`Batch::new`] makes batches, [`Checkpointer::recording`] a checkpointer that shows
/// what was checkpointed, with an example.
pub trait RecordProcessor: Send + 'static {
    /// Called with each batch of records, in order.
    fn process(
        &mut self,
        batch: Batch,
        checkpointer: &Checkpointer,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Called once before the first batch. Records behind `from` follow; without it the
    /// application has no checkpoint in this shard yet.
    fn started(
        &mut self,
        from: Option<&Position>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = from;
        async { Ok(()) }
    }

    /// Called when every record of a shard that was split or merged is processed, and its children can
    /// have leases: a merged shard gets one only when its other parent has one. Only
    /// [`ShardEnd::checkpoint`] makes the [`EndAcked`] to return; the children start after it.
    fn shard_ended(
        &mut self,
        end: ShardEnd,
    ) -> impl Future<Output = Result<EndAcked, BoxError>> + Send {
        async { Ok(end.checkpoint().await?) }
    }

    /// Called when the shard is no longer this worker's: another one took it, or it was
    /// [given up](crate::LeaseEnd::GivenUp). There is no checkpointer, since it could only fail.
    fn lease_lost(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Called when the worker stops, as the last call: the moment for a last checkpoint. The lease
    /// is released afterwards, whatever this returns.
    fn shutting_down(
        &mut self,
        checkpointer: &Checkpointer,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = checkpointer;
        async { Ok(()) }
    }
}

/// The shard that a processor is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardInfo {
    /// The stream.
    pub stream: StreamName,
    /// The shard.
    pub shard_id: ShardId,
    /// The shards that it came from: none, one (split) or two (merge).
    pub parents: Vec<ShardId>,
    /// The hash keys that it takes, if the lease table tells them.
    pub hash_key_range: Option<HashKeyRange>,
}

impl ShardInfo {
    /// A shard without parents, and with all hash keys for all that is known; set the other fields as
    /// needed. A worker makes its own: this is for a test of a processor.
    #[must_use]
    pub fn new(stream: StreamName, shard_id: ShardId) -> Self {
        Self {
            stream,
            shard_id,
            parents: Vec::new(),
            hash_key_range: None,
        }
    }
}
