//! What a test tells the mock to do wrong: faults, and the rules that say where they strike.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::control::{ActiveRule, Effect};
use crate::kinesis::{EntryFaults, Which};
use crate::mock::Mock;
use crate::operation::{Api, Operation};

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
    /// Done, and then the connection breaks before a byte of the answer: the caller cannot know
    /// either, and a connection less is in its pool. In process the service answers with
    /// [`BrokenConnection`](crate::BrokenConnection).
    LoseResponse,
    /// Not done: the connection breaks as soon as the request was read. To the caller it looks like
    /// [`LoseResponse`](Self::LoseResponse).
    LoseRequest,
    /// Done, after this time of the mock's clock.
    Delay(Duration),
    /// Done, and the connection breaks after so many bytes of the answer's body, unless it ends
    /// there anyway.
    TruncateBody(usize),
    /// Done, and the answer's body comes slowly.
    #[non_exhaustive]
    SlowBody {
        /// How many bytes come at a time.
        bytes: NonZeroUsize,
        /// The pause before each of them, by the mock's clock.
        every: Duration,
    },
    /// A read of DynamoDB without `ConsistentRead`, or of an index, sees the items as they were
    /// that long ago, but not before the rule was made: what was replaced is kept from then on.
    /// Every other request is done as if there were no rule.
    StaleRead(Duration),
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
    /// An answer of which `bytes` come at a time, each after a pause of the mock's clock.
    #[must_use]
    pub fn slow_body(bytes: NonZeroUsize, every: Duration) -> Self {
        Self::SlowBody { bytes, every }
    }

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
    mock: &'m Mock,
    rule: ActiveRule,
}

impl<'m> Rule<'m> {
    pub(crate) fn new(mock: &'m Mock, operation: Option<Operation>) -> Self {
        // The effect that counts is set when the rule is completed.
        let effect = Effect::Whole(Fault::Internal);
        let rule = ActiveRule {
            operation,
            ..ActiveRule::new(effect, mock.now().uptime)
        };
        Self { mock, rule }
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
    /// [`Mock::clear_faults`].
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
            self.mock.add_rule(self.rule);
        }
        RuleHandle { struck }
    }
}

/// A completed rule; [`Rule::reply`] and [`Mock::add_faults`] give it. Dropping it changes nothing.
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
