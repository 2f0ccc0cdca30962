//! Upkeep of the lease table: compares the stream's shards with the leases now and then. The job itself
//! is `shard_sync`. At the same time how the stream distributes its records is asked anew.

use std::collections::BTreeSet;
use std::time::Duration;

use shardwise_env::Instant;
use shardwise_types::with_causes;

use super::{Coordinator, Done};
use crate::error::{WorkerError, WorkerErrorKind};
use crate::leases::{LeaseKey, Observations, Scan};
use crate::processor::RecordProcessor;
use crate::shard_sync::{KEEP_FINISHED, ShardSyncError, sync_shards};

/// The time between two comparisons of the stream's shards with the leases. It only heals what went
/// wrong elsewhere: children get their leases from the worker that ends their parent.
const BETWEEN_SYNCS: Duration = Duration::from_secs(60);

/// The time to the next comparison after one that failed.
const SYNC_AGAIN: Duration = Duration::from_secs(2);

/// When to compare shards and leases.
pub(super) struct Upkeep {
    pub(super) is_syncing: bool,
    has_synced: bool,
    pub(super) next: Instant,
}

impl Upkeep {
    /// The first comparison is due at once.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            is_syncing: false,
            has_synced: false,
            next: now,
        }
    }
}

impl<P: RecordProcessor> Coordinator<P> {
    pub(super) fn sync(&mut self, seen: &Observations, scan: Scan) {
        self.upkeep.is_syncing = true;
        let settled: BTreeSet<LeaseKey> = scan
            .leases
            .iter()
            .map(|lease| &lease.key)
            .filter(|key| seen.unchanged_for(key) >= KEEP_FINISHED)
            .cloned()
            .collect();
        // Whoever starts the worker has asked before.
        if self.upkeep.has_synced {
            let distribution = self.distribution.clone();
            self.job(async move {
                // A failure is noted, and said.
                let _ = distribution.describe().await;
                Done::Described
            });
        }
        let (kinesis, table) = (self.kinesis.clone(), self.table.clone());
        let config = self.config.clone();
        self.job(async move {
            Done::Synced(sync_shards(&kinesis, &table, &config, &scan, &settled).await)
        });
    }

    pub(super) fn on_synced(
        &mut self,
        result: Result<usize, ShardSyncError>,
    ) -> Result<(), WorkerError> {
        self.upkeep.is_syncing = false;
        let now = self.env.now();
        match result {
            Ok(created) => {
                self.upkeep.has_synced = true;
                self.upkeep.next = now + BETWEEN_SYNCS.mul_f64(0.8 + 0.4 * self.env.random_f64());
                if created > 0 {
                    tracing::info!(created, "leases are created for shards that had none");
                    self.looks.next = now;
                }
                Ok(())
            }
            Err(ShardSyncError::StreamGone) => Err(self.stream_deleted()),
            Err(error) if !self.upkeep.has_synced && error.is_listing_refused() => {
                let message = format!("may not list the shards of {}", self.config.stream);
                Err(WorkerError::new(WorkerErrorKind::Kinesis, message).with_source(error))
            }
            Err(error) => {
                self.upkeep.next = now + SYNC_AGAIN;
                let cause = with_causes(&error);
                tracing::warn!("could not compare the stream's shards with the leases: {cause}");
                Ok(())
            }
        }
    }

    pub(super) fn stream_deleted(&self) -> WorkerError {
        let message = format!("the stream {} was deleted", self.config.stream);
        WorkerError::new(WorkerErrorKind::StreamDeleted, message)
    }
}
