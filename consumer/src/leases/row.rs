//! A lease as an item of DynamoDB, in the layout of the KCL 2.x.
//!
//! Reading is tolerant: attributes that this toolkit does not know are passed over, those that it
//! can do without may be missing or broken. A row that lacks what the protocol rests on (key,
//! counter, checkpoint) or has it in a form that cannot be understood is [`Unreadable`]: whoever
//! scans counts it and goes on, and it is never written to.
//!
//! Writing: [`item`] is for new rows only. Existing rows are changed attribute by attribute
//! (`dynamodb.rs`), so what others keep there stays.
//! <https://docs.aws.amazon.com/streams/latest/dev/kcl-dynamoDB.html>

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::AttributeValue;
use shardwise_types::{HashKeyRange, ShardId, WorkerId};

use super::key::LeaseKey;
use super::lease::{Checkpoint, Incarnation, Lease};

/// An item, as the SDK has it.
#[expect(
    clippy::disallowed_types,
    reason = "the SDK's own type; its order is never relied on"
)]
pub(super) type Item = std::collections::HashMap<String, AttributeValue>;

/// The attributes' names. None of them is a word that DynamoDB reserves, so expressions may use
/// them as they are.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html>
pub(super) mod attribute {
    pub(in super::super) const KEY: &str = "leaseKey";
    pub(in super::super) const OWNER: &str = "leaseOwner";
    pub(in super::super) const COUNTER: &str = "leaseCounter";
    pub(in super::super) const CHECKPOINT_OWNER: &str = "checkpointOwner";
    pub(in super::super) const OWNER_SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
    pub(in super::super) const CHECKPOINT: &str = "checkpoint";
    pub(in super::super) const SUB_SEQUENCE: &str = "checkpointSubSequenceNumber";
    pub(in super::super) const PENDING: [&str; 3] = [
        "pendingCheckpoint",
        "pendingCheckpointSubSequenceNumber",
        "pendingCheckpointState",
    ];
    pub(in super::super) const PARENTS: &str = "parentShardId";
    pub(in super::super) const CHILDREN: &str = "childShardIds";
    pub(in super::super) const STARTING_HASH_KEY: &str = "startingHashKey";
    pub(in super::super) const ENDING_HASH_KEY: &str = "endingHashKey";
    /// Which kind of row it is, since KCL 3.5 keeps several kinds in one table.
    pub(in super::super) const ENTITY_TYPE: &str = "entityType";
    /// Ours: the process that claimed the lease.
    pub(in super::super) const INCARNATION: &str = "incarnation";
    /// Ours: when `LATEST` began, in milliseconds since 1970.
    pub(in super::super) const STARTED_AT: &str = "startedAt";
}

/// The `entityType` of a lease; a row without one is a lease, too.
const LEASE_ENTITY: &str = "LEASE";

/// What a row turned out to be.
#[derive(Debug)]
pub(super) enum Row {
    Lease(Box<Lease>),
    /// A lease in a table of many streams.
    MultiStream(LeaseKey),
    /// Another kind of row: a leader lock, say.
    Other,
}

/// A row that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unreadable lease row {key:?}: {attribute} {reason}")]
pub(crate) struct Unreadable {
    key: String,
    attribute: &'static str,
    reason: String,
}

impl Unreadable {
    /// The row's key, as far as it has one.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

/// Reads a row.
pub(super) fn read(item: &Item) -> Result<Row, Unreadable> {
    let reader = Reader { item };
    match reader.text(attribute::ENTITY_TYPE)? {
        Some(kind) if kind != LEASE_ENTITY => return Ok(Row::Other),
        _ => {}
    }
    let key: LeaseKey =
        reader.required(attribute::KEY, reader.parsed::<LeaseKey>(attribute::KEY)?)?;
    if key.stream().is_some() {
        return Ok(Row::MultiStream(key));
    }
    let sub_sequence = reader.number(attribute::SUB_SEQUENCE)?.unwrap_or(0);
    let checkpoint = reader.required(attribute::CHECKPOINT, reader.text(attribute::CHECKPOINT)?)?;
    let lease = Lease {
        key,
        owner: reader.parsed::<WorkerId>(attribute::OWNER)?,
        checkpoint_owner: reader.parsed::<WorkerId>(attribute::CHECKPOINT_OWNER)?,
        counter: reader.required(attribute::COUNTER, reader.number(attribute::COUNTER)?)?,
        incarnation: reader
            .text(attribute::INCARNATION)?
            .and_then(Incarnation::from_row),
        checkpoint: Checkpoint::from_row(checkpoint, sub_sequence)
            .map_err(|error| reader.unreadable(attribute::CHECKPOINT, error.to_string()))?,
        // Without it, whoever takes the lease next stamps it anew.
        started_at: reader
            .lenient_number(attribute::STARTED_AT)
            .and_then(from_epoch_millis),
        // Only ever shown to people.
        owner_switches: reader
            .lenient_number(attribute::OWNER_SWITCHES)
            .unwrap_or(0),
        // A parent that is overlooked would let its child start too early.
        parents: reader.shard_ids(attribute::PARENTS)?,
        children: reader.shard_ids(attribute::CHILDREN)?,
        hash_key_range: reader.hash_key_range(),
    };
    Ok(Row::Lease(Box::new(lease)))
}

/// A new row. `entityType` is left out, as KCL 2.x does.
pub(super) fn item(lease: &Lease) -> Item {
    let mut item = Item::new();
    let mut put = |name: &str, value| item.insert(name.to_owned(), value);
    put(attribute::KEY, text(lease.key.to_string()));
    put(attribute::COUNTER, number(lease.counter));
    put(attribute::OWNER_SWITCHES, number(lease.owner_switches));
    put(attribute::CHECKPOINT, text(lease.checkpoint.as_str()));
    put(
        attribute::SUB_SEQUENCE,
        number(lease.checkpoint.sub_sequence()),
    );
    if let Some(owner) = &lease.owner {
        put(attribute::OWNER, text(owner));
    }
    if let Some(owner) = &lease.checkpoint_owner {
        put(attribute::CHECKPOINT_OWNER, text(owner));
    }
    if let Some(incarnation) = &lease.incarnation {
        put(attribute::INCARNATION, text(incarnation.as_str()));
    }
    if let Some(time) = lease.started_at {
        put(attribute::STARTED_AT, number(epoch_millis(time)));
    }
    for (name, ids) in [
        (attribute::PARENTS, &lease.parents),
        (attribute::CHILDREN, &lease.children),
    ] {
        // DynamoDB knows no empty set.
        if !ids.is_empty() {
            put(name, texts(ids));
        }
    }
    if let Some(range) = lease.hash_key_range {
        put(
            attribute::STARTING_HASH_KEY,
            text(range.start().to_string()),
        );
        put(attribute::ENDING_HASH_KEY, text(range.end().to_string()));
    }
    item
}

pub(super) fn text(value: impl AsRef<str>) -> AttributeValue {
    AttributeValue::S(value.as_ref().to_owned())
}

pub(super) fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(super) fn texts(ids: &BTreeSet<ShardId>) -> AttributeValue {
    AttributeValue::Ss(ids.iter().map(ToString::to_string).collect())
}

/// A time as rows hold it. A time before 1970 or beyond the year 500 million is no time of a lease.
pub(super) fn epoch_millis(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

fn from_epoch_millis(millis: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

/// Reads attributes and says which one is wrong.
#[derive(Clone, Copy)]
struct Reader<'a> {
    item: &'a Item,
}

impl<'a> Reader<'a> {
    /// An attribute's value; `NULL` counts as absent.
    fn value(&self, name: &str) -> Option<&'a AttributeValue> {
        self.item
            .get(name)
            .filter(|value| !matches!(value, AttributeValue::Null(_)))
    }

    fn text(&self, name: &'static str) -> Result<Option<&'a str>, Unreadable> {
        match self.value(name) {
            None => Ok(None),
            Some(AttributeValue::S(text)) => Ok(Some(text)),
            Some(_) => Err(self.unreadable(name, "is not a string")),
        }
    }

    fn number(&self, name: &'static str) -> Result<Option<u64>, Unreadable> {
        match self.value(name) {
            None => Ok(None),
            Some(AttributeValue::N(digits)) => match digits.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(self.unreadable(name, "is not a whole number from 0 to 2^64 - 1")),
            },
            Some(_) => Err(self.unreadable(name, "is not a number")),
        }
    }

    fn lenient_number(&self, name: &'static str) -> Option<u64> {
        self.number(name).ok().flatten()
    }

    fn parsed<T: std::str::FromStr<Err = shardwise_types::Invalid>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, Unreadable> {
        self.text(name)?
            .map(|text| {
                text.parse()
                    .map_err(|error: T::Err| self.unreadable(name, error.to_string()))
            })
            .transpose()
    }

    fn shard_ids(&self, name: &'static str) -> Result<BTreeSet<ShardId>, Unreadable> {
        match self.value(name) {
            None => Ok(BTreeSet::new()),
            Some(AttributeValue::Ss(ids)) => ids
                .iter()
                .map(|id| id.parse())
                .collect::<Result<_, _>>()
                .map_err(|error: shardwise_types::Invalid| {
                    self.unreadable(name, error.to_string())
                }),
            Some(_) => Err(self.unreadable(name, "is not a set of strings")),
        }
    }

    /// Nothing rests on the range, so a broken one is as good as none.
    fn hash_key_range(&self) -> Option<HashKeyRange> {
        let end = |name| self.text(name).ok().flatten()?.parse().ok();
        let (start, end) = (
            end(attribute::STARTING_HASH_KEY)?,
            end(attribute::ENDING_HASH_KEY)?,
        );
        HashKeyRange::new(start, end).ok()
    }

    fn required<T>(&self, name: &'static str, value: Option<T>) -> Result<T, Unreadable> {
        value.ok_or_else(|| self.unreadable(name, "is missing"))
    }

    fn unreadable(&self, attribute: &'static str, reason: impl Into<String>) -> Unreadable {
        let key = match self.item.get(attribute::KEY) {
            Some(AttributeValue::S(key)) => key.clone(),
            _ => String::new(),
        };
        Unreadable {
            key,
            attribute,
            reason: reason.into(),
        }
    }
}
