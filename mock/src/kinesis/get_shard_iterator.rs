//! GetShardIterator: all five types.
//!
//! LATEST is fixed when the iterator is issued.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html>

use serde::Serialize;

use super::failure::Failure;
use super::input::Input;
use super::iterator::ShardIterator;
use super::put_record::refuse_dry_run;
use super::sequence::{Parsed, Sequence};
use super::shard::{Shard, shard_id, shard_number};
use super::stream::{Stream, shard_not_found};
use super::stream_ref::StreamRef;
use super::{Kinesis, rules};
use crate::clock::Now;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetShardIteratorOutput {
    shard_iterator: String,
}

/// Where a reader begins: a type, and the member that belongs to it.
#[derive(Debug, Default)]
pub(super) struct StartingPosition<'r> {
    kind: &'r str,
    sequence: Option<&'r str>,
    timestamp_ms: Option<u64>,
}

impl<'r> StartingPosition<'r> {
    /// Reads it from members that GetShardIterator and SubscribeToShard name differently.
    pub(super) fn read(
        input: &Input<'r>,
        kind: &'static str,
        sequence: &'static str,
    ) -> Result<Self, Failure> {
        Ok(Self {
            kind: input.required_text(kind, &rules::SHARD_ITERATOR_TYPE)?,
            sequence: input.text(sequence, &rules::SEQUENCE_NUMBER)?,
            timestamp_ms: input.timestamp_ms("Timestamp")?,
        })
    }

    /// The running index of the first record to be read.
    pub(super) fn index_in(
        &self,
        shard: &Shard,
        stream: &Stream,
        now: Now,
    ) -> Result<u64, Failure> {
        match (self.kind, self.sequence, self.timestamp_ms) {
            ("TRIM_HORIZON", None, None) => Ok(shard.oldest_index()),
            ("LATEST", None, None) => Ok(shard.next_index()),
            ("AT_SEQUENCE_NUMBER", Some(text), None) => {
                starting_sequence(text, stream, shard).map(|number| shard.at_sequence(number))
            }
            ("AFTER_SEQUENCE_NUMBER", Some(text), None) => {
                starting_sequence(text, stream, shard).map(|number| shard.after_sequence(number))
            }
            ("AT_TIMESTAMP", None, Some(ms)) if ms > now.wall_ms => {
                Err(Failure::invalid_argument(format!(
                    "The timestampInMillis parameter cannot be greater than the \
                     currentTimestampInMillis. timestampInMillis: {ms}, currentTimestampInMillis: \
                     {}",
                    now.wall_ms
                )))
            }
            ("AT_TIMESTAMP", None, Some(ms)) => Ok(shard.at_timestamp(ms)),
            (kind, sequence, timestamp) => Err(wrong_members(kind, sequence, timestamp)),
        }
    }
}

impl Kinesis {
    pub(super) fn get_shard_iterator(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<GetShardIteratorOutput, Failure> {
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let id = input.required_text("ShardId", &rules::SHARD_ID)?;
        let start = StartingPosition::read(&input, "ShardIteratorType", "StartingSequenceNumber")?;
        let stream_ref = StreamRef::read(&input, name)?;
        let dry_run = input.boolean("DryRun")?;
        input.finish()?;

        let name = stream_ref.resolve(self)?;
        let number = shard_number(id).ok_or_else(|| self.could_not_find_shard(id, name))?;
        let not_found = || shard_not_found(number, name, &self.config.account);
        let stream = self.find(name, now).ok_or_else(not_found)?;
        stream_ref.check(&stream)?;
        let mut state = stream.lock(now);
        state.shard(number, now).ok_or_else(not_found)?;
        self.check_iterator(&stream, &mut state, number, now)?;
        let shard = state.shard(number, now).ok_or_else(not_found)?;
        let index = start.index_in(shard, &stream, now)?;
        refuse_dry_run(dry_run)?;
        let iterator = ShardIterator::new(&stream.name, shard, index, now);
        Ok(GetShardIteratorOutput {
            shard_iterator: self.seal_iterator(&iterator),
        })
    }
}

/// The error for members that do not belong to the iterator's type, or that are missing from it.
fn wrong_members(kind: &str, sequence: Option<&str>, timestamp: Option<u64>) -> Failure {
    if kind == "AT_TIMESTAMP" && timestamp.is_none() {
        return Failure::invalid_argument(
            "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current \
             request has no timestamp parameter.",
        );
    }
    if timestamp.is_some() && (kind != "AT_TIMESTAMP" || sequence.is_some()) {
        return Failure::invalid_argument(format!(
            "Must either specify AT_TIMESTAMP and a timestamp and no StartingSequenceNumber, or \
             another type and no timestamp. Request specified {kind} and also a timestamp{}.",
            if sequence.is_some() {
                " and a StartingSequenceNumber"
            } else {
                ""
            }
        ));
    }
    let given = match sequence {
        Some(_) => "also a StartingSequenceNumber",
        None => "no StartingSequenceNumber",
    };
    Failure::invalid_argument(format!(
        "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and \
         StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. \
         Request specified {kind} and {given}."
    ))
}

/// A sequence number that this shard can have issued.
fn starting_sequence(text: &str, stream: &Stream, shard: &Shard) -> Result<Sequence, Failure> {
    let invalid = |number: &str, why: &str| {
        Failure::invalid_argument(format!(
            "StartingSequenceNumber {number} used in GetShardIterator on shard {} in stream {} \
             under account {} is invalid{why}",
            shard_id(shard.number),
            stream.name,
            stream.account
        ))
    };
    let foreign = " because it did not come from this stream.";
    let parsed = Sequence::parse(text).ok_or_else(|| invalid(text, "."))?;
    let encoded = match parsed {
        Parsed::Current(sequence) => sequence.shard,
        Parsed::Outdated { shard, .. } => shard,
    };
    if encoded != shard.number {
        return Err(Failure::invalid_argument(format!(
            "Invalid StartingSequenceNumber. It encodes {}, while it was used in a call to a shard \
             with {}",
            shard_id(encoded),
            shard_id(shard.number)
        )));
    }
    match parsed {
        Parsed::Current(sequence) if sequence.created == shard.created_seconds() => Ok(sequence),
        Parsed::Current(_) => Err(invalid(text, foreign)),
        Parsed::Outdated { number, .. } => Err(invalid(&number.to_string(), foreign)),
    }
}
