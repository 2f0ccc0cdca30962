//! Fault rules and call counts.

use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use shardwise_mock::{Api, EntryFault, Fault, Mock, Operation};
use tower_service::Service as _;

use crate::support::{Client, World, answer_on_socket, request, shard_id};

fn put() -> Value {
    json!({"StreamName": "s", "PartitionKey": "a", "Data": ""})
}

#[tokio::test(start_paused = true)]
async fn a_rule_holds_for_its_operation_and_as_often_as_it_says() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    world
        .mock
        .on(Operation::PutRecord)
        .times(2)
        .reply(Fault::Throttle);
    world
        .mock
        .on(Operation::PutRecord)
        .times(1)
        .reply(Fault::Internal);
    for _ in 0..2 {
        let (kind, message) = client.refused("PutRecord", put()).await;
        assert_eq!(kind, "ProvisionedThroughputExceededException");
        assert_eq!(
            message,
            "Rate exceeded for shard shardId-000000000000 in stream s under account 000000000000."
        );
        client.ok("ListStreams", json!({})).await;
    }
    let refusal = client.call("PutRecord", put()).await.unwrap_err();
    assert_eq!(
        (refusal.status, refusal.kind.as_str()),
        (500, "InternalFailure")
    );
    client.ok("PutRecord", put()).await;
    assert_eq!(world.mock.calls(Operation::PutRecord), 4);
    assert_eq!(world.mock.calls(Operation::ListStreams), 2);
    assert_eq!(world.mock.calls(Operation::GetRecords), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_was_done_and_a_refused_request_was_not() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    for (fault, status) in [
        (Fault::LoseAnswer, 500),
        (Fault::Internal, 500),
        (Fault::Unavailable, 503),
        (Fault::error(400, "AccessDeniedException", "no"), 400),
    ] {
        world.mock.on(Operation::PutRecord).times(1).reply(fault);
        let refusal = client.call("PutRecord", put()).await.unwrap_err();
        assert_eq!(refusal.status, status);
    }
    let iterator = client.iterator("s", 0, "TRIM_HORIZON").await;
    assert_eq!(client.drain(iterator, 10).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_request_is_done_late() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    let delay = Duration::from_secs(7);
    world
        .mock
        .on(Operation::PutRecord)
        .times(1)
        .reply(Fault::Delay(delay));
    let begin = world.env().now();
    client.ok("PutRecord", put()).await;
    assert_eq!(world.env().now() - begin, delay);
}

#[tokio::test(start_paused = true)]
async fn single_entries_fail_and_the_others_are_stored() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    world
        .mock
        .on(Operation::PutRecords)
        .times(1)
        .fail_entries(EntryFault::Throttle, |index| index % 2 == 0);
    let entries: Vec<_> = ["MA==", "MQ==", "Mg==", "Mw=="]
        .map(|data| json!({"PartitionKey": "a", "Data": data}))
        .into();
    let body = json!({"StreamName": "s", "Records": entries});
    let answer = client.ok("PutRecords", body.clone()).await;
    assert_eq!(answer["FailedRecordCount"], 2);
    assert_eq!(
        answer["Records"][0],
        json!({
            "ErrorCode": "ProvisionedThroughputExceededException",
            "ErrorMessage": "Rate exceeded for shard shardId-000000000000 in stream s under \
                             account 000000000000.",
        })
    );
    assert!(answer["Records"][1].get("SequenceNumber").is_some());
    let iterator = client.iterator("s", 0, "TRIM_HORIZON").await;
    assert_eq!(client.drain(iterator, 10).await.len(), 2);

    world
        .mock
        .on(Operation::PutRecords)
        .fail_entries(EntryFault::Internal, |_| true);
    let answer = client.ok("PutRecords", body.clone()).await;
    assert_eq!(answer["Records"][3]["ErrorCode"], "InternalFailure");
    world.mock.clear_faults();
    let answer = client.ok("PutRecords", body).await;
    assert_eq!(answer["FailedRecordCount"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_rule_can_be_for_one_stream_or_for_one_caller() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    client.create("t", 1).await;
    let iterators = [
        client.iterator("s", 0, "TRIM_HORIZON").await,
        client.iterator("t", 0, "TRIM_HORIZON").await,
    ];
    let puts = world.mock.on(Operation::PutRecord).stream("s");
    let puts = puts.times(2).reply(Fault::Internal);
    let gets = world.mock.on(Operation::GetRecords).stream("s");
    let gets = gets.reply(Fault::Throttle);
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
    let by_arn = json!({"StreamARN": arn, "PartitionKey": "a", "Data": ""});
    assert_eq!(puts.struck(), 0);
    for body in [put(), by_arn] {
        let other = json!({"StreamName": "t", "PartitionKey": "a", "Data": ""});
        client.ok("PutRecord", other).await;
        client.call("PutRecord", body).await.unwrap_err();
    }
    client.ok("PutRecord", put()).await;
    assert_eq!(puts.struck(), 2, "a rule that is used up still tells");
    let read = |iterator: &str| json!({"ShardIterator": iterator});
    client.refused("GetRecords", read(&iterators[0])).await;
    client.ok("GetRecords", read(&iterators[1])).await;
    assert_eq!(gets.struck(), 1);

    let stranger = world.mock.on(Operation::ListStreams).caller("AKIDOTHER");
    let stranger = stranger.reply(Fault::Internal);
    let own = world.mock.on(Operation::ListStreams);
    let own = own.caller("AKIAIOSFODNN7EXAMPLE").times(1);
    let own = own.reply(Fault::Internal);
    client.call("ListStreams", json!({})).await.unwrap_err();
    client.ok("ListStreams", json!({})).await;
    assert_eq!((stranger.struck(), own.struck()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_rate_strikes_about_so_often_and_a_seed_repeats_it() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let world = World::new();
        let rare = world.mock.on(Operation::ListStreams).rate(0.2);
        let rare = rare.reply(Fault::Unavailable);
        let never = world.mock.on(Operation::ListStreams).rate(0.0);
        let never = never.reply(Fault::Internal);
        let mut struck = Vec::new();
        for _ in 0..500 {
            struck.push(world.client.call("ListStreams", json!({})).await.is_err());
        }
        let count = struck.iter().filter(|struck| **struck).count() as u64;
        assert_eq!((rare.struck(), never.struck()), (count, 0));
        assert!((60..140).contains(&count), "{count}");
        runs.push(struck);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_response_was_done_and_the_caller_sees_no_answer() {
    let world = World::new();
    world.client.create("s", 1).await;
    let rule = world.mock.on(Operation::PutRecord).times(1);
    let rule = rule.reply(Fault::LoseResponse);
    let sent = request("PutRecord", put().to_string().into_bytes());
    let result = world.mock.service().call(sent).await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("connection broke"), "{error}");
    assert_eq!(rule.struck(), 1);
    let iterator = world.client.iterator("s", 0, "TRIM_HORIZON").await;
    assert_eq!(world.client.drain(iterator, 10).await.len(), 1);
}

#[tokio::test]
async fn a_lost_response_breaks_the_connection_of_a_socket() {
    let mock = Mock::new();
    mock.create_stream(&"s".parse().unwrap(), 1).unwrap();
    let server = mock.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    mock.on(Operation::PutRecord)
        .times(1)
        .reply(Fault::LoseResponse);
    let answer = answer_on_socket(server.local_addr(), "PutRecord", &put()).await;
    assert!(answer.is_empty(), "{answer:?}");
    let client = Client::new(&mock);
    let iterator = client.iterator("s", 0, "TRIM_HORIZON").await;
    assert_eq!(client.drain(iterator, 10).await.len(), 1);
    server.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_rule_makes_single_reads_of_a_table_stale() {
    let world = World::new();
    let send = async |operation: &str, body: Value| {
        let mut sent = request("GetItem", body.to_string().into_bytes());
        let headers = sent.headers_mut();
        let target = format!("DynamoDB_20120810.{operation}");
        headers.insert("x-amz-target", target.parse().unwrap());
        let json = "application/x-amz-json-1.0".parse().unwrap();
        headers.insert("content-type", json);
        let (status, _, body) = world.client.send(sent).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, 200, "{body}");
        body
    };
    let table = json!({
        "TableName": "leases",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
    });
    send("CreateTable", table).await;
    let owner = async |owner: &str| {
        let item = json!({"k": {"S": "a"}, "owner": {"S": owner}});
        send("PutItem", json!({"TableName": "leases", "Item": item})).await;
        world.advance(Duration::from_secs(1)).await;
    };
    let read = async |consistent: bool| {
        let key = json!({"k": {"S": "a"}});
        let body = json!({"TableName": "leases", "Key": key, "ConsistentRead": consistent});
        let answer = send("GetItem", body).await;
        answer["Item"]["owner"]["S"].as_str().unwrap().to_owned()
    };
    let stale = world.mock.on(Operation::GetItem).table("leases").times(3);
    let stale = stale.reply(Fault::StaleRead(Duration::from_millis(1500)));
    let other = world.mock.on(Operation::GetItem).table("other");
    let other = other.reply(Fault::Internal);
    owner("w1").await;
    owner("w2").await;
    assert_eq!(read(false).await, "w1", "as it was 1.5 seconds ago");
    assert_eq!(read(true).await, "w2", "a consistent read is never stale");
    world.advance(Duration::from_secs(1)).await;
    assert_eq!(read(false).await, "w2");
    owner("w3").await;
    assert_eq!(read(false).await, "w3", "the rule is used up");
    assert_eq!((stale.struck(), other.struck()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_was_not_done() {
    let world = World::new();
    world.client.create("s", 1).await;
    let rule = world.mock.on(Operation::PutRecord).times(1);
    let rule = rule.reply(Fault::LoseRequest);
    let sent = request("PutRecord", put().to_string().into_bytes());
    assert!(world.mock.service().call(sent).await.is_err());
    assert_eq!(rule.struck(), 1);
    let iterator = world.client.iterator("s", 0, "TRIM_HORIZON").await;
    assert_eq!(world.client.drain(iterator, 10).await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_truncated_body_announces_all_and_breaks_where_it_was_told_to() {
    let world = World::new();
    let whole = world.client.post("ListStreams", b"{}".to_vec()).await.1;
    for (bytes, breaks) in [(0, true), (7, true), (whole.len(), false), (1000, false)] {
        let rule = world.mock.on(Operation::ListStreams).times(1);
        rule.reply(Fault::TruncateBody(bytes));
        let response = world
            .mock
            .service()
            .call(request("ListStreams", b"{}".to_vec()));
        let (head, mut body) = response.await.unwrap().into_parts();
        assert_eq!(head.headers["content-length"], whole.len().to_string());
        let mut read = Vec::new();
        let mut broke = false;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => read.extend(frame.into_data().unwrap()),
                Err(_) => broke = true,
            }
        }
        assert_eq!(
            (&read[..], broke),
            (&whole[..bytes.min(whole.len())], breaks)
        );
    }
}

#[tokio::test]
async fn a_truncated_body_closes_its_socket_early() {
    let mock = Mock::new();
    let server = mock.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    mock.on(Operation::ListStreams)
        .times(1)
        .reply(Fault::TruncateBody(7));
    let answer = answer_on_socket(server.local_addr(), "ListStreams", &json!({})).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("content-length: 62"), "{head}");
    assert_eq!(body, "{\"Strea");
    server.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_dribbles_by_the_mocks_clock() {
    let world = World::new();
    let whole = world.client.post("ListStreams", b"{}".to_vec()).await.1;
    let pause = Duration::from_secs(2);
    let rule = world.mock.on(Operation::ListStreams).times(1);
    rule.reply(Fault::slow_body(10.try_into().unwrap(), pause));
    let begin = world.env().now();
    let slow = world.client.post("ListStreams", b"{}".to_vec()).await.1;
    assert_eq!(slow, whole);
    let pieces = u32::try_from(whole.len().div_ceil(10)).unwrap();
    assert_eq!(world.env().now() - begin, pause * pieces);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_begins_and_ends_by_the_mocks_clock() {
    let world = World::new();
    let second = Duration::from_secs(1);
    let rule = world
        .mock
        .on(Operation::ListStreams)
        .after(30 * second)
        .lasting(10 * second);
    let rule = rule.reply(Fault::Unavailable);
    let mut struck = Vec::new();
    for at in 0..60 {
        if world.client.call("ListStreams", json!({})).await.is_err() {
            struck.push(at);
        }
        world.advance(second).await;
    }
    assert_eq!(struck, (30..40).collect::<Vec<_>>());
    assert_eq!(rule.struck(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_for_one_shard_by_its_id_by_an_iterator_and_by_a_records_key() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 2).await;
    let iterators = [
        client.iterator("s", 0, "LATEST").await,
        client.iterator("s", 1, "LATEST").await,
    ];
    let rule = world
        .mock
        .on_every_operation()
        .service(Api::Kinesis)
        .shard(1);
    let rule = rule.reply(Fault::Unavailable);
    let top = u128::MAX.to_string();
    let record = |key: &str| json!({"PartitionKey": "a", "ExplicitHashKey": key, "Data": ""});
    let with_stream = |mut body: Value| {
        body["StreamName"] = "s".into();
        body
    };
    let start =
        |shard| with_stream(json!({"ShardId": shard_id(shard), "ShardIteratorType": "LATEST"}));
    for (operation, spared, struck) in [
        ("GetShardIterator", start(0), start(1)),
        (
            "GetRecords",
            json!({"ShardIterator": iterators[0]}),
            json!({"ShardIterator": iterators[1]}),
        ),
        (
            "PutRecord",
            with_stream(record("0")),
            with_stream(record(&top)),
        ),
        (
            "PutRecords",
            with_stream(json!({"Records": [record("0"), record("1")]})),
            with_stream(json!({"Records": [record("0"), record(&top)]})),
        ),
    ] {
        client.ok(operation, spared).await;
        let refusal = client.call(operation, struck).await.unwrap_err();
        assert_eq!(refusal.status, 503, "{operation}");
    }
    client.ok("ListShards", json!({"StreamName": "s"})).await;
    assert_eq!(rule.struck(), 4);
}

#[tokio::test(start_paused = true)]
async fn entries_for_one_shard_fail_and_the_others_are_stored() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 2).await;
    world
        .mock
        .on(Operation::PutRecords)
        .shard(1)
        .fail_entries(EntryFault::Throttle, |_| true);
    let record =
        |key: u128| json!({"PartitionKey": "a", "ExplicitHashKey": key.to_string(), "Data": ""});
    let records = json!([record(0), record(u128::MAX), record(1)]);
    let answer = client
        .ok("PutRecords", json!({"StreamName": "s", "Records": records}))
        .await;
    assert_eq!(answer["FailedRecordCount"], 1);
    let message = answer["Records"][1]["ErrorMessage"].as_str().unwrap();
    assert!(
        message.contains("shard shardId-000000000001 in stream s"),
        "{message}"
    );
}
