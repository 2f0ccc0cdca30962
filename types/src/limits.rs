//! Every limit of the service that Shardwise keeps to or enforces, once, with its source.
//!
//! The producer and the consumer keep to these numbers, and the mock enforces them. A limit that is
//! used by none of them does not stand here.
//!
//! Source of all unless said otherwise:
//! <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>.
//! Sizes are in bytes.

use std::time::Duration;

/// Entries of one PutRecords request.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>
pub const PUT_RECORDS_MAX_ENTRIES: usize = 500;

/// Bytes of one PutRecords request, data and partition keys together (5 MiB until 2025).
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>
pub const PUT_RECORDS_MAX_BYTES: usize = 10 * 1024 * 1024;

/// Bytes of one record, data and partition key together, on a stream that has not raised it.
pub const RECORD_MAX_BYTES_DEFAULT: usize = 1024 * 1024;

/// The most that a stream's `MaxRecordSizeInKiB` may raise the record limit to, in bytes.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateMaxRecordSize.html>
pub const RECORD_MAX_BYTES: usize = 10 * 1024 * 1024;

/// Unicode characters of a partition key, at most; at least one.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html>
pub const PARTITION_KEY_MAX_CHARS: usize = 256;

/// Characters of a stream's name, at most; at least one.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html>
pub const STREAM_NAME_MAX_CHARS: usize = 128;

/// Characters of a shard id, at most; at least one.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Shard.html>
pub const SHARD_ID_MAX_CHARS: usize = 128;

/// Decimal digits of a sequence number, at most.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Record.html>
pub const SEQUENCE_NUMBER_MAX_DIGITS: usize = 129;

/// Records a shard takes per second.
pub const SHARD_WRITE_RECORDS_PER_SECOND: u32 = 1_000;

/// Bytes a shard takes per second, partition keys included.
pub const SHARD_WRITE_BYTES_PER_SECOND: u32 = 1024 * 1024;

/// GetRecords calls a shard answers per second, all readers together.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>
pub const SHARD_READ_CALLS_PER_SECOND: u32 = 5;

/// Bytes a shard hands out per second to all polling readers together.
pub const SHARD_READ_BYTES_PER_SECOND: u32 = 2 * 1024 * 1024;

/// Records of one GetRecords answer.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>
pub const GET_RECORDS_MAX_RECORDS: u32 = 10_000;

/// Bytes of one GetRecords answer; after an answer of this size the shard pauses for five seconds.
pub const GET_RECORDS_MAX_BYTES: usize = 10 * 1024 * 1024;

/// How long a shard iterator may be used after it was issued.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html>
pub const SHARD_ITERATOR_LIFETIME: Duration = Duration::from_secs(300);

/// How long a ListShards `NextToken` may be used after it was issued.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html>
pub const NEXT_TOKEN_LIFETIME: Duration = Duration::from_secs(300);

/// Shards of one ListShards page, at most.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html>
pub const LIST_SHARDS_MAX_RESULTS: u32 = 10_000;

/// Shards of one ListShards page when the caller names no number.
pub const LIST_SHARDS_DEFAULT_RESULTS: u32 = 1_000;

/// Retention of a stream that has not changed it, in hours.
pub const RETENTION_HOURS_DEFAULT: u32 = 24;

/// The longest retention, in hours.
pub const RETENTION_HOURS_MAX: u32 = 8_760;

/// Characters of a DynamoDB table's name: three to this many. Lease tables are named after the
/// application.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>
pub const TABLE_NAME_MAX_CHARS: usize = 255;

/// The fewest characters of a DynamoDB table's name.
pub const TABLE_NAME_MIN_CHARS: usize = 3;
