//! Kinesis and DynamoDB in one process, for tests and for a laptop.
//!
//! [`Mock`] is the backend. Inside a test, [`Mock::service`] answers HTTP requests without a
//! socket, on the test's own clock; [`Mock::listen`] puts the same backend on a port, where any AWS
//! client can talk to it: Kinesis in JSON and in the CBOR of the Java SDKs, DynamoDB in JSON. Its
//! answers are the service's own: statuses, error types, error texts and sequence numbers; what it
//! does not implement it refuses as the service refuses an unknown operation.
//!
//! Signatures must be there and are not verified, unless [`MockBuilder::verify_signatures`] or
//! `--verify-signatures` says so: the program then takes any access key id with the secret `test`,
//! or that of `--secret` (`SHARDWISE_MOCK_SECRET`).
//!
//! Accounts and regions are separate: an access key id of twelve digits is the account of that
//! number, and the region is the one that a request is signed for, unless [`MockBuilder::region`]
//! gave the mock one.
//! SubscribeToShard's answer is a body that grows while it is read, in a test without a socket as
//! well as over HTTP/1.1 and HTTP/2: a record is pushed as soon as it is stored.
//!
//! `Mock::listen_tls` (with the feature `tls`) and `--tls-listen ADDR` (`SHARDWISE_MOCK_TLS_LISTEN`) open a port with TLS for
//! clients that insist on it, under a certificate that the mock makes at start and that
//! `--tls-certificate FILE` (`SHARDWISE_MOCK_TLS_CERTIFICATE`) writes out for them to trust.
//!
//! Where it differs from the service, `DIFFERENCES.md` beside this crate's manifest says.
//!
//! Limits are relaxed: a shard takes and gives whatever comes, and streams are managed as often as
//! one likes. [`MockBuilder::limits`] and [`MockBuilder::control_plane_limits`] (`--limits strict`,
//! `--control-plane-limits`) bring the service's. On-demand streams grow under load, a quarter of an
//! hour after it came; [`MockBuilder::scale_every`] and `--scale-every MS` make that sooner, or never.
//!
//! Its time is that of the [`Env`](shardwise_env::Env) it is given: the machine's, a simulation's,
//! one that runs faster (`--clock scaled:N`), or one that a test moves by hand: in Rust, or over the
//! admin API (`--clock manual --admin-listen ADDR`), which also adds and lists fault rules, resets,
//! and counts requests.
//!
//! # Features
//!
//! None by default: a test that embeds the mock compiles no command line and no TLS.
//! - `tls`: `Mock::listen_tls`, a port with TLS.
//! - `cli`: the module `cli` (the flags and `run`) and the program `shardwise-mock`; it includes `tls`.
//!
//! # Where is what
//!
//! A request's way: `server` (a port) or [`MockService`] → `service` (one exchange) → `auth` → `accounts`
//! → `kinesis` or `dynamodb` → `http_answer`. A fault is injected in `fault_injection`, chosen by
//! `fault_rules`; a shard is split in `kinesis/reshard` and `kinesis/stream`; limits stand in
//! `shardwise_types::limits`, and what keeps to them in `kinesis/throttle` and `kinesis/control_plane`.
//!
//! ```
//! use shardwise_mock::Mock;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let mock = Mock::new();
//! let server = mock.listen(([127, 0, 0, 1], 0).into()).await?;
//! println!("export AWS_ENDPOINT_URL=http://{}", server.local_addr());
//! server.shutdown().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accounts;
mod admin;
mod arn;
mod auth;
mod backend;
mod body;
mod builder;
mod call_counts;
#[cfg(feature = "cli")]
pub mod cli;
mod clock;
mod dynamodb;
mod fault;
mod fault_builder;
mod fault_injection;
mod fault_rules;
mod fault_text;
mod http_answer;
mod ids;
mod kinesis;
mod mock;
mod operation;
mod server;
mod service;
mod settings;
#[cfg(feature = "tls")]
mod tls;
mod token_bucket;

pub use crate::admin::AdminService;
pub use crate::auth::KeyPairs;
pub use crate::backend::CreateStreamError;
pub use crate::body::{BrokenConnection, ResponseBody, ResponseFuture};
pub use crate::builder::MockBuilder;
pub use crate::fault::{EntryFault, Fault};
pub use crate::fault_builder::Rule;
pub use crate::fault_rules::RuleHandle;
pub use crate::fault_text::FaultsError;
pub use crate::mock::Mock;
pub use crate::operation::{Api, Operation};
pub use crate::server::{ListenError, Server};
pub use crate::service::MockService;
pub use crate::settings::{
    DEFAULT_ACCOUNT, DEFAULT_REGION, DEFAULT_SCALE_EVERY, DEFAULT_SHARD_LIMIT, LimitsMode,
};
