//! Streams whose records the service distributes itself (`AUTO`), and what is left out of aggregates where
//! partition keys decide.

use std::collections::BTreeSet;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::json;
use shardwise_client::Transport;
use shardwise_client::transport::{Body, BoxFuture, InProcess, TransportError, TransportFault};
use shardwise_mock::Operation;
use shardwise_types::HashKey;

use crate::journal::Habits;
use crate::logs::Log;
use crate::support::{STREAM, Started, TestResult, World, seconds};

/// A signature as the mock reads it without verifying it.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 \
    Credential=x/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=0";

/// The ARN of the stream, in the mock's first account.
const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";

/// An on-demand stream of four shards.
async fn on_demand(distribution: &str) -> World {
    let world = World::empty();
    let input = json!({
        "StreamName": STREAM,
        "StreamModeDetails": {"StreamMode": "ON_DEMAND"},
        "RecordDistributionStrategy": distribution,
    });
    world.call("CreateStream", input).await;
    world.sleep(seconds(2.0)).await;
    world
}

async fn distribute(world: &World, distribution: &str) {
    let input = json!({"StreamARN": ARN, "RecordDistributionStrategy": distribution});
    world
        .call("UpdateStreamRecordDistributionStrategy", input)
        .await;
}

/// Puts four aggregates of twenty members with keys all over the hash keys, and returns the members.
async fn put_aggregates(world: &World, prefix: &str) -> Vec<String> {
    let mut all = Vec::new();
    for aggregate in 0..4 {
        let members: Vec<String> = (0..20)
            .map(|member| format!("{prefix}{aggregate}.{member}"))
            .collect();
        let texts: Vec<&str> = members.iter().map(String::as_str).collect();
        world.put_aggregate(&texts, HashKey::MIN).await;
        all.extend(members);
    }
    all
}

/// Waits until no more comes.
async fn processed(world: &World, worker: &Started) -> BTreeSet<String> {
    world
        .until("all shards", || worker.holds().len() == 4)
        .await;
    world.sleep(seconds(10.0)).await;
    world.journal.data()
}

#[tokio::test(start_paused = true)]
async fn on_a_stream_that_distributes_records_itself_nothing_is_left_out() -> TestResult {
    let world = on_demand("AUTO").await;
    let all = put_aggregates(&world, "r").await;
    let host = world.host("a");
    let worker = host.start();
    let seen = processed(&world, &worker).await;
    assert_eq!(seen.len(), all.len(), "of 80 members");
    assert_eq!(worker.stats.snapshot().filtered, 0);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_change_to_auto_counts_before_the_next_sync() -> TestResult {
    let world = on_demand("USER_PARTITION_KEY").await;
    let host = world.host("a");
    let worker = host.start();
    processed(&world, &worker).await;
    distribute(&world, "AUTO").await;
    let all = put_aggregates(&world, "auto").await;
    let seen = processed(&world, &worker).await;
    assert_eq!(seen.len(), all.len());
    // What was put meanwhile may still be unread.
    distribute(&world, "USER_PARTITION_KEY").await;
    let later = put_aggregates(&world, "later").await;
    let seen = processed(&world, &worker).await;
    assert_eq!(seen.len(), all.len() + later.len());
    assert_eq!(worker.stats.snapshot().filtered, 0);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_change_is_seen_by_the_next_sync_of_the_shards() -> TestResult {
    let world = on_demand("USER_PARTITION_KEY").await;
    let host = world.host("a");
    let worker = host.start();
    processed(&world, &worker).await;
    distribute(&world, "AUTO").await;
    world.sleep(seconds(80.0)).await;
    // The records of that time are read behind the change back.
    let all = put_aggregates(&world, "auto").await;
    distribute(&world, "USER_PARTITION_KEY").await;
    let seen = processed(&world, &worker).await;
    assert_eq!(seen.len(), all.len());
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn without_a_description_nothing_is_left_out_and_one_warning_says_so() -> TestResult {
    let (log, _guard) = Log::collect();
    let world = on_demand("AUTO").await;
    let all = put_aggregates(&world, "r").await;
    let host = world.host("a");
    let denied = TransportFault::Answer(400, "AccessDeniedException");
    host.faults.on("DescribeStreamSummary", 100_000, denied);
    let worker = host.start();
    assert_eq!(processed(&world, &worker).await.len(), all.len());
    world.sleep(seconds(300.0)).await;
    let lines = log.lines(tracing::Level::WARN);
    let about = |line: &&crate::logs::Line| line.message.contains("distributes its records");
    assert_eq!(lines.iter().filter(about).count(), 1, "{lines:#?}");
    worker.stop().await?;
    Ok(())
}

/// Takes the distribution out of descriptions, as services before 2026 leave it out.
#[derive(Debug)]
struct Before2026<T>(T);

impl<T: Transport> Transport for Before2026<T> {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>> {
        Box::pin(async move {
            let (parts, body) = self.0.send(request).await?.into_parts();
            let body = body.collect().await.map_err(TransportError::broken)?;
            let text = String::from_utf8_lossy(&body.to_bytes())
                .replace("\"RecordDistributionStrategy\"", "\"Nothing\"");
            Ok(http::Response::from_parts(parts, Body::full(text.into())))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_description_that_lacks_the_distribution_means_by_partition_key() -> TestResult {
    let world = World::new(4);
    let all = put_aggregates(&world, "r").await;
    let host = world.host_with("a", Before2026);
    let worker = host.start();
    let seen = processed(&world, &worker).await.len();
    let filtered = worker.stats.snapshot().filtered;
    assert!(filtered > 0);
    assert_eq!(seen as u64 + filtered, all.len() as u64);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_left_out_is_said_once_for_each_shard_with_an_example() -> TestResult {
    let (log, _guard) = Log::collect();
    let world = World::new(2);
    let host = world.host("a");
    let worker = host.start_with(host.builder(), Habits::default());
    for (round, hash_key) in [(0, HashKey::MIN), (1, HashKey::MAX), (2, HashKey::MIN)] {
        let members: Vec<String> = (0..20).map(|n| format!("{round}.{n}")).collect();
        let texts: Vec<&str> = members.iter().map(String::as_str).collect();
        world.put_aggregate(&texts, hash_key).await;
        world.sleep(seconds(5.0)).await;
    }
    let lines = log.lines(tracing::Level::WARN);
    let left_out: Vec<_> = lines
        .iter()
        .filter(|line| line.message.contains("left out"))
        .collect();
    let shards: BTreeSet<_> = left_out
        .iter()
        .map(|line| line.spans["shard.shard_id"].clone())
        .collect();
    assert_eq!((left_out.len(), shards.len()), (2, 2), "{lines:#?}");
    assert!(
        left_out
            .iter()
            .all(|line| line.fields.contains_key("partition_key"))
    );
    assert!(worker.stats.snapshot().filtered > 2);
    let asked = world.mock.calls(Operation::DescribeStreamSummary);
    assert!(
        asked <= 4,
        "{asked}: once at the start, and where something is left out"
    );
    worker.stop().await?;
    Ok(())
}

impl World {
    /// A call of an operation that the client does not have.
    async fn call(&self, operation: &str, input: serde_json::Value) {
        let request = http::Request::post("http://kinesis.invalid/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-date", "20260101T000000Z")
            .header("authorization", AUTHORIZATION)
            .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
            .body(Bytes::from(input.to_string()))
            .unwrap();
        let transport = InProcess::new(self.mock.service());
        let (parts, body) = transport.send(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(parts.status, 200, "{}", String::from_utf8_lossy(&body));
    }
}
