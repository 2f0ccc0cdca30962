//! The calls of the service, and what [`Aws`](crate::Aws) is made of.
//!
//! [`Aws::kinesis`](crate::Aws::kinesis) has the operations: making, describing and resharding a stream,
//! and the calls that producer and consumer are built on.

pub use shardwise_client::{
    ChildShard, Encoding, Error, ErrorKind, GetRecordsOutput, IteratorPosition, Kinesis,
    PutFailure, PutRecordsEntry, PutSuccess, Record, Service, ShardFilter, ShardIterator,
    StreamStatus, StreamSummary, Timeouts, Written, credential_types, retry, transport,
};
