//! What one shard takes and gives in a second under strict limits.
//!
//! Bytes count data and partition keys.
//! <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>

use std::time::Duration;

use shardwise_types::limits;

use crate::token_bucket::Bucket;

/// GetShardIterator calls for a shard per second.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html>
const ITERATORS: u32 = 5;

/// The limits of one shard.
#[derive(Debug)]
pub(super) struct ShardLimits {
    write_records: Bucket,
    write_bytes: Bucket,
    read_calls: Bucket,
    read_bytes: Bucket,
    iterators: Bucket,
}

impl Default for ShardLimits {
    fn default() -> Self {
        Self {
            write_records: Bucket::new(limits::SHARD_WRITE_RECORDS_PER_SECOND.into()),
            write_bytes: Bucket::new(limits::SHARD_WRITE_BYTES_PER_SECOND.into()),
            read_calls: Bucket::new(limits::SHARD_READ_CALLS_PER_SECOND.into()),
            read_bytes: Bucket::new(limits::SHARD_READ_BYTES_PER_SECOND.into()),
            iterators: Bucket::new(ITERATORS.into()),
        }
    }
}

impl ShardLimits {
    /// Takes a record, if the shard does.
    pub(super) fn try_write(&mut self, bytes: usize, now: Duration) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let admits = self.write_records.admits(1, now) && self.write_bytes.admits(bytes, now);
        if admits {
            self.write_records.take(1, now);
            self.write_bytes.take(bytes, now);
        }
        admits
    }

    /// Takes a GetRecords, whatever it will read, if the shard does.
    pub(super) fn try_read(&mut self, now: Duration) -> bool {
        self.read_bytes.admits(0, now) && self.read_calls.try_take(1, now)
    }

    /// Counts what a GetRecords has read.
    pub(super) fn note_read(&mut self, bytes: usize, now: Duration) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.read_bytes.take(bytes, now);
    }

    /// Takes a GetShardIterator, if the shard does.
    pub(super) fn try_iterator(&mut self, now: Duration) -> bool {
        self.iterators.try_take(1, now)
    }
}
