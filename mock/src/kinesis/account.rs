//! DescribeLimits, DescribeAccountSettings, UpdateAccountSettings: what belongs to the account.
//!
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeLimits.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeAccountSettings.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateAccountSettings.html>

use serde::Serialize;

use super::commitment::{Commitment, CommitmentOutput, ON_DEMAND_STREAM_LIMIT};
use super::failure::Failure;
use super::input::Input;
use super::stream_settings::Mode;
use super::{Kinesis, rules};
use crate::clock::Now;

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

impl Kinesis {
    pub(super) fn describe_limits(&self, now: Now) -> DescribeLimitsOutput {
        let on_demand_stream_count = {
            let streams = self.streams();
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
