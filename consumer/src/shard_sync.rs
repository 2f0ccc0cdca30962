//! The job that lists the stream's shards and brings the leases in step with them: creates those that are
//! missing, deletes those of shards that are done and forgotten. Which these are is decided in `leases`.

use std::collections::BTreeSet;
use std::time::Duration;

use shardwise_client::{Error, ErrorKind, Kinesis, ShardFilter};
use shardwise_types::ShardId;

use crate::config::{Config, InitialPosition};
use crate::leases::{
    LeaseError, LeaseTable, Scan, Start, SyncError, finished, listing, missing_leases,
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
}

/// Creates the leases that are missing, and deletes those that are done with and `settled`:
/// unchanged for [`KEEP_FINISHED`]. Returns how many were created.
pub(crate) async fn sync_shards(
    kinesis: &Kinesis,
    table: &LeaseTable,
    config: &Config,
    scan: &Scan,
    settled: &BTreeSet<ShardId>,
) -> Result<usize, ShardSyncError> {
    let start = match config.options.initial_position {
        InitialPosition::TrimHorizon => Start::TrimHorizon,
        InitialPosition::Latest => Start::Latest {
            started_at: table.started_at(),
        },
        InitialPosition::AtTimestamp(time) => Start::AtTimestamp(time),
    };
    let filter = listing(scan, start);
    let lists_all = filter == ShardFilter::All;
    let shards = match kinesis.list_shards(&config.stream, filter).await {
        Ok(shards) => shards,
        Err(error) if may_be_gone(&error) => {
            return Err(match is_gone(kinesis, &config.stream).await {
                Ok(true) => ShardSyncError::StreamGone,
                Ok(false) | Err(_) => ShardSyncError::List(error),
            });
        }
        Err(error) => return Err(ShardSyncError::List(error)),
    };
    let missing = missing_leases(&shards, scan, start).map_err(ShardSyncError::Shards)?;
    let created = table
        .create(&missing)
        .await
        .map_err(ShardSyncError::Create)?;
    if lists_all && created == 0 {
        for lease in finished(scan, &shards) {
            let shard_id = &lease.shard_id;
            if !settled.contains(shard_id) {
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

impl ShardSyncError {
    /// Whether the service refuses the listing, so that waiting does not help.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::List(error) if matches!(
            error.kind(),
            ErrorKind::AccessDenied | ErrorKind::InvalidArgument
        ))
    }
}
