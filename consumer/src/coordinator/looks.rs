//! Looks at the lease table: when, and what a look leads to. What was seen is kept in `leases`
//! ([`Observations`]); what is done about it is the part of `membership` and `upkeep`.

use std::time::Duration;

use shardwise_env::Instant;
use shardwise_types::with_causes;

use super::{Coordinator, Done};
use crate::error::{WorkerError, WorkerErrorKind};
use crate::leases::{LookError, Observations, Scan};
use crate::processor::RecordProcessor;

/// The longest time between two looks at the table, so that a lease that is released is taken
/// within two seconds.
const MAX_BETWEEN_LOOKS: Duration = Duration::from_millis(1500);

/// How long the lease table may refuse every look for good (it is deleted, belongs to something else,
/// or may not be read) before the worker ends. A change of permissions, or a table that is being
/// restored, is through in that time; the leases have expired long before.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// When to look, and what was seen.
pub(super) struct Looks {
    /// Away while a look is under way.
    pub(super) seen: Option<Observations>,
    pub(super) next: Instant,
    /// Since when looks are refused for good, one after another.
    pub(super) refused_since: Option<Instant>,
}

impl Looks {
    /// The first look is due at once.
    pub(super) fn new(failover: Duration, now: Instant) -> Self {
        Self {
            seen: Some(Observations::new(failover)),
            next: now,
            refused_since: None,
        }
    }
}

impl<P: RecordProcessor> Coordinator<P> {
    /// Begins a look at the table.
    pub(super) fn look(&mut self) {
        // Away while another look is under way: the loop does not ask then.
        let Some(mut seen) = self.looks.seen.take() else {
            return;
        };
        let interval = MAX_BETWEEN_LOOKS.min(self.config.options.failover / 4);
        // Jitter keeps workers that were started together from looking, and taking, together.
        let interval = interval.mul_f64(0.8 + 0.2 * self.env.random_f64());
        self.looks.next = self.env.now() + interval;
        let table = self.table.clone();
        self.job(async move {
            let result = table.look(&mut seen).await;
            Done::Looked(seen, result)
        });
    }

    /// What a look at the table leads to.
    pub(super) fn on_scan(&mut self, seen: &Observations, scan: Scan) {
        for row in &scan.unreadable {
            tracing::error!("a row of the lease table is left alone, with its shard: {row}");
        }
        let multi_stream = scan.multi_stream;
        self.stats
            .count(|stats| stats.multi_stream_leases = multi_stream);
        for row in &scan.leases {
            if let Some(shard) = self.members.shards.get(&row.key) {
                shard.lease.seen(row);
            }
        }
        self.take_leases(seen, &scan);
        let unreadable = scan.unreadable.iter().map(|row| row.key());
        let ready = self.members.gate.seen(&scan.leases, unreadable);
        self.go(&ready);
        self.ask_about_parents();
        if !self.upkeep.is_syncing && self.env.now() >= self.upkeep.next {
            self.sync(seen, scan);
        }
    }

    pub(super) fn on_failed_look(&mut self, error: LookError) -> Result<(), WorkerError> {
        let error = match error {
            LookError::Duplicate(duplicate) => {
                let kind = WorkerErrorKind::DuplicateWorkerId;
                return Err(WorkerError::new(kind, duplicate.to_string()));
            }
            LookError::Store(error) => error,
        };
        // Leases that are held go on; what others do is not known for now.
        if error.is_retryable() {
            self.looks.refused_since = None;
            tracing::warn!("could not look at the lease table: {}", with_causes(&error));
            return Ok(());
        }
        let now = self.env.now();
        let refused_for = now - *self.looks.refused_since.get_or_insert(now);
        if refused_for < REFUSED_FOR {
            let cause = with_causes(&error);
            tracing::error!(?refused_for, "the lease table refuses to be read: {cause}");
            return Ok(());
        }
        let message = format!(
            "cannot use the lease table {} any more",
            self.config.application
        );
        Err(WorkerError::new(WorkerErrorKind::LeaseTable, message).with_source(error))
    }
}
