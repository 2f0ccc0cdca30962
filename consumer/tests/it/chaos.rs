//! Everything at once, from a seed: hosts die, freeze, are restarted and stopped, calls fail and
//! get lost, shards split and merge, and each processor has habits of its own. The oracles look at
//! what was delivered: nothing lost, nothing skipped, each key in order, no child before its
//! parents, no checkpoint backwards.

use std::collections::BTreeMap;
use std::time::Duration;

use shardwise_client::transport::TransportFault;
use shardwise_env::Env;
use shardwise_types::{HashKey, ShardId};

use crate::journal::{Checkpoints, Habits, Trouble, What};
use crate::support::{Host, Started, TestResult, World, seconds};

const SEEDS: u64 = 12;
const HOSTS: usize = 3;
const KEYS: u64 = 12;
const ROUNDS: usize = 40;

struct Chaos {
    world: World,
    dice: Env,
    seed: u64,
    hosts: Vec<(Host, Option<Started>)>,
    restarts: u32,
    counts: BTreeMap<u64, u32>,
    checkpoints: BTreeMap<u32, (usize, String, u64)>,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let world = World::new(2);
        let dice = shardwise_env::Simulation::new(seed).node("dice", 1.0).env();
        Self {
            world,
            dice,
            seed,
            hosts: Vec::new(),
            restarts: 0,
            counts: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
        }
    }

    fn roll(&self, sides: u64) -> u64 {
        self.dice.random_below(sides)
    }

    fn some_time(&self, most: f64) -> Duration {
        seconds(most).mul_f64(self.dice.random_f64())
    }

    fn start_host(&mut self) -> (Host, Option<Started>) {
        self.restarts += 1;
        let host = self
            .world
            .host(&format!("h{}-{}", self.seed, self.restarts));
        host.node
            .set_wall_offset_ms(i64::try_from(self.roll(600_000)).unwrap() - 300_000);
        let mut habits = Habits::checkpoints(match self.roll(4) {
            0 => Checkpoints::Never,
            1 => Checkpoints::FirstRecord,
            _ => Checkpoints::EachBatch,
        });
        if self.roll(2) == 0 {
            habits.slow = self.some_time(1.5);
        }
        if self.roll(4) == 0 {
            let dice = self.dice.clone();
            habits.trouble = Some(std::sync::Arc::new(move |_| match dice.random_below(20) {
                0 => Trouble::Fail,
                1 => Trouble::Panic,
                _ => Trouble::None,
            }));
        }
        let max_records = 1 + u32::try_from(self.roll(30)).unwrap();
        let worker = host.start_with(host.builder().max_records(max_records), habits);
        (host, Some(worker))
    }

    /// Some records: each key counts its own, alone or many in one aggregate.
    async fn put(&mut self) {
        for _ in 0..1 + self.roll(10) {
            let key = self.roll(KEYS);
            let how_many = if self.roll(3) == 0 { 5 } else { 1 };
            let count = self.counts.entry(key).or_default();
            let members: Vec<String> = (0..how_many)
                .map(|n| format!("{key}:{}", *count + n))
                .collect();
            *count += how_many;
            let members: Vec<&str> = members.iter().map(String::as_str).collect();
            let name = format!("key-{key}");
            self.world
                .put_keyed(&name, &members, HashKey::of_partition_key(&name))
                .await;
        }
    }

    async fn disturb(&mut self) {
        let index = usize::try_from(self.roll(HOSTS as u64)).unwrap();
        match self.roll(9) {
            0 => {
                self.hosts[index].0.node.kill();
                self.hosts[index] = self.start_host();
            }
            1 => self.hosts[index].0.node.freeze(),
            2 | 3 => self.hosts.iter().for_each(|(host, _)| host.node.thaw()),
            4 => {
                self.hosts[index].0.node.thaw();
                if let Some(worker) = self.hosts[index].1.take() {
                    // Whatever it says: it may have met trouble before.
                    let _ = worker.stop().await;
                }
                self.hosts[index] = self.start_host();
            }
            5 => self.reshard().await,
            _ => {
                let operations = [
                    "GetRecords",
                    "GetShardIterator",
                    "ListShards",
                    "Scan",
                    "UpdateItem",
                    "PutItem",
                    "GetItem",
                    "*",
                ];
                let faults = [
                    TransportFault::Throttle,
                    TransportFault::InternalFailure,
                    TransportFault::LoseRequest,
                    TransportFault::LoseResponse,
                    TransportFault::HangAfter,
                    TransportFault::Delay(seconds(2.0)),
                ];
                let operation = operations[usize::try_from(self.roll(8)).unwrap()];
                let fault = faults[usize::try_from(self.roll(6)).unwrap()];
                let times = usize::try_from(1 + self.roll(12)).unwrap();
                self.hosts[index].0.faults.on(operation, times, fault);
            }
        }
    }

    async fn reshard(&mut self) {
        let mut open: Vec<_> = self.world.shards().await;
        open.retain(shardwise_types::Shard::is_open);
        open.sort_by_key(|shard| shard.hash_key_range.start());
        let number = |index: usize| open[index].shard_id.number().unwrap();
        if open.len() > 4 || (open.len() > 1 && self.roll(2) == 0) {
            let index = usize::try_from(self.roll(open.len() as u64 - 1)).unwrap();
            self.world.merge(number(index), number(index + 1)).await;
        } else {
            let index = usize::try_from(self.roll(open.len() as u64)).unwrap();
            self.world.split(number(index)).await;
        }
    }

    /// No checkpoint ever moves backwards.
    async fn look_at_checkpoints(&mut self) {
        for (shard, row) in self.world.leases().await {
            let checkpoint = row["checkpoint"].clone();
            let rank = match checkpoint.as_str() {
                "TRIM_HORIZON" => 0,
                "SHARD_END" => usize::MAX,
                number => number.len(),
            };
            let sub = row["checkpointSubSequenceNumber"].parse().unwrap();
            let now = (rank, checkpoint, sub);
            if let Some(before) = self.checkpoints.get(&shard) {
                assert!(
                    now >= *before,
                    "seed {}: {now:?} after {before:?}",
                    self.seed
                );
            }
            self.checkpoints.insert(shard, now);
        }
    }

    fn expected(&self) -> Vec<String> {
        let numbers = |(key, count): (&u64, &u32)| -> Vec<String> {
            (0..*count).map(|n| format!("{key}:{n}")).collect()
        };
        self.counts.iter().flat_map(numbers).collect()
    }

    /// Each key's records come first in the order in which they were put.
    fn check_order(&self) {
        let mut next: BTreeMap<String, u32> = BTreeMap::new();
        for data in self.world.journal.records(|_| true) {
            let (key, number) = data.split_once(':').unwrap();
            let number: u32 = number.parse().unwrap();
            let next = next.entry(key.to_owned()).or_default();
            assert!(
                number <= *next,
                "seed {}: {data} comes before {key}:{next}",
                self.seed
            );
            *next = (*next).max(number + 1);
        }
    }

    /// No shard began before its parents were checkpointed at their end. The journal may lack an
    /// end, if the host died before it could tell; then what came of the parent later would tell.
    async fn check_families(&self) {
        let entries = self.world.journal.entries();
        for shard in self.world.shards().await {
            let number = |id: &ShardId| id.number().unwrap();
            let child = number(&shard.shard_id);
            let began = entries
                .iter()
                .position(|entry| entry.shard == child && matches!(entry.what, What::Started(_)));
            let Some(began) = began else {
                continue;
            };
            for parent in shard.parents().map(number) {
                let again = entries[began..].iter().find(|entry| {
                    // A frozen host may finish the batch in its hands; no host may start one.
                    entry.shard == parent && matches!(entry.what, What::Started(_))
                });
                assert!(
                    again.is_none(),
                    "seed {}: {child} began, then {again:?}",
                    self.seed
                );
            }
        }
    }

    async fn run(mut self) -> TestResult {
        // A stream whose first shards are as old as itself would have none at its horizon.
        self.world.sleep(seconds(1.0)).await;
        for _ in 0..HOSTS {
            let host = self.start_host();
            self.hosts.push(host);
        }
        for _ in 0..ROUNDS {
            self.put().await;
            self.disturb().await;
            let pause = self.some_time(8.0);
            let until = self.world.now() + pause;
            while self.world.now() < until {
                self.world.sleep(seconds(0.5)).await;
                if self.world.mock.calls(shardwise_mock::Operation::PutItem) > 0 {
                    self.look_at_checkpoints().await;
                }
            }
        }
        for (host, _) in &self.hosts {
            host.faults.clear();
            host.node.thaw();
        }
        let expected = self.expected();
        let calm = self.world.now();
        self.world.until_processed_slowly(&expected).await;
        let took = self.world.now() - calm;
        assert!(
            took < seconds(180.0),
            "seed {}: {took:?} after the last fault",
            self.seed
        );
        self.look_at_checkpoints().await;
        self.check_order();
        self.check_families().await;
        for (_, worker) in self.hosts.drain(..) {
            if let Some(worker) = worker {
                let _ = worker.stop().await;
            }
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn chaos_loses_skips_and_reorders_nothing() -> TestResult {
    let seeds = match std::env::var("SHARDWISE_CHAOS_SEEDS") {
        Ok(seeds) => seeds.parse()?,
        Err(_) => SEEDS,
    };
    for seed in 0..seeds {
        println!("seed {seed}");
        Chaos::new(seed).run().await?;
    }
    Ok(())
}
