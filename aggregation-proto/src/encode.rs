//! Packs user records into one Kinesis record.
//!
//! Pushing only notes the record and does sums; finishing writes all in one pass into a buffer of
//! just the right length. So a payload is copied once, the time spent per push is short (a producer
//! pushes under a lock), and an open aggregate holds no second copy of its payloads.

use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::io::Write as _;
use std::mem;

use bytes::Bytes;
use indexmap::IndexSet;
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
        let (place, added) = self.open.place(&record);
        let wrapped_len = wire::ENVELOPE_LEN + self.open.message_len + added;
        if !self.is_empty() && (self.len() >= self.max_records || wrapped_len > self.max_bytes) {
            return Err(Full(record));
        }
        self.open.push(record, place, added);
        Ok(())
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
    keys: Table<PartitionKey>,
    hash_keys: Table<HashKey>,
    records: Vec<UserRecord>,
    /// For each record, its indices into the tables.
    places: Vec<Place>,
    /// The length of the protobuf message that wraps all of it.
    message_len: usize,
}

/// A set whose members are numbered in order of arrival. Its hasher's seed is fixed, so that equal
/// runs do equal things; keys that were made to collide can slow down one aggregate and no more.
type Table<T> = IndexSet<T, BuildHasherDefault<DefaultHasher>>;

#[derive(Debug, Clone, Copy)]
struct Place {
    key: usize,
    hash_key: Option<usize>,
}

impl Open {
    /// Where the keys of this record stand or would stand in the tables, and how many bytes it
    /// would add to the message.
    fn place(&self, record: &UserRecord) -> (Place, usize) {
        let mut added = 0;
        let key = match self.keys.get_index_of(record.partition_key()) {
            Some(index) => index,
            None => {
                added += size::delimited_field(record.partition_key().as_bytes().len());
                self.keys.len()
            }
        };
        let hash_key = record.explicit_hash_key().map(|hash_key| {
            self.hash_keys.get_index_of(&hash_key).unwrap_or_else(|| {
                added += size::delimited_field(size::decimal_digits(hash_key));
                self.hash_keys.len()
            })
        });
        added += size::delimited_field(size::record(key, hash_key, record.data().len()));
        (Place { key, hash_key }, added)
    }

    fn push(&mut self, record: UserRecord, place: Place, added: usize) {
        if place.key == self.keys.len() {
            self.keys.insert(record.partition_key().clone());
        }
        if place.hash_key == Some(self.hash_keys.len()) {
            self.hash_keys.extend(record.explicit_hash_key());
        }
        self.message_len += added;
        self.places.push(place);
        self.records.push(record);
    }

    /// Magic, message and digest: `data_len` bytes.
    fn encode(&self, data_len: usize) -> Bytes {
        use crate::wire::{aggregated_record, record};

        let mut out = Vec::with_capacity(data_len);
        out.extend_from_slice(&wire::MAGIC);
        for key in &self.keys {
            let key = key.as_bytes();
            wire::put_delimited_head(&mut out, aggregated_record::PARTITION_KEY_TABLE, key.len());
            out.extend_from_slice(key);
        }
        for &hash_key in &self.hash_keys {
            wire::put_delimited_head(
                &mut out,
                aggregated_record::EXPLICIT_HASH_KEY_TABLE,
                size::decimal_digits(hash_key),
            );
            // Writing to memory cannot fail.
            let _ = write!(out, "{hash_key}");
        }
        for (user, place) in self.records.iter().zip(&self.places) {
            let data = user.data();
            let len = size::record(place.key, place.hash_key, data.len());
            wire::put_delimited_head(&mut out, aggregated_record::RECORDS, len);
            // Index 0 is written, too: to the KCL a required field that is absent is an error.
            wire::put_varint_field(&mut out, record::PARTITION_KEY_INDEX, place.key);
            if let Some(index) = place.hash_key {
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
