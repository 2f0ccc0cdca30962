//! The fault rules in force: which of them strikes a request.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use shardwise_env::{Env, lock};

use crate::fault::{EntryFaults, Fault};
use crate::operation::{Api, Operation};

/// How many rules are remembered, for those who ask how often each struck, after they were used
/// up.
const MAX_SPENT: usize = 256;

#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Whole(Fault),
    Entries(Arc<EntryFaults>),
}

/// A rule: the requests that it is for, and what happens to them. What it leaves open fits all.
#[derive(Debug, Clone)]
pub(crate) struct ActiveRule {
    /// Given when the rule is added.
    pub(crate) id: u64,
    pub(crate) api: Option<Api>,
    pub(crate) operation: Option<Operation>,
    /// The stream or table, by name.
    pub(crate) resource: Option<String>,
    /// The shard, by its number.
    pub(crate) shard: Option<u32>,
    /// The access key id.
    pub(crate) caller: Option<String>,
    pub(crate) rate: Option<f64>,
    pub(crate) left: Option<u64>,
    /// The rule holds from this time of the mock's on.
    pub(crate) from: Duration,
    /// The rule holds for that long; without an end if it is not given.
    pub(crate) lasts: Option<Duration>,
    pub(crate) effect: Effect,
    pub(crate) struck: Arc<AtomicU64>,
}

/// A request, as rules see it.
pub(crate) struct Subject<'r> {
    pub(crate) operation: Operation,
    pub(crate) caller: &'r str,
    pub(crate) uptime: Duration,
    /// Whether it is about the stream or table of that name.
    pub(crate) names: &'r dyn Fn(&str) -> bool,
    /// Whether it is about the shard of that number.
    pub(crate) touches: &'r dyn Fn(u32) -> bool,
}

impl ActiveRule {
    /// A rule for every request, from that time on.
    pub(crate) fn new(effect: Effect, from: Duration) -> Self {
        Self {
            id: 0,
            api: None,
            operation: None,
            resource: None,
            shard: None,
            caller: None,
            rate: None,
            left: None,
            from,
            lasts: None,
            effect,
            struck: Arc::default(),
        }
    }

    /// Whether the rule is for this request, whatever the dice say.
    fn is_for(&self, request: &Subject<'_>) -> bool {
        let operation = request.operation;
        self.operation.is_none_or(|wanted| wanted == operation)
            && self.api.is_none_or(|wanted| wanted == operation.api())
            && self.holds_at(request.uptime)
            && self
                .caller
                .as_deref()
                .is_none_or(|wanted| wanted == request.caller)
            && self.resource.as_deref().is_none_or(request.names)
            && self.shard.is_none_or(request.touches)
    }

    fn holds_at(&self, uptime: Duration) -> bool {
        uptime
            .checked_sub(self.from)
            .is_some_and(|since| self.lasts.is_none_or(|lasts| since < lasts))
    }
}

/// A completed rule; [`Rule::reply`](crate::Rule::reply) and [`Mock::add_faults`](crate::Mock::add_faults) give it. Dropping it changes nothing.
#[derive(Debug, Clone)]
pub struct RuleHandle {
    pub(crate) struck: Arc<AtomicU64>,
}

impl RuleHandle {
    /// How many requests the rule has struck.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.struck.load(Ordering::Relaxed)
    }
}

/// The rules in force.
pub(crate) struct FaultRules {
    /// Whether there are rules at all: without them no request takes the lock.
    any_rules: AtomicBool,
    rules: Mutex<Rules>,
    /// What rules with a rate draw from.
    dice: Env,
}

#[derive(Debug, Default)]
struct Rules {
    /// In the order in which they were made.
    active: Vec<ActiveRule>,
    /// Those that were used up, the latest last.
    spent: VecDeque<ActiveRule>,
    last_id: u64,
}

impl FaultRules {
    pub(crate) fn new(dice: Env) -> Self {
        Self {
            any_rules: AtomicBool::new(false),
            rules: Mutex::default(),
            dice,
        }
    }

    /// What happens to this request, by the oldest rule that is for it and strikes it; uses the
    /// rule up.
    pub(crate) fn apply(&self, request: &Subject<'_>) -> Option<Effect> {
        if !self.any_rules.load(Ordering::Acquire) {
            return None;
        }
        let mut rules = self.rules();
        let index = rules.active.iter().position(|rule| {
            rule.is_for(request) && rule.rate.is_none_or(|rate| self.dice.random_f64() < rate)
        })?;
        let rule = rules.active.get_mut(index)?;
        rule.struck.fetch_add(1, Ordering::Relaxed);
        let effect = rule.effect.clone();
        if let Some(left) = &mut rule.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                let spent = rules.active.remove(index);
                if rules.spent.len() == MAX_SPENT {
                    rules.spent.pop_front();
                }
                rules.spent.push_back(spent);
                self.note_whether_any(&rules);
            }
        }
        Some(effect)
    }

    /// Drops every rule, those that were used up included.
    pub(crate) fn clear(&self) {
        let mut rules = self.rules();
        rules.active.clear();
        rules.spent.clear();
        self.note_whether_any(&rules);
    }

    /// Adds a rule behind those there are, and tells its id.
    pub(crate) fn add(&self, rule: ActiveRule) -> u64 {
        let mut rules = self.rules();
        rules.last_id += 1;
        let id = rules.last_id;
        rules.active.push(ActiveRule { id, ..rule });
        self.note_whether_any(&rules);
        id
    }

    /// Drops the rule with that id; tells whether there was one.
    pub(crate) fn remove(&self, id: u64) -> bool {
        let mut rules = self.rules();
        let before = rules.active.len() + rules.spent.len();
        rules.active.retain(|rule| rule.id != id);
        rules.spent.retain(|rule| rule.id != id);
        self.note_whether_any(&rules);
        rules.active.len() + rules.spent.len() < before
    }

    /// Every rule in the order in which they were made, those that were used up included.
    pub(crate) fn all_rules(&self) -> Vec<ActiveRule> {
        let rules = self.rules();
        let mut all: Vec<_> = rules.spent.iter().chain(&rules.active).cloned().collect();
        all.sort_by_key(|rule| rule.id);
        all
    }

    fn note_whether_any(&self, rules: &Rules) {
        self.any_rules
            .store(!rules.active.is_empty(), Ordering::Release);
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        lock(&self.rules)
    }
}

impl fmt::Debug for FaultRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultRules")
            .field("rules", &*self.rules())
            .finish_non_exhaustive()
    }
}
