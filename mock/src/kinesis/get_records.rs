//! GetRecords: up to 10,000 records and 10 MiB; at the end of a closed shard its children instead
//! of a next iterator.
//!
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};
use shardwise_types::limits;

use super::encryption::KMS;
use super::failure::Failure;
use super::input::Input;
use super::iterator::ShardIterator;
use super::output::{Blob, Timestamp};
use super::put_record::refuse_dry_run;
use super::sequence::Sequence;
use super::shard::{HashKeyRange, Record, Shard, shard_id};
use super::stream::{State, shard_not_found};
use super::stream_ref::StreamRef;
use super::{Kinesis, rules};
use crate::clock::Now;

/// Records of one answer, at most and by default.
pub(super) const MAX_RECORDS: usize = limits::GET_RECORDS_MAX_RECORDS as usize;

/// Data and partition keys of one answer, before they are written as base64.
pub(super) const MAX_BYTES: usize = limits::GET_RECORDS_MAX_BYTES;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetRecordsOutput {
    records: Records,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_shard_iterator: Option<String>,
    millis_behind_latest: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    child_shards: Option<Vec<ChildShard>>,
}

/// Records with their numbers. They are shared with the shard, so that its lock is held only
/// while they are found and not while they are written out.
#[derive(Debug)]
pub(super) struct Records(Vec<(Sequence, Record)>);

impl Records {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Data and partition keys together.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|(_, record)| record.size()).sum()
    }

    pub(super) fn last_sequence(&self) -> Option<Sequence> {
        self.0.last().map(|(sequence, _)| *sequence)
    }
}

impl Serialize for Records {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for (sequence_number, record) in &self.0 {
            list.serialize_element(&RecordOutput {
                sequence_number: *sequence_number,
                approximate_arrival_timestamp: Timestamp(record.arrived_ms()),
                data: Blob(record.data()),
                partition_key: record.partition_key(),
                encryption_type: record.is_encrypted().then_some(KMS),
            })?;
        }
        list.end()
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RecordOutput<'a> {
    sequence_number: Sequence,
    approximate_arrival_timestamp: Timestamp,
    data: Blob<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_type: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChildShard {
    shard_id: String,
    parent_shards: Vec<String>,
    hash_key_range: HashKeyRange,
}

impl From<&Shard> for ChildShard {
    fn from(shard: &Shard) -> Self {
        let parents = [shard.parent, shard.adjacent_parent];
        Self {
            shard_id: shard_id(shard.number),
            parent_shards: parents.into_iter().flatten().map(shard_id).collect(),
            hash_key_range: shard.range.into(),
        }
    }
}

/// What is read from a shard at once.
pub(super) struct Page {
    pub(super) records: Records,
    /// The position behind them.
    pub(super) next: u64,
    pub(super) millis_behind_latest: u64,
    /// Whether the shard is closed and has no more records.
    pub(super) ends_shard: bool,
}

impl Page {
    pub(super) fn read(
        shard: &Shard,
        position: u64,
        limit: usize,
        max_bytes: usize,
        now: Now,
    ) -> Self {
        let (from, found) = shard.read(position, limit, max_bytes);
        let records: Vec<(Sequence, Record)> = (from..)
            .zip(found)
            .map(|(index, record)| (shard.sequence_of(index, &record), record))
            .collect();
        let next = from + u64::try_from(records.len()).unwrap_or_default();
        let drained = next >= shard.next_index();
        let millis_behind_latest = match records.last() {
            // Zero would say that there is nothing more to read.
            Some((_, last)) if !drained => now.since_ms(last.arrived_ms()).max(1),
            _ => 0,
        };
        Self {
            records: Records(records),
            next,
            millis_behind_latest,
            ends_shard: drained && !shard.is_open(),
        }
    }
}

impl Kinesis {
    pub(super) fn get_records(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<GetRecordsOutput, Failure> {
        let token = input.required_text("ShardIterator", &rules::SHARD_ITERATOR)?;
        let limit = input.integer("Limit", 1, limits::GET_RECORDS_MAX_RECORDS.into())?;
        let stream_ref = StreamRef::read(&input, None)?;
        let dry_run = input.boolean("DryRun")?;
        input.finish()?;

        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let iterator = self.open_iterator(token, now)?;
        let name = iterator.stream.as_str();
        if !stream_ref.is_empty() && stream_ref.resolve(self)? != name {
            return Err(Failure::invalid_argument(
                "The ShardIterator was not issued for the stream of the StreamARN.",
            ));
        }
        let not_found = || shard_not_found(iterator.shard, name, &self.config.account);
        let stream = self.find(name, now).ok_or_else(not_found)?;
        stream_ref.check(&stream)?;
        let mut state = stream.lock(now);
        state.shard(iterator.shard, now).ok_or_else(not_found)?;
        refuse_dry_run(dry_run)?;
        self.check_read(&stream, &mut state, iterator.shard, now)?;
        let shard = state.shard(iterator.shard, now).ok_or_else(not_found)?;
        let position = iterator.index_in(shard);
        let limit = limit.unwrap_or(MAX_RECORDS);
        let page = Page::read(shard, position, limit, MAX_BYTES, now);
        let (next_iterator, child_shards) = if page.ends_shard {
            (None, Some(children(&state, shard)))
        } else {
            let next = ShardIterator::new(name, shard, page.next, now);
            (Some(self.seal_iterator(&next)), None)
        };
        self.note_read(&mut state, iterator.shard, page.records.bytes(), now);
        Ok(GetRecordsOutput {
            records: page.records,
            next_shard_iterator: next_iterator,
            millis_behind_latest: page.millis_behind_latest,
            child_shards,
        })
    }
}

/// The children of a closed shard.
pub(super) fn children(state: &State, shard: &Shard) -> Vec<ChildShard> {
    state.children(shard.number).map(ChildShard::from).collect()
}
