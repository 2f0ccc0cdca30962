//! ListShards, all pages.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use shardwise_types::{Shard, ShardId, StreamName};

use super::handle::Kinesis;
use super::wire::{Timestamp, WireHashKeyRange};
use crate::call::{self, RawResponse};
use crate::error::{BoxError, Error, ErrorKind};
use crate::operation::{Effect, Operation};

const LIST_SHARDS: Operation = Operation::control("ListShards", Effect::Reads);

/// How often a listing is begun again because its token expired between two pages: a token lives
/// for five minutes, so this happens to a caller that was frozen, and hardly twice.
const RESTARTS: u32 = 2;

/// Which shards to list.
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ShardFilter.html>
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShardFilter {
    /// Every shard that the service still knows.
    All,
    /// The shards that are open now.
    AtLatest,
    /// The shards that were open at the oldest record that is kept.
    AtTrimHorizon,
    /// The shards that were open at this time.
    AtTimestamp(SystemTime),
}

#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Input<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard_filter: Option<WireFilter>,
}

#[derive(Serialize, Clone)]
#[serde(rename_all = "PascalCase")]
struct WireFilter {
    #[serde(rename = "Type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    #[serde(default)]
    shards: Vec<WireShard>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireShard {
    shard_id: String,
    parent_shard_id: Option<String>,
    adjacent_parent_shard_id: Option<String>,
    hash_key_range: WireHashKeyRange,
    sequence_number_range: WireSequenceNumberRange,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireSequenceNumberRange {
    starting_sequence_number: String,
    ending_sequence_number: Option<String>,
}

impl Kinesis {
    /// Lists a stream's shards, in the service's order, whatever the number of pages.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound) if there is no such stream.
    ///
    /// # Cancel safety
    /// Safe: nothing is changed.
    pub async fn list_shards(
        &self,
        stream: &StreamName,
        filter: ShardFilter,
    ) -> Result<Vec<Shard>, Error> {
        let mut restarts = 0;
        loop {
            match self.list_all_pages(stream, &filter).await {
                Err(error)
                    if error.kind() == ErrorKind::ExpiredNextToken && restarts < RESTARTS =>
                {
                    restarts += 1;
                }
                result => return result,
            }
        }
    }

    async fn list_all_pages(
        &self,
        stream: &StreamName,
        filter: &ShardFilter,
    ) -> Result<Vec<Shard>, Error> {
        let first = Input {
            stream_name: Some(stream.as_str()),
            shard_filter: wire_filter(filter),
            next_token: None,
        };
        let (mut shards, mut token) = self.call(LIST_SHARDS, &first, page).await?;
        // The service refuses a stream name beside a token: the token holds name and filter.
        while let Some(next_token) = token.take() {
            let input = Input {
                next_token: Some(&next_token),
                ..Input::default()
            };
            let (more, next) = self.call(LIST_SHARDS, &input, page).await?;
            shards.extend(more);
            token = next;
        }
        Ok(shards)
    }
}

fn wire_filter(filter: &ShardFilter) -> Option<WireFilter> {
    let plain = |kind| {
        Some(WireFilter {
            kind,
            timestamp: None,
        })
    };
    match filter {
        ShardFilter::All => None,
        ShardFilter::AtLatest => plain("AT_LATEST"),
        ShardFilter::AtTrimHorizon => plain("AT_TRIM_HORIZON"),
        ShardFilter::AtTimestamp(time) => Some(WireFilter {
            kind: "AT_TIMESTAMP",
            timestamp: Some(Timestamp(*time)),
        }),
    }
}

fn page(answer: &RawResponse) -> Result<(Vec<Shard>, Option<String>), BoxError> {
    let output: Output = call::parse(answer)?;
    let shards = output
        .shards
        .into_iter()
        .map(shard)
        .collect::<Result<_, _>>()?;
    Ok((shards, output.next_token.filter(|token| !token.is_empty())))
}

fn shard(wire: WireShard) -> Result<Shard, BoxError> {
    let id = |text: String| text.parse::<ShardId>();
    let range = wire.sequence_number_range;
    let mut shard = Shard::new(
        id(wire.shard_id)?,
        wire.hash_key_range.read()?,
        range.starting_sequence_number.parse()?,
    );
    shard.parent_shard_id = wire.parent_shard_id.map(id).transpose()?;
    shard.adjacent_parent_shard_id = wire.adjacent_parent_shard_id.map(id).transpose()?;
    shard.ending_sequence_number = range
        .ending_sequence_number
        .map(|text| text.parse())
        .transpose()?;
    Ok(shard)
}
