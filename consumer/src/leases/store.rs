//! What the protocol needs of a table of leases.
//!
//! Two stores: `dynamodb.rs` for fleets and `memory.rs` for one process. Both pass
//! `tests/conformance.rs`. A store carries conditional writes out; which ones, is `decide.rs`'s
//! part.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

use super::decide::{Answer, Write};
use super::key::LeaseKey;
use super::lease::Lease;
use super::row::Unreadable;

/// A boxed future, so that a worker can hold a store without knowing which.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A table of leases.
pub(crate) trait LeaseStore: Send + Sync + fmt::Debug + 'static {
    /// Makes sure that the table is there, is one of leases and answers; makes it if it is missing
    /// and `missing` allows it. Writes nothing to a table that is not one of leases.
    ///
    /// # Cancel safety
    /// Safe: a table that is being made goes on being made, and the next call waits for it.
    fn ensure_table(&self, missing: MissingTable) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Every lease of the table. What is read may be a second old: only conditional writes decide.
    fn scan(&self) -> BoxFuture<'_, Result<Scan, StoreError>>;

    /// One lease, as it is now.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unreadable`] for a row that is there and cannot be understood, which is
    /// not the same as no row.
    fn read<'a>(&'a self, key: &'a LeaseKey) -> BoxFuture<'a, Result<Option<Lease>, StoreError>>;

    /// Carries a conditional write out.
    ///
    /// # Errors
    /// If there is no answer. The write may have happened, or may yet happen.
    ///
    /// # Cancel safety
    /// As after an error.
    fn write<'a>(&'a self, write: &'a Write) -> BoxFuture<'a, Result<Answer, StoreError>>;

    /// The clock of the service, as far as the store has heard of it.
    fn service_time(&self) -> Option<SystemTime>;
}

/// What to do about a table that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingTable {
    Create,
    Refuse,
}

/// What a scan found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scan {
    /// The leases, in the order of their keys.
    pub(crate) leases: Vec<Lease>,
    /// Rows that could not be understood. Their shards are not free, and are left alone.
    pub(crate) unreadable: Vec<Unreadable>,
    /// How many leases belong to a table of many streams. They are left alone.
    pub(crate) multi_stream: u64,
}

/// Why a store has no answer.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct StoreError {
    kind: StoreErrorKind,
    message: String,
    #[source]
    source: Option<BoxError>,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What kind of failure a [`StoreError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreErrorKind {
    /// Too many calls for the table's capacity.
    Throttled,
    /// No answer in time, a broken connection, or a failing service.
    Unavailable,
    /// The credentials are missing, expired or do not allow it.
    AccessDenied,
    /// There is no such table, and it was not to be made.
    NoTable,
    /// The table belongs to something else.
    ForeignTable,
    /// The table did not become ready in time.
    TableNotReady,
    /// A row cannot be understood.
    Unreadable,
    /// Anything else: the service refuses the request as it is.
    Refused,
}

impl StoreError {
    pub(super) fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// The table answered, but only with earlier writes of the same worker, one after another.
    pub(super) fn unanswered() -> Self {
        let message = "the answers to this worker's writes are lost, one after another";
        Self::new(StoreErrorKind::Unavailable, message)
    }

    pub(super) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    pub(crate) fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub(crate) fn is_retryable(&self) -> bool {
        match self.kind {
            StoreErrorKind::Throttled
            | StoreErrorKind::Unavailable
            | StoreErrorKind::TableNotReady => true,
            StoreErrorKind::AccessDenied
            | StoreErrorKind::NoTable
            | StoreErrorKind::ForeignTable
            | StoreErrorKind::Unreadable
            | StoreErrorKind::Refused => false,
        }
    }
}
