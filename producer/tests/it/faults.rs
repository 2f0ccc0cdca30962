//! Each call of the producer against each way in which a call can go wrong.

use std::time::Duration;

use shardwise_client::transport::TransportFault;

use crate::support::{World, assert_all_readable, send_all};

const FAULTS: [TransportFault; 9] = [
    TransportFault::Throttle,
    TransportFault::InternalFailure,
    TransportFault::Refuse,
    TransportFault::LoseRequest,
    TransportFault::LoseResponse,
    TransportFault::HangBefore,
    TransportFault::HangAfter,
    TransportFault::Delay(Duration::from_secs(3)),
    TransportFault::TruncateBody,
];

/// Whatever happens to the first calls, every record is stored and readable within its time.
async fn survives(operation: &str) {
    for fault in FAULTS {
        for times in [1, 2] {
            let world = World::new(3);
            world.faults.on(operation, times, fault);
            let producer = world.producer();
            let deliveries = send_all(&producer, 0..100).await;
            let receipts = assert_all_readable(&world, deliveries, 0).await;
            // An answer that is late, or lost from a call that is not made again, is one fault.
            assert!(world.faults.left() < times, "{operation} met {fault:?}");
            let stats = producer.stats().snapshot();
            assert_eq!(stats.user_records_acknowledged, 100);
            assert_eq!(stats.outstanding_records, 0);
            if operation != "PutRecords" {
                assert!(
                    receipts
                        .iter()
                        .all(|it| it.attempts == 1 && !it.maybe_duplicate)
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn put_records_is_survived_with_every_fault() {
    survives("PutRecords").await;
}

#[tokio::test(start_paused = true)]
async fn list_shards_is_survived_with_every_fault() {
    survives("ListShards").await;
}

#[tokio::test(start_paused = true)]
async fn describe_stream_summary_is_survived_with_every_fault() {
    survives("DescribeStreamSummary").await;
}

#[tokio::test(start_paused = true)]
async fn the_first_map_does_not_wait_for_a_description_that_hangs() {
    let world = World::new(2);
    world
        .faults
        .on("DescribeStreamSummary", 1, TransportFault::HangBefore);
    let producer = world.producer();
    let begin = world.env.now();
    let deliveries = send_all(&producer, 0..10).await;
    assert_all_readable(&world, deliveries, 0).await;
    assert!(world.env.now() - begin < Duration::from_secs(6));
}
