//! Kinesis over HTTP: transport, signing, retries, operations.
//!
//! The only crate of the workspace that speaks HTTP. Everything starts from one handle, [`Aws`]:
//! region, credentials, endpoints, transport and [`Env`]. From it come
//! [`Kinesis`], the operations of the service, and the pieces that let `aws-sdk-dynamodb` ride on
//! the same [`Transport`] ([`Aws::http_client`]).
//!
//! ```text
//! Kinesis::put_records → call: sign, send, judge, wait, again → Transport → reqwest | in process
//! ```
//!
//! - Which failures are tried again: [`retry`]. How long to wait: [`retry::RetryPolicy`].
//! - What a failure means for a record: [`Error::written`].
//!
//! ```
//! use shardwise_client::{Aws, ShardFilter};
//! use shardwise_mock::Mock;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let mock = Mock::new();
//! let kinesis = Aws::in_process(mock.service()).kinesis();
//! let stream = "orders".parse()?;
//! kinesis.create_stream(&stream, 2).await?;
//! let shards = kinesis.list_shards(&stream, ShardFilter::All).await?;
//! assert_eq!(shards.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//! None is on by default.
//!
//! - `aws-config`: `Aws::load` finds profiles, SSO, web identity and the roles of containers and
//!   instances, as AWS's own tools do.
//! - `aws-lc-rs`: the cryptography of TLS from AWS-LC in place of ring, a C build of minutes.

mod aws;
mod call;
mod cbor;
mod clock_skew;
mod credentials;
mod encoding;
mod endpoint;
mod error;
mod kinesis;
mod operation;
pub mod retry;
mod sign;
mod smithy;
pub mod transport;

pub use aws_credential_types as credential_types;
pub use shardwise_env::Env;
pub use shardwise_types::{ConfigError, ConfigErrorKind};

pub use crate::aws::builder::AwsBuilder;
pub use crate::aws::{Aws, Timeouts};
pub use crate::encoding::Encoding;
pub use crate::endpoint::Service;
pub use crate::error::{Error, ErrorKind, Written};
pub use crate::kinesis::*;
pub use crate::transport::Transport;
