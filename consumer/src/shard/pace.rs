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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shardwise_env::Env;

    use super::*;

    const IDLE: Duration = Duration::from_secs(1);

    /// What a shard's answers were like: bytes, and whether the tip was reached.
    fn answers() -> impl Strategy<Value = Vec<(usize, bool, u64)>> {
        let answer = (
            0..limits::GET_RECORDS_MAX_BYTES,
            any::<bool>(),
            0_u64..3_000,
        );
        prop::collection::vec(answer, 1..50)
    }

    proptest! {
        #[test]
        fn a_shard_is_asked_for_no_more_than_it_gives(answers in answers()) {
            let begin = Env::system().now();
            let mut pace = Pace::new(IDLE, begin);
            let (mut sent, mut bytes, mut calls) = (Vec::new(), 0_u64, 0_u32);
            for (size, tip, late) in answers {
                let now = pace.next() + Duration::from_millis(late);
                sent.push(now);
                let tip = if tip { Tip::Reached } else { Tip::Behind };
                pace.answered(now, size, tip);
                bytes += size as u64;
                calls += 1;
                let elapsed = pace.next() - begin;
                prop_assert!(elapsed >= MIN_BETWEEN_READS * calls);
                let allowed = elapsed.as_secs_f64() * f64::from(limits::SHARD_READ_BYTES_PER_SECOND);
                prop_assert!(bytes as f64 <= allowed + 3.0);
            }
            prop_assert!(sent.windows(2).all(|pair| pair[1] - pair[0] >= MIN_BETWEEN_READS));
        }
    }

    #[test]
    fn behind_the_tip_it_reads_on_at_once_and_at_the_tip_it_idles() {
        let now = Env::system().now();
        let mut pace = Pace::new(IDLE, now);
        assert_eq!(pace.next(), now);
        pace.answered(now, 10, Tip::Behind);
        assert_eq!(pace.next() - now, MIN_BETWEEN_READS);
        pace.answered(now, 10, Tip::Reached);
        assert_eq!(pace.next() - now, IDLE);
        pace.skip(now);
        assert_eq!(pace.next(), now);
    }

    #[test]
    fn a_failure_waits_as_the_schedule_says_and_never_less_than_the_limit() {
        let now = Env::system().now();
        let mut pace = Pace::new(IDLE, now);
        pace.failed(now, now, Duration::ZERO);
        assert_eq!(pace.next() - now, MIN_BETWEEN_READS);
        let answered = now + Duration::from_secs(10);
        pace.failed(now, answered, Duration::from_secs(2));
        assert_eq!(pace.next() - answered, Duration::from_secs(2));
    }
}
