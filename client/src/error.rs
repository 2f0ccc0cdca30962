//! What can go wrong in a call. What can go wrong before one is a
//! [`ConfigError`](shardwise_types::ConfigError).

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use shardwise_types::{root_cause, with_causes};

/// Any error, as a cause.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Whether a failed call may have written what it was asked to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Written {
    /// Nothing was written: sending again cannot duplicate.
    No,
    /// The service may have written before the failure: sending again may duplicate.
    Unknown,
}

/// A failed call of a Kinesis operation, after the retries that its policy allowed.
///
/// Ask [`kind`](Self::kind) what happened, [`is_retryable`](Self::is_retryable) whether a later
/// try may succeed and [`written`](Self::written) whether a record may be stored all the same. It
/// prints as one line: the operation, the cause, and the service's request id last.
///
/// Cheap to clone: clones share all that it says.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    operation: &'static str,
    kind: ErrorKind,
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
    written: Written,
    attempts: u32,
    service_time: Option<SystemTime>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What kind of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The service asks for fewer calls: `ProvisionedThroughputExceededException`,
    /// `LimitExceededException`, `ThrottlingException` and their like.
    Throttled,
    /// The stream, shard or consumer does not exist.
    ResourceNotFound,
    /// The resource is busy or exists already.
    ResourceInUse,
    /// The service refuses the arguments: `InvalidArgumentException`, `ValidationException`,
    /// `SerializationException`.
    InvalidArgument,
    /// The caller may not do this, or its signature is refused.
    AccessDenied,
    /// The credentials have expired.
    ExpiredCredentials,
    /// The shard iterator is older than five minutes.
    ExpiredIterator,
    /// The pagination token is older than five minutes.
    ExpiredNextToken,
    /// The stream's KMS key is disabled, missing or not permitted.
    Kms,
    /// The service failed: a 5xx answer.
    Service,
    /// No connection could be made; nothing was sent.
    Connect,
    /// The answer did not come in time.
    Timeout,
    /// The connection broke while the request or the answer was under way.
    Transport,
    /// The answer could not be read.
    Response,
    /// No credentials could be had to sign with.
    Credentials,
    /// An error code that this version does not know.
    Other,
}

impl Error {
    pub(crate) fn new(operation: &'static str, kind: ErrorKind, written: Written) -> Self {
        Self(Arc::new(Inner {
            operation,
            kind,
            code: None,
            message: None,
            request_id: None,
            written,
            attempts: 1,
            service_time: None,
            source: None,
        }))
    }

    /// For the makers of an error, who hold its only clone.
    fn inner(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }

    pub(crate) fn with_code(mut self, code: Option<String>, message: Option<String>) -> Self {
        self.inner().code = code;
        self.inner().message = message;
        self
    }

    pub(crate) fn with_request_id(mut self, request_id: Option<String>) -> Self {
        self.inner().request_id = request_id;
        self
    }

    pub(crate) fn with_service_time(mut self, service_time: Option<SystemTime>) -> Self {
        self.inner().service_time = service_time;
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.inner().source = Some(Arc::from(source.into()));
        self
    }

    pub(crate) fn with_attempts(mut self, attempts: u32) -> Self {
        self.inner().attempts = attempts;
        self
    }

    /// An earlier attempt of the same call may have written, so the whole call may have.
    pub(crate) fn or_written(mut self, earlier: Written) -> Self {
        let inner = self.inner();
        inner.written = inner.written.max(earlier);
        self
    }

    /// The service's clock at the answer, from its `Date` header.
    pub(crate) fn service_time(&self) -> Option<SystemTime> {
        self.0.service_time
    }

    /// The operation that failed, as AWS spells it.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The service's error code, such as `ResourceNotFoundException`, if it answered.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The service's message, if it answered with one.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// The id that AWS support asks for, if the service answered.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// How many times the request was sent.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Whether what the call was to write may be written. Always [`Written::No`] for a read.
    #[must_use]
    pub fn written(&self) -> Written {
        self.0.written
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            operation,
            kind,
            code,
            message,
            request_id,
            ..
        } = &*self.0;
        write!(f, "could not {operation}: ")?;
        match (code, message) {
            (Some(code), Some(message)) => write!(f, "{code}: {message}")?,
            (Some(code), None) => f.write_str(code)?,
            (None, _) => {
                f.write_str(kind.text())?;
                if let Some(cause) = root_cause(self) {
                    write!(f, ": {cause}")?;
                }
            }
        }
        if let Some(id) = request_id {
            write!(f, " (request id {id})")?;
        }
        Ok(())
    }
}

/// The line that `Display` gives, and the causes that it does not name.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_causes(self))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl ErrorKind {
    fn text(self) -> &'static str {
        match self {
            Self::Throttled => "the service asks for fewer calls",
            Self::ResourceNotFound => "there is no such resource",
            Self::ResourceInUse => "the resource is in use",
            Self::InvalidArgument => "the service refuses an argument",
            Self::AccessDenied => "access is denied",
            Self::ExpiredCredentials => "the credentials have expired",
            Self::ExpiredIterator => "the shard iterator has expired",
            Self::ExpiredNextToken => "the pagination token has expired",
            Self::Kms => "the stream's KMS key cannot be used",
            Self::Service => "the service failed",
            Self::Connect => "no connection could be made",
            Self::Timeout => "no answer came in time",
            Self::Transport => "the connection broke",
            Self::Response => "the answer could not be read",
            Self::Credentials => "no credentials could be had",
            Self::Other => "the service answered with an error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_with_code_message_and_request_id_last() {
        let error = Error::new("PutRecords", ErrorKind::AccessDenied, Written::No)
            .with_code(Some("AccessDeniedException".into()), Some("no".into()))
            .with_request_id(Some("r-1".into()));
        let line = "could not PutRecords: AccessDeniedException: no (request id r-1)";
        assert_eq!(error.to_string(), line);
        assert_eq!(format!("{:?}", error.clone()), line);
    }

    #[test]
    fn an_error_without_an_answer_names_its_innermost_cause_once() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = Error::new("ListShards", ErrorKind::Connect, Written::No)
            .with_source(crate::transport::TransportError::connect(refused));
        let line = "could not ListShards: no connection could be made: connection refused";
        assert_eq!(error.to_string(), line);
        assert_eq!(format!("{error:?}"), line);
        assert!(error.source().is_some());
    }
}
