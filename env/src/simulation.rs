//! Simulated nodes on one paused tokio clock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::{Duration, SystemTime};

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::Env;
use crate::clock::{Clock, SimulatedClock};
use crate::lock::lock;

/// 2026-01-01T00:00:00Z: where the wall clock of every simulation begins.
const EPOCH_SECONDS: u64 = 1_767_225_600;

/// A set of nodes that share one virtual time.
///
/// Use it inside a current-thread tokio runtime whose clock is paused, and do no real I/O there:
/// a paused clock jumps as soon as no task is ready, and a task that waits for the kernel is not
/// ready, so timeouts fire that are not due.
///
/// ```
/// use std::time::Duration;
/// use shardwise_env::Simulation;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
/// # runtime.block_on(async {
/// let simulation = Simulation::new(7);
/// let node = simulation.node("worker-1", 1.0);
/// let env = node.env();
/// let ticks = env.spawn({
///     let env = env.clone();
///     async move {
///         env.sleep(Duration::from_secs(3600)).await; // takes no real time
///         env.now()
///     }
/// });
/// node.freeze();
/// // ... its leases expire ...
/// node.thaw();
/// ticks.await.unwrap();
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Simulation {
    seed: u64,
    origin: Instant,
}

impl Simulation {
    /// A simulation that begins now; equal seeds give equal runs.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            origin: Clock::system().now(),
        }
    }

    /// A node with its own generator, seeded from the simulation's seed and the node's name, whose
    /// clocks run at `rate` (1.0 is true time; real hosts stay within 0.995 and 1.005).
    #[must_use]
    pub fn node(&self, name: &str, rate: f64) -> Node {
        let tasks = Arc::new(NodeTasks::default());
        let clock = Clock::Simulated(SimulatedClock {
            origin: self.origin,
            epoch: SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_SECONDS),
            rate,
            wall_offset_ms: AtomicI64::new(0),
        });
        let env = Env::simulated(clock, fold(self.seed, name), tasks.clone());
        Node {
            name: name.to_owned(),
            env,
            tasks,
        }
    }
}

/// FNV-1a: a seed of its own for each name, the same on every machine.
fn fold(seed: u64, name: &str) -> u64 {
    name.bytes()
        .chain(seed.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

/// One simulated host: what its processes see is [`Node::env`]; the rest is what a test does to it.
pub struct Node {
    name: String,
    env: Env,
    tasks: Arc<NodeTasks>,
}

impl Node {
    /// The name it was made with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Time, tasks and randomness as this node has them.
    #[must_use]
    pub fn env(&self) -> Env {
        self.env.clone()
    }

    /// Stops the node as SIGSTOP or a long pause does: its tasks are not polled, its timers and
    /// the rest of the world go on.
    pub fn freeze(&self) {
        self.tasks.lock().frozen = true;
    }

    /// Lets a frozen node go on; every task that was due meanwhile runs.
    pub fn thaw(&self) {
        let held = {
            let mut state = self.tasks.lock();
            state.frozen = false;
            std::mem::take(&mut state.held)
        };
        held.into_values().for_each(Waker::wake);
    }

    /// Ends every task of the node without warning, as `kill -9` does. What its tasks had handed
    /// to another node's tasks (a request on the network, say) lives on.
    pub fn kill(&self) {
        let tasks = std::mem::take(&mut self.tasks.lock().tasks);
        tasks.into_values().for_each(|task| task.abort());
        self.thaw();
    }

    /// Sets how far this node's wall clock is ahead (negative: behind), in milliseconds.
    pub fn set_wall_offset_ms(&self, offset: i64) {
        if let Clock::Simulated(clock) = &*self.env.0.clock {
            clock.wall_offset_ms.store(offset, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The tasks of a node, for freezing and killing them.
#[derive(Default)]
pub(crate) struct NodeTasks {
    next_id: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    frozen: bool,
    /// Tasks that were woken while the node was frozen, by task id.
    held: BTreeMap<u64, Waker>,
    tasks: BTreeMap<u64, AbortHandle>,
}

impl NodeTasks {
    pub(crate) fn next_task_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn add_task(&self, id: u64, task: AbortHandle) {
        if !task.is_finished() {
            self.lock().tasks.insert(id, task);
        }
    }

    pub(crate) fn remove_task(&self, id: u64) {
        let mut state = self.lock();
        state.tasks.remove(&id);
        state.held.remove(&id);
    }

    pub(crate) fn hold_if_frozen(&self, id: u64, waker: &Waker) -> bool {
        let mut state = self.lock();
        if state.frozen {
            state.held.insert(id, waker.clone());
        }
        state.frozen
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_frozen_node_does_nothing_until_it_is_thawed() {
        let simulation = Simulation::new(1);
        let (world, node) = (
            simulation.node("world", 1.0),
            simulation.node("worker", 1.0),
        );
        let begin = world.env().now();
        let task = node.env().spawn({
            let env = node.env();
            async move {
                env.sleep(Duration::from_secs(1)).await;
                env.now()
            }
        });
        world.env().sleep(Duration::from_millis(500)).await;
        node.freeze();
        world.env().sleep(Duration::from_secs(60)).await;
        assert!(!task.is_finished());
        node.thaw();
        let woke = task.await.unwrap();
        assert_eq!((woke - begin).as_millis(), 60_500);
    }

    #[tokio::test(start_paused = true)]
    async fn a_killed_node_ends_and_forgets_its_tasks() {
        let simulation = Simulation::new(1);
        let node = simulation.node("worker", 1.0);
        let task = node.env().spawn(std::future::pending::<()>());
        node.freeze();
        node.kill();
        assert_eq!(task.await, Err(crate::TaskError::Aborted));
        let after = node.env().spawn(async { 1 });
        assert_eq!(after.await, Ok(1), "the node can be started again");
        assert!(node.tasks.lock().tasks.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn clocks_drift_and_are_skewed() {
        let simulation = Simulation::new(1);
        let (truth, fast) = (
            simulation.node("truth", 1.0),
            simulation.node("fast", 1.005),
        );
        fast.set_wall_offset_ms(-5_000);
        assert_eq!(
            truth.env().wall_now() - Duration::from_secs(5),
            fast.env().wall_now()
        );
        let begin = truth.env().now();
        fast.env().sleep(Duration::from_secs(1_005)).await;
        let took = truth.env().now() - begin;
        assert!(
            (999_990..=1_000_010).contains(&took.as_millis()),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_never_ends_early_whatever_the_rate() {
        for rate in [0.995, 0.999_9, 1.000_1, 1.003_7] {
            let env = Simulation::new(1).node("n", rate).env();
            for ms in [1, 3, 7, 333] {
                let deadline = env.now() + Duration::from_millis(ms);
                env.sleep_until(deadline).await;
                assert!(env.now() >= deadline);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_seed_repeats_and_names_differ() {
        let draw = |seed, name: &str| Simulation::new(seed).node(name, 1.0).env().random_u64();
        assert_eq!(draw(7, "a"), draw(7, "a"));
        assert_ne!(draw(7, "a"), draw(7, "b"));
        assert_ne!(draw(7, "a"), draw(8, "a"));
    }
}
