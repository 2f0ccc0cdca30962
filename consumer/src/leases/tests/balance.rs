//! Who takes what, by example and with simulated fleets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use shardwise_env::{Env, Instant};
use shardwise_types::WorkerId;

use crate::leases::balance::{Move, View, moves};
use crate::leases::decide::{Intent, Write, next};
use crate::leases::key::LeaseKey;
use crate::leases::lease::{Checkpoint, Identity, Lease};
use crate::leases::observe::Observations;

use super::support::{FAILOVER, claimed, epoch, free, identity, key, shards};

/// What one worker knows.
struct Worker {
    identity: Identity,
    leases: Vec<Lease>,
    seen: Observations,
    held: BTreeSet<LeaseKey>,
    avoid: BTreeSet<LeaseKey>,
    max_leases: usize,
}

impl Worker {
    /// Everything is seen for the first time.
    fn new(leases: Vec<Lease>) -> Self {
        let mut view = Self {
            identity: identity("a", "1"),
            leases,
            seen: Observations::new(FAILOVER),
            held: BTreeSet::new(),
            avoid: BTreeSet::new(),
            max_leases: usize::MAX,
        };
        view.look(Env::system().now());
        view
    }

    fn look(&mut self, now: Instant) {
        self.seen
            .observe(&self.identity, &self.leases, now, now)
            .unwrap();
    }

    /// The same leases once more, this many failover times (and a little) later.
    fn later(mut self, failovers: u32) -> Self {
        let mut now = Env::system().now();
        for _ in 0..failovers * 4 {
            now += FAILOVER / 4;
            self.look(now);
        }
        self.look(now + FAILOVER / 10);
        self
    }

    fn view(&self) -> View<'_> {
        View {
            identity: &self.identity,
            leases: &self.leases,
            seen: &self.seen,
            held: &self.held,
            avoid: &self.avoid,
            failover: FAILOVER,
            max_leases: self.max_leases,
        }
    }

    fn takes(&self) -> Vec<LeaseKey> {
        let moves = moves(&self.view(), lottery(7));
        moves
            .into_iter()
            .map(|Move::Take(lease)| lease.key)
            .collect()
    }
}

/// A small generator, for a test's own sake (Knuth's constants).
fn lottery(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |bound| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound.max(1)
    }
}

fn of(worker: &str, numbers: impl IntoIterator<Item = u32>) -> Vec<Lease> {
    let owner = identity(worker, "9");
    numbers
        .into_iter()
        .map(|number| claimed(number, &owner, 3))
        .collect()
}

#[test]
fn a_lone_worker_takes_all_that_is_free() {
    let view = Worker::new((0..5).map(free).collect());
    assert_eq!(view.takes().len(), 5);
}

#[test]
fn a_worker_takes_its_share_of_what_is_free() {
    let mut leases = of("b", 0..2);
    leases.extend((2..6).map(free));
    assert_eq!(Worker::new(leases).takes().len(), 3);
}

#[test]
fn nothing_is_expired_at_first_sight_and_the_silent_are_later() {
    // One each is balance: nothing is stolen.
    let mut view = Worker::new(of("b", 0..2));
    view.max_leases = 1;
    view.held.insert(key(9));
    view.leases.push(claimed(9, &view.identity, 1));
    assert!(view.takes().is_empty());

    let dead = Worker::new(of("b", 0..3)).later(1);
    assert_eq!(dead.takes().len(), 3, "all of a silent worker's leases");
}

#[test]
fn one_lease_is_stolen_from_the_most_loaded() {
    let mut leases = of("b", 0..6);
    leases.extend(of("c", 6..8));
    let view = Worker::new(leases);
    let takes = view.takes();
    assert_eq!(takes.len(), 1);
    assert!(takes[0].shard_id().number().unwrap() < 6, "one of b's");
}

/// The parents of a merge are 0, which no worker reads, and one that has ended here.
#[test]
fn a_full_worker_reads_what_the_shard_waits_for_that_it_holds() {
    let mut child = claimed(2, &identity("a", "1"), 1);
    child.parents = shards([0, 1]);
    let mut full = Worker::new(vec![free(0), child.clone()]);
    full.max_leases = 1;
    full.held.insert(key(2));
    assert_eq!(full.takes(), [], "another worker may take it");
    let mut full = full.later(3);
    assert_eq!(full.takes(), [key(0)]);
    // With a lease besides that can be read there is no place.
    full.leases.push(claimed(3, &full.identity, 1));
    full.held.insert(key(3));
    assert_eq!(full.takes(), []);
}

#[test]
fn what_can_be_read_is_taken_before_what_waits_for_it() {
    let waiting = (1..9).map(|number| {
        let mut lease = free(number);
        lease.parents = shards([0]);
        lease
    });
    let mut view = Worker::new([free(0)].into_iter().chain(waiting).collect());
    view.max_leases = 1;
    assert_eq!(view.takes(), [key(0)]);
}

#[test]
fn nothing_is_stolen_while_something_is_free() {
    let mut leases = of("b", 0..6);
    leases.push(free(6));
    let view = Worker::new(leases);
    assert_eq!(view.takes(), [key(6)]);
}

#[test]
fn a_worker_that_lacks_two_takes_one_from_a_worker_with_its_share() {
    let mut leases = of("b", 0..2);
    leases.extend(of("c", 2..4));
    assert_eq!(Worker::new(leases).takes().len(), 1);
}

#[test]
fn nothing_moves_in_balance() {
    for (b, c, own) in [(2, 2, 2), (2, 2, 1), (2, 1, 1), (1, 1, 0), (3, 3, 2)] {
        let mut leases = of("b", 0..b);
        leases.extend(of("c", 10..10 + c));
        let identity = identity("a", "1");
        leases.extend((20..20 + own).map(|number| claimed(number, &identity, 3)));
        let mut view = Worker::new(leases);
        view.held = (20..20 + own).map(key).collect();
        assert!(view.takes().is_empty(), "{b} {c} {own}");
    }
}

#[test]
fn finished_shards_count_for_nothing() {
    let mut leases = of("b", 0..4);
    for lease in &mut leases {
        lease.checkpoint = Checkpoint::ShardEnd;
    }
    leases.push(free(4));
    let view = Worker::new(leases).later(5);
    assert_eq!(view.takes(), [key(4)]);
}

#[test]
fn the_cap_holds_for_what_is_free_overdue_and_stolen() {
    for (leases, later) in [
        ((0..5).map(free).collect(), 0),
        (of("b", 0..5), 5),
        (of("b", 0..5), 0),
    ] {
        let mut view = Worker::new(leases).later(later);
        view.max_leases = 1;
        assert_eq!(view.takes().len(), 1);
        view.held.insert(key(9));
        view.leases.push(claimed(9, &view.identity, 1));
        assert!(view.takes().is_empty());
    }
}

#[test]
fn what_is_overdue_is_taken_beyond_the_share() {
    let leases = || {
        let mut leases = of("b", 0..4);
        leases.extend((4..8).map(free));
        leases
    };
    let at_share = |view: &mut Worker| {
        view.leases
            .extend((10..18).map(|number| claimed(number, &identity("a", "1"), 3)));
        view.held = (10..18).map(key).collect();
    };
    let mut view = Worker::new(leases());
    at_share(&mut view);
    assert!(view.takes().is_empty(), "free, but for others to take");
    let mut view = Worker::new(leases());
    let mut now = Env::system().now();
    for round in 1..=16 {
        now += FAILOVER / 4;
        // b lives.
        for lease in &mut view.leases[0..4] {
            lease.counter += round;
        }
        view.look(now);
    }
    at_share(&mut view);
    assert_eq!(view.takes().len(), 4);
}

/// After an outage of the table the first worker that looks does not take the whole fleet's leases.
#[test]
fn nothing_is_overdue_from_a_gap_between_two_looks_alone() {
    let mut leases = of("b", 0..4);
    leases.extend(of("c", 4..8));
    leases.extend(of("a", 8..12));
    let mut view = Worker::new(leases);
    view.held = (8..12).map(key).collect();
    let now = Env::system().now();
    for (passed, is_renewed) in [(3_600, false), (3_602, true), (7_200, false)] {
        if is_renewed {
            view.leases.iter_mut().for_each(|lease| lease.counter += 1);
        }
        view.look(now + Duration::from_secs(passed));
        assert!(view.takes().is_empty(), "after {passed} s");
    }
}

#[test]
fn a_claim_whose_answer_was_lost_is_taken_at_once() {
    let leases = vec![
        claimed(0, &identity("a", "1"), 3),
        claimed(1, &identity("b", "1"), 3),
    ];
    let mut view = Worker::new(leases);
    assert_eq!(view.takes(), [key(0)]);
    view.held.insert(key(0));
    assert!(view.takes().is_empty());
}

#[test]
fn a_predecessors_leases_are_taken_once_expired_and_none_is_stolen() {
    let leases = || {
        let mut leases = of("b", 0..4);
        leases.extend((4..8).map(|number| claimed(number, &identity("a", "of the dead"), 3)));
        leases
    };
    assert!(Worker::new(leases()).takes().is_empty());
    let mut view = Worker::new(leases());
    for lease in &mut view.leases[0..4] {
        lease.counter += 1;
    }
    let view = view.later(1);
    assert_eq!(view.takes().len(), 4);
    assert!(
        view.takes()
            .iter()
            .all(|key| key.shard_id().number() >= Some(4))
    );
}

#[test]
fn what_is_to_be_avoided_is_not_taken() {
    let mut view = Worker::new((0..3).map(free).collect());
    view.avoid = [key(0), key(1)].into();
    assert_eq!(view.takes(), [key(2)]);
}

#[test]
fn a_lease_in_the_middle_of_a_handover_is_not_stolen() {
    let mut leases = of("b", 0..4);
    for lease in &mut leases {
        lease.checkpoint_owner = lease.owner.replace("c".parse().unwrap());
    }
    assert!(Worker::new(leases).takes().is_empty());
}

/// A fleet over one table: each worker looks, decides and takes in its turn.
struct Fleet {
    table: BTreeMap<LeaseKey, Lease>,
    workers: Vec<Worker>,
    now: Instant,
    random: Box<dyn FnMut(u64) -> u64>,
    moves: usize,
}

impl Fleet {
    fn new(leases: u32, workers: usize, seed: u64) -> Self {
        let mut fleet = Self {
            table: (0..leases).map(|n| (key(n), free(n))).collect(),
            workers: Vec::new(),
            now: Env::system().now(),
            random: Box::new(lottery(seed)),
            moves: 0,
        };
        for number in 0..workers {
            fleet.join(number);
        }
        fleet
    }

    fn join(&mut self, number: usize) {
        let mut view = Worker::new(Vec::new());
        view.identity = identity(&format!("w{number}"), &format!("{}", number + 1));
        self.workers.push(view);
    }

    /// All workers renew; then all decide, from one and the same table or, in turn, each from what
    /// the one before has left.
    fn round(&mut self, at_once: bool) {
        self.now += FAILOVER / 4;
        for worker in &self.workers {
            for lease in self.table.values_mut() {
                if lease.is_claimed_by(&worker.identity) {
                    lease.counter += 1;
                }
            }
        }
        let snapshot: Vec<Lease> = self.table.values().cloned().collect();
        for index in 0..self.workers.len() {
            let view = &mut self.workers[index];
            view.leases = match at_once {
                true => snapshot.clone(),
                false => self.table.values().cloned().collect(),
            };
            view.held = self
                .table
                .values()
                .filter(|lease| lease.is_claimed_by(&view.identity))
                .map(|lease| lease.key.clone())
                .collect();
            view.look(self.now);
            for Move::Take(seen) in moves(&view.view(), &mut self.random) {
                let started_at = epoch(0);
                let write = next(&seen, &view.identity, &Intent::Take { started_at });
                let row = self.table.get_mut(&seen.key).unwrap();
                let Write::Update {
                    counter, changes, ..
                } = write
                else {
                    panic!("a take is an update");
                };
                if row.counter == counter {
                    row.counter += 1;
                    changes.iter().for_each(|change| change.apply(row));
                    self.moves += 1;
                }
            }
        }
    }

    fn loads(&self) -> Vec<usize> {
        let load = |view: &Worker| {
            let mine = |lease: &&Lease| lease.is_claimed_by(&view.identity);
            self.table.values().filter(mine).count()
        };
        self.workers.iter().map(load).collect()
    }

    fn owners(&self) -> BTreeSet<&WorkerId> {
        self.table
            .values()
            .filter_map(|lease| lease.owner.as_ref())
            .collect()
    }

    fn is_balanced(&self) -> bool {
        let loads = self.loads();
        let spread = loads.iter().max().unwrap() - loads.iter().min().unwrap();
        spread <= 1 && loads.iter().sum::<usize>() == self.table.len()
    }

    fn settle(&mut self, at_once: bool) {
        for _ in 0..200 {
            if self.is_balanced() {
                break;
            }
            self.round(at_once);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Property 8: balance is reached, whether the workers decide in turn or all at once; then
    /// nothing moves; the dead get nothing, and their leases go to the living.
    #[test]
    fn a_fleet_comes_to_balance_and_stays_there(
        leases in 1..40_u32,
        workers in 1..8_usize,
        joining in 0..3_usize,
        seed: u64,
        at_once: bool,
    ) {
        let mut fleet = Fleet::new(leases, workers, seed);
        fleet.settle(at_once);
        prop_assert!(fleet.is_balanced(), "{:?}", fleet.loads());

        for number in 0..joining {
            fleet.join(workers + number);
        }
        fleet.settle(at_once);
        prop_assert!(fleet.is_balanced(), "after a scale-out: {:?}", fleet.loads());
        let moves = fleet.moves;
        (0..8).for_each(|_| fleet.round(at_once));
        prop_assert_eq!(fleet.moves, moves, "something moved in balance");

        if fleet.workers.len() > 1 {
            let dead = fleet.workers.remove(0).identity.worker_id;
            // Five looks, a quarter of the failover time apart, to see that it is silent.
            (0..6).for_each(|_| fleet.round(at_once));
            // Those that decide at once may race for the same leases, and need a look or two more.
            let orphans = fleet.owners().contains(&dead);
            prop_assert!(at_once || !orphans, "not taken within 1.5 failover times");
            fleet.settle(at_once);
            prop_assert!(fleet.is_balanced(), "after a crash: {:?}", fleet.loads());
            prop_assert!(!fleet.owners().contains(&dead));
        }
    }
}
