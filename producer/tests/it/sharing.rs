//! Many producers in one process: what they ask the service for, they ask for together.

use std::time::Duration;

use shardwise_env::Env;
use shardwise_mock::{Mock, Operation};
use shardwise_producer::{Aws, Producer};

use crate::support::{World, assert_all_readable, record, send_all};

#[tokio::test(start_paused = true)]
async fn a_thousand_producers_ask_no_more_often_than_one() {
    const PRODUCERS: usize = 1_000;
    let env = Env::system();
    let mock = Mock::builder()
        .env(env.clone())
        .control_plane_limits(true)
        .build();
    mock.create_stream(&"orders".parse().unwrap(), 4).unwrap();
    let aws = Aws::in_process(mock.service());
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|_| Producer::builder(&aws).stream("orders").build().unwrap())
        .collect();
    // Three minutes, in which each sends every ten seconds.
    for round in 0..18 {
        let mut deliveries = Vec::new();
        for producer in &producers {
            deliveries.push(producer.send(record(round)).await.unwrap());
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
        env.sleep(Duration::from_millis(9_900)).await;
    }
    let calls = [Operation::ListShards, Operation::DescribeStreamSummary]
        .map(|operation| mock.calls(operation));
    println!("ListShards, DescribeStreamSummary: {calls:?}");
    assert!(calls.iter().all(|calls| *calls <= 6), "{calls:?}");
    for producer in &producers {
        assert_eq!(producer.stats().snapshot().aggregation_off, None);
    }
}

#[tokio::test(start_paused = true)]
async fn producers_that_share_a_map_each_see_a_split() {
    let world = World::new(1);
    let producers = [world.producer(), world.producer()];
    for (first, producer) in [0, 100].into_iter().zip(&producers) {
        let deliveries = send_all(producer, first..first + 50).await;
        assert_all_readable(&world, deliveries, first).await;
    }
    world.split(0).await;
    for (first, producer) in [200, 300].into_iter().zip(&producers) {
        let deliveries = send_all(producer, first..first + 50).await;
        assert_all_readable(&world, deliveries, first).await;
    }
    // One at the start, one for each who met the split.
    let calls = world.mock.calls(Operation::DescribeStreamSummary);
    assert!(calls <= 3, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_goes_away_while_it_fetches_leaves_it_to_the_next() {
    let world = World::new(2);
    let slow = shardwise_client::transport::TransportFault::Delay(Duration::from_secs(3));
    world.faults.on("ListShards", 1, slow);
    let first = world.producer();
    world.sleep_ms(100).await;
    let second = world.producer();
    let deliveries = send_all(&second, 0..50).await;
    world.sleep_ms(100).await;
    drop(first);
    assert_all_readable(&world, deliveries, 0).await;
}
