//! A model of the protocol: several processes, one lease, everything that can go wrong.
//!
//! The processes use the very functions that workers use ([`LeaseState`] over `next` and `judge`) on
//! the very store. Requests are lost, answers are lost, requests arrive late, are repeated by the
//! SDK, rows are read long before they are acted on, processes freeze and are started again under
//! the same name. Checked at every single write:
//!
//! - the checkpoint never decreases, and only the incarnation that claimed the lease changes it;
//! - at most one holder could write next;
//! - a holder from which the lease was not taken never loses it, whatever answers were lost;
//! - what `LATEST` means does not change once it is written down;
//! - if no worker steals, no two holders rely on the lease at the same time.
//!
//! That the model can find faults is shown by planting some.

use std::cell::Cell;
use std::collections::VecDeque;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shardwise_env::{Env, Instant};

use crate::leases::decide::{Answer, Change, Intent, Verdict, Write, judge, next};
use crate::leases::end::LeaseEnd;
use crate::leases::lease::{Checkpoint, Identity, Lease};
use crate::leases::memory::MemoryLeaseStore;
use crate::leases::observe::Observations;
use crate::leases::state::{Claim, LeaseError, LeaseState, Step as Progress, Timing};

use super::support::{FAILOVER, at, epoch, identity, key, shard, shards};

/// What one process does next, or what happens to it.
#[derive(Debug, Clone)]
enum Step {
    Look,
    /// Take the lease, given the last look: if it is free or expired, or in any case.
    Take(Fate),
    Steal(Fate),
    Renew(Fate),
    Checkpoint(u64, Fate),
    End(Fate),
    Release(Fate),
    /// A new process under the same name.
    Restart,
    /// Time passes, in tenths of the failover time.
    Wait(u32),
    /// The oldest request that is under way arrives.
    Arrive,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    /// It is carried out, then carried out again, since its answer was lost; the second is answered.
    Repeated,
    AnswerLost,
    Lost,
    /// It arrives later, and its answer is lost.
    Late,
}

/// A fault of the store, to see that the model finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plant {
    Nothing,
    /// Writes are not conditional.
    NoCondition,
    /// Writes are conditional on the owner's name only.
    OwnerOnly,
    /// Taking a lease does not move the counter.
    TakeWithoutCounter,
    /// Processes of one name have one incarnation: nothing tells them apart.
    NoIncarnation,
    /// A holder that finds its own earlier write adopts the counter and not the checkpoint, and
    /// does not remember what it tried to write: as the KCL does.
    AdoptsCounterOnly,
}

impl Plant {
    const ALL: [Self; 5] = [
        Self::NoCondition,
        Self::OwnerOnly,
        Self::TakeWithoutCounter,
        Self::NoIncarnation,
        Self::AdoptsCounterOnly,
    ];
}

/// What the scripts brought about, so that a model that checks nothing does not pass for a good one.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    takes: u32,
    steals: u32,
    adoptions: u32,
    losses: u32,
    doubles: u32,
    below_floor: u32,
    expired: u32,
    late: u32,
    ends: u32,
}

struct Process {
    identity: Identity,
    holder: Option<LeaseState>,
    snapshot: Option<Lease>,
    seen: Observations,
}

struct World {
    plant: Plant,
    store: MemoryLeaseStore,
    processes: Vec<Process>,
    late: VecDeque<(Identity, Write)>,
    now: Instant,
    incarnations: u32,
    stolen: bool,
    tally: Tally,
}

const TIMING: Timing = Timing { failover: FAILOVER };

type Check = Result<(), TestCaseError>;

impl World {
    fn new(names: &[&str], plant: Plant, checkpoint: Checkpoint) -> Self {
        let store = MemoryLeaseStore::new();
        store.apply(&Write::Create(Box::new(Lease::new(shard(0), checkpoint))));
        let mut world = Self {
            plant,
            store,
            processes: Vec::new(),
            late: VecDeque::new(),
            now: Env::system().now(),
            incarnations: 0,
            stolen: false,
            tally: Tally::default(),
        };
        for name in names {
            let identity = world.fresh(name);
            world.processes.push(Process {
                identity,
                holder: None,
                snapshot: None,
                seen: every_gap_counts(),
            });
        }
        world
    }

    fn fresh(&mut self, name: &str) -> Identity {
        self.incarnations += 1;
        match self.plant {
            Plant::NoIncarnation => identity(name, "7"),
            _ => identity(name, &self.incarnations.to_string()),
        }
    }

    fn row(&self) -> Lease {
        self.store.row(&key(0)).unwrap()
    }

    fn step(&mut self, who: usize, step: &Step) -> Check {
        match step {
            Step::Look => self.look(who)?,
            Step::Take(fate) => self.take(who, *fate, false)?,
            Step::Steal(fate) => self.take(who, *fate, true)?,
            Step::Renew(fate) => self.perform(who, &Intent::Renew, *fate)?,
            Step::Checkpoint(number, fate) => {
                self.perform(who, &Intent::Checkpoint(at(*number)), *fate)?;
            }
            Step::End(fate) => {
                let children = shards([1, 2]);
                self.perform(who, &Intent::End { children }, *fate)?;
            }
            Step::Release(fate) => self.perform(who, &Intent::Release, *fate)?,
            Step::Restart => {
                let name = self.processes[who].identity.worker_id.to_string();
                let identity = self.fresh(&name);
                self.processes[who] = Process {
                    identity,
                    holder: None,
                    snapshot: None,
                    seen: every_gap_counts(),
                };
            }
            Step::Wait(tenths) => self.now += FAILOVER / 10 * *tenths,
            Step::Arrive => {
                if let Some((from, write)) = self.late.pop_front() {
                    self.tally.late += 1;
                    self.carry_out(&from, &write)?;
                }
            }
        }
        self.check_holders()
    }

    fn look(&mut self, who: usize) -> Check {
        let row = self.row();
        let process = &mut self.processes[who];
        let rows = std::slice::from_ref(&row);
        // A namesake is reported, and the worker stops; here it goes on, as the worst case.
        let _ = process
            .seen
            .observe(&process.identity, rows, self.now, self.now);
        // A look may show an old row, and an old row may come after a new one.
        let old = process.snapshot.replace(row.clone());
        if let Some(holder) = &mut process.holder {
            for shown in old.iter().chain([&row]) {
                holder.seen(shown);
            }
            if let Some(loss) = holder.end() {
                prop_assert!(
                    !row.is_claimed_by(&process.identity),
                    "{:?} gave up {:?}",
                    loss,
                    row
                );
                process.holder = None;
            }
        }
        Ok(())
    }

    fn take(&mut self, who: usize, fate: Fate, steal: bool) -> Check {
        let process = &self.processes[who];
        let (None, Some(seen)) = (&process.holder, &process.snapshot) else {
            return Ok(());
        };
        // Free, expired, or the process's by a claim whose answer was lost.
        let free =
            process.seen.is_available(seen, FAILOVER) || seen.is_claimed_by(&process.identity);
        if seen.is_ended() || !(steal || free) {
            return Ok(());
        }
        self.stolen |= !free;
        self.tally.steals += u32::from(!free);
        let (identity, mut seen) = (process.identity.clone(), seen.clone());
        let started_at = epoch(u64::from(self.incarnations));
        let intent = Intent::Take { started_at };
        for _ in 0..3 {
            let write = next(&seen, &identity, &intent);
            let Some(answer) = self.send(&identity, &write, fate)? else {
                return Ok(());
            };
            match judge(&seen, &identity, &intent, answer) {
                Verdict::Done(row) => {
                    let holder = LeaseState::new(identity, TIMING, self.claim(*row));
                    self.tally.takes += 1;
                    self.processes[who].holder = Some(holder);
                    return Ok(());
                }
                Verdict::Again(row) => seen = *row,
                Verdict::Lost(_) => return Ok(()),
                Verdict::AlreadyDone(row) => {
                    return Err(TestCaseError::fail(format!("no time for {row:?}")));
                }
            }
        }
        // All answers to first tries were lost: the next look finds the lease.
        Ok(())
    }

    fn perform(&mut self, who: usize, intent: &Intent, fate: Fate) -> Check {
        let Some(mut holder) = self.processes[who].holder.take() else {
            return Ok(());
        };
        let identity = self.processes[who].identity.clone();
        for _ in 0..3 {
            if self.round(&identity, &mut holder, intent, fate)? == Progress::Done {
                break;
            }
        }
        let row = self.row();
        match holder.end() {
            None => self.processes[who].holder = Some(holder),
            Some(loss) => {
                self.tally.losses += 1;
                self.tally.doubles += u32::from(matches!(loss, LeaseEnd::TakenByNamesake(_)));
                prop_assert!(
                    !row.is_claimed_by(&identity),
                    "{:?} gave up {:?}: {}",
                    identity,
                    row,
                    loss
                );
            }
        }
        Ok(())
    }

    /// One write of a holder; done, too, if nothing is to be done or no answer comes.
    fn round(
        &mut self,
        identity: &Identity,
        holder: &mut LeaseState,
        intent: &Intent,
        fate: Fate,
    ) -> Result<Progress, TestCaseError> {
        let begun = holder.begin(intent.clone(), self.now);
        self.tally.below_floor += u32::from(is_below_floor(intent, holder.row(), &begun));
        let write = match begun {
            Ok(Some(write)) => write,
            Ok(None) => return Ok(Progress::Done),
            Err(error) => {
                self.tally.expired += u32::from(matches!(error, LeaseError::Expired));
                return Ok(Progress::Done);
            }
        };
        let Some(answer) = self.send(identity, &write, fate)? else {
            return Ok(Progress::Done);
        };
        let before = holder.row().clone();
        let is_refused = matches!(answer, Answer::Refused(_));
        let Ok(progress) = holder.settle(answer) else {
            return Ok(Progress::Done); // lost
        };
        self.tally.adoptions += u32::from(is_refused);
        self.tally.ends += u32::from(holder.row().is_ended());
        if is_refused && self.plant == Plant::AdoptsCounterOnly {
            let counter = holder.row().counter;
            let claim = self.claim(Lease { counter, ..before });
            *holder = LeaseState::new(identity.clone(), TIMING, claim);
        }
        Ok(progress)
    }

    /// The answer, if the sender gets one.
    fn send(
        &mut self,
        from: &Identity,
        write: &Write,
        fate: Fate,
    ) -> Result<Option<Answer>, TestCaseError> {
        match fate {
            Fate::Answered => self.carry_out(from, write).map(Some),
            Fate::Repeated => {
                self.carry_out(from, write)?;
                self.carry_out(from, write).map(Some)
            }
            Fate::AnswerLost => self.carry_out(from, write).map(|_| None),
            Fate::Lost => Ok(None),
            Fate::Late => {
                self.late.push_back((from.clone(), write.clone()));
                Ok(None)
            }
        }
    }

    fn carry_out(&mut self, from: &Identity, write: &Write) -> Result<Answer, TestCaseError> {
        let before = self.row();
        let answer = self.store.apply(&self.planted(write, &before));
        let after = self.row();
        prop_assert!(
            before.checkpoint <= after.checkpoint,
            "the checkpoint went back: {before:?} became {after:?}"
        );
        if before.checkpoint != after.checkpoint {
            prop_assert!(
                before.is_claimed_by(from),
                "{from:?} changed the checkpoint of {before:?}"
            );
        }
        if before.checkpoint == Checkpoint::Latest
            && after.checkpoint == Checkpoint::Latest
            && before.started_at.is_some()
        {
            prop_assert_eq!(before.started_at, after.started_at);
        }
        Ok(answer)
    }

    /// The write as a faulty store understands it.
    fn planted(&self, write: &Write, row: &Lease) -> Write {
        let mut planted = write.clone();
        if let Write::Update {
            counter, changes, ..
        } = &mut planted
        {
            let claims = changes.iter().find_map(|change| match change {
                Change::Owner(owner) => Some(owner.is_some()),
                _ => None,
            });
            match self.plant {
                Plant::Nothing | Plant::NoIncarnation | Plant::AdoptsCounterOnly => {}
                Plant::NoCondition => *counter = row.counter,
                Plant::OwnerOnly if claims.is_none() => *counter = row.counter,
                Plant::OwnerOnly => {}
                Plant::TakeWithoutCounter if claims == Some(true) => {
                    // As if it had been one less before, so that nothing seems to have happened.
                    if *counter == row.counter && row.counter > 0 {
                        let mut less = row.clone();
                        less.counter -= 1;
                        self.store.replace(less);
                        *counter -= 1;
                    }
                }
                Plant::TakeWithoutCounter => {}
            }
        }
        planted
    }

    fn claim(&self, row: Lease) -> Claim {
        Claim {
            row,
            sent: self.now,
        }
    }

    fn check_holders(&self) -> Check {
        let row = self.row();
        let holders = || {
            self.processes
                .iter()
                .filter_map(|process| process.holder.as_ref())
        };
        // Whoever's view is the row's can write next.
        let writers = holders().filter(|holder| holder.row().counter == row.counter);
        prop_assert!(writers.count() <= 1, "two holders can write to {row:?}");
        if !self.stolen {
            let valid = holders().filter(|holder| holder.is_valid(self.now));
            prop_assert!(valid.count() <= 1, "two holders rely on {row:?}");
        }
        Ok(())
    }
}

/// Whether a checkpoint was asked for below what is or may be written: it is not what is written now.
fn is_below_floor(intent: &Intent, row: &Lease, begun: &Result<Option<Write>, LeaseError>) -> bool {
    let Intent::Checkpoint(wanted) = intent else {
        return false;
    };
    match begun {
        Ok(Some(Write::Update { changes, .. })) => {
            !changes.contains(&Change::Checkpoint(wanted.clone()))
        }
        Ok(_) => *wanted < row.checkpoint,
        Err(_) => false,
    }
}

/// Here a process that looks after any wait may believe that the owner was silent all the while: the
/// worst case, which only the writes' conditions make safe.
fn every_gap_counts() -> Observations {
    Observations::new(FAILOVER * 1000)
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Answered),
        1 => Just(Fate::Repeated),
        1 => Just(Fate::AnswerLost),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Late),
    ]
}

fn steps(steal: bool) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Look),
        3 => fates().prop_map(Step::Take),
        2 => fates().prop_map(move |fate| match steal {
            true => Step::Steal(fate),
            false => Step::Take(fate),
        }),
        3 => fates().prop_map(Step::Renew),
        5 => (1..9_u64, fates()).prop_map(|(number, fate)| Step::Checkpoint(number, fate)),
        1 => fates().prop_map(Step::End),
        1 => fates().prop_map(Step::Release),
        1 => Just(Step::Restart),
        4 => (1..6_u32).prop_map(Step::Wait),
        2 => Just(Step::Arrive),
    ]
}

/// Runs the model: what it did, or the first fault that it found.
fn explore(names: &'static [&'static str], steal: bool, plant: Plant) -> Result<Tally, String> {
    let config = Config {
        cases: 4_000,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..Config::default()
    };
    let start = prop_oneof![Just(Checkpoint::Latest), Just(Checkpoint::TrimHorizon)];
    let script = proptest::collection::vec((0..names.len(), steps(steal)), 1..120);
    let total = Cell::new(Tally::default());
    TestRunner::new(config)
        .run(&(start, script), |(start, script)| {
            let mut world = World::new(names, plant, start);
            world.tally = total.get();
            for (who, step) in &script {
                world.step(*who, step)?;
            }
            total.set(world.tally);
            Ok(())
        })
        .map_err(|error| error.to_string())?;
    Ok(total.get())
}

#[test]
fn the_protocol_holds_for_two_workers_that_steal() {
    explore(&["a", "b"], true, Plant::Nothing).unwrap();
}

#[test]
fn the_protocol_holds_for_three_workers_of_which_two_have_one_name() {
    let tally = explore(&["a", "a", "b"], true, Plant::Nothing).unwrap();
    let Tally {
        takes,
        steals,
        adoptions,
        losses,
        doubles,
        below_floor,
        expired,
        late,
        ends,
    } = tally;
    for count in [
        takes,
        steals,
        adoptions,
        losses,
        doubles,
        below_floor,
        expired,
        late,
        ends,
    ] {
        assert!(count > 50, "{tally:?}");
    }
}

/// Rule 4: without steals, and with any delays, no two holders rely on a lease at once.
#[test]
fn a_lease_has_one_valid_holder_at_any_time() {
    explore(&["a", "b", "a"], false, Plant::Nothing).unwrap();
}

#[test]
fn the_model_finds_planted_faults() {
    for plant in Plant::ALL {
        let found = explore(&["a", "a", "b"], true, plant);
        assert!(found.is_err(), "{plant:?} was not found");
    }
}
