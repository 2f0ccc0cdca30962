//! A registered consumer: its status, and which shards it is subscribed to.
//!
//! The status follows from two times, so nothing has to happen for it to change.
//! [`super::stream::State`] owns the consumers of its stream.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Consumer.html>

use std::collections::BTreeMap;
use std::time::Duration;

use super::attached::Attached;
use super::status::Status;
use crate::clock::Now;

/// For how long after a successful SubscribeToShard the next one is refused.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html>
const SUBSCRIPTION_GUARD: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) name: String,
    pub(crate) attached: Attached,
    created_ms: u64,
    /// The uptime from which on it is ACTIVE.
    active_at: Duration,
    /// The uptime at which it is gone, once it was deregistered.
    gone_at: Option<Duration>,
    /// The latest subscription to each shard, by the shard's number.
    subscriptions: BTreeMap<u32, Subscribed>,
}

/// A successful SubscribeToShard.
#[derive(Debug, Clone, Copy)]
struct Subscribed {
    /// The subscriptions of this consumer to this shard are counted.
    turn: u64,
    at: Duration,
}

/// A consumer that was not deregistered and made again meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConsumerId {
    pub(crate) name: String,
    pub(crate) created_seconds: u64,
}

impl Consumer {
    /// A consumer that is CREATING for `delay`.
    pub(crate) fn new(name: &str, attached: Attached, now: Now, delay: Duration) -> Self {
        Self {
            name: name.to_owned(),
            attached,
            created_ms: now.wall_ms,
            active_at: now.uptime + delay,
            gone_at: None,
            subscriptions: BTreeMap::new(),
        }
    }

    pub(crate) fn status(&self, now: Now) -> Status {
        if self.gone_at.is_some() {
            Status::Deleting
        } else if now.uptime < self.active_at {
            Status::Creating
        } else {
            Status::Active
        }
    }

    pub(crate) fn is_active(&self, now: Now) -> bool {
        self.status(now) == Status::Active
    }

    pub(crate) fn id(&self) -> ConsumerId {
        ConsumerId {
            name: self.name.clone(),
            created_seconds: self.created_seconds(),
        }
    }

    /// The service tells whole seconds, in the consumer's ARN too.
    pub(crate) fn created_seconds(&self) -> u64 {
        self.created_ms / 1000
    }

    pub(crate) fn arn(&self, stream_arn: &str) -> String {
        let seconds = self.created_seconds();
        format!("{stream_arn}/consumer/{}:{seconds}", self.name)
    }

    /// Makes it DELETING for `delay`.
    pub(crate) fn deregister(&mut self, now: Now, delay: Duration) {
        self.gone_at.get_or_insert(now.uptime + delay);
    }

    pub(crate) fn is_gone(&self, now: Now) -> bool {
        self.gone_at.is_some_and(|at| at <= now.uptime)
    }

    /// Begins a subscription to the shard and ends the one before, unless that is too young; gives
    /// its turn.
    pub(crate) fn subscribe(&mut self, shard: u32, now: Now) -> Option<u64> {
        let previous = self.subscriptions.get(&shard);
        if previous.is_some_and(|previous| now.uptime < previous.at + SUBSCRIPTION_GUARD) {
            return None;
        }
        let turn = previous.map_or(0, |previous| previous.turn + 1);
        let subscribed = Subscribed {
            turn,
            at: now.uptime,
        };
        self.subscriptions.insert(shard, subscribed);
        Some(turn)
    }

    /// Whether no later subscription has taken over.
    pub(crate) fn holds(&self, shard: u32, turn: u64) -> bool {
        self.subscriptions
            .get(&shard)
            .is_some_and(|latest| latest.turn == turn)
    }
}
