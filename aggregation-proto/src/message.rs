//! The three protobuf messages, field for field, as prost sees them.
//!
//! `AggregatedRecord` and `Record` are read and written by hand on the hot path (`decode`,
//! `encode`), several times faster than by generated code. Here they are the oracle: the tests
//! compare every byte and every verdict with prost's. [`Tag`] has no hot path, because no KPL
//! writes one, and is read by prost itself.
//!
//! Each `required` field of the `.proto` stands here as `optional`. prost takes a message without
//! a required field and fills in zero; the KCL refuses it, so its absence must be seen. What is
//! written is the same: `Some(0)` is written, as proto2 asks.

use prost::Message;

#[cfg(test)]
use bytes::Bytes;

/// The protobuf message between magic and digest.
#[cfg(test)]
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AggregatedRecord {
    #[prost(string, repeated, tag = "1")]
    pub(crate) partition_key_table: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) explicit_hash_key_table: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) records: Vec<Record>,
}

/// One user record.
#[cfg(test)]
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Record {
    /// Required.
    #[prost(uint64, optional, tag = "1")]
    pub(crate) partition_key_index: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(crate) explicit_hash_key_index: Option<u64>,
    /// Required.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(crate) data: Option<Bytes>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) tags: Vec<Tag>,
}

/// A name and a value beside a user record's data; reserved by the format and not in use.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Tag {
    /// Required.
    #[prost(string, optional, tag = "1")]
    pub(crate) key: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(crate) value: Option<String>,
}
