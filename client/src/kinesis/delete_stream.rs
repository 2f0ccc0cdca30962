//! DeleteStream.

use shardwise_types::StreamName;

use super::handle::Kinesis;
use super::wire::StreamInput;
use crate::call;
use crate::error::Error;
use crate::operation::{Effect, Operation};

const DELETE_STREAM: Operation = Operation::control("DeleteStream", Effect::Changes);

impl Kinesis {
    /// Deletes a stream and its records.
    ///
    /// # Errors
    /// [`ResourceNotFound`](crate::ErrorKind::ResourceNotFound) if there is none of this name.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it may or may not have changed the stream.
    pub async fn delete_stream(&self, stream: &StreamName) -> Result<(), Error> {
        let input = StreamInput {
            stream_name: stream.as_str(),
        };
        self.call(DELETE_STREAM, &input, call::nothing).await
    }
}
