//! Packs user records into one Kinesis record.
//!
//! Pushing only notes the record and does sums; finishing writes all in one pass into a buffer of
//! just the right length. So a payload is copied once, the time spent per push is short (a producer
//! pushes under a lock), and an open aggregate holds no second copy of its payloads.

use std::fmt;
use std::io::Write as _;
use std::mem;

use bytes::Bytes;
use hashbrown::HashTable;
use shardwise_types::{HashKey, PartitionKey};

use crate::{UserRecord, size, wire};

/// The partition key of a Kinesis record that wraps two or more user records, as the KPL writes it.
///
/// It decides nothing: such a record always carries an explicit hash key.
pub const WRAPPED_PARTITION_KEY: &str = "a";

/// Packs user records into one Kinesis record, by the rules of the KPL.
///
/// All records that go into it should be bound for the same shard; which one, the caller knows.
/// After [`finish`](Self::finish) it is empty and takes the next ones.
///
/// ```
/// use bytes::Bytes;
/// use shardwise_aggregation_proto::{Aggregator, Full, UserRecord};
///
/// let mut aggregator = Aggregator::new(100);
/// let mut done = Vec::new();
/// for data in ["a few bytes", "a few more", "too many to fit in as well"].repeat(2) {
///     let record = UserRecord::new("user-42".parse()?, Bytes::from(data));
///     if let Err(Full(record)) = aggregator.try_push(record) {
///         done.extend(aggregator.finish());
///         aggregator.try_push(record)?; // empty now, so it takes any record
///     }
/// }
/// done.extend(aggregator.finish());
/// assert_eq!(done.iter().map(|encoded| encoded.records.len()).sum::<usize>(), 6);
/// assert!(done.iter().all(|encoded| encoded.data.len() <= 100));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Aggregator {
    max_bytes: usize,
    max_records: usize,
    open: Open,
}

impl Aggregator {
    /// An empty aggregator whose records have at most `max_bytes` of data.
    ///
    /// The service counts the partition key of a record as well, one byte where two or more user
    /// records are wrapped: a caller who goes to the limit must leave room for it.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            max_records: usize::MAX,
            open: Open::default(),
        }
    }

    /// Sets how many user records a Kinesis record may hold; without this, any number. With one or
    /// zero nothing is wrapped.
    #[must_use]
    pub fn with_max_records(mut self, max_records: usize) -> Self {
        self.max_records = max_records;
        self
    }

    /// Adds a record, if there is room.
    ///
    /// An empty aggregator takes any record: one that is too large to be wrapped leaves alone and
    /// unwrapped, and whether the service takes it is not decided here.
    ///
    /// # Errors
    /// [`Full`] gives the record back. Nothing has changed; [`finish`](Self::finish), then push
    /// it again.
    pub fn try_push(&mut self, record: UserRecord) -> Result<(), Full> {
        if self.is_empty() {
            self.open.push(record, usize::MAX)
        } else if self.len() < self.max_records {
            let max_message_len = self.max_bytes.saturating_sub(wire::ENVELOPE_LEN);
            self.open.push(record, max_message_len)
        } else {
            Err(Full(record))
        }
    }

    /// How long the data of the Kinesis record would be if it were finished now. Exact, and costs
    /// nothing.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match self.open.records.as_slice() {
            [] => 0,
            [only] => only.data().len(),
            _ => wire::ENVELOPE_LEN + self.open.message_len,
        }
    }

    /// The number of user records in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.records.len()
    }

    /// Whether it holds no user record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.records.is_empty()
    }

    /// Takes the user records out as they went in and leaves the aggregator empty, for the case that
    /// they no longer belong together: the shard was split, say.
    #[must_use]
    pub fn take_records(&mut self) -> Vec<UserRecord> {
        mem::take(&mut self.open).records
    }

    /// Makes the Kinesis record and leaves the aggregator empty; `None` if it was empty already.
    pub fn finish(&mut self) -> Option<Encoded> {
        let data_len = self.encoded_len();
        let open = mem::take(&mut self.open);
        let first = open.records.first()?;
        let explicit_hash_key = first.hash_key();
        let (partition_key, data) = if open.records.len() == 1 {
            (first.partition_key().clone(), first.data().clone())
        } else {
            (wrapped_partition_key(), open.encode(data_len))
        };
        Some(Encoded {
            partition_key,
            explicit_hash_key,
            data,
            records: open.records,
        })
    }
}

/// One Kinesis record, ready to be sent.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoded {
    /// The partition key: the user record's own if there is one, else [`WRAPPED_PARTITION_KEY`].
    pub partition_key: PartitionKey,
    /// The explicit hash key: that of the first user record. So the Kinesis record always goes to
    /// the shard of one of its members.
    pub explicit_hash_key: HashKey,
    /// The data: the user record's own bytes if there is one, else the aggregate.
    pub data: Bytes,
    /// The user records that are in it, in order of their sub-sequence numbers, for the case that
    /// they must be sent again in another company.
    pub records: Vec<UserRecord>,
}

/// Shows lengths and not the data: payloads do not belong in logs.
impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded")
            .field("partition_key", &self.partition_key)
            .field("explicit_hash_key", &self.explicit_hash_key)
            .field("data_len", &self.data.len())
            .field("records", &self.records.len())
            .finish()
    }
}

/// The aggregator has no room for this record, and gives it back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the aggregate has no room for the record")]
#[expect(
    clippy::exhaustive_structs,
    reason = "it is the record and nothing else"
)]
pub struct Full(pub UserRecord);

/// The user records of one aggregate, and the tables that they share their keys in.
#[derive(Debug, Default)]
struct Open {
    keys: Table,
    hash_keys: Table,
    records: Vec<UserRecord>,
    /// For each record, its indices into the tables.
    indices: Vec<TableIndices>,
    /// The length of the protobuf message that wraps all of it.
    message_len: usize,
}

/// Where the keys of a record stand in the tables.
#[derive(Debug, Clone, Copy)]
struct TableIndices {
    key: usize,
    hash_key: Option<usize>,
}

impl TableIndices {
    fn record_len(&self, record: &UserRecord) -> usize {
        size::record(self.key, self.hash_key, record.data().len())
    }
}

/// A table of the message: its entries are numbered in order of arrival, each stands in it once.
///
/// It knows an entry by the record that brought it, so it holds and clones no key.
#[derive(Debug, Default)]
struct Table {
    /// For each entry, the first record that has it.
    firsts: Vec<usize>,
    /// For each entry, its folded key and its number.
    numbers: HashTable<(u64, usize)>,
}

/// Where an entry stands in a table, or would stand.
#[derive(Debug, Clone, Copy)]
struct Entry {
    folded: u64,
    number: usize,
    is_new: bool,
}

impl Table {
    /// Where an entry stands or would stand; `is_it` tells whether it is the one that this record brought.
    fn entry(&self, folded: u64, is_it: impl Fn(usize) -> bool) -> Entry {
        let found = self.numbers.find(folded, |&(other, number)| {
            other == folded && is_it(self.firsts[number])
        });
        Entry {
            folded,
            number: found.map_or(self.firsts.len(), |&(_, number)| number),
            is_new: found.is_none(),
        }
    }

    /// Adds the entry, if it is a new one, as brought by this record.
    fn fill(&mut self, entry: Entry, record: usize) {
        if entry.is_new {
            let value = (entry.folded, entry.number);
            self.numbers
                .insert_unique(entry.folded, value, |&(folded, _)| folded);
            self.firsts.push(record);
        }
    }
}

/// A number for these bytes, eight of them a step; equal bytes have equal numbers. There is no seed,
/// so that equal runs do equal things: keys that were made to collide can slow down one aggregate
/// and no more.
fn fold(bytes: &[u8]) -> u64 {
    /// The golden ratio: odd, and its bits have no pattern.
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

    let step = |folded: u64, word: [u8; 8]| {
        let product = (folded ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
        // Low bits of a product know nothing of the factors' high ones.
        product ^ product >> 32
    };
    let (words, rest) = bytes.as_chunks();
    let folded = words.iter().copied().fold(bytes.len() as u64, step);
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    step(folded, last)
}

impl Open {
    /// Adds a record, unless that would make the message longer than this.
    fn push(&mut self, record: UserRecord, max_message_len: usize) -> Result<(), Full> {
        let (partition_key, hash_key) = (record.partition_key(), record.explicit_hash_key());
        let key = self.keys.entry(fold(partition_key.as_bytes()), |first| {
            self.records[first].partition_key() == partition_key
        });
        let hash_key_entry = hash_key.map(|hash_key| {
            let folded = fold(&hash_key.get().to_le_bytes());
            self.hash_keys.entry(folded, |first| {
                self.records[first].explicit_hash_key() == Some(hash_key)
            })
        });
        let indices = TableIndices {
            key: key.number,
            hash_key: hash_key_entry.map(|it| it.number),
        };
        let mut added = size::delimited_field(indices.record_len(&record));
        if key.is_new {
            added += size::delimited_field(partition_key.as_bytes().len());
        }
        if let (Some(hash_key), Some(true)) = (hash_key, hash_key_entry.map(|it| it.is_new)) {
            added += size::delimited_field(size::decimal_digits(hash_key));
        }
        if self.message_len + added > max_message_len {
            return Err(Full(record));
        }
        self.keys.fill(key, self.records.len());
        if let Some(hash_key) = hash_key_entry {
            self.hash_keys.fill(hash_key, self.records.len());
        }
        self.message_len += added;
        self.indices.push(indices);
        self.records.push(record);
        Ok(())
    }

    /// Magic, message and digest: `data_len` bytes.
    fn encode(&self, data_len: usize) -> Bytes {
        use crate::wire::{aggregated_record, record};

        let mut out = Vec::with_capacity(data_len);
        out.extend_from_slice(&wire::MAGIC);
        for &first in &self.keys.firsts {
            let key = self.records[first].partition_key().as_bytes();
            wire::put_delimited_head(&mut out, aggregated_record::PARTITION_KEY_TABLE, key.len());
            out.extend_from_slice(key);
        }
        for &first in &self.hash_keys.firsts {
            let hash_key = self.records[first].hash_key();
            wire::put_delimited_head(
                &mut out,
                aggregated_record::EXPLICIT_HASH_KEY_TABLE,
                size::decimal_digits(hash_key),
            );
            // Writing to memory cannot fail.
            let _ = write!(out, "{hash_key}");
        }
        for (user, indices) in self.records.iter().zip(&self.indices) {
            let data = user.data();
            let len = indices.record_len(user);
            wire::put_delimited_head(&mut out, aggregated_record::RECORDS, len);
            // Index 0 is written, too: to the KCL a required field that is absent is an error.
            wire::put_varint_field(&mut out, record::PARTITION_KEY_INDEX, indices.key);
            if let Some(index) = indices.hash_key {
                wire::put_varint_field(&mut out, record::EXPLICIT_HASH_KEY_INDEX, index);
            }
            wire::put_delimited_head(&mut out, record::DATA, data.len());
            out.extend_from_slice(data);
        }
        let digest = wire::digest(out.get(wire::MAGIC.len()..).unwrap_or_default());
        out.extend_from_slice(&digest);
        debug_assert_eq!(out.len(), data_len, "the predicted length is exact");
        out.into()
    }
}

fn wrapped_partition_key() -> PartitionKey {
    #[expect(clippy::expect_used, reason = "the constant is UTF-8")]
    PartitionKey::from_stored(Bytes::from_static(WRAPPED_PARTITION_KEY.as_bytes()))
        .expect("the constant is UTF-8")
}
