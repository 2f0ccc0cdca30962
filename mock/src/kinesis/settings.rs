//! What can be set on a stream: its mode, retention, record size, distribution, encryption and
//! monitoring. The operations that set them are beside this file; [`super::stream::State`] keeps
//! them.

use std::time::Duration;

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

/// Retention of a new stream.
const DEFAULT_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// The record limit of a stream that names none, in KiB.
const DEFAULT_RECORD_KIB: u32 = 1024;

/// The settings of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    pub(crate) retention: Duration,
    pub(crate) max_record_kib: u32,
    pub(crate) distribution: RecordDistributionStrategy,
    /// The KMS key that records are encrypted with; none if they are not.
    pub(crate) key_id: Option<String>,
    /// The metrics of enhanced monitoring, in the order in which they are told.
    pub(crate) shard_level_metrics: Vec<&'static str>,
}

impl Settings {
    /// Those of a new stream.
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            retention: DEFAULT_RETENTION,
            max_record_kib: DEFAULT_RECORD_KIB,
            distribution: RecordDistributionStrategy::UserPartitionKey,
            key_id: None,
            shard_level_metrics: Vec::new(),
        }
    }
}
