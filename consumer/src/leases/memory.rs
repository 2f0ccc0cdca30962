//! Leases in memory: for one process, and for tests.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use shardwise_env::lock;

use super::decide::{Answer, Write};
use super::key::LeaseKey;
use super::lease::Lease;
use super::store::{BoxFuture, LeaseStore, MissingTable, Scan, StoreError};

/// A lease table in this process's memory.
///
/// Clones share the table: workers of one process that are given clones share the shards among
/// them and go on where another one stopped, as they would with a table in DynamoDB. It is gone
/// with the process.
#[derive(Clone, Default)]
pub struct MemoryLeaseStore(Arc<Mutex<BTreeMap<LeaseKey, Lease>>>);

impl MemoryLeaseStore {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[cfg(test)]
    pub(super) fn row(&self, key: &LeaseKey) -> Option<Lease> {
        self.rows().get(key).cloned()
    }

    /// Changes a row as no worker may.
    #[cfg(test)]
    pub(super) fn replace(&self, lease: Lease) {
        self.rows().insert(lease.key.clone(), lease);
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<LeaseKey, Lease>> {
        lock(&self.0)
    }

    /// The whole store: a condition and a change under one lock.
    pub(super) fn apply(&self, write: &Write) -> Answer {
        let mut rows = self.rows();
        match (rows.entry(write.key().clone()), write) {
            (Entry::Vacant(free), Write::Create(lease)) => {
                free.insert((**lease).clone());
                Answer::Applied(lease.clone())
            }
            (
                Entry::Occupied(mut row),
                Write::Update {
                    counter, changes, ..
                },
            ) if row.get().counter == *counter => {
                let row = row.get_mut();
                row.counter = counter.saturating_add(1);
                changes.iter().for_each(|change| change.apply(row));
                Answer::Applied(Box::new(row.clone()))
            }
            (Entry::Occupied(row), Write::Delete { counter, .. })
                if row.get().counter == *counter =>
            {
                Answer::Applied(Box::new(row.remove()))
            }
            (Entry::Occupied(row), _) => Answer::Refused(Some(Box::new(row.get().clone()))),
            (Entry::Vacant(_), _) => Answer::Refused(None),
        }
    }
}

impl fmt::Debug for MemoryLeaseStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLeaseStore")
            .field("leases", &self.rows().len())
            .finish()
    }
}

impl LeaseStore for MemoryLeaseStore {
    fn ensure_table(&self, _missing: MissingTable) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn scan(&self) -> BoxFuture<'_, Result<Scan, StoreError>> {
        let leases = self.rows().values().cloned().collect();
        Box::pin(std::future::ready(Ok(Scan {
            leases,
            ..Scan::default()
        })))
    }

    fn read<'a>(&'a self, key: &'a LeaseKey) -> BoxFuture<'a, Result<Option<Lease>, StoreError>> {
        let row = self.rows().get(key).cloned();
        Box::pin(std::future::ready(Ok(row)))
    }

    fn write<'a>(&'a self, write: &'a Write) -> BoxFuture<'a, Result<Answer, StoreError>> {
        let answer = self.apply(write);
        Box::pin(std::future::ready(Ok(answer)))
    }

    /// The process's own clock is the only one here.
    fn service_time(&self) -> Option<SystemTime> {
        None
    }
}
