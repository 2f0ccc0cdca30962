//! Kinesis records into the records of the application: unpacks aggregates, leaves out what was
//! checkpointed and what belongs to another shard, cuts into batches.
//!
//! Pure. Nothing is dropped without being counted, and nothing is dropped because it is broken. Before
//! the first member of an answer is left out it asks how the stream distributes its records; the answer
//! comes from `record_distribution`.

use std::collections::VecDeque;

use shardwise_aggregation_proto::{Aggregate, Decoded, decode};
use shardwise_client::Record;
use shardwise_types::{HashKeyRange, PartitionKey, SequenceNumber, ShardId};

use crate::position::Position;
use crate::record::{ConsumedRecord, RecordForm};

/// The records of one answer on their way to the processor.
///
/// Unpacked one Kinesis record at a time: ten megabytes of small members would otherwise take
/// hundreds in memory.
#[derive(Debug)]
pub(crate) struct Deaggregator {
    shard_id: ShardId,
    packed: std::vec::IntoIter<Record>,
    unpacked: VecDeque<ConsumedRecord>,
    /// Everything up to and with this place was processed before.
    after: Option<Position>,
    filter: Filter,
    /// An aggregate that waits for an answer: whether the filter is to be applied.
    waiting: Option<(ConsumedRecord, Aggregate)>,
    counts: Counts,
}

/// What becomes of a member that lies outside the hash keys of its shard.
#[derive(Debug, Clone, Copy)]
enum Filter {
    Deliver,
    LeaveOut(HashKeyRange),
    Ask(HashKeyRange),
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Unpacked {
    /// Records, fewer than wanted only at the end; none when there are no more.
    Records(Vec<ConsumedRecord>),
    /// A member lies outside the shard's hash keys, and [`Deaggregator::filter`] has to say what becomes
    /// of such.
    DistributionNeeded,
}

/// What was noticed on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Members of aggregates that belong to another shard.
    pub(crate) filtered: u64,
    /// The partition key of one of them.
    pub(crate) example: Option<PartitionKey>,
    /// Aggregates that were delivered whole because they are broken.
    pub(crate) corrupt: u64,
}

impl Deaggregator {
    /// `after`: what was checkpointed. `range`: the shard's hash keys; without it all is delivered.
    pub(crate) fn new(
        shard_id: ShardId,
        records: Vec<Record>,
        after: Option<Position>,
        range: Option<HashKeyRange>,
    ) -> Self {
        Self {
            shard_id,
            packed: records.into_iter(),
            unpacked: VecDeque::new(),
            after,
            // A range that takes every key filters nothing, and hashing each key is not free.
            filter: range
                .filter(|range| *range != HashKeyRange::FULL)
                .map_or(Filter::Deliver, Filter::Ask),
            waiting: None,
            counts: Counts::default(),
        }
    }

    /// The next `max` records.
    pub(crate) fn next_batch(&mut self, max: usize) -> Unpacked {
        if let Some((outer, aggregate)) = self.waiting.take() {
            self.unpack_aggregate(outer, aggregate);
        }
        while self.unpacked.len() < max && self.waiting.is_none() {
            let Some(record) = self.packed.next() else {
                break;
            };
            self.unpack(record);
        }
        if self.waiting.is_some() {
            return Unpacked::DistributionNeeded;
        }
        let count = self.unpacked.len().min(max);
        Unpacked::Records(self.unpacked.drain(..count).collect())
    }

    /// Says what becomes of members outside the shard's hash keys, in the rest of this answer: they are left
    /// out where partition keys say which shard a record belongs to.
    pub(crate) fn filter(&mut self, by_partition_key: bool) {
        self.filter = match self.filter {
            Filter::Ask(range) if by_partition_key => Filter::LeaveOut(range),
            _ => Filter::Deliver,
        };
    }

    /// What was noticed since the last call.
    pub(crate) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    fn unpack(&mut self, record: Record) {
        // A whole Kinesis record before the checkpoint needs no decoding.
        if let Some(after) = &self.after {
            if record.sequence_number < *after.sequence_number() {
                return;
            }
            if record.sequence_number > *after.sequence_number() {
                self.after = None;
            }
        }
        let mut outer =
            ConsumedRecord::new(&self.shard_id, record.sequence_number, record.data.clone());
        outer.partition_key = record.partition_key;
        outer.approximate_arrival = record.approximate_arrival_timestamp;
        match decode(record.data) {
            Decoded::Aggregated(aggregate) => self.unpack_aggregate(outer, aggregate),
            Decoded::Plain { .. } => self.keep(outer),
            Decoded::Corrupt { error, .. } => {
                let sequence_number = &outer.sequence_number;
                tracing::error!(%sequence_number, "an aggregate is delivered whole: {error}");
                outer.form = RecordForm::CorruptAggregate;
                self.counts.corrupt += 1;
                self.keep(outer);
            }
        }
    }

    fn unpack_aggregate(&mut self, outer: ConsumedRecord, aggregate: Aggregate) {
        let outside: Vec<bool> = match &self.filter {
            Filter::Deliver => Vec::new(),
            Filter::LeaveOut(range) | Filter::Ask(range) => aggregate
                .hash_keys()
                .map(|hash_key| !range.contains(hash_key))
                .collect(),
        };
        if matches!(self.filter, Filter::Ask(_)) && outside.contains(&true) {
            self.waiting = Some((outer, aggregate));
            return;
        }
        for (index, member) in aggregate.iter().enumerate() {
            if self.is_done(&outer.sequence_number, member.sub_sequence_number) {
                continue;
            }
            if outside.get(index) == Some(&true) {
                self.counts.filtered += 1;
                self.counts.example.get_or_insert(member.partition_key);
                continue;
            }
            self.unpacked.push_back(ConsumedRecord {
                sub_sequence_number: member.sub_sequence_number,
                partition_key: Some(member.partition_key),
                explicit_hash_key: member.explicit_hash_key,
                data: member.data,
                form: RecordForm::Aggregated,
                ..outer.clone()
            });
        }
    }

    fn keep(&mut self, record: ConsumedRecord) {
        if !self.is_done(&record.sequence_number, record.sub_sequence_number) {
            self.unpacked.push_back(record);
        }
    }

    fn is_done(&self, sequence_number: &SequenceNumber, sub_sequence_number: u64) -> bool {
        self.after.as_ref().is_some_and(|after| {
            sequence_number == after.sequence_number()
                && sub_sequence_number <= after.sub_sequence_number()
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use shardwise_aggregation_proto::{Aggregator, UserRecord};
    use shardwise_types::HashKey;

    use super::*;

    /// A Kinesis record: plain for one member, an aggregate for several.
    fn record(number: usize, members: &[String]) -> Record {
        let data = match members {
            [one] => Bytes::from(one.clone()),
            _ => {
                let mut aggregator = Aggregator::new(1_000_000);
                for member in members {
                    let (key, data) = (member.parse().unwrap(), Bytes::from(member.clone()));
                    aggregator.try_push(UserRecord::new(key, data)).unwrap();
                }
                aggregator.finish().unwrap().data
            }
        };
        Record::new((100 + number).to_string().parse().unwrap(), data)
    }

    /// Records with members `n.m`, by the number of members of each.
    fn records(sizes: &[usize]) -> Vec<Record> {
        let members = |(n, size): (usize, &usize)| -> Vec<String> {
            (0..*size).map(|m| format!("{n}.{m}")).collect()
        };
        let numbered = sizes.iter().enumerate().map(members);
        numbered
            .enumerate()
            .map(|(n, members)| record(n, &members))
            .collect()
    }

    fn expand(
        records: Vec<Record>,
        after: Option<Position>,
        range: Option<HashKeyRange>,
        max: usize,
    ) -> (Vec<ConsumedRecord>, Counts) {
        unpack_all(records, after, range, true, max)
    }

    fn unpack_all(
        records: Vec<Record>,
        after: Option<Position>,
        range: Option<HashKeyRange>,
        by_partition_key: bool,
        max: usize,
    ) -> (Vec<ConsumedRecord>, Counts) {
        let mut deaggregator = Deaggregator::new(ShardId::from_number(0), records, after, range);
        let mut all = Vec::new();
        let mut asked = 0;
        loop {
            let Unpacked::Records(batch) = deaggregator.next_batch(max) else {
                asked += 1;
                assert_eq!(asked, 1, "once for an answer");
                deaggregator.filter(by_partition_key);
                continue;
            };
            if batch.is_empty() {
                return (all, deaggregator.take_counts());
            }
            assert!(batch.len() <= max);
            all.extend(batch);
        }
    }

    fn data(records: &[ConsumedRecord]) -> Vec<String> {
        let text = |record: &ConsumedRecord| String::from_utf8_lossy(&record.data).into_owned();
        records.iter().map(text).collect()
    }

    proptest! {
        /// For any batch and any stop: what was processed before and what comes after it, put
        /// together, are the batch. With and without a filter.
        #[test]
        fn resuming_anywhere_delivers_exactly_the_rest(
            sizes in prop::collection::vec(1_usize..6, 1..8),
            stop in any::<prop::sample::Index>(),
            max in 1_usize..9,
            middle in any::<u128>(),
            filters in any::<bool>(),
        ) {
            let range = HashKeyRange::new(HashKey::MIN, HashKey::new(middle)).ok();
            let range = range.filter(|_| filters);
            let (all, counts) = expand(records(&sizes), None, range, max);
            let members: usize = sizes.iter().sum();
            prop_assert_eq!(all.len() + usize::try_from(counts.filtered).unwrap(), members);
            prop_assert!(all.is_sorted_by_key(ConsumedRecord::position));
            if !all.is_empty() {
                let stop = stop.index(all.len());
                let (rest, _) = expand(records(&sizes), Some(all[stop].position()), range, max);
                prop_assert_eq!(&all[stop + 1..], &rest[..]);
                // The service gives the record of the checkpoint first, as it was asked to.
                let from = all[stop].sequence_number.clone();
                let at = records(&sizes)
                    .into_iter()
                    .filter(|record| record.sequence_number >= from)
                    .collect();
                let (rest, _) = expand(at, Some(all[stop].position()), range, max);
                prop_assert_eq!(&all[stop + 1..], &rest[..]);
            }
        }

        #[test]
        fn the_filter_keeps_what_the_range_holds_with_its_place_as_stored(
            size in 2_usize..20,
            middle in any::<u128>(),
        ) {
            let range = HashKeyRange::new(HashKey::MIN, HashKey::new(middle)).unwrap();
            let (kept, counts) = expand(records(&[size]), None, Some(range), 100);
            let expected: Vec<u64> = (0..size as u64)
                .filter(|m| range.contains(HashKey::of_partition_key(&format!("0.{m}"))))
                .collect();
            let subs: Vec<u64> = kept.iter().map(|record| record.sub_sequence_number).collect();
            prop_assert_eq!(counts.filtered, size as u64 - expected.len() as u64);
            prop_assert_eq!(counts.example.is_some(), counts.filtered > 0);
            prop_assert_eq!(subs, expected);
        }

        /// Where the service chooses the shard, a member lies in no other.
        #[test]
        fn nothing_is_left_out_unless_partition_keys_decide(
            sizes in prop::collection::vec(1_usize..6, 1..8),
            middle in any::<u128>(),
            max in 1_usize..9,
        ) {
            let range = HashKeyRange::new(HashKey::MIN, HashKey::new(middle)).unwrap();
            let (all, counts) = unpack_all(records(&sizes), None, Some(range), false, max);
            prop_assert_eq!(all.len(), sizes.iter().sum::<usize>());
            prop_assert_eq!(counts, Counts::default());
        }

        /// Whatever the bytes are, none of them are dropped.
        #[test]
        fn any_bytes_come_out_whole(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let data = Bytes::from(data);
            let record = Record::new("7".parse().unwrap(), data.clone());
            let (all, _) = expand(vec![record], None, None, 10);
            prop_assert_eq!(all.len(), 1);
            prop_assert_eq!(&all[0].data, &data);
        }
    }

    #[test]
    fn a_plain_record_is_never_filtered() {
        let nowhere = HashKeyRange::new(HashKey::MIN, HashKey::MIN).unwrap();
        let (all, counts) = expand(records(&[1, 1]), None, Some(nowhere), 10);
        assert_eq!(data(&all), ["0.0", "1.0"]);
        assert_eq!(counts.filtered, 0);
    }

    #[test]
    fn a_checkpoint_of_an_aggregate_without_a_place_means_its_first_member() {
        let first = Position::new(ShardId::from_number(0), "100".parse().unwrap(), 0);
        let (rest, _) = expand(records(&[3]), Some(first), None, 10);
        assert_eq!(data(&rest), ["0.1", "0.2"]);
    }

    #[test]
    fn what_was_processed_is_not_counted_as_filtered_again() {
        let nowhere = HashKeyRange::new(HashKey::MIN, HashKey::MIN).unwrap();
        let last = Position::new(ShardId::from_number(0), "100".parse().unwrap(), 1);
        let (rest, counts) = expand(records(&[3]), Some(last), Some(nowhere), 10);
        assert!(rest.is_empty());
        assert_eq!(counts.filtered, 1);
    }
}
