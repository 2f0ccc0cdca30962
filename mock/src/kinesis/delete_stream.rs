//! DeleteStream: DELETING, and after the state delay the name is free again.
//!
//! A stream can be deleted while it is being created, as in the service.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DeleteStream.html>

use super::Kinesis;
use super::failure::Failure;
use super::input::Input;
use super::stream::{Change, Status};
use super::stream_ref::StreamRef;
use crate::clock::Now;

impl Kinesis {
    pub(super) fn delete_stream(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        // There are no registered consumers yet that it could spare.
        input.boolean("EnforceConsumerDeletion")?;
        let stream = StreamRef::read(&input)?;
        input.finish()?;

        let stream = self.stream(&stream, now)?;
        let gone = {
            let mut state = stream.lock(now);
            if state.status == Status::Deleting {
                return Err(stream.not_active(state.status));
            }
            self.release_shards(state.reserved_shards());
            state.begin(Change::Delete, now, self.config.state_delay);
            state.is_gone()
        };
        if gone {
            self.forget_gone(now);
        }
        Ok(())
    }
}
