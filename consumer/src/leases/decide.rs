//! What may be written to a lease row, and what an answer means: pure functions.
//!
//! [`next`] turns an intent into a conditional write, [`judge`] an answer into a verdict. Workers,
//! the protocol's model test and every store go through these two, so what is tested is what runs.
//!
//! The fence is the counter. Every write is conditional on the counter that the writer last saw and
//! adds one to it, so of two writers that saw the same row at most one succeeds, and a holder whose
//! lease was taken cannot write any more, however late its request arrives.
//!
//! The price of it: a holder whose write succeeded but whose answer was lost finds a counter that is
//! not the one it expects when it writes again. [`judge`] tells this from a lost lease: the counter is
//! one above the one that was seen, and owner and incarnation are the writer's, so the write was its
//! own. Then the **whole** row is adopted. Adopting the counter alone would let a checkpoint go
//! backwards.

use std::collections::BTreeSet;
use std::time::SystemTime;

use shardwise_types::{ShardId, WorkerId};

use super::end::LeaseEnd;
use super::key::LeaseKey;
use super::lease::{Checkpoint, Identity, Incarnation, Lease};

/// What somebody wants of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Put the row there as it is, unless there is one.
    Create,
    /// Make the lease the writer's, whoever has it: free, expired, or taken from a worker with too
    /// many. Where the row says `LATEST` but not since when, it is since `started_at`.
    Take { started_at: SystemTime },
    /// Show that the holder lives.
    Renew,
    /// Write down what is done.
    Checkpoint(Checkpoint),
    /// Write down that the shard is done, and who comes after it.
    End { children: BTreeSet<ShardId> },
    /// Give the lease up.
    Release,
    /// Remove the row of a finished shard.
    Delete,
}

/// A conditional write, as data: any store can carry it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Write {
    /// Put this row if there is none with its key.
    Create(Box<Lease>),
    /// Change some attributes of a row whose counter is this, and leave all others alone. The
    /// counter becomes one more.
    Update {
        key: LeaseKey,
        counter: u64,
        changes: Vec<Change>,
    },
    /// Remove a row whose counter is this.
    Delete { key: LeaseKey, counter: u64 },
}

/// A change of one attribute, or of some that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Owner(Option<WorkerId>),
    Incarnation(Option<Incarnation>),
    /// Ends a handover.
    RemoveCheckpointOwner,
    OwnerSwitches(u64),
    StartedAt(SystemTime),
    /// The checkpoint with its number. Takes away what has become void: a pending checkpoint, and
    /// the time that a `LATEST` began.
    Checkpoint(Checkpoint),
    Children(BTreeSet<ShardId>),
}

/// What a store says to a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done; the row as it is now, or as it was before it was deleted.
    Applied(Box<Lease>),
    /// The condition did not hold; the row as it is, if there is one that can be read.
    Refused(Option<Box<Lease>>),
}

/// What an answer means for the one who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// What was wanted is written, by this write.
    Done(Box<Lease>),
    /// What was wanted is written, by an earlier write of the same process whose answer was lost:
    /// perhaps by an earlier try of this one, perhaps long ago.
    AlreadyDone(Box<Lease>),
    /// The row is the writer's, but an earlier write of it came first: go on from this row and write
    /// again. A claim is always written again, since it is not known when the earlier one was sent.
    Again(Box<Lease>),
    /// The lease is not the writer's, or not any more.
    Lost(LeaseEnd),
}

/// The write that carries out an intent, given the row as last seen.
pub(crate) fn next(seen: &Lease, identity: &Identity, intent: &Intent) -> Write {
    let changes = match intent {
        Intent::Create => return Write::Create(Box::new(seen.clone())),
        Intent::Delete => {
            return Write::Delete {
                key: seen.key.clone(),
                counter: seen.counter,
            };
        }
        Intent::Take { started_at } => take(seen, identity, *started_at),
        Intent::Renew => Vec::new(),
        Intent::Checkpoint(checkpoint) => {
            vec![
                Change::Checkpoint(checkpoint.clone()),
                Change::OwnerSwitches(0),
            ]
        }
        Intent::End { children } => vec![
            Change::Checkpoint(Checkpoint::ShardEnd),
            Change::OwnerSwitches(0),
            Change::Children(children.clone()),
        ],
        Intent::Release => release(seen),
    };
    Write::Update {
        key: seen.key.clone(),
        counter: seen.counter,
        changes,
    }
}

fn take(seen: &Lease, identity: &Identity, started_at: SystemTime) -> Vec<Change> {
    let mut changes = vec![
        Change::Owner(Some(identity.worker_id.clone())),
        Change::Incarnation(Some(identity.incarnation.clone())),
        Change::RemoveCheckpointOwner,
    ];
    if seen.owner.as_ref() != Some(&identity.worker_id) {
        changes.push(Change::OwnerSwitches(seen.owner_switches.saturating_add(1)));
    }
    if seen.checkpoint == Checkpoint::Latest && seen.started_at.is_none() {
        changes.push(Change::StartedAt(started_at));
    }
    changes
}

/// In the middle of a handover the lease goes to the worker that waits for it, else it is free. A
/// handover that this holder does not know of yet ends with the lease being free: its counter did
/// not move, so the condition cannot notice it.
fn release(seen: &Lease) -> Vec<Change> {
    let mut changes = vec![Change::Incarnation(None), Change::RemoveCheckpointOwner];
    if seen.checkpoint_owner.is_none() {
        changes.push(Change::Owner(None));
    }
    changes
}

/// What the answer to [`next`]'s write means.
pub(crate) fn judge(seen: &Lease, identity: &Identity, intent: &Intent, answer: Answer) -> Verdict {
    match (intent, answer) {
        (Intent::Create | Intent::Release | Intent::Delete, Answer::Applied(row)) => {
            Verdict::Done(row)
        }
        // Changed by hand, without the counter: what the table says counts.
        (_, Answer::Applied(row)) if !row.is_claimed_by(identity) => {
            Verdict::Lost(loss(&row, identity))
        }
        (_, Answer::Applied(row)) => Verdict::Done(row),
        // Nothing is left to be given up or removed.
        (Intent::Release | Intent::Delete, Answer::Refused(None)) => {
            Verdict::AlreadyDone(Box::new(seen.clone()))
        }
        (_, Answer::Refused(None)) => Verdict::Lost(LeaseEnd::RowGone),
        (Intent::Create, Answer::Refused(Some(row))) if row.is_claimed_by(identity) => {
            Verdict::AlreadyDone(row)
        }
        (Intent::Create | Intent::Delete, Answer::Refused(Some(row))) => {
            Verdict::Lost(loss(&row, identity))
        }
        (_, Answer::Refused(Some(row))) => refused(seen, identity, intent, row),
    }
}

/// A holder's write, or a taker's, was refused: was it an earlier write of the same process that came
/// first?
fn refused(seen: &Lease, identity: &Identity, intent: &Intent, row: Box<Lease>) -> Verdict {
    if seen.counter.checked_add(1) != Some(row.counter) {
        return Verdict::Lost(loss(&row, identity));
    }
    if *intent == Intent::Release && row.owner.is_none() {
        return Verdict::AlreadyDone(row);
    }
    if !row.is_claimed_by(identity) {
        return Verdict::Lost(loss(&row, identity));
    }
    let already = match intent {
        Intent::Renew => true,
        Intent::Checkpoint(wanted) => row.checkpoint >= *wanted,
        Intent::End { children } => row.is_ended() && row.children == *children,
        Intent::Take { .. } | Intent::Release | Intent::Create | Intent::Delete => false,
    };
    if already {
        Verdict::AlreadyDone(row)
    } else {
        Verdict::Again(row)
    }
}

/// What became of a lease whose row is not this process's.
pub(super) fn loss(row: &Lease, identity: &Identity) -> LeaseEnd {
    match row.actual_owner() {
        None => LeaseEnd::Freed,
        // Without an incarnation no process claimed it, so there need not be another one.
        Some(owner) if row.is_of_namesake(identity) && row.incarnation.is_some() => {
            LeaseEnd::TakenByNamesake(owner.clone())
        }
        Some(owner) => LeaseEnd::TakenBy(owner.clone()),
    }
}

impl Write {
    /// The key of the row that it is about.
    pub(crate) fn key(&self) -> &LeaseKey {
        match self {
            Self::Create(lease) => &lease.key,
            Self::Update { key, .. } | Self::Delete { key, .. } => key,
        }
    }
}

impl Change {
    /// Carries the change out on a row in memory.
    pub(crate) fn apply(&self, lease: &mut Lease) {
        match self {
            Self::Owner(owner) => lease.owner.clone_from(owner),
            Self::Incarnation(incarnation) => lease.incarnation.clone_from(incarnation),
            Self::RemoveCheckpointOwner => lease.checkpoint_owner = None,
            Self::OwnerSwitches(count) => lease.owner_switches = *count,
            Self::StartedAt(time) => lease.started_at = Some(*time),
            Self::Checkpoint(checkpoint) => {
                lease.checkpoint = checkpoint.clone();
                lease.started_at = None;
            }
            Self::Children(children) => lease.children.clone_from(children),
        }
    }
}
