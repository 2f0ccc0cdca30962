//! The operations of Kinesis Data Streams, one file each.
//!
//! A file has the operation's definition, its input and output as they are written, and the method.
//! How a call goes is [`crate::call`]'s.

// One line registers an operation.
mod create_stream;
mod delete_stream;
mod describe_stream_summary;
mod get_records;
mod get_shard_iterator;
mod list_shards;
mod merge_shards;
mod put_record;
mod put_records;
mod split_shard;

mod handle;
mod wire;

pub use self::describe_stream_summary::{StreamStatus, StreamSummary};
pub use self::get_records::{ChildShard, GetRecordsOutput, Record};
pub use self::get_shard_iterator::{IteratorPosition, ShardIterator};
pub use self::handle::Kinesis;
pub use self::list_shards::ShardFilter;
pub use self::put_records::{PutFailure, PutRecordsEntry, PutSuccess};
