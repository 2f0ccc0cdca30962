//! A lease in the hands of this worker.
//!
//! A short shell around `holder.rs`: one write at a time, in the order of the calls.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use shardwise_client::ChildShard;
use shardwise_env::Instant;
use shardwise_types::{SequenceNumber, ShardId};

use super::decide::{Intent, Loss};
use super::holder::{HoldError, Holder, Progress};
use super::lease::{Checkpoint, Lease};
use super::store::{StoreError, StoreErrorKind};
use super::table::LeaseTable;

/// How often a write is repeated because an earlier one of mine came first. Writes are serialised
/// and each round adopts the row, so the second round settles it unless its answer is lost, too.
const MAX_ROUNDS: usize = 3;

/// A lease that this worker holds, until it is lost, released or expired.
///
/// Shared by the task that renews and the one that reads and checkpoints. Dropping it writes
/// nothing: the lease then expires by itself. A worker keeps **at most one** of them for a shard;
/// two would take each other's writes for their own.
pub(crate) struct Held {
    table: LeaseTable,
    claimed: Lease,
    /// Whose turn it is to write.
    turn: tokio::sync::Mutex<()>,
    /// Locked for a few lines only, never while a write is under way: whether the lease is valid
    /// can be asked at any time.
    holder: Mutex<Holder>,
}

impl Held {
    /// A lease that a write of mine, sent at `sent`, made mine; the row is that write's answer.
    pub(super) fn new(table: LeaseTable, row: Lease, sent: Instant) -> Self {
        let holder = Holder::new(table.me().clone(), table.timing(), row.clone(), sent);
        Self {
            table,
            claimed: row,
            turn: tokio::sync::Mutex::new(()),
            holder: Mutex::new(holder),
        }
    }

    /// The shard.
    pub(crate) fn shard_id(&self) -> &ShardId {
        &self.claimed.shard_id
    }

    /// The row as the claiming write found it. The start position comes from here and from nowhere
    /// else: any other read may be older than the last holder's last checkpoint.
    pub(crate) fn claimed(&self) -> &Lease {
        &self.claimed
    }

    /// The checkpoint in the table, as far as it is known.
    pub(crate) fn checkpointed(&self) -> Checkpoint {
        self.holder().row().checkpoint.clone()
    }

    /// Whether the lease is certainly mine at this time. To be asked before every fetch and every
    /// batch.
    pub(crate) fn is_valid(&self, now: Instant) -> bool {
        self.holder().is_valid(now)
    }

    /// When the lease ends unless a write succeeds before.
    #[cfg(test)]
    pub(super) fn valid_until(&self) -> Instant {
        self.holder().valid_until()
    }

    /// When [`renew`](Self::renew) is to be called next.
    pub(crate) fn renew_at(&self) -> Instant {
        self.holder().renew_at()
    }

    /// A look at the table showed this row, perhaps an old one. If another worker has taken the
    /// lease, it is lost at once and not only at the next renewal.
    pub(crate) fn seen(&self, row: &Lease) {
        self.holder().seen(row);
    }

    /// Why the lease is lost, if it is.
    pub(crate) fn loss(&self) -> Option<Loss> {
        self.holder().loss().cloned()
    }

    /// Renews the lease if that is due; a checkpoint since the last renewal puts it off. It may
    /// succeed on an expired lease: then nobody has taken it meanwhile.
    ///
    /// # Errors
    /// [`HoldError::Lost`], [`HoldError::Unavailable`].
    ///
    /// # Cancel safety
    /// Safe. A renewal under way may still succeed; the next write finds out.
    pub(crate) async fn renew(&self) -> Result<(), HoldError> {
        let result = self.perform(&Intent::Renew).await;
        if matches!(result, Err(HoldError::Unavailable(_))) {
            self.holder().renewal_failed(self.table.env().now());
        }
        result
    }

    /// Writes down that this record and all before it are done. The position that is written
    /// already is written: nothing happens.
    ///
    /// # Errors
    /// Any [`HoldError`] except `ParentMissing`. After [`HoldError::Unavailable`] the position may
    /// or may not be written, and no position below it will be.
    ///
    /// # Cancel safety
    /// As after [`HoldError::Unavailable`].
    pub(crate) async fn checkpoint(
        &self,
        sequence_number: SequenceNumber,
        sub_sequence: u64,
    ) -> Result<(), HoldError> {
        let checkpoint = Checkpoint::At {
            sequence_number,
            sub_sequence,
        };
        self.perform(&Intent::Checkpoint(checkpoint)).await
    }

    /// A parent of these children whose lease must be there before [`end`](Self::end) can succeed.
    ///
    /// # Errors
    /// [`HoldError::Unavailable`].
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub(crate) async fn missing_parent(
        &self,
        children: &[ChildShard],
    ) -> Result<Option<ShardId>, HoldError> {
        for child in children {
            let missing = self.table.missing_parent(self.shard_id(), child).await?;
            if missing.is_some() {
                return Ok(missing);
            }
        }
        Ok(None)
    }

    /// Writes down that the shard is done, once its children have leases. Gives the children that
    /// are this worker's own to hold.
    ///
    /// The order matters: were the end written first, a crash between the two would leave a shard
    /// that nobody will read.
    ///
    /// # Errors
    /// Any [`HoldError`]; it may be called again then. Children that were created meanwhile bear
    /// this worker's name and are found by the next look at the table.
    ///
    /// # Cancel safety
    /// As after an error.
    pub(crate) async fn end(&self, children: &[ChildShard]) -> Result<Vec<Self>, HoldError> {
        // Whoever is not certainly the holder must not make rows in its name.
        if !self.is_valid(self.table.env().now()) {
            return Err(self.loss().map_or(HoldError::Expired, HoldError::Lost));
        }
        let mut held = Vec::new();
        for child in children {
            held.extend(self.table.create_child(self.shard_id(), child).await?);
        }
        let ids: BTreeSet<ShardId> = children
            .iter()
            .map(|child| child.shard_id.clone())
            .collect();
        self.perform(&Intent::End { children: ids }).await?;
        Ok(held)
    }

    /// Gives the lease up, for any worker to take at once. It is lost from here on.
    ///
    /// # Errors
    /// [`HoldError::Lost`] if it was lost before, [`HoldError::Unavailable`]: then it may or may not
    /// be free, and expires in any case.
    ///
    /// # Cancel safety
    /// As after [`HoldError::Unavailable`].
    pub(crate) async fn release(&self) -> Result<(), HoldError> {
        self.perform(&Intent::Release).await
    }

    /// Begins a write whose caller is never heard of again.
    #[cfg(test)]
    pub(super) fn attempt_for_test(&self, intent: &Intent, now: Instant) {
        self.holder().begin(intent, now).unwrap();
    }

    async fn perform(&self, intent: &Intent) -> Result<(), HoldError> {
        let _turn = self.turn.lock().await;
        for _ in 0..MAX_ROUNDS {
            let sent = self.table.env().now();
            let Some(write) = self.holder().begin(intent, sent)? else {
                return Ok(());
            };
            let answer = self
                .table
                .store()
                .write(&write)
                .await
                .map_err(HoldError::Unavailable)?;
            if self.holder().settle(intent, sent, answer)? == Progress::Done {
                return Ok(());
            }
        }
        // Each time the row turned out to be mine, so it is not lost; but nothing is proven either.
        Err(HoldError::Unavailable(StoreError::new(
            StoreErrorKind::Unavailable,
            "the answers to my writes are lost, one after another",
        )))
    }

    fn holder(&self) -> MutexGuard<'_, Holder> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("holder", &*self.holder())
            .finish_non_exhaustive()
    }
}
