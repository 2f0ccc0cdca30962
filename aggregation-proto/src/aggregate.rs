//! An aggregate that has been read: its user records, cut out of the shared bytes on demand.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;

use bytes::Bytes;
use prost::Message as _;
use shardwise_types::{HashKey, PartitionKey};

use crate::corrupt::Corrupt;
use crate::message::Tag;
use crate::wire::{self, MAX_DEPTH, Malformed, Reader, WireType};

/// The user records of one Kinesis record, all of them sound.
///
/// ```
/// use bytes::Bytes;
/// use shardwise_aggregation_proto::{Aggregator, Decoded, UserRecord, decode};
/// use shardwise_types::{HashKey, HashKeyRange};
///
/// let mut aggregator = Aggregator::new(1000);
/// for key in ["a", "b", "c"] {
///     aggregator.try_push(UserRecord::new(key.parse()?, Bytes::from(key)))?;
/// }
/// let Some(Decoded::Aggregated(aggregate)) = aggregator.finish().map(|it| decode(it.data)) else {
///     return Err("not an aggregate".into());
/// };
///
/// // Leave out the members that another shard owns, after a split.
/// let shard = HashKeyRange::new(HashKey::MIN, HashKey::new(u128::MAX / 2))?;
/// let ours: Vec<_> = aggregate
///     .iter()
///     .zip(aggregate.hash_keys())
///     .filter(|(_, hash_key)| shard.contains(*hash_key))
///     .map(|(member, _)| member.sub_sequence_number)
///     .collect();
/// assert_eq!(ours, [0, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Aggregate {
    /// The whole Kinesis record.
    bytes: Bytes,
    keys: Vec<PartitionKey>,
    /// `None` where the text is no number, which matters only to a record that names it.
    hash_keys: Vec<Option<HashKey>>,
    entries: Vec<Entry>,
}

/// One user record: where its keys stand in the tables, and where its data lies in the bytes.
/// Once `read` has returned, every index and range is good.
#[derive(Debug, Clone)]
struct Entry {
    key: usize,
    hash_key: Option<usize>,
    data: Range<usize>,
}

/// One user record out of an aggregate.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The partition key that its producer gave. It shares the bytes of the Kinesis record.
    pub partition_key: PartitionKey,
    /// The hash key that its producer chose, if it did.
    pub explicit_hash_key: Option<HashKey>,
    /// The producer's data. It shares the bytes of the Kinesis record.
    pub data: Bytes,
    /// Its position in the aggregate as stored, counted from zero.
    pub sub_sequence_number: u64,
}

impl Member {
    /// The hash key that decided its shard: the explicit one, else the partition key's, which
    /// costs an MD5. For all members of an aggregate [`Aggregate::hash_keys`] is cheaper.
    #[must_use]
    pub fn hash_key(&self) -> HashKey {
        self.explicit_hash_key
            .unwrap_or_else(|| HashKey::of_partition_key(self.partition_key.as_str()))
    }
}

/// Shows the length of the data and not the data: payloads do not belong in logs.
impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("partition_key", &self.partition_key)
            .field("explicit_hash_key", &self.explicit_hash_key)
            .field("data_len", &self.data.len())
            .field("sub_sequence_number", &self.sub_sequence_number)
            .finish()
    }
}

#[expect(clippy::len_without_is_empty, reason = "it is never empty")]
impl Aggregate {
    /// The number of user records: at least one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The user records in order of their sub-sequence numbers. Copies nothing and allocates
    /// nothing; `skip` to where one left off is free.
    #[must_use]
    pub fn iter(&self) -> Members<'_> {
        Members {
            aggregate: self,
            left: 0..self.entries.len(),
        }
    }

    /// The hash key of each user record, in the order of [`iter`](Self::iter), as
    /// [`Member::hash_key`] tells it. A partition key that many records share is hashed once.
    pub fn hash_keys(&self) -> impl ExactSizeIterator<Item = HashKey> + '_ {
        let mut hashed = vec![None; self.keys.len()];
        self.entries.iter().map(move |entry| {
            entry
                .hash_key
                .and_then(|index| self.hash_keys[index])
                .unwrap_or_else(|| {
                    *hashed[entry.key].get_or_insert_with(|| {
                        HashKey::of_partition_key(self.keys[entry.key].as_str())
                    })
                })
        })
    }

    fn member(&self, index: usize) -> Member {
        let entry = &self.entries[index];
        Member {
            partition_key: self.keys[entry.key].clone(),
            explicit_hash_key: entry.hash_key.and_then(|index| self.hash_keys[index]),
            data: self.bytes.slice(entry.data.clone()),
            sub_sequence_number: index as u64,
        }
    }
}

/// Shows counts and not the data: payloads do not belong in logs.
impl fmt::Debug for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aggregate")
            .field("data_len", &self.bytes.len())
            .field("records", &self.entries.len())
            .field("partition_keys", &self.keys.len())
            .finish()
    }
}

impl<'a> IntoIterator for &'a Aggregate {
    type Item = Member;
    type IntoIter = Members<'a>;

    fn into_iter(self) -> Members<'a> {
        self.iter()
    }
}

/// The user records of an [`Aggregate`], in order.
#[derive(Debug, Clone)]
pub struct Members<'a> {
    aggregate: &'a Aggregate,
    left: Range<usize>,
}

impl Iterator for Members<'_> {
    type Item = Member;

    fn next(&mut self) -> Option<Member> {
        self.left.next().map(|index| self.aggregate.member(index))
    }

    fn nth(&mut self, n: usize) -> Option<Member> {
        self.left.nth(n).map(|index| self.aggregate.member(index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl DoubleEndedIterator for Members<'_> {
    fn next_back(&mut self) -> Option<Member> {
        self.left
            .next_back()
            .map(|index| self.aggregate.member(index))
    }
}

impl ExactSizeIterator for Members<'_> {}

impl FusedIterator for Members<'_> {}

/// Reads the message of a Kinesis record whose envelope has been checked.
pub(crate) fn read(bytes: &Bytes) -> Result<Aggregate, Corrupt> {
    use wire::aggregated_record as field;

    let mut aggregate = Aggregate {
        bytes: bytes.clone(),
        keys: Vec::new(),
        hash_keys: Vec::new(),
        entries: Vec::new(),
    };
    let end = bytes.len() - wire::DIGEST_LEN;
    let mut reader = Reader::new(bytes, wire::MAGIC.len()..end);
    while !reader.is_at_end() {
        match reader.field()? {
            (field::PARTITION_KEY_TABLE, WireType::LengthDelimited) => {
                let range = reader.delimited()?;
                let offset = range.start;
                let key =
                    PartitionKey::from_stored(bytes.slice(range)).map_err(|_| not_utf8(offset))?;
                aggregate.keys.push(key);
            }
            (field::EXPLICIT_HASH_KEY_TABLE, WireType::LengthDelimited) => {
                let range = reader.delimited()?;
                let text =
                    str::from_utf8(&bytes[range.clone()]).map_err(|_| not_utf8(range.start))?;
                aggregate
                    .hash_keys
                    .push(text.parse().ok().map(HashKey::new));
            }
            (field::RECORDS, WireType::LengthDelimited) => {
                let range = reader.delimited()?;
                let entry = read_entry(bytes, range, aggregate.entries.len())?;
                aggregate.entries.push(entry);
            }
            (1..=3, _) => return Err(reader.broken("a field has the wrong type").into()),
            (number, wire_type) => reader.skip(number, wire_type, MAX_DEPTH)?,
        }
    }
    // A message may hold its tables behind its records, so indices are checked at the end.
    check_indices(&aggregate)?;
    Ok(aggregate)
}

/// Reads user record number `record`, which lies in this range.
fn read_entry(bytes: &[u8], range: Range<usize>, record: usize) -> Result<Entry, Corrupt> {
    use wire::record as field;

    let (mut key, mut hash_key, mut data) = (None, None, None);
    let mut reader = Reader::new(bytes, range);
    while !reader.is_at_end() {
        // Where a field comes twice, the last one counts, as everywhere in protobuf.
        match reader.field()? {
            (field::PARTITION_KEY_INDEX, WireType::Varint) => key = Some(index(reader.varint()?)),
            (field::EXPLICIT_HASH_KEY_INDEX, WireType::Varint) => {
                hash_key = Some(index(reader.varint()?));
            }
            (field::DATA, WireType::LengthDelimited) => data = Some(reader.delimited()?),
            (field::TAGS, WireType::LengthDelimited) => {
                let range = reader.delimited()?;
                check_tag(&bytes[range.clone()], range.start, record)?;
            }
            (1..=4, _) => return Err(reader.broken("a field has the wrong type").into()),
            (number, wire_type) => reader.skip(number, wire_type, MAX_DEPTH - 1)?,
        }
    }
    let missing = |field| Corrupt::MissingField { record, field };
    Ok(Entry {
        key: key.ok_or_else(|| missing("partition_key_index"))?,
        hash_key,
        data: data.ok_or_else(|| missing("data"))?,
    })
}

/// Nothing reads tags, but a record with a broken one is broken.
fn check_tag(tag: &[u8], offset: usize, record: usize) -> Result<(), Corrupt> {
    match Tag::decode(tag) {
        Ok(Tag { key: Some(_), .. }) => Ok(()),
        Ok(_) => Err(Corrupt::MissingField {
            record,
            field: "tags.key",
        }),
        Err(_) => Err(Corrupt::Malformed {
            offset,
            what: "a tag cannot be read",
        }),
    }
}

fn check_indices(aggregate: &Aggregate) -> Result<(), Corrupt> {
    let (keys, hash_keys) = (&aggregate.keys, &aggregate.hash_keys);
    for (record, entry) in aggregate.entries.iter().enumerate() {
        if entry.key >= keys.len() {
            return Err(Corrupt::NoSuchPartitionKey {
                record,
                index: entry.key as u64,
                table_len: keys.len(),
            });
        }
        let Some(index) = entry.hash_key else {
            continue;
        };
        match hash_keys.get(index) {
            Some(Some(_)) => {}
            Some(None) => return Err(Corrupt::BadExplicitHashKey { record }),
            None => {
                return Err(Corrupt::NoSuchExplicitHashKey {
                    record,
                    index: index as u64,
                    table_len: hash_keys.len(),
                });
            }
        }
    }
    if aggregate.entries.is_empty() {
        return Err(Corrupt::NoRecords);
    }
    Ok(())
}

/// A table index. One beyond the address space is beyond every table, and so is the greatest one.
fn index(on_the_wire: u64) -> usize {
    usize::try_from(on_the_wire).unwrap_or(usize::MAX)
}

fn not_utf8(offset: usize) -> Malformed {
    Malformed {
        offset,
        what: "a key is not UTF-8",
    }
}
