//! Time, tasks and randomness: the one struct that Shardwise hands down.
//!
//! Every crate takes an [`Env`] and asks it for the time, for sleep, for tasks and for random
//! numbers; nothing else in the workspace may (clippy's `disallowed-methods` bans the rest).
//!
//! - [`Env::system`] is tokio and the operating system: what production uses.
//! - [`Simulation`] runs any number of nodes on one paused tokio clock. Each [`Node`] has a clock
//!   rate, a wall clock offset and a seeded generator, and can be frozen (as by SIGSTOP), thawed
//!   and killed. The same seed replays the same run.
//! - [`Env::scaled`] runs faster than the world, and [`ManualClock`] stands still until it is
//!   moved: for a server on a real socket, whose hours must pass in a test of a second.
//!
//! It does not know HTTP: latency, loss and partitions are the transport's.
//!
//! ```
//! use std::time::Duration;
//! use shardwise_env::Env;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
//! # runtime.block_on(async {
//! let env = Env::system();
//! let task = env.spawn({
//!     let env = env.clone();
//!     async move {
//!         env.sleep(Duration::from_millis(1)).await;
//!         42
//!     }
//! });
//! assert_eq!(task.await.unwrap(), 42);
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```

mod clock;
mod lock;
mod manual;
mod simulation;
mod task;
mod timers;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};
pub use tokio::time::Instant;

use crate::clock::Clock;
pub use crate::lock::lock;
pub use crate::manual::ManualClock;
pub use crate::simulation::{Node, Simulation};
pub use crate::task::{Task, TaskError};

/// Time, tasks and randomness of one process, or of one simulated node.
///
/// Cheap to clone; clones share the clock and the generator.
#[derive(Clone)]
pub struct Env(Arc<Inner>);

struct Inner {
    clock: Arc<Clock>,
    rng: Mutex<SmallRng>,
    /// What a simulated node needs to be frozen and killed; absent in production.
    tasks: Option<Arc<simulation::NodeTasks>>,
}

/// The time given to [`Env::timeout`] ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time limit ran out")]
#[non_exhaustive]
pub struct Elapsed;

impl Env {
    /// The operating system's clocks and entropy, and the tokio runtime that calls it.
    ///
    /// Under a paused tokio clock the monotonic time follows that clock.
    #[must_use]
    pub fn system() -> Self {
        Self::with_clock(Clock::system())
    }

    /// Both clocks begin at the present and run `rate` times as fast as the operating system's: a
    /// minute of this [`Env`] takes `60 / rate` seconds. Sleeps end on tokio's ticks of a
    /// millisecond, so up to `rate` milliseconds late by these clocks.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// use std::time::Duration;
    /// use shardwise_env::Env;
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// # runtime.block_on(async {
    /// let env = Env::scaled(NonZeroU32::new(3600).unwrap());
    /// env.sleep(Duration::from_secs(60)).await; // takes 17 ms
    /// # });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn scaled(rate: NonZeroU32) -> Self {
        Self::with_clock(Clock::scaled(rate))
    }

    fn with_clock(clock: Clock) -> Self {
        Self::of(clock, SmallRng::from_os_rng())
    }

    fn seeded(clock: Clock, seed: u64) -> Self {
        Self::of(clock, SmallRng::seed_from_u64(seed))
    }

    fn of(clock: Clock, rng: SmallRng) -> Self {
        Self(Arc::new(Inner {
            clock: Arc::new(clock),
            rng: Mutex::new(rng),
            tasks: None,
        }))
    }

    fn simulated(clock: Clock, seed: u64, tasks: Arc<simulation::NodeTasks>) -> Self {
        Self(Arc::new(Inner {
            clock: Arc::new(clock),
            rng: Mutex::new(SmallRng::seed_from_u64(seed)),
            tasks: Some(tasks),
        }))
    }

    /// The same clock and the same tasks, with a generator of its own: equal seeds draw equal numbers,
    /// whatever else is drawn.
    ///
    /// ```
    /// use shardwise_env::Env;
    ///
    /// let env = Env::system();
    /// assert_eq!(env.with_seed(7).random_u64(), env.with_seed(7).random_u64());
    /// ```
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Self {
        Self(Arc::new(Inner {
            clock: self.0.clock.clone(),
            rng: Mutex::new(SmallRng::seed_from_u64(seed)),
            tasks: self.0.tasks.clone(),
        }))
    }

    /// The monotonic time of this node.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.clock.now()
    }

    /// The wall clock of this node. Two nodes may differ: never compare the times of two hosts.
    #[must_use]
    pub fn wall_now(&self) -> SystemTime {
        self.0.clock.wall_now()
    }

    /// Sleeps for `duration` of this node's monotonic time; [`Duration::MAX`] is thirty
    /// years.
    ///
    /// # Cancel safety
    /// Safe: nothing happens but the waiting.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now() + duration.min(LONGEST_SLEEP))
            .await;
    }

    /// Sleeps until this node's monotonic time has reached `deadline`.
    ///
    /// # Cancel safety
    /// Safe: nothing happens but the waiting.
    pub async fn sleep_until(&self, deadline: Instant) {
        self.0.clock.sleep_until(deadline).await;
    }

    /// Runs `future` for at most `limit`.
    ///
    /// # Errors
    /// [`Elapsed`] if the future was not ready in time; it has then been dropped.
    ///
    /// # Cancel safety
    /// As safe as `future` is.
    pub async fn timeout<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.sleep(limit) => Err(Elapsed),
        }
    }

    /// Starts a task on the current tokio runtime. The [`Task`] owns it: dropping it aborts it.
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        task::spawn(self.0.tasks.clone(), future)
    }

    /// 64 random bits.
    #[must_use]
    pub fn random_u64(&self) -> u64 {
        self.rng().next_u64()
    }

    /// 128 random bits: enough for an id that is drawn only once.
    #[must_use]
    pub fn random_u128(&self) -> u128 {
        let mut rng = self.rng();
        u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())
    }

    /// A random number from 0 up to but not including 1.
    #[must_use]
    pub fn random_f64(&self) -> f64 {
        // 53 bits fill the mantissa of a double exactly.
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in an f64")]
        let mantissa = (self.random_u64() >> 11) as f64;
        mantissa / (1_u64 << 53) as f64
    }

    /// A random whole number from 0 up to but not including `bound`; 0 if `bound` is 0.
    #[must_use]
    pub fn random_below(&self, bound: u64) -> u64 {
        let wide = u128::from(self.random_u64()) * u128::from(bound);
        (wide >> 64) as u64
    }

    fn rng(&self) -> MutexGuard<'_, SmallRng> {
        lock(&self.0.rng)
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (&*self.0.clock, &self.0.tasks) {
            (Clock::System, _) => "Env(system)",
            (Clock::Simulated(_), None) => "Env(scaled)",
            (Clock::Simulated(_), Some(_)) => "Env(simulated)",
            (Clock::Manual(_), _) => "Env(manual)",
        })
    }
}

/// Longer waits are cut down to this, which every clock here can add to its time.
const LONGEST_SLEEP: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_longest_limit_is_one_that_no_clock_overflows_on() {
        let scaled = Env::scaled(NonZeroU32::MIN);
        for env in [
            Env::system(),
            scaled,
            ManualClock::new().env(),
            Simulation::new(1).node("slow", 0.5).env(),
        ] {
            assert_eq!(env.timeout(Duration::MAX, async { 1 }).await, Ok(1));
            let sleeping = env.sleep(Duration::MAX);
            let brief = env.timeout(Duration::ZERO, sleeping).await;
            assert_eq!(brief, Err(Elapsed));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_gives_up_and_a_ready_future_wins() {
        let env = Env::system();
        assert_eq!(env.timeout(Duration::ZERO, async { 1 }).await, Ok(1));
        let slow = env.sleep(Duration::from_secs(2));
        assert_eq!(
            env.timeout(Duration::from_secs(1), slow).await,
            Err(Elapsed)
        );
    }

    #[tokio::test]
    async fn random_numbers_stay_in_their_range() {
        let env = Env::system();
        for _ in 0..1_000 {
            assert!((0.0..1.0).contains(&env.random_f64()));
            assert!(env.random_below(3) < 3);
        }
        assert_eq!(env.random_below(0), 0);
        assert_ne!(env.random_u128(), env.random_u128());
    }
}
