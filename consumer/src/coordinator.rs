//! The worker's one loop: looks at the lease table, takes leases, starts and stops shards.
//!
//! It owns all state and every task. What takes time (a look, a take, a listing, a shard) is a job
//! that reports back, so the loop itself never waits for a service. Which leases to take, which are
//! missing and which may start is decided in `leases`.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use shardwise_client::Kinesis;
use shardwise_env::{Env, Instant, TaskError};
use shardwise_types::{ShardId, with_causes};
use tokio::sync::{mpsc, watch};
use tracing::Instrument as _;

use crate::config::{COOL_DOWN, Config};
use crate::error::{WorkerError, WorkerErrorKind};
use crate::leases::{
    Claim, LeaseEnd, LeaseError, LeaseHandle, LeaseReport, LeaseTable, LookError, Observations,
    Scan, Situation, StoreError, decide_takes,
};
use crate::parent_gate::{BETWEEN_ROUNDS, ParentGate};
use crate::processor::{RecordProcessor, ShardInfo};
use crate::shard::calls::Factory;
use crate::shard::command::ShardCommand;
use crate::shard::run::ShardRun;
use crate::shard::state::ShardState;
use crate::shard_sync::{KEEP_FINISHED, ShardSyncError, sync_shards};
use crate::stats::{LeaseEventKind, StatsHandle};

/// The longest time between two looks at the table, so that a lease that is released is taken
/// within two seconds.
const MAX_BETWEEN_LOOKS: Duration = Duration::from_millis(1500);

/// The time between two comparisons of the stream's shards with the leases. It only heals what went
/// wrong elsewhere: children get their leases from the worker that ends their parent.
const BETWEEN_SYNCS: Duration = Duration::from_secs(60);

/// The time to the next comparison after one that failed.
const SYNC_AGAIN: Duration = Duration::from_secs(2);

/// How long the lease table may refuse every look for good (it is deleted, belongs to something else,
/// or may not be read) before the worker ends. A change of permissions, or a table that is being
/// restored, is through in that time; the leases have expired long before.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// Reports of leases that wait for the loop. It empties the queue at once; a shard whose report finds
/// no room waits.
const REPORTS_WAITING: usize = 64;

/// A job's report.
enum Done {
    Looked(Observations, Result<Scan, LookError>),
    Synced(Result<usize, ShardSyncError>),
    Took(ShardId, Box<Result<Claim, LeaseError>>),
    /// Whether a parent is done.
    Parent(ShardId, Result<bool, StoreError>),
    /// A lease that came too late is released.
    LetGo(ShardId),
    Shard(ShardId, Result<LeaseEnd, TaskError>),
}

type Job = Pin<Box<dyn Future<Output = Done> + Send>>;

/// A shard whose lease is held.
struct Running {
    lease: LeaseHandle,
    command: watch::Sender<ShardCommand>,
}

/// Everything a running worker owns. Dropping it ends every task.
pub(crate) struct Coordinator<P> {
    env: Env,
    kinesis: Kinesis,
    config: Arc<Config>,
    table: LeaseTable,
    factory: Factory<P>,
    stats: StatsHandle,
    reports: mpsc::Receiver<LeaseReport>,
    report_sender: mpsc::Sender<LeaseReport>,
    jobs: FuturesUnordered<Job>,
    shards: BTreeMap<ShardId, Running>,
    parents: ParentGate,
    next_round: Instant,
    /// Leases that are being taken, or let go again.
    in_flight: BTreeSet<ShardId>,
    /// Shards that were given up, and until when this worker leaves them to others.
    cooling: BTreeMap<ShardId, Instant>,
    /// What was seen of the leases; away while a look is under way.
    seen: Option<Observations>,
    next_look: Instant,
    /// Since when looks are refused for good, one after another.
    refused_since: Option<Instant>,
    is_syncing: bool,
    has_synced: bool,
    next_sync: Instant,
    is_stopping: bool,
}

impl<P: RecordProcessor> Coordinator<P> {
    pub(crate) fn new(
        kinesis: Kinesis,
        config: Arc<Config>,
        table: LeaseTable,
        factory: Factory<P>,
        stats: StatsHandle,
    ) -> Self {
        let env = kinesis.env().clone();
        let (report_sender, reports) = mpsc::channel(REPORTS_WAITING);
        let now = env.now();
        let seen = Observations::new(config.options.failover);
        Self {
            env,
            kinesis,
            config,
            table,
            factory,
            stats,
            reports,
            report_sender,
            jobs: FuturesUnordered::new(),
            shards: BTreeMap::new(),
            parents: ParentGate::default(),
            next_round: now,
            in_flight: BTreeSet::new(),
            cooling: BTreeMap::new(),
            seen: Some(seen),
            next_look: now,
            refused_since: None,
            is_syncing: false,
            has_synced: false,
            next_sync: now,
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
                () = self.env.sleep_until(self.next_look), if self.seen.is_some() => {
                    self.look();
                    Ok(())
                }
                () = self.env.sleep_until(self.next_round), if self.parents.are_awaited() => {
                    self.next_round = self.env.now() + BETWEEN_ROUNDS;
                    self.parents.round();
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
    pub(crate) async fn stop(mut self) -> Vec<ShardId> {
        self.is_stopping = true;
        let grace = self.config.options.shutdown_grace;
        tracing::info!(shards = self.shards.len(), "the worker stops");
        for shard in self.shards.values() {
            shard.command.send_replace(ShardCommand::Stop);
        }
        let env = self.env.clone();
        let _ = env
            .timeout(grace, async {
                while !self.shards.is_empty() || !self.in_flight.is_empty() {
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
        let busy: Vec<_> = std::mem::take(&mut self.shards).into_keys().collect();
        for shard_id in &busy {
            self.stats.left(shard_id, LeaseEnd::Abandoned);
        }
        busy
    }

    fn on_report(&mut self, report: LeaseReport) {
        match report {
            LeaseReport::Child(claim) => self.start_shard(*claim, LeaseEventKind::Created),
            LeaseReport::WriteFailed => {
                self.stats.count(|stats| stats.lease_write_failures += 1);
            }
            LeaseReport::ShardsMissing => {
                self.next_sync = self.env.now();
                self.next_look = self.env.now();
            }
        }
    }

    fn on_done(&mut self, done: Done) -> Result<(), WorkerError> {
        match done {
            Done::Looked(seen, result) => {
                let outcome = match result {
                    Ok(scan) => {
                        self.refused_since = None;
                        if !self.is_stopping {
                            self.on_scan(&seen, scan);
                        }
                        Ok(())
                    }
                    Err(error) => self.on_failed_look(error),
                };
                self.seen = Some(seen);
                outcome
            }
            Done::Synced(result) => self.on_synced(result),
            Done::Took(shard_id, result) => {
                self.in_flight.remove(&shard_id);
                match *result {
                    Ok(claim) => self.start_shard(claim, LeaseEventKind::Taken),
                    Err(LeaseError::Lost(end)) => {
                        tracing::debug!(%shard_id, "another worker was faster to take the lease: {end}");
                    }
                    Err(error) => {
                        self.stats.count(|stats| stats.lease_write_failures += 1);
                        let cause = with_causes(&error);
                        tracing::warn!(%shard_id, "could not take the lease: {cause}");
                    }
                }
                Ok(())
            }
            Done::Parent(parent, result) => {
                self.on_parent(&parent, result);
                Ok(())
            }
            Done::LetGo(shard_id) => {
                self.in_flight.remove(&shard_id);
                Ok(())
            }
            Done::Shard(shard_id, result) => self.on_shard_over(&shard_id, result),
        }
    }

    fn look(&mut self) {
        // Away while another look is under way: the loop does not ask then.
        let Some(mut seen) = self.seen.take() else {
            return;
        };
        let interval = MAX_BETWEEN_LOOKS.min(self.config.options.failover / 4);
        // Jitter keeps workers that were started together from looking, and taking, together.
        let interval = interval.mul_f64(0.8 + 0.2 * self.env.random_f64());
        self.next_look = self.env.now() + interval;
        let table = self.table.clone();
        self.job(async move {
            let result = table.look(&mut seen).await;
            Done::Looked(seen, result)
        });
    }

    /// What a look at the table leads to.
    fn on_scan(&mut self, seen: &Observations, scan: Scan) {
        for row in &scan.unreadable {
            tracing::error!("a row of the lease table is left alone, with its shard: {row}");
        }
        for row in &scan.leases {
            if let Some(shard) = self.shards.get(&row.shard_id) {
                shard.lease.seen(row);
            }
        }
        self.take_leases(seen, &scan);
        let unreadable = scan.unreadable.iter().map(|row| row.key());
        let ready = self.parents.seen(&scan.leases, unreadable);
        self.go(&ready);
        self.ask_about_parents();
        if !self.is_syncing && self.env.now() >= self.next_sync {
            self.sync(seen, scan);
        }
    }

    fn take_leases(&mut self, seen: &Observations, scan: &Scan) {
        let now = self.env.now();
        self.cooling.retain(|_, until| *until > now);
        let held: BTreeSet<_> = self.shards.keys().chain(&self.in_flight).cloned().collect();
        let me = self.table.me();
        // The lease of a child whose parent is ending here is claimed by this worker, and comes as an event.
        let arriving = scan.leases.iter().filter(|lease| {
            lease.is_claimed_by(me) && lease.parents.iter().any(|id| self.shards.contains_key(id))
        });
        let avoid: BTreeSet<_> = arriving
            .map(|lease| &lease.shard_id)
            .chain(self.cooling.keys())
            .cloned()
            .collect();
        let situation = Situation {
            me,
            leases: &scan.leases,
            seen,
            held: &held,
            avoid: &avoid,
            failover: self.config.options.failover,
            max_leases: self.config.options.max_leases,
        };
        let takes: Vec<_> = decide_takes(&situation, |bound| self.env.random_below(bound))
            .into_iter()
            .cloned()
            .collect();
        for lease in takes {
            let table = self.table.clone();
            self.in_flight.insert(lease.shard_id.clone());
            self.job(async move {
                let result = table.take(&lease).await;
                Done::Took(lease.shard_id, Box::new(result))
            });
        }
    }

    /// Starts the task of a shard whose lease is held now.
    fn start_shard(&mut self, claim: Claim, how: LeaseEventKind) {
        let row = claim.row.clone();
        let shard_id = row.shard_id.clone();
        if self.shards.contains_key(&shard_id) {
            // Nothing leads here: a take is not begun for a shard that runs, and a child that is there
            // already is not claimed by its parents' ends. If it did, the shard has one task, not two.
            return;
        }
        let reports = self.report_sender.clone();
        let lease = LeaseHandle::new(self.table.clone(), claim, reports);
        if self.is_stopping {
            self.let_go(lease);
            return;
        }
        self.stats.event(&shard_id, how);
        let info = ShardInfo {
            stream: self.config.stream.clone(),
            shard_id: shard_id.clone(),
            parents: row.parents.iter().cloned().collect(),
            hash_key_range: row.hash_key_range,
        };
        let command = if row.parents.is_empty() {
            ShardCommand::Process
        } else {
            self.stats.entered(&shard_id, ShardState::WaitingForParents);
            self.parents.wait(&shard_id, &row.parents);
            ShardCommand::Wait
        };
        let (command, receiver) = watch::channel(command);
        // Of the highest level, so that a line of any level has it.
        let span = tracing::error_span!("shard", %shard_id);
        let run = ShardRun {
            env: self.env.clone(),
            kinesis: self.kinesis.clone(),
            config: self.config.clone(),
            info,
            renewals: span.in_scope(|| lease.keep_renewed()),
            lease: lease.clone(),
            factory: self.factory.clone(),
            stats: self.stats.clone(),
            command: receiver,
        };
        let task = self.env.spawn(run.run().instrument(span));
        let id = shard_id.clone();
        self.job(async move { Done::Shard(id, task.await) });
        self.shards.insert(shard_id, Running { lease, command });
        self.ask_about_parents();
    }

    /// Reads the leases of parents of which too little is known.
    fn ask_about_parents(&mut self) {
        for parent in self.parents.ask_now() {
            let table = self.table.clone();
            self.job(async move {
                let result = table.is_done(&parent).await;
                Done::Parent(parent, result)
            });
        }
    }

    fn on_parent(&mut self, parent: &ShardId, result: Result<bool, StoreError>) {
        self.parents.answered(parent);
        match result {
            Ok(true) => {
                let ready = self.parents.done(parent);
                self.go(&ready);
            }
            Ok(false) => {}
            Err(error) => {
                let cause = with_causes(&error);
                tracing::warn!(shard_id = %parent, "could not read the lease of a parent: {cause}");
            }
        }
        self.ask_about_parents();
    }

    /// Lets shards begin whose parents are all done.
    fn go(&self, shards: &[ShardId]) {
        for shard in shards.iter().filter_map(|id| self.shards.get(id)) {
            shard.command.send_if_modified(|command| {
                let waits = *command == ShardCommand::Wait;
                if waits {
                    *command = ShardCommand::Process;
                }
                waits
            });
        }
    }

    fn on_shard_over(
        &mut self,
        shard_id: &ShardId,
        result: Result<LeaseEnd, TaskError>,
    ) -> Result<(), WorkerError> {
        if self.shards.remove(shard_id).is_none() {
            return Ok(());
        }
        self.parents.forget(shard_id);
        match result {
            Ok(LeaseEnd::ShardEnded) => {
                let ready = self.parents.done(shard_id);
                self.go(&ready);
            }
            Ok(LeaseEnd::GivenUp) => self.cool_down(shard_id),
            Ok(LeaseEnd::StreamDeleted) => return Err(self.stream_deleted()),
            Ok(LeaseEnd::TakenByNamesake(worker_id)) => {
                return Err(WorkerError::new(
                    WorkerErrorKind::DuplicateWorkerId,
                    format!("another process with the worker id {worker_id} took {shard_id}"),
                ));
            }
            Ok(_) => {}
            Err(error) => {
                // Not the processor: its panics end in its own task. The lease expires by itself.
                tracing::error!(%shard_id, "the task of the shard ended, the shard is given up: {error}");
                self.stats.left(shard_id, LeaseEnd::GivenUp);
                self.cool_down(shard_id);
            }
        }
        Ok(())
    }

    fn cool_down(&mut self, shard_id: &ShardId) {
        let until = self.env.now() + COOL_DOWN;
        self.cooling.insert(shard_id.clone(), until);
    }

    /// Releases a lease that came when it was not wanted any more.
    fn let_go(&mut self, lease: LeaseHandle) {
        self.in_flight.insert(lease.shard_id().clone());
        self.job(async move {
            lease.release().await;
            Done::LetGo(lease.shard_id().clone())
        });
    }

    fn sync(&mut self, seen: &Observations, scan: Scan) {
        self.is_syncing = true;
        let settled: BTreeSet<ShardId> = scan
            .leases
            .iter()
            .map(|lease| &lease.shard_id)
            .filter(|shard_id| seen.unchanged_for(shard_id) >= KEEP_FINISHED)
            .cloned()
            .collect();
        let (kinesis, table) = (self.kinesis.clone(), self.table.clone());
        let config = self.config.clone();
        self.job(async move {
            Done::Synced(sync_shards(&kinesis, &table, &config, &scan, &settled).await)
        });
    }

    fn on_synced(&mut self, result: Result<usize, ShardSyncError>) -> Result<(), WorkerError> {
        self.is_syncing = false;
        let now = self.env.now();
        match result {
            Ok(created) => {
                self.has_synced = true;
                self.next_sync = now + BETWEEN_SYNCS.mul_f64(0.8 + 0.4 * self.env.random_f64());
                if created > 0 {
                    tracing::info!(created, "leases are created for shards that had none");
                    self.next_look = now;
                }
                Ok(())
            }
            Err(ShardSyncError::StreamGone) => Err(self.stream_deleted()),
            Err(error) if !self.has_synced && error.is_refused() => {
                let message = format!("may not list the shards of {}", self.config.stream);
                Err(WorkerError::new(WorkerErrorKind::Kinesis, message).with_source(error))
            }
            Err(error) => {
                self.next_sync = now + SYNC_AGAIN;
                let cause = with_causes(&error);
                tracing::warn!("could not compare the stream's shards with the leases: {cause}");
                Ok(())
            }
        }
    }

    fn stream_deleted(&self) -> WorkerError {
        let message = format!("the stream {} was deleted", self.config.stream);
        WorkerError::new(WorkerErrorKind::StreamDeleted, message)
    }

    fn job(&mut self, job: impl Future<Output = Done> + Send + 'static) {
        self.jobs.push(Box::pin(job));
    }

    fn on_failed_look(&mut self, error: LookError) -> Result<(), WorkerError> {
        let error = match error {
            LookError::Duplicate(duplicate) => {
                let kind = WorkerErrorKind::DuplicateWorkerId;
                return Err(WorkerError::new(kind, duplicate.to_string()));
            }
            LookError::Store(error) => error,
        };
        // Leases that are held go on; what others do is not known for now.
        if error.is_retryable() {
            self.refused_since = None;
            tracing::warn!("could not look at the lease table: {}", with_causes(&error));
            return Ok(());
        }
        let now = self.env.now();
        let refused_for = now - *self.refused_since.get_or_insert(now);
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
