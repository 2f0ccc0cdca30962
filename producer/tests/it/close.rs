//! The end of a producer: closed, or dropped.

use std::time::Duration;

use shardwise_client::transport::TransportFault;
use shardwise_producer::{DeliveryErrorKind, SendErrorKind, Written};

use crate::support::{SOON, World, assert_all_readable, payload, record, send_all};

#[tokio::test(start_paused = true)]
async fn close_sends_what_is_there() {
    let world = World::new(2);
    let producer = world
        .builder()
        .linger(Duration::from_secs(20))
        .build()
        .unwrap();
    let deliveries = send_all(&producer, 0..100).await;
    let begin = world.env.now();
    let report = producer.close(SOON).await;
    assert!(report.is_complete());
    assert!(world.env.now() - begin < Duration::from_millis(10));
    assert_all_readable(&world, deliveries, 0).await;
}

#[tokio::test(start_paused = true)]
async fn close_gives_back_what_it_could_not_send_and_says_what_may_be_stored() {
    let world = World::new(1);
    let producer = world.builder().max_requests_in_flight(1).build().unwrap();
    world
        .faults
        .on("PutRecords", 100, TransportFault::HangAfter);
    let in_flight = send_all(&producer, 0..3).await;
    world.sleep_ms(200).await;
    let waiting = send_all(&producer, 3..7).await;
    let begin = world.env.now();
    let report = producer.close(Duration::from_secs(2)).await;
    assert_eq!((world.env.now() - begin).as_secs(), 2);

    let mut unsent: Vec<_> = report
        .unsent
        .iter()
        .map(|it| {
            (
                String::from_utf8(it.record.data().to_vec()).unwrap(),
                it.written,
            )
        })
        .collect();
    unsent.sort();
    let expected: Vec<_> = (0..7)
        .map(|n| {
            let written = if n < 3 { Written::Unknown } else { Written::No };
            (payload(n), written)
        })
        .collect();
    assert_eq!(unsent, expected);
    for delivery in in_flight.into_iter().chain(waiting) {
        let error = delivery.await.unwrap_err();
        assert_eq!(error.kind(), DeliveryErrorKind::Stopped);
    }
    let again = producer.close(SOON).await;
    assert_eq!(again.unsent, [], "a record is in one report only");
    assert!(!again.is_complete());
}

#[tokio::test(start_paused = true)]
async fn of_two_closes_at_a_time_neither_is_falsely_complete() {
    let world = World::new(1);
    let producer = world.producer();
    world
        .faults
        .on("PutRecords", 100, TransportFault::HangAfter);
    drop(send_all(&producer, 0..7).await);
    world.sleep_ms(200).await;
    let closes = [1, 5].map(|seconds| {
        let producer = producer.clone();
        let close = async move { producer.close(Duration::from_secs(seconds)).await };
        world.env.spawn(close)
    });
    let mut unsent = 0;
    for close in closes {
        let report = close.await.unwrap();
        assert!(!report.is_complete());
        unsent += report.unsent.len();
    }
    assert_eq!(unsent, 7);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_does_not_wait_starts_no_call() {
    let world = World::new(1);
    let producer = world.ready(world.builder()).await;
    let deliveries = send_all(&producer, 0..5).await;
    let report = producer.close(Duration::ZERO).await;
    assert_eq!(report.unsent.len(), 5);
    assert!(report.unsent.iter().all(|it| it.written == Written::No));
    for delivery in deliveries {
        let error = delivery.await.unwrap_err();
        assert_eq!(error.kind(), DeliveryErrorKind::Stopped);
        assert_eq!((error.written(), error.attempts()), (Written::No, 0));
    }
    world.sleep_ms(1_000).await;
    assert_eq!(world.tamper.puts().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn close_does_not_wait_for_the_lingers_of_records_that_waited_for_a_map() {
    let world = World::new(2);
    let builder = world.builder().linger(Duration::from_secs(20));
    let producer = builder.build().unwrap();
    let deliveries = send_all(&producer, 0..10).await;
    world
        .until(|| producer.stats().snapshot().shard_map_refreshes > 0)
        .await;
    let report = producer.close(Duration::from_secs(1)).await;
    assert!(report.is_complete());
    assert_all_readable(&world, deliveries, 0).await;
}

#[tokio::test(start_paused = true)]
async fn after_close_every_clone_is_closed() {
    let world = World::new(1);
    let producer = world.producer();
    let clone = producer.clone();
    assert!(producer.close(SOON).await.is_complete());
    for producer in [producer, clone] {
        let error = producer.send(record(0)).await.unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::Closed);
        assert_eq!(error.into_record(), record(0));
        let error = producer.try_send(record(1)).unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn close_refuses_those_who_wait_for_room() {
    let world = World::new(1);
    let producer = world.builder().max_buffered_records(1).build().unwrap();
    world
        .faults
        .on("PutRecords", 1, TransportFault::Delay(SOON));
    let first = producer.send(record(0)).await.unwrap();
    let waiting = world.env.spawn({
        let producer = producer.clone();
        async move { producer.send(record(1)).await.map(|_| ()) }
    });
    world.sleep_ms(500).await;
    let report = producer.close(2 * SOON).await;
    assert!(report.is_complete());
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), SendErrorKind::Closed);
    first.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_dropped_goes_on() {
    let world = World::new(1);
    let producer = world
        .builder()
        .linger(Duration::from_secs(20))
        .build()
        .unwrap();
    let deliveries = send_all(&producer, 0..3).await;
    let _dropped = world
        .env
        .timeout(Duration::ZERO, producer.close(SOON))
        .await;
    let error = producer.send(record(9)).await.unwrap_err();
    assert_eq!(error.kind(), SendErrorKind::Closed);
    assert_all_readable(&world, deliveries, 0).await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_clone_stops_the_engine_and_gives_the_records_back() {
    let world = World::new(1);
    let producer = world.producer();
    world.faults.on("PutRecords", 1, TransportFault::HangAfter);
    let in_flight = producer.send(record(0)).await.unwrap();
    world.sleep_ms(200).await;
    let lingering = producer.send(record(1)).await.unwrap();
    let clone = producer.clone();
    drop(producer);
    world.sleep_ms(10).await;
    drop(clone);

    let error = in_flight.await.unwrap_err();
    assert_eq!(error.kind(), DeliveryErrorKind::Stopped);
    assert_eq!(error.written(), Written::Unknown);
    assert_eq!(error.into_record(), record(0));
    let error = lingering.await.unwrap_err();
    assert_eq!(error.kind(), DeliveryErrorKind::Stopped);
    assert_eq!(error.written(), Written::No);
    assert_eq!(error.into_record(), record(1));
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_is_dropped_stops_nothing() {
    let world = World::new(1);
    let producer = world.producer();
    let delivery = producer.clone().send(record(0)).await.unwrap();
    drop(producer.clone());
    delivery.await.unwrap();
}

#[test]
fn records_of_a_runtime_that_is_gone_have_an_outcome() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let (producer, delivery) = runtime.block_on(async {
        let world = World::new(1);
        let producer = world.producer();
        let delivery = producer.send(record(0)).await.unwrap();
        (producer, delivery)
    });
    drop(runtime);
    let elsewhere = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let error = elsewhere.block_on(delivery).unwrap_err();
    assert_eq!(error.kind(), DeliveryErrorKind::Stopped);
    let error = producer.try_send(record(1)).unwrap_err();
    assert_eq!(error.kind(), SendErrorKind::Closed);
}

#[test]
fn a_close_that_the_runtime_cuts_short_is_not_complete() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let gone = runtime();
    let producer = gone.block_on(async {
        let world = World::new(1);
        let producer = world.producer();
        world
            .faults
            .on("PutRecords", 100, TransportFault::HangAfter);
        drop(producer.send(record(0)).await.unwrap());
        let close = producer.close(Duration::from_secs(60));
        assert!(world.env.timeout(SOON, close).await.is_err());
        producer
    });
    drop(gone);
    let report = runtime().block_on(producer.close(SOON));
    assert!(!report.is_complete());
    assert_eq!(report.unsent.len(), 1);
    assert_eq!(report.unsent[0].record, record(0));
}

#[tokio::test(start_paused = true)]
async fn times_without_end_are_allowed() {
    let world = World::new(1);
    let producer = world
        .builder()
        .record_ttl(Duration::MAX)
        .shard_map_refresh(Duration::MAX)
        .build()
        .unwrap();
    world.faults.on("PutRecords", 50, TransportFault::Throttle);
    let delivery = producer.send(record(0)).await.unwrap();
    assert!(producer.close(Duration::MAX).await.is_complete());
    assert!(delivery.await.unwrap().attempts > 50);
}
