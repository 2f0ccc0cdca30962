//! The handle of all operations: which retry policy one has, and how its input is written.
//!
//! The operations add their methods to it, each in its own file.

use bytes::Bytes;
use serde::Serialize;
use shardwise_env::Env;

use crate::aws::Aws;
use crate::call::{self, RawResponse};
use crate::encoding::WireFormat;
use crate::error::{BoxError, Error};
use crate::operation::{Operation, Plane};
use crate::retry::RetryPolicy;

impl Aws {
    /// The operations of Kinesis Data Streams.
    #[must_use]
    pub fn kinesis(&self) -> Kinesis {
        Kinesis::new(self.clone())
    }
}

/// The operations of Kinesis Data Streams.
///
/// Cheap to clone. From [`Aws::kinesis`]. Each operation is tried as often as its
/// [`RetryPolicy`] says; what is left is an [`Error`].
///
/// # Cancel safety
/// Every operation may be dropped at any time. One that writes may then have written or not.
#[derive(Debug, Clone)]
pub struct Kinesis {
    pub(super) aws: Aws,
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

    pub(super) async fn call<T: Send>(
        &self,
        operation: Operation,
        input: &(impl Serialize + Sync),
        read: impl Fn(&RawResponse) -> Result<T, BoxError> + Send + Sync,
    ) -> Result<T, Error> {
        let wire = self.aws.encoding().wire();
        let body = wire.write(input);
        self.send(operation, wire, body.into(), read).await
    }

    pub(super) async fn send<T: Send>(
        &self,
        operation: Operation,
        wire: WireFormat,
        body: Bytes,
        read: impl Fn(&RawResponse) -> Result<T, BoxError> + Send + Sync,
    ) -> Result<T, Error> {
        let policy = match operation.plane {
            Plane::Data => self.data_path,
            Plane::Control => self.control_plane,
        };
        call::call(&self.aws, operation, policy, (wire, body), read).await
    }
}
