//! A fault rule as a test writes it: `mock.on(operation).stream("orders").reply(fault)`.
//!
//! It ends in `fault_rules`, where rules are in force; `fault_text` reads the same rules from JSON.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::Backend;
use crate::fault::{EntryFault, EntryFaults, Fault, Which};
use crate::fault_rules::{ActiveRule, Effect, RuleHandle};
use crate::operation::{Api, Operation};

/// A fault rule that is being written; [`Mock::on`](crate::Mock::on) begins one.
///
/// ```
/// use shardwise_mock::{Fault, Mock, Operation};
///
/// let mock = Mock::new();
/// let rule = mock
///     .on(Operation::PutRecords)
///     .stream("orders")
///     .caller("AKIDEXAMPLE")
///     .rate(0.1)
///     .reply(Fault::LoseResponse);
/// // ... the test's load ...
/// assert_eq!(rule.struck(), 0);
/// ```
#[derive(Debug)]
#[must_use = "a rule does nothing until `reply` or `fail_entries` completes it"]
pub struct Rule<'m> {
    backend: &'m Backend,
    rule: ActiveRule,
}

impl<'m> Rule<'m> {
    pub(crate) fn new(backend: &'m Backend, operation: Option<Operation>) -> Self {
        // The effect that counts is set when the rule is completed.
        let effect = Effect::Whole(Fault::Internal);
        let rule = ActiveRule {
            operation,
            ..ActiveRule::new(effect, backend.now().uptime)
        };
        Self { backend, rule }
    }

    /// Only requests to this service.
    pub fn service(mut self, api: Api) -> Self {
        self.rule.api = Some(api);
        self
    }

    /// Only requests about this stream: by its name, its ARN, or an iterator of one of its shards.
    pub fn stream(self, name: impl Into<String>) -> Self {
        self.resource(name.into())
    }

    /// Only requests about this table of DynamoDB; of a batch or a transaction, any that touches
    /// it.
    pub fn table(self, name: impl Into<String>) -> Self {
        self.resource(name.into())
    }

    /// Only requests about the shard of this number: by its id, by an iterator, or by a record that
    /// it would take.
    pub fn shard(mut self, number: u32) -> Self {
        self.rule.shard = Some(number);
        self
    }

    /// Only requests that are signed with this access key id.
    pub fn caller(mut self, access_key_id: impl Into<String>) -> Self {
        self.rule.caller = Some(access_key_id.into());
        self
    }

    /// Strikes a request with this probability, from 0 to 1; a request that is spared meets the
    /// next rule. Drawn by the mock's seed or, without one, by its [`Env`](shardwise_env::Env).
    pub fn rate(mut self, probability: f64) -> Self {
        self.rule.rate = Some(probability);
        self
    }

    /// Ends the rule after it has applied to so many requests. Without it the rule holds until
    /// [`Mock::clear_faults`](crate::Mock::clear_faults).
    pub fn times(mut self, times: u64) -> Self {
        self.rule.left = Some(times);
        self
    }

    /// Begins the rule so long after it is made, by the mock's clock.
    pub fn after(mut self, time: Duration) -> Self {
        self.rule.from = self.rule.from.saturating_add(time);
        self
    }

    /// Ends the rule so long after its beginning, by the mock's clock.
    pub fn lasting(mut self, time: Duration) -> Self {
        self.rule.lasts = Some(time);
        self
    }

    /// Completes the rule: the next requests meet this fault.
    pub fn reply(self, fault: Fault) -> RuleHandle {
        self.add(Effect::Whole(fault))
    }

    /// Completes the rule for PutRecords: of the next requests, the entries fail whose index
    /// satisfies the predicate, and of these only those for the [`shard`](Self::shard) if one was
    /// named; the others are stored.
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
    ) -> RuleHandle {
        let shard = self.rule.shard;
        self.add(Effect::Entries(Arc::new(EntryFaults {
            fault,
            which: Which::Picked(Box::new(fails)),
            shard,
        })))
    }

    fn resource(mut self, name: String) -> Self {
        self.rule.resource = Some(name);
        self
    }

    fn add(mut self, effect: Effect) -> RuleHandle {
        let struck = self.rule.struck.clone();
        if self.rule.left != Some(0) {
            self.rule.effect = effect;
            self.backend.add_rule(self.rule);
        }
        RuleHandle { struck }
    }
}
