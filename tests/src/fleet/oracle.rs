//! What is allowed, judged when it happens.
//!
//! | name | the rule |
//! |---|---|
//! | LOST | when a checkpoint reaches the table, every record up to it has been processed |
//! | BACKWARDS | a checkpoint in the table never decreases |
//! | FENCE | only the node that claimed a lease changes its checkpoint |
//! | OVERLAP | a worker whose lease was taken is handed no batch a failover after its last write |
//! | ORDER | first deliveries of a key follow the stored order; no child before its parents' end |
//! | FALSE LOSS | a holder whose writes arrive does not lose its lease |
//! | ORPHAN | without faults, no shard with records to deliver is left without a reader for long |
//! | STUCK | after the last fault everything stored is delivered in time |
//! | OUTCOME | every record sent has exactly one outcome, and fails only when its time is over |
//! | WRONG OK | what is acknowledged is stored where its receipt says, and a stock KCL delivers it there |
//! | KEY | a user record is stored with the hash key that it was sent with |
//! | WRONG NO | what certainly was not written, at all or a second time, is not stored |

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use shardwise_env::{Env, Instant, lock};
use shardwise_producer::{DeliveryError, DeliveryErrorKind, Receipt, Written};
use shardwise_types::{HashKey, SequenceNumber, Shard, ShardId};

use super::Outcome;
use super::ledger::{Checkpoint, Id, Key, Known, Lease, Place, Row, Stored, Waiting};
use super::workload;

/// A holder that wrote to its lease within this time has not lost it by the clock.
const SURELY_VALID: Duration = Duration::from_secs(5);

/// A lease that was last written this long ago has run out on any clock: the failover time, on the
/// slowest of them.
const SURELY_LOST: Duration = Duration::from_millis(10_100);

/// Without faults: one and a half failovers of 10 s and 2 s, and before that a call that hung when
/// the faults ended, until its own limit of 10 s.
const ORPHAN_LIMIT: Duration = Duration::from_secs(30);

/// Events that are kept for the one who has to find the bug.
const EVENTS_KEPT: usize = 40;

#[derive(Debug)]
struct State {
    shards: BTreeMap<ShardId, Known>,
    keys: BTreeMap<u64, Key>,
    duplicates: usize,
    leases: BTreeMap<ShardId, Lease>,
    sent: usize,
    acknowledged: usize,
    failed: usize,
    surely_absent: Vec<Id>,
    judges_losses: bool,
    judges_order: bool,
    violations: Vec<String>,
    events: Vec<String>,
    /// The events before the first violation, once there is one.
    story: Option<Vec<String>>,
    exchanges: u64,
    trace: Trace,
}

/// FNV-1a over everything that is written to it.
#[derive(Debug)]
struct Trace(u64);

impl fmt::Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

/// The judge of a run, shared by all in it.
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
            keys: BTreeMap::new(),
            duplicates: 0,
            leases: BTreeMap::new(),
            sent: 0,
            acknowledged: 0,
            failed: 0,
            surely_absent: Vec::new(),
            judges_losses: true,
            judges_order: true,
            violations: Vec::new(),
            events: Vec::new(),
            story: None,
            exchanges: 0,
            trace: Trace(0xcbf2_9ce4_8422_2325),
        };
        Self {
            begin: env.now(),
            env,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// With packets that surface late, or twins under one id, a holder may rightly notice a loss
    /// that the table does not show.
    pub(super) fn do_not_judge_losses(&self) {
        self.lock().judges_losses = false;
    }

    /// Where the service distributes the records of a key over all shards they have no order.
    pub(super) fn do_not_judge_order(&self) {
        self.lock().judges_order = false;
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
        let mut state = self.lock();
        state.exchanges += 1;
        write!(state.trace, "{micros} {node} {target} {status}").unwrap();
    }

    /// The stream's shards, parents before children.
    pub(super) fn shards(&self, shards: &[Shard]) {
        let now = self.env.now();
        let mut state = self.lock();
        for shard in shards {
            let above = shard
                .parents()
                .filter_map(|id| state.shards.get(id).map(|known| known.depth))
                .max();
            let depth = above.map_or(0, |depth| depth + 1);
            match state.shards.get_mut(&shard.shard_id) {
                Some(known) => (known.shard, known.depth) = (shard.clone(), depth),
                None => {
                    let known = Known {
                        shard: shard.clone(),
                        depth,
                        read: now,
                        waiting: BTreeMap::new(),
                    };
                    state.shards.insert(shard.shard_id.clone(), known);
                }
            }
        }
    }

    pub(super) fn knows(&self, shard: &ShardId) -> bool {
        self.lock().shards.contains_key(shard)
    }

    /// The service stored a Kinesis record with these members; each with its hash key. What is not
    /// aggregated is every consumer's to deliver, wherever the service has put it.
    pub(super) fn stored(
        &self,
        shard: &ShardId,
        number: &SequenceNumber,
        members: &[(Id, HashKey)],
        aggregated: bool,
    ) {
        let since = self.env.now();
        let mut state = self.lock();
        for (id, hash) in members {
            if *hash != workload::hash_key(id.0) {
                let text = format!("{id:?} is stored with {hash}, {number} in {shard}");
                self.violation(&mut state, "KEY", &text);
            }
        }
        let State { shards, keys, .. } = &mut *state;
        let known = shards.get_mut(shard).unwrap();
        let range = known.shard.hash_key_range;
        let fits = |hash: HashKey| !aggregated || range.contains(hash);
        let whole = members.iter().all(|(_, hash)| fits(*hash));
        for (sub, (id, hash)) in (0..).zip(members) {
            let sent = keys.entry(id.0).or_default().record(id.1);
            let place = (number.clone(), sub);
            sent.copies.push(Stored {
                shard: shard.clone(),
                place: place.clone(),
                deliverable: whole,
            });
            if fits(*hash) && !sent.delivered {
                known.waiting.insert(place, Waiting { id: *id, since });
            }
        }
    }

    /// A reader asked for records of the shard.
    pub(super) fn read(&self, shard: &ShardId) {
        if let Some(known) = self.lock().shards.get_mut(shard) {
            known.read = self.env.now();
        }
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
            // A shard whose parent has a lease continues it, whatever its row says.
            _ => {
                let begins_here = row.checkpoint == Checkpoint::Latest && !state.continues(shard);
                begins_here.then_some(now)
            }
        };
        let claimed = match state.leases.get(shard) {
            _ if row.incarnation.is_none() => None,
            Some(lease) if lease.row.incarnation == row.incarnation => lease.claimed.clone(),
            Some(lease) => Some((node.to_owned(), lease.written)),
            None => Some((node.to_owned(), now)),
        };
        let claimer = claimed.as_ref().map(|(node, _)| node.clone());
        let lease = Lease {
            row: row.clone(),
            written: now,
            claimed,
            latest_from,
        };
        state.leases.insert(shard.clone(), lease);
        if row.checkpoint < before.checkpoint {
            let text = format!(
                "{shard}: {:?} after {:?}",
                row.checkpoint, before.checkpoint
            );
            self.violation(&mut state, "BACKWARDS", &text);
        }
        if created || row.checkpoint == before.checkpoint {
            return;
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

    /// An application says that its checkpoint was accepted, where the table is not observed.
    pub(super) fn checkpoint_accepted(&self, node: &str, shard: &ShardId, checkpoint: Checkpoint) {
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
    pub(super) fn delivered(&self, worker: &str, id: Id, shard: &ShardId, place: Place) {
        let now = self.env.now();
        let mut state = self.lock();
        let known = state.shards.get_mut(shard).unwrap();
        known.read = now;
        let depth = known.depth;
        let parents_done = state.shards[shard].shard.parents().all(|parent| {
            let lease = state.leases.get(parent);
            lease.is_none_or(|lease| lease.row.checkpoint == Checkpoint::ShardEnd)
        });
        if !parents_done {
            let text = format!("{shard} is read by {worker} before its parents have ended");
            self.violation(&mut state, "ORDER", &text);
        }
        let judges_order = state.judges_order;
        let State { shards, keys, .. } = &mut *state;
        let key = keys.entry(id.0).or_default();
        let sent = key.record(id.1);
        if std::mem::replace(&mut sent.delivered, true) {
            state.duplicates += 1;
            return;
        }
        for copy in &sent.copies {
            if let Some(known) = shards.get_mut(&copy.shard) {
                known.waiting.remove(&copy.place);
            }
        }
        let rank = (depth, place);
        match &key.newest {
            Some(before) if rank < *before && judges_order => {
                let text = format!("{id:?} at {rank:?} in {shard} by {worker} after {before:?}");
                self.violation(&mut state, "ORDER", &text);
            }
            _ => key.newest = Some(rank),
        }
    }

    /// A processor is called because its lease is lost.
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

    /// The producer says what became of a record.
    pub(super) fn outcome_of(&self, id: Id, outcome: Result<Receipt, DeliveryError>) {
        let mut state = self.lock();
        match outcome {
            Ok(receipt) => {
                state.acknowledged += 1;
                let copies = state.copies(id);
                let copied = copies.len() > 1 && !receipt.maybe_duplicate;
                if !copies.iter().any(|copy| copy.is_meant_by(&receipt)) {
                    let text = format!("{id:?} is not where a KCL delivers it: {receipt:?}");
                    self.violation(&mut state, "WRONG OK", &text);
                }
                if copied {
                    let text = format!("{id:?} is stored more than once: {receipt:?}");
                    self.violation(&mut state, "WRONG NO", &text);
                }
            }
            Err(error) => {
                state.failed += 1;
                if error.written() == Written::No {
                    state.surely_absent.push(id);
                }
                if error.kind() != DeliveryErrorKind::Expired {
                    let text = format!("{id:?} fails before its time is over: {error:?}");
                    self.violation(&mut state, "OUTCOME", &text);
                }
            }
        }
    }

    /// Shards without a reader for too long although nothing is wrong, since `calm_from`.
    pub(super) fn judge_orphans(&self, calm_from: Instant) {
        let now = self.env.now();
        let mut state = self.lock();
        let orphans: Vec<String> = state
            .shards
            .values()
            .filter(|known| state.missing(known, None).next().is_some())
            .filter(|known| known.shard.parents().all(|parent| state.is_done(parent)))
            .filter_map(|known| {
                let parents_ended = known
                    .shard
                    .parents()
                    .filter_map(|id| state.leases.get(id))
                    .map(|l| l.written)
                    .max();
                let since = known
                    .read
                    .max(calm_from)
                    .max(parents_ended.unwrap_or(calm_from));
                let alone = now - since;
                (alone > ORPHAN_LIMIT)
                    .then(|| format!("{} has had no reader for {alone:?}", known.shard.shard_id))
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
            .shards
            .values()
            .map(|known| state.missing(known, None).count())
            .sum()
    }

    /// The judgement at the end, when everything should have arrived.
    pub(super) fn outcome(&self) -> Outcome {
        let mut state = self.lock();
        let stuck: Vec<String> = state
            .shards
            .iter()
            .map(|(shard, known)| (shard, state.missing(known, None).count()))
            .filter(|(_, missing)| *missing > 0)
            .map(|(shard, missing)| {
                let lease = state.leases.get(shard).map(|lease| &lease.row);
                format!("{missing} records of {shard} were not delivered; {lease:?}")
            })
            .collect();
        for text in stuck {
            self.violation(&mut state, "STUCK", &text);
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
            .copied()
            .filter(|id| !state.copies(*id).is_empty())
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
            trace_hash: state.trace.0,
            last_events: state.story.clone().unwrap_or_else(|| state.events.clone()),
            acknowledged: state.acknowledged,
            failed: state.failed,
            duplicates: state.duplicates,
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
        lock(&self.state)
    }
}

impl State {
    fn is_done(&self, shard: &ShardId) -> bool {
        self.leases
            .get(shard)
            .is_some_and(|lease| lease.row.checkpoint == Checkpoint::ShardEnd)
    }

    /// Whether a parent of the shard has a lease.
    fn continues(&self, shard: &ShardId) -> bool {
        let known = self.shards.get(shard);
        known.is_some_and(|known| known.shard.parents().any(|id| self.leases.contains_key(id)))
    }

    /// Where a user record is stored.
    fn copies(&self, (key, number): Id) -> &[Stored] {
        let number = usize::try_from(number).unwrap();
        let sent = self.keys.get(&key).and_then(|key| key.records.get(number));
        sent.map_or(&[], |sent| &sent.copies)
    }

    /// Expected records of a shard, up to a place, that have not been delivered.
    fn missing<'a>(
        &'a self,
        known: &'a Known,
        up_to: Option<&'a Place>,
    ) -> impl Iterator<Item = (&'a Place, Id)> {
        let lease = self.leases.get(&known.shard.shard_id);
        let from = lease.and_then(|lease| lease.latest_from);
        known
            .waiting
            .iter()
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
        let known = self.shards.get(shard)?;
        let (place, id) = self.missing(known, limit.as_ref()).next()?;
        Some(format!(
            "{shard}: {id:?} at {place:?} was not delivered, the checkpoint is {limit:?}"
        ))
    }
}
