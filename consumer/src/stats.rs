//! What a worker has done and holds now, as numbers, states and events that can be read at any time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use shardwise_env::{Env, lock};

use crate::leases::{LeaseEnd, LeaseKey};
use crate::shard::state::ShardState;

/// Lease events that are kept: enough to see a rebalance of a large worker, little to copy.
const EVENTS_KEPT: usize = 128;

/// A view of a worker's counters that stays good while the worker runs, and after it has ended.
///
/// Cheap to clone. From [`Worker::stats`](crate::Worker::stats).
#[derive(Debug, Clone)]
pub struct StatsHandle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    env: Env,
    now: Mutex<WorkerStats>,
}

/// What a worker has done since it was built, and what it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStats {
    /// Records in batches that the processors accepted.
    pub records: u64,
    /// Batches that the processors accepted.
    pub batches: u64,
    /// Members of aggregates that were left out because another shard owns them.
    pub filtered: u64,
    /// Aggregates that were delivered whole because they are broken.
    pub corrupt: u64,
    /// Calls of processors that failed or panicked.
    pub processor_failures: u64,
    /// Checkpoints that were written, ends of shards included.
    pub checkpoints: u64,
    /// Reads that the service throttled.
    pub throttled: u64,
    /// Reads that failed in other ways. An expired iterator is no failure.
    pub read_failures: u64,
    /// Shard iterators that expired and were replaced.
    pub expired_iterators: u64,
    /// Writes of leases that failed or had no answer.
    pub lease_write_failures: u64,
    /// Leases that were taken, free ones and those of other workers.
    pub leases_taken: u64,
    /// Leases that another worker took.
    pub leases_lost: u64,
    /// Shards that were processed to their end and checkpointed there.
    pub shards_ended: u64,
    /// Shards that were given up ([`LeaseEnd::GivenUp`]).
    pub shards_given_up: u64,
    /// Leases of a table of many streams that the last look showed. They are left alone.
    pub multi_stream_leases: u64,
    /// The shards that this worker holds now, and what it does with them.
    pub shards: BTreeMap<LeaseKey, ShardState>,
    /// The last events of leases, oldest first.
    pub events: VecDeque<LeaseEvent>,
}

/// Something that happened to a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseEvent {
    /// When, by this host's wall clock.
    pub at: SystemTime,
    /// Which shard's lease.
    pub key: LeaseKey,
    /// What.
    pub kind: LeaseEventKind,
}

/// What happened to a lease.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LeaseEventKind {
    /// This worker took it.
    Taken,
    /// This worker made it, for the child of a shard that ended here.
    Created,
    /// This worker does not hold it any more, for this reason.
    Ended(LeaseEnd),
}

impl StatsHandle {
    pub(crate) fn new(env: Env) -> Self {
        Self(Arc::new(Inner {
            env,
            now: Mutex::default(),
        }))
    }

    /// What the worker has done until now, and holds now.
    #[must_use]
    pub fn snapshot(&self) -> WorkerStats {
        self.lock().clone()
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut WorkerStats)) {
        change(&mut self.lock());
    }

    pub(crate) fn entered(&self, key: &LeaseKey, state: ShardState) {
        tracing::debug!(shard_id = %key, "shard: {state:?}");
        self.lock().shards.insert(key.clone(), state);
    }

    /// The shard is no longer held, for this reason.
    pub(crate) fn left(&self, key: &LeaseKey, end: LeaseEnd) {
        self.lock().shards.remove(key);
        self.event(key, LeaseEventKind::Ended(end));
    }

    pub(crate) fn event(&self, key: &LeaseKey, kind: LeaseEventKind) {
        let at = self.0.env.wall_now();
        match &kind {
            LeaseEventKind::Ended(end @ (LeaseEnd::GivenUp | LeaseEnd::Abandoned)) => {
                tracing::warn!(shard_id = %key, "the lease is let go: {end}");
            }
            LeaseEventKind::Ended(end) if end.is_lost() => {
                tracing::info!(shard_id = %key, "the lease is lost: {end}");
            }
            LeaseEventKind::Ended(end) => {
                tracing::info!(shard_id = %key, "the lease is let go: {end}")
            }
            LeaseEventKind::Taken => tracing::info!(shard_id = %key, "the lease is taken"),
            LeaseEventKind::Created => {
                tracing::info!(shard_id = %key, "the lease is made: the shard's parent ended here");
            }
        }
        let mut stats = self.lock();
        match &kind {
            LeaseEventKind::Taken => stats.leases_taken += 1,
            LeaseEventKind::Ended(LeaseEnd::ShardEnded) => stats.shards_ended += 1,
            LeaseEventKind::Ended(LeaseEnd::GivenUp) => stats.shards_given_up += 1,
            LeaseEventKind::Ended(end) if end.is_lost() => stats.leases_lost += 1,
            LeaseEventKind::Created | LeaseEventKind::Ended(_) => {}
        }
        if stats.events.len() == EVENTS_KEPT {
            stats.events.pop_front();
        }
        let key = key.clone();
        stats.events.push_back(LeaseEvent { at, key, kind });
    }

    fn lock(&self) -> MutexGuard<'_, WorkerStats> {
        lock(&self.0.now)
    }
}
