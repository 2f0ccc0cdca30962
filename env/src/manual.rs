//! A clock that stands still until it is moved.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::Env;
use crate::clock::Clock;
use crate::timers::Timers;

/// Moves the time of an [`Env`] that has a timer queue of its own.
///
/// Both clocks of the [`Env`] stand still until [`advance`](Self::advance) moves them. Tokio's
/// clock is not touched, so real sockets keep their own time: this is the clock for a server
/// whose hours must pass in a test of a second. Cheap to clone; clones move the same clock.
///
/// ```
/// use std::time::Duration;
/// use shardwise_env::ManualClock;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// let clock = ManualClock::new();
/// let env = clock.env();
/// let (begin, wall) = (env.now(), env.wall_now());
/// clock.advance(Duration::from_secs(24 * 60 * 60));
/// assert_eq!(env.now() - begin, Duration::from_secs(24 * 60 * 60));
/// assert_eq!(env.wall_now(), wall + Duration::from_secs(24 * 60 * 60));
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    env: Env,
    timers: Arc<Timers>,
}

impl ManualClock {
    /// A clock that stands at the present time, with the operating system's entropy.
    #[must_use]
    pub fn new() -> Self {
        let timers = Arc::new(Timers::new(
            Clock::system().now(),
            Clock::system().wall_now(),
        ));
        let env = Env::with_clock(Clock::Manual(timers.clone()));
        Self { env, timers }
    }

    /// A clock whose wall clock stands at that time, with a seeded generator: equal seeds and equal
    /// moves give equal runs.
    #[must_use]
    pub fn at(wall: SystemTime, seed: u64) -> Self {
        let timers = Arc::new(Timers::new(Clock::system().now(), wall));
        let env = Env::seeded(Clock::Manual(timers.clone()), seed);
        Self { env, timers }
    }

    /// Time, tasks and randomness by this clock.
    #[must_use]
    pub fn env(&self) -> Env {
        self.env.clone()
    }

    /// Moves both clocks on by `time` and wakes every sleeper that is then due, the earliest first.
    ///
    /// It is one jump: a task that sleeps again and again, once woken, finds all of it passed.
    pub fn advance(&self, time: Duration) {
        self.timers.advance(time);
    }

    /// How many sleepers wait for this clock: a test that wants to wake a task first sees it sleep.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.timers.sleepers()
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Mutex;

    use super::*;
    use crate::Elapsed;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn time_stands_still_until_it_is_moved_and_sleepers_wake_in_order() {
        let clock = ManualClock::new();
        let env = clock.env();
        let woken = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = [3, 1, 9, 2]
            .map(|seconds| {
                let (task_env, woken) = (env.clone(), woken.clone());
                env.spawn(async move {
                    task_env.sleep(SECOND * seconds).await;
                    woken.lock().unwrap().push(seconds);
                })
            })
            .into();
        while clock.sleepers() < 4 {
            tokio::task::yield_now().await;
        }
        clock.advance(SECOND * 3);
        while tasks.iter().filter(|task| task.is_finished()).count() < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*woken.lock().unwrap(), [1, 2, 3]);
        assert_eq!(clock.sleepers(), 1);
        drop(tasks);
        while clock.sleepers() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_timeout_is_by_the_manual_clock_and_a_dropped_sleep_leaves_the_queue() {
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH, 7);
        let env = clock.env();
        let waiting = env.timeout(SECOND, std::future::pending::<()>());
        let moving = async {
            assert_eq!(clock.sleepers(), 1);
            clock.advance(SECOND - Duration::from_nanos(1));
            tokio::task::yield_now().await;
            assert_eq!(clock.sleepers(), 1, "not yet");
            clock.advance(Duration::from_nanos(1));
        };
        let (result, ()) = tokio::join!(waiting, moving);
        assert_eq!(result, Err(Elapsed));
        assert_eq!(env.timeout(SECOND, async { 1 }).await, Ok(1));
        assert_eq!(clock.sleepers(), 0);
        assert_eq!(env.wall_now(), SystemTime::UNIX_EPOCH + SECOND);
        env.sleep(Duration::ZERO).await;
        let other = ManualClock::at(SystemTime::UNIX_EPOCH, 7);
        assert_eq!(env.random_u64(), other.env().random_u64());
    }

    #[tokio::test(start_paused = true)]
    async fn a_scaled_clock_runs_so_many_times_as_fast() {
        let truth = Env::system();
        let env = Env::scaled(NonZeroU32::new(60).unwrap());
        let (begin, wall, true_begin) = (env.now(), env.wall_now(), truth.now());
        env.sleep(SECOND * 600).await;
        let took = truth.now() - true_begin;
        assert!((10_000..=10_002).contains(&took.as_millis()), "{took:?}");
        assert!(env.now() - begin >= SECOND * 600);
        let passed = env.wall_now().duration_since(wall).unwrap();
        assert!((600..=601).contains(&passed.as_secs()), "{passed:?}");
    }
}
