//! Room: who gets in, who waits, who is refused.

use std::time::Duration;

use shardwise_client::transport::TransportFault;
use shardwise_mock::Operation;
use shardwise_producer::{
    ConfigErrorKind, DeliveryErrorKind, Producer, Record, SendErrorKind, limits,
};

use crate::support::{SOON, World, assert_all_readable, payload, record, send_all};

#[tokio::test(start_paused = true)]
async fn a_receipt_says_where_the_record_is_and_a_kcl_reads_it_there() {
    let world = World::new(2);
    let producer = world.producer();
    let deliveries = send_all(&producer, 0..100).await;
    let receipts = assert_all_readable(&world, deliveries, 0).await;
    assert!(receipts.iter().all(|it| it.aggregated && it.attempts == 1));
    assert!(receipts.iter().all(|it| !it.maybe_duplicate));
    let stored = world.stored().await;
    assert_eq!(stored.len(), 2, "one aggregate for each shard");
}

#[tokio::test(start_paused = true)]
async fn a_lone_record_travels_as_it_is() {
    let world = World::new(1);
    let producer = world.producer();
    let receipt = producer.send(record(7)).await.unwrap().await.unwrap();
    assert!(!receipt.aggregated);
    assert_eq!(receipt.sub_sequence_number, 0);
    let put = &world.tamper.puts()[0]["Records"][0];
    assert_eq!(put["PartitionKey"], "key-7");
    assert!(put.get("ExplicitHashKey").is_none());
}

#[tokio::test(start_paused = true)]
async fn send_waits_for_room_and_lets_in_who_came_first() {
    let world = World::new(1);
    let producer = world.builder().max_buffered_records(2).build().unwrap();
    world
        .faults
        .on("PutRecords", 1, TransportFault::Delay(SOON));
    let first = send_all(&producer, 0..2).await;

    let mut waiting = Vec::new();
    for n in 2..8 {
        let producer = producer.clone();
        let task = world.env.spawn(async move {
            let delivery = producer.send(record(n)).await.unwrap();
            delivery.await.unwrap()
        });
        // So that they come one after the other.
        world.sleep_ms(1).await;
        waiting.push(task);
    }
    world.sleep_ms(1_000).await;
    assert_eq!(producer.stats().snapshot().user_records_accepted, 2);
    assert_all_readable(&world, first, 0).await;

    let mut numbers = Vec::new();
    for task in waiting {
        numbers.push(task.await.unwrap().sequence_number);
    }
    let mut sorted = numbers.clone();
    sorted.sort();
    assert_eq!(numbers, sorted, "stored in the order in which they came");
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_while_it_waits_has_enqueued_nothing() {
    let world = World::new(1);
    let producer = world.builder().max_buffered_records(1).build().unwrap();
    world
        .faults
        .on("PutRecords", 1, TransportFault::Delay(SOON));
    let first = producer.send(record(0)).await.unwrap();
    for n in 1..10 {
        let dropped = world
            .env
            .timeout(Duration::from_millis(10), producer.send(record(n)))
            .await;
        assert!(dropped.is_err());
    }
    let last = producer.send(record(10));
    let (first, last) = tokio::join!(first, async { last.await.unwrap().await });
    first.unwrap();
    last.unwrap();
    assert_eq!(producer.stats().snapshot().user_records_accepted, 2);
    assert_eq!(world.stored().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn try_send_refuses_when_full_and_gives_the_record_back() {
    let world = World::new(1);
    let producer = world
        .builder()
        .max_record_bytes(100)
        .max_buffered_bytes(100)
        .build()
        .unwrap();
    let data = vec![1; 90];
    let first = producer.try_send(Record::new("a".parse().unwrap(), data.clone()));
    let error = producer
        .try_send(Record::new("b".parse().unwrap(), data.clone()))
        .unwrap_err();
    assert_eq!(error.kind(), SendErrorKind::Full);
    let back = error.into_record();
    assert_eq!(back.partition_key().as_str(), "b");
    assert_eq!(back.data(), &data);
    first.unwrap().await.unwrap();
    producer.try_send(back).unwrap().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_too_large_comes_back_at_once() {
    let world = World::new(1);
    let producer = world.producer();
    producer.send(record(0)).await.unwrap().await.unwrap();
    let size = limits::RECORD_MAX_BYTES_DEFAULT + 1;
    let large = Record::new("k".parse().unwrap(), vec![0; size - 1]);
    let error = producer.send(large).await.unwrap_err();
    assert_eq!(
        error.kind(),
        SendErrorKind::TooLarge {
            size,
            limit: limits::RECORD_MAX_BYTES_DEFAULT
        }
    );
    assert_eq!(error.into_record().size(), size);
    let just = Record::new("k".parse().unwrap(), vec![0; size - 2]);
    producer.send(just).await.unwrap().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_takes_larger_records_is_believed() {
    let world = World::new(1);
    world
        .tamper
        .describe(serde_json::json!({ "MaxRecordSizeInKiB": 2048 }));
    let producer = world.producer();
    let large = || Record::new("k".parse().unwrap(), vec![0; 1_500_000]);
    // Before the stream has said so, and after.
    for _ in 0..2 {
        let error = producer.send(large()).await.unwrap().await.unwrap_err();
        // The mock's stream does not take it: it was sent.
        assert_eq!(error.code(), Some("ValidationException"));
    }
    let error = producer.send(Record::new("k".parse().unwrap(), vec![0; 3_000_000]));
    assert!(matches!(
        error.await.unwrap_err().kind(),
        SendErrorKind::TooLarge {
            limit: 2_097_152,
            ..
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_record_accepted_before_the_limit_was_known_fails_alone() {
    let world = World::new(1);
    let producer = world.producer();
    let large = Record::new("k".parse().unwrap(), vec![0; 2_000_000]);
    let (before, large, after) = (
        producer.try_send(record(0)).unwrap(),
        producer.try_send(large).unwrap(),
        producer.try_send(record(1)).unwrap(),
    );
    let error = large.await.unwrap_err();
    assert_eq!(error.kind(), DeliveryErrorKind::Rejected);
    assert_eq!(error.written(), shardwise_producer::Written::No);
    assert_eq!(error.into_record().size(), 2_000_001);
    before.await.unwrap();
    after.await.unwrap();
    assert_eq!(world.mock.calls(Operation::PutRecords), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_description_limits_no_record() {
    // Passing or for good: what is not known is no reason to refuse what some stream takes.
    for code in ["LimitExceededException", "AccessDeniedException"] {
        let world = World::new(1);
        world.tamper.refuse("DescribeStreamSummary", code);
        let producer = world.ready(world.builder()).await;
        let large = Record::new("k".parse().unwrap(), vec![0; 2_000_000]);
        let error = producer.send(large).await.unwrap().await.unwrap_err();
        // The mock's stream does not take it: it was sent.
        assert_eq!(error.kind(), DeliveryErrorKind::Rejected);
        assert_eq!(error.code(), Some("ValidationException"), "{code}");
        assert_eq!(world.mock.calls(Operation::PutRecords), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_the_streams_limit_asks_for_the_limit_again() {
    let world = World::new(1);
    let producer = world.ready(world.builder()).await;
    let large = || Record::new("k".parse().unwrap(), vec![0; 2_000_000]);
    world.sleep_ms(10_000).await;
    world
        .tamper
        .describe(serde_json::json!({ "MaxRecordSizeInKiB": 2048 }));
    let error = producer.send(large()).await.unwrap_err();
    assert!(matches!(error.kind(), SendErrorKind::TooLarge { .. }));
    world.sleep_ms(500).await;
    let error = producer.send(large()).await.unwrap().await.unwrap_err();
    assert_eq!(error.code(), Some("ValidationException"), "it was sent");
    // However many are refused, the question is asked once a second at most.
    let asked = world.mock.calls(Operation::ListShards);
    let larger = || Record::new("k".parse().unwrap(), vec![0; 3_000_000]);
    for _ in 0..100 {
        producer.send(larger()).await.unwrap_err();
        world.sleep_ms(50).await;
    }
    let asked = world.mock.calls(Operation::ListShards) - asked;
    assert!((3..=6).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_while_the_service_hangs_and_nothing_is_lost() {
    let world = World::new(2);
    let producer = world
        .builder()
        .max_record_bytes(1_000)
        .max_buffered_bytes(5_000)
        .record_ttl(Duration::from_secs(600))
        .build()
        .unwrap();
    world
        .faults
        .on("PutRecords", 12, TransportFault::HangBefore);
    let sender = world.env.spawn({
        let producer = producer.clone();
        async move {
            let mut deliveries = Vec::new();
            for n in 0..2_000 {
                deliveries.push(producer.send(record(n)).await.unwrap());
            }
            deliveries
        }
    });
    for _ in 0..30 {
        world.sleep_ms(1_000).await;
        assert!(producer.stats().snapshot().outstanding_bytes <= 5_000);
        assert_eq!(
            producer.try_send(record(0)).unwrap_err().kind(),
            SendErrorKind::Full
        );
        assert!(!sender.is_finished());
    }
    let deliveries = sender.await.unwrap();
    let receipts = assert_all_readable(&world, deliveries, 0).await;
    assert_eq!(receipts.len(), 2_000);
    assert_eq!(producer.stats().snapshot().outstanding_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_linger_ends_when_lingering_records_are_all_that_fills_the_room() {
    let world = World::new(1);
    let producer = world
        .builder()
        .linger(Duration::from_secs(20))
        .max_buffered_records(10)
        .build()
        .unwrap();
    let begin = world.env.now();
    let deliveries = send_all(&producer, 0..95).await;
    assert!(world.env.now() - begin < Duration::from_millis(50));
    producer.flush().await.unwrap();
    assert_all_readable(&world, deliveries, 0).await;
    assert_eq!(world.stored().await.len(), 10, "still aggregated");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_delivery_detaches_and_its_failure_is_counted() {
    let world = World::new(1);
    let producer = world.producer();
    drop(producer.send(record(1)).await.unwrap());
    producer.flush().await.unwrap();
    assert_eq!(world.stored().await[0].users[0].data, payload(1));
    assert_eq!(producer.stats().snapshot().failures_unheeded, 0);

    world.tamper.refuse("PutRecords", "AccessDeniedException");
    for n in 0..3 {
        drop(producer.send(record(n)).await.unwrap());
    }
    producer.flush().await.unwrap();
    let stats = producer.stats().snapshot();
    assert_eq!((stats.failures_unheeded, stats.user_records_failed), (3, 3));
}

#[tokio::test]
async fn a_producer_needs_the_name_of_a_stream() {
    let world = World::empty();
    for builder in [
        Producer::builder(&world.aws),
        Producer::builder(&world.aws).stream(""),
        Producer::builder(&world.aws).stream("or/ders"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::InvalidName);
    }
}

#[test]
fn the_futures_of_a_producer_may_move_between_threads() {
    fn is_send<T: Send>(_: impl Fn(Producer) -> T) {}
    is_send(|producer| async move { producer.send(record(0)).await });
    is_send(|producer| async move { producer.send(record(0)).await.unwrap().await });
    is_send(|producer| async move { producer.flush().await });
    is_send(|producer| async move { producer.close(SOON).await });
}

#[test]
fn a_producer_needs_a_runtime_and_says_so() {
    let aws = shardwise_producer::Aws::in_process(shardwise_mock::Mock::new().service());
    let error = Producer::builder(&aws)
        .stream("orders")
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), ConfigErrorKind::NoRuntime);
}
