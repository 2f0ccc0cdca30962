//! GetShardIterator: a place in a shard, from which GetRecords reads on.

use std::fmt;
use std::time::SystemTime;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use shardwise_types::{SequenceNumber, ShardId, StreamName};

use super::handle::Kinesis;
use super::wire::Timestamp;
use crate::call;
use crate::error::Error;
use crate::operation::{Effect, Operation};

const GET_SHARD_ITERATOR: Operation = Operation::data("GetShardIterator", Effect::Reads);

/// Where in a shard to begin to read.
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html>
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IteratorPosition {
    /// At the record with this number.
    AtSequenceNumber(SequenceNumber),
    /// Behind the record with this number.
    AfterSequenceNumber(SequenceNumber),
    /// At the first record that arrived at this time or later.
    AtTimestamp(SystemTime),
    /// At the oldest record that is kept.
    TrimHorizon,
    /// Behind the newest record, at the moment of the call.
    Latest,
}

/// A place in a shard, good for one GetRecords call within five minutes. Opaque.
#[derive(Clone, PartialEq, Eq)]
pub struct ShardIterator(ByteString);

impl ShardIterator {
    pub(super) fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The service's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ShardIterator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShardIterator")
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Input<'a> {
    stream_name: &'a str,
    shard_id: &'a str,
    shard_iterator_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    starting_sequence_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    shard_iterator: String,
}

impl Kinesis {
    /// Gets an iterator for a place in a shard.
    ///
    /// # Errors
    /// [`ResourceNotFound`](crate::ErrorKind::ResourceNotFound) if there is no such stream or
    /// shard, [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the number is not one of
    /// the shard's.
    ///
    /// # Cancel safety
    /// Safe: nothing is changed.
    pub async fn get_shard_iterator(
        &self,
        stream: &StreamName,
        shard_id: &ShardId,
        position: &IteratorPosition,
    ) -> Result<ShardIterator, Error> {
        let (shard_iterator_type, starting_sequence_number, timestamp) = match position {
            IteratorPosition::AtSequenceNumber(number) => {
                ("AT_SEQUENCE_NUMBER", Some(number.as_str()), None)
            }
            IteratorPosition::AfterSequenceNumber(number) => {
                ("AFTER_SEQUENCE_NUMBER", Some(number.as_str()), None)
            }
            IteratorPosition::AtTimestamp(time) => ("AT_TIMESTAMP", None, Some(Timestamp(*time))),
            IteratorPosition::TrimHorizon => ("TRIM_HORIZON", None, None),
            IteratorPosition::Latest => ("LATEST", None, None),
        };
        let input = Input {
            stream_name: stream.as_str(),
            shard_id: shard_id.as_str(),
            shard_iterator_type,
            starting_sequence_number,
            timestamp,
        };
        self.call(GET_SHARD_ITERATOR, &input, |answer| {
            let output: Output = call::parse(answer)?;
            Ok(ShardIterator::new(output.shard_iterator))
        })
        .await
    }
}
