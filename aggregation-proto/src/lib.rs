//! The aggregated record format of the Kinesis Producer Library (KPL), in both directions.
//!
//! A stream's shard takes a thousand records a second, whatever their size. So a producer packs
//! many *user records* into one *Kinesis record*, and a consumer unpacks them. This crate does
//! just that: bytes in, bytes out, no async, no I/O, and no panic on any input. What it writes,
//! every Kinesis Client Library (KCL) reads; what any KPL wrote, it reads.
//!
//! ```
//! use bytes::Bytes;
//! use shardwise_aggregation_proto::{Aggregator, Decoded, UserRecord, decode};
//!
//! let mut aggregator = Aggregator::new(50 * 1024);
//! for (key, data) in [("a", "hello"), ("b", "world")] {
//!     aggregator.try_push(UserRecord::new(key.parse()?, Bytes::from(data)))?;
//! }
//! let size = aggregator.encoded_len(); // exact, before a byte is written
//! let encoded = aggregator.finish().ok_or("nothing was pushed")?;
//! assert_eq!(encoded.data.len(), size);
//!
//! let Decoded::Aggregated(aggregate) = decode(encoded.data) else {
//!     return Err("not an aggregate".into());
//! };
//! let members: Vec<_> = aggregate.iter().collect();
//! assert_eq!(members[1].partition_key.as_str(), "b");
//! assert_eq!(members[1].data, "world");
//! assert_eq!(members[1].sub_sequence_number, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The format
//!
//! `F3 89 9A C2`, a protobuf (proto2) message, and the MD5 of that message:
//!
//! ```text
//! message AggregatedRecord {
//!   repeated string partition_key_table     = 1;
//!   repeated string explicit_hash_key_table = 2;
//!   repeated Record records                 = 3;
//! }
//! message Record {
//!   required uint64 partition_key_index     = 1;
//!   optional uint64 explicit_hash_key_index = 2;
//!   required bytes  data                    = 3;
//!   repeated Tag    tags                    = 4;
//! }
//! message Tag {
//!   required string key   = 1;
//!   optional string value = 2;
//! }
//! ```
//!
//! A lone user record is not wrapped: it travels as it is. User data that begins with the magic
//! bytes needs no escape, because only a fitting digest makes an aggregate of it. User data that
//! *is* an aggregate stays one piece among others, and is unpacked by readers when it travels alone.
//! The format is described by AWS, and in no other place, at
//! <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>.
//!
//! # Where a reader may differ from the KCL
//!
//! The KCL drops user records without a word when an aggregate's digest fits and its content does
//! not. [`decode()`] never returns a part of a record: it answers [`Decoded::Corrupt`] with the
//! reason and the whole record.

mod aggregate;
mod corrupt;
mod decode;
mod encode;
mod message;
mod size;
mod user_record;
mod wire;

#[cfg(test)]
mod oracle;

pub use aggregate::{Aggregate, Member, Members};
pub use corrupt::Corrupt;
pub use decode::{Decoded, PlainReason, decode};
pub use encode::{Aggregator, Encoded, Full, WRAPPED_PARTITION_KEY};
pub use user_record::UserRecord;
