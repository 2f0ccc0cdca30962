//! The shards of this worker: takes leases, starts the tasks of shards, lets shards begin whose parents
//! are done, and clears up after a task that has ended. Which leases to take is decided in `leases`.

use std::collections::{BTreeMap, BTreeSet};

use shardwise_env::{Instant, TaskError};
use shardwise_types::with_causes;
use tokio::sync::watch;
use tracing::Instrument as _;

use super::{Coordinator, Done};
use crate::config::COOL_DOWN;
use crate::error::{WorkerError, WorkerErrorKind};
use crate::leases::{
    Claim, LeaseEnd, LeaseHandle, LeaseKey, Move, Observations, Scan, StoreError, View, moves,
};
use crate::parent_gate::ParentGate;
use crate::processor::{RecordProcessor, ShardInfo};
use crate::shard::command::ShardCommand;
use crate::shard::run::ShardRun;
use crate::shard::state::ShardState;
use crate::stats::LeaseEventKind;

/// A shard whose lease is held.
pub(super) struct Running {
    pub(super) lease: LeaseHandle,
    pub(super) command: watch::Sender<ShardCommand>,
}

/// What this worker holds, is about to hold, and leaves alone.
pub(super) struct Members {
    pub(super) shards: BTreeMap<LeaseKey, Running>,
    /// Leases that are being taken, or let go again.
    pub(super) in_flight: BTreeSet<LeaseKey>,
    /// Shards that were given up, and until when this worker leaves them to others.
    pub(super) cooling: BTreeMap<LeaseKey, Instant>,
    /// Which shards wait for their parents.
    pub(super) gate: ParentGate,
    /// When to ask about parents of which nothing new is known.
    pub(super) next_round: Instant,
}

impl Members {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            shards: BTreeMap::new(),
            in_flight: BTreeSet::new(),
            cooling: BTreeMap::new(),
            gate: ParentGate::default(),
            next_round: now,
        }
    }
}

impl<P: RecordProcessor> Coordinator<P> {
    pub(super) fn take_leases(&mut self, seen: &Observations, scan: &Scan) {
        let now = self.env.now();
        self.members.cooling.retain(|_, until| *until > now);
        let held: BTreeSet<_> = self
            .members
            .shards
            .keys()
            .chain(&self.members.in_flight)
            .cloned()
            .collect();
        let identity = self.table.identity();
        // The lease of a child whose parent is ending here is claimed by this worker, and is
        // on its way as a report.
        let arriving = scan.leases.iter().filter(|lease| {
            lease.is_claimed_by(identity)
                && lease
                    .parent_keys()
                    .any(|key| self.members.shards.contains_key(&key))
        });
        let avoid: BTreeSet<_> = arriving
            .map(|lease| &lease.key)
            .chain(self.members.cooling.keys())
            .cloned()
            .collect();
        let view = View {
            identity,
            leases: &scan.leases,
            seen,
            held: &held,
            avoid: &avoid,
            failover: self.config.options.failover,
            max_leases: self.config.options.max_leases,
        };
        for Move::Take(lease) in moves(&view, |bound| self.env.random_below(bound)) {
            let table = self.table.clone();
            self.members.in_flight.insert(lease.key.clone());
            self.job(async move {
                let result = table.take(&lease).await;
                Done::Took(lease.key, Box::new(result))
            });
        }
    }

    /// Starts the task of a shard whose lease is held now.
    pub(super) fn start_shard(&mut self, claim: Claim, how: LeaseEventKind) {
        let row = claim.row.clone();
        let key = row.key.clone();
        if self.members.shards.contains_key(&key) {
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
        self.stats.event(&key, how);
        let info = ShardInfo {
            stream: self.config.stream.clone(),
            shard_id: key.shard_id().clone(),
            parents: row.parents.iter().cloned().collect(),
            hash_key_range: row.hash_key_range,
        };
        let command = if row.parents.is_empty() {
            ShardCommand::Process
        } else {
            self.stats.entered(&key, ShardState::WaitingForParents);
            self.members.gate.wait(&key, row.parent_keys());
            ShardCommand::Wait
        };
        let (command, receiver) = watch::channel(command);
        // Of the highest level, so that a line of any level has it.
        let span = tracing::error_span!("shard", shard_id = %key);
        let run = ShardRun {
            env: self.env.clone(),
            kinesis: self.kinesis.clone(),
            config: self.config.clone(),
            info,
            renewals: span.in_scope(|| lease.keep_renewed()),
            lease: lease.clone(),
            factory: self.factory.clone(),
            stats: self.stats.clone(),
            distribution: self.distribution.clone(),
            command: receiver,
        };
        let task = self.env.spawn(run.run().instrument(span));
        let id = key.clone();
        self.job(async move { Done::Shard(id, task.await) });
        self.members.shards.insert(key, Running { lease, command });
        self.ask_about_parents();
    }

    /// Reads the leases of parents of which too little is known.
    pub(super) fn ask_about_parents(&mut self) {
        for parent in self.members.gate.ask_now() {
            let table = self.table.clone();
            self.job(async move {
                let result = table.is_done(&parent).await;
                Done::Parent(parent, result)
            });
        }
    }

    pub(super) fn on_parent(&mut self, parent: &LeaseKey, result: Result<bool, StoreError>) {
        self.members.gate.answered(parent);
        match result {
            Ok(true) => {
                let ready = self.members.gate.done(parent);
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
    pub(super) fn go(&self, shards: &[LeaseKey]) {
        for shard in shards.iter().filter_map(|id| self.members.shards.get(id)) {
            shard.command.send_if_modified(|command| {
                let waits = *command == ShardCommand::Wait;
                if waits {
                    *command = ShardCommand::Process;
                }
                waits
            });
        }
    }

    pub(super) fn on_shard_over(
        &mut self,
        key: &LeaseKey,
        result: Result<LeaseEnd, TaskError>,
    ) -> Result<(), WorkerError> {
        if self.members.shards.remove(key).is_none() {
            return Ok(());
        }
        self.members.gate.forget(key);
        match result {
            Ok(LeaseEnd::ShardEnded) => {
                let ready = self.members.gate.done(key);
                self.go(&ready);
            }
            Ok(LeaseEnd::GivenUp) => self.cool_down(key),
            Ok(LeaseEnd::StreamDeleted) => return Err(self.stream_deleted()),
            Ok(LeaseEnd::TakenByNamesake(worker_id)) => {
                return Err(WorkerError::new(
                    WorkerErrorKind::DuplicateWorkerId,
                    format!("another process with the worker id {worker_id} took {key}"),
                ));
            }
            Ok(_) => {}
            Err(error) => {
                // Not the processor: its panics end in its own task. The lease expires by itself.
                tracing::error!(shard_id = %key, "the task of the shard ended, the shard is given up: {error}");
                self.stats.left(key, LeaseEnd::GivenUp);
                self.cool_down(key);
            }
        }
        Ok(())
    }

    fn cool_down(&mut self, key: &LeaseKey) {
        let until = self.env.now() + COOL_DOWN;
        self.members.cooling.insert(key.clone(), until);
    }

    /// Releases a lease that came when it was not wanted any more.
    fn let_go(&mut self, lease: LeaseHandle) {
        self.members.in_flight.insert(lease.key().clone());
        self.job(async move {
            lease.release().await;
            Done::LetGo(lease.key().clone())
        });
    }
}
