//! What a holder knows of its lease, and what it may do: pure.
//!
//! Two rules live here besides the writes of `decide.rs`:
//!
//! - **Validity.** The lease is mine while less than the failover time has passed since I *sent* the
//!   last write that is known to have succeeded, on my monotonic clock. Others count from the
//!   moment they see the counter move, which is later, so nobody takes the lease while I rely on it.
//! - **Floor.** A checkpoint whose answer is lost may be in the table, or get there later. So the
//!   highest position that was ever attempted is the lowest that may be written from then on.

use std::time::Duration;

use shardwise_env::Instant;
use shardwise_types::ShardId;

use super::decide::{self, Answer, Intent, Loss, Verdict, Write};
use super::lease::{Checkpoint, Lease, Me};
use super::store::StoreError;

/// Why a holder did not get what it wanted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HoldError {
    /// The lease is somebody else's now. Stop the shard.
    #[error("the lease is lost: {0}")]
    Lost(Loss),
    /// The lease was not renewed in time, and may be somebody else's. A renewal will tell; until
    /// one succeeds, nothing may be delivered or checkpointed.
    #[error("the lease was not renewed in time")]
    Expired,
    /// The position lies below one that is written, or that an earlier call may have written.
    #[error("the position {wanted} lies below {floor}, which may be written already")]
    BelowFloor {
        wanted: Checkpoint,
        floor: Checkpoint,
    },
    /// A merged shard cannot get its lease yet, since one of its parents has none: without this
    /// check the child would start although nobody has read that parent. Sync the shards, wait, then
    /// try again.
    #[error("shard {child} has a parent without a lease, {parent}")]
    ParentMissing { child: ShardId, parent: ShardId },
    /// The table gave no answer. The write may have happened; the same one may be tried again.
    #[error("the lease table did not answer")]
    Unavailable(#[source] StoreError),
}

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    /// How long a lease is good without a renewal.
    pub(crate) failover: Duration,
}

impl Timing {
    /// The KCL's margin: three renewals fit into the failover time and some more.
    const EPSILON: Duration = Duration::from_millis(25);

    /// The time between two renewals: a third of the failover time, as in the KCL, so that two may
    /// fail.
    pub(crate) fn renew_every(self) -> Duration {
        (self.failover / 3).saturating_sub(Self::EPSILON)
    }

    /// How long to wait after a renewal that failed: long enough not to add to an overload, short
    /// enough for some ten more tries before the lease is lost.
    pub(crate) fn renew_again_after(self) -> Duration {
        self.failover / 20
    }
}

/// The state of one held lease.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    me: Me,
    timing: Timing,
    row: Lease,
    floor: Checkpoint,
    /// The last write that is known to have succeeded was sent then, or later.
    proven: Instant,
    /// When the first of the writes whose outcome is unknown was sent.
    unsettled: Option<Instant>,
    renew_at: Instant,
    /// A release is or was under way: it may have freed the lease, or may yet. Only another write
    /// that succeeds can disprove it.
    giving_up: bool,
    loss: Option<Loss>,
}

/// What to do after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    Again,
}

impl Holder {
    /// The holder of a row that a write of mine, sent at `sent`, made mine.
    pub(super) fn new(me: Me, timing: Timing, row: Lease, sent: Instant) -> Self {
        Self {
            me,
            timing,
            floor: row.checkpoint.clone(),
            row,
            proven: sent,
            unsettled: None,
            renew_at: sent + timing.renew_every(),
            giving_up: false,
            loss: None,
        }
    }

    /// The row as last seen.
    pub(super) fn row(&self) -> &Lease {
        &self.row
    }

    /// When the lease ends unless a write succeeds before.
    pub(super) fn valid_until(&self) -> Instant {
        self.proven + self.timing.failover
    }

    /// Whether the lease is certainly mine now.
    pub(super) fn is_valid(&self, now: Instant) -> bool {
        self.loss.is_none() && !self.giving_up && now < self.valid_until()
    }

    /// When the next renewal is due. Every write counts as one.
    pub(super) fn renew_at(&self) -> Instant {
        self.renew_at
    }

    pub(super) fn loss(&self) -> Option<&Loss> {
        self.loss.as_ref()
    }

    /// The write for an intent, or none if there is nothing to write. From here on the write may be
    /// under way, whatever becomes of the caller.
    pub(super) fn begin(
        &mut self,
        intent: &Intent,
        now: Instant,
    ) -> Result<Option<Write>, HoldError> {
        if let Some(loss) = &self.loss {
            return Err(HoldError::Lost(loss.clone()));
        }
        match intent {
            // A finished lease needs no heartbeat.
            Intent::Renew if now < self.renew_at || self.row.is_ended() => return Ok(None),
            Intent::Checkpoint(wanted) => {
                self.check_valid(now)?;
                if *wanted < self.floor {
                    return Err(HoldError::BelowFloor {
                        wanted: wanted.clone(),
                        floor: self.floor.clone(),
                    });
                }
                if *wanted == self.row.checkpoint {
                    return Ok(None);
                }
                self.floor = wanted.clone();
            }
            Intent::End { .. } => {
                self.check_valid(now)?;
                if self.row.is_ended() {
                    return Ok(None);
                }
                self.floor = Checkpoint::ShardEnd;
            }
            Intent::Release => self.giving_up = true,
            _ => {}
        }
        self.unsettled.get_or_insert(now);
        Ok(Some(decide::next(&self.row, &self.me, intent)))
    }

    /// Takes in the answer to a write that was sent at `sent`.
    pub(super) fn settle(
        &mut self,
        intent: &Intent,
        sent: Instant,
        answer: Answer,
    ) -> Result<Progress, HoldError> {
        // All that is unknown is settled by the answer: the counter that those writes need is past.
        let earliest = self.unsettled.take().unwrap_or(sent);
        let (row, progress, proven) = match decide::judge(&self.row, &self.me, intent, answer) {
            Verdict::Done(row) => (row, Progress::Done, sent),
            Verdict::AlreadyDone(row) => (row, Progress::Done, earliest),
            Verdict::Again(row) => (row, Progress::Again, earliest),
            Verdict::Lost(loss) => return Err(self.lose(loss)),
        };
        self.proven = self.proven.max(proven);
        self.renew_at = self.proven + self.timing.renew_every();
        self.giving_up = false;
        self.row = *row;
        if self.floor < self.row.checkpoint {
            self.floor = self.row.checkpoint.clone();
        }
        if *intent == Intent::Release && progress == Progress::Done {
            self.loss = Some(Loss::Released);
        }
        Ok(progress)
    }

    /// A look showed this row. Only a newer one than mine proves anything.
    pub(super) fn seen(&mut self, row: &Lease) {
        if self.loss.is_none() && row.counter > self.row.counter && !row.is_claimed_by(&self.me) {
            self.lose(decide::loss(row, &self.me));
        }
    }

    /// A renewal had no answer.
    pub(super) fn renewal_failed(&mut self, now: Instant) {
        self.renew_at = now + self.timing.renew_again_after();
    }

    /// The lease is lost for good. If it is free, and I was about to free it, then that was me: the
    /// answer to my release was lost.
    pub(super) fn lose(&mut self, loss: Loss) -> HoldError {
        let loss = match loss {
            Loss::Freed if self.giving_up => Loss::Released,
            loss => loss,
        };
        self.loss = Some(loss.clone());
        HoldError::Lost(loss)
    }

    fn check_valid(&self, now: Instant) -> Result<(), HoldError> {
        if self.is_valid(now) {
            Ok(())
        } else {
            Err(HoldError::Expired)
        }
    }
}
