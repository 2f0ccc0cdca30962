//! Writing and reading records: routing, limits, sizes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use crate::support::{World, data, shard_id};

const MIB: usize = 1024 * 1024;

#[tokio::test(start_paused = true)]
async fn a_record_goes_by_the_md5_of_its_key_or_by_the_explicit_hash_key() {
    let World { client, .. } = World::new();
    client.create("s", 4).await;
    for key in ["a", "b", "user-42", "ключ", "𝄞"] {
        let hash = u128::from_be_bytes(Md5::digest(key.as_bytes()).into());
        let shard = u32::try_from(hash >> 126).unwrap();
        assert_eq!(client.put("s", key, b"x").await.0, shard_id(shard));
    }
    for (key, shard) in [
        ("0", 0),
        ("85070591730234615865843651857942052863", 0),
        ("85070591730234615865843651857942052864", 1),
        ("340282366920938463463374607431768211455", 3),
    ] {
        let body = json!({
            "StreamName": "s",
            "Records": [{"PartitionKey": "a", "ExplicitHashKey": key, "Data": ""}],
        });
        let answer = client.ok("PutRecords", body).await;
        assert_eq!(answer["Records"][0]["ShardId"], shard_id(shard));
    }
    let beyond = "340282366920938463463374607431768211456";
    let body =
        json!({"StreamName": "s", "PartitionKey": "a", "Data": "", "ExplicitHashKey": beyond});
    let (kind, message) = client.refused("PutRecord", body).await;
    assert_eq!(kind, "InvalidArgumentException");
    assert_eq!(
        message,
        format!(
            "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. \
             Specified value was {beyond}"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_put_comes_back_byte_for_byte() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    let all_bytes: Vec<u8> = (0..=255).collect();
    for (key, bytes) in [("a", &b""[..]), ("\"\\\u{7}\n", &all_bytes), ("𝄞", b"\0")] {
        client.put("s", key, bytes).await;
    }
    let iterator = client.iterator("s", 0, "TRIM_HORIZON").await;
    let answer = client
        .ok("GetRecords", json!({"ShardIterator": iterator}))
        .await;
    let records = answer["Records"].as_array().unwrap();
    assert_eq!(records.len(), 3);
    assert_eq!(data(&records[1]), all_bytes);
    assert_eq!(records[1]["PartitionKey"], "\"\\\u{7}\n");
    assert_eq!(records[2]["PartitionKey"], "𝄞");
    for record in records {
        assert_eq!(
            record.get("EncryptionType"),
            None,
            "absent for plain records"
        );
        assert_eq!(
            record["ApproximateArrivalTimestamp"],
            world.wall_ms() / 1000
        );
    }
}

#[tokio::test(start_paused = true)]
async fn put_records_answers_entry_by_entry_in_order() {
    let World { client, .. } = World::new();
    client.create("s", 2).await;
    let records: Vec<Value> = (0..500)
        .map(
            |i| json!({"PartitionKey": format!("key-{i}"), "Data": STANDARD.encode(i.to_string())}),
        )
        .collect();
    let answer = client
        .ok("PutRecords", json!({"StreamName": "s", "Records": records}))
        .await;
    assert_eq!(answer["FailedRecordCount"], 0);
    assert_eq!(answer.get("EncryptionType"), None);
    let results = answer["Records"].as_array().unwrap();
    assert_eq!(results.len(), 500);
    for shard in [0, 1] {
        let iterator = client.iterator("s", shard, "TRIM_HORIZON").await;
        let read = client.drain(iterator, 7).await;
        let stored: Vec<(usize, &Value)> = results
            .iter()
            .enumerate()
            .filter(|(_, result)| result["ShardId"] == shard_id(shard))
            .collect();
        assert_eq!(read.len(), stored.len());
        for (record, (index, result)) in read.iter().zip(stored) {
            assert_eq!(record["SequenceNumber"], result["SequenceNumber"]);
            assert_eq!(data(record), index.to_string().into_bytes());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn record_sizes_are_limited() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    let put = |bytes: usize, key: &str| json!({"StreamName": "s", "PartitionKey": key, "Data": STANDARD.encode(vec![0; bytes])});
    client.ok("PutRecord", put(MIB - 1, "k")).await;
    let (kind, _) = client.refused("PutRecord", put(MIB, "k")).await;
    assert_eq!(kind, "InvalidArgumentException", "the key counts");
    let (kind, message) = client.refused("PutRecord", put(MIB + 1, "k")).await;
    assert_eq!(kind, "ValidationException");
    assert_eq!(
        message,
        "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=1048577 \
         cap=1048577]' at 'data' failed to satisfy constraint: Member must have length less than \
         or equal to 1048576"
    );

    let entry =
        |bytes: usize| json!({"PartitionKey": "k", "Data": STANDARD.encode(vec![0; bytes])});
    let entries = json!([entry(1), entry(MIB + 1), entry(1), entry(MIB + 2)]);
    let body = json!({"StreamName": "s", "Records": entries});
    let (kind, message) = client.refused("PutRecords", body).await;
    assert_eq!(kind, "ValidationException");
    assert_eq!(
        message,
        "2 validation errors detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=1048577 \
         cap=1048577]' at 'records.2.member.data' failed to satisfy constraint: Member must have \
         length less than or equal to 1048576; Value 'java.nio.HeapByteBuffer[pos=0 lim=1048578 \
         cap=1048578]' at 'records.4.member.data' failed to satisfy constraint: Member must have \
         length less than or equal to 1048576"
    );

    client
        .ok(
            "CreateStream",
            json!({"StreamName": "big", "ShardCount": 1, "MaxRecordSizeInKiB": 10240}),
        )
        .await;
    let big = |bytes: usize| json!({"StreamName": "big", "PartitionKey": "k", "Data": STANDARD.encode(vec![0; bytes])});
    client.ok("PutRecord", big(10 * MIB - 1)).await;
    let (kind, _) = client.refused("PutRecord", big(10 * MIB)).await;
    assert_eq!(kind, "InvalidArgumentException");
}

#[tokio::test(start_paused = true)]
async fn a_put_records_request_is_limited_as_a_whole() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    let entry = json!({"PartitionKey": "k", "Data": STANDARD.encode(vec![0; MIB - 1])});
    let whole = |count: usize| json!({"StreamName": "s", "Records": vec![entry.clone(); count]});
    client.ok("PutRecords", whole(10)).await;
    let mut over = whole(10);
    let one_more = json!({"PartitionKey": "k", "Data": ""});
    over["Records"].as_array_mut().unwrap().push(one_more);
    let (kind, message) = client.refused("PutRecords", over).await;
    assert_eq!(kind, "InvalidArgumentException");
    assert_eq!(message, "Records size exceeds 10 MB limit");

    let small = json!({"PartitionKey": "k", "Data": ""});
    let many = json!({"StreamName": "s", "Records": vec![small; 501]});
    let (kind, message) = client.refused("PutRecords", many).await;
    assert_eq!(kind, "ValidationException");
    assert!(message.ends_with(
        "at 'records' failed to satisfy constraint: Member must have length less than or equal to \
         500"
    ));
    let (_, message) = client
        .refused("PutRecords", json!({"StreamName": "s", "Records": []}))
        .await;
    assert_eq!(
        message,
        "1 validation error detected: Value '[]' at 'records' failed to satisfy constraint: Member \
         must have length greater than or equal to 1"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_holds_ten_mebibytes_and_at_least_one_record() {
    let World { client, .. } = World::new();
    let create = json!({"StreamName": "s", "ShardCount": 1, "MaxRecordSizeInKiB": 10240});
    client.ok("CreateStream", create).await;
    // Eleven of exactly one MiB with their keys, then one of exactly ten.
    for size in [[MIB - 1; 11].as_slice(), &[10 * MIB - 1]].concat() {
        client.put("s", "k", &vec![0; size]).await;
    }
    let mut iterator = json!(client.iterator("s", 0, "TRIM_HORIZON").await);
    for expected in [10, 1, 1] {
        let answer = client
            .ok("GetRecords", json!({"ShardIterator": iterator}))
            .await;
        assert_eq!(answer["Records"].as_array().unwrap().len(), expected);
        iterator = answer["NextShardIterator"].clone();
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_holds_ten_thousand_records() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    let entries = vec![json!({"PartitionKey": "k", "Data": ""}); 500];
    for _ in 0..21 {
        client
            .ok("PutRecords", json!({"StreamName": "s", "Records": entries}))
            .await;
    }
    let iterator = client.iterator("s", 0, "TRIM_HORIZON").await;
    let answer = client
        .ok("GetRecords", json!({"ShardIterator": iterator}))
        .await;
    assert_eq!(answer["Records"].as_array().unwrap().len(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_sequence_number_for_ordering_must_have_been_issued() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    let put = |ordering: &str| {
        json!({
            "StreamName": "s", "PartitionKey": "a", "Data": "",
            "SequenceNumberForOrdering": ordering,
        })
    };
    let (_, first) = client.put("s", "a", b"x").await;
    client.ok("PutRecord", put(&first)).await;
    client
        .ok(
            "SplitShard",
            json!({"StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": "9"}),
        )
        .await;
    let (_, of_child) = client.put("s", "a", b"x").await;
    client.ok("PutRecord", put(&of_child)).await;
    // The index of a record that is yet to come: the next one would lie below its own minimum.
    let (head, tail) = of_child.split_at(of_child.len() - 30);
    let ahead = format!(
        "{head}{:030}",
        tail.parse::<u128>().unwrap() + (9_u128 << 80)
    );
    let (kind, _) = client.refused("PutRecord", put(&ahead)).await;
    assert_eq!(kind, "InvalidArgumentException");
    let never = "9".repeat(70);
    let (kind, message) = client.refused("PutRecord", put(&never)).await;
    assert_eq!(kind, "InvalidArgumentException");
    assert_eq!(
        message,
        format!(
            "ExclusiveMinimumSequenceNumber {never} used in PutRecord on stream s under account \
             000000000000 is invalid."
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_so_and_does_nothing() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    let iterator = client.iterator("s", 0, "TRIM_HORIZON").await;
    for (operation, body) in [
        (
            "PutRecord",
            json!({"StreamName": "s", "PartitionKey": "a", "Data": ""}),
        ),
        (
            "PutRecords",
            json!({"StreamName": "s", "Records": [{"PartitionKey": "a", "Data": ""}]}),
        ),
        (
            "GetShardIterator",
            json!({"StreamName": "s", "ShardId": "0", "ShardIteratorType": "LATEST"}),
        ),
        ("GetRecords", json!({"ShardIterator": iterator})),
    ] {
        let mut dry = body.clone();
        dry["DryRun"] = json!(true);
        let (kind, _) = client.refused(operation, dry).await;
        assert_eq!(kind, "DryRunOperationException");
    }
    assert_eq!(client.drain(iterator, 10).await, Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_back_does_not_disorder_records() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    world.set_wall_offset_ms(10_000);
    let (_, first) = client.put("s", "a", b"1").await;
    world.set_wall_offset_ms(0);
    let (_, second) = client.put("s", "a", b"2").await;
    assert!(second > first);
    let iterator = client.iterator("s", 0, "TRIM_HORIZON").await;
    let answer = client
        .ok("GetRecords", json!({"ShardIterator": iterator}))
        .await;
    let arrivals: Vec<&Value> = answer["Records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| &record["ApproximateArrivalTimestamp"])
        .collect();
    let ahead = world.wall_ms() / 1000 + 10;
    assert_eq!(
        arrivals,
        [ahead, ahead],
        "a search by time relies on their order"
    );
}
