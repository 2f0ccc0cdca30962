//! Parcels that must wait: for another try, or for a map that says what became of them. Pure.
//!
//! These are the retries of single *entries* of PutRecords. Those of whole requests of other kinds
//! are the client's (`shardwise_client::retry`), and a PutRecords call is sent by the client just
//! once, so attempts are counted here alone. How long to wait is the client's
//! [`RetryPolicy`](shardwise_client::retry::RetryPolicy).

use std::collections::BTreeMap;
use std::time::Duration;

use shardwise_client::{PutSuccess, Written};
use shardwise_env::Instant;

use crate::aggregate::{Limits, Parcel, Routing};
use crate::error::{Cause, WrongShard};
use crate::shard_map::ShardMap;

/// An aggregate that was stored by another shard than it was bound for, so that a map is needed to
/// say whether consumers can read it.
#[derive(Debug)]
pub(crate) struct Stray {
    pub(crate) parcel: Parcel,
    pub(crate) landing: PutSuccess,
}

impl Stray {
    /// Gives up on it: it is stored, and nobody can say whether it can be read.
    pub(crate) fn unresolved(self) -> Parcel {
        let mut parcel = self.parcel;
        parcel.written = Written::Unknown;
        parcel.cause = Some(Cause::WrongShard(WrongShard::new(self.landing.shard_id)));
        parcel
    }
}

/// What a map says of a stray.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The shard owns all members: it counts as stored.
    Fits,
    /// Some member lies outside: consumers may drop it.
    WrongShard,
    /// The map does not know the shard.
    Unknown,
}

/// Judges an aggregate by the shard that took it.
pub(crate) fn judge(parcel: &Parcel, landing: &PutSuccess, map: Option<&ShardMap>) -> Judgement {
    if !parcel.is_aggregate() {
        // A record that travels alone is readable wherever it lands.
        return Judgement::Fits;
    }
    let known = map.and_then(|map| map.range(&landing.shard_id));
    // The shard that it was packed for may have left the map since: it held its members then.
    let packed_for = parcel
        .target
        .as_ref()
        .filter(|target| target.shard_id == landing.shard_id)
        .map(|target| target.range);
    match known.or(packed_for) {
        None => Judgement::Unknown,
        Some(range) if parcel.fits(&range) => Judgement::Fits,
        Some(_) => Judgement::WrongShard,
    }
}

/// The waiting parcels. Bounded by the producer's room.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    /// By the time of their next try, or of their expiry if that is earlier.
    delayed: BTreeMap<(Instant, u64), Parcel>,
    /// By expiry.
    strays: BTreeMap<(Instant, u64), Stray>,
    next_id: u64,
}

impl Retries {
    /// Keeps a parcel for another try.
    pub(crate) fn delay(&mut self, parcel: Parcel, now: Instant, delay: Duration) {
        let key = (parcel.expires().min(now + delay), self.id());
        self.delayed.insert(key, parcel);
    }

    /// Keeps a stray until a map judges it.
    pub(crate) fn keep_stray(&mut self, stray: Stray) {
        let key = (stray.parcel.expires(), self.id());
        self.strays.insert(key, stray);
    }

    pub(crate) fn has_strays(&self) -> bool {
        !self.strays.is_empty()
    }

    /// Takes the parcels whose wait is over. Those that have expired are among them.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Parcel> {
        let mut due = Vec::new();
        while let Some(head) = self.delayed.first_entry()
            && head.key().0 <= now
        {
            due.push(head.remove());
        }
        due
    }

    /// Takes the strays that no map has judged in time.
    pub(crate) fn take_expired_strays(&mut self, now: Instant) -> Vec<Parcel> {
        let mut expired = Vec::new();
        while let Some(head) = self.strays.first_entry()
            && head.key().0 <= now
        {
            expired.push(head.remove().unresolved());
        }
        expired
    }

    /// Takes the strays that this map can judge, with its judgement.
    pub(crate) fn judge_strays(&mut self, map: &ShardMap) -> Vec<(Stray, Judgement)> {
        let mut judged = Vec::new();
        for stray in std::mem::take(&mut self.strays).into_values() {
            match judge(&stray.parcel, &stray.landing, Some(map)) {
                Judgement::Unknown => self.keep_stray(stray),
                judgement => judged.push((stray, judgement)),
            }
        }
        judged
    }

    /// Packs anew what the routing no longer serves.
    pub(crate) fn reroute(&mut self, routing: &Routing, limits: &Limits) {
        for ((due, _), parcel) in std::mem::take(&mut self.delayed) {
            for parcel in parcel.reroute(routing, limits) {
                let key = (due, self.id());
                self.delayed.insert(key, parcel);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.delayed.is_empty() && self.strays.is_empty()
    }

    /// When the next wait or life ends.
    pub(crate) fn next(&self) -> Option<Instant> {
        let delayed = self.delayed.first_key_value().map(|(key, _)| key.0);
        let strays = self.strays.first_key_value().map(|(key, _)| key.0);
        delayed.into_iter().chain(strays).min()
    }

    /// Takes everything.
    pub(crate) fn take_all(&mut self) -> Vec<Parcel> {
        let strays = std::mem::take(&mut self.strays).into_values();
        let delayed = std::mem::take(&mut self.delayed).into_values();
        strays.map(Stray::unresolved).chain(delayed).collect()
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
    use crate::aggregate::tests::{LIMITS, group, records};
    use crate::collect::Collector;
    use crate::delivery::Delivery;
    use crate::error::DeliveryErrorKind;
    use crate::send::{Fate, Sent, Split, split};
    use crate::settle::Settlement;
    use crate::shard_map::tests::Stream;

    fn poll(delivery: &mut Delivery) -> Option<Result<crate::Receipt, crate::DeliveryError>> {
        match Pin::new(delivery).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    fn landing(shard: u32) -> PutSuccess {
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
            let group = group(records(sizes.clone()), now, TTL);
            let mut deliveries: Vec<_> = (0..)
                .zip(&sizes)
                .map(|(slot, _)| group.batch.delivery(slot))
                .collect();
            let mut collector = Collector::new(max_entries, 1_000_000);
            let mut retries = Retries::default();
            let mut settlement = Settlement::default();
            for parcel in group.seal(&routing, &LIMITS) {
                collector.put(parcel);
            }
            let mut masks = masks.into_iter();
            while collector.next_call().is_some() || !retries.is_empty() {
                for parcel in retries.take_due(now) {
                    if parcel.expires() <= now {
                        settlement.failed(&parcel, DeliveryErrorKind::Expired);
                    } else {
                        collector.put(parcel);
                    }
                }
                while let Some(mut call) = collector.take_call(now) {
                    call.iter_mut().for_each(|parcel| parcel.attempts += 1);
                    // When the masks are used up, all succeeds; a mask of ones never does.
                    let mask = masks.next().unwrap_or(0);
                    let results = (0..call.len()).map(|index| {
                        if mask >> (index % 64) & 1 == 1 {
                            let code = "ProvisionedThroughputExceededException";
                            Err(PutFailure::new(code, "slow down"))
                        } else {
                            Ok(landing(0))
                        }
                    });
                    let results = results.collect();
                    let Split::Each(fates) = split(Sent::new(call), Ok(Ok(results))) else {
                        panic!("entries have their own fates");
                    };
                    for (parcel, fate) in fates {
                        match fate {
                            Fate::Landed(landing) => settlement.stored(&parcel, landing),
                            Fate::Retry(_, written) => {
                                prop_assert_eq!(written, Written::No);
                                retries.delay(parcel, now, Duration::from_millis(300));
                            }
                            Fate::Rejected(_) => panic!("a throttle is no refusal"),
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
            prop_assert_eq!(settlement.counts.user_records_acknowledged, stored);
            prop_assert_eq!(settlement.counts.user_records_failed, failed);
            prop_assert_eq!(settlement.released(), (sizes.len(), sizes.iter().sum::<usize>() + keys(&sizes)));
        }
    }

    /// Bytes of the partition keys `key 0`, `key 1` and so on.
    fn keys(sizes: &[usize]) -> usize {
        (0..sizes.len()).map(|n| format!("key {n}").len()).sum()
    }

    #[test]
    fn a_wait_ends_with_the_records_life_at_the_latest() {
        let now = Env::system().now();
        let parcel = group(records(vec![1]), now, Duration::from_secs(1))
            .seal(&Routing::Loose, &LIMITS)
            .remove(0);
        let mut retries = Retries::default();
        retries.delay(parcel, now, Duration::from_secs(60));
        assert_eq!(retries.next(), Some(now + Duration::from_secs(1)));
        assert!(retries.take_due(now).is_empty());
        assert_eq!(retries.take_due(now + Duration::from_secs(1)).len(), 1);
        assert!(retries.is_empty());
    }

    #[test]
    fn an_aggregate_is_judged_by_the_shard_that_took_it() {
        let now = Env::system().now();
        let mut stream = Stream::new(1);
        let before = stream.map();
        let routing = Routing::Aggregate(Arc::new(stream.map()));
        let seal = |count| {
            group(records(vec![1; count]), now, Duration::from_secs(1))
                .seal(&routing, &LIMITS)
                .remove(0)
        };
        let aggregate = seal(12);
        stream.split(0, u128::MAX / 2);
        let after = stream.map();
        let judge =
            |parcel: &Parcel, shard, map: Option<&ShardMap>| judge(parcel, &landing(shard), map);

        assert_eq!(judge(&aggregate, 0, Some(&before)), Judgement::Fits);
        assert_eq!(judge(&aggregate, 0, Some(&after)), Judgement::Fits);
        assert_eq!(judge(&aggregate, 1, Some(&before)), Judgement::Unknown);
        assert_eq!(judge(&aggregate, 1, None), Judgement::Unknown);
        assert_eq!(judge(&aggregate, 1, Some(&after)), Judgement::WrongShard);
        assert_eq!(judge(&seal(1), 1, None), Judgement::Fits);
        // A map that only knows the open shards: it was packed for that one.
        stream.shards.remove(0);
        assert_eq!(judge(&aggregate, 0, Some(&stream.map())), Judgement::Fits);
        // The stream was made again: the same id, another range.
        let again = Stream::new(3).map();
        assert_eq!(judge(&aggregate, 0, Some(&again)), Judgement::WrongShard);

        let mut retries = Retries::default();
        let stray = |shard| Stray {
            parcel: seal(12),
            landing: landing(shard),
        };
        retries.keep_stray(stray(1));
        retries.keep_stray(stray(7));
        let judged = retries.judge_strays(&after);
        assert_eq!(judged.len(), 1);
        assert_eq!(judged[0].1, Judgement::WrongShard);
        assert!(retries.has_strays());
        let lost = retries.take_expired_strays(now + Duration::from_secs(1));
        assert_eq!(lost.len(), 1);
        assert_eq!(lost[0].written, Written::Unknown);
        assert!(retries.is_empty());
    }
}
