//! Short words for the things that every test needs.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use shardwise_client::{Aws, ChildShard};
use shardwise_env::Env;
use shardwise_mock::Mock;
use shardwise_types::{ApplicationName, HashKeyRange, ShardId};
use tokio::sync::mpsc;

use crate::leases::key::LeaseKey;
use crate::leases::lease::{Checkpoint, Identity, Incarnation, Lease};
use crate::leases::memory::MemoryLeaseStore;
use crate::leases::store::LeaseStore;
use crate::leases::table::LeaseTable;
use crate::leases::{Claim, DynamoDbStore, LeaseError, LeaseHandle, LeaseReport, MissingTable};

pub(super) const FAILOVER: Duration = Duration::from_secs(10);

pub(super) fn shard(number: u32) -> ShardId {
    ShardId::from_number(number)
}

pub(super) fn key(number: u32) -> LeaseKey {
    shard(number).into()
}

pub(super) fn shards(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<ShardId> {
    numbers.into_iter().map(shard).collect()
}

pub(super) fn at(number: u64) -> Checkpoint {
    Checkpoint::from_row(&number.to_string(), 0).unwrap()
}

pub(super) fn at_sub(number: u64, sub_sequence: u64) -> Checkpoint {
    Checkpoint::from_row(&number.to_string(), sub_sequence).unwrap()
}

pub(super) fn identity(worker_id: &str, incarnation: &str) -> Identity {
    Identity {
        worker_id: worker_id.parse().unwrap(),
        incarnation: Incarnation::from_row(incarnation).unwrap(),
    }
}

pub(super) fn free(number: u32) -> Lease {
    Lease::new(shard(number), Checkpoint::TrimHorizon)
}

/// A lease as this worker's claim leaves it.
pub(super) fn claimed(number: u32, identity: &Identity, counter: u64) -> Lease {
    let mut lease = free(number);
    lease.owner = Some(identity.worker_id.clone());
    lease.incarnation = Some(identity.incarnation.clone());
    lease.counter = counter;
    lease
}

pub(super) fn epoch(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(super) fn application() -> ApplicationName {
    "billing".parse().unwrap()
}

pub(super) fn memory() -> Arc<dyn LeaseStore> {
    Arc::new(MemoryLeaseStore::new())
}

/// A fresh table in a fresh mock.
pub(super) async fn dynamodb() -> Arc<dyn LeaseStore> {
    let store = dynamodb_on(&Aws::in_process(Mock::new().service()));
    store.ensure_table(MissingTable::Create).await.unwrap();
    Arc::new(store)
}

pub(super) fn dynamodb_on(aws: &Aws) -> DynamoDbStore {
    DynamoDbStore::new(aws, &application(), FAILOVER)
}

/// The table as a worker of this name sees it.
pub(super) fn table(store: &Arc<dyn LeaseStore>, worker_id: &str) -> LeaseTable {
    let env = Env::system();
    let identity = Identity::new(worker_id.parse().unwrap(), &env);
    LeaseTable::new(store.clone(), identity, env, FAILOVER)
}

pub(super) fn child(number: u32, parents: &[u32]) -> ChildShard {
    ChildShard::new(
        shard(number),
        parents.iter().copied().map(shard).collect(),
        HashKeyRange::FULL,
    )
}

/// A lease that is held, and what it reports.
pub(super) struct Held {
    handle: LeaseHandle,
    reports: mpsc::Receiver<LeaseReport>,
}

impl Held {
    pub(super) fn new(table: &LeaseTable, claim: Claim) -> Self {
        // Room for all that an outage reports: the reports are read at the end only.
        let (sender, reports) = mpsc::channel(4096);
        Self {
            handle: LeaseHandle::new(table.clone(), claim, sender),
            reports,
        }
    }

    /// Ends the shard. Gives the children that are this worker's own to hold.
    pub(super) async fn end(&mut self, children: &[ChildShard]) -> Result<Vec<Claim>, LeaseError> {
        self.handle.end(children).await?;
        let mut claims = Vec::new();
        while let Ok(report) = self.reports.try_recv() {
            if let LeaseReport::Child(claim) = report {
                claims.push(*claim);
            }
        }
        Ok(claims)
    }
}

impl Deref for Held {
    type Target = LeaseHandle;

    fn deref(&self) -> &LeaseHandle {
        &self.handle
    }
}

pub(super) async fn take(table: &LeaseTable, seen: &Lease) -> Result<Held, LeaseError> {
    let claim = table.take(seen).await?;
    Ok(Held::new(table, claim))
}
