//! What `send` and the engine share, under one lock held for a few lines at a time.
//!
//! `send` takes room, finds the shard and appends to its open aggregate; the engine closes what is
//! due and gives room back. Pure: no await, no I/O, time comes in as an argument. The lock and the
//! wake-ups are [`Shared`](crate::shared::Shared)'s.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use shardwise_aggregation_proto::UserRecord;
use shardwise_env::Instant;
use shardwise_types::limits::RECORD_MAX_BYTES;

use crate::barrier::Barrier;
use crate::buffer_limit::{BufferLimit, Ticket};
use crate::close_report::Unsent;
use crate::delivery::{Delivery, DeliveryGroup, Ledger};
use crate::error::SendErrorKind;
use crate::kinesis_record::AggregateLimits;
use crate::open_aggregate::OpenAggregate;
use crate::settings::ProducerSettings;
use crate::shard_map::Routing;
use crate::stats::ProducerStats;

/// What leaves soon leaves together: when an open aggregate is due, so is every open aggregate that
/// is due within this part of the linger. The KPL waits that much longer instead, to fill its
/// calls.
const COLLECT_SLACK: u32 = 5;

/// The most of that, as in the KPL.
const COLLECT_SLACK_MAX: Duration = Duration::from_millis(50);

/// How far the producer is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Open,
    /// Takes no more records, sends what it has.
    Draining,
    /// Gives back what it has.
    Stopping,
    /// The engine has ended.
    Ended,
}

/// The state behind the lock.
#[derive(Debug)]
pub(crate) struct Buffer {
    ledger: Arc<Ledger>,
    limits: AggregateLimits,
    linger: Duration,
    ttl: Duration,
    pub(crate) max_record_bytes: usize,
    pub(crate) phase: Phase,
    limit: BufferLimit,
    barrier: Barrier,
    /// What only grows, and the gauge of aggregation.
    pub(crate) stats: ProducerStats,
    routing: Routing,
    /// By shard, in the order of the map; empty unless records are aggregated.
    open: Vec<Option<OpenAggregate>>,
    /// Records that travel alone.
    loose: Option<OpenAggregate>,
    /// Records that wait for a map, oldest first. Bounded by the room; each was open for a linger.
    held: Vec<OpenAggregate>,
    /// Aggregates that are opened later wait for a newer map.
    fresh_until: Option<Instant>,
    /// Since when records are held though there is a map, because it had grown old unseen.
    holding_since: Option<Instant>,
    /// Up to this size a refused record may be one that the stream takes by now; 0 if the
    /// application has set the limit.
    doubt_up_to: usize,
    /// Such a record was refused.
    refused_large: bool,
    /// Aggregates that are full or were flushed. Bounded by the room.
    closed: Vec<OpenAggregate>,
    /// No open aggregate is due before.
    next_due: Option<Instant>,
    /// When the engine wakes by itself.
    armed: Option<Instant>,
    /// A flush or a close has ended the lingers, those of Kinesis records that have left here
    /// included.
    hurried: bool,
    /// What the engine could not send, until a close takes it.
    pub(crate) unsent: Vec<Unsent>,
    /// How many records the engine could not send, taken or not.
    pub(crate) unsent_total: usize,
}

/// A record that was not taken.
#[derive(Debug)]
pub(crate) enum Refusal {
    No(SendErrorKind),
    /// There is no room now.
    Full,
}

/// A record that was taken.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) delivery: Delivery,
    /// Whether the engine has something to do earlier than it expects.
    pub(crate) wake_engine: bool,
}

impl Buffer {
    pub(crate) fn new(settings: &ProducerSettings, ledger: Arc<Ledger>) -> Self {
        Self {
            ledger,
            limits: settings.limits(),
            linger: settings.linger,
            ttl: settings.record_ttl,
            // The engine sets it, before the first record.
            max_record_bytes: settings.max_buffered_bytes,
            phase: Phase::Open,
            limit: BufferLimit::new(settings.max_buffered_bytes, settings.max_buffered_records),
            barrier: Barrier::default(),
            stats: ProducerStats::default(),
            routing: Routing::Unknown,
            open: Vec::new(),
            loose: None,
            held: Vec::new(),
            fresh_until: None,
            holding_since: None,
            doubt_up_to: match settings.max_record_bytes {
                Some(_) => 0,
                None => RECORD_MAX_BYTES.min(settings.max_buffered_bytes),
            },
            refused_large: false,
            closed: Vec::new(),
            next_due: None,
            armed: None,
            hurried: false,
            unsent: Vec::new(),
            unsent_total: 0,
        }
    }

    // What `send` does.

    /// Takes the room of a record of this size, if it may be sent and there is room.
    pub(crate) fn enter(&mut self, size: usize) -> Result<(), Refusal> {
        if self.phase != Phase::Open {
            return Err(Refusal::No(SendErrorKind::Closed));
        }
        let limit = self.max_record_bytes;
        if size > limit {
            self.refused_large |= size <= self.doubt_up_to;
            return Err(Refusal::No(SendErrorKind::TooLarge { size, limit }));
        }
        if self.limit.try_take(size) {
            Ok(())
        } else {
            Err(Refusal::Full)
        }
    }

    /// Appends a record that has its room.
    pub(crate) fn accept(&mut self, record: UserRecord, now: impl Fn() -> Instant) -> Accepted {
        self.barrier.accepted();
        self.stats.user_records_accepted += 1;
        if matches!(self.routing, Routing::Unknown) {
            return self.hold(record, now());
        }
        let (place, target) = match &self.routing {
            Routing::Aggregate(map) if !self.limits.is_bulky(&record) => {
                match map.route(record.hash_key()) {
                    Some(index) => (self.open.get_mut(index), map.open().get(index)),
                    None => (None, None),
                }
            }
            _ => (None, None),
        };
        let place = place.unwrap_or(&mut self.loose);

        let mut wake_engine = false;
        let mut record = record;
        if let Some(aggregate) = place {
            match aggregate.push(record, &self.limits) {
                Ok(slot) => {
                    let delivery = aggregate.group.delivery(slot);
                    return Accepted {
                        delivery,
                        wake_engine: false,
                    };
                }
                Err(back) => {
                    record = back;
                    self.closed.extend(place.take());
                    wake_engine = true;
                }
            }
        }
        let opened = now();
        if target.is_some() && self.fresh_until.is_some_and(|until| until < opened) {
            self.routing = Routing::Unknown;
            self.holding_since = Some(opened);
            let held = self.hold(record, opened);
            return Accepted {
                wake_engine: wake_engine || held.wake_engine,
                ..held
            };
        }
        let due = opened + self.linger;
        let group =
            DeliveryGroup::new(self.ledger.clone(), self.barrier.epoch(), opened + self.ttl);
        let mut aggregate = match target {
            Some(target) => OpenAggregate::for_shard(group, due, target.clone(), &self.limits),
            None => OpenAggregate::loose(group, due),
        };
        let delivery = aggregate.push_first(record, &self.limits);
        *place = Some(aggregate);
        if self.next_due.is_none_or(|next| due < next) {
            self.next_due = Some(due);
        }
        wake_engine |= self.armed.is_none_or(|armed| due < armed);
        Accepted {
            delivery,
            wake_engine,
        }
    }

    /// Keeps a record until it is known where it goes.
    fn hold(&mut self, record: UserRecord, now: Instant) -> Accepted {
        let epoch = self.barrier.epoch();
        let mut record = record;
        if let Some(aggregate) = self.held.last_mut()
            && aggregate.target().is_none()
            && aggregate.group.epoch == epoch
            && now < aggregate.due
        {
            match aggregate.push(record, &self.limits) {
                Ok(slot) => {
                    return Accepted {
                        delivery: aggregate.group.delivery(slot),
                        wake_engine: false,
                    };
                }
                Err(back) => record = back,
            }
        }
        let group = DeliveryGroup::new(self.ledger.clone(), epoch, now + self.ttl);
        let mut aggregate = OpenAggregate::loose(group, now + self.linger);
        let delivery = aggregate.push_first(record, &self.limits);
        // The engine must know when the oldest of them expires, and that a map is wanted.
        let wake_engine = self.held.is_empty();
        self.held.push(aggregate);
        Accepted {
            delivery,
            wake_engine,
        }
    }

    /// Queues for room. Also returns whether the engine must see whether it can make some.
    pub(crate) fn join_queue(&mut self, size: usize) -> (Ticket, bool) {
        let first = !self.limit.is_wanted();
        (self.limit.join(size), first)
    }

    /// Whether a call waits for room.
    pub(crate) fn is_full(&self) -> bool {
        self.limit.is_wanted()
    }

    pub(crate) fn room(&mut self) -> &mut BufferLimit {
        &mut self.limit
    }

    /// Ends every linger and begins a new flush epoch.
    pub(crate) fn flush(&mut self, now: Instant) -> u64 {
        self.close_all(now);
        for aggregate in &mut self.held {
            aggregate.due = now;
        }
        self.hurried = true;
        self.barrier.raise()
    }

    /// Ends every linger.
    pub(crate) fn close_all(&mut self, now: Instant) {
        self.closed
            .extend(self.open.iter_mut().filter_map(Option::take));
        self.closed.extend(self.loose.take());
        self.next_due = None;
        for aggregate in &mut self.closed {
            aggregate.due = now;
        }
    }

    pub(crate) fn flushed(&self, mark: u64) -> bool {
        self.barrier.reached(mark)
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.barrier.outstanding()
    }

    pub(crate) fn stats(&self) -> ProducerStats {
        let mut stats = self.stats.clone();
        stats.outstanding_records = self.outstanding();
        stats.outstanding_bytes = self.limit.bytes_taken();
        stats
    }

    // What the engine does.

    /// Sets until when aggregates may be opened without another look at the stream.
    pub(crate) fn set_fresh_until(&mut self, fresh_until: Option<Instant>) {
        self.fresh_until = fresh_until;
    }

    /// Since when records are held though there is a map, because it had grown old unseen.
    pub(crate) fn holding_since(&self) -> Option<Instant> {
        self.holding_since
    }

    /// Whether a record was refused, since the last call of this, that the stream may take by now.
    pub(crate) fn take_refused_large(&mut self) -> bool {
        std::mem::take(&mut self.refused_large)
    }

    /// Whether all lingers were ended since the last call of this.
    pub(crate) fn take_hurry(&mut self) -> bool {
        std::mem::take(&mut self.hurried)
    }

    /// Takes what is closed, and what is due now or soon.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<OpenAggregate> {
        let mut aggregates = std::mem::take(&mut self.closed);
        if self.next_due.is_none_or(|next| now < next) {
            return aggregates;
        }
        let slack = (self.linger / COLLECT_SLACK).min(COLLECT_SLACK_MAX);
        let until = now + slack;
        let mut next = None;
        let places = self.open.iter_mut().chain([&mut self.loose]);
        for place in places {
            match place {
                Some(aggregate) if aggregate.due <= until => aggregates.extend(place.take()),
                Some(aggregate) => {
                    next = Some(next.map_or(aggregate.due, |it: Instant| it.min(aggregate.due)))
                }
                None => {}
            }
        }
        // What left early leaves with the one that is due.
        for aggregate in &mut aggregates {
            aggregate.due = aggregate.due.min(now);
        }
        self.next_due = next;
        aggregates
    }

    /// Takes the held open aggregates whose records have expired.
    pub(crate) fn take_expired_held(&mut self, now: Instant) -> Vec<OpenAggregate> {
        let expired = self
            .held
            .partition_point(|aggregate| aggregate.group.expires <= now);
        self.held.drain(..expired).collect()
    }

    /// Takes every held open aggregate.
    pub(crate) fn take_held(&mut self) -> Vec<OpenAggregate> {
        std::mem::take(&mut self.held)
    }

    /// Sets where records go from now on. Returns the open aggregates that this concerns: those
    /// that wait for a map and those whose shard is gone. Without a map they wait, too.
    pub(crate) fn route(&mut self, routing: Routing) -> Vec<OpenAggregate> {
        self.holding_since = None;
        let mut displaced = std::mem::take(&mut self.held);
        let open = std::mem::take(&mut self.open);
        if let Routing::Aggregate(map) = &routing {
            self.open.resize_with(map.open().len(), || None);
        }
        for aggregate in open.into_iter().flatten() {
            let place = match (&routing, aggregate.target()) {
                (Routing::Aggregate(map), Some(target)) if map.is_open(target) => map
                    .route(target.range.end())
                    .and_then(|index| self.open.get_mut(index)),
                _ => None,
            };
            match place {
                Some(place) => *place = Some(aggregate),
                None => displaced.push(aggregate),
            }
        }
        self.routing = routing;
        if matches!(self.routing, Routing::Unknown) {
            displaced.sort_by_key(|aggregate| aggregate.group.expires);
            self.held = displaced;
            return Vec::new();
        }
        displaced
    }

    /// Notes when the engine will wake by itself: at `own`, or when an open aggregate is due.
    pub(crate) fn arm(&mut self, own: Option<Instant>) -> Option<Instant> {
        let held = self.held.first().map(|aggregate| aggregate.group.expires);
        self.armed = [own, self.next_due, held].into_iter().flatten().min();
        self.armed
    }

    /// Records were settled: gives their room back. Returns the calls to wake, and whether a flush
    /// or a close may be over.
    pub(crate) fn release(
        &mut self,
        epoch: u64,
        records: usize,
        bytes: usize,
    ) -> (Vec<Waker>, bool) {
        let over = self.barrier.settled(epoch, records);
        (self.limit.give_back(bytes, records), over)
    }

    /// Takes everything that the engine has not got.
    pub(crate) fn take_all(&mut self, now: Instant) -> Vec<OpenAggregate> {
        self.flush(now);
        let mut aggregates = std::mem::take(&mut self.closed);
        aggregates.extend(self.take_held());
        aggregates
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use shardwise_env::Env;

    use super::*;
    use crate::record;
    use crate::shard_map::tests::Stream;

    const MS: Duration = Duration::from_millis(1);

    fn buffer() -> Buffer {
        let ledger = Arc::new(Ledger {
            stream: "orders".parse().unwrap(),
            unheeded: AtomicU64::new(0),
        });
        Buffer::new(&ProducerSettings::default(), ledger)
    }

    fn record(n: usize) -> UserRecord {
        UserRecord::new(format!("key {n}").parse().unwrap(), "data".into())
    }

    fn aggregating(shards: u32) -> Routing {
        Routing::Aggregate(Arc::new(Stream::new(shards).map()))
    }

    /// Sends record `n` and says whether the engine is to be woken.
    fn send(buffer: &mut Buffer, n: usize, now: Instant) -> bool {
        let record = record(n);
        buffer.enter(record::size(&record)).unwrap();
        let accepted = buffer.accept(record, || now);
        drop(accepted.delivery);
        accepted.wake_engine
    }

    #[test]
    fn the_engine_is_woken_for_the_first_record_of_a_linger_only() {
        let now = Env::system().now();
        let mut buffer = buffer();
        buffer.route(aggregating(1));
        assert!(send(&mut buffer, 0, now));
        assert_eq!(buffer.arm(None), Some(now + 100 * MS));
        for n in 1..100 {
            assert!(!send(&mut buffer, n, now + MS));
        }
    }

    #[test]
    fn nothing_is_armed_while_there_is_nothing() {
        let now = Env::system().now();
        let mut buffer = buffer();
        buffer.route(aggregating(4));
        assert_eq!(buffer.arm(None), None);
        send(&mut buffer, 0, now);
        assert_eq!(buffer.take_due(now + 100 * MS).len(), 1);
        assert_eq!(buffer.arm(None), None);
    }

    #[test]
    fn who_is_due_soon_leaves_with_who_is_due_now() {
        let now = Env::system().now();
        let mut buffer = buffer();
        buffer.route(aggregating(64));
        for n in 0..40 {
            let n_ms = u32::try_from(n).unwrap() * MS;
            send(&mut buffer, n, now + n_ms);
        }
        assert!(buffer.take_due(now + 99 * MS).is_empty());
        let first = buffer.take_due(now + 100 * MS);
        assert!(
            first
                .iter()
                .all(|aggregate| aggregate.due <= now + 100 * MS)
        );
        let next = buffer.arm(None).unwrap();
        assert!(next > now + 120 * MS, "all within 20 ms are gone");
    }

    #[test]
    fn records_are_held_until_it_is_known_where_they_go() {
        let now = Env::system().now();
        let mut buffer = buffer();
        assert!(send(&mut buffer, 0, now));
        assert!(!send(&mut buffer, 1, now + MS));
        assert!(!send(&mut buffer, 2, now + 150 * MS));
        assert!(buffer.take_due(now + 500 * MS).is_empty());
        let expiry = now + Duration::from_secs(30);
        assert_eq!(buffer.arm(None), Some(expiry));
        assert_eq!(
            buffer.take_expired_held(expiry).len(),
            1,
            "the younger lives on"
        );
        assert_eq!(buffer.route(aggregating(1)).len(), 1);
        assert_eq!(buffer.arm(None), None);
    }

    #[test]
    fn a_new_map_moves_only_the_aggregates_whose_shard_is_gone() {
        let now = Env::system().now();
        let mut buffer = buffer();
        let mut stream = Stream::new(4);
        buffer.route(Routing::Aggregate(Arc::new(stream.map())));
        for n in 0..100 {
            send(&mut buffer, n, now);
        }
        stream.split(1, u128::MAX / 2);
        let displaced = buffer.route(Routing::Aggregate(Arc::new(stream.map())));
        assert_eq!(displaced.len(), 1);
        assert_eq!(buffer.take_due(now + 100 * MS).len(), 3);
        assert_eq!(buffer.route(Routing::Loose).len(), 0);
    }
}
