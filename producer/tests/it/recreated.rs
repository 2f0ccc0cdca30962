//! A stream that is deleted and created again under the producer: the same shard ids, other ranges.
//! The oracle is the KCL's rule, as in `reshard`.

use std::time::Duration;

use serde_json::json;
use shardwise_client::transport::TransportFault;
use shardwise_env::Simulation;
use shardwise_mock::Operation;
use shardwise_producer::{AggregationOff, DeliveryErrorKind};

use crate::support::{World, assert_all_readable, payload, record, send_all};

/// A world in which the wall clock goes with the paused one: the second in which a shard is created
/// is in its sequence numbers.
fn world(shards: u32) -> World {
    let world = World::with_env(Simulation::new(7).node("producer", 1.0).env());
    world.create(shards);
    world
}

impl World {
    /// Deletes the stream and creates it with this many shards, `gap` later.
    async fn create_again(&self, shards: u32, gap: Duration) {
        self.kinesis.delete_stream(&self.stream).await.unwrap();
        self.env.sleep(gap).await;
        self.create(shards);
    }
}

/// Shards before and after.
const RE_CREATIONS: [(u32, u32); 4] = [(2, 4), (1, 2), (4, 3), (2, 2)];

#[tokio::test(start_paused = true)]
async fn what_is_acknowledged_after_a_re_creation_is_readable() {
    for (before, after) in RE_CREATIONS {
        let world = world(before);
        let producer = world.producer();
        assert_all_readable(&world, send_all(&producer, 0..1_000).await, 0).await;
        // The pause is shorter than the map's age, and no call meets the gap.
        world.create_again(after, Duration::from_secs(3)).await;
        for first in [1_000, 2_000] {
            let deliveries = send_all(&producer, first..first + 1_000).await;
            let receipts = assert_all_readable(&world, deliveries, first).await;
            assert!(receipts.iter().any(|it| it.aggregated));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_found_is_forgotten_with_its_shards() {
    for (before, after) in RE_CREATIONS {
        let world = world(before);
        let producer = world.producer();
        assert_all_readable(&world, send_all(&producer, 0..100).await, 0).await;
        let lists = world.mock.calls(Operation::ListShards);
        world.kinesis.delete_stream(&world.stream).await.unwrap();
        for delivery in send_all(&producer, 0..10).await {
            let error = delivery.await.unwrap_err();
            assert_eq!(error.kind(), DeliveryErrorKind::Rejected);
            assert_eq!(error.code(), Some("ResourceNotFoundException"));
        }
        // The old map serves nothing: records wait for the new one, however long it takes.
        world.create(after);
        let slow = TransportFault::Delay(Duration::from_secs(4));
        world.faults.on("ListShards", 1, slow);
        let deliveries = send_all(&producer, 100..200).await;
        let receipts = assert_all_readable(&world, deliveries, 100).await;
        assert!(receipts.iter().all(|it| it.attempts == 1 && it.aggregated));
        assert!(world.mock.calls(Operation::ListShards) > lists);
        assert_eq!(producer.stats().snapshot().wrong_shard_resends, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_while_the_stream_is_created_again_is_sent_again() {
    let world = world(1);
    let producer = world.producer();
    assert_all_readable(&world, send_all(&producer, 0..100).await, 0).await;
    world.faults.on("PutRecords", 1, TransportFault::HangBefore);
    let deliveries = send_all(&producer, 100..200).await;
    world.sleep_ms(200).await;
    world.create_again(2, Duration::from_secs(2)).await;
    assert_all_readable(&world, deliveries, 100).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_long_pause_aggregates_wait_for_a_newer_map() {
    let world = world(1);
    let builder = world.builder().shard_map_refresh(Duration::from_secs(5));
    let producer = world.ready(builder).await;
    assert_all_readable(&world, send_all(&producer, 0..100).await, 0).await;
    world.create_again(2, Duration::from_secs(6)).await;
    let slow = TransportFault::Delay(Duration::from_secs(2));
    world.faults.on("ListShards", 1, slow);
    let begin = world.env.now();
    let deliveries = send_all(&producer, 100..200).await;
    let receipts = assert_all_readable(&world, deliveries, 100).await;
    assert!(
        world.env.now() - begin >= Duration::from_secs(2),
        "it waited"
    );
    assert!(receipts.iter().all(|it| it.attempts == 1 && it.aggregated));
    assert_eq!(producer.stats().snapshot().wrong_shard_resends, 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_long_pause_without_an_answer_the_last_good_map_serves() {
    for fault in [TransportFault::Throttle, TransportFault::HangBefore] {
        let world = world(2);
        let builder = world.builder().shard_map_refresh(Duration::from_secs(5));
        let producer = world.ready(builder).await;
        world.sleep_ms(60_000).await;
        world.faults.on("ListShards", 100, fault);
        let begin = world.env.now();
        let deliveries = send_all(&producer, 0..100).await;
        let receipts = assert_all_readable(&world, deliveries, 0).await;
        assert!(receipts.iter().all(|it| it.aggregated), "{fault:?}");
        assert!(
            world.env.now() - begin < Duration::from_secs(6),
            "{fault:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn another_creation_time_discards_the_listing_beside_it() {
    let world = world(2);
    let builder = world.builder().shard_map_refresh(Duration::from_secs(5));
    let created = |seconds: u32| json!({ "StreamCreationTimestamp": seconds });
    world.tamper.describe(created(1_700_000_000));
    let producer = world.ready(builder).await;
    assert_all_readable(&world, send_all(&producer, 0..100).await, 0).await;
    let known = producer.stats().snapshot().shard_map_refreshes;
    world.sleep_ms(5_000).await;
    world.tamper.describe(created(1_700_000_099));
    let lists = world.mock.calls(Operation::ListShards);
    let deliveries = send_all(&producer, 100..200).await;
    assert_all_readable(&world, deliveries, 100).await;
    assert_eq!(world.mock.calls(Operation::ListShards), lists + 2);
    assert_eq!(producer.stats().snapshot().shard_map_refreshes, known + 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_deleted_stream_said_of_itself_is_forgotten() {
    let world = world(2);
    let producer = world.producer();
    assert_all_readable(&world, send_all(&producer, 0..100).await, 0).await;
    world.kinesis.delete_stream(&world.stream).await.unwrap();
    producer.send(record(0)).await.unwrap().await.unwrap_err();
    world.create(2);
    world
        .tamper
        .describe(json!({ "RecordDistributionStrategy": "AUTO" }));
    for (n, delivery) in (100..).zip(send_all(&producer, 100..150).await) {
        let receipt = delivery.await.unwrap();
        assert!(!receipt.aggregated, "{}", payload(n));
    }
    assert_eq!(
        producer.stats().snapshot().aggregation_off,
        Some(AggregationOff::AutoDistribution)
    );
}
