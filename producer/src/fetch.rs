//! The two calls that say where records go: ListShards and DescribeStreamSummary. When they are
//! made is [`Refresh`](crate::refresh::Refresh)'s to say, and one fetch serves all producers of a
//! [`StreamCache`](crate::stream_cache::StreamCache).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use shardwise_client::{Error, Kinesis, ShardFilter, StreamSummary};
use shardwise_env::Instant;
use shardwise_types::StreamName;

use crate::error::is_passing;
use crate::shard_map::ShardMap;

/// How long the shard map waits for the description that comes with it. Without one records are not
/// aggregated, which is better than waiting.
pub(crate) const DESCRIBE_PATIENCE: Duration = Duration::from_secs(5);

/// What the stream says of itself.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// When the calls were made: what happened to the stream later is not in it.
    pub(crate) begun: Instant,
    /// Whether closed shards are listed, too.
    pub(crate) closed: bool,
    pub(crate) shards: Result<Arc<ShardMap>, Error>,
    /// `None` if there was no answer in time.
    pub(crate) summary: Option<Result<StreamSummary, Error>>,
}

impl Fetched {
    /// Whether the stream has said all that it will: another fetch would bring no more.
    pub(crate) fn is_complete(&self) -> bool {
        let listed = self.shards.as_ref().is_ok_and(|map| !map.open().is_empty());
        listed && self.is_described()
    }

    /// Whether the description is there, or is refused for good.
    pub(crate) fn is_described(&self) -> bool {
        match &self.summary {
            Some(Ok(_)) => true,
            Some(Err(error)) => !is_passing(error),
            None => false,
        }
    }

    /// When the stream was created, if it has said so.
    pub(crate) fn created(&self) -> Option<SystemTime> {
        self.summary.as_ref()?.as_ref().ok()?.created
    }
}

/// Asks for both at the same time; for `closed` shards, too, if that is wanted.
pub(crate) async fn fetch(kinesis: &Kinesis, stream: &StreamName, closed: bool) -> Fetched {
    let filter = if closed {
        ShardFilter::All
    } else {
        ShardFilter::AtLatest
    };
    let begun = kinesis.env().now();
    let describe = kinesis.describe_stream_summary(stream);
    let (shards, summary) = tokio::join!(
        kinesis.list_shards(stream, filter),
        kinesis.env().timeout(DESCRIBE_PATIENCE, describe),
    );
    Fetched {
        begun,
        closed,
        shards: shards.map(|shards| Arc::new(ShardMap::new(shards))),
        summary: summary.ok(),
    }
}
