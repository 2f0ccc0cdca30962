//! The worker: what an application builds and runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shardwise_client::Aws;
use shardwise_client::retry::RetryPolicy;
use shardwise_types::{ApplicationName, StreamName, WorkerId};

use crate::config::{Config, StoreChoice, WorkerBuilder};
use crate::coordinator::Coordinator;
use crate::error::{WorkerError, WorkerErrorKind};
use crate::leases::{DynamoDbStore, LeaseStore, LeaseTable, Me, MissingTable};
use crate::processor::RecordProcessor;
use crate::shard::calls::Factory;
use crate::stats::Stats;
use crate::stream::is_gone;

/// One worker of an application: takes its share of a stream's shards and runs a processor for each.
///
/// Any number of workers, in any number of processes and on any hosts, may run for one application;
/// they find each other through the lease table, which is named after the application.
pub struct Worker<P> {
    aws: Aws,
    config: Arc<Config>,
    store: StoreChoice,
    factory: Factory<P>,
    stats: Stats,
}

impl Worker<()> {
    /// Settings for a worker of this application on this stream.
    pub fn builder(aws: &Aws, application: ApplicationName, stream: StreamName) -> WorkerBuilder {
        WorkerBuilder::new(aws, application, stream)
    }
}

impl<P: RecordProcessor> Worker<P> {
    pub(crate) fn new(aws: Aws, config: Config, store: StoreChoice, factory: Factory<P>) -> Self {
        let stats = Stats::new(aws.env().clone());
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
    pub fn stats(&self) -> Stats {
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
        let until = async move {
            until.await;
        };
        let mut until = std::pin::pin!(until);
        let table = self.table();
        // Each branch owns nothing that its being dropped would lose.
        tokio::select! {
            biased;
            () = &mut until => return Ok(()),
            result = self.prepare(&table) => result?,
        }
        let kinesis = self.aws.kinesis();
        let config = self.config.clone();
        let mut coordinator =
            Coordinator::new(kinesis, self.config, table, self.factory, self.stats);
        tracing::info!(
            stream = %config.stream,
            application = %config.application,
            lease_owner = %config.worker_id,
            "the worker runs"
        );
        let result = tokio::select! {
            biased;
            () = &mut until => Ok(()),
            error = coordinator.run() => Err(error),
        };
        if let Err(error) = &result {
            tracing::error!(stream = %config.stream, %error, "the worker cannot go on");
        }
        let busy = coordinator.stop().await;
        if !busy.is_empty() {
            let names: Vec<_> = busy.iter().map(ToString::to_string).collect();
            let message = format!(
                "still busy after the grace of {:?}, and dropped: {}",
                config.shutdown_grace,
                names.join(", ")
            );
            tracing::error!(stream = %config.stream, shards = names.join(", "), "busy at the end");
            return result.and(Err(WorkerError::new(WorkerErrorKind::GraceEnded, message)));
        }
        result
    }

    fn table(&self) -> LeaseTable {
        let config = &self.config;
        let env = self.aws.env().clone();
        let me = Me::new(config.worker_id.clone(), &env);
        let store: Arc<dyn LeaseStore> = match &self.store {
            StoreChoice::DynamoDb { .. } => Arc::new(DynamoDbStore::new(
                &self.aws,
                &config.application,
                config.failover,
            )),
            StoreChoice::Memory(store) => Arc::new(store.clone()),
        };
        LeaseTable::new(store, me, env, config.failover)
    }

    /// Makes sure that there is a stream and a table.
    async fn prepare(&self, table: &LeaseTable) -> Result<(), WorkerError> {
        self.check_stream().await?;
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
            tracing::warn!(%error, "the lease table is not ready");
            env.sleep(waits.next_delay().max(MIN_TABLE_WAIT)).await;
        }
    }

    /// An unknown stream is found before a table is made for it.
    async fn check_stream(&self) -> Result<(), WorkerError> {
        let stream = &self.config.stream;
        match is_gone(&self.aws.kinesis(), stream).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(WorkerError::new(
                WorkerErrorKind::UnknownStream,
                format!("there is no stream {stream} in {}", self.aws.region()),
            )),
            // The listing of shards will tell, and needs another permission.
            Err(error) => {
                tracing::warn!(%stream, %error, "could not describe the stream");
                Ok(())
            }
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
