//! One shard: its range, its place in the stream's history, its records.
//!
//! Records are in order of their running index without gaps, so a position is an index and finding
//! it is arithmetic; only a timestamp needs a search. It knows nothing of requests, locks or
//! clocks: [`super::stream::State`] owns it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;

use super::sequence::{LAST_INDEX, Sequence};
use crate::clock::Now;

/// The running index of a shard's first record: above the shard's starting sequence number.
const FIRST_INDEX: u64 = 1;

/// A stored record: one allocation that readers share.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// The partition key, then the data.
    payload: Arc<[u8]>,
    arrived_ms: u64,
    /// When it arrived, in whole seconds of the mock's uptime: what retention goes by.
    uptime_seconds: u32,
    /// Zero without a key: no key is empty.
    key_length: u16,
    is_encrypted: bool,
}

impl Record {
    /// The partition key; none where the service placed the record and the writer gave none.
    pub(crate) fn partition_key(&self) -> Option<&str> {
        let (key, _) = self.split();
        let key = std::str::from_utf8(key).unwrap_or_default();
        (!key.is_empty()).then_some(key)
    }

    /// Whether the stream was encrypted when the record came.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    pub(crate) fn data(&self) -> &[u8] {
        self.split().1
    }

    fn split(&self) -> (&[u8], &[u8]) {
        self.payload.split_at(usize::from(self.key_length))
    }

    pub(crate) fn arrived_ms(&self) -> u64 {
        self.arrived_ms
    }

    /// Bytes of data and partition key, as limits count them.
    pub(crate) fn size(&self) -> usize {
        self.payload.len()
    }
}

/// A record on its way into a shard.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    bytes: Arc<[u8]>,
    key_length: u16,
}

impl Payload {
    /// A record without a key has an empty one. `None` if the key is too long for any record.
    pub(crate) fn new(partition_key: &str, data: &[u8]) -> Option<Self> {
        Some(Self {
            key_length: u16::try_from(partition_key.len()).ok()?,
            bytes: [partition_key.as_bytes(), data].concat().into(),
        })
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn data_size(&self) -> usize {
        self.bytes.len() - usize::from(self.key_length)
    }
}

/// The hash keys that a shard owns, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u128,
    pub(crate) end: u128,
}

/// When something happened, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) wall_ms: u64,
    pub(crate) uptime: Duration,
}

impl From<Now> for Moment {
    fn from(now: Now) -> Self {
        Self {
            wall_ms: now.wall_ms,
            uptime: now.uptime,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) number: u32,
    pub(crate) range: Range,
    pub(crate) parent: Option<u32>,
    pub(crate) adjacent_parent: Option<u32>,
    /// The second that is part of every sequence number of this shard.
    created_seconds: u64,
    pub(crate) created: Moment,
    pub(crate) closed: Option<Moment>,
    /// Whether it was closed so long ago that it is listed no more, however long the retention is by
    /// now.
    expired: bool,
    records: VecDeque<Record>,
    /// The running index of the first record still kept.
    first: u64,
    changed: Arc<Notify>,
}

impl Shard {
    pub(crate) fn new(number: u32, range: Range, created: Moment, created_seconds: u64) -> Self {
        Self {
            number,
            range,
            parent: None,
            adjacent_parent: None,
            created_seconds,
            created,
            closed: None,
            expired: false,
            records: VecDeque::new(),
            first: FIRST_INDEX,
            changed: Arc::default(),
        }
    }

    /// What wakes the subscriptions to this shard: its waiters are notified of every record, and of
    /// whatever else may end a subscription or close the shard.
    pub(crate) fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    pub(crate) fn wake_subscriptions(&self) {
        self.changed.notify_waiters();
    }

    pub(crate) fn created_seconds(&self) -> u64 {
        self.created_seconds
    }

    pub(crate) fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Whether the shard was open at that time of the wall clock, both ends included: at the moment of
    /// a split the parent and its children are. A shard that was closed in the millisecond of its
    /// birth was open then, too, and may hold records.
    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ShardFilter.html>
    pub(crate) fn was_open_at(&self, wall_ms: u64) -> bool {
        self.created.wall_ms <= wall_ms && self.closed.is_none_or(|at| at.wall_ms >= wall_ms)
    }

    pub(crate) fn starting_sequence(&self) -> Sequence {
        self.sequence(0, self.created_seconds)
    }

    pub(crate) fn ending_sequence(&self) -> Option<Sequence> {
        self.closed
            .map(|at| self.sequence(LAST_INDEX, at.wall_ms / 1000))
    }

    fn sequence(&self, index: u64, seconds: u64) -> Sequence {
        Sequence {
            created: self.created_seconds,
            index,
            seconds: seconds.max(self.created_seconds),
            shard: self.number,
        }
    }

    /// A number that lies between the record before that position and the one at it, which may be
    /// yet to come.
    pub(crate) fn sequence_before(&self, position: u64, now: Now) -> Sequence {
        let newest = self.records.back().map_or(0, |record| record.arrived_ms);
        self.sequence(position.saturating_sub(1), now.wall_ms.max(newest) / 1000)
    }

    /// The sequence number of the record with that running index.
    pub(crate) fn sequence_of(&self, index: u64, record: &Record) -> Sequence {
        self.sequence(index, record.arrived_ms / 1000)
    }

    pub(crate) fn append(&mut self, payload: Payload, is_encrypted: bool, now: Now) -> Sequence {
        // A wall clock that was set back must not put a later record before an earlier one.
        let newest = self.records.back().map_or(0, |record| record.arrived_ms);
        let record = Record {
            payload: payload.bytes,
            arrived_ms: now.wall_ms.max(newest),
            uptime_seconds: u32::try_from(now.uptime.as_secs()).unwrap_or(u32::MAX),
            key_length: payload.key_length,
            is_encrypted,
        };
        let sequence = self.sequence_of(self.next_index(), &record);
        self.records.push_back(record);
        self.wake_subscriptions();
        sequence
    }

    /// The index that the next record will have.
    pub(crate) fn next_index(&self) -> u64 {
        self.first + u64::try_from(self.records.len()).unwrap_or_default()
    }

    pub(crate) fn oldest_index(&self) -> u64 {
        self.first
    }

    fn get(&self, index: u64) -> Option<&Record> {
        let offset = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.records.get(offset)
    }

    /// The position of the record with this number, or where it would stand.
    pub(crate) fn at_sequence(&self, sequence: Sequence) -> u64 {
        let index = sequence.index;
        let before = self
            .get(index)
            .is_some_and(|record| self.sequence_of(index, record) < sequence);
        index + u64::from(before)
    }

    /// The position behind the record with this number.
    pub(crate) fn after_sequence(&self, sequence: Sequence) -> u64 {
        let index = sequence.index;
        let behind = self
            .get(index)
            .is_some_and(|record| self.sequence_of(index, record) > sequence);
        index + u64::from(!behind)
    }

    /// The position of the first record that arrived then or later.
    pub(crate) fn at_timestamp(&self, wall_ms: u64) -> u64 {
        let earlier = self
            .records
            .partition_point(|record| record.arrived_ms < wall_ms);
        self.first + u64::try_from(earlier).unwrap_or_default()
    }

    /// Up to `limit` records from a position on, and at most `max_bytes` of them unless the first
    /// one alone has more. Also the index of the first record returned.
    pub(crate) fn read(&self, position: u64, limit: usize, max_bytes: usize) -> (u64, Vec<Record>) {
        let from = position.max(self.first);
        let offset = usize::try_from(from - self.first)
            .unwrap_or(usize::MAX)
            .min(self.records.len());
        let mut bytes = 0;
        let records = self
            .records
            .range(offset..)
            .take(limit)
            .take_while(|record| {
                let first = bytes == 0;
                bytes += record.size();
                first || bytes <= max_bytes
            })
            .cloned()
            .collect();
        (from, records)
    }

    /// Forgets the records that are older than `retention`, and the shard itself if it was closed
    /// before them.
    pub(crate) fn trim(&mut self, now: Now, retention: Duration) {
        self.expired = self.has_expired(now, retention);
        let Some(horizon) = now.uptime.as_secs().checked_sub(retention.as_secs()) else {
            return;
        };
        while let Some(oldest) = self.records.front()
            && u64::from(oldest.uptime_seconds) < horizon
        {
            self.records.pop_front();
            self.first += 1;
        }
        // The memory of a burst that has passed comes back.
        if self.records.len() < self.records.capacity() / 4 {
            self.records.shrink_to(self.records.len() * 2);
        }
    }

    /// Whether the shard was closed so long ago that its last record has passed away.
    pub(crate) fn has_expired(&self, now: Now, retention: Duration) -> bool {
        self.expired
            || self
                .closed
                .is_some_and(|at| at.uptime.saturating_add(retention) < now.uptime)
    }

    pub(crate) fn describe(&self) -> Description {
        Description {
            shard_id: shard_id(self.number),
            parent_shard_id: self.parent.map(shard_id),
            adjacent_parent_shard_id: self.adjacent_parent.map(shard_id),
            hash_key_range: self.range.into(),
            sequence_number_range: SequenceNumberRange {
                starting_sequence_number: self.starting_sequence(),
                ending_sequence_number: self.ending_sequence(),
            },
        }
    }
}

/// The id of the shard with that number.
pub(crate) fn shard_id(number: u32) -> String {
    format!("shardId-{number:012}")
}

/// The number that a shard's name stands for. The service is generous: `shardId-000000000007`,
/// `shardId-7`, `anything-7` and `7` are all the seventh shard.
pub(crate) fn shard_number(name: &str) -> Option<u32> {
    let digits = match name.split_once('-') {
        Some((_, rest)) if !rest.is_empty() => rest.split('-').next().unwrap_or_default(),
        _ => name,
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse::<i32>().ok()?;
    u32::try_from(number).ok()
}

/// A shard as ListShards and DescribeStream tell it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Description {
    shard_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_shard_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adjacent_parent_shard_id: Option<String>,
    hash_key_range: HashKeyRange,
    sequence_number_range: SequenceNumberRange,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HashKeyRange {
    starting_hash_key: String,
    ending_hash_key: String,
}

impl From<Range> for HashKeyRange {
    fn from(range: Range) -> Self {
        Self {
            starting_hash_key: range.start.to_string(),
            ending_hash_key: range.end.to_string(),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SequenceNumberRange {
    starting_sequence_number: Sequence,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_sequence_number: Option<Sequence>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now {
        wall_ms: 1_767_225_600_000,
        uptime: Duration::ZERO,
    };

    fn shard_of(sizes: &[usize]) -> Shard {
        let range = Range {
            start: 0,
            end: u128::MAX,
        };
        let mut shard = Shard::new(0, range, NOW.into(), NOW.wall_seconds());
        for &size in sizes {
            let payload = Payload::new("k", &vec![0; size - 1]).unwrap();
            shard.append(payload, false, NOW);
        }
        shard
    }

    #[test]
    fn an_answer_stops_at_its_bytes_but_never_before_the_first_record() {
        let shard = shard_of(&[10, 10, 10, 50]);
        let count = |position, max_bytes| shard.read(position, 100, max_bytes).1.len();
        assert_eq!(count(FIRST_INDEX, 19), 1);
        assert_eq!(count(FIRST_INDEX, 20), 2);
        assert_eq!(count(FIRST_INDEX, 1), 1, "or a reader would never get on");
        assert_eq!(count(FIRST_INDEX + 3, 20), 1);
        assert_eq!(count(FIRST_INDEX + 4, 20), 0);
        assert_eq!(count(u64::MAX, 20), 0);
    }

    #[test]
    fn shard_names_are_read_generously_but_not_blindly() {
        for (name, number) in [
            ("shardId-000000000007", Some(7)),
            ("shardId-7", Some(7)),
            ("7", Some(7)),
            ("-00002147483647", Some(2_147_483_647)),
            ("any-7-thing", Some(7)),
            ("2147483648", None),
            ("shardId-2147483648", None),
            ("shardId-", None),
            ("-", None),
            ("ABC", None),
            ("2.14E4", None),
        ] {
            assert_eq!(shard_number(name), number, "{name}");
        }
    }

    #[test]
    fn memory_of_trimmed_records_comes_back() {
        let mut shard = shard_of(&[10; 10_000]);
        let held = shard.records.capacity();
        let later = Now {
            uptime: Duration::from_secs(100),
            ..NOW
        };
        shard.trim(later, Duration::from_secs(50));
        assert_eq!(shard.oldest_index(), shard.next_index());
        assert_eq!(shard.next_index(), FIRST_INDEX + 10_000);
        assert!(shard.records.capacity() < held / 100);
    }
}
