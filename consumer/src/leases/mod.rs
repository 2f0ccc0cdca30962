//! Leases: which worker reads which shard, and how far it has come.
//!
//! A table holds one row, the lease, for each shard. Workers share the shards by writing to it, and
//! need nothing else of each other. This build speaks the protocol of the KCL 2.x, on its rows, so
//! Java workers may share the table.
//! <https://docs.aws.amazon.com/streams/latest/dev/kcl-dynamoDB.html>
//!
//! ```text
//! pure    key.rs      which shard of which stream
//!         lease.rs    the row and its values           decide.rs   what may be written to it
//!         state.rs    what a holder may write          observe.rs  which leases live
//!         balance.rs  what to take                     missing.rs  which leases are missing
//!         clean.rs    which leases are done with       end.rs      what became of a lease
//! shells  table.rs    before a lease is held           handle.rs   a lease that is held
//!         retry.rs    how long an answer is asked for
//! stores  store.rs    the interface                    dynamodb.rs, row.rs, memory.rs
//! ```
//!
//! Around a row there are two layers: `LeaseState`, pure, knows what may be written and what an answer
//! means; [`LeaseHandle`] is the one writer and the one loop that renews.
//!
//! # How a worker uses it
//! ```text
//! let store: Arc<dyn LeaseStore> = Arc::new(DynamoDbStore::new(&aws, &application, failover));
//! let table = LeaseTable::new(store, Identity::new(worker_id, env), env.clone(), failover);
//! table.ensure(MissingTable::Create).await?;
//!
//! // At each look (at least every failover / 4), seen: Observations being this worker's memory:
//! let scan = table.look(&mut seen).await?;         // DuplicateWorkerId: stop, loudly
//! let start = Start::Latest { started_at: table.started_at() };
//! let shards = kinesis.list_shards(&stream, listing(&scan, start)).await?;   // now and then
//! table.create(&missing_leases(&shards, &scan, start)?).await?;
//! for lease in finished(&scan, &shards) { table.delete(lease).await } // shards: ShardFilter::All
//! for Move::Take(lease) in moves(&View { .. }, |n| env.random_below(n)) {
//!     let claim = table.take(&lease).await?;
//!     let handle = LeaseHandle::new(table.clone(), claim, reports.clone());
//!     let renewals = handle.keep_renewed();        // a task, dropped with the shard
//! }
//!
//! // One task per shard: wait until all parents are done (table.is_done), then read from
//! //   handle.claimed().checkpoint (LATEST: AT_TIMESTAMP of handle.claimed().started_at),
//! //   handle.valid().await before each fetch and batch,
//! //   handle.checkpoint(checkpoint) as the processor says,
//! //   at the shard's end handle.end(&children), which reports the children to hold,
//! //   at a clean stop handle.release(), which says what became of the lease.
//! ```

mod balance;
mod clean;
mod decide;
mod dynamodb;
mod end;
mod handle;
mod key;
mod lease;
mod memory;
mod missing;
mod observe;
mod retry;
mod row;
mod state;
mod store;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use self::balance::{Move, View, moves};
pub(crate) use self::clean::finished;
pub(crate) use self::dynamodb::DynamoDbStore;
pub use self::end::LeaseEnd;
pub(crate) use self::handle::{LeaseHandle, LeaseReport};
pub use self::key::{LeaseKey, StreamKey};
pub(crate) use self::lease::{Checkpoint, Identity, Lease};
pub use self::memory::MemoryLeaseStore;
pub(crate) use self::missing::{Start, SyncError, listing, missing_leases, missing_parents};
pub(crate) use self::observe::Observations;
pub(crate) use self::state::{Claim, LeaseError};
pub(crate) use self::store::{LeaseStore, MissingTable, Scan, StoreError};
pub(crate) use self::table::{LeaseTable, LookError};
