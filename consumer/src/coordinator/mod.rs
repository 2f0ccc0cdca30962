//! The worker's one loop, which owns all state and every task of the worker.
//!
//! What takes time (a look, a take, a listing, a shard) is a job that reports back, so the loop itself
//! never waits for a service. Its parts: `looks` (at the lease table), `membership` (which shards run
//! here), `upkeep` (the table in step with the stream). Which leases to take, which are missing and which
//! shards may start is decided in `leases` and `parent_gate`.

mod looks;
mod membership;
mod upkeep;

use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use shardwise_client::Kinesis;
use shardwise_env::{Env, TaskError};
use shardwise_types::with_causes;
use tokio::sync::mpsc;

use self::looks::Looks;
use self::membership::Members;
use self::upkeep::Upkeep;
use crate::config::Config;
use crate::error::WorkerError;
use crate::leases::{
    Claim, LeaseEnd, LeaseError, LeaseKey, LeaseReport, LeaseTable, LookError, Observations, Scan,
    StoreError,
};
use crate::parent_gate::BETWEEN_ROUNDS;
use crate::processor::RecordProcessor;
use crate::record_distribution::RecordDistribution;
use crate::shard::calls::Factory;
use crate::shard::command::ShardCommand;
use crate::shard_sync::ShardSyncError;
use crate::stats::{LeaseEventKind, StatsHandle};

/// Reports of leases that wait for the loop. It empties the queue at once; a shard whose report finds
/// no room waits.
const REPORTS_WAITING: usize = 64;

/// A job's report.
enum Done {
    Looked(Observations, Result<Scan, LookError>),
    Synced(Result<usize, ShardSyncError>),
    /// How the stream distributes its records is asked, and noted where that is kept.
    Described,
    Took(LeaseKey, Box<Result<Claim, LeaseError>>),
    /// Whether a parent is done.
    Parent(LeaseKey, Result<bool, StoreError>),
    /// A lease that came too late is released.
    LetGo(LeaseKey),
    Shard(LeaseKey, Result<LeaseEnd, TaskError>),
}

type Job = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Everything a running worker owns. Dropping it ends every task.
pub(crate) struct Coordinator<P> {
    env: Env,
    kinesis: Kinesis,
    config: Arc<Config>,
    table: LeaseTable,
    factory: Factory<P>,
    stats: StatsHandle,
    distribution: RecordDistribution,
    reports: mpsc::Receiver<LeaseReport>,
    report_sender: mpsc::Sender<LeaseReport>,
    jobs: FuturesUnordered<Job>,
    looks: Looks,
    members: Members,
    upkeep: Upkeep,
    is_stopping: bool,
}

impl<P: RecordProcessor> Coordinator<P> {
    pub(crate) fn new(
        kinesis: Kinesis,
        config: Arc<Config>,
        table: LeaseTable,
        factory: Factory<P>,
        stats: StatsHandle,
        distribution: RecordDistribution,
    ) -> Self {
        let env = kinesis.env().clone();
        let (report_sender, reports) = mpsc::channel(REPORTS_WAITING);
        let now = env.now();
        Self {
            env,
            kinesis,
            table,
            factory,
            stats,
            distribution,
            reports,
            report_sender,
            jobs: FuturesUnordered::new(),
            looks: Looks::new(config.options.failover, now),
            members: Members::new(now),
            upkeep: Upkeep::new(now),
            config,
            is_stopping: false,
        }
    }

    /// Works until something makes it impossible.
    ///
    /// # Cancel safety
    /// Safe: all state is in `self`, and it may be called again.
    pub(crate) async fn run(&mut self) -> WorkerError {
        loop {
            // Each branch is cancel safe: events and reports stay where they are.
            let result = tokio::select! {
                biased;
                Some(report) = self.reports.recv() => {
                    self.on_report(report);
                    Ok(())
                }
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => self.on_done(done),
                () = self.env.sleep_until(self.looks.next), if self.looks.seen.is_some() => {
                    self.look();
                    Ok(())
                }
                () = self.env.sleep_until(self.members.next_round), if self.members.gate.are_awaited() => {
                    self.members.next_round = self.env.now() + BETWEEN_ROUNDS;
                    self.members.gate.round();
                    self.ask_about_parents();
                    Ok(())
                }
            };
            if let Err(error) = result {
                return error;
            }
        }
    }

    /// Stops every shard and releases its lease. Returns the shards that were still busy when the
    /// grace ended.
    pub(crate) async fn stop(mut self) -> Vec<LeaseKey> {
        self.is_stopping = true;
        let grace = self.config.options.shutdown_grace;
        tracing::info!(shards = self.members.shards.len(), "the worker stops");
        for shard in self.members.shards.values() {
            shard.command.send_replace(ShardCommand::Stop);
        }
        let env = self.env.clone();
        let _ = env
            .timeout(grace, async {
                while !self.members.shards.is_empty() || !self.members.in_flight.is_empty() {
                    tokio::select! {
                        biased;
                        Some(report) = self.reports.recv() => self.on_report(report),
                        Some(done) = self.jobs.next() => {
                            if let Err(error) = self.on_done(done) {
                                tracing::warn!("an error while the worker stops: {error}");
                            }
                        }
                    }
                }
            })
            .await;
        let busy: Vec<_> = std::mem::take(&mut self.members.shards)
            .into_keys()
            .collect();
        for key in &busy {
            self.stats.left(key, LeaseEnd::Abandoned);
        }
        busy
    }

    fn on_report(&mut self, report: LeaseReport) {
        match report {
            LeaseReport::Child(claim) => self.start_shard(*claim, LeaseEventKind::Created),
            LeaseReport::WriteFailed => {
                self.stats.count(|stats| stats.lease_write_failures += 1);
            }
        }
    }

    fn on_done(&mut self, done: Done) -> Result<(), WorkerError> {
        match done {
            Done::Looked(seen, result) => {
                let outcome = match result {
                    Ok(scan) => {
                        self.looks.refused_since = None;
                        if !self.is_stopping {
                            self.on_scan(&seen, scan);
                        }
                        Ok(())
                    }
                    Err(error) => self.on_failed_look(error),
                };
                self.looks.seen = Some(seen);
                outcome
            }
            Done::Synced(result) => self.on_synced(result),
            Done::Described => Ok(()),
            Done::Took(key, result) => {
                self.members.in_flight.remove(&key);
                match *result {
                    Ok(claim) => self.start_shard(claim, LeaseEventKind::Taken),
                    Err(LeaseError::Lost(end)) => {
                        tracing::debug!(shard_id = %key, "another worker was faster to take the lease: {end}");
                    }
                    Err(error) => {
                        self.stats.count(|stats| stats.lease_write_failures += 1);
                        let cause = with_causes(&error);
                        tracing::warn!(shard_id = %key, "could not take the lease: {cause}");
                    }
                }
                Ok(())
            }
            Done::Parent(parent, result) => {
                self.on_parent(&parent, result);
                Ok(())
            }
            Done::LetGo(key) => {
                self.members.in_flight.remove(&key);
                Ok(())
            }
            Done::Shard(key, result) => self.on_shard_over(&key, result),
        }
    }

    fn job(&mut self, job: impl Future<Output = Done> + Send + 'static) {
        self.jobs.push(Box::pin(job));
    }
}
