//! What a processor gets: batches of records.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use shardwise_types::{HashKey, Invalid, PartitionKey, SequenceNumber, ShardId};

use crate::position::Position;

/// One record as its producer sent it, unpacked if it travelled in an aggregate.
///
/// Cheap to clone: keys and data are views of shared bytes.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumedRecord {
    /// The number of the Kinesis record that holds it.
    pub sequence_number: SequenceNumber,
    /// Its place in that Kinesis record *as stored*, counted from zero; 0 for a record that is not
    /// out of an aggregate. Members that were filtered out leave gaps.
    pub sub_sequence_number: u64,
    /// Its partition key; absent on a stream whose records the service distributes itself.
    pub partition_key: Option<PartitionKey>,
    /// The hash key that its producer chose, as far as it is stored: only aggregates store it.
    pub explicit_hash_key: Option<HashKey>,
    /// Its data.
    pub data: Bytes,
    /// When the service took the Kinesis record; to the millisecond, and not strictly in order.
    pub approximate_arrival: Option<SystemTime>,
    /// How it travelled.
    pub form: RecordForm,
    /// The shard that it was read from.
    pub(crate) shard_id: ShardId,
}

/// How a [`ConsumedRecord`] travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordForm {
    /// As a Kinesis record of its own.
    Plain,
    /// In an aggregate, out of which it was taken.
    Aggregated,
    /// It is an aggregate whose digest fits and whose content is broken, whole and untouched: its
    /// writer has a bug. Where the KCL drops such a record or a part of it, here it is delivered.
    CorruptAggregate,
}

impl ConsumedRecord {
    /// A plain record of this shard, for a test of a processor; set the other fields as needed.
    #[must_use]
    pub fn new(
        shard_id: &ShardId,
        sequence_number: SequenceNumber,
        data: impl Into<Bytes>,
    ) -> Self {
        Self {
            sequence_number,
            sub_sequence_number: 0,
            partition_key: None,
            explicit_hash_key: None,
            data: data.into(),
            approximate_arrival: None,
            form: RecordForm::Plain,
            shard_id: shard_id.clone(),
        }
    }

    /// The shard that it was read from.
    #[must_use]
    pub fn shard_id(&self) -> &ShardId {
        &self.shard_id
    }

    /// Where it lies in its shard: what to checkpoint once it and all before it are done with.
    #[must_use]
    pub fn position(&self) -> Position {
        Position::new(
            self.shard_id.clone(),
            self.sequence_number.clone(),
            self.sub_sequence_number,
        )
    }

    /// What orders the records of a shard.
    fn place(&self) -> (&SequenceNumber, u64) {
        (&self.sequence_number, self.sub_sequence_number)
    }

    /// Whether it was taken out of an aggregate.
    #[must_use]
    pub fn is_aggregated(&self) -> bool {
        self.form == RecordForm::Aggregated
    }

    /// Whether it is an aggregate that could not be unpacked.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        self.form == RecordForm::CorruptAggregate
    }
}

/// Shows the length of the data and not the data: payloads do not belong in logs.
impl fmt::Debug for ConsumedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumedRecord")
            .field("sequence_number", &self.sequence_number)
            .field("sub_sequence_number", &self.sub_sequence_number)
            .field("form", &self.form)
            .field("data_len", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// Records of one shard, in the shard's order; at least one.
///
/// Cheap to clone: the records are shared. A batch that the processor refused is delivered again as
/// it was, with a higher [`attempt`](Self::attempt).
#[derive(Debug, Clone)]
pub struct Batch {
    records: Arc<[ConsumedRecord]>,
    end: Position,
    behind_latest: Option<Duration>,
    attempt: u32,
}

impl Batch {
    /// Records of this shard, as a worker would deliver them for the first time: for a test of a
    /// processor.
    ///
    /// # Errors
    /// If there is no record, if one is of another shard, or if they are not in the shard's order.
    pub fn new(
        shard_id: &ShardId,
        records: impl IntoIterator<Item = ConsumedRecord>,
    ) -> Result<Self, Invalid> {
        let records: Vec<_> = records.into_iter().collect();
        let invalid = |record: &ConsumedRecord, reason: &str| {
            let value = record.position().to_string();
            Invalid::new("batch", &value, format!("{reason} in {shard_id}"))
        };
        if let Some(foreign) = records.iter().find(|record| record.shard_id != *shard_id) {
            return Err(invalid(foreign, "this is no place"));
        }
        let mut pairs = records.windows(2);
        if let Some(pair) = pairs.find(|pair| pair[0].place() >= pair[1].place()) {
            return Err(invalid(
                &pair[1],
                "it does not lie behind the record before it",
            ));
        }
        Self::from_read(records).ok_or_else(|| Invalid::new("batch", "", "it has no record"))
    }

    /// What a read brought; `None` without records. They are of one shard and in its order.
    pub(crate) fn from_read(records: Vec<ConsumedRecord>) -> Option<Self> {
        let end = records.last()?.position();
        Some(Self {
            records: records.into(),
            end,
            behind_latest: None,
            attempt: 1,
        })
    }

    /// The same as another [`attempt`](Self::attempt).
    #[must_use]
    pub fn with_attempt(self, attempt: u32) -> Self {
        Self { attempt, ..self }
    }

    /// The same, read so far [behind the newest record](Self::behind_latest).
    #[must_use]
    pub fn with_behind_latest(self, behind_latest: Option<Duration>) -> Self {
        Self {
            behind_latest,
            ..self
        }
    }

    /// The records.
    #[must_use]
    pub fn records(&self) -> &[ConsumedRecord] {
        &self.records
    }

    /// The last record's position: what to checkpoint once the whole batch is done with.
    #[must_use]
    pub fn end(&self) -> &Position {
        &self.end
    }

    /// How far the answer that these records came in lay behind the newest record, in time; zero at
    /// the tip.
    #[must_use]
    pub fn behind_latest(&self) -> Option<Duration> {
        self.behind_latest
    }

    /// Which try this is: 1 at first, more after the processor refused the batch.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a ConsumedRecord;
    type IntoIter = std::slice::Iter<'a, ConsumedRecord>;

    fn into_iter(self) -> Self::IntoIter {
        self.records.iter()
    }
}
