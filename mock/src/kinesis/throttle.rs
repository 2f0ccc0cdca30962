//! Where a shard refuses what is beyond its limits, under strict limits.

use shardwise_types::limits;

use super::Kinesis;
use super::failure::Failure;
use super::stream::{State, Stream};
use crate::clock::Now;
use crate::settings::LimitsMode;
use crate::token_bucket::Bucket;

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
        let admits = !self.is_strict() || state.limits(shard).try_read(now.uptime);
        self.within_rate(admits, shard, stream)
    }

    /// Counts what a GetRecords has read.
    pub(super) fn note_read(&self, state: &mut State, shard: u32, bytes: usize, now: Now) {
        if self.is_strict() {
            state.limits(shard).note_read(bytes, now.uptime);
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
        let admits = !self.is_strict() || state.limits(shard).try_iterator(now.uptime);
        self.within_rate(admits, shard, stream)
    }

    /// What one subscription gives in a second, if that is limited.
    pub(super) fn subscription_limit(&self) -> Option<Bucket> {
        self.is_strict()
            .then(|| Bucket::new(limits::SHARD_READ_BYTES_PER_SECOND.into()))
    }

    fn within_rate(&self, admits: bool, shard: u32, stream: &Stream) -> Result<(), Failure> {
        if admits {
            return Ok(());
        }
        Err(Failure::throughput_exceeded(
            self.rate_exceeded(shard, &stream.name),
        ))
    }

    fn is_strict(&self) -> bool {
        self.config.limits == LimitsMode::Strict
    }
}
