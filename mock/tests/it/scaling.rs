//! UpdateShardCount: equal ranges, and a history that every reader can follow.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::reshard::open_ranges;
use crate::support::{Client, World, data, order, shard_id, virtual_time};

fn scale(target: u32) -> Value {
    json!({"StreamName": "s", "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"})
}

/// The ends of the open shards' ranges, without the last.
async fn ends(client: &Client) -> Vec<String> {
    let mut ends: Vec<String> = open_ranges(&client.shards("s").await)
        .iter()
        .map(|(_, end, _)| end.to_string())
        .collect();
    ends.pop();
    ends
}

#[tokio::test(start_paused = true)]
async fn the_stream_is_updating_until_the_new_shards_are_there() {
    let world = World::with(|builder| builder.state_delay(Duration::from_millis(500)));
    let client = &world.client;
    client.create("s", 2).await;
    world.advance(Duration::from_millis(500)).await;
    let answer = client.ok("UpdateShardCount", scale(4)).await;
    assert_eq!(
        answer,
        json!({
            "StreamName": "s",
            "CurrentShardCount": 2,
            "TargetShardCount": 4,
            "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/s",
        })
    );
    assert_eq!(client.status("s").await, "UPDATING");
    assert_eq!(client.shards("s").await.len(), 2);
    let (kind, message) = client.refused("UpdateShardCount", scale(4)).await;
    assert_eq!(kind, "ResourceInUseException");
    assert_eq!(
        message,
        "Stream s under account 000000000000 not ACTIVE, instead in state UPDATING"
    );
    client.put("s", "a", b"meanwhile").await;
    world.advance(Duration::from_millis(500)).await;
    assert_eq!(client.status("s").await, "ACTIVE");
    let shards = client.shards("s").await;
    assert_eq!(shards.len(), 6, "two splits and nothing else");
    assert_eq!(open_ranges(&shards).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn three_of_two_are_equal_and_their_parents_told() {
    let World { client, .. } = World::new();
    client.create("s", 2).await;
    client.ok("UpdateShardCount", scale(3)).await;
    assert_eq!(
        ends(&client).await,
        [
            "113427455640312821154458202477256070484",
            "226854911280625642308916404954512140969"
        ]
    );
    let lineage: Vec<_> = client
        .shards("s")
        .await
        .iter()
        .map(|shard| {
            let is_open = shard["SequenceNumberRange"]
                .get("EndingSequenceNumber")
                .is_none();
            let parent = shard["ParentShardId"].as_str().map(str::to_owned);
            let adjacent = shard["AdjacentParentShardId"].as_str().map(str::to_owned);
            (parent, adjacent, is_open)
        })
        .collect();
    let id = |number| Some(shard_id(number));
    assert_eq!(
        lineage,
        [
            (None, None, false),
            (None, None, false),
            (id(0), None, true),
            (id(0), None, false),
            (id(1), None, false),
            (id(1), None, true),
            (id(3), id(4), true),
        ]
    );
    client.ok("UpdateShardCount", scale(2)).await;
    assert_eq!(
        ends(&client).await,
        ["170141183460469231731687303715884105727"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_too_little_or_on_demand_is_refused() {
    let world = World::with(|builder| builder.shard_limit(9));
    let client = &world.client;
    client.create("s", 3).await;
    for (target, beyond) in [
        (
            10_001,
            "Target shard count or number of open shards cannot be greater than 10000.",
        ),
        (
            7,
            "UpdateShardCount cannot scale up over double your current open shard count.",
        ),
        (
            1,
            "UpdateShardCount cannot scale down below half your current open shard count.",
        ),
    ] {
        let (kind, message) = client.refused("UpdateShardCount", scale(target)).await;
        assert_eq!(kind, "LimitExceededException");
        assert_eq!(
            message,
            format!("{beyond} Current open shard count: 3, Target shard count: {target}")
        );
    }
    client.create("other", 4).await;
    let (kind, message) = client.refused("UpdateShardCount", scale(6)).await;
    assert_eq!(kind, "LimitExceededException");
    assert!(
        message.contains("Current shard count for the account: 7. Limit: 9. Number of additional"),
        "{message}"
    );
    // Five pieces on the way from three to two, and six from three to four.
    let (kind, _) = client.refused("UpdateShardCount", scale(4)).await;
    assert_eq!(kind, "LimitExceededException", "short-lived shards count");
    client.ok("UpdateShardCount", scale(2)).await;
    client.create("third", 3).await;

    let on_demand = json!({"StreamName": "d", "StreamModeDetails": {"StreamMode": "ON_DEMAND"}});
    client
        .ok("DeleteStream", json!({"StreamName": "other"}))
        .await;
    client.ok("CreateStream", on_demand).await;
    let mut of_on_demand = scale(8);
    of_on_demand["StreamName"] = json!("d");
    let (kind, _) = client.refused("UpdateShardCount", of_on_demand).await;
    assert_eq!(kind, "ValidationException");
    let mut unknown = scale(8);
    unknown["StreamName"] = json!("t");
    let (kind, message) = client.refused("UpdateShardCount", unknown).await;
    assert_eq!(kind, "ResourceNotFoundException");
    assert_eq!(message, "Stream t under account 000000000000 not found.");
}

#[tokio::test(start_paused = true)]
async fn who_follows_the_children_reads_every_record_once() {
    let World { client, .. } = World::new();
    client.create("s", 3).await;
    let mut written = BTreeSet::new();
    for target in [5, 4, 7, 4, 2, 3] {
        for _ in 0..20 {
            let text = format!("{}", written.len());
            client.put("s", &text, text.as_bytes()).await;
            written.insert(text.into_bytes());
        }
        client.ok("UpdateShardCount", scale(target)).await;
    }
    let read = read_all(&client, 3).await;
    assert_eq!(read.len(), written.len());
    assert_eq!(BTreeSet::from_iter(read.iter().map(data)), written);
}

/// The records of the stream `s`, as one gets them who begins with its first shards and goes from
/// parents to children.
pub(crate) async fn read_all(client: &Client, first_shards: u32) -> Vec<Value> {
    let mut waiting: BTreeSet<String> = (0..first_shards).map(shard_id).collect();
    let mut done = BTreeSet::new();
    let mut read = Vec::new();
    while let Some(shard) = waiting.pop_first() {
        let start = json!({
            "StreamName": "s", "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON",
        });
        let mut iterator = client.ok("GetShardIterator", start).await["ShardIterator"].take();
        assert!(done.insert(shard), "no shard is anybody's child twice");
        let children = loop {
            let body = json!({"ShardIterator": iterator});
            let mut page = client.ok("GetRecords", body).await;
            read.extend(page["Records"].as_array().unwrap().iter().cloned());
            let is_open = page.get("NextShardIterator").is_some();
            assert_eq!(is_open, page.get("ChildShards").is_none());
            if !is_open || page["MillisBehindLatest"] == 0 {
                break page["ChildShards"].take();
            }
            iterator = page["NextShardIterator"].take();
        };
        for child in children.as_array().unwrap_or(&Vec::new()) {
            let parents = child["ParentShards"].as_array().unwrap();
            let mut parents = parents.iter().map(|parent| parent.as_str().unwrap());
            if parents.all(|parent| done.contains(parent)) {
                waiting.insert(child["ShardId"].as_str().unwrap().to_owned());
            }
        }
    }
    assert_eq!(done.len(), client.shards("s").await.len());
    read
}

/// Every closed shard has one child or two, which begin above its end, and no open one has any.
fn check_descent(shards: &[Value]) {
    let mut children: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for shard in shards {
        for parent in ["ParentShardId", "AdjacentParentShardId"] {
            if let Some(parent) = shard[parent].as_str() {
                children.entry(parent).or_default().push(shard);
            }
        }
    }
    for shard in shards {
        let range = &shard["SequenceNumberRange"];
        let children = children.get(shard["ShardId"].as_str().unwrap());
        match range["EndingSequenceNumber"].as_str() {
            None => assert!(children.is_none(), "an open shard has no children"),
            Some(end) => {
                let children = children.expect("a closed shard has children");
                assert!(matches!(children.len(), 1 | 2), "{children:?}");
                for child in children {
                    let start = &child["SequenceNumberRange"]["StartingSequenceNumber"];
                    assert!(order(start.as_str().unwrap()) > order(end), "{child}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_shards_become_equal_ones_with_a_descent_without_gaps(
        shards in 1..8_u32,
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 1..u32::MAX), 0..4),
        targets in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        virtual_time(async {
            let World { client, .. } = World::new();
            client.create("s", shards).await;
            for (index, fraction) in cuts {
                let open = open_ranges(&client.shards("s").await);
                let (start, end, id) = &open[index.index(open.len())];
                let at = start + (end - start) / u128::from(u32::MAX) * u128::from(fraction);
                let body = json!({
                    "StreamName": "s", "ShardToSplit": id, "NewStartingHashKey": at.to_string(),
                });
                client.ok("SplitShard", body).await;
            }
            for target in targets {
                let open = open_ranges(&client.shards("s").await).len();
                let (least, most) = (open.div_ceil(2), open * 2);
                let target = least + target.index(most - least + 1);
                client.ok("UpdateShardCount", scale(u32::try_from(target).unwrap())).await;
                let listed = client.shards("s").await;
                check_descent(&listed);
                client.create("even", u32::try_from(target).unwrap()).await;
                let ranges = |shards: &[Value]| -> Vec<(u128, u128)> {
                    open_ranges(shards).iter().map(|(start, end, _)| (*start, *end)).collect()
                };
                prop_assert_eq!(ranges(&listed), ranges(&client.shards("even").await));
                client.ok("DeleteStream", json!({"StreamName": "even"})).await;
            }
            Ok(())
        })?;
    }
}
