//! Parcels that are ready become PutRecords calls: by count, by bytes, by time. Pure.
//!
//! A parcel leaves when the linger of its first record is over, or earlier in the company of one
//! whose is, or when enough bytes have come together. Oldest first, so what is tried again goes
//! before what is fresh.

use std::collections::{BTreeMap, VecDeque};

use shardwise_env::Instant;

use crate::aggregate::{Limits, Parcel, Routing};

/// Bytes that are worth a call before any linger is over: what the KPL lets come together for one
/// shard. From here on a call's fixed cost is a small part of it.
pub(crate) const COLLECT_TARGET_BYTES: usize = 256 * 1024;

/// Parcels that may leave as soon as there is a call for them. Bounded by the producer's room.
#[derive(Debug)]
pub(crate) struct Collector {
    max_entries: usize,
    max_bytes: usize,
    /// By expiry, then in order of arrival.
    ready: BTreeMap<(Instant, u64), Parcel>,
    next_id: u64,
    ready_bytes: usize,
    /// When the first of them must leave.
    leave_at: Option<Instant>,
    /// Halves of calls that were refused as a whole; each is a call of its own.
    halves: VecDeque<Vec<Parcel>>,
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

    /// Takes a parcel that leaves when it is due.
    pub(crate) fn put(&mut self, parcel: Parcel) {
        self.ready_bytes += parcel.size();
        self.leave_at = Some(self.leave_at.map_or(parcel.due, |at| at.min(parcel.due)));
        let key = (parcel.expires(), self.next_id);
        self.next_id += 1;
        self.ready.insert(key, parcel);
    }

    /// Takes parcels that make up a call by themselves.
    pub(crate) fn put_half(&mut self, parcels: Vec<Parcel>) {
        if !parcels.is_empty() {
            self.halves.push_back(parcels);
        }
    }

    /// The next call, if one is due.
    pub(crate) fn take_call(&mut self, now: Instant) -> Option<Vec<Parcel>> {
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
        self.ready_bytes -= call.iter().map(Parcel::size).sum::<usize>();
        if self.ready.is_empty() {
            self.leave_at = None;
        }
        Some(call).filter(|call| !call.is_empty())
    }

    /// Takes the parcels whose time is over.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Vec<Parcel> {
        let mut expired = Vec::new();
        while let Some(head) = self.ready.first_entry()
            && head.key().0 <= now
        {
            expired.push(head.remove());
        }
        self.ready_bytes -= expired.iter().map(Parcel::size).sum::<usize>();
        for half in &mut self.halves {
            expired.extend(half.extract_if(.., |parcel| parcel.expires() <= now));
        }
        self.halves.retain(|half| !half.is_empty());
        if self.ready.is_empty() {
            self.leave_at = None;
        }
        expired
    }

    /// Packs anew what the routing no longer serves.
    pub(crate) fn reroute(&mut self, routing: &Routing, limits: &Limits) {
        self.ready_bytes = 0;
        for parcel in std::mem::take(&mut self.ready).into_values() {
            parcel
                .reroute(routing, limits)
                .into_iter()
                .for_each(|parcel| self.put(parcel));
        }
        // A half that is packed anew may become too large for a call: it rejoins the others.
        let stale = |parcel: &mut Parcel| match &parcel.target {
            Some(target) => !routing.serves(target),
            None => false,
        };
        let mut displaced = Vec::new();
        for half in &mut self.halves {
            displaced.extend(half.extract_if(.., stale));
        }
        self.halves.retain(|half| !half.is_empty());
        for parcel in displaced {
            parcel
                .repack(routing, limits)
                .into_iter()
                .for_each(|parcel| self.put(parcel));
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

    /// When the first parcel expires.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let ready = self.ready.first_key_value().map(|(key, _)| key.0);
        let halves = self.halves.iter().flatten().map(Parcel::expires).min();
        ready.into_iter().chain(halves).min()
    }

    /// Takes everything.
    pub(crate) fn take_all(&mut self) -> Vec<Parcel> {
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
    use crate::aggregate::tests::{LIMITS, group, records};
    use crate::shard_map::tests::Stream;

    const TTL: Duration = Duration::from_secs(30);

    /// One parcel for each size.
    fn parcels(sizes: Vec<usize>, now: Instant) -> Vec<Parcel> {
        group(records(sizes), now, TTL).seal(&Routing::Loose, &LIMITS)
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
            for parcel in group(records, now, TTL).seal(&routing, &LIMITS) {
                collector.put(parcel);
            }
            let mut left = 0;
            while let Some(call) = collector.take_call(now) {
                prop_assert!(!call.is_empty() && call.len() <= max_entries);
                let bytes: usize = call.iter().map(Parcel::size).sum();
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
    fn a_parcel_waits_for_company_until_it_is_due() {
        let now = Env::system().now();
        let due = now + Duration::from_millis(100);
        let mut collector = Collector::new(500, 1_000_000);
        for mut parcel in parcels(vec![10, 10], now) {
            parcel.due = due;
            collector.put(parcel);
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
            parcels(sizes, now).into_iter().map(move |mut parcel| {
                parcel.due = due;
                parcel
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
        let old = group(records(vec![1]), now, Duration::from_secs(1));
        let young = group(records(vec![2]), now, Duration::from_secs(2));
        let gone = group(records(vec![3]), now, Duration::ZERO);
        for group in [young, old, gone] {
            for parcel in group.seal(&Routing::Loose, &LIMITS) {
                collector.put(parcel);
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
        let mut first = parcels(vec![1; 4], now);
        let second = first.split_off(2);
        collector.put_half(first);
        collector.put_half(second);
        parcels(vec![1; 9], now)
            .into_iter()
            .for_each(|it| collector.put(it));
        assert_eq!(collector.take_call(now).unwrap().len(), 2);
        assert_eq!(collector.next_expiry(), Some(now + TTL));
        assert_eq!(collector.take_expired(now + TTL).len(), 2 + 9);
        assert!(collector.take_call(now + TTL).is_none());
    }
}
