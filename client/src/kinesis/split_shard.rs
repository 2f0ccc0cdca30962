//! SplitShard: one shard becomes two.

use serde::Serialize;
use shardwise_types::{HashKey, ShardId, StreamName};

use super::handle::Kinesis;
use crate::call;
use crate::error::Error;
use crate::operation::{Effect, Operation};

const SPLIT_SHARD: Operation = Operation::control("SplitShard", Effect::Changes);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Input<'a> {
    stream_name: &'a str,
    shard_to_split: &'a str,
    new_starting_hash_key: String,
}

impl Kinesis {
    /// Splits an open shard in two, the second of which begins at `new_starting_hash_key`.
    ///
    /// # Errors
    /// [`ResourceInUse`](crate::ErrorKind::ResourceInUse) unless the stream is active,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the shard is closed or the hash
    /// key is not inside it.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it may or may not have changed the stream.
    pub async fn split_shard(
        &self,
        stream: &StreamName,
        shard_to_split: &ShardId,
        new_starting_hash_key: HashKey,
    ) -> Result<(), Error> {
        let input = Input {
            stream_name: stream.as_str(),
            shard_to_split: shard_to_split.as_str(),
            new_starting_hash_key: new_starting_hash_key.to_string(),
        };
        self.call(SPLIT_SHARD, &input, call::nothing).await
    }
}
