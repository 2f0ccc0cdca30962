//! UpdateShardCount: as many open shards of equal size as the caller wants.
//!
//! The stream stays UPDATING for the state delay. Then every shard in which a new boundary lies is
//! split there, and the pieces between two new boundaries are merged; so there is no shard whose
//! parents are not listed, and what is neither old nor wanted is closed again at once. The ten calls
//! of a day are not counted here.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html>

use serde::Serialize;

use super::failure::Failure;
use super::input::Input;
use super::reshard::{check_active, refuse_on_demand};
use super::shard::{Moment, Range};
use super::stream::{Change, State, even_range};
use super::stream_ref::StreamRef;
use super::{Kinesis, rules};
use crate::clock::Now;

/// Open shards of one stream.
const MAX_SHARDS: u32 = 10_000;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateShardCountOutput {
    stream_name: String,
    current_shard_count: u32,
    target_shard_count: u32,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
}

impl Kinesis {
    pub(super) fn update_shard_count(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<UpdateShardCountOutput, Failure> {
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let target = input.integer("TargetShardCount", 1, i64::MAX)?;
        let target = input.required("TargetShardCount", target);
        input.required_text("ScalingType", &rules::SCALING_TYPE)?;
        let stream = StreamRef::read(&input, name)?;
        input.finish()?;

        let target = u32::try_from(target).unwrap_or(u32::MAX);
        let stream = self.stream(&stream, now)?;
        let mut state = stream.lock(now);
        refuse_on_demand(&state)?;
        check_active(&state, &stream)?;
        let current = state.reserved_shards();
        check_target(current, target)?;
        // The shards that live only while the stream is scaled must find room in the account too.
        let most = state.shards_while_scaling(target);
        self.reserve_shards(most - current)?;
        self.release_shards(most - target);
        let change = Change::Update {
            settings: Box::new(state.settings.clone()),
            shard_count: Some(target),
        };
        state.begin(change, now, self.config.state_delay);
        Ok(UpdateShardCountOutput {
            stream_name: stream.name.clone(),
            current_shard_count: current,
            target_shard_count: target,
            stream_arn: stream.arn.clone(),
        })
    }
}

fn check_target(current: u32, target: u32) -> Result<(), Failure> {
    let beyond = if target > MAX_SHARDS {
        format!("Target shard count or number of open shards cannot be greater than {MAX_SHARDS}.")
    } else if target > current.saturating_mul(2) {
        "UpdateShardCount cannot scale up over double your current open shard count.".to_owned()
    } else if target.saturating_mul(2) < current {
        "UpdateShardCount cannot scale down below half your current open shard count.".to_owned()
    } else {
        return Ok(());
    };
    Err(Failure::limit_exceeded(format!(
        "{beyond} Current open shard count: {current}, Target shard count: {target}"
    )))
}

/// The hash keys at which `count` equal shards begin, without the first.
fn boundaries(count: u32) -> Vec<u128> {
    (1..count)
        .map(|number| even_range(number, count).start)
        .collect()
}

impl State {
    /// How many shards are open at once on the way to `count` equal ones: after the splits, before
    /// the merges.
    fn shards_while_scaling(&self, count: u32) -> u32 {
        let mut starts: Vec<u128> = self.open_ranges().map(|(_, range)| range.start).collect();
        starts.extend(boundaries(count));
        starts.sort_unstable();
        starts.dedup();
        u32::try_from(starts.len()).unwrap_or(u32::MAX)
    }

    /// Splits and merges the open shards until there are `count` equal ones.
    pub(super) fn scale(&mut self, count: u32, moment: Moment) {
        let starts = boundaries(count);
        let old: Vec<(usize, Range)> = self.open_ranges().collect();
        for (index, range) in old {
            let first = starts.partition_point(|start| *start <= range.start);
            let end = starts.partition_point(|start| *start <= range.end);
            self.split_at_each(index, &starts[first..end], moment);
        }
        for number in 0..count {
            self.merge_within(even_range(number, count), moment);
        }
    }

    /// Splits a shard at every one of these hash keys, the middle one first: so the lineage stays
    /// short, and with it the seconds by which each child is younger than its parent.
    fn split_at_each(&mut self, index: usize, starts: &[u128], moment: Moment) {
        let middle = starts.len() / 2;
        let Some(&at) = starts.get(middle) else {
            return;
        };
        let [lower, upper] = self.split(index, at, moment);
        self.split_at_each(lower, &starts[..middle], moment);
        self.split_at_each(upper, &starts[middle + 1..], moment);
    }

    /// Merges the open shards inside a range, pair by pair, until one is left.
    fn merge_within(&mut self, range: Range, moment: Moment) {
        loop {
            let pieces = self.open_within(range);
            if pieces.len() < 2 {
                return;
            }
            for pair in pieces.chunks_exact(2) {
                self.merge(pair[0], pair[1], moment);
            }
        }
    }
}
