//! What one shard takes and gives in a second, where the mock is told to limit it.
//!
//! Bytes count data and partition keys.
//! <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>

use std::time::Duration;

use super::Kinesis;
use super::failure::Failure;
use super::stream::{State, Stream};
use crate::bucket::Bucket;
use crate::clock::Now;
use crate::mock::Limits;

pub(super) const WRITE_RECORDS: u64 = 1000;
pub(super) const WRITE_BYTES: u64 = 1024 * 1024;
const READ_CALLS: u64 = 5;
const READ_BYTES: u64 = 2 * 1024 * 1024;
const ITERATORS: u64 = 5;

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
            write_records: Bucket::new(WRITE_RECORDS),
            write_bytes: Bucket::new(WRITE_BYTES),
            read_calls: Bucket::new(READ_CALLS),
            read_bytes: Bucket::new(READ_BYTES),
            iterators: Bucket::new(ITERATORS),
        }
    }
}

impl ShardLimits {
    fn try_write(&mut self, bytes: usize, now: Duration) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let admits = self.write_records.admits(1, now) && self.write_bytes.admits(bytes, now);
        if admits {
            self.write_records.take(1, now);
            self.write_bytes.take(bytes, now);
        }
        admits
    }

    fn try_read(&mut self, now: Duration) -> bool {
        self.read_bytes.admits(0, now) && self.read_calls.try_take(1, now)
    }
}

impl Kinesis {
    /// The shard that refuses a record of that size, if it does.
    pub(super) fn refuses_write(
        &self,
        state: &mut State,
        hash_key: u128,
        bytes: usize,
        now: Now,
    ) -> Option<u32> {
        if !self.is_strict() {
            return None;
        }
        let shard = state.owner(hash_key)?.number;
        let admits = state.limits(shard).try_write(bytes, now.uptime);
        (!admits).then_some(shard)
    }

    /// Refuses a GetRecords beyond the shard's rate.
    pub(super) fn check_read(
        &self,
        stream: &Stream,
        state: &mut State,
        shard: u32,
        now: Now,
    ) -> Result<(), Failure> {
        if self.is_strict() && !state.limits(shard).try_read(now.uptime) {
            return Err(Failure::throughput_exceeded(
                self.rate_exceeded(shard, &stream.name),
            ));
        }
        Ok(())
    }

    /// Counts what a GetRecords has read.
    pub(super) fn note_read(&self, state: &mut State, shard: u32, bytes: usize, now: Now) {
        if self.is_strict() {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            state.limits(shard).read_bytes.take(bytes, now.uptime);
        }
    }

    /// Refuses a GetShardIterator beyond the shard's rate.
    pub(super) fn check_iterator(
        &self,
        stream: &Stream,
        state: &mut State,
        shard: u32,
        now: Now,
    ) -> Result<(), Failure> {
        if self.is_strict() && !state.limits(shard).iterators.try_take(1, now.uptime) {
            return Err(Failure::throughput_exceeded(
                self.rate_exceeded(shard, &stream.name),
            ));
        }
        Ok(())
    }

    /// What one subscription gives in a second, if that is limited.
    pub(super) fn subscription_limit(&self) -> Option<Bucket> {
        self.is_strict().then(|| Bucket::new(READ_BYTES))
    }

    fn is_strict(&self) -> bool {
        self.config.limits == Limits::Strict
    }
}
