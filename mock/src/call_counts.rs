//! How often each operation was called.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::operation::Operation;

/// A count for each operation.
#[derive(Debug)]
pub(crate) struct CallCounts(Box<[AtomicU64]>);

impl CallCounts {
    pub(crate) fn new() -> Self {
        Self(Operation::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn count(&self, operation: Operation) {
        self.0[operation as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn of(&self, operation: Operation) -> u64 {
        self.0[operation as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn reset(&self) {
        for count in &self.0 {
            count.store(0, Ordering::Relaxed);
        }
    }
}
