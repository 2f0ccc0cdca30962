//! How an application sets a worker up: names and options by setters, checked together.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use shardwise_client::Aws;
use shardwise_types::{ConfigError, ConfigErrorKind, Invalid, WorkerId, limits};

use super::Worker;
use crate::config::{Config, InitialPosition, MIN_FAILOVER, Options, StoreChoice};
use crate::leases::MemoryLeaseStore;
use crate::processor::{RecordProcessor, ShardInfo};
use crate::shard::pace::MIN_BETWEEN_READS;

/// Settings of a [`Worker`], checked together by [`build`](Self::build). From [`Worker::builder`].
#[must_use = "a builder does nothing until it is built"]
pub struct WorkerBuilder {
    aws: Aws,
    application: Option<String>,
    stream: Option<String>,
    worker_id: Option<String>,
    options: Options,
    store: StoreChoice,
}

impl WorkerBuilder {
    pub(super) fn new(aws: &Aws) -> Self {
        Self {
            aws: aws.clone(),
            application: None,
            stream: None,
            worker_id: None,
            options: Options::default(),
            store: StoreChoice::DynamoDb { create_table: true },
        }
    }

    /// The application: its workers share the stream's shards, by leases in a DynamoDB table of this
    /// name. Needed.
    pub fn application(mut self, name: impl Into<String>) -> Self {
        self.application = Some(name.into());
        self
    }

    /// The stream to read. Needed.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = Some(name.into());
        self
    }

    /// The name by which the lease table knows this worker; a random one if not given. No two live
    /// processes may share it: the worker ends with
    /// [`DuplicateWorkerId`](crate::WorkerErrorKind::DuplicateWorkerId) when it meets its double.
    pub fn worker_id(mut self, worker_id: impl Into<String>) -> Self {
        self.worker_id = Some(worker_id.into());
        self
    }

    /// Where to begin without a checkpoint: [`InitialPosition::TrimHorizon`] if not given.
    pub fn initial_position(mut self, position: InitialPosition) -> Self {
        self.options.initial_position = position;
        self
    }

    /// How long a lease is good without a renewal: [`DEFAULT_FAILOVER`](crate::DEFAULT_FAILOVER). All workers of an
    /// application must agree on it.
    pub fn failover(mut self, failover: Duration) -> Self {
        self.options.failover = failover;
        self
    }

    /// The pause between two reads at the tip of a shard: [`DEFAULT_IDLE_BETWEEN_READS`](crate::DEFAULT_IDLE_BETWEEN_READS), at least
    /// 200 ms. Behind the tip a shard is read as fast as the service allows.
    pub fn idle_between_reads(mut self, idle: Duration) -> Self {
        self.options.idle_between_reads = idle;
        self
    }

    /// Records of one read and of one batch, at most: 10,000.
    pub fn max_records(mut self, max_records: u32) -> Self {
        self.options.max_records = max_records;
        self
    }

    /// How long to wait at shutdown for processors that are busy: [`DEFAULT_SHUTDOWN_GRACE`](crate::DEFAULT_SHUTDOWN_GRACE).
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.options.shutdown_grace = grace;
        self
    }

    /// How many leases to take at most; no limit if not given. Shards beyond the sum of all
    /// workers' limits are not processed. Children of a shard that ends here may exceed it, and
    /// leases of shards that wait for their parents do not count.
    pub fn max_leases(mut self, max_leases: usize) -> Self {
        self.options.max_leases = max_leases;
        self
    }

    /// How often a failing call of a processor is tried before the shard is given up:
    /// [`DEFAULT_PROCESSOR_ATTEMPTS`](crate::DEFAULT_PROCESSOR_ATTEMPTS).
    pub fn processor_attempts(mut self, attempts: u32) -> Self {
        self.options.processor_attempts = attempts;
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

    /// Checks names and options. `processor` makes one processor for each shard that the worker comes
    /// to hold. No call is made yet.
    ///
    /// # Errors
    /// [`InvalidName`](ConfigErrorKind::InvalidName) for a name that is missing or breaks its rule,
    /// [`InvalidSetting`](ConfigErrorKind::InvalidSetting) for an option that is out of range; the
    /// message says which.
    pub fn build<P: RecordProcessor>(
        self,
        processor: impl Fn(&ShardInfo) -> P + Send + Sync + 'static,
    ) -> Result<Worker<P>, ConfigError> {
        check(&self.options)?;
        let config = Config {
            application: needed("application", self.application)?,
            stream: needed("stream", self.stream)?,
            worker_id: match self.worker_id {
                Some(name) => name.parse()?,
                None => WorkerId::from_parts("worker", self.aws.env().random_u128()),
            },
            options: self.options,
        };
        Ok(Worker::new(
            self.aws,
            config,
            self.store,
            Arc::new(processor),
        ))
    }
}

fn needed<T: FromStr<Err = Invalid>>(what: &str, name: Option<String>) -> Result<T, ConfigError> {
    let Some(name) = name else {
        let message = format!("the worker has no {what}: name one with {what}(..)");
        return Err(ConfigError::new(ConfigErrorKind::InvalidName, message));
    };
    Ok(name.parse()?)
}

fn check(options: &Options) -> Result<(), ConfigError> {
    let wrong = |message: String| Err(ConfigError::new(ConfigErrorKind::InvalidSetting, message));
    if options.failover < MIN_FAILOVER {
        let tried = options.failover;
        return wrong(format!(
            "failover is {tried:?}, at least {MIN_FAILOVER:?} is needed"
        ));
    }
    if options.idle_between_reads < MIN_BETWEEN_READS {
        let tried = options.idle_between_reads;
        return wrong(format!(
            "idle_between_reads is {tried:?}, a shard answers once in {MIN_BETWEEN_READS:?}"
        ));
    }
    if !(1..=limits::GET_RECORDS_MAX_RECORDS).contains(&options.max_records) {
        let (tried, max) = (options.max_records, limits::GET_RECORDS_MAX_RECORDS);
        return wrong(format!("max_records is {tried}, 1 to {max} are allowed"));
    }
    if options.max_leases == 0 {
        return wrong("max_leases is 0: the worker would never do anything".to_owned());
    }
    if options.processor_attempts == 0 {
        return wrong("processor_attempts is 0, at least one is needed".to_owned());
    }
    Ok(())
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder")
            .field("application", &self.application)
            .field("stream", &self.stream)
            .field("worker_id", &self.worker_id)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
