//! Splits and merges under way. The oracle is the KCL's rule: an aggregate of which one member lies
//! outside the shard is not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shardwise_client::transport::TransportFault;
use shardwise_producer::{DeliveryErrorKind, Written};

use crate::support::{World, assert_all_readable, record, refusal, send_all};

#[tokio::test(start_paused = true)]
async fn an_aggregate_that_a_split_has_torn_is_sent_again_whole() {
    let world = World::new(1);
    let producer = world.producer();
    let deliveries = send_all(&producer, 0..50).await;
    assert_all_readable(&world, deliveries, 0).await;

    world.split(0).await;
    // The producer's map is of the time before.
    let deliveries = send_all(&producer, 100..150).await;
    let receipts = assert_all_readable(&world, deliveries, 100).await;
    assert!(
        receipts.iter().all(|it| it.maybe_duplicate),
        "the torn copy stays on the stream"
    );
    assert!(receipts.iter().all(|it| it.attempts == 2));
    assert!(receipts.iter().all(|it| it.shard_id.number() > Some(0)));
    let stats = producer.stats().snapshot();
    assert_eq!(stats.wrong_shard_resends, 1);
    // Two aggregates by now, one for each child.
    assert_eq!(
        world.stored().await.iter().filter(|it| it.readable).count(),
        3
    );
    assert_eq!(
        world
            .stored()
            .await
            .iter()
            .filter(|it| !it.readable)
            .count(),
        1
    );

    let deliveries = send_all(&producer, 200..250).await;
    let receipts = assert_all_readable(&world, deliveries, 200).await;
    assert!(receipts.iter().all(|it| it.attempts == 1 && it.aggregated));
}

#[tokio::test(start_paused = true)]
async fn an_aggregate_in_a_merged_shard_waits_until_its_range_is_known() {
    let world = World::new(4);
    let producer = world.producer();
    let deliveries = send_all(&producer, 0..50).await;
    assert_all_readable(&world, deliveries, 0).await;

    world.merge(0, 1).await;
    world.faults.on(
        "ListShards",
        1,
        TransportFault::Delay(Duration::from_secs(2)),
    );
    let begin = world.env.now();
    let deliveries = send_all(&producer, 100..150).await;
    let receipts = assert_all_readable(&world, deliveries, 100).await;
    assert!(
        world.env.now() - begin >= Duration::from_secs(2),
        "it waited for the map"
    );
    assert!(
        receipts
            .iter()
            .all(|it| it.attempts == 1 && !it.maybe_duplicate),
        "nothing was sent again"
    );
    assert!(receipts.iter().any(|it| it.shard_id.number() == Some(4)));
    assert_eq!(producer.stats().snapshot().wrong_shard_resends, 0);
}

#[tokio::test(start_paused = true)]
async fn an_aggregate_in_an_unknown_shard_may_be_written_if_no_map_comes() {
    let world = World::new(1);
    let producer = world
        .builder()
        .record_ttl(Duration::from_secs(4))
        .build()
        .unwrap();
    let deliveries = send_all(&producer, 0..5).await;
    assert_all_readable(&world, deliveries, 0).await;
    world.split(0).await;
    world.tamper.refuse("ListShards", "LimitExceededException");
    for delivery in send_all(&producer, 0..10).await {
        let error = delivery.await.unwrap_err();
        assert_eq!(error.kind(), DeliveryErrorKind::Expired);
        assert_eq!(error.written(), Written::Unknown);
        let source = std::error::Error::source(&error).unwrap();
        assert!(source.is::<shardwise_producer::WrongShard>(), "{source}");
    }
    producer.flush().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_split_between_the_request_and_its_answer_is_survived() {
    let world = World::new(1);
    let producer = world.producer();
    for round in 0..4 {
        // The request arrives after the split, the map before it.
        world.faults.on("PutRecords", 1, TransportFault::Throttle);
        let first = round * 100;
        let deliveries = send_all(&producer, first..first + 60).await;
        world.until(|| world.faults.left() == 0).await;
        let last = u32::try_from(2 * round).unwrap();
        world.split(last).await;
        assert_all_readable(&world, deliveries, first).await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_generations_of_splits_at_once_are_survived() {
    let world = World::new(1);
    let producer = world.producer();
    let deliveries = send_all(&producer, 0..50).await;
    assert_all_readable(&world, deliveries, 0).await;

    let deliveries = send_all(&producer, 100..200).await;
    world.split(0).await;
    // It lands in a child that is closed before the next map is fetched.
    world.faults.on("ListShards", 1, TransportFault::HangBefore);
    world
        .until(|| producer.stats().snapshot().kinesis_records_put > 1)
        .await;
    world.split(1).await;
    world.split(2).await;
    let receipts = assert_all_readable(&world, deliveries, 100).await;
    assert!(receipts.iter().all(|it| it.shard_id.number() > Some(2)));
}

/// Where an aggregate may be while the map changes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Lingering,
    WaitingForACall,
    WaitingForARetry,
}

#[tokio::test(start_paused = true)]
async fn aggregates_that_were_not_sent_are_packed_anew_when_the_map_changes() {
    for stage in [
        Stage::Lingering,
        Stage::WaitingForACall,
        Stage::WaitingForARetry,
    ] {
        let world = World::new(1);
        let linger = match stage {
            Stage::Lingering => Duration::from_secs(8),
            Stage::WaitingForACall | Stage::WaitingForARetry => Duration::from_millis(100),
        };
        let builder = world
            .builder()
            .shard_map_refresh(Duration::from_secs(5))
            .linger(linger)
            .max_requests_in_flight(1);
        let producer = world.ready(builder).await;
        let throttled = Arc::new(AtomicBool::new(false));
        world.tamper.answer("PutRecords", {
            let throttled = throttled.clone();
            move |_| {
                let throttled = throttled.load(Ordering::Relaxed);
                throttled.then(|| refusal("ProvisionedThroughputExceededException"))
            }
        });
        match stage {
            Stage::Lingering => {}
            Stage::WaitingForACall => {
                let slow = TransportFault::Delay(Duration::from_secs(9));
                world.faults.on("PutRecords", 1, slow);
                drop(producer.send(record(0)).await.unwrap());
                world.sleep_ms(200).await;
            }
            Stage::WaitingForARetry => throttled.store(true, Ordering::Relaxed),
        }
        let deliveries = send_all(&producer, 100..150).await;
        world.sleep_ms(200).await;
        world.split(0).await;
        // A record that comes when the map has grown old has it fetched.
        world.sleep_ms(5_000).await;
        drop(producer.send(record(1)).await.unwrap());
        world
            .until(|| producer.stats().snapshot().shard_map_refreshes == 2)
            .await;
        throttled.store(false, Ordering::Relaxed);
        let receipts = assert_all_readable(&world, deliveries, 100).await;
        assert!(receipts.iter().all(|it| it.aggregated));
        assert!(receipts.iter().all(|it| !it.maybe_duplicate));
        assert_eq!(
            producer.stats().snapshot().wrong_shard_resends,
            0,
            "{stage:?}: no torn aggregate was sent"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_deleted_and_made_again_is_survived() {
    let world = World::new(1);
    let producer = world
        .builder()
        .shard_map_refresh(Duration::from_secs(5))
        .build()
        .unwrap();
    let deliveries = send_all(&producer, 0..50).await;
    assert_all_readable(&world, deliveries, 0).await;
    world.kinesis.delete_stream(&world.stream).await.unwrap();
    for delivery in send_all(&producer, 0..5).await {
        let error = delivery.await.unwrap_err();
        assert_eq!(error.code(), Some("ResourceNotFoundException"));
    }
    world.create(3);
    world.sleep_ms(6_000).await;
    // The first may still go by the old map's range of shard 0; it fetches the new one.
    for delivery in send_all(&producer, 0..50).await {
        delivery.await.unwrap();
    }
    let deliveries = send_all(&producer, 100..150).await;
    let receipts = assert_all_readable(&world, deliveries, 100).await;
    assert!(receipts.iter().any(|it| it.shard_id.number() == Some(2)));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_splits_and_merges_leave_nothing_behind() {
    let world = World::new(2);
    let producer = world
        .builder()
        .linger(Duration::from_millis(5))
        .build()
        .unwrap();
    let mut next = 2;
    let (mut left, mut right) = (0, 1);
    for round in 0..50 {
        let deliveries = send_all(&producer, round * 50..round * 50 + 20).await;
        world.merge(left, right).await;
        let merged = next;
        world.split(merged).await;
        (left, right) = (merged + 1, merged + 2);
        next = merged + 3;
        assert_all_readable(&world, deliveries, round * 50).await;
    }
    assert_eq!(producer.stats().snapshot().outstanding_bytes, 0);
}
