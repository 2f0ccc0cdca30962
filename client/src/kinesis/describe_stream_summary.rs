//! DescribeStreamSummary: a stream without its shards.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use shardwise_types::{StreamArn, StreamName};

use super::handle::Kinesis;
use super::wire::{self, StreamInput};
use crate::call;
use crate::error::Error;
use crate::operation::{Effect, Operation};

const DESCRIBE_STREAM_SUMMARY: Operation =
    Operation::control("DescribeStreamSummary", Effect::Reads);

/// Where a stream stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamStatus {
    /// Being made; it has no shards yet.
    Creating,
    /// Being deleted.
    Deleting,
    /// Ready for everything.
    Active,
    /// Being changed; it takes and gives records all the same.
    Updating,
    /// A status that this version does not know.
    Unknown,
}

/// What DescribeStreamSummary says of a stream.
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StreamDescriptionSummary.html>
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StreamSummary {
    /// The stream's ARN, if the service gave one that can be read.
    pub arn: Option<StreamArn>,
    /// Where it stands in its life.
    pub status: StreamStatus,
    /// How long records are kept.
    pub retention: Duration,
    /// How many shards are open.
    pub open_shard_count: u32,
    /// When it was made: a stream that was deleted and made again differs here.
    pub created: Option<SystemTime>,
    /// Bytes of a record, at most, if the service says so.
    pub max_record_bytes: Option<usize>,
    /// `AUTO` if the service places records itself, ignoring their keys; `USER_PARTITION_KEY` or
    /// absent if partition keys decide.
    pub record_distribution_strategy: Option<String>,
    /// The service's clock when it answered.
    pub service_time: Option<SystemTime>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryOutput {
    stream_description_summary: WireSummary,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireSummary {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    stream_status: String,
    retention_period_hours: Option<u32>,
    open_shard_count: Option<u32>,
    #[serde(default, deserialize_with = "wire::time")]
    stream_creation_timestamp: Option<SystemTime>,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size_in_kib: Option<usize>,
    record_distribution_strategy: Option<String>,
}

impl Kinesis {
    /// Describes a stream without its shards; 20 calls a second for the whole account.
    ///
    /// # Errors
    /// [`ResourceNotFound`](crate::ErrorKind::ResourceNotFound) if there is none of this name.
    ///
    /// # Cancel safety
    /// Safe: nothing is changed.
    pub async fn describe_stream_summary(
        &self,
        stream: &StreamName,
    ) -> Result<StreamSummary, Error> {
        let input = StreamInput {
            stream_name: stream.as_str(),
        };
        self.call(DESCRIBE_STREAM_SUMMARY, &input, |answer| {
            let output: SummaryOutput = call::parse(answer)?;
            let wire = output.stream_description_summary;
            let hours = wire.retention_period_hours.unwrap_or_default();
            Ok(StreamSummary {
                arn: wire.stream_arn.and_then(|arn| arn.parse().ok()),
                status: status(&wire.stream_status),
                retention: Duration::from_secs(u64::from(hours) * 3600),
                open_shard_count: wire.open_shard_count.unwrap_or_default(),
                created: wire.stream_creation_timestamp,
                max_record_bytes: wire.max_record_size_in_kib.map(|kib| kib * 1024),
                record_distribution_strategy: wire.record_distribution_strategy,
                service_time: answer.service_time,
            })
        })
        .await
    }
}

fn status(text: &str) -> StreamStatus {
    match text {
        "CREATING" => StreamStatus::Creating,
        "DELETING" => StreamStatus::Deleting,
        "ACTIVE" => StreamStatus::Active,
        "UPDATING" => StreamStatus::Updating,
        _ => StreamStatus::Unknown,
    }
}
