//! What was stored and what was delivered, and the judgement of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shardwise_env::Instant;
use shardwise_types::{SequenceNumber, Shard, ShardId};

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
    stored: BTreeMap<usize, Place>,
    deliveries: Vec<Delivery>,
    seen: BTreeSet<usize>,
    delays: BTreeMap<String, Delays>,
    started: Vec<(ShardId, &'static str, Instant)>,
    ended: BTreeMap<ShardId, Instant>,
}

/// Stands for the data store of the application: both workers write to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<State>>);

impl Ledger {
    pub(crate) fn stored(&self, flight: usize, place: Place) {
        self.lock().stored.insert(flight, place);
    }

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

    /// From `killed_at` until another worker than `dead` delivered from each of its shards; the
    /// longest of them.
    pub(crate) fn takeover(
        &self,
        dead: &'static str,
        shards: &[ShardId],
        killed_at: Instant,
    ) -> Option<Duration> {
        let state = self.lock();
        let first_after = |shard: &ShardId| {
            let taken = state.deliveries.iter().find(|delivery| {
                delivery.worker != dead && delivery.at >= killed_at && delivery.place.0 == *shard
            })?;
            Some(taken.at - killed_at)
        };
        shards
            .iter()
            .map(first_after)
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .max()
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

        let mut newest_stored: BTreeMap<&str, _> = BTreeMap::new();
        let origins: BTreeMap<usize, &str> = state
            .deliveries
            .iter()
            .map(|delivery| (delivery.flight, delivery.origin.as_str()))
            .collect();
        let mut stored_out_of_order = 0;
        for (flight, place) in &state.stored {
            let Some(origin) = origins.get(flight) else {
                continue;
            };
            let rank = rank(place);
            match newest_stored.get(origin) {
                Some(before) if rank < *before => stored_out_of_order += 1,
                _ => {
                    newest_stored.insert(origin, rank);
                }
            }
        }

        Verdict {
            delivered: state.deliveries.len(),
            duplicates: state.deliveries.len() - first.len(),
            lost: sent - first.len(),
            order_violations,
            stored_out_of_order,
            delays: state.delays.clone(),
            child_starts: child_starts(&state, shards),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The judgement of a run.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) delivered: usize,
    pub(crate) duplicates: usize,
    pub(crate) lost: usize,
    pub(crate) order_violations: usize,
    pub(crate) stored_out_of_order: usize,
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
