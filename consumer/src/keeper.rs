//! A held lease as the shard's tasks see it: renewed in the background, asked before each step.
//!
//! What may be written and what an answer means is `leases`' part; here is only the waiting around
//! it: for the next renewal, for a table that does not answer, for a lease that has to be proven
//! again after this host stood still.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use shardwise_client::ChildShard;
use shardwise_env::{Env, Task};
use shardwise_types::ShardId;
use tokio::sync::{mpsc, watch};

use crate::coordinator::Event;
use crate::error::{CheckpointError, CheckpointErrorKind};
use crate::leases::{Checkpoint, Held, HoldError, Lease, Loss};
use crate::record::Position;
use crate::stats::Stats;

/// The time between two reads of a parent's lease that is missing: that may take hours, and each
/// shard that waits asks on its own. The KCL asks as often.
const BETWEEN_ASKS: Duration = Duration::from_millis(1500);

/// A lease that this worker holds. Cheap to clone.
#[derive(Clone)]
pub(crate) struct KeptLease(Arc<Inner>);

struct Inner {
    held: Held,
    env: Env,
    failover: Duration,
    stats: Stats,
    events: mpsc::Sender<Event>,
    /// Changes whenever it is worth to look at the lease again.
    news: watch::Sender<()>,
    /// The children with which the shard was last to be ended.
    children: Mutex<Vec<ChildShard>>,
}

/// What is to be written.
enum Wish<'a> {
    Checkpoint(Checkpoint),
    End(&'a [ChildShard]),
    Release,
}

/// The lease is not this worker's any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// The lease is free.
    Done,
    /// It was lost before.
    Lost,
    /// The table gave no answer: the lease is free, or expires by itself.
    Unanswered,
}

impl KeptLease {
    /// Takes a lease into care. The task renews it until the lease is lost or the task is dropped.
    pub(crate) fn keep(
        held: Held,
        env: &Env,
        failover: Duration,
        stats: &Stats,
        events: mpsc::Sender<Event>,
    ) -> (Self, Task<()>) {
        let handle = Self(Arc::new(Inner {
            held,
            env: env.clone(),
            failover,
            stats: stats.clone(),
            events,
            news: watch::Sender::new(()),
            children: Mutex::default(),
        }));
        let keeper = env.spawn(handle.clone().renew_for_ever());
        (handle, keeper)
    }

    async fn renew_for_ever(self) {
        let inner = &*self.0;
        // A lease that is checkpointed at its end needs no heartbeat.
        while !self.is_gone() && !self.is_ended() {
            inner.env.sleep_until(inner.held.renew_at()).await;
            if let Err(error) = inner.held.renew().await {
                self.note(&error, "could not renew the lease");
            }
            inner.news.send_replace(());
        }
    }

    pub(crate) fn shard_id(&self) -> &ShardId {
        self.0.held.shard_id()
    }

    /// The last checkpoint that is known to be written.
    pub(crate) fn checkpointed(&self) -> Checkpoint {
        self.0.held.checkpointed()
    }

    /// What a `LATEST` without any checkpoint means.
    pub(crate) fn started_at(&self) -> Option<SystemTime> {
        self.0.held.claimed().started_at
    }

    pub(crate) fn held(&self) -> &Held {
        &self.0.held
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.0.held.loss().is_some()
    }

    /// Whether the shard is checkpointed at its end: done, whatever becomes of the lease.
    pub(crate) fn is_ended(&self) -> bool {
        self.checkpointed() == Checkpoint::ShardEnd
    }

    /// Waits until the lease is certainly this worker's. It is at once, unless renewals failed or
    /// this host stood still; then the next renewal tells. A lease that is checkpointed at its end
    /// is renewed no more, and never waited for.
    pub(crate) async fn valid(&self) -> Result<(), Gone> {
        let mut news = self.0.news.subscribe();
        loop {
            if self.is_gone() {
                return Err(Gone);
            }
            if self.is_ended() || self.0.held.is_valid(self.0.env.now()) {
                return Ok(());
            }
            // The sender lives in `self`.
            let _ = news.changed().await;
        }
    }

    /// Resolves when the lease is not this worker's any more.
    pub(crate) async fn gone(&self) {
        let mut news = self.0.news.subscribe();
        while !self.is_gone() {
            let _ = news.changed().await;
        }
    }

    /// A look at the table showed this row, perhaps an old one.
    pub(crate) fn seen(&self, row: &Lease) {
        self.0.held.seen(row);
        if self.is_gone() {
            self.0.news.send_replace(());
        }
    }

    pub(crate) async fn checkpoint(&self, position: &Position) -> Result<(), CheckpointError> {
        if position.shard_id != *self.shard_id() {
            let foreign = format!("{position} of {}", position.shard_id);
            return Err(CheckpointError::new(CheckpointErrorKind::ForeignPosition)
                .with_source(format!("{foreign} is no place in {}", self.shard_id())));
        }
        let before = self.checkpointed();
        self.persist(Wish::Checkpoint(Checkpoint::At {
            sequence_number: position.sequence_number.clone(),
            sub_sequence: position.sub_sequence_number,
        }))
        .await?;
        if self.checkpointed() != before {
            self.0.stats.count(|stats| stats.checkpoints += 1);
        }
        Ok(())
    }

    /// Waits until these children can have leases: a merged shard gets none before its other parent has
    /// one. That comes with the end of *its* parents, which may be hours behind in another worker's
    /// hands; or else from a comparison of the shards with the leases, which is asked for.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub(crate) async fn until_children_may_come(&self, children: &[ChildShard]) {
        let inner = &*self.0;
        let mut is_known = false;
        loop {
            match inner.held.missing_parent(children).await {
                Ok(Some(_)) if is_known => {}
                Ok(Some(parent)) => {
                    is_known = true;
                    let shard_id = self.shard_id();
                    tracing::info!(%shard_id, %parent, "the end waits for the lease of another parent");
                    // Fails only when the worker is gone, and then every task is.
                    let _ = inner.events.send(Event::ShardsMissing).await;
                }
                Err(HoldError::Unavailable(error)) if error.is_retryable() => {
                    let shard_id = self.shard_id();
                    tracing::warn!(%shard_id, %error, "could not read the lease of another parent");
                }
                // If the table refuses to tell, it refuses the shard's end, too.
                Ok(None) | Err(_) => return,
            }
            inner.env.sleep(BETWEEN_ASKS).await;
        }
    }

    /// Writes down that the shard is done; its children's leases go to the worker.
    pub(crate) async fn end(&self, children: &[ChildShard]) -> Result<(), CheckpointError> {
        self.persist(Wish::End(children)).await?;
        self.0.stats.count(|stats| stats.checkpoints += 1);
        Ok(())
    }

    /// Gives the lease up.
    pub(crate) async fn release(&self) -> Release {
        let result = self.persist(Wish::Release).await;
        self.0.news.send_replace(());
        match (result, self.0.held.loss()) {
            // A release whose answer was lost is found out by the next write.
            (Ok(()), _) | (Err(_), Some(Loss::Released)) => Release::Done,
            (Err(_), Some(_)) => Release::Lost,
            (Err(_), None) => Release::Unanswered,
        }
    }

    /// Repeats a write for as long as the lease is good without a renewal: longer than that, nobody
    /// knows whose it is.
    async fn persist(&self, mut wish: Wish<'_>) -> Result<(), CheckpointError> {
        let inner = &*self.0;
        let deadline = inner.env.now() + inner.failover;
        loop {
            let error = match self.write(&mut wish).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            self.note(&error, "could not write the lease");
            if let HoldError::Lost(_) = error {
                inner.news.send_replace(());
                let kind = CheckpointErrorKind::LeaseLost;
                return Err(CheckpointError::new(kind).with_source(error));
            }
            let again = inner.env.now() + self.pause();
            if again >= deadline {
                let kind = CheckpointErrorKind::Unavailable;
                return Err(CheckpointError::new(kind).with_source(error));
            }
            inner.env.sleep_until(again).await;
        }
    }

    async fn write(&self, wish: &mut Wish<'_>) -> Result<(), HoldError> {
        let inner = &*self.0;
        match wish {
            Wish::Checkpoint(wanted) => self.write_checkpoint(wanted).await,
            Wish::Release => inner.held.release().await,
            Wish::End(children) => {
                *self.children() = children.to_vec();
                self.write_end(children).await
            }
        }
    }

    fn children(&self) -> MutexGuard<'_, Vec<ChildShard>> {
        let children = self.0.children.lock();
        children.unwrap_or_else(PoisonError::into_inner)
    }

    async fn write_end(&self, children: &[ChildShard]) -> Result<(), HoldError> {
        let inner = &*self.0;
        for child in inner.held.end(children).await? {
            // Fails only when the worker is gone, and then every task is.
            let _ = inner.events.send(Event::Child(Box::new(child))).await;
        }
        inner.news.send_replace(());
        Ok(())
    }

    async fn write_checkpoint(&self, wanted: &mut Checkpoint) -> Result<(), HoldError> {
        loop {
            let Checkpoint::At {
                sequence_number,
                sub_sequence,
            } = wanted.clone()
            else {
                return Ok(());
            };
            match self.0.held.checkpoint(sequence_number, sub_sequence).await {
                // Done with long ago.
                Err(HoldError::BelowFloor { .. }) if *wanted <= self.checkpointed() => {
                    return Ok(());
                }
                // A later position was asked for before, and may not be written: what it says is
                // true, and says more.
                Err(HoldError::BelowFloor {
                    floor: floor @ Checkpoint::At { .. },
                    ..
                }) => *wanted = floor,
                // The end was asked for before, and may not be written: the same holds.
                Err(HoldError::BelowFloor { .. }) => {
                    let children = self.children().clone();
                    return self.write_end(&children).await;
                }
                result => return result,
            }
        }
    }

    /// Between two tries: some twenty of them fit into the failover time. With jitter, since all
    /// the worker's shards meet a table that does not answer at the same time.
    fn pause(&self) -> Duration {
        (self.0.failover / 20).mul_f64(0.5 + self.0.env.random_f64())
    }

    fn note(&self, error: &HoldError, what: &'static str) {
        let shard_id = self.shard_id();
        if let HoldError::Lost(loss) = error {
            if *loss != Loss::Released {
                tracing::warn!(%shard_id, %error, "the lease is lost");
            }
            return;
        }
        self.0.stats.count(|stats| stats.lease_write_failures += 1);
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::warn!(%shard_id, %error, cause, "{what}");
    }
}

impl fmt::Debug for KeptLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.held.fmt(f)
    }
}
