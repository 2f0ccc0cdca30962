//! When to call GetRecords next. Pure.
//!
//! A shard answers five calls and hands out 2 MiB a second, to all its polling readers together. One
//! reader that keeps to this by itself is never throttled when alone, and two share what there is.
//! Throttled requests are not counted here twice: whole requests are retried in the client
//! (`client/src/retry`), except these, which are retried at this pace instead.

use std::time::Duration;

use shardwise_env::Instant;
use shardwise_types::limits;

/// The least time between two calls for one shard.
pub(crate) const MIN_BETWEEN_READS: Duration =
    Duration::from_millis(1000 / limits::SHARD_READ_CALLS_PER_SECOND as u64);

/// The pace of one shard's reads.
#[derive(Debug)]
pub(crate) struct Pace {
    idle: Duration,
    next: Instant,
}

/// What an answer says about the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tip {
    /// There are no newer records for now.
    Reached,
    /// More records wait.
    Behind,
}

impl Pace {
    /// The first call may be made at once; at the tip the next one `idle` after the last.
    pub(crate) fn new(idle: Duration, now: Instant) -> Self {
        Self { idle, next: now }
    }

    /// The moment for the next call.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// The call sent at `sent` brought `bytes` of records.
    pub(crate) fn answered(&mut self, sent: Instant, bytes: usize, tip: Tip) {
        let calls = match tip {
            Tip::Reached => self.idle.max(MIN_BETWEEN_READS),
            Tip::Behind => MIN_BETWEEN_READS,
        };
        self.next = sent + calls.max(time_for_bytes(bytes));
    }

    /// What comes next is not a read.
    pub(crate) fn skip(&mut self, now: Instant) {
        self.next = now;
    }

    /// The call sent at `sent` failed, and was answered at `now`; the schedule wants `delay`.
    pub(crate) fn failed(&mut self, sent: Instant, now: Instant, delay: Duration) {
        self.next = (sent + MIN_BETWEEN_READS).max(now + delay);
    }
}

/// How long a shard takes to hand these out.
fn time_for_bytes(bytes: usize) -> Duration {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    let micros = bytes.saturating_mul(1_000_000) / u64::from(limits::SHARD_READ_BYTES_PER_SECOND);
    Duration::from_micros(micros)
}
