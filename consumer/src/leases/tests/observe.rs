//! Expiry and doubles, seen from one worker.

use std::time::Duration;

use proptest::prelude::*;
use shardwise_env::{Env, Instant};

use crate::leases::lease::Lease;
use crate::leases::observe::{DuplicateWorkerId, Observations};

use super::support::{FAILOVER, claimed, free, identity, key};

const SECOND: Duration = Duration::from_secs(1);

/// A worker that looks at one lease.
struct Watcher {
    seen: Observations,
    lease: Lease,
    now: Instant,
}

impl Watcher {
    fn of(lease: Lease) -> Self {
        Self {
            seen: Observations::new(FAILOVER),
            lease,
            now: Env::system().now(),
        }
    }

    /// A look that takes a second, so long after the last one's answer.
    fn look(&mut self, after: Duration) -> Result<(), DuplicateWorkerId> {
        let asked = self.now + after;
        self.now = asked + SECOND;
        let leases = std::slice::from_ref(&self.lease);
        self.seen
            .observe(&identity("a", "1"), leases, asked, self.now)
    }

    /// Looks again and again for so long, and then as above.
    fn watch(&mut self, duration: Duration) -> Result<(), DuplicateWorkerId> {
        let end = self.now + duration;
        let leases = std::slice::from_ref(&self.lease);
        while end.saturating_duration_since(self.now) > FAILOVER / 4 {
            self.now += FAILOVER / 4;
            let identity = identity("a", "1");
            self.seen.observe(&identity, leases, self.now, self.now)?;
        }
        self.look(end.saturating_duration_since(self.now))
    }

    fn is_available(&self) -> bool {
        self.seen.is_available(&self.lease, FAILOVER)
    }
}

#[test]
fn an_owned_lease_is_not_free_at_first_sight_and_an_unowned_one_is() {
    let mut watcher = Watcher::of(claimed(0, &identity("b", "2"), 5));
    watcher.look(SECOND).unwrap();
    assert!(!watcher.is_available());
    let mut watcher = Watcher::of(free(0));
    watcher.look(SECOND).unwrap();
    assert!(watcher.is_available());
}

/// Counted from the end of the first look to the beginning of the last: whatever happened within
/// the looks themselves, the counter stood still for at least so long.
#[test]
fn a_lease_expires_when_its_counter_stood_still_for_the_failover_time() {
    let mut watcher = Watcher::of(claimed(0, &identity("b", "2"), 5));
    watcher.look(SECOND).unwrap();
    watcher.watch(FAILOVER).unwrap();
    assert!(!watcher.is_available(), "exactly the failover time");
    watcher.look(Duration::ZERO).unwrap();
    assert!(watcher.is_available());
    assert_eq!(watcher.seen.unchanged_for(&key(0)), FAILOVER + SECOND);
}

#[test]
fn without_another_look_nothing_expires() {
    let mut watcher = Watcher::of(claimed(0, &identity("b", "2"), 5));
    watcher.look(SECOND).unwrap();
    assert_eq!(watcher.seen.unchanged_for(&key(0)), Duration::ZERO);
    assert_eq!(
        watcher.seen.unchanged_for(&key(9)),
        Duration::ZERO,
        "never seen"
    );
}

/// The table was out of reach, or this host stood still. The owners renew as soon as they can, which
/// is before the look after the next.
#[test]
fn an_hour_without_a_look_is_no_silence_of_the_owners() {
    let mut watcher = Watcher::of(claimed(0, &identity("b", "2"), 5));
    watcher.look(SECOND).unwrap();
    // Its last renewal is a third of the failover time ago when the outage begins.
    watcher.watch(FAILOVER / 3).unwrap();
    watcher.look(Duration::from_secs(3600)).unwrap();
    assert!(!watcher.is_available());
    watcher.lease.counter = 6;
    watcher.look(FAILOVER / 4).unwrap();
    assert_eq!(watcher.seen.unchanged_for(&key(0)), Duration::ZERO);
    // An owner that is dead is found out all the same, by looking on.
    watcher.look(Duration::from_secs(3600)).unwrap();
    watcher.watch(FAILOVER).unwrap();
    assert!(watcher.is_available());
}

#[test]
fn any_other_counter_is_a_sign_of_life() {
    let mut watcher = Watcher::of(claimed(0, &identity("b", "2"), 5));
    // Lower: the row was made anew.
    for counter in [6, 7, 0] {
        watcher.lease.counter = counter;
        watcher.look(FAILOVER * 2).unwrap();
        assert!(!watcher.is_available(), "{counter}");
    }
}

#[test]
fn a_lease_that_was_gone_is_seen_for_the_first_time_again() {
    let mut watcher = Watcher::of(claimed(0, &identity("b", "2"), 5));
    watcher.look(SECOND).unwrap();
    watcher
        .seen
        .observe(&identity("a", "1"), &[], watcher.now, watcher.now)
        .unwrap();
    watcher.look(FAILOVER * 2).unwrap();
    assert!(!watcher.is_available());
}

#[test]
fn a_living_double_is_reported() {
    let mut watcher = Watcher::of(claimed(0, &identity("a", "another"), 5));
    watcher.look(SECOND).unwrap();
    watcher.lease.counter = 6;
    watcher.look(SECOND).unwrap();
    watcher.lease.counter = 7;
    let duplicate = watcher.look(SECOND).unwrap_err();
    assert_eq!(
        duplicate.to_string(),
        "another live process uses the worker id a: it renews the lease of shardId-000000000000"
    );
}

#[test]
fn a_dead_predecessor_is_no_double() {
    let mut watcher = Watcher::of(claimed(0, &identity("a", "the dead"), 5));
    watcher.look(SECOND).unwrap();
    // Its last request was under way, or the first look was at an old row; later looks may be, too.
    for counter in [6, 5, 6, 5, 6] {
        watcher.lease.counter = counter;
        watcher.look(SECOND).unwrap();
    }
    watcher.watch(FAILOVER).unwrap();
    watcher.look(SECOND).unwrap();
    assert!(watcher.is_available());
}

#[test]
fn neither_i_nor_others_are_my_doubles() {
    for other in [identity("a", "1"), identity("b", "2")] {
        let mut watcher = Watcher::of(claimed(0, &other, 5));
        for counter in 6..20 {
            watcher.lease.counter = counter;
            watcher.look(SECOND).unwrap();
        }
    }
}

#[test]
fn my_own_renewals_before_a_double_took_the_lease_do_not_count_for_it() {
    let mut watcher = Watcher::of(claimed(0, &identity("a", "1"), 5));
    for (counter, incarnation) in [(6, "1"), (7, "1"), (8, "another"), (9, "another")] {
        watcher.lease = claimed(0, &identity("a", incarnation), counter);
        watcher.look(SECOND).unwrap();
    }
    watcher.lease.counter = 10;
    watcher.look(SECOND).unwrap_err();
}

proptest! {
    /// However long the gaps are, silence is only what was looked at: no gap counts for more than a
    /// third of the failover time, and none for more than it was.
    #[test]
    fn no_gap_counts_for_more_than_a_third(gaps in prop::collection::vec(0_u64..7_200_000, 1..20)) {
        let mut watcher = Watcher::of(claimed(0, &identity("b", "2"), 5));
        watcher.look(SECOND).unwrap();
        let mut most = Duration::ZERO;
        for (index, gap) in gaps.into_iter().enumerate() {
            let gap = Duration::from_millis(gap);
            watcher.look(gap).unwrap();
            // A look takes a second, which lies between two questions.
            let looked = gap + if index > 0 { SECOND } else { Duration::ZERO };
            most += looked.min(FAILOVER / 3);
            prop_assert_eq!(watcher.seen.unchanged_for(&key(0)), most);
        }
    }
}
