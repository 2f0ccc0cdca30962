//! PutRecords: up to 500 records and 10 MiB, each stored or failed on its own.
//!
//! Entries fail where a fault rule says so, and beyond the limits of their shard.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>

use serde::Serialize;

use shardwise_types::limits;

use super::failure::Failure;
use super::input::Input;
use super::put_record::{Entry, check_sizes, read_partition_key, refuse_dry_run};
use super::rules::Count;
use super::sequence::Sequence;
use super::shard::{Payload, shard_id};
use super::stream_ref::StreamRef;
use super::{Kinesis, rules};
use crate::clock::Now;
use crate::fault::{EntryFault, EntryFaults};

/// What the service shows for each entry when there are too many.
const SHOWN_ENTRY: &str = "com.amazonaws.kinesis.v20131202.PutRecordsRequestEntry@c965e310";

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutRecordsOutput {
    failed_record_count: usize,
    records: Vec<ResultEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_type: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ResultEntry {
    #[serde(rename_all = "PascalCase")]
    Stored {
        sequence_number: Sequence,
        shard_id: String,
    },
    #[serde(rename_all = "PascalCase")]
    Failed {
        error_code: &'static str,
        error_message: String,
    },
}

impl Kinesis {
    pub(super) fn put_records(
        &self,
        input: Input<'_>,
        faults: Option<&EntryFaults>,
        now: Now,
    ) -> Result<PutRecordsOutput, Failure> {
        let mut entries: Vec<Entry<'_>> = Vec::new();
        for entry in input.required_structures(
            "Records",
            Count::new(1, limits::PUT_RECORDS_MAX_ENTRIES),
            SHOWN_ENTRY,
        )? {
            let entry = entry?;
            entries.push(Entry {
                data: entry.required_blob("Data", limits::RECORD_MAX_BYTES)?,
                explicit_hash_key: entry.text("ExplicitHashKey", &rules::HASH_KEY)?,
                partition_key: read_partition_key(&entry, || self.needs_no_key(&input, now))?,
            });
        }
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let stream = StreamRef::read(&input, name)?;
        let dry_run = input.boolean("DryRun")?;
        input.finish()?;

        let stream = self.stream(&stream, now)?;
        let in_turn = stream.lock(now).distributes_itself();
        // Of records that the stream places itself the hash keys do not matter.
        let mut records: Vec<(Option<u128>, Payload)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let hash_key = if in_turn {
                None
            } else {
                Some(entry.hash_key()?)
            };
            records.push((hash_key, entry.payload()?));
        }
        let bytes: usize = records.iter().map(|(_, payload)| payload.size()).sum();
        if bytes > limits::PUT_RECORDS_MAX_BYTES {
            return Err(Failure::invalid_argument(
                "Records size exceeds 10 MB limit",
            ));
        }

        let mut state = stream.lock(now);
        if !state.is_writable() {
            return Err(stream.not_found());
        }
        let payloads = records.iter().map(|(_, payload)| payload);
        check_sizes(
            &state,
            (1..)
                .zip(payloads)
                .map(|(number, payload)| (format!("records.{number}.member.data").into(), payload)),
        )?;
        refuse_dry_run(dry_run)?;
        let mut failed_record_count = 0;
        let mut results = Vec::with_capacity(records.len());
        for (index, (hash_key, payload)) in records.into_iter().enumerate() {
            let hash_key = hash_key.unwrap_or_else(|| state.next_in_turn());
            let owner = || state.owner(hash_key).map_or(0, |shard| shard.number);
            if let Some(faults) = faults
                && let shard = owner()
                && faults.strikes(index, shard)
            {
                failed_record_count += 1;
                results.push(self.failed(faults.fault, shard, &stream.name));
                continue;
            }
            if let Some(shard) = self.refuses_write(&mut state, hash_key, payload.size(), now) {
                failed_record_count += 1;
                results.push(self.failed(EntryFault::Throttle, shard, &stream.name));
                continue;
            }
            let bytes = payload.size();
            let (shard, sequence_number) = state
                .append(hash_key, payload, now)
                .ok_or_else(|| stream.not_found())?;
            self.note_write(&mut state, bytes, now);
            results.push(ResultEntry::Stored {
                sequence_number,
                shard_id: shard_id(shard),
            });
        }
        Ok(PutRecordsOutput {
            failed_record_count,
            records: results,
            encryption_type: state.encryption_type(),
        })
    }

    fn failed(&self, fault: EntryFault, shard: u32, stream: &str) -> ResultEntry {
        match fault {
            EntryFault::Throttle => ResultEntry::Failed {
                error_code: "ProvisionedThroughputExceededException",
                error_message: self.rate_exceeded(shard, stream),
            },
            EntryFault::Internal => ResultEntry::Failed {
                error_code: "InternalFailure",
                error_message: "Internal Service Failure".to_owned(),
            },
        }
    }
}
