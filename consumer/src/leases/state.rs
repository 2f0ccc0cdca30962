//! What a worker knows of a lease that it holds, and what it may write to it: pure.
//!
//! Two rules live here besides the writes of `decide.rs`:
//!
//! - **Validity.** The lease is held while less than the failover time has passed since the last write
//!   that is known to have succeeded was *sent*, on the holder's monotonic clock. Others count from the
//!   moment they see the counter move, which is later, so no worker takes the lease while its holder relies
//!   on it.
//! - **Floor.** A checkpoint whose answer is lost may be in the table, or get there later. So the
//!   farthest progress that was ever attempted is the least that is written from then on: what it says
//!   is true, and says more than an earlier one.
//!
//! `handle.rs` is the shell around it.

use std::time::Duration;

use shardwise_env::Instant;

use super::decide::{self, Answer, Intent, Verdict, Write};
use super::end::LeaseEnd;
use super::lease::{Checkpoint, Identity, Lease};
use super::store::StoreError;

/// Why a wish about a lease was not fulfilled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeaseError {
    /// The lease is not this worker's, or not any more. Stop the shard.
    #[error("the lease is lost: {0}")]
    Lost(LeaseEnd),
    /// The lease was not renewed in time, and may be another worker's. A renewal finds out; until
    /// one succeeds, nothing may be delivered or checkpointed.
    #[error("the lease was not renewed in time")]
    Expired,
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
    fn renew_every(self) -> Duration {
        (self.failover / 3).saturating_sub(Self::EPSILON)
    }
}

/// A row that a write of this worker has just made its own.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// The row, which is the claiming write's answer.
    pub(crate) row: Lease,
    /// When that write was sent.
    pub(crate) sent: Instant,
}

/// The state of one held lease.
#[derive(Debug, Clone)]
pub(super) struct LeaseState {
    identity: Identity,
    timing: Timing,
    row: Lease,
    /// The farthest progress that is written or may be, [`Intent::Checkpoint`] or [`Intent::End`].
    farthest: Intent,
    /// The last write that is known to have succeeded was sent then, or later.
    proven: Instant,
    /// When the first of the writes whose outcome is unknown was sent.
    unsettled: Option<Instant>,
    /// The last write, until it is settled, and when it was sent.
    under_way: Option<(Intent, Instant)>,
    /// A release is or was under way: it may have freed the lease, or may yet. Only another write
    /// that succeeds can disprove it.
    giving_up: bool,
    end: Option<LeaseEnd>,
}

/// What to do after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// What was wanted is written.
    Done,
    /// Begin the same intent again: an earlier write came first.
    Again,
}

impl LeaseState {
    /// The state of a lease that was just claimed.
    pub(super) fn new(identity: Identity, timing: Timing, claim: Claim) -> Self {
        Self {
            identity,
            timing,
            farthest: Intent::Checkpoint(claim.row.checkpoint.clone()),
            row: claim.row,
            proven: claim.sent,
            unsettled: None,
            under_way: None,
            giving_up: false,
            end: None,
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

    /// Whether the lease is certainly held now.
    pub(super) fn is_valid(&self, now: Instant) -> bool {
        self.end.is_none() && !self.giving_up && now < self.valid_until()
    }

    /// When the next renewal is due. Every write counts as one.
    pub(super) fn renew_at(&self) -> Instant {
        self.proven + self.timing.renew_every()
    }

    /// What became of the lease, if it is held no more.
    pub(super) fn end(&self) -> Option<&LeaseEnd> {
        self.end.as_ref()
    }

    /// The write for an intent, or none if there is nothing to write. From here on the write may be
    /// under way, whatever becomes of the caller; one that was not settled is given up.
    pub(super) fn begin(
        &mut self,
        intent: Intent,
        now: Instant,
    ) -> Result<Option<Write>, LeaseError> {
        if let Some(end) = &self.end {
            return Err(LeaseError::Lost(end.clone()));
        }
        let intent = match intent {
            // A finished lease needs no heartbeat.
            Intent::Renew if now < self.renew_at() || self.row.is_ended() => return Ok(None),
            Intent::Checkpoint(_) | Intent::End { .. } => {
                if !self.is_valid(now) {
                    return Err(LeaseError::Expired);
                }
                if *position(&intent) <= self.row.checkpoint {
                    return Ok(None);
                }
                if position(&intent) >= position(&self.farthest) {
                    self.farthest = intent;
                }
                self.farthest.clone()
            }
            Intent::Release => {
                self.giving_up = true;
                intent
            }
            intent => intent,
        };
        let write = decide::next(&self.row, &self.identity, &intent);
        self.unsettled.get_or_insert(now);
        self.under_way = Some((intent, now));
        Ok(Some(write))
    }

    /// Takes in the answer to the write that [`begin`](Self::begin) gave last.
    pub(super) fn settle(&mut self, answer: Answer) -> Result<Step, LeaseError> {
        let Some((intent, sent)) = self.under_way.take() else {
            return Ok(Step::Again);
        };
        // All that is unknown is settled by the answer: the counter that those writes need is past.
        let earliest = self.unsettled.take().unwrap_or(sent);
        let (row, step, proven) = match decide::judge(&self.row, &self.identity, &intent, answer) {
            Verdict::Done(row) => (row, Step::Done, sent),
            Verdict::AlreadyDone(row) => (row, Step::Done, earliest),
            Verdict::Again(row) => (row, Step::Again, earliest),
            Verdict::Lost(end) => return Err(self.lose(end)),
        };
        self.proven = self.proven.max(proven);
        self.giving_up = false;
        self.row = *row;
        if *position(&self.farthest) < self.row.checkpoint {
            self.farthest = Intent::Checkpoint(self.row.checkpoint.clone());
        }
        if intent == Intent::Release && step == Step::Done {
            self.end = Some(LeaseEnd::Released);
        }
        Ok(step)
    }

    /// A look at the table showed this row. Only a newer one than the last proves anything.
    pub(super) fn seen(&mut self, row: &Lease) {
        if self.end.is_none()
            && row.counter > self.row.counter
            && !row.is_claimed_by(&self.identity)
        {
            self.lose(decide::loss(row, &self.identity));
        }
    }

    /// The lease is lost for good. If it is free, and this worker was about to free it, then that is
    /// what happened: the answer to its release was lost.
    fn lose(&mut self, end: LeaseEnd) -> LeaseError {
        let end = match end {
            LeaseEnd::Freed if self.giving_up => LeaseEnd::Released,
            end => end,
        };
        self.end = Some(end.clone());
        LeaseError::Lost(end)
    }
}

/// How far a shard is processed by what a holder wants to write.
fn position(progress: &Intent) -> &Checkpoint {
    match progress {
        Intent::Checkpoint(checkpoint) => checkpoint,
        _ => &Checkpoint::ShardEnd,
    }
}
