//! DescribeLimits, DescribeAccountSettings, UpdateAccountSettings: what belongs to the account.
//!
//! A commitment lasts a day at least: one that is disabled earlier ends when the day does, unless
//! it is enabled again before.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeLimits.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeAccountSettings.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateAccountSettings.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_MinimumThroughputBillingCommitmentInput.html>

use std::sync::PoisonError;

use serde::Serialize;

use super::failure::Failure;
use super::input::Input;
use super::output::Timestamp;
use super::settings::Mode;
use super::{Kinesis, rules};
use crate::clock::Now;

/// On-demand streams of an account.
/// <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>
pub(super) const ON_DEMAND_STREAM_LIMIT: u32 = 50;

/// How long a commitment lasts at least.
const MIN_COMMITMENT_MS: u64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeLimitsOutput {
    shard_limit: u32,
    open_shard_count: u32,
    on_demand_stream_count: usize,
    on_demand_stream_count_limit: u32,
    channel_count: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AccountSettings {
    minimum_throughput_billing_commitment: CommitmentOutput,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CommitmentOutput {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest_allowed_end_at: Option<Timestamp>,
}

/// The account's promise to pay for a minimum of throughput, since it was first made.
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

    fn has_ended(self, now: Now) -> bool {
        self.end_ms.is_some_and(|end| end <= now.wall_ms)
    }

    /// The commitment after it was enabled.
    fn enabled(earlier: Option<Self>, now: Now) -> Self {
        let running = earlier.filter(|earlier| !earlier.has_ended(now));
        Self {
            started_ms: running.map_or(now.wall_ms, |running| running.started_ms),
            end_ms: None,
        }
    }

    /// The commitment after it was disabled.
    fn disabled(self, now: Now) -> Self {
        let end_ms = self
            .end_ms
            .unwrap_or_else(|| self.earliest_end_ms().max(now.wall_ms));
        Self {
            end_ms: Some(end_ms),
            ..self
        }
    }

    fn describe(commitment: Option<Self>, now: Now) -> CommitmentOutput {
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

impl Kinesis {
    pub(super) fn describe_limits(&self, now: Now) -> DescribeLimitsOutput {
        let on_demand_stream_count = {
            let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
            let is_on_demand = |mode| matches!(mode, Mode::OnDemand { .. });
            let states = streams.values().map(|stream| stream.lock(now));
            states
                .filter(|state| !state.is_gone() && is_on_demand(state.settings.mode))
                .count()
        };
        DescribeLimitsOutput {
            shard_limit: self.config.shard_limit,
            open_shard_count: *self.shard_count(),
            on_demand_stream_count,
            on_demand_stream_count_limit: ON_DEMAND_STREAM_LIMIT,
            channel_count: self.channels(now).len(),
        }
    }

    /// Whether on-demand streams are those of on-demand advantage.
    pub(super) fn has_commitment(&self, now: Now) -> bool {
        self.commitment()
            .is_some_and(|commitment| !commitment.has_ended(now))
    }

    pub(super) fn describe_account_settings(&self, now: Now) -> AccountSettings {
        AccountSettings {
            minimum_throughput_billing_commitment: Commitment::describe(*self.commitment(), now),
        }
    }

    pub(super) fn update_account_settings(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<AccountSettings, Failure> {
        let status = match input.structure("MinimumThroughputBillingCommitment")? {
            Some(commitment) => {
                Some(commitment.required_text("Status", &rules::COMMITMENT_STATUS)?)
            }
            None => None,
        };
        let status = input.required("MinimumThroughputBillingCommitment", status);
        input.finish()?;

        {
            let mut commitment = self.commitment();
            *commitment = match status {
                "ENABLED" => Some(Commitment::enabled(*commitment, now)),
                _ => commitment.map(|commitment| commitment.disabled(now)),
            };
        }
        Ok(self.describe_account_settings(now))
    }
}
