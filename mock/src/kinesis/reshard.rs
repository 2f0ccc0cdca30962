//! SplitShard and MergeShards.
//!
//! Both leave the stream UPDATING for the state delay, during which the parents still take
//! records; then they are closed and the children take over.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SplitShard.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_MergeShards.html>

use super::failure::Failure;
use super::input::Input;
use super::shard::{Shard, shard_id, shard_number};
use super::status::Status;
use super::stream::{Change, State, Stream};
use super::stream_ref::StreamRef;
use super::stream_settings::Mode;
use super::{Kinesis, rules};
use crate::clock::Now;

impl Kinesis {
    pub(super) fn split_shard(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let id = input.required_text("ShardToSplit", &rules::SHARD_ID)?;
        let key = input.required_text("NewStartingHashKey", &rules::HASH_KEY)?;
        let stream = StreamRef::read(&input, name)?;
        input.finish()?;

        let parent = self.number_of(id, &stream)?;
        let stream = self.stream(&stream, now)?;
        let mut state = stream.lock(now);
        refuse_on_demand(&state)?;
        let shard = self.shard_in(&state, parent, &stream, now)?;
        let parent = index(shard);
        check_open(shard, &stream)?;
        let range = shard.range;
        // Beyond 2^128 it is above every shard's end too.
        let at: u128 = key.parse().unwrap_or(u128::MAX);
        if at <= range.start.saturating_add(1) || at >= range.end {
            return Err(Failure::invalid_argument(format!(
                "NewStartingHashKey {key} used in SplitShard() on shard {} in stream {} under \
                 account {} is not both greater than one plus the shard's StartingHashKey {} and \
                 less than the shard's EndingHashKey {}.",
                shard_id(shard.number),
                stream.name,
                stream.account,
                range.start,
                range.end
            )));
        }
        check_active(&state, &stream)?;
        self.reserve_shards(1)?;
        state.begin(Change::Split { parent, at }, now, self.config.state_delay);
        Ok(())
    }

    pub(super) fn merge_shards(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let first = input.required_text("ShardToMerge", &rules::SHARD_ID)?;
        let second = input.required_text("AdjacentShardToMerge", &rules::SHARD_ID)?;
        let stream = StreamRef::read(&input, name)?;
        input.finish()?;

        let lower = self.number_of(first, &stream)?;
        let upper = self.number_of(second, &stream)?;
        let stream = self.stream(&stream, now)?;
        let mut state = stream.lock(now);
        refuse_on_demand(&state)?;
        let lower = self.shard_in(&state, lower, &stream, now)?;
        let upper = self.shard_in(&state, upper, &stream, now)?;
        check_open(lower, &stream)?;
        check_open(upper, &stream)?;
        if lower.range.end.checked_add(1) != Some(upper.range.start) {
            return Err(Failure::invalid_argument(format!(
                "Shards {} and {} in stream {} under account {} are not an adjacent pair of shards \
                 eligible for merging",
                shard_id(lower.number),
                shard_id(upper.number),
                stream.name,
                stream.account
            )));
        }
        let (lower, upper) = (index(lower), index(upper));
        check_active(&state, &stream)?;
        self.release_shards(1);
        state.begin(Change::Merge { lower, upper }, now, self.config.state_delay);
        Ok(())
    }

    /// The number in a shard id: the service reads it before it looks for the stream.
    fn number_of(&self, id: &str, stream: &StreamRef<'_>) -> Result<u32, Failure> {
        let name = stream.resolve(self)?;
        shard_number(id).ok_or_else(|| self.could_not_find_shard(id, name))
    }

    fn shard_in<'s>(
        &self,
        state: &'s State,
        number: u32,
        stream: &Stream,
        now: Now,
    ) -> Result<&'s Shard, Failure> {
        state
            .shard(number, now)
            .ok_or_else(|| self.could_not_find_shard(&shard_id(number), &stream.name))
    }
}

fn index(shard: &Shard) -> usize {
    usize::try_from(shard.number).unwrap_or(usize::MAX)
}

/// Refuses a change of a stream that another change, or its deletion, has not left yet.
pub(super) fn check_active(state: &State, stream: &Stream) -> Result<(), Failure> {
    if state.status == Status::Active {
        Ok(())
    } else {
        Err(stream.not_active(state.status))
    }
}

fn check_open(shard: &Shard, stream: &Stream) -> Result<(), Failure> {
    if shard.is_open() {
        return Ok(());
    }
    Err(Failure::invalid_argument(format!(
        "Shard {} in stream {} under account {} has already been merged or split, and thus is not \
         eligible for merging or splitting.",
        shard_id(shard.number),
        stream.name,
        stream.account
    )))
}

/// On-demand streams are resharded by the service only.
pub(super) fn refuse_on_demand(state: &State) -> Result<(), Failure> {
    match state.settings.mode {
        Mode::Provisioned => Ok(()),
        Mode::OnDemand { .. } => Err(Failure::validation(
            "This operation is only supported for streams in PROVISIONED mode.",
        )),
    }
}

/// Refuses what only streams have whose shards the service manages.
pub(super) fn refuse_provisioned(state: &State) -> Result<(), Failure> {
    match state.settings.mode {
        Mode::OnDemand { .. } => Ok(()),
        Mode::Provisioned => Err(Failure::validation(
            "This operation is only supported for streams in ON_DEMAND mode.",
        )),
    }
}
