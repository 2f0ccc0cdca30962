//! UpdateMaxRecordSize: records of up to 10 MiB.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateMaxRecordSize.html>

use shardwise_types::limits;

use super::Kinesis;
use super::failure::Failure;
use super::input::Input;
use super::reshard::check_active;
use super::stream::Change;
use super::stream_ref::StreamRef;
use crate::clock::Now;

const MIN_KIB: i64 = (limits::RECORD_MAX_BYTES_DEFAULT / 1024) as i64;
const MAX_KIB: i64 = (limits::RECORD_MAX_BYTES / 1024) as i64;

impl Kinesis {
    pub(super) fn update_max_record_size(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        // The model does not require the ARN, but there is nothing else to name the stream by.
        let stream = StreamRef::read(&input, None)?;
        let record_bytes = read_record_bytes(&input)?;
        let record_bytes = input.required("MaxRecordSizeInKiB", record_bytes);
        input.finish()?;

        let stream = self.stream(&stream, now)?;
        let mut state = stream.lock(now);
        check_active(&state, &stream)?;
        let mut settings = state.settings.clone();
        settings.max_record_bytes = record_bytes;
        state.begin(Change::settings(settings), now, self.config.state_delay);
        Ok(())
    }
}

/// The record limit in a request, which has it in KiB.
pub(super) fn read_record_bytes(input: &Input<'_>) -> Result<Option<usize>, Failure> {
    let number = input.integer("MaxRecordSizeInKiB", MIN_KIB, MAX_KIB)?;
    Ok(number.map(|kib| usize::try_from(kib).unwrap_or_default() * 1024))
}
