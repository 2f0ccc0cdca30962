//! What a test tells the mock, and what it asks it: fault rules and call counts.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::kinesis::EntryFaults;
use crate::mock::Mock;
use crate::operation::Operation;

/// What goes wrong with a request as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Refused, and not done: the service's throttling error for the operation, HTTP 400.
    Throttle,
    /// Refused, and not done: InternalFailure, HTTP 500.
    Internal,
    /// Refused, and not done: ServiceUnavailable, HTTP 503.
    Unavailable,
    /// Done, but answered with InternalFailure: the caller cannot know. This is the one that
    /// finds duplicates.
    LoseAnswer,
    /// Done, after this time.
    Delay(Duration),
    /// Refused, and not done: any error.
    #[non_exhaustive]
    Error {
        /// The HTTP status.
        status: u16,
        /// The error's type, for example `AccessDeniedException`.
        kind: String,
        /// The message.
        message: String,
    },
}

impl Fault {
    /// A fault with any status, error type and message.
    #[must_use]
    pub fn error(status: u16, kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Error {
            status,
            kind: kind.into(),
            message: message.into(),
        }
    }
}

/// What goes wrong with single entries of a PutRecords request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryFault {
    /// ProvisionedThroughputExceededException.
    Throttle,
    /// InternalFailure.
    Internal,
}

/// A fault rule that is being written; [`Mock::on`] begins one.
#[derive(Debug)]
#[must_use = "a rule does nothing until `reply` or `fail_entries` completes it"]
pub struct Rule<'m> {
    mock: &'m Mock,
    operation: Operation,
    times: Option<u64>,
}

impl<'m> Rule<'m> {
    pub(crate) fn new(mock: &'m Mock, operation: Operation) -> Self {
        Self {
            mock,
            operation,
            times: None,
        }
    }

    /// Ends the rule after it has applied to so many requests. Without it the rule holds until
    /// [`Mock::clear_faults`].
    pub fn times(self, times: u64) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    /// Completes the rule: the next requests meet this fault.
    pub fn reply(self, fault: Fault) {
        self.add(Effect::Whole(fault));
    }

    /// Completes the rule for PutRecords: of the next requests, the entries fail whose index
    /// satisfies the predicate; the others are stored.
    ///
    /// ```
    /// use shardwise_mock::{EntryFault, Mock, Operation};
    ///
    /// let mock = Mock::new();
    /// mock.on(Operation::PutRecords)
    ///     .times(1)
    ///     .fail_entries(EntryFault::Throttle, |index| index % 2 == 1);
    /// ```
    pub fn fail_entries(
        self,
        fault: EntryFault,
        fails: impl Fn(usize) -> bool + Send + Sync + 'static,
    ) {
        self.add(Effect::Entries(Arc::new(EntryFaults {
            fault,
            fails: Box::new(fails),
        })));
    }

    fn add(self, effect: Effect) {
        if self.times != Some(0) {
            self.mock.control().add(ActiveRule {
                operation: self.operation,
                left: self.times,
                effect,
            });
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Whole(Fault),
    Entries(Arc<EntryFaults>),
}

#[derive(Debug)]
struct ActiveRule {
    operation: Operation,
    left: Option<u64>,
    effect: Effect,
}

/// The rules in force and the calls counted.
pub(crate) struct Control {
    counts: Box<[AtomicU64]>,
    /// Whether there are rules at all: without them no request takes the lock.
    any_rules: AtomicBool,
    rules: Mutex<Vec<ActiveRule>>,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self {
            counts: Operation::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            any_rules: AtomicBool::new(false),
            rules: Mutex::default(),
        }
    }

    pub(crate) fn count(&self, operation: Operation) {
        self.counts[operation as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn calls(&self, operation: Operation) -> u64 {
        self.counts[operation as usize].load(Ordering::Relaxed)
    }

    /// What happens to this request, by the oldest rule for its operation; uses the rule up.
    pub(crate) fn apply(&self, operation: Operation) -> Option<Effect> {
        if !self.any_rules.load(Ordering::Acquire) {
            return None;
        }
        let mut rules = self.rules();
        let index = rules.iter().position(|rule| rule.operation == operation)?;
        let rule = &mut rules[index];
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

    fn add(&self, rule: ActiveRule) {
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
