//! A token bucket: so many per second, and as many at once as a second gives.
//!
//! Pure: the time is an argument. A caller may have read the clock before another one that comes
//! first: an earlier time is taken for the latest one so far, since it is no debt. What takes more
//! than there is, is paid for in time: nothing is admitted until the rate has made up for all of
//! it. So a GetRecords of ten MiB, at two MiB per second, blocks its shard for five seconds, as the
//! service documents it.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>

use std::time::Duration;

/// The level is kept in billionths of a token: whole nanoseconds at whole rates stay exact.
const NANOS: u64 = 1_000_000_000;

#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    per_second: u64,
    /// Billionths of tokens that were there at `at`.
    level: u64,
    /// The time of the level; in the future, what was taken is not paid for until then.
    at: Duration,
    /// The latest time so far.
    latest: Duration,
}

impl Bucket {
    /// A full one.
    pub(crate) const fn new(per_second: u64) -> Self {
        Self {
            per_second,
            level: per_second.saturating_mul(NANOS),
            at: Duration::ZERO,
            latest: Duration::ZERO,
        }
    }

    /// Whether so many are there. What never fits is admitted when the bucket is full.
    pub(crate) fn admits(&mut self, tokens: u64, now: Duration) -> bool {
        let now = self.settle(now);
        let wanted = tokens.saturating_mul(NANOS).min(self.capacity());
        self.at <= now && self.level >= wanted
    }

    /// Takes so many, whether they are there or not.
    pub(crate) fn take(&mut self, tokens: u64, now: Duration) {
        self.settle(now);
        let cost = tokens.saturating_mul(NANOS);
        match self.level.checked_sub(cost) {
            Some(rest) => self.level = rest,
            None => {
                self.level = 0;
                self.at += Duration::from_nanos(cost.div_ceil(self.per_second.max(1)));
            }
        }
    }

    /// Takes so many if they are there.
    pub(crate) fn try_take(&mut self, tokens: u64, now: Duration) -> bool {
        let admits = self.admits(tokens, now);
        if admits {
            self.take(tokens, now);
        }
        admits
    }

    /// When all that was taken is paid for.
    pub(crate) fn ready_at(&self) -> Duration {
        self.at
    }

    /// Adds what came since, and tells the time that counts.
    fn settle(&mut self, now: Duration) -> Duration {
        self.latest = self.latest.max(now);
        let now = self.latest;
        if let Some(passed) = now.checked_sub(self.at) {
            let nanos = u64::try_from(passed.as_nanos()).unwrap_or(NANOS).min(NANOS);
            let gained = nanos.saturating_mul(self.per_second);
            self.level = self.level.saturating_add(gained).min(self.capacity());
            self.at = now;
        }
        now
    }

    fn capacity(&self) -> u64 {
        self.per_second.saturating_mul(NANOS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    proptest! {
        #[test]
        fn no_stretch_of_time_admits_more_than_its_rate_and_one_call(
            per_second in 1..5_000_000_u64,
            calls in prop::collection::vec((0..2_000_u64, 1..6_000_000_u64), 1..60),
        ) {
            let mut bucket = Bucket::new(per_second);
            let mut now = Duration::ZERO;
            let mut admitted: Vec<(Duration, u64)> = Vec::new();
            for (pause_ms, tokens) in calls {
                now += Duration::from_millis(pause_ms);
                if bucket.try_take(tokens, now) {
                    admitted.push((now, tokens));
                }
            }
            for (first, (begin, _)) in admitted.iter().enumerate() {
                let mut sum = 0;
                for (end, tokens) in &admitted[first..] {
                    // The last one may be paid for afterwards.
                    let most = ((*end - *begin) + SECOND).as_secs_f64() * per_second as f64;
                    prop_assert!(sum as f64 <= most + 1.0, "{sum} of {most}");
                    sum += tokens;
                }
            }
        }

        #[test]
        fn callers_below_the_rate_pass_in_whatever_order_they_come(
            (per_second, callers) in (1..2_000_u64)
                .prop_flat_map(|rate| (Just(rate), 1..=rate.min(64))),
            delays_us in prop::collection::vec(0..500_000_u64, 1..400),
        ) {
            // One call every 1/rate seconds; each reads the clock when it begins and comes to the
            // bucket after a delay, so that later ones overtake it.
            let period = SECOND / u32::try_from(per_second).unwrap() + Duration::from_nanos(1);
            let callers = u32::try_from(callers).unwrap();
            let mut calls: Vec<(Duration, Duration)> = (0_u32..)
                .zip(delays_us)
                .map(|(number, delay)| {
                    let read = SECOND + period * number;
                    // Of `callers` at once each has a call under way, and no more.
                    let delay = Duration::from_micros(delay).min(period * (callers - 1));
                    (read + delay, read)
                })
                .collect();
            calls.sort();
            let mut bucket = Bucket::new(per_second);
            for (_, read) in calls {
                prop_assert!(bucket.try_take(1, read), "a call of {read:?} was refused");
            }
        }

        #[test]
        fn an_earlier_time_counts_as_the_latest_one(
            per_second in 1..5_000_u64,
            calls in prop::collection::vec((0..3_000_u64, 0..10_000_u64), 1..60),
        ) {
            let (mut given, mut corrected) = (Bucket::new(per_second), Bucket::new(per_second));
            let mut latest = Duration::ZERO;
            for (at_ms, tokens) in calls {
                let now = Duration::from_millis(at_ms);
                latest = latest.max(now);
                prop_assert_eq!(given.try_take(tokens, now), corrected.try_take(tokens, latest));
                prop_assert_eq!(given.ready_at(), corrected.ready_at());
            }
        }

        #[test]
        fn a_second_after_all_is_paid_for_the_bucket_is_full(
            per_second in 1..5_000_000_u64,
            tokens in 0..50_000_000_u64,
        ) {
            let mut bucket = Bucket::new(per_second);
            bucket.take(tokens, SECOND);
            let full = bucket.ready_at() + SECOND;
            prop_assert!(bucket.admits(per_second, full));
        }
    }

    #[test]
    fn a_second_gives_exactly_its_rate() {
        let mut bucket = Bucket::new(1000);
        assert_eq!(
            (0..2000).filter(|_| bucket.try_take(1, SECOND)).count(),
            1000
        );
        let almost = SECOND + Duration::from_micros(999);
        assert!(!bucket.try_take(1, almost));
        assert!(bucket.try_take(1, SECOND + Duration::from_millis(1)));
    }

    #[test]
    fn what_is_more_than_a_second_gives_is_paid_for_in_time() {
        let mut bucket = Bucket::new(2);
        assert!(bucket.try_take(10, SECOND));
        assert_eq!(bucket.ready_at(), 6 * SECOND);
        assert!(!bucket.admits(0, 6 * SECOND - Duration::from_nanos(1)));
        assert!(bucket.admits(0, 6 * SECOND));
        assert!(!bucket.admits(1, 6 * SECOND));
        assert!(bucket.admits(1, 6 * SECOND + SECOND / 2));
    }
}
