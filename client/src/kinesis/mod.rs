//! The operations of Kinesis Data Streams, one file per group.

mod get_records;
mod list_shards;
mod put_records;
mod reshard;
mod shard_iterator;
mod stream;
mod wire;

use bytes::Bytes;
use serde::Serialize;
use shardwise_env::Env;

pub use self::get_records::{ChildShard, GetRecordsOutput, Record};
pub use self::list_shards::ShardFilter;
pub use self::put_records::{PutFailure, PutRecordsEntry, PutSuccess};
pub use self::shard_iterator::{IteratorPosition, ShardIterator};
pub use self::stream::{StreamStatus, StreamSummary};
use crate::aws::Aws;
use crate::call::{self, Answer, Effect, Operation};
use crate::encoding::Wire;
use crate::error::{BoxError, Error};
use crate::retry::RetryPolicy;

/// The operations of Kinesis Data Streams.
///
/// Cheap to clone. From [`Aws::kinesis`]. Each operation is tried as often as its
/// [`RetryPolicy`] says; what is left is an [`Error`].
///
/// # Cancel safety
/// Every operation may be dropped at any time. One that writes may then have written or not.
#[derive(Debug, Clone)]
pub struct Kinesis {
    aws: Aws,
    data_path: RetryPolicy,
    control_plane: RetryPolicy,
}

impl Kinesis {
    pub(crate) fn new(aws: Aws) -> Self {
        Self {
            aws,
            data_path: RetryPolicy::data_path(),
            control_plane: RetryPolicy::control_plane(),
        }
    }

    /// The same operations with another policy for PutRecord, PutRecords, GetShardIterator and
    /// GetRecords.
    #[must_use]
    pub fn with_data_path_retries(mut self, policy: RetryPolicy) -> Self {
        self.data_path = policy;
        self
    }

    /// The same operations with another policy for those that create, change, list and describe.
    #[must_use]
    pub fn with_control_plane_retries(mut self, policy: RetryPolicy) -> Self {
        self.control_plane = policy;
        self
    }

    /// Time, tasks and randomness of the handle that this came from.
    #[must_use]
    pub fn env(&self) -> &Env {
        self.aws.env()
    }

    async fn call<T: Send>(
        &self,
        operation: Operation,
        input: &(impl Serialize + Sync),
        read: impl Fn(&Answer) -> Result<T, BoxError> + Send + Sync,
    ) -> Result<T, Error> {
        let wire = self.aws.encoding().wire();
        let body = wire.write(input);
        self.send(operation, wire, body.into(), read).await
    }

    async fn send<T: Send>(
        &self,
        operation: Operation,
        wire: Wire,
        body: Bytes,
        read: impl Fn(&Answer) -> Result<T, BoxError> + Send + Sync,
    ) -> Result<T, Error> {
        let policy = if operation.is_data_path() {
            self.data_path
        } else {
            self.control_plane
        };
        call::call(&self.aws, operation, policy, (wire, body), read).await
    }
}

impl Operation {
    const fn reads(name: &'static str) -> Self {
        Self {
            name,
            effect: Effect::Reads,
        }
    }

    const fn puts(name: &'static str) -> Self {
        Self {
            name,
            effect: Effect::Puts,
        }
    }

    const fn changes(name: &'static str) -> Self {
        Self {
            name,
            effect: Effect::Changes,
        }
    }

    fn is_data_path(self) -> bool {
        matches!(
            self.name,
            "PutRecord" | "PutRecords" | "GetRecords" | "GetShardIterator"
        )
    }
}
