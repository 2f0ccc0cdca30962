//! One Kinesis record as it travels: a closed aggregate, or a user record alone.
//!
//! It knows which slots of which [`DeliveryGroup`] it completes, and what became of it so far. When
//! the shards change under it, [`pack`] makes new ones of its user records; those of different
//! delivery groups are never mixed. Open aggregates are
//! [`open_aggregate`](crate::open_aggregate)'s. Pure.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use shardwise_aggregation_proto::{Aggregator, Encoded, Full, UserRecord};
use shardwise_client::retry::Delays;
use shardwise_client::{PutRecordsEntry, Written};
use shardwise_env::Instant;
use shardwise_types::HashKeyRange;

use crate::delivery::DeliveryGroup;
use crate::error::Cause;
use crate::record;
use crate::shard_map::{Routing, Target};

/// How large open aggregates and aggregates may grow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AggregateLimits {
    pub(crate) aggregate_max_bytes: usize,
    pub(crate) aggregate_max_records: usize,
    /// Of records that travel alone, so many are opened together.
    pub(crate) loose_max_records: usize,
    pub(crate) loose_max_bytes: usize,
}

impl AggregateLimits {
    pub(crate) fn aggregator(&self) -> Aggregator {
        Aggregator::new(self.aggregate_max_bytes).with_max_records(self.aggregate_max_records)
    }

    /// Whether a record is too large to share an aggregate with another: it would only push others
    /// out before their time.
    pub(crate) fn is_bulky(&self, record: &UserRecord) -> bool {
        record::size(record) >= self.aggregate_max_bytes
    }
}

/// One Kinesis record, ready to be sent, and all that is known of its fate so far.
#[derive(Debug)]
pub(crate) struct KinesisRecord {
    pub(crate) group: Arc<DeliveryGroup>,
    /// Whom to tell, in the order of `records`.
    pub(crate) slots: Slots,
    /// The user records, in order of their sub-sequence numbers.
    pub(crate) records: Vec<UserRecord>,
    pub(crate) entry: PutRecordsEntry,
    /// For an aggregate, the shard whose range holds all members.
    pub(crate) target: Option<Arc<Target>>,
    /// When it leaves, with company or without.
    pub(crate) due: Instant,
    /// How often it was sent.
    pub(crate) attempts: u32,
    /// Whether an earlier attempt may have been stored.
    pub(crate) written: Written,
    /// Why the last attempt failed.
    pub(crate) cause: Option<Cause>,
    /// Its schedule of retries, once there was one.
    pub(crate) delays: Option<Box<Delays>>,
}

/// Slots of a group.
#[derive(Debug, Clone)]
pub(crate) enum Slots {
    Range(Range<u32>),
    Listed(Vec<u32>),
}

impl Slots {
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (range, listed) = match self {
            Self::Range(range) => (range.clone(), [].as_slice()),
            Self::Listed(listed) => (0..0, listed.as_slice()),
        };
        range.chain(listed.iter().copied())
    }
}

/// What Kinesis records made of the same records have in common.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    group: Arc<DeliveryGroup>,
    due: Instant,
    attempts: u32,
    written: Written,
    cause: Option<Cause>,
}

impl Template {
    /// For records that were never sent.
    pub(crate) fn new(group: &Arc<DeliveryGroup>, due: Instant) -> Self {
        Self {
            group: group.clone(),
            due,
            attempts: 0,
            written: Written::No,
            cause: None,
        }
    }

    pub(crate) fn aggregate(
        &self,
        encoded: Encoded,
        slots: Slots,
        target: &Arc<Target>,
    ) -> KinesisRecord {
        let aggregated = encoded.records.len() > 1;
        let mut entry = PutRecordsEntry::new(encoded.partition_key, encoded.data);
        // A record that travels alone goes by its own keys.
        entry.explicit_hash_key = if aggregated {
            Some(encoded.explicit_hash_key)
        } else {
            encoded
                .records
                .first()
                .and_then(UserRecord::explicit_hash_key)
        };
        let target = aggregated.then(|| target.clone());
        self.kinesis_record(entry, slots, encoded.records, target)
    }

    fn alone(&self, slot: u32, record: UserRecord) -> KinesisRecord {
        let mut entry = PutRecordsEntry::new(record.partition_key().clone(), record.data().clone());
        entry.explicit_hash_key = record.explicit_hash_key();
        self.kinesis_record(entry, Slots::Range(slot..slot + 1), vec![record], None)
    }

    fn kinesis_record(
        &self,
        entry: PutRecordsEntry,
        slots: Slots,
        records: Vec<UserRecord>,
        target: Option<Arc<Target>>,
    ) -> KinesisRecord {
        KinesisRecord {
            group: self.group.clone(),
            slots,
            records,
            entry,
            target,
            due: self.due,
            attempts: self.attempts,
            written: self.written,
            cause: self.cause.clone(),
            delays: None,
        }
    }
}

impl KinesisRecord {
    /// The bytes that count against a call's limit.
    pub(crate) fn size(&self) -> usize {
        self.entry.size()
    }

    /// The bytes of its user records, which is what they take of the buffer.
    pub(crate) fn user_bytes(&self) -> usize {
        self.records.iter().map(record::size).sum()
    }

    pub(crate) fn expires(&self) -> Instant {
        self.group.expires
    }

    pub(crate) fn is_aggregate(&self) -> bool {
        self.records.len() > 1
    }

    /// Whether a shard with this range may hold it: a stock consumer drops an aggregate if any
    /// member falls outside.
    pub(crate) fn fits(&self, range: &HashKeyRange) -> bool {
        !self.is_aggregate() || self.records.iter().all(|it| range.contains(it.hash_key()))
    }

    /// The same records by the routing as it is now: unchanged if they may still travel together,
    /// else packed anew.
    pub(crate) fn reroute(self, routing: &Routing, limits: &AggregateLimits) -> Vec<Self> {
        match &self.target {
            Some(target) if !routing.serves(target) => self.repack(routing, limits),
            _ => vec![self],
        }
    }

    /// The same records, packed anew by the routing as it is now.
    pub(crate) fn repack(self, routing: &Routing, limits: &AggregateLimits) -> Vec<Self> {
        let template = Template {
            group: self.group,
            due: self.due,
            attempts: self.attempts,
            written: self.written,
            cause: self.cause,
        };
        let mut kinesis_records = pack(
            routing,
            limits,
            &template,
            self.slots.iter().zip(self.records),
        );
        // The schedule of retries goes with one of them; the others begin a new one.
        if let Some(first) = kinesis_records.first_mut() {
            first.delays = self.delays;
        }
        kinesis_records
    }
}

/// Packs records of one group into as few Kinesis records as the routing allows.
pub(crate) fn pack(
    routing: &Routing,
    limits: &AggregateLimits,
    template: &Template,
    records: impl Iterator<Item = (u32, UserRecord)>,
) -> Vec<KinesisRecord> {
    let mut kinesis_records = Vec::new();
    let Routing::Aggregate(map) = routing else {
        return records
            .map(|(slot, record)| template.alone(slot, record))
            .collect();
    };
    let mut open: BTreeMap<usize, (&Arc<Target>, Aggregator, Vec<u32>)> = BTreeMap::new();
    for (slot, record) in records {
        let index = map
            .route(record.hash_key())
            .filter(|_| !limits.is_bulky(&record));
        let Some((index, target)) = index.and_then(|index| Some((index, map.open().get(index)?)))
        else {
            kinesis_records.push(template.alone(slot, record));
            continue;
        };
        let (_, aggregator, slots) = open
            .entry(index)
            .or_insert_with(|| (target, limits.aggregator(), Vec::new()));
        match aggregator.try_push(record) {
            Ok(()) => slots.push(slot),
            Err(Full(record)) => {
                let full = Slots::Listed(std::mem::take(slots));
                let encoded = aggregator.finish();
                kinesis_records.extend(encoded.map(|it| template.aggregate(it, full, target)));
                match aggregator.try_push(record) {
                    Ok(()) => slots.push(slot),
                    Err(Full(record)) => kinesis_records.push(template.alone(slot, record)),
                }
            }
        }
    }
    for (target, mut aggregator, slots) in open.into_values() {
        let encoded = aggregator.finish();
        let slots = Slots::Listed(slots);
        kinesis_records.extend(encoded.map(|it| template.aggregate(it, slots, target)));
    }
    kinesis_records
}

/// Open aggregates are far smaller than the 2^32 records that a producer may hold.
pub(crate) fn slot_number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
