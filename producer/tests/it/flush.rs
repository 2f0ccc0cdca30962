//! Flush: a barrier, as fast as the last acknowledgement.

use std::time::Duration;

use shardwise_client::transport::TransportFault;
use shardwise_producer::Closed;

use crate::support::{SOON, World, record, send_all};

#[tokio::test(start_paused = true)]
async fn flush_ends_lingers_now_and_returns_with_the_last_acknowledgement() {
    let world = World::new(3);
    let builder = world.builder().linger(Duration::from_secs(20));
    let producer = world.ready(builder).await;
    world.faults.on(
        "PutRecords",
        1,
        TransportFault::Delay(Duration::from_millis(77)),
    );
    let deliveries = send_all(&producer, 0..50).await;
    let begin = world.env.now();
    producer.flush().await.unwrap();
    // The timer's own granularity is a millisecond.
    let took = (world.env.now() - begin).as_millis();
    assert!((77..=78).contains(&took), "{took} ms");
    for delivery in deliveries {
        let now = world.env.timeout(Duration::ZERO, delivery).await;
        now.expect("a flushed record is settled").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn flush_waits_for_what_was_accepted_before_it_and_for_nothing_else() {
    let world = World::new(1);
    let producer = world.producer();
    world
        .faults
        .on(
            "PutRecords",
            1,
            TransportFault::Delay(Duration::from_millis(500)),
        )
        .on(
            "PutRecords",
            1,
            TransportFault::Delay(Duration::from_secs(9)),
        );
    let before = send_all(&producer, 0..5).await;
    let flush = world.env.spawn({
        let producer = producer.clone();
        async move { producer.flush().await }
    });
    world.sleep_ms(100).await;
    let after = producer.send(record(5)).await.unwrap();
    let begin = world.env.now();
    flush.await.unwrap().unwrap();
    assert!(world.env.now() - begin < Duration::from_secs(1));
    for delivery in before {
        delivery.await.unwrap();
    }
    assert!(world.env.timeout(SOON, after).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn flush_waits_through_retries_and_failures() {
    let world = World::new(1);
    let producer = world
        .builder()
        .record_ttl(Duration::from_secs(3))
        .build()
        .unwrap();
    world
        .faults
        .on("PutRecords", 10_000, TransportFault::Throttle);
    let delivery = producer.send(record(0)).await.unwrap();
    let begin = world.env.now();
    producer.flush().await.unwrap();
    assert_eq!((world.env.now() - begin).as_secs(), 3);
    delivery.await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn flush_before_the_first_map_waits_for_it() {
    let world = World::new(2);
    world.faults.on(
        "ListShards",
        1,
        TransportFault::Delay(Duration::from_secs(2)),
    );
    let producer = world.producer();
    let deliveries = send_all(&producer, 0..5).await;
    producer.flush().await.unwrap();
    for delivery in deliveries {
        let now = world.env.timeout(Duration::ZERO, delivery).await;
        now.expect("settled").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_is_dropped_ends_the_lingers_all_the_same() {
    let world = World::new(1);
    let producer = world
        .builder()
        .linger(Duration::from_secs(20))
        .build()
        .unwrap();
    let delivery = producer.send(record(0)).await.unwrap();
    let _dropped = world.env.timeout(Duration::ZERO, producer.flush()).await;
    world.env.timeout(SOON, delivery).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn flush_of_nothing_returns_at_once_and_flush_after_close_says_closed() {
    let world = World::new(1);
    let producer = world.producer();
    let begin = world.env.now();
    producer.flush().await.unwrap();
    assert_eq!(world.env.now(), begin);
    assert!(producer.close(SOON).await.is_complete());
    let _closed: Closed = producer.flush().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn flush_ends_the_lingers_of_records_that_waited_for_the_first_map() {
    let world = World::new(2);
    let builder = world.builder().linger(Duration::from_secs(20));
    let producer = builder.build().unwrap();
    drop(send_all(&producer, 0..10).await);
    world
        .until(|| producer.stats().snapshot().shard_map_refreshes > 0)
        .await;
    let begin = world.env.now();
    producer.flush().await.unwrap();
    assert!(world.env.now() - begin < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn flush_ends_the_lingers_of_records_whose_shard_is_gone() {
    let world = World::new(1);
    let builder = world
        .builder()
        .linger(Duration::from_secs(20))
        .shard_map_refresh(Duration::from_secs(1));
    let producer = world.ready(builder).await;
    drop(send_all(&producer, 0..10).await);
    world.split(0).await;
    let known = producer.stats().snapshot().shard_map_refreshes;
    world
        .until(|| producer.stats().snapshot().shard_map_refreshes > known + 1)
        .await;
    let begin = world.env.now();
    producer.flush().await.unwrap();
    assert!(world.env.now() - begin < Duration::from_millis(10));
    assert!(world.stored().await.iter().all(|it| it.readable));
}
