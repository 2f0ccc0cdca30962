//! One seed of a fleet's life.
//!
//! - `world`: the nodes, and the course of a run.
//! - `faults`: what goes wrong, and when the stream changes.
//! - `app`: the application that the workers run, in the style that its seed draws.
//! - `distribution`: a stream that distributes its records itself.
//! - `workload`: the records that the producer sends.
//! - `observer`: the transport in front of the service; it reports to the oracle what the service did.
//! - `oracle`: what is allowed; it judges each event when it happens.
//! - `ledger`: what the oracle knows of shards, leases and user records.

mod app;
mod distribution;
mod faults;
mod ledger;
mod observer;
mod oracle;
mod workload;
mod world;

use std::time::Duration;

use shardwise_env::Env;

use self::world::World;

/// What to play.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Setup {
    /// Everything random is drawn from it.
    pub seed: u64,
    /// How long there are faults; afterwards everything must settle.
    pub faults_for: Duration,
    /// Where the leases are.
    pub store: Store,
}

/// Where a fleet keeps its leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Store {
    /// In the mock's DynamoDB, through the real SDK: every write is observed.
    #[default]
    DynamoDb,
    /// In memory, and Kinesis is called without signatures: five times as fast, but the oracle hears
    /// of a checkpoint only when the application does.
    Memory,
}

impl Setup {
    /// This seed, with faults for so long.
    #[must_use]
    pub fn new(seed: u64, faults_for: Duration) -> Self {
        Self {
            seed,
            faults_for,
            store: Store::default(),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Outcome {
    /// What was not allowed, with the time; empty if all is well.
    pub violations: Vec<String>,
    /// A hash of every exchange with the service: equal for equal seeds.
    pub trace_hash: u64,
    /// The last events before the first violation, to begin the search with; without one, the last.
    pub last_events: Vec<String>,
    /// User records that were acknowledged.
    pub acknowledged: usize,
    /// User records whose sending failed, with an error that said so.
    pub failed: usize,
    /// Deliveries beyond the first of each user record.
    pub duplicates: usize,
    /// Exchanges with the service.
    pub exchanges: u64,
    /// How long the whole run took in simulated time.
    pub simulated: Duration,
}

/// Plays one seed, on a runtime of its own.
#[must_use]
pub fn run(setup: Setup) -> Outcome {
    // The SDK draws its retry jitter from this generator.
    fastrand::seed(setup.seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O");
    runtime.block_on(async {
        let begin = Env::system().now();
        let mut world = World::new(setup).await;
        world.inject_faults(setup.faults_for).await;
        world.settle().await;
        let mut outcome = world.outcome();
        outcome.simulated = Env::system().now() - begin;
        outcome
    })
}
