//! A channel: its status and its configuration. It delivers nothing.
//!
//! As a consumer's, its status follows from times, so nothing has to happen for it to change.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ChannelDescription.html>

use std::time::Duration;

use super::attached::Attached;
use super::channel_configuration::{Destination, Encryption, Logging, RecordConfiguration};
use super::status::Status;
use crate::clock::Now;

#[derive(Debug)]
pub(crate) struct Channel {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) id: String,
    pub(super) created_ms: u64,
    pub(super) role_arn: String,
    pub(super) source: Source,
    pub(super) destination: Destination,
    pub(super) encryption: Option<Encryption>,
    pub(super) logging: Logging,
    pub(super) attached: Attached,
    pub(super) life: Life,
}

/// The stream that a channel reads. Under its old name another stream is another source.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) stream_arn: String,
    pub(super) stream_created_ms: u64,
    pub(super) records: RecordConfiguration,
}

/// The changes of a channel and when they end, in uptime.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    change: Status,
    ends_at: Duration,
}

impl Life {
    pub(super) fn new(now: Now, delay: Duration) -> Self {
        let change = Status::Creating;
        let ends_at = now.uptime + delay;
        Self { change, ends_at }
    }

    /// Makes the channel UPDATING or DELETING for `delay`.
    pub(super) fn begin(&mut self, change: Status, now: Now, delay: Duration) {
        if self.change != Status::Deleting {
            self.change = change;
            self.ends_at = now.uptime + delay;
        }
    }

    pub(super) fn status(self, now: Now) -> Status {
        if now.uptime < self.ends_at || self.change == Status::Deleting {
            self.change
        } else {
            Status::Active
        }
    }

    pub(super) fn is_gone(self, now: Now) -> bool {
        self.change == Status::Deleting && self.ends_at <= now.uptime
    }
}

impl Channel {
    pub(super) fn status(&self, now: Now) -> Status {
        self.life.status(now)
    }
}
