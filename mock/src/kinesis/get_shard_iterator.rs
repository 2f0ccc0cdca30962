//! GetShardIterator: all five types.
//!
//! LATEST is fixed when the iterator is issued. The call rate is not limited.
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

impl Kinesis {
    pub(super) fn get_shard_iterator(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<GetShardIteratorOutput, Failure> {
        let id = input.required_text("ShardId", &rules::SHARD_ID)?;
        let kind = input.required_text("ShardIteratorType", &rules::SHARD_ITERATOR_TYPE)?;
        let sequence = input.text("StartingSequenceNumber", &rules::SEQUENCE_NUMBER)?;
        let timestamp = input.timestamp_ms("Timestamp")?;
        let stream_ref = StreamRef::read(&input)?;
        let dry_run = input.boolean("DryRun")?;
        input.finish()?;

        let name = stream_ref.resolve(self)?;
        let number = shard_number(id).ok_or_else(|| self.could_not_find_shard(id, name))?;
        let not_found = || shard_not_found(number, name, &self.config.account);
        let stream = self.find(name, now).ok_or_else(not_found)?;
        stream_ref.check(&stream)?;
        let state = stream.lock(now);
        let shard = state.shard(number, now).ok_or_else(not_found)?;
        let index = match (kind, sequence, timestamp) {
            ("TRIM_HORIZON", None, None) => shard.oldest_index(),
            ("LATEST", None, None) => shard.next_index(),
            ("AT_SEQUENCE_NUMBER", Some(text), None) => {
                shard.at_sequence(starting_sequence(text, &stream, shard)?)
            }
            ("AFTER_SEQUENCE_NUMBER", Some(text), None) => {
                shard.after_sequence(starting_sequence(text, &stream, shard)?)
            }
            ("AT_TIMESTAMP", None, Some(ms)) => {
                if ms > now.wall_ms {
                    return Err(Failure::invalid_argument(format!(
                        "The timestampInMillis parameter cannot be greater than the \
                         currentTimestampInMillis. timestampInMillis: {ms}, \
                         currentTimestampInMillis: {}",
                        now.wall_ms
                    )));
                }
                shard.at_timestamp(ms)
            }
            _ => return Err(wrong_members(kind, sequence, timestamp)),
        };
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
        return Failure::invalid_argument("Must specify timestamp parameter for AT_TIMESTAMP.");
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
