//! What can go wrong: of the worker as a whole, and of one checkpoint.

use std::error::Error as StdError;
use std::fmt;

use shardwise_types::with_causes;

/// Any error of the application, or any cause.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a worker ended before it was asked to.
///
/// Whatever the reason: no checkpoint was written that its processor did not ask for, and no record
/// was skipped.
///
/// `Display` and `Debug` are one line each, with the cause.
pub struct WorkerError {
    kind: WorkerErrorKind,
    message: String,
    source: Option<BoxError>,
}

/// What kind of failure a [`WorkerError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WorkerErrorKind {
    /// There is no stream of this name.
    UnknownStream,
    /// The stream was deleted while the worker ran. The checkpoints are as they were.
    StreamDeleted,
    /// The lease table is missing, is not one, or may not be used; at the start, or for a minute
    /// while the worker ran.
    LeaseTable,
    /// Another live process uses the same worker id.
    DuplicateWorkerId,
    /// Kinesis refused for good, such as for want of a permission.
    Kinesis,
    /// A processor was still busy when the grace at shutdown ended, and was dropped. Its lease
    /// expires by itself.
    GraceEnded,
}

impl WorkerError {
    pub(crate) fn new(kind: WorkerErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> WorkerErrorKind {
        self.kind
    }
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_one_line(&self.message, StdError::source(self)))
    }
}

impl fmt::Debug for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for WorkerError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Why a checkpoint was not written, or may not have been.
///
/// `Display` and `Debug` are one line each, with the cause.
pub struct CheckpointError {
    kind: CheckpointErrorKind,
    source: Option<BoxError>,
}

/// What kind of failure a [`CheckpointError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CheckpointErrorKind {
    /// The shard is no longer this worker's: the position is for the new holder to checkpoint. The
    /// worker stops the shard, whatever the processor does with this error.
    LeaseLost,
    /// The lease table could not be reached in time. The checkpoint may be written or not; the
    /// same one, or a later one, may be tried again.
    Unavailable,
    /// The position lies in another shard than the checkpointer's. Nothing was written.
    ForeignPosition,
}

impl CheckpointError {
    pub(crate) fn new(kind: CheckpointErrorKind) -> Self {
        Self { kind, source: None }
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> CheckpointErrorKind {
        self.kind
    }

    /// Whether the same checkpoint may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind == CheckpointErrorKind::Unavailable
    }
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = format!("could not checkpoint: {}", self.kind);
        f.write_str(&in_one_line(&message, StdError::source(self)))
    }
}

impl fmt::Debug for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for CheckpointError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// What happened, and the causes that the text does not hold already, in one line.
fn in_one_line(what: &str, cause: Option<&(dyn StdError + 'static)>) -> String {
    match cause.map(with_causes) {
        Some(causes) if !what.contains(&causes) => format!("{what}: {causes}"),
        _ => what.to_owned(),
    }
}

impl CheckpointErrorKind {
    fn text(self) -> &'static str {
        match self {
            Self::LeaseLost => "the lease is lost",
            Self::Unavailable => "the lease table could not be reached",
            Self::ForeignPosition => "the position lies in another shard",
        }
    }
}

impl fmt::Display for CheckpointErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn an_error_says_each_cause_once_in_one_line() {
        let network = Layer("connection refused", None);
        let call = Layer("no answer: connection refused", Some(Box::new(network)));
        let error = WorkerError::new(WorkerErrorKind::LeaseTable, "cannot use the table t")
            .with_source(Layer("could not scan", Some(Box::new(call))));
        let line = "cannot use the table t: could not scan: no answer: connection refused";
        assert_eq!(error.to_string(), line);
        assert_eq!(format!("{error:?}"), line);
        let error =
            CheckpointError::new(CheckpointErrorKind::ForeignPosition).with_source("7 of shard 1");
        let line = "could not checkpoint: the position lies in another shard: 7 of shard 1";
        assert_eq!(format!("{error:?}"), line);
    }
}
