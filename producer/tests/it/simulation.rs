//! Random faults from a seed: the promises hold whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use shardwise_client::transport::TransportFault;
use shardwise_env::Simulation;
use shardwise_mock::{EntryFault, Operation};
use shardwise_producer::{DeliveryErrorKind, Receipt, Record, Written};

use crate::support::{World, payload, record};

/// How long faults last at most: from then on everything must settle within the time to live.
const TROUBLE: u64 = 20_000;

struct Run {
    world: World,
    random: shardwise_client::Env,
}

impl Run {
    fn new(seed: u64) -> Self {
        let simulation = Simulation::new(seed);
        let world = World::with_env(simulation.node("producer", 1.0).env());
        Self {
            world,
            random: simulation.node("chaos", 1.0).env(),
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.random_below(bound)
    }

    /// Faults and reshardings at random times.
    async fn chaos(&self) {
        let end = self.random.now() + Duration::from_millis(TROUBLE);
        let mut shards = 2;
        while self.random.now() < end {
            self.random
                .sleep(Duration::from_millis(self.below(300)))
                .await;
            let operation = [
                "PutRecords",
                "PutRecords",
                "ListShards",
                "DescribeStreamSummary",
            ][usize::try_from(self.below(4)).unwrap()];
            let times = usize::try_from(1 + self.below(3)).unwrap();
            let fault = match self.below(12) {
                0 => TransportFault::Throttle,
                1 => TransportFault::InternalFailure,
                2 => TransportFault::Refuse,
                3 => TransportFault::LoseRequest,
                4 => TransportFault::LoseResponse,
                5 => TransportFault::HangBefore,
                6 => TransportFault::HangAfter,
                7 => TransportFault::Delay(Duration::from_millis(self.below(4_000))),
                8 => TransportFault::TruncateBody,
                9 => {
                    let fault = [EntryFault::Throttle, EntryFault::Internal]
                        [usize::try_from(self.below(2)).unwrap()];
                    let mask = self.random.random_u64();
                    self.world
                        .mock
                        .on(Operation::PutRecords)
                        .times(1)
                        .fail_entries(fault, move |index| mask >> (index % 64) & 1 == 1);
                    continue;
                }
                _ => {
                    if self.below(3) == 0 {
                        shards = self.reshard(shards).await;
                    }
                    continue;
                }
            };
            self.world.faults.on(operation, times, fault);
        }
        self.world.faults.clear();
        self.world.mock.clear_faults();
    }

    async fn reshard(&self, shards: u32) -> u32 {
        let open: Vec<_> = self
            .world
            .kinesis
            .list_shards(&self.world.stream, shardwise_client::ShardFilter::AtLatest)
            .await
            .unwrap();
        let index = usize::try_from(self.below(open.len() as u64)).unwrap();
        let mut open: Vec<_> = open.iter().collect();
        open.sort_by_key(|shard| shard.hash_key_range.start());
        if self.below(2) == 0 || open.len() < 2 {
            self.world
                .split(open[index].shard_id.number().unwrap())
                .await;
            return shards + 2;
        }
        let left = index.min(open.len() - 2);
        let number = |index: usize| open[index].shard_id.number().unwrap();
        self.world.merge(number(left), number(left + 1)).await;
        shards + 1
    }

    async fn run(self) {
        let world = &self.world;
        world.create(2);
        let producer = world
            .builder()
            .record_ttl(Duration::from_secs(3 + self.below(20)))
            .linger(Duration::from_millis(self.below(200)))
            .aggregate_max_bytes(64 + usize::try_from(self.below(2_000)).unwrap())
            .max_request_entries(1 + usize::try_from(self.below(20)).unwrap())
            .max_buffered_records(10 + usize::try_from(self.below(300)).unwrap())
            .max_requests_in_flight(1 + usize::try_from(self.below(4)).unwrap())
            .shard_map_refresh(Duration::from_millis(500 + self.below(5_000)))
            .build()
            .unwrap();

        let workload = async {
            let mut deliveries = Vec::new();
            for n in 0..400 {
                deliveries.push((n, producer.send(record(n)).await.unwrap()));
                if self.below(4) == 0 {
                    let pause = Duration::from_millis(self.below(200));
                    self.random.sleep(pause).await;
                }
            }
            deliveries
        };
        let (deliveries, ()) = tokio::join!(workload, self.chaos());

        // Faults are over: a flush ends, at the latest when the youngest record would have expired
        // and the last call that hangs has timed out.
        let flush = world.env.timeout(Duration::from_secs(60), producer.flush());
        flush.await.expect("flush ends").unwrap();

        let mut acknowledged: BTreeMap<usize, Receipt> = BTreeMap::new();
        let mut certainly_absent: BTreeSet<usize> = BTreeSet::new();
        let total = deliveries.len();
        for (n, delivery) in deliveries {
            let settled = world.env.timeout(Duration::ZERO, delivery).await;
            match settled.expect("a flushed record is settled") {
                Ok(receipt) => {
                    acknowledged.insert(n, receipt);
                }
                Err(error) => {
                    assert_eq!(error.kind(), DeliveryErrorKind::Expired);
                    assert_eq!(*error.record(), record(n));
                    if error.written() == Written::No {
                        certainly_absent.insert(n);
                    }
                }
            }
        }
        let stored = world.stored().await;
        for (&n, receipt) in &acknowledged {
            World::assert_readable(&stored, receipt, payload(n).as_bytes());
        }
        let mut copies: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for user in stored.iter().flat_map(|it| &it.users) {
            *copies.entry(user.data.to_vec()).or_default() += 1;
        }
        for n in 0..total {
            let copies = copies.get(payload(n).as_bytes()).copied().unwrap_or(0);
            if certainly_absent.contains(&n) {
                assert_eq!(copies, 0, "record {n} is said not to be written");
            }
            if let Some(receipt) = acknowledged.get(&n)
                && !receipt.maybe_duplicate
            {
                assert_eq!(copies, 1, "record {n} is said to be there once");
            }
        }
        let stats = producer.stats().snapshot();
        assert_eq!(stats.user_records_accepted, total as u64);
        assert_eq!(
            stats.user_records_acknowledged + stats.user_records_failed,
            total as u64
        );
        assert_eq!((stats.outstanding_records, stats.outstanding_bytes), (0, 0));
        assert!(producer.close(Duration::from_secs(1)).await.is_complete());
        let error = producer
            .try_send(Record::new("k".parse().unwrap(), ""))
            .unwrap_err();
        assert_eq!(error.kind(), shardwise_producer::SendErrorKind::Closed);
    }
}

fn simulate(seed: u64) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(async { Run::new(seed).run().await });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_record_has_one_true_outcome_whatever_happens(seed: u64) {
        simulate(seed);
    }
}
