//! What was stored and what was delivered, and the judgement of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use shardwise::env::{Instant, lock};
use shardwise::{SequenceNumber, Shard, ShardId};

use super::flights::{Delays, Flight};

/// Where a user record lies: shard, number, place in the aggregate.
pub(crate) type Place = (ShardId, SequenceNumber, u64);

/// A delivery of a flight to a processor.
#[derive(Debug)]
struct Delivery {
    flight: usize,
    origin: String,
    place: Place,
    worker: &'static str,
    at: Instant,
}

#[derive(Debug, Default)]
struct State {
    deliveries: Vec<Delivery>,
    seen: BTreeSet<usize>,
    delays: BTreeMap<String, Delays>,
    started: Vec<(ShardId, &'static str, Instant)>,
    ended: BTreeMap<ShardId, Instant>,
    death: Option<Death>,
}

/// The death of a worker.
#[derive(Debug, Clone)]
pub(crate) struct Death {
    pub(crate) worker: &'static str,
    /// The open shards that it held.
    pub(crate) shards: Vec<ShardId>,
    pub(crate) at: Instant,
}

/// Stands for the data store of the application: both workers write to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<State>>);

impl Ledger {
    /// Counts a flight, once however often it is delivered.
    pub(crate) fn delivered(
        &self,
        flight: Flight,
        place: Place,
        worker: &'static str,
        at: Instant,
    ) {
        let mut state = self.lock();
        if state.seen.insert(flight.number) {
            state
                .delays
                .entry(flight.origin.clone())
                .or_default()
                .add(&flight);
        }
        let Flight { number, origin, .. } = flight;
        state.deliveries.push(Delivery {
            flight: number,
            origin,
            place,
            worker,
            at,
        });
    }

    pub(crate) fn started(&self, shard: ShardId, worker: &'static str, at: Instant) {
        self.lock().started.push((shard, worker, at));
    }

    pub(crate) fn ended(&self, shard: ShardId, at: Instant) {
        self.lock().ended.insert(shard, at);
    }

    /// Different flights that were delivered so far.
    pub(crate) fn distinct(&self) -> usize {
        self.lock().seen.len()
    }

    /// A worker was killed.
    pub(crate) fn died(&self, death: Death) {
        self.lock().death = Some(death);
    }

    /// If the dead worker held this shard: its name, and the time since its death.
    pub(crate) fn since_death(
        &self,
        shard: &ShardId,
        now: Instant,
    ) -> Option<(&'static str, Duration)> {
        let state = self.lock();
        let death = state.death.as_ref()?;
        let held = death.shards.contains(shard);
        held.then(|| (death.worker, now - death.at))
    }

    /// From the death of a worker until another one has delivered from each of its shards.
    pub(crate) fn takeover(&self) -> Option<Duration> {
        let state = self.lock();
        let death = state.death.as_ref()?;
        let first_after = |shard: &ShardId| {
            let taken = state.deliveries.iter().find(|delivery| {
                delivery.worker != death.worker
                    && delivery.at >= death.at
                    && delivery.place.0 == *shard
            })?;
            Some(taken.at - death.at)
        };
        let times = death.shards.iter().map(first_after);
        times.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    pub(crate) fn judge(&self, shards: &[Shard], sent: usize) -> Verdict {
        let state = self.lock();
        let depths = depths(shards);
        let rank = |place: &Place| {
            (
                depths.get(&place.0).copied().unwrap_or_default(),
                place.1.clone(),
                place.2,
            )
        };

        // First deliveries only: what comes again after a takeover is a duplicate, not a violation.
        let mut first: BTreeSet<usize> = BTreeSet::new();
        let mut newest: BTreeMap<&str, _> = BTreeMap::new();
        let mut order_violations = 0;
        for delivery in &state.deliveries {
            if !first.insert(delivery.flight) {
                continue;
            }
            let rank = rank(&delivery.place);
            match newest.get(delivery.origin.as_str()) {
                Some(before) if rank < *before => order_violations += 1,
                _ => {
                    newest.insert(&delivery.origin, rank);
                }
            }
        }

        Verdict {
            delivered: state.deliveries.len(),
            duplicates: state.deliveries.len() - first.len(),
            lost: sent - first.len(),
            order_violations,
            delays: state.delays.clone(),
            child_starts: child_starts(&state, shards),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

/// The judgement of a run.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) delivered: usize,
    pub(crate) duplicates: usize,
    pub(crate) lost: usize,
    pub(crate) order_violations: usize,
    pub(crate) delays: BTreeMap<String, Delays>,
    /// For each shard with parents: from the end of its last parent to its own start.
    pub(crate) child_starts: Vec<(ShardId, Option<Duration>)>,
}

/// How many generations lie above each shard: along a lineage, the smaller comes first.
fn depths(shards: &[Shard]) -> BTreeMap<ShardId, usize> {
    let mut depths: BTreeMap<ShardId, usize> = BTreeMap::new();
    // The service lists shards in order of creation, parents before children.
    for shard in shards {
        let depth = shard
            .parents()
            .filter_map(|parent| depths.get(parent))
            .max()
            .map_or(0, |max| max + 1);
        depths.insert(shard.shard_id.clone(), depth);
    }
    depths
}

fn child_starts(state: &State, shards: &[Shard]) -> Vec<(ShardId, Option<Duration>)> {
    let start = |shard: &Shard| {
        let ended = shard
            .parents()
            .map(|parent| state.ended.get(parent))
            .collect::<Option<Vec<_>>>();
        let last_end = ended?.into_iter().max()?;
        let (_, _, at) = state
            .started
            .iter()
            .find(|(id, _, _)| *id == shard.shard_id)?;
        Some(at.saturating_duration_since(*last_end))
    };
    let children = shards
        .iter()
        .filter(|shard| shard.parents().next().is_some());
    children
        .map(|shard| (shard.shard_id.clone(), start(shard)))
        .collect()
}
