//! The nodes of a run and its course.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use shardwise_client::transport::{Conditions, Faults, Faulty};
use shardwise_client::{Aws, Kinesis};
use shardwise_consumer::{InitialPosition, MemoryLeaseStore, Worker, WorkerError};
use shardwise_env::{Env, Node, Simulation, Task};
use shardwise_mock::Mock;
use shardwise_producer::Producer;
use shardwise_types::{ApplicationName, StreamName, WorkerId};
use tokio::sync::oneshot;

use super::app::{App, Style};
use super::observer::{ObservedService, Observer};
use super::oracle::Oracle;
use super::workload;
use super::{Outcome, Setup, Store};

/// After the last fault everything must have arrived within this time. Long, since an application
/// that writes a checkpoint for each record works off a backlog slowly; an orphan is found sooner.
const SETTLES_WITHIN: Duration = Duration::from_secs(900);

/// Every record has its outcome within its time to live, and a last request.
const OUTCOMES_WITHIN: Duration = Duration::from_secs(120);

/// A worker that was started, and whether it still runs.
pub(super) struct Member {
    pub(super) id: WorkerId,
    pub(super) node: Node,
    pub(super) faults: Faults,
    task: Task<Result<(), WorkerError>>,
}

/// What the seed decides once for the whole run.
#[derive(Debug, Clone, Copy)]
struct Character {
    workers: u64,
    /// Workers come back under the id of one that may still live.
    repeats_ids: bool,
    from_latest: bool,
    /// The mean pause between two records, in milliseconds.
    pace_ms: u64,
    conditions: Conditions,
    style: Option<Style>,
    record_ttl: Duration,
}

pub(super) struct World {
    simulation: Simulation,
    /// The leases, if they are not in DynamoDB.
    leases: Option<MemoryLeaseStore>,
    pub(super) mock: Mock,
    network: Env,
    /// The one who looks on: its calls never fail.
    pub(super) env: Env,
    pub(super) kinesis: Kinesis,
    pub(super) stream: StreamName,
    application: ApplicationName,
    pub(super) observer: Observer,
    character: Character,
    pub(super) members: BTreeMap<u64, Member>,
    pub(super) producer_faults: Faults,
    sender: Option<(oneshot::Sender<()>, Task<()>)>,
    born: u64,
    /// The service chooses the shard of each record (AUTO), at least for a part of the run.
    pub(super) distributes_itself: bool,
    /// Whether it does now.
    pub(super) is_auto: bool,
    /// When frozen members wake up.
    pub(super) frozen: BTreeMap<u64, shardwise_env::Instant>,
}

impl World {
    pub(super) async fn new(setup: Setup) -> Self {
        let Setup { seed, store, .. } = setup;
        let simulation = Simulation::new(seed);
        let env = simulation.node("world", 1.0).env();
        let network = simulation.node("network", 1.0).env();
        let mock = Mock::builder()
            .env(simulation.node("service", 1.0).env())
            .seed(seed)
            .state_delay(Duration::from_millis(500))
            .build();
        let aws = Aws::builder()
            .in_process(mock.service())
            .env(env.clone())
            .build()
            .unwrap();
        let stream: StreamName = "orders".parse().unwrap();
        let observer = Observer {
            oracle: Oracle::new(env.clone()),
            kinesis: aws.kinesis(),
            stream: stream.clone(),
            iterators: Arc::default(),
        };
        let mut world = Self {
            character: Character::draw(&env),
            kinesis: aws.kinesis(),
            application: "billing".parse().unwrap(),
            members: BTreeMap::new(),
            producer_faults: Faults::default(),
            sender: None,
            born: 0,
            // Not drawn, so that other fleets play as without this.
            distributes_itself: seed % 8 == 5,
            is_auto: true,
            frozen: BTreeMap::new(),
            simulation,
            leases: (store == Store::Memory).then(MemoryLeaseStore::new),
            network,
            mock,
            env,
            stream,
            observer,
        };
        let unseen = world.leases.is_some();
        // Only the observer of the table knows when a LATEST began.
        world.character.from_latest &= !unseen;
        if unseen || world.character.conditions.deliver_late > 0.0 || world.character.repeats_ids {
            world.oracle().do_not_judge_losses();
        }
        world.note(&format!("{:?}", world.character));
        let shards = 1 + u32::try_from(world.env.random_below(4)).unwrap();
        if world.distributes_itself {
            world.oracle().do_not_judge_order();
            world.create_auto_stream().await;
        } else {
            let created = world.kinesis.create_stream(&world.stream, shards);
            created.await.unwrap();
        }
        world.env.sleep(Duration::from_secs(1)).await;
        world.observer.list_shards().await;
        world.replace_the_dead();
        world.start_producer();
        world
    }

    pub(super) fn oracle(&self) -> &Oracle {
        &self.observer.oracle
    }

    pub(super) fn note(&self, event: &str) {
        self.oracle().note(event);
    }

    /// Ends all faults and waits until everything that was stored has been delivered.
    pub(super) async fn settle(&mut self) {
        self.note("the faults are over");
        self.producer_faults.clear();
        self.mock.clear_faults();
        for member in self.members.values() {
            member.faults.clear();
            member.node.thaw();
        }
        self.frozen.clear();
        if let Some((stop, sender)) = self.sender.take() {
            drop(stop);
            // An outcome that never comes must not stop the run: the oracle counts what has none.
            if let Ok(ended) = self.env.timeout(OUTCOMES_WITHIN, sender).await {
                ended.unwrap();
            }
        }
        let calm_from = self.env.now();
        while self.env.now() - calm_from < SETTLES_WITHIN {
            self.env.sleep(Duration::from_secs(1)).await;
            self.replace_the_dead();
            self.oracle().judge_orphans(calm_from);
            // A while longer, so that an orphan would show.
            let calm = self.env.now() - calm_from;
            if self.oracle().outstanding() == 0 && calm > Duration::from_secs(40) {
                break;
            }
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.oracle().outcome()
    }

    /// Starts workers until there are as many as there should be.
    pub(super) fn replace_the_dead(&mut self) {
        let dead: Vec<u64> = self
            .members
            .iter()
            .filter(|(_, member)| member.task.is_finished())
            .map(|(number, _)| *number)
            .collect();
        for number in dead {
            self.members.remove(&number);
            self.frozen.remove(&number);
            self.note(&format!("worker {number} is gone"));
        }
        while (self.members.len() as u64) < self.character.workers {
            self.start_worker(None);
        }
    }

    /// Starts a worker on a node of its own; under this id if there is one.
    pub(super) fn start_worker(&mut self, id: Option<WorkerId>) {
        let number = self.born;
        self.born += 1;
        let rate = 0.995 + self.env.random_f64() * 0.01;
        let node = self.simulation.node(&format!("worker-{number}"), rate);
        let skew = i64::try_from(self.env.random_below(120_000)).unwrap() - 60_000;
        node.set_wall_offset_ms(skew);
        let id = id.unwrap_or_else(|| format!("worker-{number}").parse().unwrap());
        let (aws, faults) = self.aws(&node);
        let drawn = Style::ALL[self.pick(Style::ALL.len())];
        let style = self.character.style.unwrap_or(drawn);
        let position = if self.character.from_latest {
            InitialPosition::Latest
        } else {
            InitialPosition::TrimHorizon
        };
        let (oracle, env) = (self.oracle().clone(), node.env());
        let names = (node.name().to_owned(), id.to_string());
        let mut builder = Worker::builder(&aws)
            .application(&self.application)
            .stream(&self.stream)
            .worker_id(&id)
            .initial_position(position);
        let observed = self.leases.is_none();
        if let Some(leases) = &self.leases {
            builder = builder.lease_store(leases.clone());
        }
        let worker = builder
            .build(move |shard| {
                let names = (names.0.as_str(), names.1.as_str());
                App::new(shard, names, style, oracle.clone(), env.clone(), observed)
            })
            .unwrap();
        let task = node.env().spawn(worker.run_until(pending::<()>()));
        self.note(&format!("worker {number} starts as {id}, {style:?}"));
        self.members.insert(
            number,
            Member {
                id,
                node,
                faults,
                task,
            },
        );
    }

    pub(super) fn repeats_ids(&self) -> bool {
        self.character.repeats_ids
    }

    pub(super) fn conditions(&self) -> Conditions {
        self.character.conditions
    }

    pub(super) fn pick(&self, of: usize) -> usize {
        usize::try_from(self.env.random_below(of as u64)).unwrap()
    }

    fn aws(&self, node: &Node) -> (Aws, Faults) {
        // The fast path does without credentials: signing would be a quarter of the time.
        let signs = self.leases.is_none();
        let service = ObservedService::new(
            self.mock.service(),
            node.name(),
            signs,
            self.observer.clone(),
        );
        let transport = Faulty::new(service, self.network.clone());
        let faults = transport.faults();
        faults.set_conditions(self.character.conditions);
        let mut aws = Aws::builder()
            .in_process_transport(transport)
            .env(node.env());
        if !signs {
            aws = aws.no_credentials();
        }
        (aws.build().unwrap(), faults)
    }

    fn start_producer(&mut self) {
        let node = self.simulation.node("producer", 1.0);
        let (aws, faults) = self.aws(&node);
        self.producer_faults = faults;
        let producer = Producer::builder(&aws)
            .stream(&self.stream)
            .record_ttl(self.character.record_ttl)
            .build()
            .unwrap();
        let (stop, stopped) = oneshot::channel();
        let sending = send(
            node.env(),
            producer,
            self.oracle().clone(),
            self.character.pace_ms,
            stopped,
        );
        self.sender = Some((stop, node.env().spawn(sending)));
    }
}

impl Character {
    fn draw(env: &Env) -> Self {
        let one_in = |n| env.random_below(n) == 0;
        let mut conditions = Conditions::CALM;
        conditions.latency = Duration::from_millis(env.random_below(40));
        if !one_in(4) {
            conditions.lose_request = 0.003;
            conditions.lose_response = 0.006;
            conditions.throttle = 0.005;
            conditions.internal_failure = 0.003;
            conditions.truncate = 0.002;
        }
        if one_in(2) {
            conditions.deliver_late = 0.001;
            conditions.late = Duration::from_secs(60);
        }
        Self {
            workers: 2 + env.random_below(4),
            repeats_ids: one_in(2),
            from_latest: one_in(4),
            pace_ms: 20 + env.random_below(120),
            conditions,
            style: one_in(2).then(|| {
                let index = usize::try_from(env.random_below(Style::ALL.len() as u64)).unwrap();
                Style::ALL[index]
            }),
            // Most records with a short life outlive no storm.
            record_ttl: Duration::from_secs(if one_in(2) { 2 } else { 30 }),
        }
    }
}

/// Sends records, each with its key and its number among that key's, until it is stopped; then waits
/// for every outcome.
async fn send(
    env: Env,
    producer: Producer,
    oracle: Oracle,
    pace_ms: u64,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut numbers: BTreeMap<u64, u64> = BTreeMap::new();
    let mut outcomes = FuturesUnordered::new();
    while stopped.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
        // Bursts fill aggregates; pauses make single records.
        for _ in 0..1 + env.random_below(4) {
            let key = env.random_below(workload::KEYS);
            let number = numbers.entry(key).or_default();
            let id = (key, *number);
            *number += 1;
            let delivery = producer.send(workload::record(id)).await.unwrap();
            oracle.sent();
            outcomes.push(async move { (id, delivery.await) });
        }
        let mut pause = pin!(env.sleep(Duration::from_millis(1 + env.random_below(2 * pace_ms))));
        loop {
            tokio::select! {
                biased;
                Some((id, outcome)) = outcomes.next() => oracle.outcome_of(id, outcome),
                () = &mut pause => break,
            }
        }
    }
    while let Some((id, outcome)) = outcomes.next().await {
        oracle.outcome_of(id, outcome);
    }
    assert!(producer.close(Duration::from_secs(60)).await.is_complete());
}
