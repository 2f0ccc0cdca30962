//! UpdateMaxRecordSize: records of up to 10 MiB.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateMaxRecordSize.html>

use super::Kinesis;
use super::failure::Failure;
use super::input::Input;
use super::reshard::check_active;
use super::stream::Change;
use super::stream_ref::StreamRef;
use crate::clock::Now;

impl Kinesis {
    pub(super) fn update_max_record_size(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        // The model does not require the ARN, but there is nothing else to name the stream by.
        let stream = StreamRef::read(&input, None)?;
        let record_kib = read_record_kib(&input)?;
        let record_kib = input.required("MaxRecordSizeInKiB", record_kib);
        input.finish()?;

        let stream = self.stream(&stream, now)?;
        let mut state = stream.lock(now);
        check_active(&state, &stream)?;
        let mut settings = state.settings.clone();
        settings.max_record_kib = record_kib;
        state.begin(Change::settings(settings), now, self.config.state_delay);
        Ok(())
    }
}

/// The record limit in a request, in KiB.
pub(super) fn read_record_kib(input: &Input<'_>) -> Result<Option<u32>, Failure> {
    let number = input.integer("MaxRecordSizeInKiB", 1024, 10240)?;
    Ok(number.map(|number| u32::try_from(number).unwrap_or_default()))
}
