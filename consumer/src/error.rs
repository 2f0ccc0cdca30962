//! What can go wrong: of the worker as a whole, and of one checkpoint.

use std::error::Error as StdError;
use std::fmt;

/// Any error of the application.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a worker could not be built or ended before it was asked to.
///
/// Whatever the reason: no checkpoint was written that its processor did not ask for, and no record
/// was skipped.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct WorkerError {
    kind: WorkerErrorKind,
    message: String,
    #[source]
    source: Option<BoxError>,
}

/// What kind of failure a [`WorkerError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WorkerErrorKind {
    /// A setting is wrong. Found before any call is made.
    InvalidConfig,
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

/// Why a checkpoint was not written, or may not have been.
#[derive(Debug, thiserror::Error)]
#[error("could not checkpoint: {}", .kind.text())]
pub struct CheckpointError {
    kind: CheckpointErrorKind,
    #[source]
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
