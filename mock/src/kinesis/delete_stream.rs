//! DeleteStream: DELETING, and after the state delay the name is free again.
//!
//! A stream can be deleted while it is being created, as in the service.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DeleteStream.html>

use super::failure::Failure;
use super::input::Input;
use super::status::Status;
use super::stream::Change;
use super::stream_ref::StreamRef;
use super::{Kinesis, rules};
use crate::clock::Now;

impl Kinesis {
    pub(super) fn delete_stream(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let enforce_consumer_deletion = input.boolean("EnforceConsumerDeletion")?;
        let stream = StreamRef::read(&input, name)?;
        input.finish()?;

        let stream = self.stream(&stream, now)?;
        let has_channels = self.channel_count(&stream, now) > 0;
        let gone = {
            let mut state = stream.lock(now);
            if state.status == Status::Deleting {
                return Err(stream.not_active(state.status));
            }
            if !state.consumers.is_empty() && enforce_consumer_deletion != Some(true) {
                let (account, name) = (&stream.account, &stream.name);
                return Err(Failure::in_use(format!(
                    "DeleteStream can’t delete {account}:{name} because there are consumers \
                     associated with this data stream. To delete {name} anyway, set the \
                     EnforceConsumerDeletion parameter to true to force the deletion of all the \
                     consumers that are associated with it."
                )));
            }
            if has_channels {
                return Err(Failure::in_use(format!(
                    "{} cannot be deleted because there are channels associated with it.",
                    stream.subject()
                )));
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
