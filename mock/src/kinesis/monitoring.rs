//! EnableEnhancedMonitoring and DisableEnhancedMonitoring.
//!
//! What is switched on is kept and described; there is no CloudWatch to publish it to.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_EnableEnhancedMonitoring.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DisableEnhancedMonitoring.html>

use serde::Serialize;

use super::failure::Failure;
use super::input::Input;
use super::reshard::check_active;
use super::rules::Count;
use super::stream::Change;
use super::stream_ref::StreamRef;
use super::{Kinesis, rules};
use crate::clock::Now;

/// Every metric, in the order in which the service tells them.
/// <https://docs.aws.amazon.com/cli/latest/reference/kinesis/enable-enhanced-monitoring.html>
const METRICS: [&str; 7] = [
    "IncomingBytes",
    "OutgoingRecords",
    "IteratorAgeMilliseconds",
    "IncomingRecords",
    "ReadProvisionedThroughputExceeded",
    "WriteProvisionedThroughputExceeded",
    "OutgoingBytes",
];

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EnhancedMonitoringOutput {
    stream_name: String,
    current_shard_level_metrics: Vec<&'static str>,
    desired_shard_level_metrics: Vec<&'static str>,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
}

impl Kinesis {
    pub(super) fn enable_enhanced_monitoring(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<EnhancedMonitoringOutput, Failure> {
        self.change_monitoring(&input, |is_on, is_named| is_on || is_named, now)
    }

    pub(super) fn disable_enhanced_monitoring(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<EnhancedMonitoringOutput, Failure> {
        self.change_monitoring(&input, |is_on, is_named| is_on && !is_named, now)
    }

    /// Decides of each metric whether it shall be on, from whether it is and whether the request
    /// names it.
    fn change_monitoring(
        &self,
        input: &Input<'_>,
        shall_be_on: impl Fn(bool, bool) -> bool,
        now: Now,
    ) -> Result<EnhancedMonitoringOutput, Failure> {
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let named =
            input.required_text_list("ShardLevelMetrics", Count::new(1, 7), &rules::METRIC)?;
        let stream = StreamRef::read(input, name)?;
        input.finish()?;

        let stream = self.stream(&stream, now)?;
        let mut state = stream.lock(now);
        check_active(&state, &stream)?;
        let current = state.settings.shard_level_metrics.clone();
        let is_named = |metric: &&str| named.contains(metric) || named.contains(&"ALL");
        let desired: Vec<&'static str> = METRICS
            .into_iter()
            .filter(|metric| shall_be_on(current.contains(metric), is_named(metric)))
            .collect();
        let mut settings = state.settings.clone();
        settings.shard_level_metrics.clone_from(&desired);
        state.begin(Change::settings(settings), now, self.config.state_delay);
        Ok(EnhancedMonitoringOutput {
            stream_name: stream.name.clone(),
            current_shard_level_metrics: current,
            desired_shard_level_metrics: desired,
            stream_arn: stream.arn.clone(),
        })
    }
}
