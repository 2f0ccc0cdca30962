//! The limits of shards and of the control plane, by the mock's clock.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shardwise_mock::LimitsMode;
use tower_service::Service as _;

use crate::support::{Events, World, request, shard_id};

const MIB: usize = 1024 * 1024;
const SECOND: Duration = Duration::from_secs(1);
const EXCEEDED: &str = "ProvisionedThroughputExceededException";

fn strict() -> World {
    World::with(|builder| builder.limits(LimitsMode::Strict))
}

/// Records of one shard: a key of one byte and so much data.
fn records(count: usize, size: usize, hash_key: u128) -> Vec<Value> {
    let record = json!({
        "PartitionKey": "k",
        "ExplicitHashKey": hash_key.to_string(),
        "Data": STANDARD.encode(vec![0; size - 1]),
    });
    vec![record; count]
}

/// How many of the records are stored; the others must be throttled.
async fn stored(world: &World, records: Vec<Value>) -> usize {
    let count = records.len();
    let body = json!({"StreamName": "s", "Records": records});
    let answer = world.client.ok("PutRecords", body).await;
    let failed = usize::try_from(answer["FailedRecordCount"].as_u64().unwrap()).unwrap();
    let codes = answer["Records"].as_array().unwrap().iter();
    let throttled = codes
        .filter(|record| record["ErrorCode"] == EXCEEDED)
        .count();
    assert_eq!(throttled, failed);
    count - failed
}

#[tokio::test(start_paused = true)]
async fn a_shard_takes_a_thousand_records_a_second_and_the_entries_beyond_fail() {
    let world = strict();
    world.client.create("s", 2).await;
    assert_eq!(stored(&world, records(500, 1, 0)).await, 500);
    let mixed = [records(400, 1, 0), records(100, 1, u128::MAX)].concat();
    assert_eq!(stored(&world, mixed).await, 500);
    let mixed = [records(200, 1, 0), records(10, 1, u128::MAX)].concat();
    assert_eq!(stored(&world, mixed).await, 110);
    let mut body = records(1, 1, 0).remove(0);
    body["StreamName"] = "s".into();
    let refused = world.client.refused("PutRecord", body.clone()).await;
    let message =
        "Rate exceeded for shard shardId-000000000000 in stream s under account 000000000000.";
    assert_eq!(refused, (EXCEEDED.to_owned(), message.to_owned()));
    world.advance(SECOND / 1000).await;
    world.client.ok("PutRecord", body.clone()).await;
    world.client.refused("PutRecord", body).await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_takes_a_mebibyte_a_second_with_the_bytes_of_keys() {
    let world = strict();
    world.client.create("s", 1).await;
    assert_eq!(stored(&world, records(5, MIB / 4, 0)).await, 4);
    assert_eq!(stored(&world, records(1, 1, 0)).await, 0);
    world.advance(SECOND / 2).await;
    assert_eq!(stored(&world, records(3, MIB / 4, 0)).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_read_five_times_a_second() {
    let world = strict();
    let client = &world.client;
    client.create("s", 2).await;
    let read = json!({"ShardIterator": client.iterator("s", 0, "LATEST").await});
    let other = json!({"ShardIterator": client.iterator("s", 1, "LATEST").await});
    for _ in 0..5 {
        client.ok("GetRecords", read.clone()).await;
    }
    let (kind, _) = client.refused("GetRecords", read.clone()).await;
    assert_eq!(kind, EXCEEDED);
    client.ok("GetRecords", other).await;
    world.advance(SECOND / 5).await;
    client.ok("GetRecords", read).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_ten_mebibytes_blocks_its_shard_for_five_seconds() {
    let world = strict();
    let client = &world.client;
    client.create("s", 1).await;
    for _ in 0..12 {
        assert_eq!(stored(&world, records(1, MIB, 0)).await, 1);
        world.advance(SECOND).await;
    }
    let iterator = client.iterator("s", 0, "TRIM_HORIZON").await;
    let answer = client
        .ok("GetRecords", json!({"ShardIterator": iterator}))
        .await;
    assert_eq!(answer["Records"].as_array().unwrap().len(), 10);
    let next = json!({"ShardIterator": answer["NextShardIterator"]});
    world.advance(SECOND * 5 - Duration::from_millis(1)).await;
    let (kind, _) = client.refused("GetRecords", next.clone()).await;
    assert_eq!(kind, EXCEEDED);
    world.advance(Duration::from_millis(1)).await;
    client.ok("GetRecords", next).await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_gives_five_iterators_a_second() {
    let world = strict();
    let client = &world.client;
    client.create("s", 1).await;
    for _ in 0..5 {
        client.iterator("s", 0, "LATEST").await;
    }
    let body = json!({"StreamName": "s", "ShardId": "0", "ShardIteratorType": "LATEST"});
    let (kind, _) = client.refused("GetShardIterator", body).await;
    assert_eq!(kind, EXCEEDED);
    world.advance(SECOND / 5).await;
    client.iterator("s", 0, "LATEST").await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_gives_two_mebibytes_a_second() {
    let world = strict();
    let client = &world.client;
    client.create("s", 1).await;
    for _ in 0..8 {
        assert_eq!(stored(&world, records(1, MIB, 0)).await, 1);
        world.advance(SECOND).await;
    }
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
    let body = json!({"StreamARN": arn, "ConsumerName": "c"});
    let consumer = client.ok("RegisterStreamConsumer", body).await;
    let body = json!({
        "ConsumerARN": consumer["Consumer"]["ConsumerARN"],
        "ShardId": shard_id(0),
        "StartingPosition": {"Type": "TRIM_HORIZON"},
    });
    let sent = request("SubscribeToShard", body.to_string().into_bytes());
    let response = world.mock.service().call(sent).await.unwrap();
    let mut events = Events::begin(response).await;
    let begin = world.env().now();
    let mut count = 0;
    while count < 8 {
        count += events.event().await["Records"].as_array().unwrap().len();
    }
    // The answer that exceeds the first second's worth is there at once and paid for afterwards.
    stored(&world, records(1, 1, 0)).await;
    events.event().await;
    let took = world.env().now() - begin;
    assert!((SECOND * 3..=SECOND * 4).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn without_limits_a_shard_takes_and_gives_whatever_comes() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    for _ in 0..3 {
        assert_eq!(stored(&world, records(500, 1, 0)).await, 500);
    }
    assert_eq!(stored(&world, records(4, MIB, 0)).await, 4);
    for _ in 0..10 {
        let read = json!({"ShardIterator": client.iterator("s", 0, "TRIM_HORIZON").await});
        client.ok("GetRecords", read).await;
    }
    for _ in 0..30 {
        client.ok("DescribeLimits", json!({})).await;
    }
}

fn managed() -> World {
    World::with(|builder| builder.control_plane_limits(true))
}

const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/s";

#[tokio::test(start_paused = true)]
async fn calls_of_the_control_plane_have_rates_of_the_account() {
    let world = managed();
    let client = &world.client;
    client.create("s", 1).await;
    let by_name = json!({"StreamName": "s"});
    let of_stream = "Rate exceeded for stream s under account 000000000000.";
    let of_account = "Rate exceeded for account 000000000000.";
    for (operation, body, rate, message) in [
        ("DescribeLimits", json!({}), 1, of_account),
        ("ListStreams", json!({}), 5, of_account),
        ("ListTagsForStream", by_name.clone(), 5, of_stream),
        ("DescribeStream", by_name.clone(), 10, of_stream),
        (
            "DescribeStreamSummary",
            json!({"StreamARN": ARN}),
            20,
            of_stream,
        ),
        (
            "ListStreamConsumers",
            json!({"StreamARN": ARN}),
            5,
            of_stream,
        ),
        ("ListShards", by_name.clone(), 1000, of_stream),
    ] {
        for _ in 0..rate {
            client.ok(operation, body.clone()).await;
        }
        let refused = client.refused(operation, body.clone()).await;
        assert_eq!(
            refused,
            ("LimitExceededException".to_owned(), message.to_owned())
        );
        world.advance(SECOND / rate).await;
        client.ok(operation, body).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_quota_of_a_day_counts_what_was_done() {
    let world = managed();
    let client = &world.client;
    client.create("s", 1).await;
    let mode = |mode: &str| json!({"StreamARN": ARN, "StreamModeDetails": {"StreamMode": mode}});
    client.ok("UpdateStreamMode", mode("ON_DEMAND")).await;
    client.refused("UpdateStreamMode", mode("NONE")).await;
    client.ok("UpdateStreamMode", mode("PROVISIONED")).await;
    let (kind, message) = client.refused("UpdateStreamMode", mode("ON_DEMAND")).await;
    assert_eq!(kind, "LimitExceededException");
    assert!(message.contains("2 times in 24 hours"), "{message}");
    let scale = |count| json!({"StreamName": "s", "TargetShardCount": count, "ScalingType": "UNIFORM_SCALING"});
    for time in 0..10 {
        client.ok("UpdateShardCount", scale(2 - time % 2)).await;
        world.advance(SECOND).await;
    }
    let (kind, _) = client.refused("UpdateShardCount", scale(2)).await;
    assert_eq!(kind, "LimitExceededException");
    let encryption = json!({"StreamName": "s", "EncryptionType": "KMS", "KeyId": "alias/a"});
    for _ in 0..25 {
        client.ok("StartStreamEncryption", encryption.clone()).await;
    }
    let (kind, _) = client
        .refused("StartStreamEncryption", encryption.clone())
        .await;
    assert_eq!(kind, "LimitExceededException");
    world.advance(SECOND * 24 * 60 * 60).await;
    client.ok("UpdateStreamMode", mode("ON_DEMAND")).await;
    client.ok("StartStreamEncryption", encryption).await;
}

#[tokio::test(start_paused = true)]
async fn five_streams_are_created_at_once_and_fifty_are_on_demand() {
    let delay = SECOND * 60;
    let world = World::with(|builder| builder.control_plane_limits(true).state_delay(delay));
    let client = &world.client;
    let on_demand = |number: usize| json!({"StreamName": format!("s{number}"), "StreamModeDetails": {"StreamMode": "ON_DEMAND"}});
    for number in 0..50 {
        if number > 0 && number % 5 == 0 {
            let (kind, message) = client.refused("CreateStream", on_demand(number)).await;
            assert_eq!(kind, "LimitExceededException");
            let recorded = "Rate exceeded for stream s";
            assert!(message.starts_with(recorded), "{message}");
            world.advance(SECOND).await;
            let (_, message) = client.refused("CreateStream", on_demand(number)).await;
            assert_eq!(
                message,
                "This request would have exceed the limit on the number of streams that can \
                 simultaneously be in CREATING or DELETING. Limit: 5"
            );
            world.advance(delay).await;
        }
        client.ok("CreateStream", on_demand(number)).await;
    }
    world.advance(delay).await;
    let (kind, message) = client.refused("CreateStream", on_demand(50)).await;
    assert_eq!(kind, "LimitExceededException");
    assert!(message.contains("50 on-demand streams"), "{message}");
    client.create("provisioned", 1).await;
}
