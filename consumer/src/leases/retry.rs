//! How long one wish is pursued: the tries of a call to the lease table and the waits between.
//!
//! The SDK tries once. Whoever wants an answer tries again here, since what is to be written may be
//! another thing after each answer that is missing. The schedule is the client's (exponential, with
//! full jitter), measured in parts of the failover time: all the worker's shards meet a table that
//! does not answer at the same time.

use std::time::Duration;

use shardwise_client::retry::{Delays, RetryPolicy};
use shardwise_env::{Env, Instant};

/// The first wait, as a part of the failover time: 100 ms at the default of 10 s.
const FIRST_PART: u32 = 100;

/// The longest wait, as a part of the failover time: in the two thirds of it that are left when a
/// renewal is due, a dozen tries find room.
const CAP_PART: u32 = 10;

/// The tries of a call whose caller asks again by itself: two more outlast a hiccup; after an outage
/// that is longer, the caller is better asked again, with what it knows by then.
const BRIEF_TRIES: u32 = 3;

/// How long such a call may take, as a part of the failover time: the time of one renewal.
const BRIEF_PART: u32 = 3;

/// The tries of one call.
#[derive(Debug)]
pub(super) struct Tries {
    env: Env,
    delays: Delays,
    failed: u32,
    allowed: u32,
    deadline: Instant,
}

impl Tries {
    /// For a read, or a write of a lease that is not held.
    pub(super) fn brief(env: &Env, failover: Duration) -> Self {
        Self::new(env, failover, BRIEF_TRIES, failover / BRIEF_PART)
    }

    /// For a holder's write: for as long as a lease is good without a renewal. Later than that,
    /// whose it is cannot be known.
    pub(super) fn of_holder(env: &Env, failover: Duration) -> Self {
        Self::new(env, failover, u32::MAX, failover)
    }

    fn new(env: &Env, failover: Duration, allowed: u32, time: Duration) -> Self {
        Self {
            delays: delays(env, failover),
            failed: 0,
            allowed,
            deadline: env.now() + time,
            env: env.clone(),
        }
    }

    /// A try failed: waits for the next one. Whether there is one.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub(super) async fn again(&mut self) -> bool {
        self.failed += 1;
        let at = self.env.now() + self.delays.next_delay();
        let is_left = self.failed < self.allowed && at < self.deadline;
        if is_left {
            self.env.sleep_until(at).await;
        }
        is_left
    }

    /// How many tries have failed.
    pub(super) fn failed(&self) -> u32 {
        self.failed
    }

    /// Whether the time is over.
    pub(super) fn are_over(&self) -> bool {
        self.env.now() >= self.deadline
    }
}

/// The waits between the tries of one call.
pub(super) fn delays(env: &Env, failover: Duration) -> Delays {
    let (first, cap) = (failover / FIRST_PART, failover / CAP_PART);
    RetryPolicy::never().schedule(first, cap).delays(env)
}
