//! SplitShard and MergeShards.

use serde::Serialize;
use shardwise_types::{HashKey, ShardId, StreamName};

use super::Kinesis;
use crate::call::{self, Operation};
use crate::error::Error;

const SPLIT_SHARD: Operation = Operation::changes("SplitShard");
const MERGE_SHARDS: Operation = Operation::changes("MergeShards");

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SplitInput<'a> {
    stream_name: &'a str,
    shard_to_split: &'a str,
    new_starting_hash_key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MergeInput<'a> {
    stream_name: &'a str,
    shard_to_merge: &'a str,
    adjacent_shard_to_merge: &'a str,
}

impl Kinesis {
    /// Splits an open shard in two, the second of which begins at `new_starting_hash_key`.
    ///
    /// # Errors
    /// [`ResourceInUse`](crate::ErrorKind::ResourceInUse) unless the stream is active,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the shard is closed or the hash
    /// key is not inside it.
    pub async fn split_shard(
        &self,
        stream: &StreamName,
        shard_to_split: &ShardId,
        new_starting_hash_key: HashKey,
    ) -> Result<(), Error> {
        let input = SplitInput {
            stream_name: stream.as_str(),
            shard_to_split: shard_to_split.as_str(),
            new_starting_hash_key: new_starting_hash_key.to_string(),
        };
        self.call(SPLIT_SHARD, &input, call::nothing).await
    }

    /// Merges two open shards that are neighbours in hash keys.
    ///
    /// # Errors
    /// [`ResourceInUse`](crate::ErrorKind::ResourceInUse) unless the stream is active,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if a shard is closed or they are not
    /// neighbours.
    pub async fn merge_shards(
        &self,
        stream: &StreamName,
        shard_to_merge: &ShardId,
        adjacent_shard_to_merge: &ShardId,
    ) -> Result<(), Error> {
        let input = MergeInput {
            stream_name: stream.as_str(),
            shard_to_merge: shard_to_merge.as_str(),
            adjacent_shard_to_merge: adjacent_shard_to_merge.as_str(),
        };
        self.call(MERGE_SHARDS, &input, call::nothing).await
    }
}
