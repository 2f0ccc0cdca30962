//! Many tasks on many threads: real parallelism, still without a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shardwise_client::transport::TransportFault;
use shardwise_mock::{EntryFault, Operation};

use crate::support::{World, record, send_all};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_stored_twice_under_contention() {
    const TASKS: usize = 16;
    const EACH: usize = 500;
    let world = World::new(4);
    world
        .mock
        .on(Operation::PutRecords)
        .times(20)
        .fail_entries(EntryFault::Throttle, |index| index % 3 == 0);
    let producer = world
        .builder()
        .linger(Duration::from_millis(2))
        .aggregate_max_bytes(2_000)
        .max_buffered_records(300)
        .build()
        .unwrap();
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (producer, acknowledged) = (producer.clone(), acknowledged.clone());
            world.env.spawn(async move {
                for n in 0..EACH {
                    let n = task * EACH + n;
                    // Some give up waiting for room, some detach, some flush.
                    match n % 7 {
                        0 => drop(producer.try_send(record(1_000_000 + n))),
                        1 => drop(producer.send(record(2_000_000 + n)).await.unwrap()),
                        2 if n % 50 == 2 => producer.flush().await.unwrap(),
                        _ => {}
                    }
                    let delivery = producer.send(record(n)).await.unwrap();
                    if n.is_multiple_of(5) {
                        delivery.await.unwrap();
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    producer.flush().await.unwrap();
    let stats = producer.stats().snapshot();
    assert_eq!(stats.user_records_acknowledged, stats.user_records_accepted);
    assert_eq!((stats.outstanding_records, stats.outstanding_bytes), (0, 0));
    assert_eq!(acknowledged.load(Ordering::Relaxed), TASKS * EACH / 5);

    let stored = world.stored().await;
    assert!(stored.iter().all(|it| it.readable));
    let mut seen: Vec<_> = stored
        .iter()
        .flat_map(|it| &it.users)
        .map(|it| it.data.clone())
        .collect();
    let total = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), total, "no duplicates");
    assert_eq!(total as u64, stats.user_records_accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_closes_at_a_time_all_see_every_record_that_was_not_sent() {
    const RECORDS: usize = 300;
    for _ in 0..100 {
        let world = World::new(1);
        world
            .faults
            .on("PutRecords", 1_000, TransportFault::HangAfter);
        let producer = world.producer();
        drop(send_all(&producer, 0..RECORDS).await);
        let closes: Vec<_> = (0..4)
            .map(|_| {
                let producer = producer.clone();
                world
                    .env
                    .spawn(async move { producer.close(Duration::ZERO).await })
            })
            .collect();
        let mut unsent = 0;
        for close in closes {
            let report = close.await.unwrap();
            unsent += report.unsent.len();
            assert!(!report.is_complete());
        }
        assert_eq!(unsent, RECORDS);
    }
}
