//! When to fetch what is known of the stream. Pure: the calls are [`fetch`](crate::fetch)'s, and
//! [`StreamCache`](crate::stream_cache::StreamCache) shares them among producers.

use std::time::Duration;

use shardwise_env::Instant;

/// Between two fetches at least: a record that is stored by an unknown shard asks for a new map at
/// once, and a call may bring dozens of them.
pub(crate) const FETCH_SPACING: Duration = Duration::from_millis(200);

/// The part of a map's age by which refreshes are spread: producers that began together do not ask
/// together for long.
const JITTER: f64 = 0.25;

/// When to fetch: at the start, when a record is stored where the map did not say, and when the map
/// has grown old. While no record is under way none is needed: that the caller decides.
#[derive(Debug)]
pub(crate) struct Refresh {
    max_age: Duration,
    due: Option<Instant>,
    running: bool,
    /// No fetch begins before.
    not_before: Option<Instant>,
    /// When the fetch began whose answer is in use.
    fetched_at: Option<Instant>,
    /// When that answer is to be replaced, for its age.
    old_at: Option<Instant>,
    /// What happened then only an answer to a fetch begun later explains.
    needed_since: Option<Instant>,
    /// The same, for the fetch that runs.
    asked_since: Option<Instant>,
}

impl Refresh {
    /// A fetch is due at once.
    pub(crate) fn new(max_age: Duration, now: Instant) -> Self {
        Self {
            max_age,
            due: Some(now),
            running: false,
            not_before: None,
            fetched_at: None,
            old_at: None,
            needed_since: None,
            asked_since: None,
        }
    }

    /// Something happened that an answer from before now cannot explain.
    pub(crate) fn need(&mut self, now: Instant) {
        self.needed_since = Some(now);
        if !self.running {
            let earliest = self.not_before.map_or(now, |limit| limit.max(now));
            self.due = Some(self.due.map_or(earliest, |due| due.min(earliest)));
        }
    }

    /// Whether a fetch is to begin now; if so it counts as begun.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            self.due = None;
            self.running = true;
            self.asked_since = self.needed_since.take();
        }
        due
    }

    /// An answer to a fetch that began before is of no use to the one that runs; `None` if any is.
    pub(crate) fn since(&self, now: Instant) -> Option<Instant> {
        const MOMENT: Duration = Duration::from_nanos(1);
        // Without a need it is for the age: any answer is good that is newer than the one in use.
        self.asked_since
            .or_else(|| self.fetched_at.map(|at| at + MOMENT))
            .or_else(|| now.checked_sub(self.max_age))
    }

    /// The fetch succeeded; it began at `begun`. `random` is a number from 0 to 1.
    pub(crate) fn succeeded(&mut self, begun: Instant, now: Instant, random: f64) {
        self.running = false;
        self.asked_since = None;
        self.fetched_at = Some(begun);
        self.old_at = Some(begun + self.max_age.mul_f64(1.0 - JITTER * random));
        self.not_before = Some(now + FETCH_SPACING);
        if self.needed_since.is_some_and(|at| at >= begun) {
            self.due = self.not_before;
        } else {
            self.needed_since = None;
        }
    }

    /// The fetch failed, or was of no use: once more after `delay`.
    pub(crate) fn failed(&mut self, now: Instant, delay: Duration) {
        self.running = false;
        self.needed_since = self.needed_since.max(self.asked_since.take());
        let next = now + delay;
        self.not_before = Some(next);
        self.due = Some(next);
    }

    /// When the next fetch is to begin, if records are under way; `None` while one runs.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.running {
            return None;
        }
        let old = self.old_at;
        let old = old.map(|at| self.not_before.map_or(at, |limit| limit.max(at)));
        self.due.into_iter().chain(old).min()
    }

    /// Until when what is known counts as fresh: records that come later, after a pause, wait for
    /// the fetch that they cause. `None` while one runs: records that are under way do not wait for
    /// it.
    pub(crate) fn fresh_until(&self) -> Option<Instant> {
        if self.running {
            return None;
        }
        let last = self.fetched_at.max(self.due);
        last.map(|at| at + self.max_age)
    }
}

#[cfg(test)]
mod tests {
    use shardwise_env::Env;

    use super::*;

    const AGE: Duration = Duration::from_secs(60);

    #[test]
    fn a_map_is_fetched_once_for_many_needs_and_again_for_a_later_one() {
        let now = Env::system().now();
        let mut refresh = Refresh::new(AGE, now);
        assert!(refresh.begin(now));
        assert!(!refresh.begin(now));
        refresh.succeeded(now, now, 0.0);
        assert_eq!(refresh.due(), Some(now + AGE));

        refresh.need(now);
        refresh.need(now);
        assert!(!refresh.begin(now), "not so soon again");
        let later = now + FETCH_SPACING;
        assert!(refresh.begin(later));
        assert_eq!(refresh.since(later), Some(now));
        refresh.need(later);
        refresh.succeeded(later, later, 0.0);
        assert_eq!(refresh.due(), Some(later + FETCH_SPACING));
    }

    #[test]
    fn a_need_is_met_by_a_fetch_that_began_after_it() {
        let now = Env::system().now();
        let mut refresh = Refresh::new(AGE, now);
        assert!(refresh.begin(now));
        let later = now + FETCH_SPACING;
        refresh.need(later);
        // Another producer's fetch has served this one as well.
        let begun = later + FETCH_SPACING;
        refresh.succeeded(begun, begun, 0.0);
        assert_eq!(refresh.due(), Some(begun + AGE));
    }

    #[test]
    fn a_need_outlives_a_fetch_that_fails() {
        let now = Env::system().now();
        let mut refresh = Refresh::new(AGE, now);
        refresh.need(now);
        assert!(refresh.begin(now));
        refresh.failed(now, FETCH_SPACING);
        let later = now + FETCH_SPACING;
        assert!(refresh.begin(later));
        assert_eq!(refresh.since(later), Some(now));
    }

    #[test]
    fn a_map_is_fetched_again_when_it_has_grown_old() {
        let now = Env::system().now();
        let mut refresh = Refresh::new(AGE, now);
        assert!(refresh.begin(now));
        refresh.succeeded(now, now, 0.0);
        assert!(!refresh.begin(now + Duration::from_secs(59)));
        let old = now + AGE;
        assert_eq!(refresh.due(), Some(old));
        assert!(refresh.begin(old));
        assert_eq!(refresh.due(), None);
        refresh.failed(old, Duration::from_secs(1));
        assert_eq!(refresh.due(), Some(old + Duration::from_secs(1)));
        assert!(!refresh.begin(old));
    }

    #[test]
    fn refreshes_are_spread_and_a_fresh_map_is_never_older_than_its_age() {
        let now = Env::system().now();
        for random in [0.0, 0.3, 1.0] {
            let mut refresh = Refresh::new(AGE, now);
            assert!(refresh.begin(now));
            refresh.succeeded(now, now, random);
            let due = refresh.due().unwrap();
            assert!((now + AGE.mul_f64(0.75)..=now + AGE).contains(&due));
            assert_eq!(refresh.fresh_until(), Some(now + AGE));
            assert!(refresh.begin(now + AGE));
            assert_eq!(refresh.fresh_until(), None);
        }
    }
}
