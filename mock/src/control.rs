//! The fault rules in force, and how often each operation was called.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fault::Fault;
use crate::ids::Ids;
use crate::kinesis::EntryFaults;
use crate::operation::Operation;

#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Whole(Fault),
    Entries(Arc<EntryFaults>),
}

/// A rule: the requests that it is for, and what befalls them.
#[derive(Debug)]
pub(crate) struct ActiveRule {
    pub(crate) operation: Operation,
    /// The stream or table, by name.
    pub(crate) resource: Option<String>,
    /// The access key id.
    pub(crate) caller: Option<String>,
    pub(crate) rate: Option<f64>,
    pub(crate) left: Option<u64>,
    pub(crate) effect: Effect,
    pub(crate) struck: Arc<AtomicU64>,
}

impl ActiveRule {
    /// Whether the rule is for this request, whatever the dice say.
    fn is_for(&self, operation: Operation, caller: &str, names: impl Fn(&str) -> bool) -> bool {
        self.operation == operation
            && self.caller.as_deref().is_none_or(|wanted| wanted == caller)
            && self.resource.as_deref().is_none_or(names)
    }
}

/// The rules in force and the calls counted.
pub(crate) struct Control {
    counts: Box<[AtomicU64]>,
    /// Whether there are rules at all: without them no request takes the lock.
    any_rules: AtomicBool,
    rules: Mutex<Vec<ActiveRule>>,
    /// What rules with a rate draw from.
    dice: Ids,
}

impl Control {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            counts: Operation::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            any_rules: AtomicBool::new(false),
            rules: Mutex::default(),
            dice: Ids::new(seed),
        }
    }

    pub(crate) fn count(&self, operation: Operation) {
        self.counts[operation as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn calls(&self, operation: Operation) -> u64 {
        self.counts[operation as usize].load(Ordering::Relaxed)
    }

    /// What happens to this request, by the oldest rule that is for it and strikes it; uses the
    /// rule up. `names` tells whether the request is about the stream or table of that name.
    pub(crate) fn apply(
        &self,
        operation: Operation,
        caller: &str,
        names: impl Fn(&str) -> bool,
    ) -> Option<Effect> {
        if !self.any_rules.load(Ordering::Acquire) {
            return None;
        }
        let mut rules = self.rules();
        let index = rules.iter().position(|rule| {
            rule.is_for(operation, caller, &names)
                && rule.rate.is_none_or(|rate| self.dice.draw_f64() < rate)
        })?;
        let rule = &mut rules[index];
        rule.struck.fetch_add(1, Ordering::Relaxed);
        let effect = rule.effect.clone();
        if let Some(left) = &mut rule.left {
            *left -= 1;
            if *left == 0 {
                rules.remove(index);
                self.any_rules.store(!rules.is_empty(), Ordering::Release);
            }
        }
        Some(effect)
    }

    pub(crate) fn clear(&self) {
        self.rules().clear();
        self.any_rules.store(false, Ordering::Release);
    }

    pub(crate) fn add(&self, rule: ActiveRule) {
        let mut rules = self.rules();
        rules.push(rule);
        self.any_rules.store(true, Ordering::Release);
    }

    fn rules(&self) -> MutexGuard<'_, Vec<ActiveRule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("rules", &*self.rules())
            .finish_non_exhaustive()
    }
}
