//! On-demand streams grow under load, and their readers follow.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shardwise_mock::LimitsMode;

use crate::reshard::open_ranges;
use crate::scaling::read_all;
use crate::support::{Client, World, data, shard_id};

const MIB: usize = 1024 * 1024;
const SECOND: Duration = Duration::from_secs(1);
const QUARTER: Duration = Duration::from_secs(15 * 60);
const MILLISECOND: Duration = Duration::from_millis(1);

async fn create_on_demand(client: &Client) {
    let body = json!({"StreamName": "s", "StreamModeDetails": {"StreamMode": "ON_DEMAND"}});
    client.ok("CreateStream", body).await;
}

/// Writes so many bytes, keys included, evenly over eighths of the hash keys; how many records are
/// refused.
async fn write(client: &Client, bytes: usize) -> u64 {
    let mut failed = 0;
    let mut written = 0;
    while written < bytes {
        let mut records = Vec::new();
        for eighth in 0..8_u128 {
            if written == bytes {
                break;
            }
            let size = (bytes - written).min(MIB / 8);
            records.push(json!({
                "PartitionKey": "k",
                "ExplicitHashKey": (eighth << 125).to_string(),
                "Data": STANDARD.encode(vec![0; size - 1]),
            }));
            written += size;
        }
        let body = json!({"StreamName": "s", "Records": records});
        let answer = client.ok("PutRecords", body).await;
        failed += answer["FailedRecordCount"].as_u64().unwrap();
    }
    failed
}

async fn open_shards(client: &Client) -> usize {
    open_ranges(&client.shards("s").await).len()
}

/// The shards that count against the account's limit.
async fn counted_shards(client: &Client) -> Value {
    client.ok("DescribeLimits", json!({})).await["OpenShardCount"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_peak_doubles_the_shards_a_quarter_of_an_hour_later() {
    let world = World::new();
    let client = &world.client;
    create_on_demand(client).await;
    write(client, 5 * MIB).await;
    world.advance(QUARTER - MILLISECOND).await;
    assert_eq!(open_shards(client).await, 4);
    let due_ms = world.wall_ms() + 1;
    world.advance(QUARTER).await;
    assert_eq!(client.status("s").await, "ACTIVE");
    let shards = client.shards("s").await;
    client.create("even", 8).await;
    let ranges = |shards: &[Value]| -> Vec<(u128, u128)> {
        let open = open_ranges(shards).into_iter();
        open.map(|(start, end, _)| (start, end)).collect()
    };
    assert_eq!(ranges(&shards), ranges(&client.shards("even").await));
    let parents: Vec<&Value> = shards.iter().map(|shard| &shard["ParentShardId"]).collect();
    let expected = [0, 0, 1, 1, 2, 2, 3, 3].map(|number| json!(shard_id(number)));
    assert_eq!(parents[..4], [&Value::Null; 4]);
    assert!(parents[4..].iter().copied().eq(&expected), "{parents:?}");
    // Nobody looked when it fell due, and yet it was then.
    for (ms, count) in [(due_ms - 1, 4), (due_ms, 12), (due_ms + 1, 8)] {
        let seconds = ms as f64 / 1000.0;
        let filter = json!({"Type": "AT_TIMESTAMP", "Timestamp": seconds});
        let body = json!({"StreamName": "s", "ShardFilter": filter});
        let answer = client.ok("ListShards", body).await;
        assert_eq!(answer["Shards"].as_array().unwrap().len(), count, "{ms}");
    }
}

#[tokio::test(start_paused = true)]
async fn half_of_what_the_shards_take_is_no_peak_and_more_than_that_is() {
    for (bytes, open) in [(2 * MIB, 4), (2 * MIB + 1, 5), (4 * MIB, 8)] {
        let world = World::new();
        create_on_demand(&world.client).await;
        write(&world.client, bytes).await;
        world.advance(QUARTER).await;
        assert_eq!(open_shards(&world.client).await, open, "{bytes}");
    }
    for (count, open) in [(2000, 4), (2001, 5)] {
        let world = World::new();
        create_on_demand(&world.client).await;
        for number in 0..count {
            world.client.put("s", &number.to_string(), b"").await;
        }
        world.advance(QUARTER).await;
        assert_eq!(open_shards(&world.client).await, open, "{count}");
    }
    let world = World::new();
    create_on_demand(&world.client).await;
    for _ in 0..10 {
        write(&world.client, 2 * MIB).await;
        world.advance(SECOND).await;
    }
    world.advance(QUARTER).await;
    assert_eq!(open_shards(&world.client).await, 4, "each second by itself");
}

#[tokio::test(start_paused = true)]
async fn under_a_lasting_load_there_is_one_doubling_in_a_quarter_of_an_hour() {
    let world = World::new();
    let client = &world.client;
    create_on_demand(client).await;
    let mut seen = Vec::new();
    for minute in 0..50 {
        if minute % 5 == 0 {
            seen.push(open_shards(client).await);
        }
        write(client, 9 * MIB).await;
        world.advance(SECOND * 60).await;
    }
    assert_eq!(seen, [4, 4, 4, 8, 8, 8, 16, 16, 16, 18]);
    world.advance(QUARTER * 100).await;
    assert_eq!(open_shards(client).await, 18, "twice the peak and no more");
    assert_eq!(counted_shards(client).await, 18);
}

#[tokio::test(start_paused = true)]
async fn provisioned_streams_and_those_that_are_told_not_to_never_grow() {
    let world = World::new();
    world.client.create("s", 1).await;
    write(&world.client, 5 * MIB).await;
    world.advance(QUARTER).await;
    assert_eq!(open_shards(&world.client).await, 1);
    let world = World::with(|builder| builder.scale_every(Duration::ZERO));
    create_on_demand(&world.client).await;
    write(&world.client, 5 * MIB).await;
    world.advance(QUARTER).await;
    assert_eq!(open_shards(&world.client).await, 4);
}

#[tokio::test(start_paused = true)]
async fn growth_ends_at_the_accounts_shard_limit() {
    let world = World::with(|builder| builder.shard_limit(7).scale_every(SECOND));
    let client = &world.client;
    create_on_demand(client).await;
    client.create("other", 1).await;
    write(client, 5 * MIB).await;
    let one = json!({"StreamName": "third", "ShardCount": 1});
    let (kind, _) = client.refused("CreateStream", one).await;
    assert_eq!(kind, "LimitExceededException", "planned shards count");
    world.advance(SECOND).await;
    assert_eq!(open_shards(client).await, 6);
    write(client, 5 * MIB).await;
    world.advance(SECOND).await;
    assert_eq!(open_shards(client).await, 6);
    // What has gone makes room, and a plan goes with its stream.
    client
        .ok("DeleteStream", json!({"StreamName": "other"}))
        .await;
    write(client, 5 * MIB).await;
    assert_eq!(counted_shards(client).await, 7);
    client.ok("DeleteStream", json!({"StreamName": "s"})).await;
    assert_eq!(counted_shards(client).await, 0);
    client.create("s", 7).await;
    world.advance(SECOND).await;
    assert_eq!(open_shards(client).await, 7);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_becomes_provisioned_gives_up_its_growth() {
    let world = World::with(|builder| builder.scale_every(SECOND));
    let client = &world.client;
    create_on_demand(client).await;
    write(client, 5 * MIB).await;
    assert_eq!(counted_shards(client).await, 8);
    let body = json!({
        "StreamARN": crate::support::stream_arn("s"),
        "StreamModeDetails": {"StreamMode": "PROVISIONED"},
    });
    client.ok("UpdateStreamMode", body).await;
    assert_eq!(counted_shards(client).await, 4);
    world.advance(SECOND).await;
    assert_eq!(open_shards(client).await, 4);
}

#[tokio::test(start_paused = true)]
async fn warm_throughput_during_planned_growth_adds_what_is_left() {
    for (warm, open) in [(6, 8), (12, 12)] {
        let world = World::with(|builder| builder.scale_every(SECOND));
        let client = &world.client;
        create_on_demand(client).await;
        write(client, 5 * MIB).await;
        let body = json!({"StreamName": "s", "WarmThroughputMiBps": warm});
        client.ok("UpdateStreamWarmThroughput", body).await;
        world.advance(SECOND).await;
        assert_eq!(open_shards(client).await, open);
        assert_eq!(counted_shards(client).await, open);
    }
}

#[tokio::test(start_paused = true)]
async fn who_follows_the_children_of_a_growing_stream_reads_every_record_once() {
    let world = World::with(|builder| builder.scale_every(SECOND));
    let client = &world.client;
    create_on_demand(client).await;
    let mut written: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for round in 0..6 {
        for number in 0..40 {
            let text = format!("{round}/{number}");
            client.put("s", &number.to_string(), text.as_bytes()).await;
            written.insert(text.into_bytes(), 1);
        }
        // What makes it grow.
        let body = json!({
            "StreamName": "s", "PartitionKey": "k", "Data": STANDARD.encode(vec![0; MIB - 1000]),
        });
        for _ in 0..4 {
            client.ok("PutRecord", body.clone()).await;
        }
        world.advance(SECOND).await;
    }
    assert_eq!(open_shards(client).await, 8);
    let mut read: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let mut last_of_key: BTreeMap<String, String> = BTreeMap::new();
    for record in read_all(client, 4).await {
        let text = data(&record);
        if text.first() == Some(&0) {
            continue;
        }
        let key = record["PartitionKey"].as_str().unwrap().to_owned();
        let round = String::from_utf8(text.clone()).unwrap();
        let before = last_of_key.insert(key, round.clone());
        assert!(before.is_none_or(|before| before < round), "{round}");
        *read.entry(text).or_default() += 1;
    }
    assert_eq!(read, written);
}

#[tokio::test(start_paused = true)]
async fn growth_ends_the_subscriptions_of_the_parents_when_it_falls_due() {
    let world = World::with(|builder| builder.scale_every(2 * SECOND));
    let client = &world.client;
    create_on_demand(client).await;
    let consumer = client.register("s", "c").await;
    let mut events = client
        .subscribe(json!({
            "ConsumerARN": consumer,
            "ShardId": shard_id(3),
            "StartingPosition": {"Type": "LATEST"},
        }))
        .await;
    let begin = world.env().now();
    let lowest = json!({
        "StreamName": "s", "PartitionKey": "k", "ExplicitHashKey": "0",
        "Data": STANDARD.encode(vec![0; MIB - 1]),
    });
    let write = async {
        // By then the subscriber waits, for a shard that is not written to.
        tokio::task::yield_now().await;
        for _ in 0..4 {
            client.ok("PutRecord", lowest.clone()).await;
        }
    };
    let (event, ()) = tokio::join!(events.event(), write);
    assert_eq!(event["ChildShards"].as_array().unwrap().len(), 2);
    assert_eq!(world.env().now() - begin, 2 * SECOND);
    assert_eq!(events.message().await, None);
}

#[tokio::test(start_paused = true)]
async fn the_shards_that_come_take_what_the_others_could_not() {
    let world = World::with(|builder| builder.limits(LimitsMode::Strict));
    let client = &world.client;
    create_on_demand(client).await;
    assert!(write(client, 8 * MIB).await > 0);
    world.advance(QUARTER).await;
    assert_eq!(open_shards(client).await, 8);
    assert_eq!(write(client, 8 * MIB).await, 0);
    assert!(write(client, MIB).await > 0);
}
