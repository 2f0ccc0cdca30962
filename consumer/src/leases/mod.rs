//! Leases: which worker reads which shard, and how far it has come.
//!
//! A table holds one row, the lease, for each shard. Workers share the shards by writing to it, and
//! need nothing else of each other. This build speaks the protocol of the KCL 2.x, on its rows, so
//! Java workers may share the table.
//! <https://docs.aws.amazon.com/streams/latest/dev/kcl-dynamoDB.html>
//!
//! ```text
//! pure    lease.rs    the row and its values           decide.rs   what may be written to it
//!         holder.rs   what a holder may do             observe.rs  which leases live
//!         take.rs     who takes what                   sync.rs     which leases are missing
//!         clean.rs    which leases are done with
//! shells  table.rs    before a lease is held           held.rs     a lease that is held
//! stores  store.rs    the interface                    dynamodb.rs, row.rs, memory.rs
//! ```
//!
//! # One lease, from the inside out
//! | layer | what it is |
//! |---|---|
//! | [`Lease`] | the row: what the table says |
//! | `Holder` | what a holder knows of its row and may do: pure |
//! | [`Held`] | the shell around it: one write at a time |
//! | `KeptLease` (`keeper.rs`) | a `Held` in the worker's care: renewed in the background, waited for, its writes repeated |
//!
//! # How a worker uses it
//! ```text
//! let store: Arc<dyn LeaseStore> = Arc::new(DynamoDbStore::new(&aws, &application, &me, failover));
//! let table = LeaseTable::new(store, Me::new(worker_id, env), env.clone(), failover);
//! table.ensure(MissingTable::Create).await?;
//!
//! // At each look (at least every failover / 4), seen: Observations being this worker's memory:
//! let scan = table.look(&mut seen).await?;         // DuplicateWorkerId: stop, loudly
//! let start = Start::Latest { started_at: table.started_at() };
//! let shards = kinesis.list_shards(&stream, listing(&scan, start)).await?;   // now and then
//! table.create(&missing_leases(&shards, &scan, start)?).await?;
//! for lease in finished(&scan, &shards) { table.delete(lease).await } // shards: ShardFilter::All
//! for lease in decide_takes(&Situation { .. }, |n| env.random_below(n)) {
//!     match table.take(lease).await { Ok(held) => start the shard with Arc::new(held), .. }
//! }
//!
//! // One task renews: for each held lease, at held.renew_at(): held.renew().await.
//! // One task per shard: wait until all parents are done (table.is_done), then read from
//! //   held.claimed().checkpoint (LATEST: AT_TIMESTAMP of held.claimed().started_at),
//! //   ask held.is_valid(now) before each fetch and batch,
//! //   held.checkpoint(sequence_number, sub_sequence) as the processor says,
//! //   at the shard's end held.end(&child_shards), which gives the children to hold and renew,
//! //   at a clean stop held.release().
//! ```
//!
//! A worker keeps at most one [`Held`] for a shard: if it has one already, it drops the other.

mod clean;
mod decide;
mod dynamodb;
mod held;
mod holder;
mod lease;
mod memory;
mod observe;
mod row;
mod store;
mod sync;
mod table;
mod take;
#[cfg(test)]
mod tests;

pub(crate) use self::clean::finished;
pub(crate) use self::decide::Loss;
pub(crate) use self::dynamodb::DynamoDbStore;
pub(crate) use self::held::Held;
pub(crate) use self::holder::HoldError;
pub(crate) use self::lease::{Checkpoint, Lease, Me};
pub use self::memory::MemoryLeaseStore;
pub(crate) use self::observe::Observations;
pub(crate) use self::store::{LeaseStore, MissingTable, Scan, StoreError};
pub(crate) use self::sync::{Start, SyncError, listing, missing_leases};
pub(crate) use self::table::{LeaseTable, LookError};
pub(crate) use self::take::{Situation, decide_takes};
