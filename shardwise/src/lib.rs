//! Amazon Kinesis Data Streams in Rust: send records without losing any, process them in a fleet of
//! workers, and test both without a cloud account.
//!
//! This is the crate that an application names; its modules are crates of their own, which are only
//! needed by themselves in unusual cases.
//!
//! | module | feature | what it is |
//! |---|---|---|
//! | [`producer`] | `producer`, on by default | sends: aggregation, batching, retries; what the Kinesis Producer Library does |
//! | [`consumer`] | `consumer`, on by default | processes: workers, leases, checkpoints; what the Kinesis Client Library does |
//! | `mock` | `mock` | Kinesis and DynamoDB in the process of a test |
//! | `aggregation` | `aggregation` | the Kinesis Producer Library's record format alone |
//! | [`client`] | always there | the calls of the service, behind [`Aws`] |
//! | [`mod@env`] | always there | time, tasks and randomness, behind [`Env`]: virtual time for tests |
//!
//! # Getting started
//!
//! An application has one dependency, and its tests the same one with the mock:
//!
//! ```toml
//! [dependencies]
//! shardwise = "0.1"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread", "signal"] }
//!
//! [dev-dependencies]
//! shardwise = { version = "0.1", features = ["mock"] }
//! ```
//!
//! Everything starts from one handle, [`Aws`]. [`Aws::load`] finds region, endpoints and credentials
//! where AWS's own tools find them: environment variables, profiles, SSO, web identity, the role of the
//! container or the instance. The examples of this page run on the mock, so they have
//! [`Aws::in_process`] in its place.
//!
//! ## Send
//!
//! ```
//! use std::time::Duration;
//!
//! use shardwise::prelude::*;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let aws = Aws::in_process(Mock::new().service()); // in production: Aws::load().await?
//!     aws.kinesis().create_stream(&"orders".parse()?, 2).await?;
//!
//!     let producer = Producer::builder(&aws).stream("orders").build()?;
//!     let record = Record::new("user-42".parse()?, "paid");
//!     let delivery = producer.send(record).await?; // the record is in the buffer
//!     let receipt = delivery.await?; // the record is stored
//!     println!("{} {}", receipt.shard_id, receipt.sequence_number);
//!
//!     let report = producer.close(Duration::from_secs(30)).await;
//!     assert!(report.is_complete());
//!     Ok(())
//! }
//! ```
//!
//! `send` waits while the buffer is full. The [`Delivery`](producer::Delivery) is awaited when its
//! outcome is needed, by the same task or by another, so that many records share a request. A record
//! ends as a [`Receipt`](producer::Receipt), or as an error that gives the record back and says whether
//! it may be stored all the same.
//!
//! ## Process
//!
//! An application implements [`RecordProcessor`](consumer::RecordProcessor) for one shard. Any number of
//! workers, in any number of processes, divide the stream's shards by leases in a DynamoDB table that is
//! named after the application.
//!
//! ```
//! use shardwise::prelude::*;
//!
//! struct Orders;
//!
//! impl RecordProcessor for Orders {
//!     async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
//!         for record in batch.records() {
//!             println!("{}", String::from_utf8_lossy(&record.data));
//!         }
//!         checkpointer.checkpoint(batch.end()).await?; // an error repeats the batch
//!         Ok(())
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let aws = Aws::in_process(Mock::new().service()); // in production: Aws::load().await?
//!     aws.kinesis().create_stream(&"orders".parse()?, 2).await?;
//!
//!     let worker = Worker::builder(&aws).application("billing").stream("orders").build(|_shard| Orders)?;
//! #   let ctrl_c = || tokio::task::yield_now();
//!     worker.run_until(ctrl_c()).await?; // as tokio::signal::ctrl_c; leases are released at the end
//!     Ok(())
//! }
//! ```
//!
//! One application reads one stream. Reading is by polling; enhanced fan-out is not there yet.
//!
//! ## In a test
//!
//! `Mock` answers as Kinesis and DynamoDB do, without a socket or a container, and is gone
//! with the test. Faults are asked for by the operation that they strike:
//!
//! ```
//! use shardwise::mock::{Fault, Mock, Operation};
//! use shardwise::prelude::*;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mock = Mock::new();
//!     let aws = Aws::in_process(mock.service());
//!     aws.kinesis().create_stream(&"orders".parse()?, 1).await?;
//!
//!     mock.on(Operation::PutRecords).times(2).reply(Fault::Throttle);
//!     let producer = Producer::builder(&aws).stream("orders").build()?;
//!     let delivery = producer.send(Record::new("user-42".parse()?, "paid")).await?;
//!     delivery.await?; // stored, in spite of two refusals
//!     assert_eq!(mock.calls(Operation::PutRecords), 3);
//!     Ok(())
//! }
//! ```
//!
//! # Features
//!
//! `producer`, `consumer` and `aws-config` are on by default: with them an application finds its
//! credentials wherever it runs. A build without `aws-config` (`default-features = false`) saves
//! fifteen crates of some 190, three of AWS's SDKs among them; [`Aws::from_env`] then reads the environment variables alone, and [`AwsBuilder`] takes
//! any provider of credentials. `aws-lc-rs` exchanges the cryptography of TLS, ring, for AWS-LC, which
//! is a C build of minutes.
//!
//! # What is promised
//!
//! At least once, from `send` to `process`: [`producer`] and [`consumer`] say it in detail, and
//! `SEMANTICS.md` in the repository names the test that holds each promise.

pub mod client;
#[cfg(feature = "consumer")]
pub mod consumer;
pub mod env;
pub mod prelude;
#[cfg(feature = "producer")]
pub mod producer;

#[cfg(feature = "aggregation")]
#[doc(inline)]
pub use shardwise_aggregation_proto as aggregation;
#[cfg(feature = "mock")]
#[doc(inline)]
pub use shardwise_mock as mock;

pub use bytes::Bytes;
pub use shardwise_client::credential_types::Credentials;
pub use shardwise_client::{Aws, AwsBuilder, Env};
pub use shardwise_types::{
    ApplicationName, ConfigError, ConfigErrorKind, HashKey, HashKeyRange, Invalid, PartitionKey,
    SequenceNumber, Shard, ShardId, StreamArn, StreamName, WorkerId, limits, root_cause,
    with_causes,
};

/// The programs of the repository's README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
