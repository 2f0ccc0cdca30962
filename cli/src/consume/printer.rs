//! The processor: prints one shard's records, flushes, and checkpoints.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format as TimeFormat;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use shardwise_consumer::{
    Batch, BoxError, Checkpointer, ConsumedRecord, EndAcked, Position, RecordProcessor, ShardEnd,
    ShardId,
};

use crate::output::{Format, Output};

/// Prints one shard's records.
pub(super) struct Printer {
    shard_id: ShardId,
    format: Format,
    output: Arc<Output>,
    /// How far records are printed. A batch comes again if only its checkpoint has failed.
    printed: Option<Position>,
}

impl Printer {
    pub(super) fn new(shard_id: ShardId, format: Format, output: Arc<Output>) -> Self {
        Self {
            shard_id,
            format,
            output,
            printed: None,
        }
    }

    /// What is to be printed of a batch.
    fn lines(&self, batch: &Batch) -> serde_json::Result<Vec<u8>> {
        let mut lines = Vec::new();
        for record in batch {
            if self
                .printed
                .as_ref()
                .is_some_and(|printed| record.position() <= *printed)
            {
                continue;
            }
            match self.format {
                Format::Text => lines.extend_from_slice(&record.data),
                Format::Json => {
                    serde_json::to_writer(&mut lines, &Line::new(&self.shard_id, record))?;
                }
            }
            lines.push(b'\n');
        }
        Ok(lines)
    }
}

impl RecordProcessor for Printer {
    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        let lines = self.lines(&batch)?;
        if self.output.write(lines).await.is_err() {
            // The worker is being stopped. Nothing is printed any more, so nothing is checkpointed
            // any more, and an error would only be logged and tried again.
            return Ok(());
        }
        self.printed = Some(batch.end().clone());
        checkpointer.checkpoint(batch.end()).await?;
        Ok(())
    }

    async fn shard_ended(&mut self, end: ShardEnd) -> Result<EndAcked, BoxError> {
        if self.output.has_failed() {
            return Err("not all of the shard's records were printed".into());
        }
        Ok(end.checkpoint().await?)
    }
}

/// One record in JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    shard_id: &'a str,
    sequence_number: &'a str,
    sub_sequence_number: u64,
    partition_key: Option<&'a str>,
    data: Cow<'a, str>,
    encoding: &'static str,
    arrival: Option<String>,
    /// Only said where it is true.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    corrupt_aggregate: bool,
}

impl<'a> Line<'a> {
    fn new(shard_id: &'a ShardId, record: &'a ConsumedRecord) -> Self {
        let (data, encoding) = encode(&record.data);
        Self {
            shard_id: shard_id.as_str(),
            sequence_number: record.sequence_number.as_str(),
            sub_sequence_number: record.sub_sequence_number,
            partition_key: record.partition_key.as_ref().map(|key| key.as_str()),
            data,
            encoding,
            arrival: record.approximate_arrival.and_then(rfc3339),
            corrupt_aggregate: record.is_corrupt(),
        }
    }
}

/// Data as text, and how.
fn encode(data: &[u8]) -> (Cow<'_, str>, &'static str) {
    match std::str::from_utf8(data) {
        Ok(text) => (text.into(), "utf-8"),
        Err(_) => (BASE64_STANDARD.encode(data).into(), "base64"),
    }
}

fn rfc3339(time: SystemTime) -> Option<String> {
    DateTime::from(time).fmt(TimeFormat::DateTime).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn data_that_is_no_text_is_base64() {
        assert_eq!(encode("grün".as_bytes()), ("grün".into(), "utf-8"));
        assert_eq!(encode(&[0xff, 0x00]), ("/wA=".into(), "base64"));
        assert_eq!(encode(b""), ("".into(), "utf-8"));
    }

    #[test]
    fn times_are_as_rfc_3339_has_them() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        assert_eq!(rfc3339(time).unwrap(), "2023-11-14T22:13:20.123Z");
    }
}
