//! PutRecord: one record in one call.

use serde::Serialize;
use shardwise_types::StreamName;

use super::handle::Kinesis;
use super::put_records::{PutRecordsEntry, PutSuccess, WireResult, result};
use super::wire::Blob;
use crate::call;
use crate::error::Error;
use crate::operation::{Effect, Operation};

const PUT_RECORD: Operation = Operation::data("PutRecord", Effect::Puts);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Input<'a> {
    stream_name: &'a str,
    data: Blob<'a>,
    partition_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    explicit_hash_key: Option<String>,
}

impl Kinesis {
    /// Puts one record.
    ///
    /// # Errors
    /// As for any call; [`Error::written`] says whether the record may be stored all the same.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it may or may not have stored what it was to put.
    pub async fn put_record(
        &self,
        stream: &StreamName,
        entry: &PutRecordsEntry,
    ) -> Result<PutSuccess, Error> {
        let input = Input {
            stream_name: stream.as_str(),
            data: Blob(&entry.data),
            partition_key: entry.partition_key.as_str(),
            explicit_hash_key: entry.explicit_hash_key.map(|key| key.to_string()),
        };
        self.call(PUT_RECORD, &input, |answer| {
            let wire: WireResult<'_> = call::parse(answer)?;
            match result(wire)? {
                Ok(success) => Ok(success),
                Err(failure) => Err(failure.code.into()),
            }
        })
        .await
    }
}
