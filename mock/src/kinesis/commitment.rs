//! The account's promise to pay for a minimum of throughput.
//!
//! A commitment lasts a day at least: one that is disabled earlier ends when the day does, unless
//! it is enabled again before.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_MinimumThroughputBillingCommitmentInput.html>

use serde::Serialize;

use super::output::Timestamp;
use crate::clock::Now;

/// On-demand streams of an account.
/// <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>
pub(super) const ON_DEMAND_STREAM_LIMIT: u32 = 50;

/// How long a commitment lasts at least.
const MIN_COMMITMENT_MS: u64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CommitmentOutput {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest_allowed_end_at: Option<Timestamp>,
}

/// A commitment, since it was first made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Commitment {
    started_ms: u64,
    /// When it ended or will end, once it was disabled.
    end_ms: Option<u64>,
}

impl Commitment {
    fn earliest_end_ms(self) -> u64 {
        self.started_ms + MIN_COMMITMENT_MS
    }

    pub(super) fn has_ended(self, now: Now) -> bool {
        self.end_ms.is_some_and(|end| end <= now.wall_ms)
    }

    /// The commitment after it was enabled.
    pub(super) fn enabled(earlier: Option<Self>, now: Now) -> Self {
        let running = earlier.filter(|earlier| !earlier.has_ended(now));
        Self {
            started_ms: running.map_or(now.wall_ms, |running| running.started_ms),
            end_ms: None,
        }
    }

    /// The commitment after it was disabled.
    pub(super) fn disabled(self, now: Now) -> Self {
        let end_ms = self
            .end_ms
            .unwrap_or_else(|| self.earliest_end_ms().max(now.wall_ms));
        Self {
            end_ms: Some(end_ms),
            ..self
        }
    }

    pub(super) fn describe(commitment: Option<Self>, now: Now) -> CommitmentOutput {
        let (status, ended_at) = match commitment {
            None => ("DISABLED", None),
            Some(Self { end_ms: None, .. }) => ("ENABLED", None),
            Some(ended) if ended.has_ended(now) => ("DISABLED", ended.end_ms),
            Some(_) => ("ENABLED_UNTIL_EARLIEST_ALLOWED_END", None),
        };
        CommitmentOutput {
            status,
            started_at: commitment.map(|c| Timestamp(c.started_ms)),
            ended_at: ended_at.map(Timestamp),
            earliest_allowed_end_at: commitment.map(|c| Timestamp(c.earliest_end_ms())),
        }
    }
}
