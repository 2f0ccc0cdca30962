//! The two calls that tell where records go: ListShards and DescribeStreamSummary.

use std::time::Duration;

use shardwise_client::{Error, Kinesis, ShardFilter, StreamSummary};
use shardwise_types::{Shard, StreamName};

/// How long the shard map waits for the description that comes with it. Without one records are not
/// aggregated, which is better than waiting.
const DESCRIBE_PATIENCE: Duration = Duration::from_secs(5);

/// What the stream says of itself.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) shards: Result<Vec<Shard>, Error>,
    /// `None` if there was no answer in time.
    pub(crate) summary: Option<Result<StreamSummary, Error>>,
}

/// Asks for both at the same time.
pub(crate) async fn fetch(kinesis: Kinesis, stream: StreamName, filter: ShardFilter) -> Fetched {
    let describe = kinesis.describe_stream_summary(&stream);
    let (shards, summary) = tokio::join!(
        kinesis.list_shards(&stream, filter),
        kinesis.env().timeout(DESCRIBE_PATIENCE, describe),
    );
    Fetched {
        shards,
        summary: summary.ok(),
    }
}
