//! MergeShards: two neighbours become one shard.

use serde::Serialize;
use shardwise_types::{ShardId, StreamName};

use super::handle::Kinesis;
use crate::call;
use crate::error::Error;
use crate::operation::{Effect, Operation};

const MERGE_SHARDS: Operation = Operation::control("MergeShards", Effect::Changes);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Input<'a> {
    stream_name: &'a str,
    shard_to_merge: &'a str,
    adjacent_shard_to_merge: &'a str,
}

impl Kinesis {
    /// Merges two open shards that are neighbours in hash keys.
    ///
    /// # Errors
    /// [`ResourceInUse`](crate::ErrorKind::ResourceInUse) unless the stream is active,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if a shard is closed or they are not
    /// neighbours.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it may or may not have changed the stream.
    pub async fn merge_shards(
        &self,
        stream: &StreamName,
        shard_to_merge: &ShardId,
        adjacent_shard_to_merge: &ShardId,
    ) -> Result<(), Error> {
        let input = Input {
            stream_name: stream.as_str(),
            shard_to_merge: shard_to_merge.as_str(),
            adjacent_shard_to_merge: adjacent_shard_to_merge.as_str(),
        };
        self.call(MERGE_SHARDS, &input, call::nothing).await
    }
}
