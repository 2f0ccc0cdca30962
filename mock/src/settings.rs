//! The settings that all accounts of a mock share.

use std::time::Duration;

use shardwise_env::Env;

/// What the accounts of a mock have in common.
#[derive(Debug)]
pub(crate) struct BackendSettings {
    pub(crate) env: Env,
    /// The account of access key ids that are no account themselves.
    pub(crate) account: String,
    /// The only region, if there is only one.
    pub(crate) region: Option<String>,
    pub(crate) shard_limit: u32,
    pub(crate) limits: LimitsMode,
    pub(crate) control_plane_limits: bool,
    pub(crate) scale_every: Duration,
    pub(crate) state_delay: Duration,
    pub(crate) table_delay: Duration,
    pub(crate) stale_reads: Duration,
    pub(crate) seed: u64,
}

impl BackendSettings {
    /// The region of the mock's own account.
    pub(crate) fn home_region(&self) -> &str {
        self.region.as_deref().unwrap_or(DEFAULT_REGION)
    }
}

/// How much one shard takes and gives.
///
/// <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum LimitsMode {
    /// Whatever comes.
    Relaxed,
    /// What the service's shards do: 1,000 records and 1 MiB written per second, 5 reads and 2 MiB
    /// read, 5 iterators, and 2 MiB for each subscription. What is beyond gets
    /// ProvisionedThroughputExceededException; of a PutRecords only the entries beyond it.
    Strict,
}

/// The own account of a [`Mock`](crate::Mock) that is given none.
pub const DEFAULT_ACCOUNT: &str = "000000000000";

/// The region of [`Mock::create_stream`](crate::Mock::create_stream), and of requests that name none, in a [`Mock`](crate::Mock) that is given
/// none.
pub const DEFAULT_REGION: &str = "us-east-1";

/// The account's shard limit of a [`Mock`](crate::Mock) that is given none: the service's default in its three
/// largest regions. <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>
pub const DEFAULT_SHARD_LIMIT: u32 = 20_000;

/// How long on-demand streams of a [`Mock`](crate::Mock) take to grow by default: as long as the
/// service's, which throttles whoever doubles his peak sooner.
/// <https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html>
pub const DEFAULT_SCALE_EVERY: Duration = Duration::from_secs(15 * 60);
