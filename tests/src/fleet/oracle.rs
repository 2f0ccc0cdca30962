//! What is allowed, judged when it happens.
//!
//! | name | the rule |
//! |---|---|
//! | LOST | when a checkpoint reaches the table, every record up to it has been processed by somebody |
//! | BACKWARDS | a checkpoint in the table never decreases |
//! | FENCE | only the node that claimed a lease changes its checkpoint |
//! | OVERLAP | a worker whose lease was taken a failover ago is handed no batch |
//! | ORDER | first deliveries of a key follow the stored order; no child before its parents' end |
//! | FALSE LOSS | a holder whose writes arrive is not told that it lost its lease |
//! | ORPHAN | without faults, no shard with records to deliver is left without a reader for long |
//! | STUCK | after the last fault everything stored is delivered in time |
//! | OUTCOME | every record sent has exactly one outcome |
//! | WRONG OK | what is acknowledged is stored where a stock KCL delivers it |
//! | WRONG NO | what failed as certainly not written is not stored |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shardwise_env::{Env, Instant};
use shardwise_producer::Written;
use shardwise_types::{SequenceNumber, Shard, ShardId};

use super::Outcome;

/// Where a user record lies: shard, number, place in the aggregate.
pub(super) type Place = (ShardId, SequenceNumber, u64);

/// A user record: its key and its number among the records of that key.
pub(super) type Id = (u64, u64);

/// A holder that wrote to its lease within this time has not lost it by the clock.
const SURELY_VALID: Duration = Duration::from_secs(5);

/// A lease that another took this long ago has run out on any clock: the failover time.
const SURELY_LOST: Duration = Duration::from_secs(10);

/// Without faults: one and a half failovers of 10 s and 2 s, and before that a call that hung when
/// the trouble ended, until its own limit of 10 s.
const ORPHAN_LIMIT: Duration = Duration::from_secs(30);

/// Events that are kept for the one who has to find the bug.
const EVENTS_KEPT: usize = 40;

/// A lease row as the table has it.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) owner: Option<String>,
    pub(super) incarnation: Option<String>,
    pub(super) checkpoint: Checkpoint,
}

/// A checkpoint, in the table's order.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Checkpoint {
    #[default]
    Beginning,
    Latest,
    At(SequenceNumber, u64),
    ShardEnd,
}

#[derive(Debug)]
struct Lease {
    row: Row,
    written: Instant,
    /// The node that took it last, and when.
    claimed: Option<(String, Instant)>,
    /// When the row was made with LATEST: what was stored before is not expected.
    latest_from: Option<Instant>,
}

/// A stored user record that nobody has been handed yet.
#[derive(Debug)]
struct Waiting {
    id: Id,
    since: Instant,
}

#[derive(Debug)]
struct State {
    shards: BTreeMap<ShardId, (Shard, usize)>,
    /// What lies in each shard, in range, and has not been delivered from anywhere.
    waiting: BTreeMap<ShardId, BTreeMap<(SequenceNumber, u64), Waiting>>,
    /// Where the copies of a record wait.
    copies: BTreeMap<Id, Vec<Place>>,
    present: BTreeSet<Id>,
    deliverable: BTreeSet<Id>,
    delivered: BTreeSet<Id>,
    deliveries: usize,
    newest: BTreeMap<u64, (usize, SequenceNumber, u64)>,
    leases: BTreeMap<ShardId, Lease>,
    reads: BTreeMap<ShardId, Instant>,
    sent: usize,
    acknowledged: usize,
    failed: usize,
    surely_absent: Vec<Id>,
    judges_losses: bool,
    violations: Vec<String>,
    events: Vec<String>,
    /// The events before the first violation, once there is one.
    story: Option<Vec<String>>,
    exchanges: u64,
    trace_hash: u64,
}

/// The judge of a run, shared by everybody in it.
#[derive(Debug, Clone)]
pub(super) struct Oracle {
    env: Env,
    begin: Instant,
    state: Arc<Mutex<State>>,
}

impl Oracle {
    pub(super) fn new(env: Env) -> Self {
        let state = State {
            shards: BTreeMap::new(),
            waiting: BTreeMap::new(),
            copies: BTreeMap::new(),
            present: BTreeSet::new(),
            deliverable: BTreeSet::new(),
            delivered: BTreeSet::new(),
            deliveries: 0,
            newest: BTreeMap::new(),
            leases: BTreeMap::new(),
            reads: BTreeMap::new(),
            sent: 0,
            acknowledged: 0,
            failed: 0,
            surely_absent: Vec::new(),
            judges_losses: true,
            violations: Vec::new(),
            events: Vec::new(),
            story: None,
            exchanges: 0,
            trace_hash: 0xcbf2_9ce4_8422_2325,
        };
        Self {
            begin: env.now(),
            env,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// With packets that surface late, or twins under one id, a holder may rightly be told of a loss
    /// that the table does not show.
    pub(super) fn do_not_judge_losses(&self) {
        self.lock().judges_losses = false;
    }

    /// Something happened that a reader of a failing seed wants to know.
    pub(super) fn note(&self, event: &str) {
        let text = format!("{:>9.3} {event}", self.elapsed());
        let mut state = self.lock();
        if state.events.len() == EVENTS_KEPT {
            state.events.remove(0);
        }
        state.events.push(text);
    }

    /// An exchange with the service, for the trace.
    pub(super) fn exchanged(&self, node: &str, target: &str, status: u16) {
        let micros = (self.env.now() - self.begin).as_micros();
        let text = format!("{micros} {node} {target} {status}");
        let mut state = self.lock();
        state.exchanges += 1;
        for byte in text.bytes() {
            state.trace_hash = (state.trace_hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The stream's shards, parents before children.
    pub(super) fn shards(&self, shards: &[Shard]) {
        let now = self.env.now();
        let mut state = self.lock();
        for shard in shards {
            let above = shard
                .parents()
                .filter_map(|id| state.shards.get(id).map(|(_, d)| *d))
                .max();
            let depth = above.map_or(0, |depth| depth + 1);
            state.reads.entry(shard.shard_id.clone()).or_insert(now);
            state
                .shards
                .insert(shard.shard_id.clone(), (shard.clone(), depth));
        }
    }

    pub(super) fn knows(&self, shard: &ShardId) -> bool {
        self.lock().shards.contains_key(shard)
    }

    /// The service stored a Kinesis record with these members; each with its hash key.
    pub(super) fn stored(
        &self,
        shard: &ShardId,
        number: &SequenceNumber,
        members: &[(Id, shardwise_types::HashKey)],
    ) {
        let at = self.env.now();
        let mut state = self.lock();
        let range = state.shards[shard].0.hash_key_range;
        let whole = members.iter().all(|(_, hash)| range.contains(*hash));
        for (sub, (id, hash)) in members.iter().enumerate() {
            state.present.insert(*id);
            if whole {
                state.deliverable.insert(*id);
            }
            if range.contains(*hash) && !state.delivered.contains(id) {
                let place = (number.clone(), sub as u64);
                let copy = (shard.clone(), number.clone(), sub as u64);
                let waiting = Waiting { id: *id, since: at };
                state
                    .waiting
                    .entry(shard.clone())
                    .or_default()
                    .insert(place, waiting);
                state.copies.entry(*id).or_default().push(copy);
            }
        }
    }

    /// A reader asked for records of the shard.
    pub(super) fn read(&self, shard: &ShardId) {
        self.lock().reads.insert(shard.clone(), self.env.now());
    }

    /// The table holds this row now.
    pub(super) fn row(&self, node: &str, shard: &ShardId, row: &Row, created: bool) {
        let now = self.env.now();
        let mut state = self.lock();
        let before = state
            .leases
            .get(shard)
            .map(|lease| lease.row.clone())
            .unwrap_or_default();
        let latest_from = match state.leases.get(shard) {
            Some(lease) if !created => lease.latest_from,
            _ => (row.checkpoint == Checkpoint::Latest).then_some(now),
        };
        let claimed = match state.leases.get(shard) {
            _ if row.incarnation.is_none() => None,
            Some(lease) if lease.row.incarnation == row.incarnation => lease.claimed.clone(),
            _ => Some((node.to_owned(), now)),
        };
        let claimer = claimed.as_ref().map(|(node, _)| node.clone());
        let lease = Lease {
            row: row.clone(),
            written: now,
            claimed,
            latest_from,
        };
        state.leases.insert(shard.clone(), lease);
        if created || row.checkpoint == before.checkpoint {
            return;
        }
        if row.checkpoint < before.checkpoint {
            let text = format!(
                "{shard}: {:?} after {:?}",
                row.checkpoint, before.checkpoint
            );
            self.violation(&mut state, "BACKWARDS", &text);
        }
        if before.incarnation.is_none()
            || before.incarnation != row.incarnation
            || claimer.as_deref() != Some(node)
        {
            let text = format!("{shard}: {row:?} by {node} after {before:?} of {claimer:?}");
            self.violation(&mut state, "FENCE", &text);
        }
        if let Some(text) = state.lost_before(shard, &row.checkpoint) {
            self.violation(&mut state, "LOST", &text);
        }
    }

    /// An application says that its checkpoint was accepted, where no witness sees the table.
    pub(super) fn told(&self, node: &str, shard: &ShardId, checkpoint: Checkpoint) {
        let row = Row {
            owner: None,
            incarnation: Some(node.to_owned()),
            checkpoint,
        };
        let now = self.env.now();
        let mut state = self.lock();
        if let Some(text) = state.lost_before(shard, &row.checkpoint) {
            self.violation(&mut state, "LOST", &text);
        }
        let lease = Lease {
            row,
            written: now,
            claimed: None,
            latest_from: None,
        };
        state.leases.insert(shard.clone(), lease);
    }

    /// A processor is handed a batch.
    pub(super) fn batch_begins(&self, node: &str, shard: &ShardId) {
        let mut state = self.lock();
        let claimed = state
            .leases
            .get(shard)
            .and_then(|lease| lease.claimed.clone());
        if let Some((claimer, since)) = claimed
            && claimer != node
            && self.env.now() - since > SURELY_LOST
        {
            let text = format!("{node} goes on with {shard}, which {claimer} has");
            self.violation(&mut state, "OVERLAP", &text);
        }
    }

    /// A processor was handed this record.
    pub(super) fn delivered(&self, worker: &str, id: Id, place: Place) {
        let mut state = self.lock();
        state.deliveries += 1;
        let (shard, number, sub) = place;
        state.reads.insert(shard.clone(), self.env.now());
        let parents_done = state.shards[&shard].0.parents().all(|parent| {
            let lease = state.leases.get(parent);
            lease.is_none_or(|lease| lease.row.checkpoint == Checkpoint::ShardEnd)
        });
        if !parents_done {
            let text = format!("{shard} is read by {worker} before its parents have ended");
            self.violation(&mut state, "ORDER", &text);
        }
        if !state.delivered.insert(id) {
            return;
        }
        for (shard, number, sub) in state.copies.remove(&id).unwrap_or_default() {
            if let Some(waiting) = state.waiting.get_mut(&shard) {
                waiting.remove(&(number, sub));
            }
        }
        let rank = (state.shards[&shard].1, number, sub);
        match state.newest.get(&id.0) {
            Some(before) if rank < *before => {
                let text = format!("{id:?} at {rank:?} in {shard} by {worker} after {before:?}");
                self.violation(&mut state, "ORDER", &text);
            }
            _ => {
                state.newest.insert(id.0, rank);
            }
        }
    }

    /// A processor was told that its lease is lost.
    pub(super) fn lease_lost(&self, worker: &str, shard: &ShardId) {
        let mut state = self.lock();
        let now = self.env.now();
        let Some(lease) = state.leases.get(shard) else {
            return;
        };
        let holds = lease.row.owner.as_deref() == Some(worker);
        if state.judges_losses && holds && now - lease.written < SURELY_VALID {
            let text = format!("{worker} gave up {shard}, which it holds: {:?}", lease.row);
            self.violation(&mut state, "FALSE LOSS", &text);
        }
    }

    pub(super) fn sent(&self) {
        self.lock().sent += 1;
    }

    pub(super) fn acknowledged(&self, id: Id, place: &Place) {
        let mut state = self.lock();
        state.acknowledged += 1;
        if !state.deliverable.contains(&id) {
            let text = format!("{id:?} at {place:?} lies in no record that a KCL delivers");
            self.violation(&mut state, "WRONG OK", &text);
        }
    }

    pub(super) fn failed(&self, id: Id, written: Written) {
        let mut state = self.lock();
        state.failed += 1;
        if written == Written::No {
            state.surely_absent.push(id);
        }
    }

    /// Shards that nobody has read for too long although nothing is wrong, since `calm_from`.
    pub(super) fn judge_orphans(&self, calm_from: Instant) {
        let now = self.env.now();
        let mut state = self.lock();
        let orphans: Vec<String> = state
            .shards
            .values()
            .map(|(shard, _)| shard)
            .filter(|shard| state.missing(&shard.shard_id, None).next().is_some())
            .filter(|shard| shard.parents().all(|parent| state.is_done(parent)))
            .filter_map(|shard| {
                let parents_ended = shard
                    .parents()
                    .filter_map(|id| state.leases.get(id))
                    .map(|l| l.written)
                    .max();
                let since = (*state.reads.get(&shard.shard_id)?)
                    .max(calm_from)
                    .max(parents_ended.unwrap_or(calm_from));
                let alone = now - since;
                (alone > ORPHAN_LIMIT)
                    .then(|| format!("{} is read by nobody for {alone:?}", shard.shard_id))
            })
            .collect();
        for text in orphans {
            if !state
                .violations
                .iter()
                .any(|known| known.contains("ORPHAN"))
            {
                self.violation(&mut state, "ORPHAN", &text);
            }
        }
    }

    /// Stored records that are expected and have not been delivered.
    pub(super) fn outstanding(&self) -> usize {
        let state = self.lock();
        state
            .waiting
            .keys()
            .map(|shard| state.missing(shard, None).count())
            .sum()
    }

    /// The judgement at the end, when everything should have arrived.
    pub(super) fn outcome(&self) -> Outcome {
        let mut state = self.lock();
        let shards: Vec<ShardId> = state.waiting.keys().cloned().collect();
        for shard in &shards {
            let missing = state.missing(shard, None).count();
            if missing > 0 {
                let lease = state.leases.get(shard).map(|lease| lease.row.clone());
                let text = format!("{missing} records of {shard} were not delivered; {lease:?}");
                self.violation(&mut state, "STUCK", &text);
            }
        }
        let unsettled = state.sent - state.acknowledged - state.failed;
        if unsettled > 0 {
            self.violation(
                &mut state,
                "OUTCOME",
                &format!("{unsettled} records have none"),
            );
        }
        let present: Vec<Id> = state
            .surely_absent
            .iter()
            .filter(|id| state.present.contains(id))
            .copied()
            .collect();
        if !present.is_empty() {
            self.violation(
                &mut state,
                "WRONG NO",
                &format!("stored all the same: {present:?}"),
            );
        }
        if state.acknowledged == 0 {
            self.violation(&mut state, "STUCK", "nothing was acknowledged at all");
        }
        Outcome {
            violations: state.violations.clone(),
            trace_hash: state.trace_hash,
            last_events: state.story.clone().unwrap_or_else(|| state.events.clone()),
            acknowledged: state.acknowledged,
            failed: state.failed,
            duplicates: state.deliveries - state.delivered.len(),
            exchanges: state.exchanges,
            simulated: Duration::ZERO,
        }
    }

    fn violation(&self, state: &mut State, rule: &str, text: &str) {
        if state.story.is_none() {
            state.story = Some(state.events.clone());
        }
        state
            .violations
            .push(format!("{:>9.3} {rule}: {text}", self.elapsed()));
    }

    fn elapsed(&self) -> f64 {
        (self.env.now() - self.begin).as_secs_f64()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_done(&self, shard: &ShardId) -> bool {
        self.leases
            .get(shard)
            .is_some_and(|lease| lease.row.checkpoint == Checkpoint::ShardEnd)
    }

    /// Expected records of a shard, up to a place, that nobody has been handed.
    fn missing<'a>(
        &'a self,
        shard: &ShardId,
        up_to: Option<&'a (SequenceNumber, u64)>,
    ) -> impl Iterator<Item = (&'a (SequenceNumber, u64), Id)> {
        let from = self.leases.get(shard).and_then(|lease| lease.latest_from);
        self.waiting
            .get(shard)
            .into_iter()
            .flatten()
            .take_while(move |(place, _)| up_to.is_none_or(|limit| *place <= limit))
            .filter(move |(_, waiting)| from.is_none_or(|from| waiting.since >= from))
            .map(|(place, waiting)| (place, waiting.id))
    }

    fn lost_before(&self, shard: &ShardId, checkpoint: &Checkpoint) -> Option<String> {
        let limit = match checkpoint {
            Checkpoint::At(number, sub) => Some((number.clone(), *sub)),
            Checkpoint::ShardEnd => None,
            Checkpoint::Beginning | Checkpoint::Latest => return None,
        };
        let (place, id) = self.missing(shard, limit.as_ref()).next()?;
        Some(format!(
            "{shard}: {id:?} at {place:?} was not delivered, the checkpoint is {limit:?}"
        ))
    }
}
