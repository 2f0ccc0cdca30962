//! Errors that a record can end in, and those that it survives.

use std::error::Error as _;
use std::time::Duration;

use serde_json::json;
use shardwise_client::transport::TransportFault;
use shardwise_mock::{EntryFault, Operation};
use shardwise_producer::{DeliveryErrorKind, EntryError, HashKey, Receipt, Record, Written};

use crate::support::{SOON, World, assert_all_readable, record, refusal, send_all};

#[tokio::test(start_paused = true)]
async fn permanent_errors_are_reported_at_once() {
    for (code, status) in [
        ("AccessDeniedException", 400),
        ("ValidationException", 400),
        ("KMSDisabledException", 400),
        ("KMSAccessDeniedException", 400),
        ("ResourceNotFoundException", 400),
        ("NeverHeardOfException", 403),
    ] {
        let world = World::new(1);
        world
            .tamper
            .answer("PutRecords", move |_| Some((status, refusal(code).1)));
        let producer = world.builder().linger(Duration::ZERO).build().unwrap();
        let begin = world.env.now();
        let error = producer.send(record(3)).await.unwrap().await.unwrap_err();
        assert_eq!(error.kind(), DeliveryErrorKind::Rejected, "{code}");
        assert_eq!(error.code(), Some(code));
        assert_eq!(error.written(), Written::No);
        assert_eq!(error.attempts(), 1);
        let source = error.source().unwrap();
        assert!(source.is::<shardwise_client::Error>(), "{source}");
        assert_eq!(error.into_record(), record(3));
        assert_eq!(world.tamper.puts().len(), 1, "{code} was tried again");
        assert!(world.env.now() - begin < Duration::from_millis(10));
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_have_expired_are_waited_for() {
    for operations in [
        &["PutRecords"][..],
        &["ListShards", "DescribeStreamSummary"],
    ] {
        let world = World::new(2);
        let expired_for = Duration::from_secs(10);
        let end = world.env.now() + expired_for;
        for operation in operations {
            let env = world.env.clone();
            world.tamper.answer(operation, move |_| {
                (env.now() < end).then(|| refusal("ExpiredTokenException"))
            });
        }
        let producer = world.producer();
        let deliveries = send_all(&producer, 0..50).await;
        let receipts = assert_all_readable(&world, deliveries, 0).await;
        assert!(
            receipts.iter().all(|it| !it.maybe_duplicate),
            "refused, not lost"
        );
        let late = world.env.now() - end;
        assert!(late < Duration::from_secs(6), "{operations:?}: {late:?}");
        assert!(world.tamper.puts().len() < 250, "it backs off");
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_stay_expired_cost_a_record_its_time_to_live() {
    let world = World::new(2);
    world.tamper.refuse("PutRecords", "ExpiredTokenException");
    let builder = world.builder().record_ttl(Duration::from_secs(5));
    let producer = builder.build().unwrap();
    let error = producer.send(record(0)).await.unwrap().await.unwrap_err();
    assert_eq!(error.kind(), DeliveryErrorKind::Expired);
    assert_eq!(error.written(), Written::No);
    assert_eq!(error.code(), Some("ExpiredTokenException"));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_stream_is_refused_clearly_and_used_once_it_is_there() {
    let world = World::empty();
    let producer = world.producer();
    let begin = world.env.now();
    for n in 0..3 {
        let deliveries = send_all(&producer, n..n + 10).await;
        for delivery in deliveries {
            let error = delivery.await.unwrap_err();
            assert_eq!(error.kind(), DeliveryErrorKind::Rejected);
            assert_eq!(error.code(), Some("ResourceNotFoundException"));
            assert_eq!(error.written(), Written::No);
        }
    }
    assert!(world.env.now() - begin < Duration::from_secs(3));
    assert!(world.mock.calls(Operation::ListShards) <= 4);
    assert_eq!(world.mock.calls(Operation::PutRecords), 0);

    world.create(2);
    let deliveries = send_all(&producer, 0..10).await;
    assert_all_readable(&world, deliveries, 0).await;
}

#[tokio::test(start_paused = true)]
async fn records_for_a_stream_that_is_being_made_are_held() {
    let world = World::empty();
    let (status, refused) = refusal("ResourceInUseException");
    let mut left = 4;
    world.tamper.answer("ListShards", move |_| {
        left -= 1;
        (left > 0).then(|| (status, refused.clone()))
    });
    world.create(2);
    let producer = world.producer();
    let deliveries = send_all(&producer, 0..10).await;
    let receipts = assert_all_readable(&world, deliveries, 0).await;
    assert!(receipts.iter().any(|it| it.aggregated));
}

#[tokio::test(start_paused = true)]
async fn a_poison_record_fails_alone() {
    let world = World::new(3);
    world.tamper.answer("PutRecords", |body| {
        let mut records = body["Records"].as_array().unwrap().iter();
        records
            .any(|it| it["PartitionKey"] == "poison")
            .then(|| refusal("ValidationException"))
    });
    let producer = world.builder().aggregation(false).build().unwrap();
    let mut deliveries = send_all(&producer, 0..150).await;
    let poison = Record::new("poison".parse().unwrap(), "x");
    let poison_delivery = producer.send(poison.clone()).await.unwrap();
    deliveries.extend(send_all(&producer, 150..300).await);
    assert_all_readable(&world, deliveries, 0).await;
    let error = poison_delivery.await.unwrap_err();
    assert_eq!(error.kind(), DeliveryErrorKind::Rejected);
    assert_eq!(error.written(), Written::No);
    assert_eq!(error.into_record(), poison);
    // 2 log2(301) at most, and each neighbour is stored once.
    assert!(world.tamper.puts().len() <= 20);
    assert_eq!(world.stored().await.len(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_too_large_for_the_service_is_sent_in_parts() {
    let world = World::new(1);
    world.tamper.answer("PutRecords", |body| {
        let count = body["Records"].as_array().unwrap().len();
        (count > 60).then(|| refusal("InvalidArgumentException"))
    });
    let producer = world.builder().aggregation(false).build().unwrap();
    let deliveries = send_all(&producer, 0..500).await;
    assert_all_readable(&world, deliveries, 0).await;
}

#[tokio::test(start_paused = true)]
async fn entries_that_fail_are_sent_again_and_the_others_are_not() {
    let world = World::new(1);
    let producer = world.builder().aggregation(false).build().unwrap();
    for _ in 0..3 {
        world
            .mock
            .on(Operation::PutRecords)
            .times(1)
            .fail_entries(EntryFault::Throttle, |index| index % 2 == 0);
    }
    let deliveries = send_all(&producer, 0..100).await;
    let receipts = assert_all_readable(&world, deliveries, 0).await;
    assert_eq!(world.stored().await.len(), 100, "no duplicates");
    let mut by_attempts = [0; 5];
    for receipt in &receipts {
        by_attempts[receipt.attempts as usize] += 1;
        assert!(!receipt.maybe_duplicate, "a throttle writes nothing");
    }
    assert_eq!(by_attempts[1], 50);
    assert!(by_attempts[2] > 0);
    let stats = producer.stats().snapshot();
    let retries: u64 = receipts.iter().map(|it| u64::from(it.attempts - 1)).sum();
    assert_eq!(stats.kinesis_records_retried, retries);
}

#[tokio::test(start_paused = true)]
async fn a_record_is_tried_until_it_expires_and_comes_back_with_the_error() {
    let world = World::new(1);
    world
        .mock
        .on(Operation::PutRecords)
        .fail_entries(EntryFault::Throttle, |_| true);
    let producer = world
        .builder()
        .record_ttl(Duration::from_secs(10))
        .build()
        .unwrap();
    let begin = world.env.now();
    let deliveries = send_all(&producer, 0..10).await;
    for (n, delivery) in deliveries.into_iter().enumerate() {
        let error = delivery.await.unwrap_err();
        assert_eq!(error.kind(), DeliveryErrorKind::Expired);
        assert_eq!(error.written(), Written::No);
        assert_eq!(error.code(), Some("ProvisionedThroughputExceededException"));
        assert!(error.source().unwrap().is::<EntryError>());
        assert!(error.attempts() > 10, "{}", error.attempts());
        assert_eq!(error.into_record(), record(n));
    }
    let took = world.env.now() - begin;
    assert!((10_000..10_010).contains(&took.as_millis()), "{took:?}");
    assert!(
        world.mock.calls(Operation::PutRecords) < 200,
        "it backs off"
    );
}

#[tokio::test(start_paused = true)]
async fn an_expired_record_may_be_written_unless_it_certainly_is_not() {
    for (fault, written) in [
        (TransportFault::Throttle, Written::No),
        (TransportFault::Refuse, Written::No),
        (TransportFault::InternalFailure, Written::Unknown),
        (TransportFault::LoseRequest, Written::Unknown),
        (TransportFault::LoseResponse, Written::Unknown),
    ] {
        let world = World::new(1);
        // One doubtful attempt is enough, whatever follows.
        world
            .faults
            .on("PutRecords", 1, fault)
            .on("PutRecords", 10_000, TransportFault::Throttle);
        let producer = world
            .builder()
            .record_ttl(Duration::from_secs(2))
            .build()
            .unwrap();
        let error = producer.send(record(0)).await.unwrap().await.unwrap_err();
        assert_eq!(error.kind(), DeliveryErrorKind::Expired);
        assert_eq!(error.written(), written, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_stored_before_is_flagged_as_a_possible_duplicate() {
    let world = World::new(1);
    world
        .faults
        .on("PutRecords", 1, TransportFault::LoseResponse);
    let producer = world.producer();
    let receipt = producer.send(record(0)).await.unwrap().await.unwrap();
    assert!(receipt.maybe_duplicate);
    assert_eq!(receipt.attempts, 2);
    assert_eq!(world.stored().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_for_another_number_of_records_is_matched_with_none() {
    let world = World::new(1);
    let mut first = true;
    world.tamper.answer("PutRecords", move |_| {
        std::mem::take(&mut first).then(|| {
            let result = json!({ "ShardId": "shardId-000000000000", "SequenceNumber": "1" });
            (200, json!({ "FailedRecordCount": 0, "Records": [result] }))
        })
    });
    let producer = world.builder().aggregation(false).build().unwrap();
    let deliveries = send_all(&producer, 0..5).await;
    let receipts = assert_all_readable(&world, deliveries, 0).await;
    assert!(receipts.iter().all(|it| it.maybe_duplicate));
}

#[tokio::test(start_paused = true)]
async fn records_expire_while_no_call_is_free_and_while_there_is_no_map() {
    let world = World::new(1);
    world
        .faults
        .on("PutRecords", 10, TransportFault::HangBefore);
    let producer = world
        .builder()
        .aggregation(false)
        .max_request_entries(1)
        .max_requests_in_flight(1)
        .record_ttl(Duration::from_secs(2))
        .build()
        .unwrap();
    let begin = world.env.now();
    let mut deliveries = send_all(&producer, 0..2).await;
    let error = deliveries.remove(1).await.unwrap_err();
    assert_eq!(error.kind(), DeliveryErrorKind::Expired);
    assert_eq!((error.written(), error.attempts()), (Written::No, 0));
    assert_eq!((world.env.now() - begin).as_millis(), 2_000);

    let world = World::new(1);
    world.faults.on("ListShards", 100, TransportFault::Throttle);
    let producer = world
        .builder()
        .record_ttl(Duration::from_secs(2))
        .build()
        .unwrap();
    let error = producer.send(record(1)).await.unwrap().await.unwrap_err();
    assert_eq!(error.kind(), DeliveryErrorKind::Expired);
    assert_eq!(error.code(), Some("LimitExceededException"));
    assert_eq!(world.mock.calls(Operation::PutRecords), 0);
}

/// Sends records whose first call gets no answer: each ends with its time to live.
async fn expires_in_time(world: World) {
    let producer = world
        .builder()
        .record_ttl(Duration::from_secs(2))
        .max_requests_in_flight(1)
        .build()
        .unwrap();
    let begin = world.env.now();
    let deliveries = send_all(&producer, 0..5).await;
    world.sleep_ms(500).await;
    let flush = producer.flush();
    assert!(world.env.timeout(SOON, flush).await.is_ok());
    for delivery in deliveries {
        let error = delivery.await.unwrap_err();
        assert_eq!(error.kind(), DeliveryErrorKind::Expired);
        assert_eq!((error.written(), error.attempts()), (Written::Unknown, 1));
    }
    assert!(world.env.now() - begin < Duration::from_secs(3));
    let stats = producer.stats().snapshot();
    assert_eq!((stats.outstanding_records, stats.outstanding_bytes), (0, 0));
    // The one call that may be under way is free again.
    let delivery = producer.send(record(9)).await.unwrap();
    assert_eq!(delivery.await.unwrap().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_holds_no_record_beyond_its_time_to_live() {
    let world = World::new(1);
    world.faults.on("PutRecords", 1, TransportFault::HangAfter);
    expires_in_time(world).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_trickles_holds_no_record_beyond_its_time_to_live() {
    let world = World::new(1);
    world.tamper.trickle(1);
    expires_in_time(world).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_trickles_is_given_up_long_before_a_long_time_to_live() {
    let world = World::new(1);
    world.tamper.trickle(1);
    let builder = world.builder().record_ttl(Duration::from_secs(3_600));
    let producer = builder.build().unwrap();
    let begin = world.env.now();
    let receipt = producer.send(record(0)).await.unwrap().await.unwrap();
    assert_eq!((receipt.attempts, receipt.maybe_duplicate), (2, true));
    assert!(world.env.now() - begin < Duration::from_secs(32));
}

/// Two records, the second a second younger, in one call whose answer takes 1.5 s. What becomes of
/// the second.
async fn the_younger_of_two(world: &World) -> Receipt {
    let builder = world
        .builder()
        .linger(Duration::from_millis(1_900))
        .record_ttl(Duration::from_secs(2));
    let producer = world.ready(builder).await;
    world.faults.on(
        "PutRecords",
        1,
        TransportFault::Delay(Duration::from_millis(1_500)),
    );
    // For two shards, so that they are not one aggregate.
    let bound = |n, hash_key| record(n).with_explicit_hash_key(HashKey::new(hash_key));
    let old = producer.send(bound(0, 0)).await.unwrap();
    world.sleep_ms(1_000).await;
    let young = producer.send(bound(1, u128::MAX)).await.unwrap();
    let begin = world.env.now();
    let flush = producer.flush();
    assert!(
        world
            .env
            .timeout(Duration::from_millis(1), flush)
            .await
            .is_err()
    );
    let error = old.await.unwrap_err();
    assert_eq!((world.env.now() - begin).as_millis() / 10, 100);
    assert_eq!(error.kind(), DeliveryErrorKind::Expired);
    assert_eq!((error.written(), error.attempts()), (Written::Unknown, 1));
    assert_eq!(world.tamper.put_sizes(), [2]);
    young.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn records_expire_alone_while_their_call_is_under_way() {
    let receipt = the_younger_of_two(&World::new(2)).await;
    assert_eq!((receipt.attempts, receipt.maybe_duplicate), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_record_is_not_blamed_for_one_that_has_expired_beside_it() {
    let world = World::new(2);
    world.tamper.answer("PutRecords", |body| {
        (body["Records"].as_array().unwrap().len() > 1).then(|| refusal("ValidationException"))
    });
    let receipt = the_younger_of_two(&world).await;
    assert_eq!((receipt.attempts, receipt.maybe_duplicate), (2, false));
}
