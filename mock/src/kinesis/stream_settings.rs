//! What can be set on a stream: its mode, retention, record size, distribution, encryption and
//! monitoring. The operations that set them are beside this file; [`super::stream::State`] keeps
//! them.

use std::time::Duration;

use shardwise_types::limits;

/// How the stream's capacity is managed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Provisioned,
    OnDemand { warm_mibps: Option<u32> },
}

impl Mode {
    pub(crate) const PROVISIONED: &'static str = "PROVISIONED";
    pub(crate) const ON_DEMAND: &'static str = "ON_DEMAND";

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioned => Self::PROVISIONED,
            Self::OnDemand { .. } => Self::ON_DEMAND,
        }
    }
}

/// Who decides which shard takes a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordDistributionStrategy {
    Auto,
    UserPartitionKey,
}

impl RecordDistributionStrategy {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "AUTO",
            Self::UserPartitionKey => "USER_PARTITION_KEY",
        }
    }
}

/// The settings of a stream.
#[derive(Debug, Clone)]
pub(crate) struct StreamSettings {
    pub(crate) mode: Mode,
    pub(crate) retention: Duration,
    /// Of data and partition key together.
    pub(crate) max_record_bytes: usize,
    pub(crate) distribution: RecordDistributionStrategy,
    /// The KMS key that records are encrypted with; none if they are not.
    pub(crate) key_id: Option<String>,
    /// The metrics of enhanced monitoring, in the order of descriptions.
    pub(crate) shard_level_metrics: Vec<&'static str>,
}

impl StreamSettings {
    /// Those of a new stream.
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            retention: Duration::from_secs(u64::from(limits::RETENTION_HOURS_DEFAULT) * 60 * 60),
            max_record_bytes: limits::RECORD_MAX_BYTES_DEFAULT,
            distribution: RecordDistributionStrategy::UserPartitionKey,
            key_id: None,
            shard_level_metrics: Vec::new(),
        }
    }
}
