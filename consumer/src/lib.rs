//! A consumer for Amazon Kinesis Data Streams: workers that share a stream's shards, survive
//! crashes, deploys and resharding, and go on from their checkpoints.
//!
//! An application implements [`RecordProcessor`] for one shard; any number of [`Worker`]s, in any
//! number of processes, divide the shards among them by leases in a DynamoDB table that is named
//! after the application. It is what the Kinesis Client Library (KCL) does, on the KCL's own rows,
//! so Rust workers may join a Java fleet.
//!
//! ```
//! use shardwise_client::{Aws, PutRecordsEntry};
//! use shardwise_consumer::{Batch, BoxError, Checkpointer, RecordProcessor, Worker};
//! use shardwise_mock::Mock;
//! use tokio::sync::mpsc;
//!
//! struct Printer(mpsc::Sender<String>);
//!
//! impl RecordProcessor for Printer {
//!     async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
//!         for record in batch.records() {
//!             self.0.send(String::from_utf8_lossy(&record.data).into_owned()).await?;
//!         }
//!         checkpointer.checkpoint(batch.end()).await?; // an error repeats the batch
//!         Ok(())
//!     }
//! }
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let aws = Aws::in_process(Mock::new().service()); // in production: Aws::load().await?
//! let stream = "orders".parse()?;
//! aws.kinesis().create_stream(&stream, 1).await?;
//! let paid = PutRecordsEntry::new("user-42".parse()?, "paid".into());
//! aws.kinesis().put_record(&stream, &paid).await?;
//!
//! let (sender, mut lines) = mpsc::channel(16);
//! let worker = Worker::builder(&aws)
//!     .application("billing")
//!     .stream(stream)
//!     .build(move |_shard| Printer(sender.clone()))?;
//! let stats = worker.stats();
//! worker.run_until(async { assert_eq!(lines.recv().await.as_deref(), Some("paid")) }).await?;
//! assert_eq!(stats.snapshot().records, 1); // the lease is released by now
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised
//! - **At least once.** Every record is processed, some again after a crash or when a shard changes
//!   hands. Nothing is skipped: not a batch that the processor fails on, not an aggregate that is
//!   broken, not what arrived while no worker ran.
//! - **In order.** Calls for one shard never overlap, its records come in order, and its children
//!   begin after it is checkpointed at its end.
//! - **One holder.** A checkpoint never moves backwards and is refused once the lease is lost. A
//!   lease counts from the moment its last renewal was *sent*, on this host's monotonic clock; the
//!   clocks of two hosts are never compared.
//! - **Quick.** At default settings a crashed worker's shards are read again within 17 s, those of
//!   one that stops within 2 s; a child begins within a second of its parent's end.
//!
//! # What it does not do
//! Exactly-once: a processor whose effects must not happen twice keeps the
//! [`Position`] beside them. Enhanced fan-out: reading is by polling, with two megabytes a second
//! for each shard. Skipping a record that cannot be processed: that is for the processor to decide.
//!
//! # Permissions
//! `kinesis:ListShards`, `kinesis:GetShardIterator`, `kinesis:GetRecords` and
//! `kinesis:DescribeStreamSummary` on the stream; `dynamodb:DescribeTable`, `dynamodb:CreateTable` (unless
//! the table is there), `dynamodb:Scan`, `dynamodb:GetItem`, `dynamodb:PutItem`, `dynamodb:UpdateItem` and
//! `dynamodb:DeleteItem` on the table that bears the application's name.
//!
//! # Features
//! None is on by default.
//!
//! - `aws-config`: `Aws::load` finds profiles, SSO, web identity and the roles of containers and
//!   instances, as AWS's own tools do.
//! - `aws-lc-rs`: the cryptography of TLS from AWS-LC in place of ring, a C build of minutes.
//!
//! # How it works
//! ```text
//! Worker::run_until ─ coordinator: looks at the table, takes leases, starts and stops shards   (owns all)
//!    └ one task for each shard: fetch → deaggregate → process → checkpoint                     (in order)
//!        ├ a fetcher: one answer ahead, at the pace that the shard allows
//!        └ a lease handle: the one writer of the lease, which renews it
//! ```
//!
//! | where is ... | file |
//! |---|---|
//! | the worker's loop, a look, a shard's start and stop | `coordinator/mod.rs`, `looks.rs`, `membership.rs` |
//! | a lease chosen, taken | `leases/balance.rs`, `leases/table.rs` |
//! | a lease renewed, released; a checkpoint or a shard's end written | `leases/handle.rs`, by the rules of `leases/state.rs` |
//! | a child's lease created | `leases/handle.rs` at its parent's end; `shard_sync.rs` where it is missing |
//! | a loss noticed | `leases/state.rs`: by an answer to a write, or by a look at the table |
//! | a shard held back until its parents are done | `parent_gate.rs` |
//! | a shard read, its aggregates unpacked, its processor called | `shard/fetch.rs`, `deaggregate.rs`, `calls.rs` |
//!
//! <https://docs.aws.amazon.com/streams/latest/dev/shared-throughput-kcl-consumers.html>

mod checkpoint;
mod config;
mod coordinator;
mod error;
mod leases;
mod parent_gate;
mod position;
mod processor;
mod record;
mod record_distribution;
mod recorded;
mod shard;
mod shard_sync;
mod stats;
mod stream_check;
mod worker;

pub use bytes::Bytes;
pub use shardwise_client::Aws;
pub use shardwise_types::{
    ApplicationName, ConfigError, ConfigErrorKind, HashKey, HashKeyRange, Invalid, PartitionKey,
    SequenceNumber, ShardId, StreamName, WorkerId,
};

pub use crate::checkpoint::{Checkpointer, EndAcked, ShardEnd};
pub use crate::config::{
    COOL_DOWN, DEFAULT_FAILOVER, DEFAULT_IDLE_BETWEEN_READS, DEFAULT_PROCESSOR_ATTEMPTS,
    DEFAULT_SHUTDOWN_GRACE, InitialPosition, MIN_FAILOVER,
};
pub use crate::error::{
    BoxError, CheckpointError, CheckpointErrorKind, WorkerError, WorkerErrorKind,
};
pub use crate::leases::{LeaseEnd, LeaseKey, MemoryLeaseStore, StreamKey};
pub use crate::position::Position;
pub use crate::processor::{RecordProcessor, ShardInfo};
pub use crate::record::{Batch, ConsumedRecord, RecordForm};
pub use crate::recorded::Recorded;
pub use crate::shard::state::ShardState;
pub use crate::stats::{LeaseEvent, LeaseEventKind, StatsHandle, WorkerStats};
pub use crate::worker::{Worker, WorkerBuilder};
