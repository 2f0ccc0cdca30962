//! Checkpoints as a processor sees them: what it calls, and the token that ends a shard.

use std::sync::Arc;

use shardwise_client::ChildShard;
use shardwise_types::ShardId;

use crate::error::{CheckpointError, CheckpointErrorKind};
use crate::leases::{Checkpoint, LeaseError, LeaseHandle};
use crate::record::Position;
use crate::stats::Stats;

/// Writes down how far a shard is processed. One per shard; cheap to clone, so that the processor
/// may keep it.
#[derive(Debug, Clone)]
pub struct Checkpointer {
    lease: LeaseHandle,
    stats: Stats,
}

impl Checkpointer {
    pub(crate) fn new(lease: LeaseHandle, stats: Stats) -> Self {
        Self { lease, stats }
    }

    /// Says that the record at `position` and all before it are done with. Whoever reads the shard
    /// next, after a crash or a hand-over, begins behind it.
    ///
    /// A checkpoint never moves backwards. A position before the last one is done with already, so
    /// asking for it is no error and writes nothing; in particular a batch that is delivered again
    /// may be checkpointed record by record.
    ///
    /// # Errors
    /// [`LeaseLost`](crate::CheckpointErrorKind::LeaseLost) if the shard is no longer this worker's,
    /// [`Unavailable`](crate::CheckpointErrorKind::Unavailable) if the lease table could not be
    /// reached: the same or a later checkpoint may be tried again.
    /// [`ForeignPosition`](crate::CheckpointErrorKind::ForeignPosition) if the position comes from a
    /// record of another shard: written down here, it would skip records of this one.
    ///
    /// # Cancel safety
    /// Safe. The checkpoint may be written all the same, and is remembered: none before it is
    /// written later.
    pub async fn checkpoint(&self, position: &Position) -> Result<(), CheckpointError> {
        if position.shard_id != *self.shard_id() {
            let foreign = format!("{position} of {}", position.shard_id);
            return Err(CheckpointError::new(CheckpointErrorKind::ForeignPosition)
                .with_source(format!("{foreign} is no place in {}", self.shard_id())));
        }
        let before = self.lease.checkpointed();
        let checkpoint = Checkpoint::At {
            sequence_number: position.sequence_number.clone(),
            sub_sequence: position.sub_sequence_number,
        };
        self.lease.checkpoint(checkpoint).await.map_err(refused)?;
        if self.lease.checkpointed() != before {
            self.stats.count(|stats| stats.checkpoints += 1);
        }
        Ok(())
    }

    /// The shard.
    #[must_use]
    pub fn shard_id(&self) -> &ShardId {
        self.lease.shard_id()
    }
}

/// The end of a shard that was split or merged: all its records are processed.
///
/// The shard is done, and its children start, once [`checkpoint`](Self::checkpoint) has succeeded.
#[derive(Debug)]
#[must_use = "the children of a shard start only after its end is checkpointed"]
pub struct ShardEnd {
    lease: LeaseHandle,
    stats: Stats,
    children: Arc<[ChildShard]>,
}

/// The proof that a shard's end is checkpointed. Only [`ShardEnd::checkpoint`] makes one, so a
/// processor that forgets to does not compile:
///
/// ```compile_fail
/// let forged = shardwise_consumer::EndAcked { shard_id: "shardId-000000000000".parse().unwrap() };
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct EndAcked {
    pub(crate) shard_id: ShardId,
}

impl ShardEnd {
    pub(crate) fn new(lease: LeaseHandle, stats: Stats, children: Arc<[ChildShard]>) -> Self {
        Self {
            lease,
            stats,
            children,
        }
    }

    /// Says that the shard is done with.
    ///
    /// # Errors
    /// As [`Checkpointer::checkpoint`]. Return the error from
    /// [`shard_ended`](crate::RecordProcessor::shard_ended), which is then called again.
    ///
    /// # Cancel safety
    /// Safe. The end may be written all the same.
    pub async fn checkpoint(self) -> Result<EndAcked, CheckpointError> {
        self.lease.end(&self.children).await.map_err(refused)?;
        self.stats.count(|stats| stats.checkpoints += 1);
        Ok(EndAcked {
            shard_id: self.lease.shard_id().clone(),
        })
    }

    /// The shard.
    #[must_use]
    pub fn shard_id(&self) -> &ShardId {
        self.lease.shard_id()
    }

    /// The shards that follow it.
    pub fn children(&self) -> impl Iterator<Item = &ShardId> {
        self.children.iter().map(|child| &child.shard_id)
    }
}

fn refused(error: LeaseError) -> CheckpointError {
    let kind = match error {
        LeaseError::Lost(_) => CheckpointErrorKind::LeaseLost,
        _ => CheckpointErrorKind::Unavailable,
    };
    CheckpointError::new(kind).with_source(error)
}
