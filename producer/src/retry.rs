//! Kinesis records that wait: for another try, or for a map that says what became of them.
//! Pure.
//!
//! These are the retries of single *entries* of PutRecords. Those of whole requests of other kinds
//! are the client's (`shardwise_client::retry`), and a PutRecords call is sent by the client just
//! once, so attempts are counted here alone. How long to wait is the client's
//! [`RetryPolicy`](shardwise_client::retry::RetryPolicy).

use std::collections::BTreeMap;
use std::time::Duration;

use shardwise_client::{PutSuccess, Written};
use shardwise_env::Instant;

use crate::error::{Cause, WrongShard};
use crate::kinesis_record::{AggregateLimits, KinesisRecord};
use crate::shard_check::{ShardCheck, ShardChecker};
use crate::shard_map::{Routing, ShardMap};

/// An aggregate that was stored by another shard than it was bound for, so that a map is needed to
/// say whether consumers can read it.
#[derive(Debug)]
pub(crate) struct Misrouted {
    pub(crate) kinesis_record: KinesisRecord,
    pub(crate) put_result: PutSuccess,
    /// When the answer came: a map that was fetched later knows the shard.
    pub(crate) at: Instant,
}

impl Misrouted {
    /// Gives up on it: it is stored, and it is not known whether consumers can read it.
    pub(crate) fn unresolved(self) -> KinesisRecord {
        let mut kinesis_record = self.kinesis_record;
        kinesis_record.written = Written::Unknown;
        kinesis_record.cause = Some(Cause::WrongShard(WrongShard::new(self.put_result.shard_id)));
        kinesis_record
    }
}

/// The waiting Kinesis records. Bounded by the producer's room.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    /// By the time of their next try, or of their expiry if that is earlier.
    delayed: BTreeMap<(Instant, u64), KinesisRecord>,
    /// By expiry.
    misrouted: BTreeMap<(Instant, u64), Misrouted>,
    next_id: u64,
}

impl Retries {
    /// Keeps a Kinesis record for another try.
    pub(crate) fn delay(&mut self, kinesis_record: KinesisRecord, now: Instant, delay: Duration) {
        let key = (kinesis_record.expires().min(now + delay), self.id());
        self.delayed.insert(key, kinesis_record);
    }

    /// Keeps a misrouted aggregate until a map judges it.
    pub(crate) fn keep_misrouted(&mut self, misrouted: Misrouted) {
        let key = (misrouted.kinesis_record.expires(), self.id());
        self.misrouted.insert(key, misrouted);
    }

    pub(crate) fn has_misrouted(&self) -> bool {
        !self.misrouted.is_empty()
    }

    /// Takes the Kinesis records whose wait is over. Those that have expired are among them.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<KinesisRecord> {
        let mut due = Vec::new();
        while let Some(head) = self.delayed.first_entry()
            && head.key().0 <= now
        {
            due.push(head.remove());
        }
        due
    }

    /// Takes the misrouted aggregates that no map has judged in time.
    pub(crate) fn take_expired_misrouted(&mut self, now: Instant) -> Vec<KinesisRecord> {
        let mut expired = Vec::new();
        while let Some(head) = self.misrouted.first_entry()
            && head.key().0 <= now
        {
            expired.push(head.remove().unresolved());
        }
        expired
    }

    /// Takes the misrouted aggregates that this map, fetched at `begun`, says something of.
    pub(crate) fn check_misrouted(
        &mut self,
        checker: &mut ShardChecker,
        map: &ShardMap,
        begun: Instant,
    ) -> Vec<(Misrouted, ShardCheck)> {
        let mut checked = Vec::new();
        for misrouted in std::mem::take(&mut self.misrouted).into_values() {
            let (kinesis_record, put_result) = (&misrouted.kinesis_record, &misrouted.put_result);
            let map_is_newer = begun >= misrouted.at;
            match checker.check(kinesis_record, put_result, Some(map), map_is_newer) {
                ShardCheck::Unknown => self.keep_misrouted(misrouted),
                check => checked.push((misrouted, check)),
            }
        }
        checked
    }

    /// Packs anew what the routing no longer serves.
    pub(crate) fn reroute(&mut self, routing: &Routing, limits: &AggregateLimits) {
        for ((due, _), kinesis_record) in std::mem::take(&mut self.delayed) {
            for kinesis_record in kinesis_record.reroute(routing, limits) {
                let key = (due, self.id());
                self.delayed.insert(key, kinesis_record);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.delayed.is_empty() && self.misrouted.is_empty()
    }

    /// When the next wait or life ends.
    pub(crate) fn next(&self) -> Option<Instant> {
        let delayed = self.delayed.first_key_value().map(|(key, _)| key.0);
        let misrouted = self.misrouted.first_key_value().map(|(key, _)| key.0);
        delayed.into_iter().chain(misrouted).min()
    }

    /// Takes everything.
    pub(crate) fn take_all(&mut self) -> Vec<KinesisRecord> {
        let misrouted = std::mem::take(&mut self.misrouted).into_values();
        let delayed = std::mem::take(&mut self.delayed).into_values();
        misrouted
            .map(Misrouted::unresolved)
            .chain(delayed)
            .collect()
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use proptest::prelude::*;
    use shardwise_client::PutFailure;
    use shardwise_env::Env;
    use shardwise_types::ShardId;

    use super::*;
    use crate::collect::Collector;
    use crate::completions::Completions;
    use crate::delivery::Delivery;
    use crate::error::DeliveryErrorKind;
    use crate::open_aggregate::tests::{LIMITS, aggregate, records};
    use crate::put_call::{CallOutcome, EntryOutcome, InFlight, call_outcome};
    use crate::shard_map::tests::Stream;

    fn poll(delivery: &mut Delivery) -> Option<Result<crate::Receipt, crate::DeliveryError>> {
        match Pin::new(delivery).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    fn put_result(shard: u32) -> PutSuccess {
        PutSuccess::new(ShardId::from_number(shard), "5".parse().unwrap())
    }

    proptest! {
        /// Whichever entries fail however often: each record has one outcome, and it is the right
        /// one.
        #[test]
        fn every_record_has_one_outcome_for_any_mask_of_partial_failures(
            sizes in prop::collection::vec(0..100_usize, 1..80),
            shards in prop::option::of(1..4_u32),
            masks in prop::collection::vec(any::<u64>(), 0..40),
            max_entries in 1..30_usize,
        ) {
            const TTL: Duration = Duration::from_secs(2);
            let mut now = Env::system().now();
            let routing = shards.map_or(Routing::Loose, |shards| {
                Routing::Aggregate(Arc::new(Stream::new(shards).map()))
            });
            let aggregate = aggregate(records(sizes.clone()), now, TTL);
            let mut deliveries: Vec<_> = (0..)
                .zip(&sizes)
                .map(|(slot, _)| aggregate.group.delivery(slot))
                .collect();
            let mut collector = Collector::new(max_entries, 1_000_000);
            let mut retries = Retries::default();
            let mut completions = Completions::default();
            for kinesis_record in aggregate.close(&routing, &LIMITS) {
                collector.put(kinesis_record);
            }
            let mut masks = masks.into_iter();
            while collector.next_call().is_some() || !retries.is_empty() {
                for kinesis_record in retries.take_due(now) {
                    if kinesis_record.expires() <= now {
                        completions.failed(&kinesis_record, DeliveryErrorKind::Expired);
                    } else {
                        collector.put(kinesis_record);
                    }
                }
                while let Some(mut call) = collector.take_call(now) {
                    call.iter_mut().for_each(|kinesis_record| kinesis_record.attempts += 1);
                    // When the masks are used up, all succeeds; a mask of ones never does.
                    let mask = masks.next().unwrap_or(0);
                    let results = (0..call.len()).map(|index| {
                        if mask >> (index % 64) & 1 == 1 {
                            let code = "ProvisionedThroughputExceededException";
                            Err(PutFailure::new(code, "slow down"))
                        } else {
                            Ok(put_result(0))
                        }
                    });
                    let results = results.collect();
                    let CallOutcome::Each(outcomes) = call_outcome(InFlight::new(call), Ok(Ok(results))) else {
                        panic!("entries have their own outcomes");
                    };
                    for (kinesis_record, outcome) in outcomes {
                        match outcome {
                            EntryOutcome::Stored(put_result) => completions.stored(&kinesis_record, put_result),
                            EntryOutcome::Retry(_, written) => {
                                prop_assert_eq!(written, Written::No);
                                retries.delay(kinesis_record, now, Duration::from_millis(300));
                            }
                            EntryOutcome::Rejected(_) => panic!("a throttle is no refusal"),
                        }
                    }
                }
                now += Duration::from_millis(100);
            }
            let (mut stored, mut failed) = (0, 0);
            for delivery in &mut deliveries {
                match poll(delivery).expect("every record has an outcome") {
                    Ok(receipt) => {
                        prop_assert!(!receipt.maybe_duplicate && receipt.attempts > 0);
                        stored += 1;
                    }
                    Err(error) => {
                        prop_assert_eq!(error.kind(), DeliveryErrorKind::Expired);
                        prop_assert_eq!(error.written(), Written::No);
                        failed += 1;
                    }
                }
            }
            prop_assert_eq!(completions.counts.user_records_acknowledged, stored);
            prop_assert_eq!(completions.counts.user_records_failed, failed);
            prop_assert_eq!(completions.released(), (sizes.len(), sizes.iter().sum::<usize>() + keys(&sizes)));
        }
    }

    /// Bytes of the partition keys `key 0`, `key 1` and so on.
    fn keys(sizes: &[usize]) -> usize {
        (0..sizes.len()).map(|n| format!("key {n}").len()).sum()
    }

    #[test]
    fn a_wait_ends_with_the_records_life_at_the_latest() {
        let now = Env::system().now();
        let kinesis_record = aggregate(records(vec![1]), now, Duration::from_secs(1))
            .close(&Routing::Loose, &LIMITS)
            .remove(0);
        let mut retries = Retries::default();
        retries.delay(kinesis_record, now, Duration::from_secs(60));
        assert_eq!(retries.next(), Some(now + Duration::from_secs(1)));
        assert!(retries.take_due(now).is_empty());
        assert_eq!(retries.take_due(now + Duration::from_secs(1)).len(), 1);
        assert!(retries.is_empty());
    }

    #[test]
    fn misrouted_aggregates_wait_for_a_map_that_knows_their_shard() {
        let now = Env::system().now();
        let mut stream = Stream::new(1);
        let routing = Routing::Aggregate(Arc::new(stream.map()));
        stream.split(0, u128::MAX / 2);
        let after = stream.map();
        let mut retries = Retries::default();
        let misrouted = |shard| Misrouted {
            kinesis_record: aggregate(records(vec![1; 12]), now, Duration::from_secs(1))
                .close(&routing, &LIMITS)
                .remove(0),
            put_result: put_result(shard),
            at: now,
        };
        retries.keep_misrouted(misrouted(1));
        retries.keep_misrouted(misrouted(7));
        let checked = retries.check_misrouted(&mut ShardChecker::default(), &after, now);
        assert_eq!(checked.len(), 1);
        assert_eq!(checked[0].1, ShardCheck::WrongShard);
        assert!(retries.has_misrouted());
        let lost = retries.take_expired_misrouted(now + Duration::from_secs(1));
        assert_eq!(lost.len(), 1);
        assert_eq!(lost[0].written, Written::Unknown);
        assert!(retries.is_empty());
    }
}
