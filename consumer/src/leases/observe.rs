//! Which leases live: by observation, without comparing the clocks of two hosts.
//!
//! A lease is expired if its counter has not moved for longer than the failover time on the observer's
//! monotonic clock. So after a start nothing is expired until the worker has looked for that long. And
//! what happened between two looks is not known: after an outage of the table, or after this host stood
//! still, the owners were silent for as long as the observer was, and are given the time to renew.

use std::collections::BTreeMap;
use std::time::Duration;

use shardwise_env::Instant;
use shardwise_types::WorkerId;

use super::key::LeaseKey;
use super::lease::{Identity, Lease};

/// How often the counter of a lease that bears this worker's name, but not its incarnation, must have
/// moved to prove that another process writes it. Once proves nothing: the first look may have been at
/// an old row, or the last request of this worker's predecessor may still have been under way.
const MOVES_OF_A_DOUBLE: u32 = 2;

/// What one gap between two looks counts for at most, as a part of the failover time: 1 / this.
///
/// Looks are at most a quarter of the failover time apart, so ordinary ones count in full. A living
/// owner was silent for a third before the gap (it renews that often), a quarter passes until a look
/// sees that, and the gap adds a third: less than one failover time. So after the gap every owner has
/// the time to the next look to renew, and none is overdue.
const GAP_PART: u32 = 3;

/// What was seen of each lease so far.
#[derive(Debug, Clone)]
pub(crate) struct Observations {
    longest_gap: Duration,
    leases: BTreeMap<LeaseKey, Observed>,
}

#[derive(Debug, Clone, Copy)]
struct Observed {
    counter: u64,
    /// For how long this counter was seen: from the answer of the first look that showed it to the
    /// question of the last, long gaps cut short.
    silent: Duration,
    /// When the last look that showed this counter was asked for; the first, when it was answered.
    last: Instant,
    /// What is known of a namesake that holds it.
    double: Option<Double>,
}

/// The highest counter that a namesake wrote, and how often it was seen to move.
#[derive(Debug, Clone, Copy)]
struct Double {
    highest: u64,
    moves: u32,
}

/// Two live processes use one worker id. They would steal each other's leases without end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("another live process uses the worker id {worker_id}: it renews the lease of {key}")]
pub(crate) struct DuplicateWorkerId {
    /// The id.
    pub(crate) worker_id: WorkerId,
    /// A lease that the other process renews.
    pub(crate) key: LeaseKey,
}

impl Observations {
    /// Nothing seen yet.
    pub(crate) fn new(failover: Duration) -> Self {
        Self {
            longest_gap: failover / GAP_PART,
            leases: BTreeMap::new(),
        }
    }

    /// Takes in a scan that was asked for and answered at these times. Forgets leases that are not
    /// in it.
    ///
    /// # Errors
    /// [`DuplicateWorkerId`] once it is certain.
    pub(crate) fn observe(
        &mut self,
        identity: &Identity,
        leases: &[Lease],
        asked: Instant,
        answered: Instant,
    ) -> Result<(), DuplicateWorkerId> {
        let before = std::mem::take(&mut self.leases);
        let mut duplicate = None;
        for lease in leases {
            let earlier = before.get(&lease.key);
            let double = lease
                .is_of_namesake(identity)
                .then(|| Double::seen(earlier.and_then(|earlier| earlier.double), lease.counter));
            if double.is_some_and(|double| double.moves >= MOVES_OF_A_DOUBLE) {
                duplicate.get_or_insert_with(|| lease.key.clone());
            }
            let observed = match earlier {
                Some(earlier) if earlier.counter == lease.counter => {
                    let gap = asked.saturating_duration_since(earlier.last);
                    Observed {
                        silent: earlier.silent + gap.min(self.longest_gap),
                        last: earlier.last.max(asked),
                        double,
                        ..*earlier
                    }
                }
                _ => Observed {
                    counter: lease.counter,
                    silent: Duration::ZERO,
                    last: answered,
                    double,
                },
            };
            self.leases.insert(lease.key.clone(), observed);
        }
        match duplicate {
            None => Ok(()),
            Some(key) => Err(DuplicateWorkerId {
                worker_id: identity.worker_id.clone(),
                key,
            }),
        }
    }

    /// For how long the lease's counter was seen not to move.
    pub(crate) fn unchanged_for(&self, key: &LeaseKey) -> Duration {
        let observed = self.leases.get(key);
        observed.map_or(Duration::ZERO, |observed| observed.silent)
    }

    /// Whether any worker may take the lease: it has no owner, or one that has fallen silent.
    pub(crate) fn is_available(&self, lease: &Lease, failover: Duration) -> bool {
        lease.actual_owner().is_none() || self.unchanged_for(&lease.key) > failover
    }
}

impl Double {
    fn seen(earlier: Option<Self>, counter: u64) -> Self {
        match earlier {
            None => Self {
                highest: counter,
                moves: 0,
            },
            Some(earlier) if counter > earlier.highest => Self {
                highest: counter,
                moves: earlier.moves + 1,
            },
            Some(earlier) => earlier,
        }
    }
}
