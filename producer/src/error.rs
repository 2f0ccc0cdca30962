//! What can go wrong with a record: before it is accepted ([`SendError`]) and after
//! ([`DeliveryError`]). Both give the record back.
//!
//! `Display` is one line with the cause in it. `Debug`, which is what `main` prints, is that line
//! and the further causes; record bytes are in neither.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use shardwise_client::{ErrorKind, Written};
use shardwise_env::{Elapsed, TaskError};
use shardwise_types::{ShardId, with_causes};

use crate::Record;

/// A record that was not accepted.
#[derive(Clone)]
pub struct SendError(Box<SendInner>);

#[derive(Clone)]
struct SendInner {
    kind: SendErrorKind,
    record: Record,
}

/// Why a record was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// The producer is closed.
    #[error("the producer is closed")]
    Closed,
    /// Data and partition key together are longer than a record may be.
    #[error("the record has {size} bytes, {limit} are allowed")]
    TooLarge {
        /// Bytes of the record, partition key included.
        size: usize,
        /// Bytes that a record may have.
        limit: usize,
    },
    /// There is no room in the producer now; only [`try_send`](crate::Producer::try_send) says so.
    #[error("the producer is full")]
    Full,
}

impl SendError {
    /// The error with which [`send`](crate::Producer::send) gives this record back; applications
    /// make one in their tests.
    #[must_use]
    pub fn new(kind: SendErrorKind, record: impl Into<Record>) -> Self {
        Self(Box::new(SendInner {
            kind,
            record: record.into(),
        }))
    }

    /// Why it was not accepted.
    #[must_use]
    pub fn kind(&self) -> SendErrorKind {
        self.0.kind
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.0.record
    }

    /// Gives the record back.
    #[must_use]
    pub fn into_record(self) -> Record {
        self.0.record
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not accept the record: {}", self.0.kind)
    }
}

impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for SendError {}

/// A record that was accepted and is not known to be stored.
///
/// [`written`](Self::written) says whether sending it again may duplicate it, and
/// [`source`](StdError::source) why the last attempt failed: a
/// [`RequestError`](crate::RequestError) if the call failed as a whole, an [`EntryError`] if the
/// service refused this record alone, a [`WrongShard`] if it stands where consumers may not read
/// it.
///
/// ```
/// use shardwise_producer::{DeliveryError, DeliveryErrorKind, EntryError, Record, Written};
///
/// // As an application's test makes one.
/// let record = Record::new("user-42".parse()?, "hello");
/// let error = DeliveryError::new(DeliveryErrorKind::Expired, Written::No, 3, record)
///     .with_entry_error(EntryError::new("InternalFailure", "try again"));
/// assert_eq!(
///     error.to_string(),
///     "the record expired after 3 attempts: InternalFailure: try again"
/// );
/// assert_eq!(error.code(), Some("InternalFailure"));
/// # Ok::<(), shardwise_producer::Invalid>(())
/// ```
#[derive(Clone)]
pub struct DeliveryError(Box<DeliveryInner>);

#[derive(Clone)]
struct DeliveryInner {
    kind: DeliveryErrorKind,
    written: Written,
    attempts: u32,
    cause: Option<Cause>,
    record: Record,
}

/// Why a record is not known to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DeliveryErrorKind {
    /// It could not be stored within its time to live.
    Expired,
    /// The service refused it, and would refuse it again.
    Rejected,
    /// The producer was closed or dropped before it was stored.
    Stopped,
}

impl DeliveryError {
    /// The error that a [`Delivery`](crate::Delivery) of this record ends in; applications make one
    /// in their tests.
    #[must_use]
    pub fn new(
        kind: DeliveryErrorKind,
        written: Written,
        attempts: u32,
        record: impl Into<Record>,
    ) -> Self {
        Self(Box::new(DeliveryInner {
            kind,
            written,
            attempts,
            cause: None,
            record: record.into(),
        }))
    }

    /// The same error, caused by the service's refusal of this record alone.
    #[must_use]
    pub fn with_entry_error(self, error: EntryError) -> Self {
        self.with_cause(Some(Cause::Entry(Arc::new(error))))
    }

    pub(crate) fn with_cause(mut self, cause: Option<Cause>) -> Self {
        self.0.cause = cause;
        self
    }

    /// Why it is not known to be stored.
    #[must_use]
    pub fn kind(&self) -> DeliveryErrorKind {
        self.0.kind
    }

    /// Whether it may be stored all the same, so that sending it again may duplicate it.
    #[must_use]
    pub fn written(&self) -> Written {
        self.0.written
    }

    /// How often it was sent.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The service's code for the last failure, such as `ResourceNotFoundException`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self.0.cause.as_ref()? {
            Cause::Request(error) => error.code(),
            Cause::Entry(error) => Some(error.code()),
            Cause::WrongShard(_) | Cause::TooLarge(_) | Cause::Lost(_) | Cause::Elapsed(_) => None,
        }
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.0.record
    }

    /// Gives the record back, for a dead-letter path or another try.
    #[must_use]
    pub fn into_record(self) -> Record {
        self.0.record
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts = self.0.attempts;
        match self.0.kind {
            DeliveryErrorKind::Expired => {
                let s = if attempts == 1 { "" } else { "s" };
                write!(f, "the record expired after {attempts} attempt{s}")?;
            }
            DeliveryErrorKind::Rejected => f.write_str("the record was rejected")?,
            DeliveryErrorKind::Stopped => {
                f.write_str("the producer stopped before the record was stored")?;
            }
        }
        if self.0.written != Written::No {
            f.write_str(", though it may have been stored")?;
        }
        match self.source() {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_causes(self))
    }
}

impl StdError for DeliveryError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(match self.0.cause.as_ref()? {
            Cause::Request(error) => error,
            Cause::Entry(error) => &**error,
            Cause::WrongShard(error) => error,
            Cause::TooLarge(kind) => kind,
            Cause::Lost(error) => error,
            Cause::Elapsed(error) => error,
        })
    }
}

/// The last failure of a record. Clones share what is large: one failure may concern thousands.
#[derive(Debug, Clone)]
pub(crate) enum Cause {
    Request(shardwise_client::Error),
    Entry(Arc<EntryError>),
    WrongShard(WrongShard),
    TooLarge(SendErrorKind),
    /// The task of the call panicked or was aborted.
    Lost(TaskError),
    /// The call was given up.
    Elapsed(Elapsed),
}

/// Whether a failed call may succeed later. Besides what the client itself tries again, a stream
/// that is being made or changed will be ready, and a provider that lags brings fresh credentials.
pub(crate) fn is_passing(error: &shardwise_client::Error) -> bool {
    error.is_retryable()
        || matches!(
            error.kind(),
            ErrorKind::ResourceInUse | ErrorKind::ExpiredCredentials
        )
}

/// The service refused one record of a PutRecords call and, perhaps, stored others.
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecordsResultEntry.html>
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct EntryError {
    code: String,
    message: String,
}

impl EntryError {
    /// A refusal as the service words it.
    #[must_use]
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }

    /// The service's code, such as `ProvisionedThroughputExceededException`.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The service's message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// An aggregate was stored by a shard that does not own all of its members, or whose range is not
/// known: consumers may drop it, so it does not count as stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the aggregate was stored by {shard_id}, which is not known to own all of its records")]
pub struct WrongShard {
    shard_id: ShardId,
}

impl WrongShard {
    pub(crate) fn new(shard_id: ShardId) -> Self {
        Self { shard_id }
    }

    /// The shard that took it.
    #[must_use]
    pub fn shard_id(&self) -> &ShardId {
        &self.shard_id
    }
}

/// The producer was closed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the producer is closed")]
#[non_exhaustive]
pub struct Closed;
