//! Kinesis records that are ready become PutRecords calls: by count, by bytes, by time. Pure.
//!
//! A Kinesis record leaves when the linger of its first record is over, or earlier in the company
//! of one whose is, or when enough bytes have come together. Oldest first, so what is tried again
//! goes before what is fresh.

use std::collections::{BTreeMap, VecDeque};

use shardwise_env::Instant;

use crate::kinesis_record::{AggregateLimits, KinesisRecord};
use crate::shard_map::Routing;

/// Bytes that are worth a call before any linger is over: what the KPL lets come together for one
/// shard. From here on a call's fixed cost is a small part of it.
pub(crate) const COLLECT_TARGET_BYTES: usize = 256 * 1024;

/// Kinesis records that may leave as soon as there is a call for them. Bounded by the producer's
/// room.
#[derive(Debug)]
pub(crate) struct Collector {
    max_entries: usize,
    max_bytes: usize,
    /// By expiry, then in order of arrival.
    ready: BTreeMap<(Instant, u64), KinesisRecord>,
    next_id: u64,
    ready_bytes: usize,
    /// When the first of them must leave.
    leave_at: Option<Instant>,
    /// Halves of calls that were refused as a whole; each is a call of its own.
    halves: VecDeque<Vec<KinesisRecord>>,
}

impl Collector {
    pub(crate) fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self {
            max_entries,
            max_bytes,
            ready: BTreeMap::new(),
            next_id: 0,
            ready_bytes: 0,
            leave_at: None,
            halves: VecDeque::new(),
        }
    }

    /// Takes a Kinesis record that leaves when it is due.
    pub(crate) fn put(&mut self, kinesis_record: KinesisRecord) {
        self.ready_bytes += kinesis_record.size();
        self.leave_at = Some(
            self.leave_at
                .map_or(kinesis_record.due, |at| at.min(kinesis_record.due)),
        );
        let key = (kinesis_record.expires(), self.next_id);
        self.next_id += 1;
        self.ready.insert(key, kinesis_record);
    }

    /// Takes Kinesis records that make up a call by themselves.
    pub(crate) fn put_half(&mut self, kinesis_records: Vec<KinesisRecord>) {
        if !kinesis_records.is_empty() {
            self.halves.push_back(kinesis_records);
        }
    }

    /// The next call, if one is due.
    pub(crate) fn take_call(&mut self, now: Instant) -> Option<Vec<KinesisRecord>> {
        if let Some(half) = self.halves.pop_front() {
            return Some(half);
        }
        let due = self.leave_at.is_some_and(|at| at <= now)
            || self.ready.len() >= self.max_entries
            || self.ready_bytes >= COLLECT_TARGET_BYTES.min(self.max_bytes);
        if !due {
            return None;
        }
        let (mut call, mut bytes) = (Vec::new(), 0);
        while call.len() < self.max_entries
            && let Some(head) = self.ready.first_entry()
        {
            bytes += head.get().size();
            // One that is larger than a call may be goes alone.
            if bytes > self.max_bytes && !call.is_empty() {
                break;
            }
            call.push(head.remove());
        }
        self.ready_bytes -= call.iter().map(KinesisRecord::size).sum::<usize>();
        if self.ready.is_empty() {
            self.leave_at = None;
        }
        Some(call).filter(|call| !call.is_empty())
    }

    /// Takes the Kinesis records whose time is over.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Vec<KinesisRecord> {
        let mut expired = Vec::new();
        while let Some(head) = self.ready.first_entry()
            && head.key().0 <= now
        {
            expired.push(head.remove());
        }
        self.ready_bytes -= expired.iter().map(KinesisRecord::size).sum::<usize>();
        for half in &mut self.halves {
            expired.extend(half.extract_if(.., |kinesis_record| kinesis_record.expires() <= now));
        }
        self.halves.retain(|half| !half.is_empty());
        if self.ready.is_empty() {
            self.leave_at = None;
        }
        expired
    }

    /// Packs anew what the routing no longer serves.
    pub(crate) fn reroute(&mut self, routing: &Routing, limits: &AggregateLimits) {
        self.ready_bytes = 0;
        for kinesis_record in std::mem::take(&mut self.ready).into_values() {
            kinesis_record
                .reroute(routing, limits)
                .into_iter()
                .for_each(|kinesis_record| self.put(kinesis_record));
        }
        // A half that is packed anew may become too large for a call: it rejoins the others.
        let stale = |kinesis_record: &mut KinesisRecord| match &kinesis_record.target {
            Some(target) => !routing.serves(target),
            None => false,
        };
        let mut displaced = Vec::new();
        for half in &mut self.halves {
            displaced.extend(half.extract_if(.., stale));
        }
        self.halves.retain(|half| !half.is_empty());
        for kinesis_record in displaced {
            kinesis_record
                .repack(routing, limits)
                .into_iter()
                .for_each(|kinesis_record| self.put(kinesis_record));
        }
    }

    /// Lets everything leave now.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.leave_at = self.leave_at.map(|at| at.min(now));
    }

    /// When a call is due by time alone.
    pub(crate) fn next_call(&self) -> Option<Instant> {
        self.leave_at
    }

    /// When the first Kinesis record expires.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let ready = self.ready.first_key_value().map(|(key, _)| key.0);
        let halves = self
            .halves
            .iter()
            .flatten()
            .map(KinesisRecord::expires)
            .min();
        ready.into_iter().chain(halves).min()
    }

    /// Takes everything.
    pub(crate) fn take_all(&mut self) -> Vec<KinesisRecord> {
        self.leave_at = None;
        self.ready_bytes = 0;
        std::mem::take(&mut self.ready)
            .into_values()
            .chain(std::mem::take(&mut self.halves).into_iter().flatten())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;
    use shardwise_env::Env;

    use super::*;
    use crate::open_aggregate::tests::{LIMITS, aggregate, records};
    use crate::shard_map::tests::Stream;

    const TTL: Duration = Duration::from_secs(30);

    /// One Kinesis record for each size.
    fn kinesis_records(sizes: Vec<usize>, now: Instant) -> Vec<KinesisRecord> {
        aggregate(records(sizes), now, TTL).close(&Routing::Loose, &LIMITS)
    }

    proptest! {
        #[test]
        fn any_records_under_any_limits_leave_in_calls_within_the_limits(
            sizes in prop::collection::vec(0..3_000_usize, 1..300),
            max_entries in 1..501_usize,
            max_bytes in 1..20_000_usize,
            shards in prop::option::of(1..4_u32),
        ) {
            let now = Env::system().now();
            let records = records(sizes);
            let routing = shards.map_or(Routing::Loose, |shards| {
                Routing::Aggregate(Arc::new(Stream::new(shards).map()))
            });
            let mut collector = Collector::new(max_entries, max_bytes);
            let total = records.len();
            for kinesis_record in aggregate(records, now, TTL).close(&routing, &LIMITS) {
                collector.put(kinesis_record);
            }
            let mut left = 0;
            while let Some(call) = collector.take_call(now) {
                prop_assert!(!call.is_empty() && call.len() <= max_entries);
                let bytes: usize = call.iter().map(KinesisRecord::size).sum();
                prop_assert!(bytes <= max_bytes || call.len() == 1);
                left += call.iter().map(|it| it.records.len()).sum::<usize>();
            }
            prop_assert_eq!(left, total, "all of them leave");
            prop_assert_eq!(collector.ready_bytes, 0);
            prop_assert_eq!(collector.next_call(), None);
            prop_assert_eq!(collector.next_expiry(), None);
        }
    }

    #[test]
    fn a_kinesis_record_waits_for_company_until_it_is_due() {
        let now = Env::system().now();
        let due = now + Duration::from_millis(100);
        let mut collector = Collector::new(500, 1_000_000);
        for mut kinesis_record in kinesis_records(vec![10, 10], now) {
            kinesis_record.due = due;
            collector.put(kinesis_record);
        }
        assert!(collector.take_call(now).is_none());
        assert_eq!(collector.next_call(), Some(due));
        assert_eq!(collector.take_call(due).unwrap().len(), 2);
        assert_eq!(collector.next_call(), None);
    }

    #[test]
    fn bytes_or_number_are_reason_enough_to_leave() {
        let now = Env::system().now();
        let due = now + Duration::from_secs(1);
        let later = |sizes| {
            kinesis_records(sizes, now)
                .into_iter()
                .map(move |mut kinesis_record| {
                    kinesis_record.due = due;
                    kinesis_record
                })
        };
        let mut collector = Collector::new(500, 10_000_000);
        later(vec![COLLECT_TARGET_BYTES]).for_each(|it| collector.put(it));
        assert!(collector.take_call(now).is_some());

        let mut collector = Collector::new(3, 10_000_000);
        later(vec![1; 2]).for_each(|it| collector.put(it));
        assert!(collector.take_call(now).is_none());
        later(vec![1; 2]).for_each(|it| collector.put(it));
        assert_eq!(collector.take_call(now).unwrap().len(), 3);
        assert!(collector.take_call(now).is_none());
    }

    #[test]
    fn the_oldest_leave_first_and_the_expired_not_at_all() {
        let now = Env::system().now();
        let mut collector = Collector::new(1, 1_000);
        let old = aggregate(records(vec![1]), now, Duration::from_secs(1));
        let young = aggregate(records(vec![2]), now, Duration::from_secs(2));
        let gone = aggregate(records(vec![3]), now, Duration::ZERO);
        for aggregate in [young, old, gone] {
            for kinesis_record in aggregate.close(&Routing::Loose, &LIMITS) {
                collector.put(kinesis_record);
            }
        }
        assert_eq!(collector.next_expiry(), Some(now));
        assert_eq!(collector.take_expired(now).len(), 1);
        let sizes: Vec<_> = std::iter::from_fn(|| collector.take_call(now))
            .map(|call| call[0].records[0].data().len())
            .collect();
        assert_eq!(sizes, [1, 2]);
    }

    #[test]
    fn the_halves_of_a_refused_call_stay_apart_and_expire_like_others() {
        let now = Env::system().now();
        let mut collector = Collector::new(500, 1_000_000);
        let mut first = kinesis_records(vec![1; 4], now);
        let second = first.split_off(2);
        collector.put_half(first);
        collector.put_half(second);
        kinesis_records(vec![1; 9], now)
            .into_iter()
            .for_each(|it| collector.put(it));
        assert_eq!(collector.take_call(now).unwrap().len(), 2);
        assert_eq!(collector.next_expiry(), Some(now + TTL));
        assert_eq!(collector.take_expired(now + TTL).len(), 2 + 9);
        assert!(collector.take_call(now + TTL).is_none());
    }
}
