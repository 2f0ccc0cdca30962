//! GetRecords: the records of a shard, from an iterator on.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shardwise_types::{HashKeyRange, PartitionKey, SequenceNumber, ShardId};

use super::get_shard_iterator::ShardIterator;
use super::handle::Kinesis;
use super::wire::{self, WireHashKeyRange};
use crate::call::{self, RawResponse};
use crate::error::{BoxError, Error};
use crate::operation::{Effect, Operation};

const GET_RECORDS: Operation = Operation::data("GetRecords", Effect::Reads);

/// A record as it is stored.
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Record.html>
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Its number in the shard.
    pub sequence_number: SequenceNumber,
    /// When the service took it; to the millisecond, and not strictly in order.
    pub approximate_arrival_timestamp: Option<SystemTime>,
    /// Its data.
    pub data: Bytes,
    /// Its partition key; absent on a stream whose records the service distributes itself.
    pub partition_key: Option<PartitionKey>,
}

impl Record {
    /// A record with this number and data, and neither key nor time; set the other fields as
    /// needed.
    #[must_use]
    pub fn new(sequence_number: SequenceNumber, data: Bytes) -> Self {
        Self {
            sequence_number,
            approximate_arrival_timestamp: None,
            data,
            partition_key: None,
        }
    }
}

/// A shard that follows one that has ended.
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ChildShard.html>
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildShard {
    /// Its id.
    pub shard_id: ShardId,
    /// The one shard that was split, or the two that were merged, to make it.
    pub parent_shards: Vec<ShardId>,
    /// The hash keys that it takes.
    pub hash_key_range: HashKeyRange,
}

impl ChildShard {
    /// A child as GetRecords would describe it, made of what ListShards says.
    #[must_use]
    pub fn new(
        shard_id: ShardId,
        parent_shards: Vec<ShardId>,
        hash_key_range: HashKeyRange,
    ) -> Self {
        Self {
            shard_id,
            parent_shards,
            hash_key_range,
        }
    }
}

/// The answer of GetRecords.
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetRecordsOutput {
    /// The records, in the shard's order.
    pub records: Vec<Record>,
    /// Where to go on; absent at the end of a closed shard.
    pub next_shard_iterator: Option<ShardIterator>,
    /// How far the last record lies behind the newest, in time; zero at the tip.
    pub behind_latest: Option<Duration>,
    /// What follows the shard, at its end.
    pub child_shards: Vec<ChildShard>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Input<'a> {
    shard_iterator: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output<'a> {
    #[serde(borrow)]
    records: Option<Vec<WireRecord<'a>>>,
    next_shard_iterator: Option<String>,
    millis_behind_latest: Option<u64>,
    child_shards: Option<Vec<WireChildShard>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireRecord<'a> {
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    #[serde(default, deserialize_with = "wire::time")]
    approximate_arrival_timestamp: Option<SystemTime>,
    #[serde(default, deserialize_with = "wire::data")]
    data: Bytes,
    partition_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireChildShard {
    shard_id: String,
    parent_shards: Option<Vec<String>>,
    hash_key_range: WireHashKeyRange,
}

impl Kinesis {
    /// Reads on from an iterator: at most `limit` records (up to 10,000, the default), at most
    /// 10 MiB. An empty answer does not mean that there are no more.
    ///
    /// # Errors
    /// [`ExpiredIterator`](crate::ErrorKind::ExpiredIterator) after five minutes,
    /// [`Throttled`](crate::ErrorKind::Throttled) beyond five calls a second.
    ///
    /// # Cancel safety
    /// Safe: nothing is changed.
    pub async fn get_records(
        &self,
        iterator: &ShardIterator,
        limit: Option<u32>,
    ) -> Result<GetRecordsOutput, Error> {
        let input = Input {
            shard_iterator: iterator.as_str(),
            limit,
        };
        self.call(GET_RECORDS, &input, output).await
    }
}

fn output(answer: &RawResponse) -> Result<GetRecordsOutput, BoxError> {
    let wire: Output<'_> = call::parse(answer)?;
    let records = wire.records.unwrap_or_default();
    Ok(GetRecordsOutput {
        records: records.into_iter().map(record).collect::<Result<_, _>>()?,
        next_shard_iterator: wire.next_shard_iterator.map(ShardIterator::new),
        behind_latest: wire.millis_behind_latest.map(Duration::from_millis),
        child_shards: wire
            .child_shards
            .unwrap_or_default()
            .into_iter()
            .map(child_shard)
            .collect::<Result<_, _>>()?,
    })
}

fn record(wire: WireRecord<'_>) -> Result<Record, BoxError> {
    Ok(Record {
        sequence_number: wire.sequence_number.parse()?,
        approximate_arrival_timestamp: wire.approximate_arrival_timestamp,
        data: wire.data,
        partition_key: wire
            .partition_key
            .map(|key| PartitionKey::from_stored(Bytes::from(key)))
            .transpose()?,
    })
}

fn child_shard(wire: WireChildShard) -> Result<ChildShard, BoxError> {
    let parents = wire.parent_shards.unwrap_or_default();
    Ok(ChildShard {
        shard_id: wire.shard_id.parse()?,
        parent_shards: parents
            .iter()
            .map(|id| id.parse())
            .collect::<Result<_, _>>()?,
        hash_key_range: wire.hash_key_range.read()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::WireFormat;

    fn read(body: &str) -> Result<GetRecordsOutput, BoxError> {
        output(&RawResponse {
            body: body.to_owned().into(),
            wire: WireFormat::Json,
            service_time: None,
            request_id: None,
        })
    }

    #[test]
    fn null_and_missing_partition_keys_and_unknown_members_do_not_fail_a_call() {
        let read = read(
            r#"{"Records":[
                {"SequenceNumber":"1","Data":"aGVsbG8=","PartitionKey":null,"EncryptionType":"KMS"},
                {"SequenceNumber":"2","Data":"","ApproximateArrivalTimestamp":1767225600.123},
                {"SequenceNumber":"3","PartitionKey":"é"}],
              "NextShardIterator":null,"ChildShards":null,"MillisBehindLatest":7,"Later":{"a":1}}"#,
        )
        .unwrap();
        assert_eq!(read.records[0].data, "hello");
        assert_eq!(read.records[0].partition_key, None);
        let arrival = read.records[1].approximate_arrival_timestamp.unwrap();
        let since = arrival.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_millis(), 1_767_225_600_123);
        assert_eq!(
            read.records[2].partition_key.as_ref().unwrap().as_str(),
            "é"
        );
        assert_eq!(read.behind_latest, Some(Duration::from_millis(7)));
        assert!(read.next_shard_iterator.is_none() && read.child_shards.is_empty());
    }

    #[test]
    fn what_is_not_an_answer_is_an_error() {
        assert!(read("{").is_err());
        assert!(read(r#"{"Records":[{"SequenceNumber":"x"}]}"#).is_err());
        assert!(read(r#"{"Records":[{"SequenceNumber":"1","Data":"*"}]}"#).is_err());
    }
}
