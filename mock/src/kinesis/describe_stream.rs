//! DescribeStream and DescribeStreamSummary.
//!
//! Every member of the answers is there except QueueCount: there are no queues.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStream.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamSummary.html>

use serde::Serialize;

use super::capacity::WarmThroughput;
use super::failure::Failure;
use super::input::Input;
use super::output::Timestamp;
use super::shard::{Description, Shard, shard_number};
use super::stream::{State, Stream};
use super::stream_ref::StreamRef;
use super::stream_settings::Mode;
use super::{Kinesis, rules};
use crate::clock::Now;

/// Shards of one DescribeStream answer, at most and by default.
const MAX_SHARDS: usize = 100;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeStreamOutput {
    stream_description: StreamDescription,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDescription {
    #[serde(flatten)]
    common: Common,
    shards: Vec<Description>,
    has_more_shards: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeStreamSummaryOutput {
    stream_description_summary: StreamDescriptionSummary,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDescriptionSummary {
    #[serde(flatten)]
    common: Common,
    stream_id: String,
    open_shard_count: usize,
    consumer_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    warm_throughput: Option<WarmThroughput>,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size_in_kib: usize,
    channel_count: usize,
    record_distribution_strategy: &'static str,
}

/// What both answers tell.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Common {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_status: &'static str,
    stream_mode_details: StreamModeDetails,
    retention_period_hours: u64,
    stream_creation_timestamp: Timestamp,
    enhanced_monitoring: [EnhancedMetrics; 1],
    encryption_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StreamModeDetails {
    stream_mode: &'static str,
}

impl From<Mode> for StreamModeDetails {
    fn from(mode: Mode) -> Self {
        Self {
            stream_mode: mode.as_str(),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EnhancedMetrics {
    shard_level_metrics: Vec<&'static str>,
}

impl Common {
    fn new(stream: &Stream, state: &State) -> Self {
        Self {
            stream_name: stream.name.clone(),
            stream_arn: stream.arn.clone(),
            stream_status: state.status.as_str(),
            stream_mode_details: state.settings.mode.into(),
            retention_period_hours: state.settings.retention.as_secs() / 3600,
            // The service tells whole seconds.
            stream_creation_timestamp: Timestamp(stream.created_ms / 1000 * 1000),
            enhanced_monitoring: [EnhancedMetrics {
                shard_level_metrics: state.settings.shard_level_metrics.clone(),
            }],
            encryption_type: state.encryption_type().unwrap_or("NONE"),
            key_id: state.settings.key_id.clone(),
        }
    }
}

impl Kinesis {
    pub(super) fn describe_stream(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<DescribeStreamOutput, Failure> {
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let limit = input.integer("Limit", 1, 10_000)?;
        let after = input.text("ExclusiveStartShardId", &rules::SHARD_ID)?;
        let stream = StreamRef::read(&input, name)?;
        input.finish()?;

        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(MAX_SHARDS).min(MAX_SHARDS);
        let stream = self.stream(&stream, now)?;
        let after = after.map(|id| self.known_shard(id, &stream)).transpose()?;
        let state = stream.lock(now);
        let mut rest = state
            .shards(now)
            .filter(|shard| after.is_none_or(|after| shard.number > after))
            .map(Shard::describe);
        Ok(DescribeStreamOutput {
            stream_description: StreamDescription {
                common: Common::new(&stream, &state),
                shards: rest.by_ref().take(limit).collect(),
                has_more_shards: rest.next().is_some(),
            },
        })
    }

    pub(super) fn describe_stream_summary(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<DescribeStreamSummaryOutput, Failure> {
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let stream = StreamRef::read(&input, name)?;
        input.finish()?;

        let stream = self.stream(&stream, now)?;
        let channel_count = self.channel_count(&stream, now);
        let state = stream.lock(now);
        Ok(DescribeStreamSummaryOutput {
            stream_description_summary: StreamDescriptionSummary {
                common: Common::new(&stream, &state),
                stream_id: stream.id.clone(),
                open_shard_count: state.open_shard_count(),
                consumer_count: state.consumers.len(),
                warm_throughput: WarmThroughput::of(&state),
                max_record_size_in_kib: state.settings.max_record_bytes / 1024,
                channel_count,
                record_distribution_strategy: state.settings.distribution.as_str(),
            },
        })
    }

    /// The number in a shard id, which need not exist but must look like one.
    pub(super) fn known_shard(&self, id: &str, stream: &Stream) -> Result<u32, Failure> {
        shard_number(id).ok_or_else(|| self.could_not_find_shard(id, &stream.name))
    }

    pub(super) fn could_not_find_shard(&self, id: &str, stream: &str) -> Failure {
        Failure::not_found(format!(
            "Could not find shard {id} in stream {stream} under account {}.",
            self.config.account
        ))
    }
}
