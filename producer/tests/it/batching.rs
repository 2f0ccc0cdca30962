//! Collection by count, bytes and time, seen from outside.

use std::time::Duration;

use shardwise_mock::Operation;
use shardwise_producer::{HashKey, Record};

use crate::support::{World, assert_all_readable, record, send_all};

#[tokio::test(start_paused = true)]
async fn records_leave_together_when_the_linger_of_the_first_is_over() {
    let world = World::new(4);
    let producer = world.producer();
    producer.send(record(0)).await.unwrap().await.unwrap();
    let begin = world.env.now();
    let mut deliveries = Vec::new();
    for n in 0..20 {
        deliveries.push(producer.send(record(n)).await.unwrap());
        world.sleep_ms(1).await;
    }
    let receipts = assert_all_readable(&world, deliveries, 0).await;
    let took = (world.env.now() - begin).as_millis();
    assert!((100..=105).contains(&took), "{took} ms");
    // Four shards, whose aggregates were due within 20 ms: one call for all.
    assert_eq!(world.mock.calls(Operation::PutRecords), 2);
    assert!(receipts.iter().all(|it| it.attempts == 1));
}

#[tokio::test(start_paused = true)]
async fn without_linger_a_record_leaves_at_once() {
    let world = World::new(1);
    let producer = world.ready(world.builder().linger(Duration::ZERO)).await;
    let begin = world.env.now();
    producer.send(record(0)).await.unwrap().await.unwrap();
    assert!(world.env.now() - begin <= Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn full_aggregates_leave_before_their_linger_is_over() {
    let world = World::new(1);
    let builder = world.builder().linger(Duration::from_secs(20));
    let producer = world.ready(builder).await;
    let data = vec![7; 1_000];
    for n in 0..400 {
        let record = Record::new(format!("k{n}").parse().unwrap(), data.clone());
        drop(producer.send(record).await.unwrap());
    }
    world.sleep_ms(5).await;
    let stored = world.stored().await;
    assert!(stored.len() >= 5, "{} aggregates", stored.len());
    assert!(stored.iter().all(|it| it.users.len() > 40));
    assert_eq!(world.mock.calls(Operation::PutRecords), 1);
}

#[tokio::test(start_paused = true)]
async fn without_aggregation_a_call_holds_five_hundred_records_at_most() {
    let world = World::new(3);
    let producer = world.builder().aggregation(false).build().unwrap();
    let deliveries = send_all(&producer, 0..1_234).await;
    let receipts = assert_all_readable(&world, deliveries, 0).await;
    assert!(receipts.iter().all(|it| !it.aggregated));
    let sizes = world.tamper.put_sizes();
    assert_eq!(sizes.iter().sum::<usize>(), 1_234);
    assert!(sizes.iter().all(|&size| size <= 500), "{sizes:?}");
    assert_eq!(sizes.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_within_its_bytes_and_a_larger_record_goes_alone() {
    let world = World::new(1);
    let producer = world
        .builder()
        .aggregation(false)
        .max_request_bytes(10_000)
        .build()
        .unwrap();
    let mut deliveries = Vec::new();
    for n in 0..40 {
        let size = if n == 20 { 30_000 } else { 900 };
        let record = Record::new("k".parse().unwrap(), vec![0; size]);
        deliveries.push(producer.send(record).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    let sizes = world.tamper.put_sizes();
    assert!(sizes.iter().all(|&size| size <= 11), "{sizes:?}");
    assert!(sizes.contains(&1));
}

#[tokio::test(start_paused = true)]
async fn explicit_hash_keys_decide_the_shard_and_come_through_aggregation() {
    let world = World::new(2);
    let producer = world.producer();
    let mut deliveries = Vec::new();
    for n in 0..20_u128 {
        let hash_key = HashKey::new(if n % 2 == 0 { n } else { u128::MAX - n });
        let record =
            Record::new("same".parse().unwrap(), format!("{n}")).with_explicit_hash_key(hash_key);
        deliveries.push(producer.send(record).await.unwrap());
    }
    for (n, delivery) in deliveries.into_iter().enumerate() {
        let receipt = delivery.await.unwrap();
        assert_eq!(
            receipt.shard_id.number(),
            Some(u32::try_from(n % 2).unwrap())
        );
    }
    let stored = world.stored().await;
    assert!(stored.iter().all(|it| it.readable && it.aggregated));
    let users = stored.iter().flat_map(|it| &it.users);
    assert!(users.clone().all(|it| it.key == "same"));
    assert!(
        users
            .clone()
            .all(|it| it.hash.get() < 20 || it.hash.get() > u128::MAX - 20)
    );
}

#[tokio::test(start_paused = true)]
async fn a_bulky_record_travels_alone_and_does_not_push_others_out() {
    let world = World::new(1);
    let producer = world.producer();
    let mut deliveries = send_all(&producer, 0..10).await;
    let bulky = Record::new("b".parse().unwrap(), vec![0; 60_000]);
    let bulky = producer.send(bulky).await.unwrap();
    deliveries.extend(send_all(&producer, 10..20).await);
    assert_all_readable(&world, deliveries, 0).await;
    assert!(!bulky.await.unwrap().aggregated);
    assert_eq!(world.stored().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_counters_add_up() {
    let world = World::new(2);
    let producer = world.producer();
    let deliveries = send_all(&producer, 0..500).await;
    assert_eq!(producer.stats().snapshot().outstanding_records, 500);
    assert_all_readable(&world, deliveries, 0).await;
    let stats = producer.stats().snapshot();
    assert_eq!(stats.user_records_accepted, 500);
    assert_eq!(stats.user_records_acknowledged, 500);
    assert_eq!(stats.user_records_failed, 0);
    assert_eq!(stats.outstanding_records, 0);
    assert_eq!(stats.outstanding_bytes, 0);
    assert_eq!(stats.kinesis_records_put, 2);
    assert_eq!(
        stats.put_records_calls,
        world.mock.calls(Operation::PutRecords)
    );
    assert_eq!(stats.aggregation_off, None);
}
