//! CBOR beside JSON: the same requests, the same answers.
//!
//! ciborium, which the mock does not use, writes the requests and reads the answers here.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ciborium::Value as Cbor;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower_service::Service as _;

use crate::support::{Client, World, request, shard_id};

const CBOR: &str = "application/x-amz-cbor-1.1";

/// Members that hold bytes, and members that hold a point in time.
const BLOBS: [&str; 1] = ["Data"];
const TIMESTAMPS: [&str; 4] = [
    "Timestamp",
    "StreamCreationTimestamp",
    "ApproximateArrivalTimestamp",
    "ConsumerCreationTimestamp",
];

async fn post(client: &Client, operation: &str, body: Vec<u8>) -> (StatusCode, HeaderMap, Bytes) {
    let mut sent = request(operation, body);
    let headers = sent.headers_mut();
    headers.insert("content-type", CBOR.parse().unwrap());
    client.send(sent).await
}

/// Calls in CBOR and returns the status and the answer.
async fn call(client: &Client, operation: &str, body: &Cbor) -> (u16, Cbor) {
    let (status, headers, body) = post(client, operation, bytes(body)).await;
    assert_eq!(headers["content-type"], CBOR);
    let answer = if body.is_empty() {
        Cbor::Null
    } else {
        ciborium::from_reader(&body[..]).unwrap()
    };
    (status.as_u16(), answer)
}

async fn ok(client: &Client, operation: &str, body: &Cbor) -> Cbor {
    let (status, answer) = call(client, operation, body).await;
    assert_eq!(status, 200, "{operation}: {answer:?}");
    answer
}

fn bytes(value: &Cbor) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn member<'v>(value: &'v Cbor, name: &str) -> &'v Cbor {
    let members = value.as_map().unwrap();
    let found = members.iter().find(|(key, _)| key.as_text() == Some(name));
    found.map_or(&Cbor::Null, |(_, value)| value)
}

fn map<const N: usize>(members: [(&str, Cbor); N]) -> Cbor {
    let members = members.map(|(name, value)| (name.into(), value));
    Cbor::Map(members.into())
}

fn time(milliseconds: u64) -> Cbor {
    Cbor::Tag(1, Box::new(milliseconds.into()))
}

/// A JSON value as CBOR has it.
fn to_cbor(name: &str, value: &Value) -> Cbor {
    match value {
        Value::String(text) if BLOBS.contains(&name) => Cbor::Bytes(STANDARD.decode(text).unwrap()),
        Value::Number(seconds) if TIMESTAMPS.contains(&name) => {
            let since = Duration::from_secs_f64(seconds.as_f64().unwrap());
            time(u64::try_from(since.as_millis()).unwrap())
        }
        Value::Null => Cbor::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => number.as_i64().unwrap().into(),
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => Cbor::Array(items.iter().map(|item| to_cbor(name, item)).collect()),
        Value::Object(members) => Cbor::Map(
            members
                .iter()
                .map(|(name, value)| (name.as_str().into(), to_cbor(name, value)))
                .collect(),
        ),
    }
}

/// A CBOR value as JSON has it; whatever a CBOR answer must not hold is a panic.
fn to_json(name: &str, value: &Cbor) -> Value {
    match value {
        Cbor::Bytes(bytes) if BLOBS.contains(&name) => STANDARD.encode(bytes).into(),
        Cbor::Tag(1, milliseconds) if TIMESTAMPS.contains(&name) => {
            let milliseconds = milliseconds.as_integer().expect("an integer behind tag 1");
            let milliseconds = u64::try_from(milliseconds).unwrap();
            if milliseconds.is_multiple_of(1000) {
                (milliseconds / 1000).into()
            } else {
                (milliseconds as f64 / 1000.0).into()
            }
        }
        Cbor::Bool(value) => (*value).into(),
        Cbor::Integer(number) if !TIMESTAMPS.contains(&name) => {
            u64::try_from(*number).unwrap().into()
        }
        Cbor::Text(text) if !BLOBS.contains(&name) => text.as_str().into(),
        Cbor::Array(items) => items.iter().map(|item| to_json(name, item)).collect(),
        Cbor::Map(members) => members
            .iter()
            .map(|(key, value)| {
                let key = key.as_text().unwrap();
                (key.to_owned(), to_json(key, value))
            })
            .collect(),
        other => panic!("{name} is {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn both_encodings_carry_the_same_answers() {
    let (json, cbor) = (World::new(), World::new());
    let records = json!([
        {"PartitionKey": "a", "Data": "AAEC/w=="},
        {"PartitionKey": "é", "Data": "", "ExplicitHashKey": "0"},
    ]);
    let mut iterator = json!(null);
    for (operation, mut body) in [
        ("CreateStream", json!({"StreamName": "s", "ShardCount": 2})),
        ("CreateStream", json!({"StreamName": "s", "ShardCount": 2})),
        (
            "PutRecord",
            json!({"StreamName": "s", "PartitionKey": "a", "Data": "aGVsbG8="}),
        ),
        ("PutRecords", json!({"StreamName": "s", "Records": records})),
        ("PutRecords", json!({"StreamName": "s", "Records": []})),
        (
            "PutRecords",
            json!({"StreamName": "s", "Records": {"Data": ""}}),
        ),
        ("DescribeStream", json!({"StreamName": "s"})),
        ("DescribeStreamSummary", json!({"StreamName": "s"})),
        ("ListShards", json!({"StreamName": "s", "MaxResults": 1})),
        (
            "ListShards",
            json!({
                "StreamName": "s",
                "ShardFilter": {"Type": "AT_TIMESTAMP", "Timestamp": 1_767_225_600.5},
            }),
        ),
        ("ListStreams", json!({})),
        (
            "AddTagsToStream",
            json!({"StreamName": "s", "Tags": {"k": "v"}}),
        ),
        ("ListTagsForStream", json!({"StreamName": "s"})),
        (
            "RemoveTagsFromStream",
            json!({"StreamName": "s", "TagKeys": ["k"]}),
        ),
        (
            "GetShardIterator",
            json!({
                "StreamName": "s",
                "ShardId": shard_id(0),
                "ShardIteratorType": "AT_TIMESTAMP",
                "Timestamp": 9_767_225_600.25,
            }),
        ),
        (
            "GetShardIterator",
            json!({
                "StreamName": "s",
                "ShardId": shard_id(0),
                "ShardIteratorType": "TRIM_HORIZON",
            }),
        ),
        ("GetRecords", json!({})),
        ("GetRecords", json!({"Limit": "x"})),
        (
            "SplitShard",
            json!({
                "StreamName": "s",
                "ShardToSplit": shard_id(0),
                "NewStartingHashKey": "1000",
            }),
        ),
        (
            "MergeShards",
            json!({
                "StreamName": "s",
                "ShardToMerge": shard_id(1),
                "AdjacentShardToMerge": shard_id(3),
            }),
        ),
        ("GetRecords", json!({})),
        ("DeleteStream", json!({"StreamName": "s"})),
        ("DeleteStream", json!({"StreamName": "s"})),
    ] {
        if operation == "GetRecords" && iterator != Value::Null {
            body["ShardIterator"] = iterator.clone();
        }
        for world in [&json, &cbor] {
            world.advance(Duration::from_millis(1234)).await;
        }
        let (status, expected) = json
            .client
            .post(operation, body.to_string().into_bytes())
            .await;
        let (got_status, got) = call(&cbor.client, operation, &to_cbor("", &body)).await;
        assert_eq!(got_status, status.as_u16(), "{operation} {body}: {got:?}");
        if expected.is_empty() {
            assert_eq!(got, Cbor::Null, "{operation} {body}");
            continue;
        }
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        assert_eq!(to_json("", &got), expected, "{operation} {body}");
        if let Some(issued) = expected.get("ShardIterator") {
            iterator = issued.clone();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_is_equal_whichever_encoding_it_is_put_and_read_by() {
    let world = World::new();
    world.set_wall_offset_ms(123);
    let client = &world.client;
    client.create("s", 1).await;
    let all_bytes: Vec<u8> = (0..=255).collect();
    client.put("s", "from JSON", &all_bytes).await;
    let entry = map([
        ("PartitionKey", "from CBOR".into()),
        ("Data", Cbor::Bytes(all_bytes.clone())),
    ]);
    let put = map([("StreamName", "s".into()), ("Records", vec![entry].into())]);
    let answer = ok(client, "PutRecords", &put).await;
    assert_eq!(member(&answer, "FailedRecordCount"), &0.into());

    let iterator = client.iterator("s", 0, "TRIM_HORIZON").await;
    let answer = client
        .ok("GetRecords", json!({"ShardIterator": iterator}))
        .await;
    for record in answer["Records"].as_array().unwrap() {
        assert_eq!(record["Data"], STANDARD.encode(&all_bytes));
        let seconds = record["ApproximateArrivalTimestamp"].as_f64().unwrap();
        assert_eq!(format!("{seconds:.3}"), "1767225600.123");
    }
    let answer = ok(
        client,
        "GetRecords",
        &map([("ShardIterator", iterator.into())]),
    )
    .await;
    let records = member(&answer, "Records").as_array().unwrap();
    assert_eq!(records.len(), 2);
    for record in records {
        assert_eq!(member(record, "Data"), &Cbor::Bytes(all_bytes.clone()));
        let arrival = member(record, "ApproximateArrivalTimestamp");
        assert_eq!(arrival, &time(1_767_225_600_123));
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_is_milliseconds_with_a_tag_or_without() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    let mut at = Vec::new();
    for key in ["early", "late"] {
        world.advance(Duration::from_millis(7)).await;
        client.put("s", key, b"").await;
        at.push(world.wall_ms());
    }
    let late = at[1];
    for (timestamp, first) in [
        (time(late), "late"),
        (late.into(), "late"),
        (Cbor::Float(late as f64), "late"),
        (time(late - 1), "late"),
        (time(at[0]), "early"),
        (0.into(), "early"),
        ((-1).into(), "early"),
    ] {
        let asked = map([
            ("StreamName", "s".into()),
            ("ShardId", shard_id(0).into()),
            ("ShardIteratorType", "AT_TIMESTAMP".into()),
            ("Timestamp", timestamp.clone()),
        ]);
        let iterator = member(
            &ok(client, "GetShardIterator", &asked).await,
            "ShardIterator",
        )
        .clone();
        let answer = ok(client, "GetRecords", &map([("ShardIterator", iterator)])).await;
        let records = member(&answer, "Records").as_array().unwrap();
        assert_eq!(
            member(&records[0], "PartitionKey"),
            &first.into(),
            "{timestamp:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_of_indefinite_lengths_is_a_request() {
    let world = World::new();
    world.client.create("s", 1).await;
    // {_ "StreamName": (_ "", "s"), "Records": [_ {_ "Data": (_ h'00', h'ff'), "PartitionKey": "k"}]}
    let body =
        b"\xbf\x6aStreamName\x7f\x60\x61s\xff\x67Records\x9f\xbf\x64Data\x5f\x41\x00\x41\xff\
                 \xff\x6cPartitionKey\x61k\xff\xff\xff";
    let (status, _, answer) = post(&world.client, "PutRecords", body.to_vec()).await;
    assert_eq!(status, 200, "{answer:?}");
    let iterator = world.client.iterator("s", 0, "TRIM_HORIZON").await;
    let records = world.client.drain(iterator, 10).await;
    assert_eq!(records[0]["Data"], "AP8=");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_refused_in_cbor_and_pushed_in_json() {
    let world = World::new();
    world.client.create("s", 1).await;
    let subscribe = |consumer: &str| {
        map([
            ("ConsumerARN", consumer.into()),
            ("ShardId", shard_id(0).into()),
            ("StartingPosition", map([("Type", "LATEST".into())])),
        ])
    };
    let (status, refusal) = call(&world.client, "SubscribeToShard", &subscribe("x")).await;
    assert_eq!(status, 400);
    assert_eq!(member(&refusal, "__type"), &"ValidationException".into());

    let consumer = world.client.register("s", "c").await;
    let mut sent = request("SubscribeToShard", bytes(&subscribe(&consumer)));
    sent.headers_mut()
        .insert("content-type", CBOR.parse().unwrap());
    let response = world.mock.service().call(sent).await.unwrap();
    let event_stream = "application/vnd.amazon.eventstream";
    assert_eq!(response.headers()["content-type"], event_stream);
    let first = response.into_body().frame().await.unwrap().unwrap();
    let first = String::from_utf8_lossy(first.data_ref().unwrap()).into_owned();
    assert!(first.contains("application/x-amz-json-1.1"), "{first}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_refused_in_cbor() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    let serialization: &[u8] = b"\xbf\x66__type\x76SerializationException\xff";
    for body in [
        &b"\xff"[..],
        b"{}",
        b"\xa1\x61a",
        b"\x01",
        b"\xf6",
        b"\x80",
        b"\xbf\xff\x00",
    ] {
        let (status, headers, answer) = post(client, "ListStreams", body.to_vec()).await;
        assert_eq!(
            (status.as_u16(), &answer[..]),
            (400, serialization),
            "{body:02x?}"
        );
        assert_eq!(headers["content-type"], CBOR);
    }
    for (member_name, value, message) in [
        (
            "Data",
            Cbor::from("YQ=="),
            "class java.lang.String can not be converted to a Blob",
        ),
        (
            "PartitionKey",
            Cbor::Bytes(vec![0x61]),
            "class java.nio.HeapByteBuffer can not be converted to an String",
        ),
    ] {
        let mut put = vec![
            ("StreamName", Cbor::from("s")),
            ("PartitionKey", "k".into()),
            ("Data", Cbor::Bytes(vec![])),
        ];
        put.retain(|(name, _)| *name != member_name);
        put.push((member_name, value));
        let put = put.into_iter().map(|(name, value)| (name.into(), value));
        let (status, answer) = call(client, "PutRecord", &Cbor::Map(put.collect())).await;
        assert_eq!(status, 400);
        assert_eq!(member(&answer, "__type"), &"SerializationException".into());
        assert_eq!(member(&answer, "Message"), &message.into());
    }
}
