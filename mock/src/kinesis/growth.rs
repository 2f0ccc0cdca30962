//! How on-demand streams grow: they are given twice the capacity that a new peak needs, and no more
//! than twice what they had.
//!
//! A second in which a stream takes more than half of what its shards take asks for more of them.
//! They come a fixed time later, the service's fifteen minutes by default, by
//! splits of the widest shards, and the stream stays ACTIVE. So there is that much time at least
//! between two doublings, and a load that goes on rising doubles the shards again and again. They
//! count against the account's shard limit from the moment they are asked for. Nothing shrinks.
//! <https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html>

use std::time::Duration;

use shardwise_types::limits;

use super::shard::Moment;

/// What one shard takes in a second.
const SHARD_BYTES: u64 = limits::SHARD_WRITE_BYTES_PER_SECOND as u64;
const SHARD_RECORDS: u64 = limits::SHARD_WRITE_RECORDS_PER_SECOND as u64;

/// How many times the peak a stream is made for.
const HEADROOM: u64 = 2;

/// What an on-demand stream takes, and how it will grow.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// The second of the mock's uptime that is being counted.
    second: u64,
    /// Written in it: data and partition keys.
    bytes: u64,
    records: u64,
    planned: Option<Plan>,
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    due: Moment,
    shard_count: u32,
}

impl Growth {
    /// Counts a record, and tells how many shards the writes of its second ask for: at most twice
    /// those that are open.
    pub(super) fn count(&mut self, bytes: usize, open: u32, now: Duration) -> u32 {
        let second = now.as_secs();
        // A writer may have read the clock before one that came first: it counts in the later second.
        if self.second < second {
            (self.second, self.bytes, self.records) = (second, 0, 0);
        }
        self.bytes += u64::try_from(bytes).unwrap_or_default();
        self.records += 1;
        let for_bytes = (HEADROOM * self.bytes).div_ceil(SHARD_BYTES);
        let for_records = (HEADROOM * self.records).div_ceil(SHARD_RECORDS);
        let wanted = u32::try_from(for_bytes.max(for_records)).unwrap_or(u32::MAX);
        wanted.min(open.saturating_mul(2))
    }

    /// The uptime at which the shards become more.
    pub(super) fn due(&self) -> Option<Duration> {
        self.planned.map(|plan| plan.due.uptime)
    }

    /// Plans so many shards, for the time that was planned before if there was one.
    pub(super) fn plan(&mut self, shard_count: u32, due: Moment) {
        let due = self.planned.map_or(due, |plan| plan.due);
        self.planned = Some(Plan { due, shard_count });
    }

    /// Forgets what is planned, and tells how many shards it was.
    pub(super) fn cancel(&mut self) -> Option<u32> {
        self.planned.take().map(|plan| plan.shard_count)
    }

    /// What falls due by then: how many shards, and since when.
    pub(super) fn take_due(&mut self, uptime: Duration) -> Option<(u32, Moment)> {
        let is_due = |plan: &mut Plan| plan.due.uptime <= uptime;
        let plan = self.planned.take_if(is_due)?;
        Some((plan.shard_count, plan.due))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record of so many bytes, so long after the one before.
    fn writes() -> impl Strategy<Value = Vec<(u64, usize)>> {
        prop::collection::vec((0..700_u64, 1..2_000_000_usize), 1..60)
    }

    proptest! {
        #[test]
        fn twice_what_a_second_took_fits_into_the_shards_that_it_asks_for(writes in writes()) {
            let mut growth = Growth::default();
            let mut ms = 0;
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for (pause_ms, bytes) in writes {
                ms += pause_ms;
                let wanted = growth.count(bytes, u32::MAX, Duration::from_millis(ms));
                taken.push((ms / 1000, u64::try_from(bytes).unwrap()));
                let sum: u64 = taken
                    .iter()
                    .filter_map(|(second, bytes)| (*second == ms / 1000).then_some(bytes))
                    .sum();
                let (least, wanted) = (2 * sum, u64::from(wanted));
                prop_assert!(least <= wanted * SHARD_BYTES);
                prop_assert!(least > (wanted - 1) * SHARD_BYTES, "and no shard is too many");
            }
        }

        #[test]
        fn it_never_asks_for_more_than_a_doubling(writes in writes(), open in 1..100_u32) {
            let mut growth = Growth::default();
            for (second, bytes) in writes {
                let wanted = growth.count(bytes, open, Duration::from_secs(second));
                prop_assert!(wanted <= 2 * open);
            }
        }
    }

    #[test]
    fn a_writer_with_an_earlier_time_does_not_begin_the_second_anew() {
        let mut growth = Growth::default();
        let mut wanted = 0;
        for number in 0..501 {
            let ms = if number % 2 == 0 { 1000 } else { 999 };
            wanted = growth.count(1, 100, Duration::from_millis(ms));
        }
        assert_eq!(wanted, 2);
    }

    #[test]
    fn a_thousand_small_records_ask_for_two_shards_and_one_more_for_a_third() {
        let mut growth = Growth::default();
        let mut count = || growth.count(1, 100, Duration::ZERO);
        let wanted: Vec<u32> = (0..1001).map(|_| count()).collect();
        assert_eq!((wanted[499], wanted[500]), (1, 2));
        assert_eq!((wanted[999], wanted[1000]), (2, 3));
    }

    #[test]
    fn what_is_asked_for_again_comes_no_later() {
        let at = |seconds| Moment {
            wall_ms: 0,
            uptime: Duration::from_secs(seconds),
        };
        let mut growth = Growth::default();
        growth.plan(6, at(900));
        growth.plan(8, at(1000));
        assert_eq!(growth.due(), Some(Duration::from_secs(900)));
        assert_eq!(growth.planned.map(|plan| plan.shard_count), Some(8));
    }
}
