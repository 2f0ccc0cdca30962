//! Who takes what: a pure decision, the same that a KCL 2.x worker makes.
//!
//! Every worker decides for itself from one look at the table, so what two of them decide may
//! collide; the conditional write settles it. A worker that finds itself below its share takes what
//! is free, or else one lease of the most loaded worker. It ends with all workers within one lease
//! of each other, and then nothing moves any more.
//!
//! Leases of shards whose parents are not done may be taken like any other: their holder renews
//! them and waits ([`may_start`](super::missing::may_start)). So a child has an owner at the moment its
//! last parent ends. Leases of shards that are done count for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shardwise_types::WorkerId;

use super::key::LeaseKey;
use super::lease::{Identity, Lease};
use super::observe::Observations;

/// A lease that has been free for this many failover times is taken beyond one's share: whoever
/// was to take it does not.
const OVERDUE_AFTER: u32 = 3;

/// What a worker decides from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) identity: &'a Identity,
    /// All leases, from a look that is already in `seen`.
    pub(crate) leases: &'a [Lease],
    pub(crate) seen: &'a Observations,
    /// What this worker holds, whatever the look says: it may be older than the last take.
    pub(crate) held: &'a BTreeSet<LeaseKey>,
    /// What it is not to take now: a shard that its processor has just failed on, say.
    pub(crate) avoid: &'a BTreeSet<LeaseKey>,
    pub(crate) failover: Duration,
    /// How many leases to hold at most, besides those that wait for their parents.
    pub(crate) max_leases: usize,
}

/// What a worker is to do with a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Move {
    /// Take it, given the row as last seen.
    Take(Lease),
}

/// What to do now, in the coordination mode of the KCL 2.x. `random_below(n)` draws from `0..n`.
pub(crate) fn moves(view: &View<'_>, random_below: impl FnMut(u64) -> u64) -> Vec<Move> {
    let takes = takes(view, random_below);
    takes.into_iter().cloned().map(Move::Take).collect()
}

fn takes<'a>(view: &View<'a>, mut random_below: impl FnMut(u64) -> u64) -> Vec<&'a Lease> {
    let standing = Standing::of(view);
    // This worker's by the table though it does not hold them: claims whose answer was lost.
    let forgotten = view
        .open()
        .filter(|lease| lease.is_claimed_by(view.identity) && view.may_take(lease));
    let mut takes: Vec<&Lease> = forgotten.collect();

    let mut free: Vec<&Lease> = view
        .open()
        .filter(|lease| view.is_free(lease) && view.may_take(lease))
        .collect();
    if free.is_empty() {
        if takes.is_empty() {
            takes.extend(steal(view, &standing, &mut random_below));
        }
        return takes;
    }
    // All workers see the same list: without shuffling all would race for the same leases.
    shuffle(&mut free, &mut random_below);
    free.sort_by_key(|lease| (!view.is_overdue(lease), standing.waits(lease)));
    let overdue = free.iter().filter(|lease| view.is_overdue(lease)).count();
    let room = view.max_leases.saturating_sub(standing.active);
    let count = standing.need().max(overdue.min(room));
    takes.extend(free.into_iter().take(count));
    takes
}

/// One lease of the most loaded worker, if it has more than its share; or exactly its share, if this
/// worker lacks two: else three workers with 2, 2 and 0 leases would stay so.
fn steal<'a>(
    view: &View<'a>,
    standing: &Standing<'a>,
    random_below: &mut impl FnMut(u64) -> u64,
) -> Option<&'a Lease> {
    let need = standing.need();
    if need == 0 {
        return None;
    }
    let most = standing.others.values().copied().max()?;
    if most < standing.target || (most == standing.target && need < 2) {
        return None;
    }
    let most_loaded: Vec<&WorkerId> = standing
        .others
        .iter()
        .filter_map(|(worker, count)| (*count == most).then_some(*worker))
        .collect();
    let victim = *pick(&most_loaded, random_below)?;
    let candidates: Vec<&Lease> = view
        .open()
        .filter(|lease| lease.actual_owner() == Some(victim) && view.may_take(lease))
        // In the middle of a handover; it ends or expires.
        .filter(|lease| lease.checkpoint_owner.is_none())
        .collect();
    pick(&candidates, random_below).copied()
}

impl<'a> View<'a> {
    fn open(&self) -> impl Iterator<Item = &'a Lease> {
        self.leases.iter().filter(|lease| !lease.is_ended())
    }

    fn is_mine(&self, lease: &Lease) -> bool {
        self.held.contains(&lease.key) || lease.is_claimed_by(self.identity)
    }

    fn is_free(&self, lease: &Lease) -> bool {
        !self.is_mine(lease) && self.seen.is_available(lease, self.failover)
    }

    fn is_overdue(&self, lease: &Lease) -> bool {
        self.seen.unchanged_for(&lease.key) > self.failover * OVERDUE_AFTER
    }

    fn may_take(&self, lease: &Lease) -> bool {
        !self.held.contains(&lease.key) && !self.avoid.contains(&lease.key)
    }
}

/// Who has how much.
#[derive(Debug)]
struct Standing<'a> {
    /// The leases of this worker. Those of a dead predecessor of its name count until they expire:
    /// soon they are free, and to steal from others meanwhile would only make two moves of one.
    mine: usize,
    /// Those of them whose shards can be read. The others wait for their parents, and must not keep
    /// the places in which those are read: of two parents of a merge one may have ended here while
    /// no worker reads the other.
    active: usize,
    others: BTreeMap<&'a WorkerId, usize>,
    /// The share of each worker.
    target: usize,
    /// The shards that are not at their end.
    open: BTreeSet<&'a LeaseKey>,
}

impl<'a> Standing<'a> {
    fn of(view: &View<'a>) -> Self {
        let mut standing = Self {
            mine: 0,
            active: 0,
            others: BTreeMap::new(),
            target: 0,
            open: view.open().map(|lease| &lease.key).collect(),
        };
        for lease in view.open() {
            match lease.actual_owner() {
                _ if view.is_mine(lease) => standing.count_mine(lease),
                _ if view.is_free(lease) => {}
                Some(owner) if *owner != view.identity.worker_id => {
                    *standing.others.entry(owner).or_default() += 1;
                }
                _ => standing.count_mine(lease),
            }
        }
        // A worker without a lease cannot be seen, so idle workers do not count, but this one does.
        let (workers, total) = (standing.others.len() + 1, standing.open.len());
        let share = if workers >= total {
            1
        } else {
            total.div_ceil(workers)
        };
        standing.target = share.min(view.max_leases);
        standing
    }

    fn count_mine(&mut self, lease: &Lease) {
        self.mine += 1;
        self.active += usize::from(!self.waits(lease));
    }

    /// Whether a parent of the shard is not at its end.
    fn waits(&self, lease: &Lease) -> bool {
        lease
            .parent_keys()
            .any(|parent| self.open.contains(&parent))
    }

    fn need(&self) -> usize {
        self.target.saturating_sub(self.mine)
    }
}

fn shuffle<T>(items: &mut [T], random_below: &mut impl FnMut(u64) -> u64) {
    for last in (1..items.len()).rev() {
        items.swap(last, index_below(last + 1, random_below));
    }
}

fn pick<'i, T>(items: &'i [T], random_below: &mut impl FnMut(u64) -> u64) -> Option<&'i T> {
    items.get(index_below(items.len(), random_below))
}

fn index_below(len: usize, random_below: &mut impl FnMut(u64) -> u64) -> usize {
    let drawn = random_below(u64::try_from(len).unwrap_or(u64::MAX));
    usize::try_from(drawn).unwrap_or(0)
}
