//! PutRecords: up to 500 records in one call, each with a result of its own.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use shardwise_types::{HashKey, PartitionKey, SequenceNumber, ShardId, StreamName};

use super::handle::Kinesis;
use super::wire::Blob;
use crate::call::{self, RawResponse};
use crate::encoding::WireFormat;
use crate::error::{BoxError, Error};
use crate::operation::{Effect, Operation};

const PUT_RECORDS: Operation = Operation::data("PutRecords", Effect::Puts);

/// One record to put.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutRecordsEntry {
    /// The record's data.
    pub data: Bytes,
    /// The partition key, whose hash decides the shard unless `explicit_hash_key` does.
    pub partition_key: PartitionKey,
    /// A hash key to go by in place of the partition key's.
    pub explicit_hash_key: Option<HashKey>,
}

impl PutRecordsEntry {
    /// A record that goes where its partition key says.
    #[must_use]
    pub fn new(partition_key: PartitionKey, data: Bytes) -> Self {
        Self {
            data,
            partition_key,
            explicit_hash_key: None,
        }
    }

    /// The bytes that count against the limits: data and partition key.
    #[must_use]
    pub fn size(&self) -> usize {
        self.data.len() + self.partition_key.as_str().len()
    }
}

/// Where a record was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutSuccess {
    /// The shard that took it.
    pub shard_id: ShardId,
    /// Its number there.
    pub sequence_number: SequenceNumber,
}

impl PutSuccess {
    /// A record that was stored there.
    #[must_use]
    pub fn new(shard_id: ShardId, sequence_number: SequenceNumber) -> Self {
        Self {
            shard_id,
            sequence_number,
        }
    }
}

/// Why one entry of a PutRecords call was not stored, while others may have been.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutFailure {
    /// The service's code: `ProvisionedThroughputExceededException` or `InternalFailure`.
    pub code: String,
    /// The service's message.
    pub message: String,
}

impl PutFailure {
    /// A failure as the service words it.
    #[must_use]
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output<'a> {
    #[serde(borrow)]
    records: Vec<WireResult<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireResult<'a> {
    #[serde(borrow)]
    shard_id: Option<Text<'a>>,
    #[serde(borrow)]
    sequence_number: Option<Text<'a>>,
    error_code: Option<String>,
    error_message: Option<String>,
}

/// Text of an answer, not copied unless it holds an escape. In a struct of its own, since serde
/// borrows nothing for an `Option<Cow<str>>`.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Input<'a> {
    stream_name: &'a str,
    records: Entries<'a>,
}

struct Entries<'a>(&'a [PutRecordsEntry]);

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|entry| WireEntry {
            data: Blob(&entry.data),
            partition_key: entry.partition_key.as_str(),
            explicit_hash_key: entry.explicit_hash_key.map(|key| key.to_string()),
        }))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireEntry<'a> {
    data: Blob<'a>,
    partition_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    explicit_hash_key: Option<String>,
}

impl Kinesis {
    /// Puts up to 500 records, 10 MiB in all. The answer has one result for each entry, in the
    /// same order: a call that succeeds may have failed for some of them.
    ///
    /// The limits are not checked here: the service does.
    ///
    /// # Errors
    /// If the call failed as a whole. [`Error::written`] says whether records may be stored all
    /// the same; an answer with another number of results than there were entries counts as such.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it may or may not have stored what it was to put.
    pub async fn put_records(
        &self,
        stream: &StreamName,
        entries: &[PutRecordsEntry],
    ) -> Result<Vec<Result<PutSuccess, PutFailure>>, Error> {
        let wire = self.aws.encoding().wire();
        let body = match wire {
            WireFormat::Json => json_body(stream, entries),
            WireFormat::Cbor => cbor_body(stream, entries),
        };
        let count = entries.len();
        self.send(PUT_RECORDS, wire, body, |answer| results(answer, count))
            .await
    }
}

fn results(
    answer: &RawResponse,
    count: usize,
) -> Result<Vec<Result<PutSuccess, PutFailure>>, BoxError> {
    let output: Output<'_> = call::parse(answer)?;
    // Never match results to records by position unless there is one for each.
    if output.records.len() != count {
        let error = format!("{} results for {count} records", output.records.len());
        return Err(error.into());
    }
    output.records.into_iter().map(result).collect()
}

pub(super) fn result(wire: WireResult<'_>) -> Result<Result<PutSuccess, PutFailure>, BoxError> {
    match (wire.error_code, wire.shard_id, wire.sequence_number) {
        (Some(code), _, _) => Ok(Err(PutFailure {
            code,
            message: wire.error_message.unwrap_or_default(),
        })),
        (None, Some(shard_id), Some(sequence_number)) => Ok(Ok(PutSuccess {
            shard_id: shard_id.0.parse()?,
            sequence_number: sequence_number.0.parse()?,
        })),
        (None, _, _) => Err("a result without shard, sequence number or error code".into()),
    }
}

/// Bytes of an entry besides data and partition key: the member names, quotes, a 39-digit hash key.
const ENTRY_OVERHEAD: usize = 110;

/// Writes the request in one pass into one buffer of about the right size.
fn cbor_body(stream: &StreamName, entries: &[PutRecordsEntry]) -> Bytes {
    let estimate = entries
        .iter()
        .map(|entry| entry.size() + ENTRY_OVERHEAD)
        .sum::<usize>()
        + 256;
    let input = Input {
        stream_name: stream.as_str(),
        records: Entries(entries),
    };
    let mut out = Vec::with_capacity(estimate);
    let written = input.serialize(&mut minicbor_serde::Serializer::new(&mut out));
    debug_assert!(written.is_ok(), "writing to a vector cannot fail");
    out.into()
}

/// The same in JSON. serde_json would need the base64 text of each record as a string of its own
/// first.
fn json_body(stream: &StreamName, entries: &[PutRecordsEntry]) -> Bytes {
    let estimate: usize = entries
        .iter()
        .map(|entry| entry.size() * 4 / 3 + ENTRY_OVERHEAD)
        .sum::<usize>()
        + 256;
    let mut out = Vec::with_capacity(estimate);
    out.extend_from_slice(br#"{"StreamName":""#);
    // A stream name and a hash key hold nothing that JSON escapes.
    out.extend_from_slice(stream.as_str().as_bytes());
    out.extend_from_slice(br#"","Records":["#);
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"Data":""#);
        push_base64(&mut out, &entry.data);
        out.extend_from_slice(br#"","PartitionKey":"#);
        push_json_string(&mut out, entry.partition_key.as_str());
        if let Some(hash_key) = entry.explicit_hash_key {
            out.extend_from_slice(br#","ExplicitHashKey":""#);
            out.extend_from_slice(hash_key.to_string().as_bytes());
            out.push(b'"');
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out.into()
}

fn push_base64(out: &mut Vec<u8>, data: &[u8]) {
    let begin = out.len();
    out.resize(begin + data.len().div_ceil(3) * 4, 0);
    let encoded = STANDARD.encode_slice(data, &mut out[begin..]);
    debug_assert_eq!(
        encoded.ok(),
        Some(out.len() - begin),
        "padded base64 has an exact length"
    );
}

fn push_json_string(out: &mut Vec<u8>, text: &str) {
    // Writing to a vector cannot fail.
    let written = serde_json::to_writer(out, text);
    debug_assert!(written.is_ok(), "writing to a vector cannot fail");
}

#[cfg(test)]
mod tests {
    use ciborium::Value as Cbor;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_body_says_what_the_entries_hold(
            entries in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..40), "\\PC{1,20}|[\"\\\\\n\u{1}]{1,3}", any::<Option<u128>>()),
                0..5,
            )
        ) {
            let entries: Vec<PutRecordsEntry> = entries
                .into_iter()
                .map(|(data, key, hash)| PutRecordsEntry {
                    data: data.into(),
                    partition_key: key.parse().unwrap(),
                    explicit_hash_key: hash.map(HashKey::new),
                })
                .collect();
            let body = json_body(&"orders".parse().unwrap(), &entries);
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            prop_assert_eq!(&json["StreamName"], "orders");
            let records = json["Records"].as_array().unwrap();
            prop_assert_eq!(records.len(), entries.len());
            for (record, entry) in records.iter().zip(&entries) {
                let data = STANDARD.decode(record["Data"].as_str().unwrap()).unwrap();
                prop_assert_eq!(&data, &entry.data.to_vec());
                prop_assert_eq!(record["PartitionKey"].as_str().unwrap(), entry.partition_key.as_str());
                let hash = record.get("ExplicitHashKey").map(|key| key.as_str().unwrap().to_owned());
                prop_assert_eq!(hash, entry.explicit_hash_key.map(|key| key.to_string()));
            }

            let body = cbor_body(&"orders".parse().unwrap(), &entries);
            let cbor: Cbor = ciborium::from_reader(&body[..]).unwrap();
            let expected = entries.iter().map(|entry| {
                let key = entry.partition_key.as_str();
                let mut record = vec![
                    ("Data".into(), Cbor::Bytes(entry.data.to_vec())),
                    ("PartitionKey".into(), key.into()),
                ];
                if let Some(hash_key) = entry.explicit_hash_key {
                    record.push(("ExplicitHashKey".into(), hash_key.to_string().into()));
                }
                Cbor::Map(record)
            });
            prop_assert_eq!(cbor, Cbor::Map(vec![
                ("StreamName".into(), "orders".into()),
                ("Records".into(), Cbor::Array(expected.collect())),
            ]));
        }
    }

    fn answer(body: &str) -> RawResponse {
        RawResponse {
            body: body.to_owned().into(),
            wire: WireFormat::Json,
            service_time: None,
            request_id: None,
        }
    }

    #[test]
    fn unknown_members_and_codes_do_not_fail_a_call() {
        let body = r#"{"FailedRecordCount":1,"New":{},"Records":[
            {"ShardId":"shardId-000000000001","SequenceNumber":"5","New":[1]},
            {"ErrorCode":"NeverHeardOf","ErrorMessage":null}]}"#;
        let results = results(&answer(body), 2).unwrap();
        assert_eq!(results[0].as_ref().unwrap().sequence_number.as_str(), "5");
        assert_eq!(results[1].as_ref().unwrap_err().code, "NeverHeardOf");
    }

    #[test]
    fn a_wrong_number_of_results_fails_the_whole_call() {
        let body = r#"{"Records":[{"ShardId":"s","SequenceNumber":"5"}]}"#;
        assert!(results(&answer(body), 2).is_err());
        assert!(results(&answer(r#"{"Records":[{}]}"#), 1).is_err());
    }
}
