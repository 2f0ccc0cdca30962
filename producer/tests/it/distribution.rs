//! When records are aggregated and when they are not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use shardwise_client::transport::TransportFault;
use shardwise_mock::Operation;
use shardwise_producer::{AggregationOff, Delivery};

use crate::support::{World, assert_all_readable, record, refusal, send_all};

async fn any_aggregated(deliveries: Vec<Delivery>) -> bool {
    let mut any = false;
    for delivery in deliveries {
        any |= delivery.await.unwrap().aggregated;
    }
    any
}

#[tokio::test(start_paused = true)]
async fn an_auto_stream_gets_no_aggregates() {
    let world = World::new(2);
    world
        .tamper
        .describe(json!({ "RecordDistributionStrategy": "AUTO" }));
    let producer = world.producer();
    let deliveries = send_all(&producer, 0..50).await;
    assert!(!any_aggregated(deliveries).await);
    assert_eq!(
        producer.stats().snapshot().aggregation_off,
        Some(AggregationOff::AutoDistribution)
    );
}

#[tokio::test(start_paused = true)]
async fn an_auto_stream_gets_no_aggregates_whatever_is_assumed() {
    let world = World::new(2);
    world
        .tamper
        .describe(json!({ "RecordDistributionStrategy": "AUTO" }));
    let producer = world
        .builder()
        .assume_partition_key_distribution()
        .build()
        .unwrap();
    assert!(!any_aggregated(send_all(&producer, 0..50).await).await);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_strategy_means_by_partition_key() {
    for summary in [
        json!({}),
        json!({ "RecordDistributionStrategy": "USER_PARTITION_KEY" }),
    ] {
        let world = World::new(2);
        world.tamper.describe(summary);
        let producer = world.producer();
        assert!(any_aggregated(send_all(&producer, 0..50).await).await);
        assert_eq!(producer.stats().snapshot().aggregation_off, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_denied_description_switches_aggregation_off_and_the_gauge_says_why() {
    let world = World::new(2);
    world
        .tamper
        .refuse("DescribeStreamSummary", "AccessDeniedException");
    let producer = world.producer();
    let deliveries = send_all(&producer, 0..50).await;
    let receipts = assert_all_readable(&world, deliveries, 0).await;
    assert!(receipts.iter().all(|it| !it.aggregated));
    assert_eq!(
        producer.stats().snapshot().aggregation_off,
        Some(AggregationOff::DistributionUnknown)
    );
}

#[tokio::test(start_paused = true)]
async fn a_denied_description_does_no_harm_if_the_distribution_is_assumed() {
    let world = World::new(2);
    world
        .tamper
        .refuse("DescribeStreamSummary", "AccessDeniedException");
    let producer = world
        .builder()
        .assume_partition_key_distribution()
        .build()
        .unwrap();
    assert!(any_aggregated(send_all(&producer, 0..50).await).await);
    assert_eq!(producer.stats().snapshot().aggregation_off, None);
}

#[tokio::test(start_paused = true)]
async fn a_description_that_comes_late_switches_aggregation_on_again() {
    let world = World::new(2);
    world
        .faults
        .on("DescribeStreamSummary", 6, TransportFault::InternalFailure);
    let producer = world.producer();
    assert!(!any_aggregated(send_all(&producer, 0..50).await).await);
    assert_eq!(
        producer.stats().snapshot().aggregation_off,
        Some(AggregationOff::DistributionUnknown)
    );
    for _ in 0..100 {
        producer.send(record(0)).await.unwrap().await.unwrap();
    }
    assert_eq!(producer.stats().snapshot().aggregation_off, None);
    assert!(any_aggregated(send_all(&producer, 0..50).await).await);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_described_once_stays_aggregated() {
    let world = World::new(2);
    let producer = world
        .builder()
        .shard_map_refresh(Duration::from_secs(1))
        .build()
        .unwrap();
    assert!(any_aggregated(send_all(&producer, 0..50).await).await);
    world
        .tamper
        .refuse("DescribeStreamSummary", "AccessDeniedException");
    let before = producer.stats().snapshot().shard_map_refreshes;
    for _ in 0..30 {
        assert!(any_aggregated(send_all(&producer, 0..50).await).await);
    }
    assert!(producer.stats().snapshot().shard_map_refreshes > before + 1);
}

#[tokio::test(start_paused = true)]
async fn without_list_shards_records_travel_alone() {
    let world = World::new(2);
    world.tamper.refuse("ListShards", "AccessDeniedException");
    let producer = world.producer();
    assert!(!any_aggregated(send_all(&producer, 0..50).await).await);
    assert_eq!(
        producer.stats().snapshot().aggregation_off,
        Some(AggregationOff::ShardsUnknown)
    );
}

/// Puts every record on a shard of the service's own choice, as an AUTO stream does.
fn spread(world: &World) {
    let count = AtomicUsize::new(0);
    world.tamper.rewrite("PutRecords", move |body| {
        for entry in body["Records"].as_array_mut().unwrap() {
            let n = count.fetch_add(1, Ordering::Relaxed) as u128;
            entry["ExplicitHashKey"] = json!((u128::MAX / 7 * (n % 7)).to_string());
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_becomes_auto_is_noticed_where_records_land() {
    let world = World::new(5);
    let auto = Arc::new(AtomicBool::new(false));
    world.tamper.answer("DescribeStreamSummary", {
        let auto = auto.clone();
        move |_| {
            let auto = auto.load(Ordering::Relaxed);
            auto.then(|| {
                let summary =
                    json!({ "StreamStatus": "ACTIVE", "RecordDistributionStrategy": "AUTO" });
                (200, json!({ "StreamDescriptionSummary": summary }))
            })
        }
    });
    let producer = world.producer();
    assert!(any_aggregated(send_all(&producer, 0..50).await).await);

    auto.store(true, Ordering::Relaxed);
    spread(&world);
    let slow = TransportFault::Delay(Duration::from_secs(2));
    world.faults.on("ListShards", 1, slow);
    let deliveries = send_all(&producer, 0..50).await;
    assert_all_readable(&world, deliveries, 0).await;
    let stats = producer.stats().snapshot();
    assert_eq!(
        stats.aggregation_off,
        Some(AggregationOff::AutoDistribution)
    );
    let resends = stats.wrong_shard_resends;
    assert!(
        (1..=5).contains(&resends),
        "{resends}: once it is known why"
    );
    assert!(!any_aggregated(send_all(&producer, 0..50).await).await);
}

#[tokio::test(start_paused = true)]
async fn the_last_good_map_serves_while_no_new_one_can_be_had() {
    let world = World::new(2);
    let producer = world
        .builder()
        .shard_map_refresh(Duration::from_secs(1))
        .build()
        .unwrap();
    assert!(any_aggregated(send_all(&producer, 0..50).await).await);
    for code in ["AccessDeniedException", "LimitExceededException"] {
        world
            .tamper
            .answer("ListShards", move |_| Some(refusal(code)));
        for _ in 0..30 {
            assert!(any_aggregated(send_all(&producer, 0..50).await).await);
        }
    }
    world.tamper.clear();
    world.faults.on("ListShards", 3, TransportFault::HangBefore);
    for _ in 0..30 {
        assert!(any_aggregated(send_all(&producer, 0..50).await).await);
    }
    assert!(
        world.mock.calls(Operation::ListShards) < 20,
        "asked at leisure"
    );
}
