//! The life of a shard at this worker, and when its processor has failed too often. Pure.
//!
//! ```text
//! WaitingForParents → Starting → Processing → Ending → (gone)
//!                        └───────────┴──────────┴────→ Stopping → (gone)
//! ```

use crate::record::Position;

/// What a worker does with a shard whose lease it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ShardState {
    /// It is renewed and nothing else: a parent is not checkpointed at its end.
    WaitingForParents,
    /// Its processor is being started.
    Starting,
    /// Its records are read and processed.
    Processing,
    /// All its records are processed; its end is to be checkpointed.
    Ending,
    /// No more is read; the processor says good-bye and the lease is released.
    Stopping,
}

/// Counts failures of a processor that come in a row without progress.
///
/// Progress is a batch that ends behind the place of the last failure. After a panic everything
/// behind the checkpoint comes again: that the batches *before* the one that fails are accepted is no
/// progress, or a poison record would be tried for ever.
#[derive(Debug)]
pub(crate) struct Failures {
    allowed: u32,
    count: u32,
    /// The end of the batch that failed last.
    at: Option<Position>,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    /// Try again, after a pause. The number of the next try, counted from one.
    Again(u32),
    /// Release the lease.
    GiveUp,
}

impl Failures {
    /// Gives up at the failure of try number `allowed`.
    pub(crate) fn new(allowed: u32) -> Self {
        Self {
            allowed,
            count: 0,
            at: None,
        }
    }

    /// A call failed: with the batch that ends at `at`, or without one.
    pub(crate) fn failed(&mut self, at: Option<&Position>) -> AfterFailure {
        self.count += 1;
        if at > self.at.as_ref() {
            self.at = at.cloned();
        }
        if self.count >= self.allowed {
            AfterFailure::GiveUp
        } else {
            AfterFailure::Again(self.count + 1)
        }
    }

    /// The batch that ends at `end` was accepted. Whether the count starts anew.
    pub(crate) fn accepted(&mut self, end: &Position) -> bool {
        if self.count == 0 || Some(end) < self.at.as_ref() {
            return false;
        }
        self.count = 0;
        self.at = None;
        true
    }

    /// The number of the try that is next for a batch, counted from one.
    pub(crate) fn next_attempt(&self) -> u32 {
        self.count + 1
    }
}
