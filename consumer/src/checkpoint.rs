//! Checkpoints as a processor sees them: what it calls, and the token that ends a shard.
//!
//! They go to one of two places: a lease that this worker holds ([`LeaseHandle`]), or a record in memory
//! ([`Recorded`]). A position of another shard is refused here, before either is asked.

use std::sync::Arc;

use shardwise_client::ChildShard;
use shardwise_types::ShardId;

use crate::error::{CheckpointError, CheckpointErrorKind};
use crate::leases::{Checkpoint, LeaseError, LeaseHandle};
use crate::position::Position;
use crate::recorded::Recorded;
use crate::stats::StatsHandle;

/// Writes down how far a shard is processed. One per shard; cheap to clone, so that the processor
/// may keep it.
#[derive(Debug, Clone)]
pub struct Checkpointer(Destination);

/// Where a shard's checkpoints go.
#[derive(Debug, Clone)]
enum Destination {
    Lease(LeaseHandle, StatsHandle),
    Memory(Recorded),
}

impl Checkpointer {
    pub(crate) fn new(lease: LeaseHandle, stats: StatsHandle) -> Self {
        Self(Destination::Lease(lease, stats))
    }

    /// A checkpointer without a lease, and the memory that its checkpoints go to: to test a processor
    /// without a worker.
    ///
    /// ```
    /// use shardwise_consumer::{
    ///     Batch, BoxError, Checkpointer, ConsumedRecord, RecordProcessor, ShardId,
    /// };
    ///
    /// /// Sums up numbers.
    /// #[derive(Default)]
    /// struct Sum(u64);
    ///
    /// impl RecordProcessor for Sum {
    ///     async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
    ///         for record in &batch {
    ///             self.0 += std::str::from_utf8(&record.data)?.parse::<u64>()?;
    ///         }
    ///         checkpointer.checkpoint(batch.end()).await?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let shard = ShardId::from_number(0);
    /// let (checkpointer, recorded) = Checkpointer::recording(&shard);
    /// let mut sum = Sum::default();
    ///
    /// let batch = Batch::new(
    ///     &shard,
    ///     [
    ///         ConsumedRecord::new(&shard, "1".parse()?, "30"),
    ///         ConsumedRecord::new(&shard, "2".parse()?, "12"),
    ///     ],
    /// )?;
    /// sum.process(batch.clone(), &checkpointer).await?;
    /// assert_eq!(sum.0, 42);
    /// assert_eq!(recorded.last().as_ref(), Some(batch.end()));
    ///
    /// let broken = Batch::new(&shard, [ConsumedRecord::new(&shard, "3".parse()?, "many")])?;
    /// assert!(sum.process(broken, &checkpointer).await.is_err());
    /// assert_eq!(recorded.positions().len(), 1, "a batch that failed is not checkpointed");
    ///
    /// let end = recorded.shard_end([ShardId::from_number(1), ShardId::from_number(2)]);
    /// sum.shard_ended(end).await?;
    /// assert!(recorded.is_ended());
    /// # Ok::<(), BoxError>(())
    /// # })?;
    /// # Ok::<(), BoxError>(())
    /// ```
    #[must_use]
    pub fn recording(shard_id: &ShardId) -> (Self, Recorded) {
        let recorded = Recorded::new(shard_id.clone());
        (Self(Destination::Memory(recorded.clone())), recorded)
    }

    /// Says that the record at `position` and all before it are done with. Whoever reads the shard
    /// next, after a crash or a hand-over, begins behind it.
    ///
    /// A checkpoint never moves backwards. A position before the last one is done with already, so
    /// asking for it is no error and writes nothing; in particular a batch that is delivered again
    /// may be checkpointed record by record. The position may come from this shard's records, or from
    /// the text of one that the application has kept.
    ///
    /// # Errors
    /// [`LeaseLost`](crate::CheckpointErrorKind::LeaseLost) if the shard is no longer this worker's,
    /// [`Unavailable`](crate::CheckpointErrorKind::Unavailable) if the lease table could not be
    /// reached: the same or a later checkpoint may be tried again.
    /// [`ForeignPosition`](crate::CheckpointErrorKind::ForeignPosition) if the position lies in
    /// another shard: written down here, it would skip records of this one.
    ///
    /// # Cancel safety
    /// Safe. The checkpoint may be written all the same, and is remembered: none before it is
    /// written later.
    pub async fn checkpoint(&self, position: &Position) -> Result<(), CheckpointError> {
        if position.shard_id() != self.shard_id() {
            let foreign = format!("{position} is no place in {}", self.shard_id());
            return Err(
                CheckpointError::new(CheckpointErrorKind::ForeignPosition).with_source(foreign)
            );
        }
        match &self.0 {
            Destination::Lease(lease, stats) => write(lease, stats, position).await,
            Destination::Memory(recorded) => recorded.checkpoint(position),
        }
    }

    /// The shard.
    #[must_use]
    pub fn shard_id(&self) -> &ShardId {
        match &self.0 {
            Destination::Lease(lease, _) => lease.shard_id(),
            Destination::Memory(recorded) => recorded.shard_id(),
        }
    }
}

/// The end of a shard that was split or merged: all its records are processed.
///
/// The shard is done, and its children start, once [`checkpoint`](Self::checkpoint) has succeeded. A
/// test of a processor gets one from [`Recorded::shard_end`].
#[derive(Debug)]
#[must_use = "the children of a shard start only after its end is checkpointed"]
pub struct ShardEnd(End);

/// Where a shard's end goes, with the shards that follow it.
#[derive(Debug)]
enum End {
    Lease(LeaseHandle, StatsHandle, Arc<[ChildShard]>),
    Memory(Recorded, Vec<ShardId>),
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
    pub(crate) fn new(lease: LeaseHandle, stats: StatsHandle, children: Arc<[ChildShard]>) -> Self {
        Self(End::Lease(lease, stats, children))
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
        match &self.0 {
            End::Lease(lease, stats, children) => {
                lease.end(children).await.map_err(refused)?;
                stats.count(|stats| stats.checkpoints += 1);
            }
            End::Memory(recorded, _) => recorded.end()?,
        }
        Ok(EndAcked {
            shard_id: self.shard_id().clone(),
        })
    }

    /// The shard.
    #[must_use]
    pub fn shard_id(&self) -> &ShardId {
        match &self.0 {
            End::Lease(lease, ..) => lease.shard_id(),
            End::Memory(recorded, _) => recorded.shard_id(),
        }
    }

    /// The shards that follow it.
    pub fn children(&self) -> impl Iterator<Item = &ShardId> {
        let (leased, named): (&[ChildShard], &[ShardId]) = match &self.0 {
            End::Lease(.., children) => (children, &[]),
            End::Memory(_, children) => (&[], children),
        };
        leased.iter().map(|child| &child.shard_id).chain(named)
    }
}

impl Recorded {
    /// The end of this shard, which these follow: to call a processor's
    /// [`shard_ended`](crate::RecordProcessor::shard_ended) with.
    pub fn shard_end(&self, children: impl IntoIterator<Item = ShardId>) -> ShardEnd {
        ShardEnd(End::Memory(self.clone(), children.into_iter().collect()))
    }
}

async fn write(
    lease: &LeaseHandle,
    stats: &StatsHandle,
    position: &Position,
) -> Result<(), CheckpointError> {
    let before = lease.checkpointed();
    let checkpoint = Checkpoint::At {
        sequence_number: position.sequence_number().clone(),
        sub_sequence: position.sub_sequence_number(),
    };
    lease.checkpoint(checkpoint).await.map_err(refused)?;
    if lease.checkpointed() != before {
        stats.count(|stats| stats.checkpoints += 1);
    }
    Ok(())
}

fn refused(error: LeaseError) -> CheckpointError {
    let kind = match error {
        LeaseError::Lost(_) => CheckpointErrorKind::LeaseLost,
        _ => CheckpointErrorKind::Unavailable,
    };
    CheckpointError::new(kind).with_source(error)
}
