//! Splits and merges: the ranges always tile, the records follow, the children are listed.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{World, data, shard_id, virtual_time};

#[tokio::test(start_paused = true)]
async fn after_a_split_the_children_take_the_records_and_the_parent_ends() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    let latest = client.iterator("s", 0, "LATEST").await;
    client.put("s", "a", b"before").await;
    let middle = (1_u128 << 127).to_string();
    client
        .ok(
            "SplitShard",
            json!({"StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": middle}),
        )
        .await;
    for (key, shard) in [("0", 1), (middle.as_str(), 2)] {
        let body = json!({
            "StreamName": "s", "PartitionKey": "a", "ExplicitHashKey": key, "Data": "",
        });
        let answer = client.ok("PutRecord", body).await;
        assert_eq!(answer["ShardId"], shard_id(shard));
    }

    let answer = client
        .ok("GetRecords", json!({"ShardIterator": latest}))
        .await;
    assert_eq!(data(&answer["Records"][0]), b"before");
    assert_eq!(answer.get("NextShardIterator"), None);
    assert_eq!(answer["MillisBehindLatest"], 0);
    let lower = ((1_u128 << 127) - 1).to_string();
    assert_eq!(
        answer["ChildShards"],
        json!([
            {
                "ShardId": shard_id(1),
                "ParentShards": [shard_id(0)],
                "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": lower},
            },
            {
                "ShardId": shard_id(2),
                "ParentShards": [shard_id(0)],
                "HashKeyRange": {"StartingHashKey": middle, "EndingHashKey": u128::MAX.to_string()},
            },
        ])
    );

    client
        .ok(
            "MergeShards",
            json!({"StreamName": "s", "ShardToMerge": "1", "AdjacentShardToMerge": "2"}),
        )
        .await;
    let shards = client.shards("s").await;
    assert_eq!(shards[3]["ParentShardId"], shard_id(1));
    assert_eq!(shards[3]["AdjacentParentShardId"], shard_id(2));
    for parent in [1, 2] {
        let iterator = client.iterator("s", parent, "LATEST").await;
        let answer = client
            .ok("GetRecords", json!({"ShardIterator": iterator}))
            .await;
        assert_eq!(answer["Records"], json!([]));
        assert_eq!(answer.get("NextShardIterator"), None);
        assert_eq!(
            answer["ChildShards"][0]["ParentShards"],
            json!([shard_id(1), shard_id(2)])
        );
    }
    assert_eq!(client.put("s", "a", b"after").await.0, shard_id(3));
}

#[tokio::test(start_paused = true)]
async fn a_page_that_stops_before_the_end_of_a_closed_shard_goes_on() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    for _ in 0..3 {
        client.put("s", "a", b"x").await;
    }
    client
        .ok(
            "SplitShard",
            json!({"StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": "9"}),
        )
        .await;
    let iterator = client.iterator("s", 0, "TRIM_HORIZON").await;
    let answer = client
        .ok("GetRecords", json!({"ShardIterator": iterator, "Limit": 2}))
        .await;
    assert_eq!(answer.get("ChildShards"), None);
    assert!(answer["MillisBehindLatest"].as_u64().unwrap() > 0);
    let next = &answer["NextShardIterator"];
    let answer = client
        .ok("GetRecords", json!({"ShardIterator": next}))
        .await;
    assert_eq!(answer["Records"].as_array().unwrap().len(), 1);
    assert_eq!(answer["ChildShards"].as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_split_or_merged_is_refused_with_the_services_texts() {
    let World { client, .. } = World::new();
    client.create("s", 3).await;
    let ends = "340282366920938463463374607431768211455";
    let split = |shard: &str, key: &str| json!({"StreamName": "s", "ShardToSplit": shard, "NewStartingHashKey": key});
    for key in [
        "226854911280625642308916404954512140970",
        "226854911280625642308916404954512140971",
        ends,
        "0",
        &"9".repeat(39),
    ] {
        let (kind, message) = client.refused("SplitShard", split("2", key)).await;
        assert_eq!(kind, "InvalidArgumentException");
        assert_eq!(
            message,
            format!(
                "NewStartingHashKey {key} used in SplitShard() on shard shardId-000000000002 in \
                 stream s under account 000000000000 is not both greater than one plus the shard's \
                 StartingHashKey 226854911280625642308916404954512140970 and less than the shard's \
                 EndingHashKey {ends}."
            )
        );
    }
    let merge = |first: &str, second: &str| json!({"StreamName": "s", "ShardToMerge": first, "AdjacentShardToMerge": second});
    for (first, second) in [("0", "2"), ("1", "0"), ("1", "1")] {
        let (kind, message) = client.refused("MergeShards", merge(first, second)).await;
        assert_eq!(kind, "InvalidArgumentException");
        assert!(
            message.ends_with(
                "in stream s under account 000000000000 are not an adjacent pair of shards \
                 eligible for merging"
            ),
            "{message}"
        );
    }
    for (operation, body) in [
        ("SplitShard", split("shardId-000000000009", "5")),
        ("MergeShards", merge("9", "0")),
        ("MergeShards", merge("0", "9")),
    ] {
        let (kind, message) = client.refused(operation, body).await;
        assert_eq!(kind, "ResourceNotFoundException");
        assert_eq!(
            message,
            "Could not find shard shardId-000000000009 in stream s under account 000000000000."
        );
    }
    for bad in ["2147483648", "nobody", "-"] {
        let (kind, message) = client.refused("SplitShard", split(bad, "5")).await;
        assert_eq!(kind, "ResourceNotFoundException");
        assert_eq!(
            message,
            format!("Could not find shard {bad} in stream s under account 000000000000.")
        );
    }

    client.ok("SplitShard", split("0", "1000")).await;
    client.ok("MergeShards", merge("1", "2")).await;
    for (operation, body) in [
        ("SplitShard", split("0", "1000")),
        (
            "SplitShard",
            split("1", "113427455640312821154458202477256070500"),
        ),
        ("MergeShards", merge("0", "1")),
        ("MergeShards", merge("1", "2")),
    ] {
        let (kind, message) = client.refused(operation, body).await;
        assert_eq!(kind, "InvalidArgumentException");
        assert!(
            message.contains("has already been merged or split, and thus is not eligible"),
            "{message}"
        );
    }
    for (operation, body) in [
        (
            "SplitShard",
            json!({"StreamName": "t", "ShardToSplit": "0", "NewStartingHashKey": "5"}),
        ),
        (
            "MergeShards",
            json!({"StreamName": "t", "ShardToMerge": "0", "AdjacentShardToMerge": "1"}),
        ),
    ] {
        let (kind, message) = client.refused(operation, body).await;
        assert_eq!(kind, "ResourceNotFoundException");
        assert_eq!(message, "Stream t under account 000000000000 not found.");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_id_is_read_before_its_stream_is_looked_for() {
    let World { client, .. } = World::new();
    for (operation, body) in [
        (
            "SplitShard",
            json!({"StreamName": "none", "ShardToSplit": "x", "NewStartingHashKey": "5"}),
        ),
        (
            "MergeShards",
            json!({"StreamName": "none", "ShardToMerge": "x", "AdjacentShardToMerge": "1"}),
        ),
        (
            "MergeShards",
            json!({"StreamName": "none", "ShardToMerge": "0", "AdjacentShardToMerge": "x"}),
        ),
        (
            "GetShardIterator",
            json!({"StreamName": "none", "ShardId": "x", "ShardIteratorType": "LATEST"}),
        ),
    ] {
        let refused = client.refused(operation, body).await;
        let text = "Could not find shard x in stream none under account 000000000000.";
        let kind = "ResourceNotFoundException";
        assert_eq!(refused, (kind.to_owned(), text.to_owned()), "{operation}");
    }
}

/// The open shards with their ranges, in the order of the ranges.
pub(crate) fn open_ranges(shards: &[Value]) -> Vec<(u128, u128, String)> {
    let key = |value: &Value| value.as_str().unwrap().parse().unwrap();
    let mut ranges: Vec<(u128, u128, String)> = shards
        .iter()
        .filter(|shard| {
            shard["SequenceNumberRange"]
                .get("EndingSequenceNumber")
                .is_none()
        })
        .map(|shard| {
            let range = &shard["HashKeyRange"];
            (
                key(&range["StartingHashKey"]),
                key(&range["EndingHashKey"]),
                shard["ShardId"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    ranges.sort_unstable();
    ranges
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn open_shards_tile_all_hash_keys_after_any_splits_and_merges(
        shards in 1..6_u32,
        steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 1..u32::MAX), 0..24),
        keys in prop::collection::vec(any::<u128>(), 1..8),
    ) {
        virtual_time(async {
            let World { client, .. } = World::new();
            client.create("s", shards).await;
            for (split, index, fraction) in steps {
                let open = open_ranges(&client.shards("s").await);
                let chosen = index.index(open.len());
                let (start, end, id) = &open[chosen];
                if split {
                    let at = start + (end - start) / u128::from(u32::MAX) * u128::from(fraction);
                    let body = json!({
                        "StreamName": "s", "ShardToSplit": id, "NewStartingHashKey": at.to_string(),
                    });
                    let fits = at > start + 1 && at < *end;
                    prop_assert_eq!(client.call("SplitShard", body).await.is_ok(), fits);
                } else if let Some((_, _, next)) = open.get(chosen + 1) {
                    client.ok("MergeShards", json!({
                        "StreamName": "s", "ShardToMerge": id, "AdjacentShardToMerge": next,
                    })).await;
                }
            }
            let listed = client.shards("s").await;
            let open = open_ranges(&listed);
            let mut next = Some(0);
            for (start, end, _) in &open {
                prop_assert_eq!(Some(*start), next);
                next = end.checked_add(1);
            }
            prop_assert_eq!(next, None);
            for (number, shard) in (0..).zip(&listed) {
                prop_assert_eq!(&shard["ShardId"], &shard_id(number));
            }
            for key in keys {
                let answer = client.ok("PutRecord", json!({
                    "StreamName": "s", "PartitionKey": "a", "Data": "",
                    "ExplicitHashKey": key.to_string(),
                })).await;
                let owner = open.iter().find(|(start, end, _)| (start..=end).contains(&&key));
                prop_assert_eq!(answer["ShardId"].as_str(), owner.map(|(_, _, id)| id.as_str()));
            }
            Ok(())
        })?;
    }
}
