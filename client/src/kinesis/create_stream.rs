//! CreateStream.

use serde::Serialize;
use shardwise_types::StreamName;

use super::handle::Kinesis;
use crate::call;
use crate::error::Error;
use crate::operation::{Effect, Operation};

const CREATE_STREAM: Operation = Operation::control("CreateStream", Effect::Changes);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Input<'a> {
    stream_name: &'a str,
    shard_count: u32,
}

impl Kinesis {
    /// Makes a stream with this many shards. It takes a while until it is
    /// [`Active`](crate::StreamStatus::Active).
    ///
    /// # Errors
    /// [`ResourceInUse`](crate::ErrorKind::ResourceInUse) if there is one of this name.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it may or may not have changed the stream.
    pub async fn create_stream(&self, stream: &StreamName, shard_count: u32) -> Result<(), Error> {
        let input = Input {
            stream_name: stream.as_str(),
            shard_count,
        };
        self.call(CREATE_STREAM, &input, call::nothing).await
    }
}
