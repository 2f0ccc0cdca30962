//! The two workers and their processor.

use std::future::pending;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use shardwise::consumer::{EndAcked, Position, ShardEnd, ShardState, StatsHandle, WorkerError};
use shardwise::env::Task;
use shardwise::prelude::*;
use shardwise::{Env, Shard, ShardId};
use tokio::sync::oneshot;

use super::flights::Flight;
use super::ledger::{Death, Ledger};
use super::stage::Stage;
use super::story::{Story, name, seconds};

/// How long a rebalance between two workers may take: some looks at the lease table.
const BALANCED_WITHIN: Duration = Duration::from_secs(15);

/// Adds flights up by airport, in the ledger that both workers share.
struct MeanDelay {
    worker: &'static str,
    shard: ShardInfo,
    ledger: Ledger,
    story: Story,
    env: Env,
}

impl RecordProcessor for MeanDelay {
    async fn started(&mut self, from: Option<&Position>) -> Result<(), BoxError> {
        let (now, worker, id) = (self.env.now(), self.worker, &self.shard.shard_id);
        let shard = name(id);
        self.story.tell(&match (self.ledger.since_death(id, now), from) {
            (Some((dead, since)), _) if dead != worker => format!(
                "worker {worker} takes over {shard}, {} after the death of worker {dead}: it goes on \
                 behind\nthe last checkpoint, so what came after that comes again",
                seconds(since)
            ),
            (_, Some(_)) => format!("worker {worker} goes on with {shard}, handed over to it"),
            (_, None) if self.shard.parents.is_empty() => {
                format!("worker {worker} begins {shard}")
            }
            (_, None) => format!("worker {worker} begins {shard}, a child"),
        });
        self.ledger.started(id.clone(), worker, now);
        Ok(())
    }

    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        for record in batch.records() {
            let flight = Flight::from_data(&record.data)?;
            let place = (
                self.shard.shard_id.clone(),
                record.sequence_number.clone(),
                record.sub_sequence_number,
            );
            self.ledger
                .delivered(flight, place, self.worker, self.env.now());
        }
        checkpointer.checkpoint(batch.end()).await?;
        Ok(())
    }

    async fn shard_ended(&mut self, end: ShardEnd) -> Result<EndAcked, BoxError> {
        let acked = end.checkpoint().await?;
        let shard = &self.shard.shard_id;
        self.ledger.ended(shard.clone(), self.env.now());
        self.story.tell(&format!(
            "worker {} has processed {} to its end; its children may begin",
            self.worker,
            name(shard)
        ));
        Ok(acked)
    }
}

/// A worker that runs, and how to end it politely.
struct Running {
    name: &'static str,
    stats: StatsHandle,
    stop: oneshot::Sender<()>,
    task: Task<Result<(), WorkerError>>,
}

impl Running {
    /// Whether it processes a shard, and does not only wait to.
    fn processes(&self) -> bool {
        let shards = self.stats.snapshot().shards;
        shards
            .values()
            .any(|state| *state == ShardState::Processing)
    }
}

/// The workers of the application.
pub(crate) struct Crew {
    env: Env,
    running: Vec<Running>,
}

impl Crew {
    pub(crate) fn start(stage: &Stage, ledger: &Ledger, story: &Story) -> anyhow::Result<Self> {
        let running = ["A", "B"]
            .into_iter()
            .map(|name| start(name, stage, ledger, story))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            env: stage.aws.env().clone(),
            running,
        })
    }

    /// Waits until each worker processes at least one shard.
    pub(crate) async fn until_both_process(&self) -> anyhow::Result<()> {
        let limit = self.env.now() + BALANCED_WITHIN;
        while !self.running.iter().all(Running::processes) {
            for worker in &self.running {
                ensure!(
                    !worker.task.is_finished(),
                    "worker {} has ended",
                    worker.name
                );
            }
            ensure!(
                self.env.now() < limit,
                "after {} s one of the workers still processes no shard",
                BALANCED_WITHIN.as_secs()
            );
            self.env.sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Kills the worker that holds most open shards: its tasks end at once, its leases stay behind.
    pub(crate) fn kill_one(&mut self, open: &[Shard], ledger: &Ledger) -> anyhow::Result<Death> {
        let held = |worker: &Running| -> Vec<ShardId> {
            let shards = worker.stats.snapshot().shards;
            let ids = open.iter().map(|shard| &shard.shard_id);
            let is_held = |id: &&ShardId| shards.keys().any(|key| key.shard_id() == *id);
            ids.filter(is_held).cloned().collect()
        };
        let index = (0..self.running.len())
            .max_by_key(|index| held(&self.running[*index]).len())
            .context("no worker is left")?;
        let victim = self.running.remove(index);
        let shards = held(&victim);
        ensure!(!shards.is_empty(), "no worker holds an open shard");
        let death = Death {
            worker: victim.name,
            shards,
            at: self.env.now(),
        };
        // Before its tasks end: what is delivered from now on is judged by it.
        ledger.died(death.clone());
        drop(victim.task);
        Ok(death)
    }

    /// Ends the workers that are left; they release their leases.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        for worker in self.running {
            // Fails only if the worker has ended by itself, and then its result says why.
            let _ended_already = worker.stop.send(());
            worker
                .task
                .await?
                .with_context(|| format!("worker {} failed", worker.name))?;
        }
        Ok(())
    }
}

fn start(
    name: &'static str,
    stage: &Stage,
    ledger: &Ledger,
    story: &Story,
) -> anyhow::Result<Running> {
    let (ledger, story, env) = (ledger.clone(), story.clone(), stage.aws.env().clone());
    let worker = Worker::builder(&stage.aws)
        .application(&stage.application)
        .stream(&stage.stream)
        .initial_position(InitialPosition::TrimHorizon)
        .build({
            let env = env.clone();
            move |shard| MeanDelay {
                worker: name,
                shard: shard.clone(),
                ledger: ledger.clone(),
                story: story.clone(),
                env: env.clone(),
            }
        })?;
    let stats = worker.stats();
    let (stop, stopped) = oneshot::channel();
    let until = async {
        // A sender that is dropped is no order to stop: the worker is then killed, not stopped.
        if stopped.await.is_err() {
            pending::<()>().await;
        }
    };
    let task = env.spawn(worker.run_until(until));
    Ok(Running {
        name,
        stats,
        stop,
        task,
    })
}
