//! Kinesis records into the records of the application: unpacks aggregates, leaves out what was
//! checkpointed and what belongs to another shard, cuts into batches.
//!
//! Pure. Nothing is dropped without being counted, and nothing is dropped because it is broken.

use std::collections::VecDeque;

use shardwise_aggregation_proto::{Aggregate, Decoded, decode};
use shardwise_client::Record;
use shardwise_types::{HashKeyRange, SequenceNumber};

use crate::record::{ConsumedRecord, Position, RecordForm};

/// The records of one answer on their way to the processor.
///
/// Unpacked one Kinesis record at a time: ten megabytes of small members would otherwise take
/// hundreds in memory.
#[derive(Debug)]
pub(crate) struct Expansion {
    packed: std::vec::IntoIter<Record>,
    unpacked: VecDeque<ConsumedRecord>,
    /// Everything up to and with this place was processed before.
    after: Option<Position>,
    /// The hash keys of the shard, if a filter is to be applied.
    range: Option<HashKeyRange>,
    counts: Counts,
}

/// What was noticed on the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Members of aggregates that belong to another shard.
    pub(crate) filtered: u64,
    /// Aggregates that were delivered whole because they are broken.
    pub(crate) corrupt: u64,
}

impl Expansion {
    /// `after`: what was checkpointed. `range`: the shard's hash keys; no filter without it.
    pub(crate) fn new(
        records: Vec<Record>,
        after: Option<Position>,
        range: Option<HashKeyRange>,
    ) -> Self {
        Self {
            packed: records.into_iter(),
            unpacked: VecDeque::new(),
            after,
            // A range that takes every key filters nothing, and hashing each key is not free.
            range: range.filter(|range| *range != HashKeyRange::FULL),
            counts: Counts::default(),
        }
    }

    /// The next `max` records, fewer only at the end; empty when there are no more.
    pub(crate) fn next_batch(&mut self, max: usize) -> Vec<ConsumedRecord> {
        while self.unpacked.len() < max {
            let Some(record) = self.packed.next() else {
                break;
            };
            self.unpack(record);
        }
        let count = self.unpacked.len().min(max);
        self.unpacked.drain(..count).collect()
    }

    /// What was noticed since the last call.
    pub(crate) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    fn unpack(&mut self, record: Record) {
        // A whole Kinesis record before the checkpoint needs no decoding.
        if let Some(after) = &self.after {
            if record.sequence_number < after.sequence_number {
                return;
            }
            if record.sequence_number > after.sequence_number {
                self.after = None;
            }
        }
        let mut outer = ConsumedRecord {
            sequence_number: record.sequence_number,
            sub_sequence_number: 0,
            partition_key: record.partition_key,
            explicit_hash_key: None,
            data: record.data.clone(),
            approximate_arrival: record.approximate_arrival_timestamp,
            form: RecordForm::Plain,
        };
        match decode(record.data) {
            Decoded::Aggregated(aggregate) => self.unpack_aggregate(&outer, &aggregate),
            Decoded::Plain { .. } => self.keep(outer),
            Decoded::Corrupt { error, .. } => {
                tracing::error!(
                    sequence_number = %outer.sequence_number,
                    error = %error,
                    "corrupt aggregate, delivered whole"
                );
                outer.form = RecordForm::CorruptAggregate;
                self.counts.corrupt += 1;
                self.keep(outer);
            }
        }
    }

    fn unpack_aggregate(&mut self, outer: &ConsumedRecord, aggregate: &Aggregate) {
        let hash_keys: Option<Vec<_>> = self.range.map(|_| aggregate.hash_keys().collect());
        for (index, member) in aggregate.iter().enumerate() {
            if self.is_done(&outer.sequence_number, member.sub_sequence_number) {
                continue;
            }
            if let (Some(range), Some(hash_keys)) = (&self.range, &hash_keys)
                && !range.contains(hash_keys[index])
            {
                self.counts.filtered += 1;
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
            *sequence_number == after.sequence_number
                && sub_sequence_number <= after.sub_sequence_number
        })
    }
}
