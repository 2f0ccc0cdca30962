//! How a stream distributes its records among its shards: by partition key, or as the service chooses
//! (`AUTO`). It decides whether members of an aggregate may be left out, which is `shard/deaggregate.rs`'s
//! part.
//!
//! By partition key, a member whose hash key lies outside its shard's range belongs to another shard, where
//! its producer has put it as well. Where the service chooses, it lies nowhere else: left out, it would be
//! lost. So nothing is left out unless the service has said, *after* the records were read, that partition
//! keys decide; and once it has said the contrary, nothing is left out for as long as the worker runs, since
//! records of that time may still be unread.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateStreamRecordDistributionStrategy.html>

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shardwise_client::{Error, Kinesis, StreamSummary};
use shardwise_env::{Instant, lock};
use shardwise_types::{StreamName, with_causes};

/// The least time between two questions for the sake of records that were read: an account may describe
/// its streams 20 times a second, and one answer serves every shard of the worker.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(1);

/// The value of `RecordDistributionStrategy` under which partition keys decide. A service that does not
/// have the member knows no other way.
const BY_PARTITION_KEY: &str = "USER_PARTITION_KEY";

/// What is known of one stream, shared by all shards of a worker. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RecordDistribution(Arc<Inner>);

struct Inner {
    kinesis: Kinesis,
    stream: StreamName,
    /// Whose turn it is to ask, and when the last question was sent.
    turn: tokio::sync::Mutex<Option<Instant>>,
    known: Mutex<Known>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    NotAsked,
    /// The service did not say.
    Nothing,
    /// Partition keys decided when it was asked, which was then.
    ByPartitionKey(Instant),
    /// The service chooses, or did since the worker began.
    ByService,
}

impl RecordDistribution {
    pub(crate) fn new(kinesis: Kinesis, stream: StreamName) -> Self {
        Self(Arc::new(Inner {
            kinesis,
            stream,
            turn: tokio::sync::Mutex::default(),
            known: Mutex::new(Known::NotAsked),
        }))
    }

    /// Whether anything may be left out, if the service says so.
    pub(crate) fn may_be_by_partition_key(&self) -> bool {
        self.known() != Known::ByService
    }

    /// Asks the service, and notes what it says.
    ///
    /// # Errors
    /// If it does not say.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub(crate) async fn describe(&self) -> Result<StreamSummary, Error> {
        let mut last = self.0.turn.lock().await;
        self.ask(&mut last).await
    }

    /// Whether records that were read before this time were distributed by partition key. Asks the service
    /// unless it has said so since.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub(crate) async fn was_by_partition_key(&self, read: Instant) -> bool {
        let mut last = self.0.turn.lock().await;
        match self.known() {
            Known::ByService => return false,
            Known::ByPartitionKey(asked) if asked > read => return true,
            Known::ByPartitionKey(_) | Known::Nothing | Known::NotAsked => {}
        }
        if let Some(last) = *last {
            let env = self.0.kinesis.env();
            env.sleep_until(last + BETWEEN_QUESTIONS).await;
        }
        // A failure is noted, and said.
        let _ = self.ask(&mut last).await;
        matches!(self.known(), Known::ByPartitionKey(_))
    }

    async fn ask(&self, last: &mut Option<Instant>) -> Result<StreamSummary, Error> {
        let Inner {
            kinesis, stream, ..
        } = &*self.0;
        let asked = kinesis.env().now();
        *last = Some(asked);
        let answer = kinesis.describe_stream_summary(stream).await;
        self.note(asked, &answer);
        answer
    }

    fn note(&self, asked: Instant, answer: &Result<StreamSummary, Error>) {
        let mut known = lock(&self.0.known);
        let before = *known;
        *known = match (before, answer) {
            (Known::ByService, _) => Known::ByService,
            (_, Ok(summary)) => match summary.record_distribution_strategy.as_deref() {
                None | Some(BY_PARTITION_KEY) => Known::ByPartitionKey(asked),
                Some(_) => Known::ByService,
            },
            (_, Err(_)) => Known::Nothing,
        };
        if before == *known {
            return;
        }
        match (*known, answer) {
            (Known::ByService, _) => tracing::info!(
                "all members of aggregates are delivered from now on: the service chooses the shard of \
                 each record (RecordDistributionStrategy)"
            ),
            (Known::Nothing, Err(error)) => tracing::warn!(
                operation = error.operation(),
                "all members of aggregates are delivered, of other shards too, while it is not known how \
                 the stream distributes its records: {}",
                with_causes(error)
            ),
            _ => {}
        }
    }

    fn known(&self) -> Known {
        *lock(&self.0.known)
    }
}

impl fmt::Debug for RecordDistribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecordDistribution")
            .field(&self.known())
            .finish()
    }
}
