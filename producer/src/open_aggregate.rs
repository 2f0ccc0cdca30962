//! User records that wait for others of their shard: an aggregate while it is open.
//!
//! It is filled under the buffer's lock, so [`push`](OpenAggregate::push) only notes the record.
//! [`close`](OpenAggregate::close), which copies and hashes the payloads, is the engine's: it makes
//! [`KinesisRecord`]s. When an aggregate is closed
//! [`Buffer::take_due`](crate::buffer::Buffer::take_due) says. Pure.

use std::sync::Arc;

use shardwise_aggregation_proto::{Aggregator, Full, UserRecord};
use shardwise_env::Instant;

use crate::delivery::{Delivery, DeliveryGroup};
use crate::kinesis_record::{AggregateLimits, KinesisRecord, Slots, Template, pack, slot_number};
use crate::record;
use crate::shard_map::{Routing, Target};

/// Records that are waiting for company.
#[derive(Debug)]
pub(crate) struct OpenAggregate {
    pub(crate) group: Arc<DeliveryGroup>,
    /// When they leave, with company or without.
    pub(crate) due: Instant,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Aggregate(Arc<Target>, Box<Aggregator>),
    Loose(Vec<UserRecord>, usize),
}

impl OpenAggregate {
    /// For records that are bound for one shard.
    pub(crate) fn for_shard(
        group: Arc<DeliveryGroup>,
        due: Instant,
        target: Arc<Target>,
        limits: &AggregateLimits,
    ) -> Self {
        Self {
            group,
            due,
            content: Content::Aggregate(target, Box::new(limits.aggregator())),
        }
    }

    /// For records that are opened together and travel alone.
    pub(crate) fn loose(group: Arc<DeliveryGroup>, due: Instant) -> Self {
        Self {
            group,
            due,
            content: Content::Loose(Vec::new(), 0),
        }
    }

    /// Adds a record and returns its slot in the delivery group, or gives it back if this is full.
    /// An empty one takes any record.
    pub(crate) fn push(
        &mut self,
        record: UserRecord,
        limits: &AggregateLimits,
    ) -> Result<u32, UserRecord> {
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
    pub(crate) fn push_first(&mut self, record: UserRecord, limits: &AggregateLimits) -> Delivery {
        if let Err(record) = self.push(record, limits) {
            debug_assert!(false, "an empty aggregate takes any record");
            self.content = Content::Loose(vec![record], 0);
        }
        self.group.delivery(0)
    }

    /// The shard that its records share, if they do.
    pub(crate) fn target(&self) -> Option<&Arc<Target>> {
        match &self.content {
            Content::Aggregate(target, _) => Some(target),
            Content::Loose(..) => None,
        }
    }

    /// Closes it: makes Kinesis records of its user records, by the routing as it is now.
    pub(crate) fn close(self, routing: &Routing, limits: &AggregateLimits) -> Vec<KinesisRecord> {
        let template = Template::new(&self.group, self.due);
        match self.content {
            Content::Aggregate(target, mut aggregator) => {
                let Some(encoded) = aggregator.finish() else {
                    return Vec::new();
                };
                let slots = Slots::Range(0..slot_number(encoded.records.len()));
                let kinesis_record = template.aggregate(encoded, slots, &target);
                kinesis_record.reroute(routing, limits)
            }
            Content::Loose(records, _) => {
                let slots = 0..slot_number(records.len());
                pack(routing, limits, &template, slots.zip(records))
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    use proptest::prelude::*;
    use shardwise_aggregation_proto::{Decoded, decode};
    use shardwise_client::Written;
    use shardwise_env::Env;
    use shardwise_types::{HashKey, HashKeyRange};

    use super::*;
    use crate::delivery::Ledger;
    use crate::shard_map::ShardMap;
    use crate::shard_map::tests::Stream;

    pub(crate) const LIMITS: AggregateLimits = AggregateLimits {
        aggregate_max_bytes: 300,
        aggregate_max_records: 20,
        loose_max_records: 1_000_000,
        loose_max_bytes: usize::MAX,
    };

    pub(crate) fn group(expires: Instant) -> Arc<DeliveryGroup> {
        let ledger = Arc::new(Ledger {
            stream: "orders".parse().unwrap(),
            unheeded: AtomicU64::new(0),
        });
        DeliveryGroup::new(ledger, 0, expires)
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

    /// An open aggregate of these records, and their group, which lives for `ttl`.
    pub(crate) fn aggregate(
        records: Vec<UserRecord>,
        now: Instant,
        ttl: Duration,
    ) -> OpenAggregate {
        let mut aggregate = OpenAggregate::loose(group(now + ttl), now);
        for record in records {
            aggregate.push(record, &LIMITS).unwrap();
        }
        aggregate
    }

    fn check(kinesis_records: &[KinesisRecord], records: &[UserRecord], map: Option<&ShardMap>) {
        let mut seen = vec![0; records.len()];
        for kinesis_record in kinesis_records {
            assert_eq!(
                kinesis_record.slots.iter().count(),
                kinesis_record.records.len()
            );
            for (slot, record) in kinesis_record.slots.iter().zip(&kinesis_record.records) {
                seen[slot as usize] += 1;
                assert_eq!(record, &records[slot as usize]);
            }
            if !kinesis_record.is_aggregate() {
                assert_eq!(kinesis_record.entry.data, kinesis_record.records[0].data());
                assert_eq!(
                    &kinesis_record.entry.partition_key,
                    kinesis_record.records[0].partition_key()
                );
                continue;
            }
            let map = map.expect("without a map nothing is aggregated");
            let target = kinesis_record.target.as_ref().unwrap();
            assert!(map.is_open(target));
            assert!(
                kinesis_record.fits(&target.range),
                "members of one shard only"
            );
            assert!(
                target
                    .range
                    .contains(kinesis_record.entry.explicit_hash_key.unwrap())
            );
            assert!(kinesis_record.entry.data.len() <= LIMITS.aggregate_max_bytes);
            assert!(kinesis_record.records.len() <= LIMITS.aggregate_max_records);
            let Decoded::Aggregated(aggregate) = decode(kinesis_record.entry.data.clone()) else {
                panic!("not an aggregate");
            };
            for (member, record) in aggregate.iter().zip(&kinesis_record.records) {
                assert_eq!(member.data, record.data());
                assert_eq!(&member.partition_key, record.partition_key());
            }
        }
        assert!(seen.iter().all(|&times| times == 1), "{seen:?}");
    }

    proptest! {
        #[test]
        fn records_are_packed_once_each_and_never_across_shards(
            sizes in prop::collection::vec(0..400_usize, 1..60),
            shards in 1..4_u32,
            changes in prop::collection::vec((0..3_u8, any::<usize>(), any::<u128>()), 0..12),
        ) {
            let records = records(sizes);
            let now = Env::system().now();
            let mut stream = Stream::new(shards);
            let mut map = Arc::new(stream.map());
            let mut routing = Routing::Aggregate(map.clone());
            let mut kinesis_records =
                aggregate(records.clone(), now, Duration::from_secs(1)).close(&routing, &LIMITS);
            check(&kinesis_records, &records, Some(&map));
            for (change, choice, at) in changes {
                match change {
                    0 => stream.split(choice, at),
                    1 => stream.merge(choice),
                    _ => {
                        kinesis_records = kinesis_records
                            .into_iter()
                            .flat_map(|it| it.reroute(&Routing::Loose, &LIMITS))
                            .collect();
                        check(&kinesis_records, &records, None);
                    }
                }
                map = Arc::new(stream.map());
                routing = Routing::Aggregate(map.clone());
                kinesis_records = kinesis_records
                    .into_iter()
                    .flat_map(|it| it.reroute(&routing, &LIMITS))
                    .collect();
                check(&kinesis_records, &records, Some(&map));
            }
        }
    }

    #[test]
    fn a_kinesis_record_whose_shard_is_still_open_is_not_touched() {
        let mut stream = Stream::new(2);
        let routing = |stream: &Stream| Routing::Aggregate(Arc::new(stream.map()));
        let now = Env::system().now();
        let aggregate = aggregate(records(vec![1; 12]), now, Duration::from_secs(1));
        let kinesis_records = aggregate.close(&routing(&stream), &LIMITS);
        assert_eq!(kinesis_records.len(), 2);
        stream.split(0, 1 << 100);
        let before: Vec<_> = kinesis_records
            .iter()
            .map(|it| it.entry.data.as_ptr())
            .collect();
        let after: Vec<_> = kinesis_records
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
    fn what_happened_to_a_kinesis_record_is_known_of_those_it_becomes() {
        let mut stream = Stream::new(1);
        let now = Env::system().now();
        let aggregate = aggregate(records(vec![1; 12]), now, Duration::from_secs(1));
        let routing = Routing::Aggregate(Arc::new(stream.map()));
        let mut kinesis_record = aggregate.close(&routing, &LIMITS).remove(0);
        kinesis_record.attempts = 3;
        kinesis_record.written = Written::Unknown;
        stream.split(0, u128::MAX / 2);
        let routing = Routing::Aggregate(Arc::new(stream.map()));
        let kinesis_records = kinesis_record.reroute(&routing, &LIMITS);
        assert_eq!(kinesis_records.len(), 2);
        for kinesis_record in kinesis_records {
            assert_eq!(
                (kinesis_record.attempts, kinesis_record.written),
                (3, Written::Unknown)
            );
            assert_eq!(kinesis_record.expires(), now + Duration::from_secs(1));
        }
    }

    #[test]
    fn a_lone_record_fits_every_shard_and_an_aggregate_only_its_own() {
        let now = Env::system().now();
        let nowhere = HashKeyRange::new(HashKey::MIN, HashKey::MIN).unwrap();
        let routing = Routing::Aggregate(Arc::new(Stream::new(1).map()));
        let close = |count| {
            aggregate(records(vec![1; count]), now, Duration::from_secs(1))
                .close(&routing, &LIMITS)
                .remove(0)
        };
        assert!(close(1).fits(&nowhere));
        assert!(!close(2).fits(&nowhere));
        assert!(close(2).fits(&HashKeyRange::FULL));
    }
}
