//! ListStreams: pages by NextToken or by ExclusiveStartStreamName.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListStreams.html>

use std::ops::Bound;

use serde::Serialize;

use super::describe_stream::StreamModeDetails;
use super::failure::Failure;
use super::input::Input;
use super::output::Timestamp;
use super::token::Kind;
use super::{Kinesis, rules};
use crate::clock::Now;

/// Streams of one answer, at most and by default.
const MAX_STREAMS: usize = 100;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListStreamsOutput {
    stream_names: Vec<String>,
    has_more_streams: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    stream_summaries: Vec<StreamSummary>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamSummary {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_status: &'static str,
    stream_mode_details: StreamModeDetails,
    stream_creation_timestamp: Timestamp,
}

impl Kinesis {
    pub(super) fn list_streams(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<ListStreamsOutput, Failure> {
        let limit = input.integer("Limit", 1, 10_000)?;
        let after = input.text("ExclusiveStartStreamName", &rules::STREAM_NAME)?;
        let token = input.text("NextToken", &rules::NEXT_TOKEN)?;
        input.finish()?;

        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(MAX_STREAMS).min(MAX_STREAMS);
        let after = match (after, token) {
            (Some(_), Some(_)) => {
                return Err(Failure::invalid_argument(
                    "NextToken and ExclusiveStartStreamName cannot be provided together.",
                ));
            }
            (after, None) => after.map(str::to_owned),
            (None, Some(token)) => {
                let text = self.open_page_token(Kind::ListStreams, token, now)?;
                Some(text)
            }
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let streams = self.streams();
        let mut rest = streams
            .range((from, Bound::Unbounded))
            .filter_map(|(_, stream)| {
                let state = stream.lock(now);
                (!state.is_gone()).then(|| StreamSummary {
                    stream_name: stream.name.clone(),
                    stream_arn: stream.arn.clone(),
                    stream_status: state.status.as_str(),
                    stream_mode_details: state.settings.mode.into(),
                    stream_creation_timestamp: Timestamp(stream.created_ms / 1000 * 1000),
                })
            });
        let stream_summaries: Vec<_> = rest.by_ref().take(limit).collect();
        let has_more_streams = rest.next().is_some();
        let last = stream_summaries.last().filter(|_| has_more_streams);
        Ok(ListStreamsOutput {
            next_token: last
                .map(|last| self.seal_page_token(Kind::ListStreams, &last.stream_name, now)),
            stream_names: stream_summaries
                .iter()
                .map(|summary| summary.stream_name.clone())
                .collect(),
            has_more_streams,
            stream_summaries,
        })
    }
}
