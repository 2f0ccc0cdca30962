//! The worker: what an application builds and runs.

mod builder;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shardwise_client::Aws;
use shardwise_client::retry::RetryPolicy;
use shardwise_types::{WorkerId, with_causes};
use tracing::Instrument as _;

pub use self::builder::WorkerBuilder;
use crate::config::{Config, StoreChoice};
use crate::coordinator::Coordinator;
use crate::error::{WorkerError, WorkerErrorKind};
use crate::leases::{DynamoDbStore, Identity, LeaseStore, LeaseTable, MissingTable};
use crate::processor::RecordProcessor;
use crate::record_distribution::RecordDistribution;
use crate::shard::calls::Factory;
use crate::stats::StatsHandle;
use crate::stream_check::says_gone;

/// One worker of an application: takes its share of a stream's shards and runs a processor for each.
///
/// Any number of workers, in any number of processes and on any hosts, may run for one application;
/// they find each other through the lease table, which is named after the application.
pub struct Worker<P> {
    aws: Aws,
    config: Arc<Config>,
    store: StoreChoice,
    factory: Factory<P>,
    stats: StatsHandle,
}

impl Worker<()> {
    /// A worker to set up: it needs an [`application`](WorkerBuilder::application) and a
    /// [`stream`](WorkerBuilder::stream).
    pub fn builder(aws: &Aws) -> WorkerBuilder {
        WorkerBuilder::new(aws)
    }
}

impl<P: RecordProcessor> Worker<P> {
    pub(crate) fn new(aws: Aws, config: Config, store: StoreChoice, factory: Factory<P>) -> Self {
        let stats = StatsHandle::new(aws.env().clone());
        Self {
            aws,
            config: Arc::new(config),
            store,
            factory,
            stats,
        }
    }

    /// The worker's name in the lease table.
    #[must_use]
    pub fn worker_id(&self) -> &WorkerId {
        &self.config.worker_id
    }

    /// The worker's counters, to be looked at while it runs.
    #[must_use]
    pub fn stats(&self) -> StatsHandle {
        self.stats.clone()
    }

    /// Works until `until` is ready, then stops cleanly.
    ///
    /// Stopping happens in this order: no more leases are taken; nothing more is fetched; each
    /// processor finishes the call that runs, then gets its
    /// [`shutting_down`](RecordProcessor::shutting_down); its lease is released, so that another
    /// worker goes on within two seconds. All of it takes at most the
    /// [`shutdown_grace`](WorkerBuilder::shutdown_grace).
    ///
    /// # Errors
    /// A [`WorkerError`] whose kind says why the worker cannot go on. Before it returns it stops as
    /// above. Failures that may pass (of the network, of either service) are waited out, however
    /// long.
    ///
    /// # Cancel safety
    /// Dropping the future ends every task of the worker at its next await point, processors
    /// included. Nothing is lost: the leases expire, and other workers go on from the last
    /// checkpoints.
    pub async fn run_until<F: Future + Send>(self, until: F) -> Result<(), WorkerError> {
        let config = &self.config;
        // Of the highest level, so that a line of any level has these fields.
        let span = tracing::error_span!(
            "worker",
            application = %config.application,
            stream = %config.stream,
            worker_id = %config.worker_id,
        );
        self.work(until).instrument(span).await
    }

    async fn work<F: Future + Send>(self, until: F) -> Result<(), WorkerError> {
        let until = async move {
            until.await;
        };
        let mut until = std::pin::pin!(until);
        let table = self.table();
        let stream = self.config.stream.clone();
        let distribution = RecordDistribution::new(self.aws.kinesis(), stream);
        // Each branch owns nothing that its being dropped would lose.
        tokio::select! {
            biased;
            () = &mut until => return Ok(()),
            result = self.prepare(&table, &distribution) => result?,
        }
        let kinesis = self.aws.kinesis();
        let config = self.config.clone();
        let mut coordinator = Coordinator::new(
            kinesis,
            self.config,
            table,
            self.factory,
            self.stats,
            distribution,
        );
        tracing::info!("the worker runs");
        let result = tokio::select! {
            biased;
            () = &mut until => Ok(()),
            error = coordinator.run() => Err(error),
        };
        if let Err(error) = &result {
            tracing::error!("the worker cannot go on: {error}");
        }
        let busy = coordinator.stop().await;
        if !busy.is_empty() {
            let names: Vec<_> = busy.iter().map(ToString::to_string).collect();
            let message = format!(
                "still busy after the grace of {:?}, and dropped: {}",
                config.options.shutdown_grace,
                names.join(", ")
            );
            tracing::error!("processors are dropped: {message}");
            return result.and(Err(WorkerError::new(WorkerErrorKind::GraceEnded, message)));
        }
        result
    }

    fn table(&self) -> LeaseTable {
        let config = &self.config;
        let env = self.aws.env().clone();
        let identity = Identity::new(config.worker_id.clone(), &env);
        let store: Arc<dyn LeaseStore> = match &self.store {
            StoreChoice::DynamoDb { .. } => Arc::new(DynamoDbStore::new(
                &self.aws,
                &config.application,
                config.options.failover,
            )),
            StoreChoice::Memory(store) => Arc::new(store.clone()),
        };
        LeaseTable::new(store, identity, env, config.options.failover)
    }

    /// Makes sure that there is a stream and a table.
    async fn prepare(
        &self,
        table: &LeaseTable,
        distribution: &RecordDistribution,
    ) -> Result<(), WorkerError> {
        self.check_stream(distribution).await?;
        let missing = match self.store {
            StoreChoice::DynamoDb {
                create_table: false,
            } => MissingTable::Refuse,
            _ => MissingTable::Create,
        };
        let env = self.aws.env();
        let mut waits = RetryPolicy::control_plane().delays(env);
        loop {
            let error = match table.ensure(missing).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !error.is_retryable() {
                let message = format!("cannot use the lease table {}", self.config.application);
                return Err(
                    WorkerError::new(WorkerErrorKind::LeaseTable, message).with_source(error)
                );
            }
            tracing::warn!("the lease table is not ready: {}", with_causes(&error));
            env.sleep(waits.next_delay().max(MIN_TABLE_WAIT)).await;
        }
    }

    /// An unknown stream is found before a table is made for it.
    async fn check_stream(&self, distribution: &RecordDistribution) -> Result<(), WorkerError> {
        let stream = &self.config.stream;
        match says_gone(distribution.describe().await) {
            Ok(false) => Ok(()),
            Ok(true) => Err(WorkerError::new(
                WorkerErrorKind::UnknownStream,
                format!("there is no stream {stream} in {}", self.aws.region()),
            )),
            // The listing of shards will tell, and needs another permission. What else depends on the
            // description says so itself.
            Err(_) => Ok(()),
        }
    }
}

/// The least time between two tries to make the lease table ready.
const MIN_TABLE_WAIT: Duration = Duration::from_millis(100);

impl<P> fmt::Debug for Worker<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
