//! How often an operation that manages streams may be called, and how often it was.
//!
//! Rates are of the account or of the stream, per second; quotas are of the stream, in any 24
//! hours, and count what was done, not what was refused.
//! <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::clock::Now;
use crate::operation::Operation;
use crate::token_bucket::Bucket;

/// The time of a quota.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Clone, Copy)]
pub(super) enum Rate {
    Account(u64),
    Stream(u64),
}

/// Calls per second.
pub(super) fn rate(operation: Operation) -> Option<Rate> {
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
pub(super) fn quota(operation: Operation) -> Option<usize> {
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
    pub(super) fn try_call(&mut self, operation: Operation, per_second: u64, now: Now) -> bool {
        let new = || Bucket::new(per_second);
        let bucket = self.rates.entry(operation).or_insert_with(new);
        bucket.try_take(1, now.uptime)
    }

    pub(super) fn done_in_a_day(
        &mut self,
        operation: Operation,
        now: Now,
    ) -> &mut VecDeque<Duration> {
        let done = self.done.entry(operation).or_default();
        while done.front().is_some_and(|at| *at + DAY <= now.uptime) {
            done.pop_front();
        }
        done
    }
}
