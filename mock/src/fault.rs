//! The faults: what can go wrong with a request, or with single entries of one.
//!
//! Which requests they strike, `fault_rules` says; what a struck request is answered,
//! `fault_injection`.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

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

/// Which entries of a PutRecords request fail, and how.
pub(crate) struct EntryFaults {
    pub(crate) fault: EntryFault,
    /// By their index.
    pub(crate) which: Which,
    /// Only those that this shard would take.
    pub(crate) shard: Option<u32>,
}

/// Some of a request's entries.
pub(crate) enum Which {
    /// The first of every so many.
    Every(NonZeroUsize),
    Picked(Box<dyn Fn(usize) -> bool + Send + Sync>),
}

impl EntryFaults {
    pub(crate) fn strikes(&self, index: usize, shard: u32) -> bool {
        let is_picked = match &self.which {
            Which::Every(every) => index % *every == 0,
            Which::Picked(picks) => picks(index),
        };
        is_picked && self.shard.is_none_or(|wanted| wanted == shard)
    }
}

impl fmt::Debug for EntryFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryFaults")
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}
