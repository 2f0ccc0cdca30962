//! A lease in the hands of this worker: one writer, and one loop that renews.
//!
//! A short shell around `state.rs`, which says what may be written and what an answer means. Here is
//! the waiting: for the turn to write, for a table that does not answer, for the next renewal, for a
//! lease that has to be proven again after this host stood still. What the worker has to know reaches
//! it as a [`LeaseReport`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use shardwise_client::ChildShard;
use shardwise_env::{Env, Instant, Task, lock};
use shardwise_types::ShardId;
use tokio::sync::{mpsc, watch};
use tracing::Instrument as _;

use super::decide::Intent;
use super::end::LeaseEnd;
use super::key::LeaseKey;
use super::lease::{Checkpoint, Lease};
use super::retry::{self, Tries};
use super::state::{Claim, LeaseError, LeaseState, Step};
use super::store::StoreError;
use super::table::LeaseTable;

/// A lease that this worker holds, until it is lost, released or expired. Cheap to clone.
///
/// Shared by the task that renews and the one that reads and checkpoints. Dropping it writes
/// nothing: the lease then expires by itself. A worker keeps **at most one** of them for a shard;
/// two would take each other's writes for their own.
#[derive(Clone)]
pub(crate) struct LeaseHandle(Arc<Inner>);

struct Inner {
    table: LeaseTable,
    claimed: Lease,
    reports: mpsc::Sender<LeaseReport>,
    /// Whose turn it is to write.
    turn: tokio::sync::Mutex<()>,
    /// Locked for a few lines only, never while a write is under way: whether the lease is valid
    /// can be asked at any time.
    state: Mutex<LeaseState>,
    /// Changes whenever the state may have.
    changed: watch::Sender<()>,
}

/// What a held lease tells the worker.
#[derive(Debug)]
pub(crate) enum LeaseReport {
    /// The shard has ended, and this worker made the lease of a child.
    Child(Box<Claim>),
    /// A write failed or had no answer.
    WriteFailed,
}

impl LeaseHandle {
    /// The handle of a lease that was just claimed.
    pub(crate) fn new(table: LeaseTable, claim: Claim, reports: mpsc::Sender<LeaseReport>) -> Self {
        let claimed = claim.row.clone();
        let state = LeaseState::new(table.identity().clone(), table.timing(), claim);
        Self(Arc::new(Inner {
            table,
            claimed,
            reports,
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
        }))
    }

    /// Starts the task that renews the lease, until it is lost or the task is dropped.
    pub(crate) fn keep_renewed(&self) -> Task<()> {
        let renewals = self.clone().renew_while_held();
        self.env().spawn(renewals.in_current_span())
    }

    async fn renew_while_held(self) {
        let env = self.env();
        let delays = || retry::delays(env, self.0.table.timing().failover);
        let (mut waits, mut again, mut failures) = (delays(), None, 0_u32);
        // A lease that is checkpointed at its end needs no heartbeat.
        while self.lost().is_none() && !self.is_ended() {
            let due = again.take().unwrap_or_else(|| self.renew_at());
            env.sleep_until(due).await;
            match self.renew().await {
                Ok(()) => (waits, failures) = (delays(), 0),
                Err(error) => {
                    failures += 1;
                    self.note(&error, failures).await;
                    again = Some(env.now() + waits.next_delay());
                }
            }
        }
    }

    /// The row's key.
    pub(crate) fn key(&self) -> &LeaseKey {
        &self.0.claimed.key
    }

    /// The shard.
    pub(crate) fn shard_id(&self) -> &ShardId {
        self.key().shard_id()
    }

    /// The table that the lease is in.
    pub(crate) fn table(&self) -> &LeaseTable {
        &self.0.table
    }

    /// The row as the claiming write found it. The start position comes from here and from nowhere
    /// else: any other read may be older than the last holder's last checkpoint.
    pub(crate) fn claimed(&self) -> &Lease {
        &self.0.claimed
    }

    /// The last checkpoint that is known to be written.
    pub(crate) fn checkpointed(&self) -> Checkpoint {
        self.state().row().checkpoint.clone()
    }

    /// What a `LATEST` without any checkpoint means.
    pub(crate) fn started_at(&self) -> Option<SystemTime> {
        self.claimed().started_at
    }

    /// Whether the lease is certainly this worker's at this time.
    pub(crate) fn is_valid(&self, now: Instant) -> bool {
        self.state().is_valid(now)
    }

    /// Whether the shard is checkpointed at its end: done, whatever becomes of the lease.
    pub(crate) fn is_ended(&self) -> bool {
        self.checkpointed() == Checkpoint::ShardEnd
    }

    /// What became of the lease, if it is lost or released.
    pub(crate) fn lost(&self) -> Option<LeaseEnd> {
        self.state().end().cloned()
    }

    /// When [`renew`](Self::renew) is due next.
    pub(super) fn renew_at(&self) -> Instant {
        self.state().renew_at()
    }

    /// Waits until the lease is certainly this worker's. It is at once, unless renewals failed or
    /// this host stood still; then the next renewal finds out. A lease that is checkpointed at its
    /// end is renewed no more, and never waited for. To be asked before every fetch and every batch.
    ///
    /// # Errors
    /// What became of the lease, if it is lost or released.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub(crate) async fn valid(&self) -> Result<(), LeaseEnd> {
        let mut changed = self.0.changed.subscribe();
        loop {
            if let Some(end) = self.lost() {
                return Err(end);
            }
            if self.is_ended() || self.is_valid(self.env().now()) {
                return Ok(());
            }
            // The sender lives in `self`.
            let _ = changed.changed().await;
        }
    }

    /// Resolves when the lease is lost or released, with what became of it.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub(crate) async fn gone(&self) -> LeaseEnd {
        let mut changed = self.0.changed.subscribe();
        loop {
            if let Some(end) = self.lost() {
                return end;
            }
            let _ = changed.changed().await;
        }
    }

    /// A look at the table showed this row, perhaps an old one. If another worker has taken the
    /// lease, it is lost at once and not only at the next renewal.
    pub(crate) fn seen(&self, row: &Lease) {
        self.state().seen(row);
        if self.lost().is_some() {
            self.0.changed.send_replace(());
        }
    }

    /// Renews the lease if that is due; a checkpoint since the last renewal puts it off. It may
    /// succeed on an expired lease: then no other worker has taken it meanwhile.
    ///
    /// # Errors
    /// [`LeaseError::Lost`], [`LeaseError::Unavailable`].
    ///
    /// # Cancel safety
    /// Safe. A renewal under way may still succeed; the next write finds out.
    pub(super) async fn renew(&self) -> Result<(), LeaseError> {
        self.attempt(Intent::Renew).await.map(|_| ())
    }

    /// Writes down that this record and all before it are done. A position that is written already,
    /// or lies below one that is, writes nothing; one that lies below an earlier attempt without an
    /// answer writes that attempt's.
    ///
    /// # Errors
    /// Any [`LeaseError`]. After [`LeaseError::Unavailable`] the position may or may not be written,
    /// and none below it will be.
    ///
    /// # Cancel safety
    /// As after [`LeaseError::Unavailable`].
    pub(crate) async fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), LeaseError> {
        let mut tries = self.tries();
        self.write(Intent::Checkpoint(checkpoint), &mut tries).await
    }

    /// Writes down that the shard is done, once its children have leases; those that are this
    /// worker's own to hold are reported.
    ///
    /// The order matters: were the end written first, a crash between the two would leave a shard
    /// that no worker will read. For the same reason all parents of a merged child must have leases
    /// before, see [`missing_parents`](super::missing::missing_parents).
    ///
    /// # Errors
    /// Any [`LeaseError`]; it may be called again then. Children that were created meanwhile bear
    /// this worker's name and are found by the next look at the table.
    ///
    /// # Cancel safety
    /// As after an error.
    pub(crate) async fn end(&self, children: &[ChildShard]) -> Result<(), LeaseError> {
        let mut tries = self.tries();
        let mut claims = Vec::new();
        for child in children {
            claims.extend(self.create(child, &mut tries).await?);
        }
        let ids: BTreeSet<ShardId> = children
            .iter()
            .map(|child| child.shard_id.clone())
            .collect();
        self.write(Intent::End { children: ids }, &mut tries)
            .await?;
        for claim in claims {
            self.report(LeaseReport::Child(Box::new(claim))).await;
        }
        Ok(())
    }

    /// Gives the lease up, for any worker to take at once, and says what became of it:
    /// [`LeaseEnd::Released`], [`LeaseEnd::Abandoned`] if the table gave no answer, or how it was lost
    /// before. It is not valid from here on.
    ///
    /// # Cancel safety
    /// The lease may be released, and expires in any case.
    pub(crate) async fn release(&self) -> LeaseEnd {
        let mut tries = self.tries();
        match self.write(Intent::Release, &mut tries).await {
            Ok(()) => LeaseEnd::Released,
            Err(_) => self.lost().unwrap_or(LeaseEnd::Abandoned),
        }
    }

    /// Creates the lease of a child, and gives it if it is this worker's own to hold.
    async fn create(
        &self,
        child: &ChildShard,
        tries: &mut Tries,
    ) -> Result<Option<Claim>, LeaseError> {
        loop {
            // Whoever is not certainly the holder must not make rows in its name.
            let result = if self.is_valid(self.env().now()) {
                self.0.table.create_child(self.key(), child).await
            } else {
                Err(self.lost().map_or(LeaseError::Expired, LeaseError::Lost))
            };
            match result {
                Ok(claim) => return Ok(claim),
                Err(error) => self.wait_after(error, tries).await?,
            }
        }
    }

    /// Writes until there is an answer, as often as there are tries.
    async fn write(&self, intent: Intent, tries: &mut Tries) -> Result<(), LeaseError> {
        loop {
            let error = match self.attempt(intent.clone()).await {
                Ok(Step::Done) => return Ok(()),
                Ok(Step::Again) if tries.are_over() => {
                    LeaseError::Unavailable(StoreError::unanswered())
                }
                Ok(Step::Again) => continue,
                Err(error) => error,
            };
            self.wait_after(error, tries).await?;
        }
    }

    /// A try failed: waits for the next one, or gives the error back if there is none. An expired
    /// lease is tried again, too: a renewal may prove it meanwhile.
    async fn wait_after(&self, error: LeaseError, tries: &mut Tries) -> Result<(), LeaseError> {
        self.note(&error, tries.failed() + 1).await;
        if matches!(error, LeaseError::Lost(_)) || !tries.again().await {
            return Err(error);
        }
        Ok(())
    }

    /// One write: its turn, its answer, and what the answer means.
    async fn attempt(&self, intent: Intent) -> Result<Step, LeaseError> {
        let _turn = self.0.turn.lock().await;
        let Some(write) = self.state().begin(intent, self.env().now())? else {
            return Ok(Step::Done);
        };
        let result = match self.0.table.store().write(&write).await {
            Ok(answer) => self.state().settle(answer),
            Err(error) => Err(LeaseError::Unavailable(error)),
        };
        self.0.changed.send_replace(());
        result
    }

    /// Says that a write failed, for the `failures`th time in a row, and less often the longer it
    /// goes on.
    async fn note(&self, error: &LeaseError, failures: u32) {
        let shard_id = self.shard_id();
        match error {
            LeaseError::Lost(LeaseEnd::Released) => {}
            // An ordinary rebalance.
            LeaseError::Lost(end @ LeaseEnd::TakenBy(_)) => {
                tracing::info!(%shard_id, "the lease is lost: {end}");
            }
            LeaseError::Lost(end) => tracing::warn!(%shard_id, "the lease is lost: {end}"),
            LeaseError::Unavailable(cause) => {
                if failures.is_power_of_two() {
                    tracing::warn!(%shard_id, failures, "could not write the lease: {cause}");
                }
                self.report(LeaseReport::WriteFailed).await;
            }
            error @ LeaseError::Expired => {
                tracing::debug!(%shard_id, "could not write the lease: {error}");
            }
        }
    }

    async fn report(&self, report: LeaseReport) {
        // Fails only when the worker is gone, and then every task is.
        let _ = self.0.reports.send(report).await;
    }

    fn tries(&self) -> Tries {
        Tries::of_holder(self.env(), self.0.table.timing().failover)
    }

    fn env(&self) -> &Env {
        self.0.table.env()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, LeaseState> {
        lock(&self.0.state)
    }
}

impl fmt::Debug for LeaseHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseHandle")
            .field("state", &*self.state())
            .finish_non_exhaustive()
    }
}
