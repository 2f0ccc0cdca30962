//! Whether consumers can read an aggregate in the shard that took it, so that it may be
//! acknowledged. Pure.
//!
//! The rule is the KCL's: it drops the whole aggregate as soon as one member lies outside the
//! shard's range. What cannot be said yet waits in [`Retries`](crate::retry::Retries).
//!
//! A stream that is deleted and created again has the same shard ids with other ranges, and a map
//! of before would let aggregates pass. What gives it away at once is the sequence number: the
//! service counts each shard's from the second in which it was created.

use shardwise_client::PutSuccess;
use shardwise_types::SequenceNumber;

use crate::kinesis_record::KinesisRecord;
use crate::shard_map::ShardMap;

/// What a map says of an aggregate and the shard that took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShardCheck {
    /// The shard owns all members: it counts as stored.
    Owned,
    /// Some member lies outside: consumers may drop it.
    WrongShard,
    /// The map does not know the shard, or another one of this name: a newer map is needed.
    Unknown,
}

/// Checks aggregates, and remembers whether sequence numbers can be relied on to know a shard.
#[derive(Debug, Default)]
pub(crate) struct ShardChecker {
    numbers: Numbers,
}

/// Whether the service's sequence numbers are laid out as AWS's are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Numbers {
    #[default]
    NotSeen,
    AsExpected,
    /// They say nothing: another implementation of the service, say.
    Otherwise,
}

impl ShardChecker {
    /// Checks an aggregate against the shard that took it. `map_is_newer` than the answer: then it
    /// knows the shard for sure.
    pub(crate) fn check(
        &mut self,
        kinesis_record: &KinesisRecord,
        put_result: &PutSuccess,
        map: Option<&ShardMap>,
        map_is_newer: bool,
    ) -> ShardCheck {
        if !kinesis_record.is_aggregate() {
            // A record that travels alone is readable wherever it lands.
            return ShardCheck::Owned;
        }
        let Some(map) = map else {
            return ShardCheck::Unknown;
        };
        let listed = map.shard(&put_result.shard_id);
        // The shard that it was packed for may have left the map since: it held its members then.
        let packed_for = kinesis_record.target.as_ref();
        let packed_for = packed_for.filter(|target| target.shard_id == put_result.shard_id);
        let Some(shard) = listed.or(packed_for) else {
            return ShardCheck::Unknown;
        };
        match issued_by(&shard.first, &put_result.sequence_number) {
            _ if self.numbers == Numbers::Otherwise => {}
            None => {}
            Some(true) => self.numbers = Numbers::AsExpected,
            Some(false) if !map_is_newer || listed.is_none() => return ShardCheck::Unknown,
            // The shard that took it is gone, and with it what it holds.
            Some(false) if self.numbers == Numbers::AsExpected => return ShardCheck::WrongShard,
            Some(false) => self.numbers = Numbers::Otherwise,
        }
        if kinesis_record.fits(&shard.range) {
            ShardCheck::Owned
        } else {
            ShardCheck::WrongShard
        }
    }
}

/// Decimal digits of AWS's sequence numbers.
const DIGITS: usize = 56;

/// As many of the first digits as a `u128` holds.
const HEAD_DIGITS: usize = 38;

/// What a shard's numbers span, in units of the last digit of the head: less than 2^144, and those
/// of a shard that was created a second later begin 2^148 further on.
const SHARD_SPAN: u128 = (1 << 126) / 5_u128.pow(18);

/// Whether the shard whose numbers begin with `first` has given out this one; `None` if the numbers
/// are not laid out as AWS's are.
fn issued_by(first: &SequenceNumber, number: &SequenceNumber) -> Option<bool> {
    let head = |number: &SequenceNumber| -> Option<u128> {
        let digits = number.as_str();
        if digits.len() != DIGITS {
            return None;
        }
        digits.get(..HEAD_DIGITS)?.parse().ok()
    };
    let span = head(number)?.checked_sub(head(first)?);
    Some(span.is_some_and(|span| span < SHARD_SPAN))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use shardwise_env::Env;
    use shardwise_types::ShardId;

    use super::*;
    use crate::open_aggregate::tests::{LIMITS, aggregate, records};
    use crate::shard_map::Routing;
    use crate::shard_map::tests::Stream;

    /// The number with this running index of a shard that was created in this second.
    fn number(created: u128, index: u128) -> SequenceNumber {
        // 2, nine digits of seconds, the shard's digit, sixteen of the index, and nineteen more.
        let high = (2 << 36 | created) << 4;
        decimal(high, index).parse().unwrap()
    }

    /// `high * 2^144 + index * 2^80`, in decimal.
    fn decimal(high: u128, index: u128) -> String {
        let mut digits = vec![0_u8];
        let mut push = |bit: bool| {
            let mut carry = u8::from(bit);
            for digit in digits.iter_mut().rev() {
                let value = *digit * 2 + carry;
                *digit = value % 10;
                carry = value / 10;
            }
            if carry > 0 {
                digits.insert(0, carry);
            }
        };
        for bit in (0..64).rev() {
            push(high >> bit & 1 == 1);
        }
        for bit in (0..64).rev() {
            push(index >> bit & 1 == 1);
        }
        (0..80).for_each(|_| push(false));
        digits
            .iter()
            .map(|digit| char::from(b'0' + digit))
            .collect()
    }

    fn aggregate_for(map: &Arc<ShardMap>) -> KinesisRecord {
        let now = Env::system().now();
        let routing = Routing::Aggregate(map.clone());
        aggregate(records(vec![1; 12]), now, Duration::from_secs(1))
            .close(&routing, &LIMITS)
            .remove(0)
    }

    #[test]
    fn an_aggregate_is_checked_against_the_shard_that_took_it() {
        let mut stream = Stream::new(1);
        let before = Arc::new(stream.map());
        let aggregate = aggregate_for(&before);
        stream.split(0, u128::MAX / 2);
        let after = stream.map();
        let check = |shard, map: Option<&ShardMap>| {
            let put_result = PutSuccess::new(ShardId::from_number(shard), "5".parse().unwrap());
            ShardChecker::default().check(&aggregate, &put_result, map, false)
        };
        assert_eq!(check(0, Some(&before)), ShardCheck::Owned);
        assert_eq!(check(0, Some(&after)), ShardCheck::Owned);
        assert_eq!(check(1, Some(&before)), ShardCheck::Unknown);
        assert_eq!(check(1, Some(&after)), ShardCheck::WrongShard);
        // A map that only knows the open shards: it was packed for that one.
        stream.shards.remove(0);
        assert_eq!(check(0, Some(&stream.map())), ShardCheck::Owned);
        // The stream was deleted: what it was packed for says nothing of the next one.
        assert_eq!(check(0, None), ShardCheck::Unknown);
        // The stream was created again: the same id, another range.
        assert_eq!(
            check(0, Some(&Stream::new(3).map())),
            ShardCheck::WrongShard
        );
    }

    #[test]
    fn a_record_that_travels_alone_is_readable_anywhere() {
        let now = Env::system().now();
        let alone = aggregate(records(vec![1]), now, Duration::from_secs(1))
            .close(&Routing::Loose, &LIMITS)
            .remove(0);
        let put_result = PutSuccess::new(ShardId::from_number(1), "5".parse().unwrap());
        let check = ShardChecker::default().check(&alone, &put_result, None, false);
        assert_eq!(check, ShardCheck::Owned);
    }

    #[test]
    fn a_shard_gives_out_numbers_from_the_second_of_its_creation() {
        let first = number(1_480_000_000, 0);
        assert_eq!(first.as_str().len(), DIGITS);
        let last = number(1_480_000_000, (1 << 63) - 1);
        let next = number(1_480_000_001, 0);
        assert_eq!(issued_by(&first, &first), Some(true));
        assert_eq!(issued_by(&first, &last), Some(true));
        assert_eq!(issued_by(&first, &next), Some(false));
        assert_eq!(issued_by(&next, &last), Some(false));
        assert_eq!(issued_by(&first, &"7".parse().unwrap()), None);
    }

    #[test]
    fn a_number_of_another_shard_of_the_name_is_not_acknowledged() {
        let put =
            |number: &SequenceNumber| PutSuccess::new(ShardId::from_number(0), number.clone());
        let mut stream = Stream::new(1);
        stream.shards[0].starting_sequence_number = number(1_480_000_000, 0);
        let map = Arc::new(stream.map());
        let aggregate = aggregate_for(&map);
        let (ours, other) = (number(1_480_000_000, 5), number(1_480_000_009, 5));

        let mut checker = ShardChecker::default();
        let mut check = |number, map_is_newer| {
            checker.check(&aggregate, &put(number), Some(&map), map_is_newer)
        };
        assert_eq!(check(&other, false), ShardCheck::Unknown);
        assert_eq!(check(&ours, false), ShardCheck::Owned);
        assert_eq!(check(&other, false), ShardCheck::Unknown);
        // The shard that took it is gone as well.
        assert_eq!(check(&other, true), ShardCheck::WrongShard);
        assert_eq!(check(&ours, true), ShardCheck::Owned);

        // A service whose numbers say nothing is found out by the first map that is newer.
        let mut checker = ShardChecker::default();
        let mut check = |number, map_is_newer| {
            checker.check(&aggregate, &put(number), Some(&map), map_is_newer)
        };
        assert_eq!(check(&other, false), ShardCheck::Unknown);
        assert_eq!(check(&other, true), ShardCheck::Owned);
        assert_eq!(check(&other, false), ShardCheck::Owned);
    }
}
