//! The life of a stream, and how streams and shards are described.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{World, order, shard_id};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn statuses_change_after_the_state_delay_and_not_before() {
    let world = World::with(|builder| builder.state_delay(500 * MS));
    let client = &world.client;
    client.create("s", 2).await;
    assert_eq!(client.status("s").await, "CREATING");
    let summary = client
        .ok("DescribeStream", json!({"StreamName": "s"}))
        .await;
    assert_eq!(summary["StreamDescription"]["Shards"], json!([]));
    let (kind, message) = client
        .refused("ListShards", json!({"StreamName": "s"}))
        .await;
    assert_eq!(kind, "ResourceInUseException");
    assert_eq!(
        message,
        "Stream s under account 000000000000 not ACTIVE, instead in state CREATING"
    );
    let put = json!({"StreamName": "s", "PartitionKey": "a", "Data": ""});
    let (kind, message) = client.refused("PutRecord", put.clone()).await;
    assert_eq!(kind, "ResourceNotFoundException");
    assert_eq!(message, "Stream s under account 000000000000 not found.");

    world.advance(499 * MS).await;
    assert_eq!(client.status("s").await, "CREATING");
    world.advance(MS).await;
    assert_eq!(client.status("s").await, "ACTIVE");
    assert_eq!(client.shards("s").await.len(), 2);

    let split = json!({
        "StreamName": "s",
        "ShardToSplit": shard_id(0),
        "NewStartingHashKey": (1_u128 << 126).to_string(),
    });
    client.ok("SplitShard", split.clone()).await;
    assert_eq!(client.status("s").await, "UPDATING");
    client.ok("PutRecord", put).await;
    let (kind, message) = client.refused("SplitShard", split).await;
    assert_eq!(kind, "ResourceInUseException");
    assert_eq!(
        message,
        "Stream s under account 000000000000 not ACTIVE, instead in state UPDATING"
    );
    assert_eq!(client.shards("s").await.len(), 2);
    world.advance(500 * MS).await;
    assert_eq!(client.status("s").await, "ACTIVE");
    assert_eq!(client.shards("s").await.len(), 4);

    client.ok("DeleteStream", json!({"StreamName": "s"})).await;
    assert_eq!(client.status("s").await, "DELETING");
    let (kind, _) = client
        .refused("DeleteStream", json!({"StreamName": "s"}))
        .await;
    assert_eq!(kind, "ResourceInUseException");
    world.advance(500 * MS).await;
    let (kind, message) = client
        .refused("DescribeStreamSummary", json!({"StreamName": "s"}))
        .await;
    assert_eq!(kind, "ResourceNotFoundException");
    assert_eq!(message, "Stream s under account 000000000000 not found.");
    let listed = client.ok("ListStreams", json!({})).await;
    assert_eq!(listed["StreamNames"], json!([]));
    client.create("s", 1).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_delay_changes_are_seen_at_once() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    assert_eq!(client.status("s").await, "ACTIVE");
    client.ok("DeleteStream", json!({"StreamName": "s"})).await;
    client.create("s", 3).await;
    assert_eq!(client.shards("s").await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_described_in_full_and_without_nulls() {
    let world = World::with(|b| b.account("123456789012").region("eu-west-1"));
    let client = &world.client;
    client.create("s", 3).await;
    let answer = client
        .ok("DescribeStream", json!({"StreamName": "s"}))
        .await;
    let description = &answer["StreamDescription"];
    assert_eq!(
        description["StreamARN"],
        "arn:aws:kinesis:eu-west-1:123456789012:stream/s"
    );
    assert_eq!(description["HasMoreShards"], false);
    assert_eq!(description["RetentionPeriodHours"], 24);
    assert_eq!(description["EncryptionType"], "NONE");
    assert_eq!(
        description["StreamModeDetails"]["StreamMode"],
        "PROVISIONED"
    );
    assert_eq!(
        description["EnhancedMonitoring"],
        json!([{"ShardLevelMetrics": []}])
    );
    assert_eq!(
        description["StreamCreationTimestamp"],
        world.wall_ms() / 1000
    );
    let ends: Vec<&Value> = description["Shards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|shard| &shard["HashKeyRange"]["EndingHashKey"])
        .collect();
    assert_eq!(
        ends,
        [
            "113427455640312821154458202477256070484",
            "226854911280625642308916404954512140969",
            "340282366920938463463374607431768211455"
        ]
    );
    assert!(!answer.to_string().contains("null"));

    let answer = client
        .ok("DescribeStreamSummary", json!({"StreamName": "s"}))
        .await;
    let summary = &answer["StreamDescriptionSummary"];
    assert_eq!(summary["OpenShardCount"], 3);
    assert_eq!(summary["ConsumerCount"], 0);
    assert_eq!(summary["MaxRecordSizeInKiB"], 1024);
    assert_eq!(summary["StreamId"].as_str().unwrap().len(), 24);
    assert!(!answer.to_string().contains("null"));
}

#[tokio::test(start_paused = true)]
async fn every_operation_takes_the_name_the_arn_or_both() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
    let answer = client
        .ok(
            "DescribeStreamSummary",
            json!({"StreamARN": arn, "StreamName": "s"}),
        )
        .await;
    let id = answer["StreamDescriptionSummary"]["StreamId"].clone();
    for reference in [
        json!({"StreamARN": arn}),
        json!({"StreamName": "s", "StreamARN": arn, "StreamId": id}),
    ] {
        for (operation, members) in [
            ("PutRecord", json!({"PartitionKey": "a", "Data": ""})),
            (
                "PutRecords",
                json!({"Records": [{"PartitionKey": "a", "Data": ""}]}),
            ),
            ("ListShards", json!({})),
            ("DescribeStream", json!({})),
            (
                "GetShardIterator",
                json!({"ShardId": "0", "ShardIteratorType": "LATEST"}),
            ),
        ] {
            client.ok(operation, merged(members, &reference)).await;
        }
    }
    let iterator = client.iterator("s", 0, "LATEST").await;
    client
        .ok(
            "GetRecords",
            json!({"ShardIterator": iterator, "StreamARN": arn, "StreamId": id}),
        )
        .await;
    for (reference, kind) in [
        (
            json!({"StreamARN": arn, "StreamName": "t"}),
            "InvalidArgumentException",
        ),
        (json!({"StreamId": id}), "InvalidArgumentException"),
        (json!({}), "InvalidArgumentException"),
        (
            json!({"StreamName": "s", "StreamId": "aaaaaaaaaaaaaaaaaaaa-aaa"}),
            "ResourceNotFoundException",
        ),
        (
            json!({"StreamARN": "arn:aws:kinesis:us-east-1:111111111111:stream/s"}),
            "ResourceNotFoundException",
        ),
    ] {
        let (got, _) = client
            .refused("DescribeStreamSummary", reference.clone())
            .await;
        assert_eq!(got, kind, "{reference}");
    }
    client.ok("DeleteStream", json!({"StreamARN": arn})).await;
    client.create("s", 1).await;
    let (kind, _) = client
        .refused("ListShards", json!({"StreamName": "s", "StreamId": id}))
        .await;
    assert_eq!(
        kind, "ResourceNotFoundException",
        "a new stream has a new id"
    );
}

fn merged(mut members: Value, more: &Value) -> Value {
    let object = members.as_object_mut().unwrap();
    object.extend(more.as_object().unwrap().clone());
    members
}

#[tokio::test(start_paused = true)]
async fn on_demand_streams_begin_with_four_shards_or_what_they_are_warmed_for() {
    let World { client, .. } = World::new();
    let on_demand = json!({"StreamMode": "ON_DEMAND"});
    client
        .ok(
            "CreateStream",
            json!({"StreamName": "s", "StreamModeDetails": on_demand}),
        )
        .await;
    assert_eq!(client.shards("s").await.len(), 4);
    client
        .ok(
            "CreateStream",
            json!({"StreamName": "w", "StreamModeDetails": on_demand, "WarmThroughputMiBps": 9}),
        )
        .await;
    assert_eq!(client.shards("w").await.len(), 9);
    let answer = client
        .ok("DescribeStreamSummary", json!({"StreamName": "w"}))
        .await;
    let summary = &answer["StreamDescriptionSummary"];
    assert_eq!(summary["StreamModeDetails"], on_demand);
    assert_eq!(
        summary["WarmThroughput"],
        json!({"TargetMiBps": 9, "CurrentMiBps": 9})
    );
    let (kind, _) = client
        .refused(
            "SplitShard",
            json!({"StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": "100"}),
        )
        .await;
    assert_eq!(kind, "ValidationException");
    for wrong in [
        json!({"StreamName": "x", "StreamModeDetails": on_demand, "ShardCount": 1}),
        json!({"StreamName": "x", "StreamModeDetails": {"StreamMode": "PROVISIONED"}}),
        json!({"StreamName": "x", "ShardCount": 1, "WarmThroughputMiBps": 1}),
    ] {
        let (kind, _) = client.refused("CreateStream", wrong).await;
        assert_eq!(kind, "InvalidArgumentException");
    }
    // `aws kinesis create-stream --stream-name Foo`, as the tutorial has it.
    client
        .ok("CreateStream", json!({"StreamName": "Foo"}))
        .await;
    assert_eq!(client.shards("Foo").await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_account_has_a_shard_limit() {
    let world = World::with(|builder| builder.shard_limit(3));
    let client = &world.client;
    client.create("a", 2).await;
    let (kind, message) = client
        .refused("CreateStream", json!({"StreamName": "b", "ShardCount": 2}))
        .await;
    assert_eq!(kind, "LimitExceededException");
    assert!(message.starts_with(
        "This request would exceed the shard limit for the account 000000000000 in us-east-1. \
         Current shard count for the account: 2. Limit: 3. Number of additional shards that would \
         have resulted from this request: 2."
    ));
    let split = |shard| {
        let key = (1_u128 << 126).to_string();
        json!({"StreamName": "a", "ShardToSplit": shard, "NewStartingHashKey": key})
    };
    client.ok("SplitShard", split("0")).await;
    let key = ((1_u128 << 127) + (1 << 126)).to_string();
    let second = json!({"StreamName": "a", "ShardToSplit": "1", "NewStartingHashKey": key});
    let (kind, _) = client.refused("SplitShard", second.clone()).await;
    assert_eq!(kind, "LimitExceededException");
    client
        .ok(
            "MergeShards",
            json!({"StreamName": "a", "ShardToMerge": "2", "AdjacentShardToMerge": "3"}),
        )
        .await;
    client.ok("SplitShard", second).await;
    client.ok("DeleteStream", json!({"StreamName": "a"})).await;
    client.create("b", 3).await;
    let (kind, message) = client
        .refused("CreateStream", json!({"StreamName": "b", "ShardCount": 1}))
        .await;
    assert_eq!(kind, "ResourceInUseException");
    assert_eq!(
        message,
        "Stream b under account 000000000000 already exists."
    );
}

#[tokio::test(start_paused = true)]
async fn a_day_later_records_and_closed_shards_are_gone() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    client.put("s", "a", b"old").await;
    world.advance(Duration::from_secs(60)).await;
    client.put("s", "a", b"young").await;
    let hours = 3600;
    world.advance(Duration::from_secs(24 * hours - 30)).await;
    let oldest = client.iterator("s", 0, "TRIM_HORIZON").await;
    let records = client.drain(oldest, 10).await;
    assert_eq!(records.len(), 1);
    assert_eq!(crate::support::data(&records[0]), b"young");

    client
        .ok(
            "SplitShard",
            json!({"StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": "1000"}),
        )
        .await;
    assert_eq!(client.shards("s").await.len(), 3);
    world.advance(Duration::from_secs(24 * hours + 1)).await;
    let ids: Vec<Value> = client
        .shards("s")
        .await
        .iter()
        .map(|s| s["ShardId"].clone())
        .collect();
    assert_eq!(ids, [shard_id(1), shard_id(2)]);
    let gone = json!({"StreamName": "s", "ShardId": "0", "ShardIteratorType": "LATEST"});
    let (kind, message) = client.refused("GetShardIterator", gone).await;
    assert_eq!(kind, "ResourceNotFoundException");
    assert_eq!(
        message,
        "Shard shardId-000000000000 in stream s under account 000000000000 does not exist"
    );
}

#[tokio::test(start_paused = true)]
async fn sequence_numbers_grow_within_a_shard_and_from_parent_to_child() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    let mut last = client.shards("s").await[0]["SequenceNumberRange"]["StartingSequenceNumber"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(last.len(), 56);
    // More than sixteen shards: only the low digit of a shard's number stands above the index.
    for round in 0..12 {
        for _ in 0..3 {
            let (_, sequence) = client.put("s", "a", b"x").await;
            assert!(order(&sequence) > order(&last), "{sequence} {last}");
            last = sequence;
        }
        // At once, in the same second: the child must still lie above its parent.
        let shards = client.shards("s").await;
        let open = shards
            .iter()
            .rev()
            .find(|shard| shard["HashKeyRange"]["EndingHashKey"] == u128::MAX.to_string());
        let id = open.unwrap()["ShardId"].clone();
        let split = json!({
            "StreamName": "s",
            "ShardToSplit": id,
            "NewStartingHashKey": (10 * (round + 1)).to_string(),
        });
        client.ok("SplitShard", split).await;
        let shards = client.shards("s").await;
        let parent = shards.iter().find(|shard| shard["ShardId"] == id).unwrap();
        let end = parent["SequenceNumberRange"]["EndingSequenceNumber"]
            .as_str()
            .unwrap();
        assert!(order(end) > order(&last), "the end lies above every record");
        for child in shards.iter().filter(|shard| shard["ParentShardId"] == id) {
            let start = child["SequenceNumberRange"]["StartingSequenceNumber"]
                .as_str()
                .unwrap();
            assert!(order(start) > order(end), "{start} {end}");
        }
        last = end.to_owned();
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_and_clock_give_the_same_answers() {
    async fn run(seed: u64) -> Vec<String> {
        let world = World::with(|builder| builder.seed(seed));
        let client = &world.client;
        let mut trace = Vec::new();
        client.create("s", 2).await;
        for (operation, body) in [
            ("DescribeStreamSummary", json!({"StreamName": "s"})),
            (
                "PutRecord",
                json!({"StreamName": "s", "PartitionKey": "a", "Data": "YQ=="}),
            ),
            (
                "GetShardIterator",
                json!({"StreamName": "s", "ShardId": "0", "ShardIteratorType": "LATEST"}),
            ),
        ] {
            let request = crate::support::request(operation, body.to_string().into_bytes());
            let (_, headers, body) = client.send(request).await;
            trace.push(format!("{headers:?} {body:?}"));
            world.advance(Duration::from_secs(1)).await;
        }
        trace
    }
    assert_eq!(run(7).await, run(7).await);
    assert_ne!(run(7).await, run(8).await);
}
