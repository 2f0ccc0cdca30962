//! Settings of a worker, their defaults and the reasons for them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use shardwise_client::Aws;
use shardwise_types::{ApplicationName, StreamName, WorkerId, limits};

use crate::error::{WorkerError, WorkerErrorKind};
use crate::leases::MemoryLeaseStore;
use crate::processor::{RecordProcessor, ShardInfo};
use crate::shard::pace::MIN_BETWEEN_READS;
use crate::worker::Worker;

/// How long a lease is good without a renewal, unless
/// [`failover`](WorkerBuilder::failover) says otherwise: as in the KCL. After a crash a shard stands
/// still for this long, and some more.
pub const DEFAULT_FAILOVER: Duration = Duration::from_secs(10);

/// The shortest [`failover`](WorkerBuilder::failover): below it, an ordinary slow answer of the
/// lease table would cost a lease.
pub const MIN_FAILOVER: Duration = Duration::from_secs(1);

/// The pause between two reads at the tip of a shard, unless
/// [`idle_between_reads`](WorkerBuilder::idle_between_reads) says otherwise: one call a second of
/// the five that a shard answers leaves room for other applications.
pub const DEFAULT_IDLE_BETWEEN_READS: Duration = Duration::from_secs(1);

/// How long a worker takes at most to stop, unless
/// [`shutdown_grace`](WorkerBuilder::shutdown_grace) says otherwise: less than the 30 s after
/// which orchestrators kill a process.
pub const DEFAULT_SHUTDOWN_GRACE: Duration = Duration::from_secs(20);

/// How often a failing call of a processor is tried, unless
/// [`processor_attempts`](WorkerBuilder::processor_attempts) says otherwise.
pub const DEFAULT_PROCESSOR_ATTEMPTS: u32 = 5;

/// How long a worker does not take a shard back that its own processor failed on: long enough for
/// every other worker to try it first, short enough for a lone worker to go on the same minute.
pub const COOL_DOWN: Duration = Duration::from_secs(60);

/// Where an application begins in a shard in which it has no checkpoint.
///
/// Only the first worker that ever meets the shard asks: what it decides stands in the lease table,
/// so nothing is skipped or repeated because a worker with another setting came later. Children of
/// known shards always begin at their first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum InitialPosition {
    /// At the oldest record that is kept: nothing is missed.
    #[default]
    TrimHorizon,
    /// At the records that come from now on. "Now" is made durable with the lease: what arrives
    /// before the first checkpoint is not lost if the worker is.
    Latest,
    /// At the first record that arrived at this time or later.
    AtTimestamp(SystemTime),
}

/// What a worker needs to know all the time.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) application: ApplicationName,
    pub(crate) stream: StreamName,
    pub(crate) worker_id: WorkerId,
    pub(crate) initial_position: InitialPosition,
    pub(crate) failover: Duration,
    pub(crate) idle_between_reads: Duration,
    pub(crate) max_records: u32,
    pub(crate) shutdown_grace: Duration,
    pub(crate) max_leases: usize,
    pub(crate) processor_attempts: u32,
}

/// Where the leases are kept.
#[derive(Debug, Clone)]
pub(crate) enum StoreChoice {
    DynamoDb { create_table: bool },
    Memory(MemoryLeaseStore),
}

/// Settings of a [`Worker`], checked together by [`build`](Self::build). From [`Worker::builder`].
#[must_use = "a builder does nothing until it is built"]
pub struct WorkerBuilder {
    aws: Aws,
    config: Config,
    store: StoreChoice,
}

impl WorkerBuilder {
    pub(crate) fn new(aws: &Aws, application: ApplicationName, stream: StreamName) -> Self {
        let worker_id = WorkerId::from_parts("worker", aws.env().random_u128());
        Self {
            aws: aws.clone(),
            config: Config {
                application,
                stream,
                worker_id,
                initial_position: InitialPosition::default(),
                failover: DEFAULT_FAILOVER,
                idle_between_reads: DEFAULT_IDLE_BETWEEN_READS,
                max_records: limits::GET_RECORDS_MAX_RECORDS,
                shutdown_grace: DEFAULT_SHUTDOWN_GRACE,
                max_leases: usize::MAX,
                processor_attempts: DEFAULT_PROCESSOR_ATTEMPTS,
            },
            store: StoreChoice::DynamoDb { create_table: true },
        }
    }

    /// The name by which the lease table knows this worker; a random one if not given. No two live
    /// processes may share it: the worker ends with
    /// [`DuplicateWorkerId`](WorkerErrorKind::DuplicateWorkerId) when it meets its double.
    pub fn worker_id(mut self, worker_id: WorkerId) -> Self {
        self.config.worker_id = worker_id;
        self
    }

    /// Where to begin without a checkpoint: [`InitialPosition::TrimHorizon`] if not given.
    pub fn initial_position(mut self, position: InitialPosition) -> Self {
        self.config.initial_position = position;
        self
    }

    /// How long a lease is good without a renewal: [`DEFAULT_FAILOVER`]. All workers of an
    /// application must agree on it.
    pub fn failover(mut self, failover: Duration) -> Self {
        self.config.failover = failover;
        self
    }

    /// The pause between two reads at the tip of a shard: [`DEFAULT_IDLE_BETWEEN_READS`], at least
    /// 200 ms. Behind the tip a shard is read as fast as the service allows.
    pub fn idle_between_reads(mut self, idle: Duration) -> Self {
        self.config.idle_between_reads = idle;
        self
    }

    /// Records of one read and of one batch, at most: 10,000.
    pub fn max_records(mut self, max_records: u32) -> Self {
        self.config.max_records = max_records;
        self
    }

    /// How long to wait at shutdown for processors that are busy: [`DEFAULT_SHUTDOWN_GRACE`].
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.config.shutdown_grace = grace;
        self
    }

    /// How many leases to take at most; no limit if not given. Shards beyond the sum of all
    /// workers' limits are not processed. Children of a shard that ends here may exceed it.
    pub fn max_leases(mut self, max_leases: usize) -> Self {
        self.config.max_leases = max_leases;
        self
    }

    /// How often a failing call of a processor is tried before the shard is given up:
    /// [`DEFAULT_PROCESSOR_ATTEMPTS`].
    pub fn processor_attempts(mut self, attempts: u32) -> Self {
        self.config.processor_attempts = attempts;
        self
    }

    /// Whether to create the lease table if it is missing: yes if not given. Without it a missing
    /// table is an error, and the permission to create tables is not needed.
    pub fn create_table(mut self, create_table: bool) -> Self {
        self.store = StoreChoice::DynamoDb { create_table };
        self
    }

    /// Keeps the leases in this process instead of in DynamoDB: for tests, and for a stream that
    /// one process reads from its beginning each time.
    pub fn lease_store(mut self, store: MemoryLeaseStore) -> Self {
        self.store = StoreChoice::Memory(store);
        self
    }

    /// Checks the settings. `processor` makes one processor for each shard that the worker comes
    /// to hold. No call is made yet.
    ///
    /// # Errors
    /// [`InvalidConfig`](WorkerErrorKind::InvalidConfig), saying which setting is wrong.
    pub fn build<P: RecordProcessor>(
        self,
        processor: impl Fn(&ShardInfo) -> P + Send + Sync + 'static,
    ) -> Result<Worker<P>, WorkerError> {
        self.check()?;
        Ok(Worker::new(
            self.aws,
            self.config,
            self.store,
            Arc::new(processor),
        ))
    }

    fn check(&self) -> Result<(), WorkerError> {
        let config = &self.config;
        let wrong =
            |message: String| Err(WorkerError::new(WorkerErrorKind::InvalidConfig, message));
        if config.failover < MIN_FAILOVER {
            let tried = config.failover;
            return wrong(format!(
                "failover is {tried:?}, at least {MIN_FAILOVER:?} is needed"
            ));
        }
        if config.idle_between_reads < MIN_BETWEEN_READS {
            let tried = config.idle_between_reads;
            return wrong(format!(
                "idle_between_reads is {tried:?}, a shard answers once in {MIN_BETWEEN_READS:?}"
            ));
        }
        if !(1..=limits::GET_RECORDS_MAX_RECORDS).contains(&config.max_records) {
            let (tried, max) = (config.max_records, limits::GET_RECORDS_MAX_RECORDS);
            return wrong(format!("max_records is {tried}, 1 to {max} are allowed"));
        }
        if config.max_leases == 0 {
            return wrong("max_leases is 0: the worker would never do anything".to_owned());
        }
        if config.processor_attempts == 0 {
            return wrong("processor_attempts is 0, at least one is needed".to_owned());
        }
        Ok(())
    }
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
