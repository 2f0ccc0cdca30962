//! PutRecord, and what it shares with PutRecords: keys, sizes, routing.
//!
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html>

use std::borrow::Cow;

use md5::{Digest as _, Md5};
use serde::Serialize;

use shardwise_types::limits;

use super::failure::Failure;
use super::input::{Input, MAX_CONSTRAINTS, broken_constraints};
use super::sequence::{Parsed, Sequence};
use super::shard::{Payload, shard_id};
use super::stream::{State, Stream};
use super::stream_ref::StreamRef;
use super::{Kinesis, rules};
use crate::clock::Now;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutRecordOutput {
    shard_id: String,
    sequence_number: Sequence,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_type: Option<&'static str>,
}

/// The members of a record that is to be written.
#[derive(Debug)]
pub(super) struct Entry<'r> {
    pub(super) partition_key: &'r str,
    pub(super) explicit_hash_key: Option<&'r str>,
    pub(super) data: Cow<'r, [u8]>,
}

/// The partition key of a record; empty without one, where that is allowed.
pub(super) fn read_partition_key<'r>(
    input: &Input<'r>,
    needs_no_key: impl Fn() -> bool,
) -> Result<&'r str, Failure> {
    match input.text("PartitionKey", &rules::PARTITION_KEY)? {
        None if needs_no_key() => Ok(""),
        key => Ok(input.required("PartitionKey", key)),
    }
}

impl Entry<'_> {
    /// Where the record goes by itself.
    pub(super) fn hash_key(&self) -> Result<u128, Failure> {
        hash_key_of(self.partition_key, self.explicit_hash_key)
    }

    pub(super) fn payload(&self) -> Result<Payload, Failure> {
        Payload::new(self.partition_key, &self.data).ok_or_else(Failure::internal)
    }
}

/// The explicit hash key, or the MD5 of the partition key.
pub(super) fn hash_key_of(partition_key: &str, explicit: Option<&str>) -> Result<u128, Failure> {
    match explicit {
        Some(text) => text.parse().map_err(|_| {
            Failure::invalid_argument(format!(
                "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. \
                 Specified value was {text}"
            ))
        }),
        None => Ok(u128::from_be_bytes(
            Md5::digest(partition_key.as_bytes()).into(),
        )),
    }
}

/// Refuses records above the stream's limit, which counts data and partition key. Those whose data
/// alone is above it are reported together, each with its path in the request.
pub(super) fn check_sizes<'p>(
    state: &State,
    records: impl Iterator<Item = (Cow<'static, str>, &'p Payload)> + Clone,
) -> Result<(), Failure> {
    let limit = state.settings.max_record_bytes;
    let too_large = records
        .clone()
        .filter(|(_, payload)| payload.data_size() > limit);
    let broken: Vec<String> = too_large
        .take(MAX_CONSTRAINTS)
        .map(|(path, payload)| {
            let length = payload.data_size();
            format!(
                "Value 'java.nio.HeapByteBuffer[pos=0 lim={length} cap={length}]' at '{path}' \
                 failed to satisfy constraint: Member must have length less than or equal to \
                 {limit}"
            )
        })
        .collect();
    if !broken.is_empty() {
        return Err(broken_constraints(&broken));
    }
    let mut sizes = records.map(|(_, payload)| payload.size());
    match sizes.find(|size| *size > limit) {
        Some(size) => Err(Failure::invalid_argument(format!(
            "Record size, data and partition key together, exceeds {limit} bytes: {size}"
        ))),
        None => Ok(()),
    }
}

impl Kinesis {
    pub(super) fn put_record(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<PutRecordOutput, Failure> {
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let entry = Entry {
            data: input.required_blob("Data", limits::RECORD_MAX_BYTES)?,
            partition_key: read_partition_key(&input, || self.needs_no_key(&input, now))?,
            explicit_hash_key: input.text("ExplicitHashKey", &rules::HASH_KEY)?,
        };
        let ordering = input.text("SequenceNumberForOrdering", &rules::SEQUENCE_NUMBER)?;
        let stream = StreamRef::read(&input, name)?;
        let dry_run = input.boolean("DryRun")?;
        input.finish()?;

        let stream = self.stream(&stream, now)?;
        let hash_key = entry.hash_key();
        let payload = entry.payload()?;
        let mut state = stream.lock(now);
        let hash_key = if state.distributes_itself() {
            refuse_ordering(ordering)?;
            state.next_in_turn()
        } else {
            hash_key?
        };
        if !state.is_writable() {
            return Err(stream.not_found());
        }
        if let Some(number) = ordering {
            check_ordering(number, &stream, &state, now)?;
        }
        check_sizes(&state, std::iter::once(("data".into(), &payload)))?;
        refuse_dry_run(dry_run)?;
        if let Some(shard) = self.refuses_write(&mut state, hash_key, payload.size(), now) {
            return Err(Failure::throughput_exceeded(
                self.rate_exceeded(shard, &stream.name),
            ));
        }
        let bytes = payload.size();
        let (shard, sequence_number) = state
            .append(hash_key, payload, now)
            .ok_or_else(|| stream.not_found())?;
        self.note_write(&mut state, bytes, now);
        Ok(PutRecordOutput {
            shard_id: shard_id(shard),
            sequence_number,
            encryption_type: state.encryption_type(),
        })
    }
}

/// The service orders nothing among the shards that it chooses itself.
fn refuse_ordering(ordering: Option<&str>) -> Result<(), Failure> {
    match ordering {
        Some(_) => Err(Failure::invalid_argument(
            "SequenceNumberForOrdering is not supported for streams with the \
             RecordDistributionStrategy AUTO.",
        )),
        None => Ok(()),
    }
}

/// SequenceNumberForOrdering asks for a larger number than the given one. Every number here is larger
/// than those that the stream has issued; what it cannot have issued yet is refused.
fn check_ordering(number: &str, stream: &Stream, state: &State, now: Now) -> Result<(), Failure> {
    let issued = match Sequence::parse(number) {
        Some(Parsed::Current(sequence)) => state.may_have_issued(sequence, now),
        Some(Parsed::Outdated { .. }) => true,
        None => false,
    };
    if issued {
        return Ok(());
    }
    Err(Failure::invalid_argument(format!(
        "ExclusiveMinimumSequenceNumber {number} used in PutRecord on stream {} under account {} \
         is invalid.",
        stream.name, stream.account
    )))
}

/// With DryRun a request that would succeed fails with this error, and nothing is done.
pub(super) fn refuse_dry_run(dry_run: Option<bool>) -> Result<(), Failure> {
    if dry_run == Some(true) {
        return Err(Failure::new(
            "DryRunOperationException",
            "Request would have succeeded, but the DryRun parameter is set.",
        ));
    }
    Ok(())
}
