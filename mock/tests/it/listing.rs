//! What is listed in pages: streams, shards with their filters, tags.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{World, shard_id};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn streams_are_listed_in_pages() {
    let World { client, .. } = World::new();
    for name in ["d", "b", "a", "c", "e"] {
        client.create(name, 1).await;
    }
    let mut names = Vec::new();
    let mut request = json!({"Limit": 2});
    loop {
        let answer = client.ok("ListStreams", request).await;
        names.extend(answer["StreamNames"].as_array().unwrap().clone());
        assert_eq!(
            answer["StreamSummaries"][0]["StreamName"],
            answer["StreamNames"][0]
        );
        assert_eq!(
            answer.get("NextToken").is_some(),
            answer["HasMoreStreams"] == true
        );
        let Some(token) = answer.get("NextToken") else {
            break;
        };
        request = json!({"Limit": 2, "NextToken": token});
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    let answer = client
        .ok(
            "ListStreams",
            json!({"ExclusiveStartStreamName": "b", "Limit": 1}),
        )
        .await;
    assert_eq!(answer["StreamNames"], json!(["c"]));
}

#[tokio::test(start_paused = true)]
async fn no_page_is_larger_than_the_services() {
    let World { client, .. } = World::new();
    client.create("s", 1001).await;
    for number in 0..100 {
        client.create(&format!("s{number}"), 1).await;
    }
    for limit in [json!({}), json!({"Limit": 10_000})] {
        let answer = client.ok("ListStreams", limit.clone()).await;
        assert_eq!(answer["StreamNames"].as_array().unwrap().len(), 100);
        assert_eq!(answer["HasMoreStreams"], true);
        let mut request = json!({"StreamName": "s"});
        request["Limit"] = limit["Limit"].clone();
        let answer = client.ok("DescribeStream", request).await;
        let description = &answer["StreamDescription"];
        assert_eq!(description["Shards"].as_array().unwrap().len(), 100);
        assert_eq!(description["HasMoreShards"], true);
        let request = json!({"StreamName": "s", "MaxResults": limit["Limit"]});
        let answer = client.ok("ListShards", request).await;
        assert_eq!(answer["Shards"].as_array().unwrap().len(), 1000);
        assert!(answer.get("NextToken").is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn shards_are_listed_in_pages_that_expire() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 5).await;
    let mut ids = Vec::new();
    let mut request = json!({"StreamName": "s", "MaxResults": 2});
    let mut first_token = None;
    loop {
        let answer = client.ok("ListShards", request).await;
        ids.extend(
            answer["Shards"]
                .as_array()
                .unwrap()
                .iter()
                .map(|s| s["ShardId"].clone()),
        );
        let Some(token) = answer.get("NextToken").cloned() else {
            break;
        };
        first_token.get_or_insert_with(|| token.clone());
        request = json!({"NextToken": token, "MaxResults": 2});
    }
    assert_eq!(ids, [0, 1, 2, 3, 4].map(shard_id));
    let token = first_token.unwrap();

    // As the SDKs' paginators ask for the next page.
    let both = json!({"NextToken": token, "StreamName": "s", "MaxResults": 2});
    let alone = json!({"NextToken": token, "MaxResults": 2});
    let pages = [
        client.ok("ListShards", both).await["Shards"].clone(),
        client.ok("ListShards", alone).await["Shards"].clone(),
    ];
    assert_eq!(pages[0], pages[1]);
    let other = json!({"NextToken": token, "StreamName": "another"});
    let (kind, message) = client.refused("ListShards", other).await;
    assert_eq!(kind, "InvalidArgumentException");
    assert_eq!(
        message,
        "NextToken and StreamName cannot be provided together."
    );
    for (member, value) in [
        ("ExclusiveStartShardId", json!(shard_id(0))),
        ("StreamCreationTimestamp", json!(0)),
    ] {
        let (kind, message) = client
            .refused("ListShards", json!({"NextToken": token, member: value}))
            .await;
        assert_eq!(kind, "InvalidArgumentException");
        assert_eq!(
            message,
            format!("NextToken and {member} cannot be provided together.")
        );
    }
    let (_, message) = client.refused("ListShards", json!({})).await;
    assert_eq!(
        message,
        "Either NextToken or StreamName should be provided."
    );
    let (kind, _) = client
        .refused("ListShards", json!({"NextToken": "x"}))
        .await;
    assert_eq!(kind, "InvalidArgumentException");

    world.advance(Duration::from_secs(300)).await;
    client.ok("ListShards", json!({"NextToken": token})).await;
    world.advance(MS).await;
    let (kind, _) = client
        .refused("ListShards", json!({"NextToken": token}))
        .await;
    assert_eq!(kind, "ExpiredNextTokenException");

    let answer = client
        .ok(
            "ListShards",
            json!({"StreamName": "s", "ExclusiveStartShardId": shard_id(3)}),
        )
        .await;
    assert_eq!(answer["Shards"][0]["ShardId"], shard_id(4));
    let answer = client
        .ok(
            "DescribeStream",
            json!({"StreamName": "s", "ExclusiveStartShardId": shard_id(0), "Limit": 3}),
        )
        .await;
    assert_eq!(answer["StreamDescription"]["HasMoreShards"], true);
    assert_eq!(
        answer["StreamDescription"]["Shards"][2]["ShardId"],
        shard_id(3)
    );
}

#[tokio::test(start_paused = true)]
async fn shard_filters_see_the_past() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    world.advance(Duration::from_secs(10)).await;
    let before_split = world.wall_ms();
    world.advance(Duration::from_secs(10)).await;
    client
        .ok(
            "SplitShard",
            json!({"StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": "1000"}),
        )
        .await;
    let at_split = world.wall_ms();
    world.advance(Duration::from_secs(10)).await;
    client
        .ok(
            "MergeShards",
            json!({"StreamName": "s", "ShardToMerge": "1", "AdjacentShardToMerge": "2"}),
        )
        .await;
    let seconds =
        |ms: u64| json!(f64::from(u32::try_from(ms % 1000).unwrap()) / 1000.0 + (ms / 1000) as f64);
    for (filter, expected) in [
        (json!({"Type": "AT_LATEST"}), vec![3]),
        (json!({"Type": "AT_TRIM_HORIZON"}), vec![0]),
        (json!({"Type": "FROM_TRIM_HORIZON"}), vec![0, 1, 2, 3]),
        (
            json!({"Type": "AT_TIMESTAMP", "Timestamp": seconds(before_split)}),
            vec![0],
        ),
        (
            json!({"Type": "AT_TIMESTAMP", "Timestamp": seconds(at_split)}),
            vec![0, 1, 2],
        ),
        (json!({"Type": "AT_TIMESTAMP", "Timestamp": 1}), vec![0]),
        (
            json!({"Type": "FROM_TIMESTAMP", "Timestamp": seconds(at_split)}),
            vec![0, 1, 2, 3],
        ),
        (
            json!({"Type": "FROM_TIMESTAMP", "Timestamp": seconds(at_split + 1)}),
            vec![1, 2, 3],
        ),
        (
            json!({"Type": "AFTER_SHARD_ID", "ShardId": shard_id(1)}),
            vec![2, 3],
        ),
    ] {
        let mut ids = Vec::new();
        let mut request = json!({"StreamName": "s", "ShardFilter": filter, "MaxResults": 1});
        loop {
            let answer = client.ok("ListShards", request).await;
            ids.extend(
                answer["Shards"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|s| s["ShardId"].clone()),
            );
            let Some(token) = answer.get("NextToken") else {
                break;
            };
            request = json!({"NextToken": token, "MaxResults": 1});
        }
        let expected: Vec<String> = expected.into_iter().map(shard_id).collect();
        assert_eq!(ids, expected, "{filter}");
    }
    for wrong in [
        json!({"Type": "AT_TIMESTAMP"}),
        json!({"Type": "AFTER_SHARD_ID"}),
        json!({"Type": "FROM_TIMESTAMP", "Timestamp": 1e11}),
    ] {
        let (kind, _) = client
            .refused(
                "ListShards",
                json!({"StreamName": "s", "ShardFilter": wrong}),
            )
            .await;
        assert_eq!(kind, "InvalidArgumentException");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_closed_as_its_stream_is_born_is_listed() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    client.put("s", "k", b"in the parent").await;
    let split = json!({"StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": "1000"});
    client.ok("SplitShard", split).await;
    for kind in ["AT_TRIM_HORIZON", "FROM_TRIM_HORIZON"] {
        let filter = json!({"StreamName": "s", "ShardFilter": {"Type": kind}});
        let answer = client.ok("ListShards", filter).await;
        assert_eq!(answer["Shards"][0]["ShardId"], shard_id(0), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn tags_are_kept_listed_in_pages_and_removed() {
    let World { client, .. } = World::new();
    let create = json!({"StreamName": "s", "ShardCount": 1, "Tags": {"b": "2", "a": "1"}});
    client.ok("CreateStream", create).await;
    let add = json!({"StreamName": "s", "Tags": {"c": "3", "a": "one"}});
    client.ok("AddTagsToStream", add).await;
    let list = |more: Value| {
        let mut body = json!({"StreamName": "s"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let answer = client
        .ok("ListTagsForStream", list(json!({"Limit": 2})))
        .await;
    assert_eq!(
        answer,
        json!({
            "Tags": [{"Key": "a", "Value": "one"}, {"Key": "b", "Value": "2"}],
            "HasMoreTags": true,
        })
    );
    let rest = list(json!({"ExclusiveStartTagKey": "b"}));
    let answer = client.ok("ListTagsForStream", rest).await;
    let expected = json!({"Tags": [{"Key": "c", "Value": "3"}], "HasMoreTags": false});
    assert_eq!(answer, expected);
    let remove = json!({"StreamName": "s", "TagKeys": ["a", "b", "never"]});
    client.ok("RemoveTagsFromStream", remove).await;
    assert_eq!(
        client.ok("ListTagsForStream", list(json!({}))).await,
        expected
    );

    let many: serde_json::Map<String, Value> =
        (0..50).map(|i| (i.to_string(), json!(""))).collect();
    let (kind, message) = client
        .refused("AddTagsToStream", json!({"StreamName": "s", "Tags": many}))
        .await;
    assert_eq!(kind, "InvalidArgumentException");
    assert_eq!(
        message,
        "Failed to add tags to stream s under account 000000000000 because a given stream cannot \
         have more than 50 tags associated with it."
    );
    for (operation, tags) in [
        ("AddTagsToStream", json!({"Tags": {"a": "{}"}})),
        ("RemoveTagsFromStream", json!({"TagKeys": ["{}"]})),
    ] {
        let (_, message) = client.refused(operation, list(tags)).await;
        assert!(
            message.starts_with("Some tags contain invalid characters."),
            "{message}"
        );
    }
    for (operation, tags) in [
        ("AddTagsToStream", json!({"Tags": {"a": "%"}})),
        ("RemoveTagsFromStream", json!({"TagKeys": ["%"]})),
    ] {
        let (kind, message) = client.refused(operation, list(tags)).await;
        assert_eq!(kind, "InvalidArgumentException");
        assert!(
            message.contains("because some tags contained illegal characters"),
            "{message}"
        );
    }
    let (kind, _) = client
        .refused("AddTagsToStream", list(json!({"Tags": {"aws:a": ""}})))
        .await;
    assert_eq!(kind, "InvalidArgumentException");
    for (operation, tags) in [
        ("AddTagsToStream", json!({})),
        ("RemoveTagsFromStream", json!({"TagKeys": [""]})),
        ("RemoveTagsFromStream", json!({"TagKeys": []})),
    ] {
        let (kind, _) = client.refused(operation, list(tags)).await;
        assert_eq!(kind, "ValidationException");
    }
}
