//! How often the operations that manage streams may be called, where the mock is told to limit it.
//!
//! Rates are of the account or of the stream, per second; quotas are of the stream, in any 24
//! hours, and count what was done, not what was refused. The texts of rates and of the limit of
//! streams being created are recorded from the service; those of the quotas are not.
//! <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::failure::Failure;
use super::settings::Mode;
use super::stream::{Status, Stream};
use super::{Kinesis, Value};
use crate::bucket::Bucket;
use crate::clock::Now;
use crate::operation::Operation;

/// Streams that may be created, or deleted, at once.
const MAX_IN_CHANGE: usize = 5;

/// The time of a quota.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Clone, Copy)]
enum Rate {
    Account(u64),
    Stream(u64),
}

/// Calls per second.
fn rate(operation: Operation) -> Option<Rate> {
    Some(match operation {
        Operation::DescribeLimits => Rate::Account(1),
        Operation::AddTagsToStream
        | Operation::CreateStream
        | Operation::DeleteStream
        | Operation::DescribeAccountSettings
        | Operation::ListStreams
        | Operation::ListTagsForStream
        | Operation::MergeShards
        | Operation::RegisterStreamConsumer
        | Operation::RemoveTagsFromStream
        | Operation::SplitShard
        | Operation::UpdateAccountSettings
        | Operation::UpdateStreamWarmThroughput => Rate::Account(5),
        Operation::DescribeStream | Operation::UpdateShardCount => Rate::Account(10),
        Operation::DescribeStreamSummary => Rate::Account(20),
        Operation::DeregisterStreamConsumer | Operation::ListStreamConsumers => Rate::Stream(5),
        Operation::DescribeStreamConsumer => Rate::Stream(20),
        Operation::ListShards => Rate::Stream(1000),
        _ => return None,
    })
}

/// Times in 24 hours.
fn quota(operation: Operation) -> Option<usize> {
    Some(match operation {
        Operation::StartStreamEncryption => 25,
        Operation::UpdateShardCount => 10,
        Operation::UpdateStreamMode => 2,
        _ => return None,
    })
}

/// What was called lately, of one account or one stream.
#[derive(Debug, Default)]
pub(super) struct Calls {
    rates: BTreeMap<Operation, Bucket>,
    /// When each was done, the latest last.
    done: BTreeMap<Operation, VecDeque<Duration>>,
}

impl Calls {
    fn try_call(&mut self, operation: Operation, per_second: u64, now: Now) -> bool {
        let new = || Bucket::new(per_second);
        let bucket = self.rates.entry(operation).or_insert_with(new);
        bucket.try_take(1, now.uptime)
    }

    fn done_in_a_day(&mut self, operation: Operation, now: Now) -> &mut VecDeque<Duration> {
        let done = self.done.entry(operation).or_default();
        while done.front().is_some_and(|at| *at + DAY <= now.uptime) {
            done.pop_front();
        }
        done
    }
}

impl Kinesis {
    /// Refuses a call beyond its rate or its quota.
    pub(super) fn check_control_plane(
        &self,
        operation: Operation,
        request: &Value<'_>,
        now: Now,
    ) -> Result<(), Failure> {
        let stream = || self.stream_of(request, now);
        let is_within_rate = match rate(operation) {
            None => true,
            Some(Rate::Account(rate)) => self.calls().try_call(operation, rate, now),
            Some(Rate::Stream(rate)) => {
                stream().is_none_or(|stream| stream.lock(now).calls.try_call(operation, rate, now))
            }
        };
        if !is_within_rate {
            return Err(self.throttled(operation, request));
        }
        if let Some(quota) = quota(operation)
            && let Some(stream) = stream()
            && stream.lock(now).calls.done_in_a_day(operation, now).len() >= quota
        {
            return Err(Failure::limit_exceeded(format!(
                "{}: {operation} can be done {quota} times in 24 hours.",
                stream.subject()
            )));
        }
        Ok(())
    }

    /// Counts a call that was done towards its quota.
    pub(super) fn note_done(&self, operation: Operation, request: &Value<'_>, now: Now) {
        if quota(operation).is_some()
            && let Some(stream) = self.stream_of(request, now)
        {
            let mut state = stream.lock(now);
            let done = state.calls.done_in_a_day(operation, now);
            done.push_back(now.uptime);
        }
    }

    /// Refuses one more stream beside those there are.
    pub(super) fn check_new_stream<'s>(
        &self,
        mode: Mode,
        streams: impl Iterator<Item = &'s Stream>,
        now: Now,
    ) -> Result<(), Failure> {
        let is_on_demand = |mode| matches!(mode, Mode::OnDemand { .. });
        let (mut in_change, mut on_demand) = (0, 0);
        for stream in streams {
            let state = stream.lock(now);
            in_change += usize::from(matches!(state.status, Status::Creating | Status::Deleting));
            on_demand += u32::from(is_on_demand(state.settings.mode));
        }
        if in_change >= MAX_IN_CHANGE {
            return Err(Failure::limit_exceeded(format!(
                "This request would have exceed the limit on the number of streams that can \
                 simultaneously be in CREATING or DELETING. Limit: {MAX_IN_CHANGE}"
            )));
        }
        let limit = super::account::ON_DEMAND_STREAM_LIMIT;
        if is_on_demand(mode) && on_demand >= limit {
            return Err(Failure::limit_exceeded(format!(
                "This request would exceed the limit of {limit} on-demand streams for the account \
                 {} in {}.",
                self.config.account, self.config.region
            )));
        }
        Ok(())
    }
}
