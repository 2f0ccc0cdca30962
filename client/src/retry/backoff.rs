//! How long to wait between tries: the only file that knows the crate `backoff`.
//!
//! `backoff` gives the exponential schedule; the jitter is drawn from the node's own generator, so
//! a seed repeats it. The jitter is "full": anything from zero to the schedule's delay.
//! <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>

use std::time::Duration;

use backoff::backoff::Backoff as _;
use backoff::exponential::{ExponentialBackoff, ExponentialBackoffBuilder};
use shardwise_env::Env;

/// Times that a call is tried, and the schedule of waiting between.
///
/// ```
/// use std::time::Duration;
/// use shardwise_client::retry::RetryPolicy;
///
/// let patient = RetryPolicy::data_path().attempts(8);
/// assert_eq!(patient.max_attempts(), 8);
/// assert_eq!(patient.cap(), Duration::from_millis(500));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
    first: Duration,
    cap: Duration,
}

impl RetryPolicy {
    /// For records on their way: three tries, 50 ms doubling to at most 500 ms. A shard's limits
    /// are counted per second, so waiting longer for one only adds latency.
    #[must_use]
    pub const fn data_path() -> Self {
        Self {
            attempts: 3,
            first: Duration::from_millis(50),
            cap: Duration::from_millis(500),
        }
    }

    /// For calls that create, list and describe: five tries, 100 ms doubling to at most 5 s. Their
    /// limits are a few calls per second for the whole account.
    #[must_use]
    pub const fn control_plane() -> Self {
        Self {
            attempts: 5,
            first: Duration::from_millis(100),
            cap: Duration::from_secs(5),
        }
    }

    /// One try: for a caller that retries by itself.
    #[must_use]
    pub const fn never() -> Self {
        Self {
            attempts: 1,
            first: Duration::ZERO,
            cap: Duration::ZERO,
        }
    }

    /// The same schedule with another number of tries, the first included; at least one.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = if attempts == 0 { 1 } else { attempts };
        self
    }

    /// The same number of tries with another schedule: the delay before the second try is at most
    /// `first`, doubles with each, and is never more than `cap`.
    #[must_use]
    pub const fn schedule(mut self, first: Duration, cap: Duration) -> Self {
        self.first = first;
        self.cap = cap;
        self
    }

    /// How many times a call is sent at most.
    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        self.attempts
    }

    /// The longest wait between two tries.
    #[must_use]
    pub const fn cap(&self) -> Duration {
        self.cap
    }

    /// The waits of one call, from the first. Draws the jitter from `env`; there is no end, the
    /// caller counts the tries.
    #[must_use]
    pub fn delays(&self, env: &Env) -> Delays {
        let schedule = ExponentialBackoffBuilder::<Standstill>::new()
            .with_initial_interval(self.first)
            .with_max_interval(self.cap)
            .with_multiplier(2.0)
            // The jitter is drawn in `Delays`: at factor 0 the schedule is exact.
            .with_randomization_factor(0.0)
            .with_max_elapsed_time(None)
            .build();
        Delays {
            schedule,
            cap: self.cap,
            env: env.clone(),
        }
    }
}

/// The waits between the tries of one call.
#[derive(Debug)]
pub struct Delays {
    schedule: ExponentialBackoff<Standstill>,
    cap: Duration,
    env: Env,
}

impl Delays {
    /// The next wait: at random from zero to the schedule's delay.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = self
            .schedule
            .next_backoff()
            .unwrap_or(self.cap)
            .min(self.cap);
        ceiling.mul_f64(self.env.random_f64())
    }
}

/// `backoff` wants a clock to give up by; tries are counted instead, so its time stands still.
#[derive(Debug, Clone, Copy, Default)]
struct Standstill;

impl backoff::Clock for Standstill {
    #[expect(
        clippy::disallowed_methods,
        reason = "never read: there is no maximal elapsed time"
    )]
    fn now(&self) -> std::time::Instant {
        std::time::Instant::now()
    }
}

#[cfg(test)]
mod tests {
    use shardwise_env::Simulation;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn delays_grow_to_the_cap_and_never_beyond() {
        let env = Simulation::new(3).node("n", 1.0).env();
        let policy = RetryPolicy::data_path();
        let mut ceilings = [0_u128; 8];
        for _ in 0..2_000 {
            let mut delays = policy.delays(&env);
            for ceiling in &mut ceilings {
                *ceiling = (*ceiling).max(delays.next_delay().as_millis());
            }
        }
        for (ceiling, expected) in ceilings.iter().zip([50, 100, 200, 400, 500, 500, 500, 500]) {
            assert!(
                (expected * 9 / 10..=expected).contains(ceiling),
                "{ceilings:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_jitter_is_repeatable() {
        let run = |seed| {
            let env = Simulation::new(seed).node("n", 1.0).env();
            let mut delays = RetryPolicy::control_plane().delays(&env);
            (0..5).map(|_| delays.next_delay()).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
