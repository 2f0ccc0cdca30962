//! Newtypes and service limits of Amazon Kinesis Data Streams.
//!
//! Anything with a rule is a type here: a [`StreamName`] has been checked once, at the edge, and is
//! never checked again. No async and no I/O: every other crate builds on this one.
//!
//! ```
//! use shardwise_types::{HashKey, PartitionKey, StreamName};
//!
//! let stream: StreamName = "orders".parse()?;
//! let key: PartitionKey = "user-42".parse()?;
//! assert_eq!(stream.as_str(), "orders");
//! assert!(HashKey::of_partition_key(key.as_str()) <= HashKey::MAX);
//! assert!("no spaces allowed".parse::<StreamName>().is_err());
//! # Ok::<(), shardwise_types::Invalid>(())
//! ```

mod application;
mod cause;
mod config_error;
mod invalid;
mod key;
pub mod limits;
mod sequence;
mod shard;
mod stream;
mod text;

pub use application::{ApplicationName, WorkerId};
pub use cause::{root_cause, with_causes};
pub use config_error::{ConfigError, ConfigErrorKind};
pub use invalid::Invalid;
pub use key::{HashKey, HashKeyRange, PartitionKey};
pub use sequence::SequenceNumber;
pub use shard::{Shard, ShardId};
pub use stream::{StreamArn, StreamName};
