//! The job that lists the stream's shards and brings the leases in step with them: creates those that are
//! missing, deletes those of shards that are done and forgotten. Which these are is decided in `leases`.

use std::collections::BTreeSet;
use std::time::Duration;

use shardwise_client::{ChildShard, Error, ErrorKind, Kinesis, ShardFilter};
use shardwise_types::Shard;

use crate::config::{Config, InitialPosition};
use crate::leases::{
    LeaseError, LeaseHandle, LeaseKey, LeaseTable, Scan, Start, StoreError, SyncError, finished,
    listing, missing_leases, missing_parents,
};
use crate::stream_check::{is_gone, may_be_gone};

/// A finished lease stays this long after its last change. A request that created it may still be on
/// its way, a second copy of it at least: behind the deletion it would make the row anew, at the
/// beginning, and the shard would be read again. The KCL waits as long.
pub(crate) const KEEP_FINISHED: Duration = Duration::from_secs(300);

/// Why leases may be missing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShardSyncError {
    #[error("the stream is gone")]
    StreamGone,
    #[error("could not list the stream's shards")]
    List(#[source] Error),
    #[error("the listing of shards is not whole")]
    Shards(#[source] SyncError),
    #[error("could not create leases")]
    Create(#[source] LeaseError),
    #[error("could not read the leases")]
    Read(#[source] StoreError),
}

/// Creates the leases that are missing, and deletes those that are done with and `settled`:
/// unchanged for [`KEEP_FINISHED`]. Returns how many were created.
pub(crate) async fn sync_shards(
    kinesis: &Kinesis,
    table: &LeaseTable,
    config: &Config,
    scan: &Scan,
    settled: &BTreeSet<LeaseKey>,
) -> Result<usize, ShardSyncError> {
    let start = start(table, config);
    let filter = listing(scan, start);
    let lists_all = filter == ShardFilter::All;
    let shards = list(kinesis, config, filter).await?;
    let missing = missing_leases(&shards, scan, start).map_err(ShardSyncError::Shards)?;
    let created = table
        .create(&missing)
        .await
        .map_err(ShardSyncError::Create)?;
    if lists_all && created == 0 {
        for lease in finished(scan, &shards) {
            let shard_id = lease.shard_id();
            if !settled.contains(&lease.key) {
                continue;
            }
            match table.delete(lease).await {
                Ok(()) => {
                    tracing::info!(%shard_id, "the lease is deleted: its shard is no longer listed")
                }
                // Somebody else was faster, or does it the next time.
                Err(error) => tracing::debug!(%shard_id, "could not delete the lease: {error}"),
            }
        }
    }
    Ok(created)
}

/// Creates the leases that other parents of these children lack: before the shard of `lease`, which is
/// at its end, is ended, and its children get theirs.
///
/// # Cancel safety
/// Safe: what is created stays, and is found there the next time.
pub(crate) async fn lease_parents(
    kinesis: &Kinesis,
    config: &Config,
    lease: &LeaseHandle,
    children: &[ChildShard],
) -> Result<(), ShardSyncError> {
    let (table, shard_id) = (lease.table(), lease.shard_id());
    let lacks = table.lacks_parents(lease.key(), children).await;
    if !lacks.map_err(ShardSyncError::Read)? {
        return Ok(());
    }
    let shards = list(kinesis, config, ShardFilter::All).await?;
    let scan = table.scan().await.map_err(ShardSyncError::Read)?;
    let start = start(table, config);
    let missing = missing_parents(children, lease.claimed(), &shards, &scan, start);
    let created = table
        .create(&missing)
        .await
        .map_err(ShardSyncError::Create)?;
    tracing::info!(%shard_id, created, "leases for other parents of its children");
    Ok(())
}

fn start(table: &LeaseTable, config: &Config) -> Start {
    match config.options.initial_position {
        InitialPosition::TrimHorizon => Start::TrimHorizon,
        InitialPosition::Latest => Start::Latest {
            started_at: table.started_at(),
        },
        InitialPosition::AtTimestamp(time) => Start::AtTimestamp(time),
    }
}

async fn list(
    kinesis: &Kinesis,
    config: &Config,
    filter: ShardFilter,
) -> Result<Vec<Shard>, ShardSyncError> {
    match kinesis.list_shards(&config.stream, filter).await {
        Ok(shards) => Ok(shards),
        Err(error) if may_be_gone(&error) => Err(match is_gone(kinesis, &config.stream).await {
            Ok(true) => ShardSyncError::StreamGone,
            Ok(false) | Err(_) => ShardSyncError::List(error),
        }),
        Err(error) => Err(ShardSyncError::List(error)),
    }
}

impl ShardSyncError {
    /// Whether Kinesis refuses the listing, so that waiting does not help.
    pub(crate) fn is_listing_refused(&self) -> bool {
        matches!(self, Self::List(error) if matches!(
            error.kind(),
            ErrorKind::AccessDenied | ErrorKind::InvalidArgument
        ))
    }

    /// Whether either service refuses what is asked of it.
    pub(crate) fn is_refused(&self) -> bool {
        match self {
            Self::Read(error) | Self::Create(LeaseError::Unavailable(error)) => {
                !error.is_retryable()
            }
            error => error.is_listing_refused(),
        }
    }
}
