//! What goes wrong in a fleet, and how its stream is split and merged.

use std::time::Duration;

use shardwise_client::ShardFilter;
use shardwise_client::transport::{Conditions, Faults, TransportFault};
use shardwise_mock::{EntryFault, Operation};
use shardwise_types::{HashKey, Shard};

use super::world::World;

/// More open shards than this are not split further.
const MAX_OPEN_SHARDS: usize = 6;

/// One call of an operation fails in one way, a few times.
const OPERATIONS: [&str; 9] = [
    "*",
    "UpdateItem",
    "UpdateItem",
    "GetRecords",
    "GetShardIterator",
    "Scan",
    "PutRecords",
    "PutItem",
    "ListShards",
];

/// What a read may meet that a second try does not cure.
const REFUSALS: [&str; 3] = [
    "ResourceNotFoundException",
    "ExpiredIteratorException",
    "AccessDeniedException",
];

impl World {
    /// Draws one event after another for `duration`.
    pub(super) async fn inject_faults(&mut self, duration: Duration) {
        let end = self.env.now() + duration;
        while self.env.now() < end {
            let pause = Duration::from_millis(1_000 + self.env.random_below(15_000));
            self.env.sleep(pause.min(end - self.env.now())).await;
            self.wake_the_frozen();
            self.replace_the_dead();
            match self.env.random_below(10) {
                0 | 1 if self.distributes_itself => self.switch_distribution().await,
                0 => self.split().await,
                1 => self.merge().await,
                2 => self.kill(),
                3 => self.freeze(),
                4 => self.cut_off().await,
                5 | 6 => self.fail(),
                7 => self.storm().await,
                8 => self.cut_off_from_leases().await,
                _ if self.repeats_ids() => self.start_twin(),
                _ => {}
            }
        }
    }

    async fn split(&self) {
        let open = self.open_shards().await;
        if open.len() >= MAX_OPEN_SHARDS {
            return;
        }
        let shard = &open[self.pick(open.len())];
        let (start, end) = (
            shard.hash_key_range.start().get(),
            shard.hash_key_range.end().get(),
        );
        // Not in the middle, so that ranges differ.
        let part = 1 + u128::from(self.env.random_below(7));
        let point = HashKey::new(start + (end - start) / 8 * part);
        let outcome = self
            .kinesis
            .split_shard(&self.stream, &shard.shard_id, point)
            .await;
        self.resharded(&format!("split {}", shard.shard_id), outcome.is_ok())
            .await;
    }

    async fn merge(&self) {
        let open = self.open_shards().await;
        if open.len() < 2 {
            return;
        }
        let index = self.pick(open.len() - 1);
        let (low, high) = (&open[index].shard_id, &open[index + 1].shard_id);
        let outcome = self.kinesis.merge_shards(&self.stream, low, high).await;
        self.resharded(&format!("merge {low} and {high}"), outcome.is_ok())
            .await;
    }

    async fn resharded(&self, what: &str, happened: bool) {
        if happened {
            self.note(what);
            self.observer.list_shards().await;
        }
    }

    fn kill(&self) {
        let number = self.pick_member();
        self.note(&format!("kill worker {number}"));
        self.members[&number].node.kill();
    }

    fn freeze(&mut self) {
        let number = self.pick_member();
        let duration = Duration::from_millis(500 + self.env.random_below(45_000));
        self.note(&format!("freeze worker {number} for {duration:?}"));
        self.members[&number].node.freeze();
        self.frozen.insert(number, self.env.now() + duration);
    }

    fn wake_the_frozen(&mut self) {
        let now = self.env.now();
        let due: Vec<u64> = self
            .frozen
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(number, _)| *number)
            .collect();
        for number in due {
            self.frozen.remove(&number);
            if let Some(member) = self.members.get(&number) {
                self.note(&format!("worker {number} goes on"));
                member.node.thaw();
            }
        }
    }

    /// Starts a worker under the id of one that lives: a container that was restarted while its
    /// predecessor hangs.
    fn start_twin(&mut self) {
        let number = self.pick_member();
        let id = self.members[&number].id.clone();
        self.note(&format!("a twin of worker {number}"));
        self.members[&number].node.freeze();
        let until = self.env.now() + Duration::from_millis(self.env.random_below(40_000));
        self.frozen.insert(number, until);
        self.start_worker(Some(id));
    }

    async fn cut_off(&self) {
        let duration = Duration::from_millis(500 + self.env.random_below(30_000));
        let (name, faults) = self.pick_victim();
        self.note(&format!("cut {name} off for {duration:?}"));
        faults.cut_off(true);
        self.env.sleep(duration).await;
        faults.cut_off(false);
    }

    /// A worker that goes on reading while its leases run out.
    async fn cut_off_from_leases(&self) {
        let duration = Duration::from_millis(5_000 + self.env.random_below(25_000));
        let number = self.pick_member();
        self.note(&format!(
            "cut worker {number} off from the lease table for {duration:?}"
        ));
        let faults = &self.members[&number].faults;
        for operation in ["UpdateItem", "PutItem", "GetItem", "Scan"] {
            faults.on(operation, usize::MAX, TransportFault::Refuse);
        }
        self.env.sleep(duration).await;
        faults.clear();
        faults.set_conditions(self.conditions());
    }

    fn fail(&self) {
        let faults = [
            TransportFault::Throttle,
            TransportFault::InternalFailure,
            TransportFault::Refuse,
            TransportFault::LoseRequest,
            TransportFault::LoseResponse,
            TransportFault::LoseResponse,
            TransportFault::HangBefore,
            TransportFault::HangAfter,
            TransportFault::TruncateBody,
            TransportFault::Delay(Duration::from_millis(self.env.random_below(8_000))),
        ];
        let fault = faults[self.pick(faults.len())];
        let operation = OPERATIONS[self.pick(OPERATIONS.len())];
        let times = 1 + self.pick(4);
        let (name, victim) = self.pick_victim();
        self.note(&format!(
            "{name}: {fault:?} for {times} calls of {operation}"
        ));
        victim.on(operation, times, fault);
        if operation == "PutRecords" {
            let odd = self.pick(2);
            self.note(&format!("{times} answers of PutRecords fail in part"));
            let rule = self.mock.on(Operation::PutRecords).times(times as u64);
            rule.fail_entries(EntryFault::Throttle, move |index| index % 2 == odd);
        }
        if operation == "GetRecords" {
            let refusal = REFUSALS[self.pick(REFUSALS.len())];
            self.note(&format!("{name}: a read meets {refusal}"));
            victim.on("GetRecords", 1, TransportFault::Answer(400, refusal));
        }
    }

    /// A minute in which much fails for all nodes.
    async fn storm(&self) {
        let mut storm = self.conditions();
        storm.throttle = 0.1 + self.env.random_f64() * 0.5;
        storm.internal_failure = self.env.random_f64() * 0.2;
        storm.lose_response = self.env.random_f64() * 0.1;
        storm.latency = Duration::from_millis(200 + self.env.random_below(400));
        let duration = Duration::from_millis(5_000 + self.env.random_below(40_000));
        self.note(&format!("a storm of {duration:?}: {storm:?}"));
        self.set_conditions(storm);
        self.env.sleep(duration).await;
        self.set_conditions(self.conditions());
    }

    fn set_conditions(&self, conditions: Conditions) {
        self.producer_faults.set_conditions(conditions);
        for member in self.members.values() {
            member.faults.set_conditions(conditions);
        }
    }

    async fn open_shards(&self) -> Vec<Shard> {
        let filter = ShardFilter::AtLatest;
        let mut open = self
            .kinesis
            .list_shards(&self.stream, filter)
            .await
            .unwrap();
        open.sort_by_key(|shard| shard.hash_key_range.start());
        open
    }

    fn pick_member(&self) -> u64 {
        *self
            .members
            .keys()
            .nth(self.pick(self.members.len()))
            .unwrap()
    }

    /// A worker, or one time in many the producer.
    fn pick_victim(&self) -> (String, Faults) {
        let index = self.pick(self.members.len() + 1);
        match self.members.iter().nth(index) {
            Some((number, member)) => (format!("worker {number}"), member.faults.clone()),
            None => ("the producer".to_owned(), self.producer_faults.clone()),
        }
    }
}
