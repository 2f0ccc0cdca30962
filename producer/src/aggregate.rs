//! Records on their way to one shard: a [`Group`] while it is open, a [`Parcel`] once it is sealed.
//!
//! A group is filled under the core's lock, so pushing only notes the record. Sealing, which copies
//! and hashes the payloads, is the engine's. A parcel is one Kinesis record; it knows which slots of
//! which batch it must settle. When the shards change under it, [`pack`] makes new parcels of its
//! members; members of different batches are never mixed. Pure.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use shardwise_aggregation_proto::{Aggregator, Encoded, Full, UserRecord};
use shardwise_client::retry::Delays;
use shardwise_client::{PutRecordsEntry, Written};
use shardwise_env::Instant;
use shardwise_types::HashKeyRange;

use crate::delivery::{Batch, Delivery};
use crate::error::Cause;
use crate::record;
use crate::shard_map::{ShardMap, Target};

/// How large groups and aggregates may grow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) aggregate_max_bytes: usize,
    pub(crate) aggregate_max_records: usize,
    /// Of records that travel alone, so many are opened together.
    pub(crate) loose_max_records: usize,
    pub(crate) loose_max_bytes: usize,
}

impl Limits {
    fn aggregator(&self) -> Aggregator {
        Aggregator::new(self.aggregate_max_bytes).with_max_records(self.aggregate_max_records)
    }

    /// Whether a record is too large to share an aggregate with another: it would only push others
    /// out before their time.
    pub(crate) fn is_bulky(&self, record: &UserRecord) -> bool {
        record::size(record) >= self.aggregate_max_bytes
    }
}

/// Where records go, as far as that is known.
#[derive(Debug, Clone)]
pub(crate) enum Routing {
    /// Nothing is known yet: records are held.
    Unknown,
    /// Every record travels alone.
    Loose,
    /// Records for the same shard travel together.
    Aggregate(Arc<ShardMap>),
}

impl Routing {
    /// Whether records that were put together for this shard may still be sent together.
    pub(crate) fn serves(&self, target: &Target) -> bool {
        match self {
            Self::Unknown | Self::Loose => false,
            Self::Aggregate(map) => map.is_open(target),
        }
    }
}

/// Records that are waiting for company.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) batch: Arc<Batch>,
    /// When they leave, with company or without.
    pub(crate) due: Instant,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Aggregate(Arc<Target>, Box<Aggregator>),
    Loose(Vec<UserRecord>, usize),
}

impl Group {
    /// A group of records that are bound for one shard.
    pub(crate) fn aggregate(
        batch: Arc<Batch>,
        due: Instant,
        target: Arc<Target>,
        limits: &Limits,
    ) -> Self {
        Self {
            batch,
            due,
            content: Content::Aggregate(target, Box::new(limits.aggregator())),
        }
    }

    /// A group of records that have only their time in common.
    pub(crate) fn loose(batch: Arc<Batch>, due: Instant) -> Self {
        Self {
            batch,
            due,
            content: Content::Loose(Vec::new(), 0),
        }
    }

    /// Adds a record and returns its slot in the batch, or gives it back if the group is full. An
    /// empty group takes any record.
    pub(crate) fn push(&mut self, record: UserRecord, limits: &Limits) -> Result<u32, UserRecord> {
        match &mut self.content {
            Content::Aggregate(_, aggregator) => {
                let slot = slot_number(aggregator.len());
                match aggregator.try_push(record) {
                    Ok(()) => Ok(slot),
                    Err(Full(record)) => Err(record),
                }
            }
            Content::Loose(records, bytes) => {
                let size = record::size(&record);
                let full = records.len() >= limits.loose_max_records
                    || *bytes + size > limits.loose_max_bytes;
                if full && !records.is_empty() {
                    return Err(record);
                }
                let slot = slot_number(records.len());
                records.push(record);
                *bytes += size;
                Ok(slot)
            }
        }
    }

    /// Adds the first record, which always fits.
    pub(crate) fn push_first(&mut self, record: UserRecord, limits: &Limits) -> Delivery {
        if let Err(record) = self.push(record, limits) {
            debug_assert!(false, "an empty group takes any record");
            self.content = Content::Loose(vec![record], 0);
        }
        self.batch.delivery(0)
    }

    /// The shard that its records share, if they do.
    pub(crate) fn target(&self) -> Option<&Arc<Target>> {
        match &self.content {
            Content::Aggregate(target, _) => Some(target),
            Content::Loose(..) => None,
        }
    }

    /// Makes Kinesis records of it, by the routing as it is now.
    pub(crate) fn seal(self, routing: &Routing, limits: &Limits) -> Vec<Parcel> {
        let template = Parcel::template(&self.batch, self.due);
        match self.content {
            Content::Aggregate(target, mut aggregator) => {
                let Some(encoded) = aggregator.finish() else {
                    return Vec::new();
                };
                let slots = Slots::Range(0..slot_number(encoded.records.len()));
                let parcel = template.aggregate(encoded, slots, &target);
                parcel.reroute(routing, limits)
            }
            Content::Loose(records, _) => {
                let slots = 0..slot_number(records.len());
                pack(routing, limits, &template, slots.zip(records))
            }
        }
    }
}

/// One Kinesis record, ready to be sent, and all that is known of its fate so far.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) batch: Arc<Batch>,
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

/// Slots of a batch.
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

/// What parcels made of the same records have in common.
#[derive(Debug, Clone)]
struct Template {
    batch: Arc<Batch>,
    due: Instant,
    attempts: u32,
    written: Written,
    cause: Option<Cause>,
}

impl Template {
    fn aggregate(&self, encoded: Encoded, slots: Slots, target: &Arc<Target>) -> Parcel {
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
        self.parcel(entry, slots, encoded.records, target)
    }

    fn alone(&self, slot: u32, record: UserRecord) -> Parcel {
        let mut entry = PutRecordsEntry::new(record.partition_key().clone(), record.data().clone());
        entry.explicit_hash_key = record.explicit_hash_key();
        self.parcel(entry, Slots::Range(slot..slot + 1), vec![record], None)
    }

    fn parcel(
        &self,
        entry: PutRecordsEntry,
        slots: Slots,
        records: Vec<UserRecord>,
        target: Option<Arc<Target>>,
    ) -> Parcel {
        Parcel {
            batch: self.batch.clone(),
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

impl Parcel {
    fn template(batch: &Arc<Batch>, due: Instant) -> Template {
        Template {
            batch: batch.clone(),
            due,
            attempts: 0,
            written: Written::No,
            cause: None,
        }
    }

    /// The bytes that count against a call's limit.
    pub(crate) fn size(&self) -> usize {
        self.entry.size()
    }

    /// The bytes of its user records, which hold that much room.
    pub(crate) fn room(&self) -> usize {
        self.records.iter().map(record::size).sum()
    }

    pub(crate) fn expires(&self) -> Instant {
        self.batch.expires
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
    pub(crate) fn reroute(self, routing: &Routing, limits: &Limits) -> Vec<Self> {
        match &self.target {
            Some(target) if !routing.serves(target) => self.repack(routing, limits),
            _ => vec![self],
        }
    }

    /// The same records, packed anew by the routing as it is now.
    pub(crate) fn repack(self, routing: &Routing, limits: &Limits) -> Vec<Self> {
        let template = Template {
            batch: self.batch,
            due: self.due,
            attempts: self.attempts,
            written: self.written,
            cause: self.cause,
        };
        let mut parcels = pack(
            routing,
            limits,
            &template,
            self.slots.iter().zip(self.records),
        );
        // The schedule of retries goes with one of them; the others begin a new one.
        if let Some(first) = parcels.first_mut() {
            first.delays = self.delays;
        }
        parcels
    }
}

/// Packs records of one batch into as few Kinesis records as the routing allows.
fn pack(
    routing: &Routing,
    limits: &Limits,
    template: &Template,
    records: impl Iterator<Item = (u32, UserRecord)>,
) -> Vec<Parcel> {
    let mut parcels = Vec::new();
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
            parcels.push(template.alone(slot, record));
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
                parcels.extend(encoded.map(|it| template.aggregate(it, full, target)));
                match aggregator.try_push(record) {
                    Ok(()) => slots.push(slot),
                    Err(Full(record)) => parcels.push(template.alone(slot, record)),
                }
            }
        }
    }
    for (target, mut aggregator, slots) in open.into_values() {
        let encoded = aggregator.finish();
        let slots = Slots::Listed(slots);
        parcels.extend(encoded.map(|it| template.aggregate(it, slots, target)));
    }
    parcels
}

/// Groups are far smaller than the 2^32 records that a producer may hold.
fn slot_number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    use proptest::prelude::*;
    use shardwise_aggregation_proto::{Decoded, decode};
    use shardwise_env::Env;
    use shardwise_types::HashKey;

    use super::*;
    use crate::delivery::Ledger;
    use crate::shard_map::tests::Stream;

    pub(crate) const LIMITS: Limits = Limits {
        aggregate_max_bytes: 300,
        aggregate_max_records: 20,
        loose_max_records: 1_000_000,
        loose_max_bytes: usize::MAX,
    };

    pub(crate) fn batch(expires: Instant) -> Arc<Batch> {
        let ledger = Arc::new(Ledger {
            stream: "orders".parse().unwrap(),
            unheeded: AtomicU64::new(0),
        });
        Batch::new(ledger, 0, expires)
    }

    /// Records with keys all over the ring and this many bytes each.
    pub(crate) fn records(sizes: Vec<usize>) -> Vec<UserRecord> {
        (0..)
            .zip(sizes)
            .map(|(n, size): (usize, usize)| {
                UserRecord::new(format!("key {n}").parse().unwrap(), vec![0; size].into())
            })
            .collect()
    }

    /// A group of these records, and their batch, which lives for `ttl`.
    pub(crate) fn group(records: Vec<UserRecord>, now: Instant, ttl: Duration) -> Group {
        let mut group = Group::loose(batch(now + ttl), now);
        for record in records {
            group.push(record, &LIMITS).unwrap();
        }
        group
    }

    fn check(parcels: &[Parcel], records: &[UserRecord], map: Option<&ShardMap>) {
        let mut seen = vec![0; records.len()];
        for parcel in parcels {
            assert_eq!(parcel.slots.iter().count(), parcel.records.len());
            for (slot, record) in parcel.slots.iter().zip(&parcel.records) {
                seen[slot as usize] += 1;
                assert_eq!(record, &records[slot as usize]);
            }
            if !parcel.is_aggregate() {
                assert_eq!(parcel.entry.data, parcel.records[0].data());
                assert_eq!(
                    &parcel.entry.partition_key,
                    parcel.records[0].partition_key()
                );
                continue;
            }
            let map = map.expect("without a map nothing is aggregated");
            let target = parcel.target.as_ref().unwrap();
            assert!(map.is_open(target));
            assert!(parcel.fits(&target.range), "members of one shard only");
            assert!(
                target
                    .range
                    .contains(parcel.entry.explicit_hash_key.unwrap())
            );
            assert!(parcel.entry.data.len() <= LIMITS.aggregate_max_bytes);
            assert!(parcel.records.len() <= LIMITS.aggregate_max_records);
            let Decoded::Aggregated(aggregate) = decode(parcel.entry.data.clone()) else {
                panic!("not an aggregate");
            };
            for (member, record) in aggregate.iter().zip(&parcel.records) {
                assert_eq!(member.data, record.data());
                assert_eq!(&member.partition_key, record.partition_key());
            }
        }
        assert!(seen.iter().all(|&times| times == 1), "{seen:?}");
    }

    proptest! {
        #[test]
        fn records_are_packed_once_each_and_never_across_shards_whatever_the_shards_become(
            sizes in prop::collection::vec(0..400_usize, 1..60),
            shards in 1..4_u32,
            changes in prop::collection::vec((0..3_u8, any::<usize>(), any::<u128>()), 0..12),
        ) {
            let records = records(sizes);
            let now = Env::system().now();
            let mut stream = Stream::new(shards);
            let mut map = Arc::new(stream.map());
            let mut routing = Routing::Aggregate(map.clone());
            let mut parcels =
                group(records.clone(), now, Duration::from_secs(1)).seal(&routing, &LIMITS);
            check(&parcels, &records, Some(&map));
            for (change, choice, at) in changes {
                match change {
                    0 => stream.split(choice, at),
                    1 => stream.merge(choice),
                    _ => {
                        parcels = parcels
                            .into_iter()
                            .flat_map(|it| it.reroute(&Routing::Loose, &LIMITS))
                            .collect();
                        check(&parcels, &records, None);
                    }
                }
                map = Arc::new(stream.map());
                routing = Routing::Aggregate(map.clone());
                parcels = parcels
                    .into_iter()
                    .flat_map(|it| it.reroute(&routing, &LIMITS))
                    .collect();
                check(&parcels, &records, Some(&map));
            }
        }
    }

    #[test]
    fn a_parcel_whose_shard_is_still_open_is_not_touched() {
        let mut stream = Stream::new(2);
        let routing = |stream: &Stream| Routing::Aggregate(Arc::new(stream.map()));
        let now = Env::system().now();
        let group = group(records(vec![1; 12]), now, Duration::from_secs(1));
        let parcels = group.seal(&routing(&stream), &LIMITS);
        assert_eq!(parcels.len(), 2);
        stream.split(0, 1 << 100);
        let before: Vec<_> = parcels.iter().map(|it| it.entry.data.as_ptr()).collect();
        let after: Vec<_> = parcels
            .into_iter()
            .flat_map(|it| it.reroute(&routing(&stream), &LIMITS))
            .map(|it| it.entry.data.as_ptr())
            .collect();
        assert_eq!(
            before[1],
            after[after.len() - 1],
            "the right half as it was"
        );
    }

    #[test]
    fn what_happened_to_a_parcel_is_known_of_those_it_becomes() {
        let mut stream = Stream::new(1);
        let now = Env::system().now();
        let group = group(records(vec![1; 12]), now, Duration::from_secs(1));
        let routing = Routing::Aggregate(Arc::new(stream.map()));
        let mut parcel = group.seal(&routing, &LIMITS).remove(0);
        parcel.attempts = 3;
        parcel.written = Written::Unknown;
        stream.split(0, u128::MAX / 2);
        let routing = Routing::Aggregate(Arc::new(stream.map()));
        let parcels = parcel.reroute(&routing, &LIMITS);
        assert_eq!(parcels.len(), 2);
        for parcel in parcels {
            assert_eq!((parcel.attempts, parcel.written), (3, Written::Unknown));
            assert_eq!(parcel.expires(), now + Duration::from_secs(1));
        }
    }

    #[test]
    fn a_lone_record_fits_every_shard_and_an_aggregate_only_its_own() {
        let now = Env::system().now();
        let nowhere = HashKeyRange::new(HashKey::MIN, HashKey::MIN).unwrap();
        let routing = Routing::Aggregate(Arc::new(Stream::new(1).map()));
        let seal = |count| {
            group(records(vec![1; count]), now, Duration::from_secs(1))
                .seal(&routing, &LIMITS)
                .remove(0)
        };
        assert!(seal(1).fits(&nowhere));
        assert!(!seal(2).fits(&nowhere));
        assert!(seal(2).fits(&HashKeyRange::FULL));
    }
}
