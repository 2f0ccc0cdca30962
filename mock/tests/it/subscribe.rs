//! SubscribeToShard: what is pushed, when, and how it ends.

use std::time::Duration;

use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use shardwise_env::{Env, ManualClock, Task};
use shardwise_mock::{Fault, Mock, Operation};
use tokio::net::TcpStream;

use crate::support::{Client, Events, World, data, order, request, shard_id, virtual_time};

const SECOND: Duration = Duration::from_secs(1);

/// A subscription of that type to the first shard, unless the body is changed.
fn from(consumer: &str, kind: &str) -> Value {
    json!({
        "ConsumerARN": consumer,
        "ShardId": shard_id(0),
        "StartingPosition": {"Type": kind},
    })
}

fn texts(event: &Value) -> Vec<String> {
    let records = event["Records"].as_array().unwrap();
    let text = |record| String::from_utf8(data(record)).unwrap();
    records.iter().map(text).collect()
}

/// The stream `s` of so many shards, and its consumer `c`.
async fn world(shards: u32) -> (World, String) {
    let world = World::new();
    world.client.create("s", shards).await;
    let consumer = world.client.register("s", "c").await;
    (world, consumer)
}

#[tokio::test(start_paused = true)]
async fn what_is_there_comes_at_once_in_the_services_form() {
    let (World { client, .. }, consumer) = world(1).await;
    let (_, first) = client.put("s", "key", b"one").await;
    let (_, second) = client.put("s", "key", b"two").await;
    let mut events = client.subscribe(from(&consumer, "TRIM_HORIZON")).await;
    let record = |sequence: &str, data: &str| {
        json!({
            "SequenceNumber": sequence,
            "ApproximateArrivalTimestamp": 1_767_225_600,
            "Data": data,
            "PartitionKey": "key",
        })
    };
    assert_eq!(
        events.event().await,
        json!({
            "Records": [record(&first, "b25l"), record(&second, "dHdv")],
            "ContinuationSequenceNumber": second,
            "MillisBehindLatest": 0,
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_record_is_pushed_without_the_clock_moving() {
    let (world, consumer) = world(1).await;
    let client = &world.client;
    let mut events = client.subscribe(from(&consumer, "LATEST")).await;
    world.advance(SECOND).await;
    let begin = world.env().now();
    for text in ["one", "two", "three"] {
        let put = async {
            tokio::task::yield_now().await;
            client.put("s", "key", text.as_bytes()).await
        };
        let (event, (_, sequence)) = tokio::join!(events.event(), put);
        assert_eq!(texts(&event), [text]);
        assert_eq!(event["ContinuationSequenceNumber"], sequence);
    }
    assert_eq!(world.env().now(), begin);
}

#[tokio::test(start_paused = true)]
async fn a_silent_shard_sends_an_empty_event_every_five_seconds() {
    let (world, consumer) = world(1).await;
    let client = &world.client;
    client.put("s", "key", b"old").await;
    let mut events = client.subscribe(from(&consumer, "LATEST")).await;
    let begin = world.env().now();
    let mut numbers = Vec::new();
    for count in 1..=3 {
        let event = events.event().await;
        assert_eq!(world.env().now() - begin, 5 * SECOND * count);
        assert_eq!(event["Records"], json!([]));
        assert_eq!(event["MillisBehindLatest"], 0);
        let number = event["ContinuationSequenceNumber"].as_str();
        numbers.push(number.unwrap().to_owned());
    }
    assert!(numbers.is_sorted_by(|a, b| order(a) < order(b)));
    // A record puts the next empty event off.
    world.advance(2 * SECOND).await;
    client.put("s", "key", b"new").await;
    assert_eq!(texts(&events.event().await), ["new"]);
    events.event().await;
    assert_eq!(world.env().now() - begin, 22 * SECOND);
    drop(events);

    for kind in ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"] {
        let mut body = from(&consumer, kind);
        body["StartingPosition"]["SequenceNumber"] = numbers[1].clone().into();
        let mut events = client.subscribe(body).await;
        assert_eq!(texts(&events.event().await), ["new"], "{kind}");
        world.advance(5 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_ends_after_five_minutes() {
    let (world, consumer) = world(1).await;
    let mut events = world.client.subscribe(from(&consumer, "LATEST")).await;
    let begin = world.env().now();
    let mut count = 0;
    while events.message().await.is_some() {
        count += 1;
    }
    assert_eq!(count, 59, "one every five seconds");
    assert_eq!(world.env().now() - begin, 300 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_a_shard_come_its_children_and_no_continuation() {
    let delay = SECOND;
    let world = World::with(|builder| builder.state_delay(delay));
    let client = &world.client;
    world.mock.create_stream(&"s".parse().unwrap(), 2).unwrap();
    let consumer = client.register("s", "c").await;
    world.advance(delay).await;
    let subscribe = |shard: u32| {
        let mut body = from(&consumer, "TRIM_HORIZON");
        body["ShardId"] = shard_id(shard).into();
        client.subscribe(body)
    };
    let mut events = subscribe(0).await;
    // Before the change falls due only the subscription looks at the stream.
    let split = json!({
        "StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": (1_u128 << 126).to_string(),
    });
    client.ok("SplitShard", split).await;
    assert_eq!(client.status("s").await, "UPDATING");
    let mut upper = subscribe(1).await;
    let begin = world.env().now();
    let last = events.event().await;
    assert_eq!(world.env().now() - begin, delay);
    let range = |start: u128, end: u128| json!({"StartingHashKey": start.to_string(), "EndingHashKey": end.to_string()});
    assert_eq!(
        last,
        json!({
            "Records": [],
            "MillisBehindLatest": 0,
            "ChildShards": [
                {
                    "ShardId": shard_id(2),
                    "ParentShards": [shard_id(0)],
                    "HashKeyRange": range(0, (1 << 126) - 1),
                },
                {
                    "ShardId": shard_id(3),
                    "ParentShards": [shard_id(0)],
                    "HashKeyRange": range(1 << 126, (1 << 127) - 1),
                },
            ],
        })
    );
    assert_eq!(events.message().await, None);

    // Records that are left come with the children.
    let body = json!({
        "StreamName": "s", "PartitionKey": "k", "Data": "b25l",
        "ExplicitHashKey": u128::MAX.to_string(),
    });
    client.ok("PutRecord", body).await;
    let merge = json!({"StreamName": "s", "ShardToMerge": "3", "AdjacentShardToMerge": "1"});
    client.ok("MergeShards", merge).await;
    world.advance(delay).await;
    let last = upper.event().await;
    assert_eq!(texts(&last), ["one"]);
    assert_eq!(last.get("ContinuationSequenceNumber"), None);
    assert_eq!(
        last["ChildShards"],
        json!([{
            "ShardId": shard_id(4),
            "ParentShards": [shard_id(3), shard_id(1)],
            "HashKeyRange": range(1 << 126, u128::MAX),
        }])
    );
    assert_eq!(upper.message().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_second_subscription_is_refused_for_five_seconds_then_takes_over() {
    let (world, consumer) = world(2).await;
    let client = &world.client;
    let mut first = client.subscribe(from(&consumer, "LATEST")).await;
    let text = "Another active subscription exists for this consumer: \
                000000000000:s:shardId-000000000000:c";
    let in_use = ("ResourceInUseException".to_owned(), text.to_owned());
    world.advance(5 * SECOND - Duration::from_millis(1)).await;
    let refusal = client
        .refused("SubscribeToShard", from(&consumer, "LATEST"))
        .await;
    assert_eq!(refusal, in_use);
    // Another shard and another consumer are not concerned.
    let mut other_shard = from(&consumer, "LATEST");
    other_shard["ShardId"] = shard_id(1).into();
    client.subscribe(other_shard).await;
    let other = client.register("s", "d").await;
    let mut bystander = client.subscribe(from(&other, "LATEST")).await;

    world.advance(Duration::from_millis(1)).await;
    let (refusal, mut second) = tokio::join!(
        async {
            first.event().await;
            first.exception().await
        },
        async {
            tokio::task::yield_now().await;
            client.subscribe(from(&consumer, "LATEST")).await
        }
    );
    assert_eq!(refusal, in_use);
    client.put("s", "key", b"a").await;
    assert_eq!(texts(&second.event().await), ["a"]);
    assert_eq!(texts(&bystander.event().await), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_or_stream_that_goes_ends_its_subscriptions_with_an_error() {
    let (world, consumer) = world(1).await;
    let client = &world.client;
    let other = client.register("s", "d").await;
    let begin = world.env().now();
    let mut events = client.subscribe(from(&consumer, "LATEST")).await;
    let mut others = client.subscribe(from(&other, "LATEST")).await;
    let (refusal, _) = tokio::join!(
        events.exception(),
        client.ok("DeregisterStreamConsumer", json!({"ConsumerARN": consumer}))
    );
    assert_eq!(refusal.0, "ResourceNotFoundException");
    assert_eq!(refusal.1, "Consumer c, account 000000000000 not found.");
    let delete = json!({"StreamName": "s", "EnforceConsumerDeletion": true});
    let (refusal, _) = tokio::join!(others.exception(), client.ok("DeleteStream", delete));
    assert_eq!(refusal.0, "ResourceNotFoundException");
    assert_eq!(refusal.1, "Stream s under account 000000000000 not found.");
    assert_eq!(world.env().now(), begin);
}

#[tokio::test(start_paused = true)]
async fn a_reset_ends_every_subscription_at_once() {
    let (world, consumer) = world(1).await;
    let begin = world.env().now();
    let mut events = world.client.subscribe(from(&consumer, "LATEST")).await;
    let (refusal, ()) = tokio::join!(events.exception(), async { world.mock.reset() });
    assert_eq!(refusal.0, "ResourceNotFoundException");
    assert_eq!(refusal.1, "Stream s under account 000000000000 not found.");
    assert_eq!(world.env().now(), begin);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_must_be_active_and_its_shard_must_exist() {
    let world = World::with(|builder| builder.state_delay(SECOND));
    let client = &world.client;
    world.mock.create_stream(&"s".parse().unwrap(), 1).unwrap();
    let consumer = client.register("s", "c").await;
    let (kind, message) = client
        .refused("SubscribeToShard", from(&consumer, "LATEST"))
        .await;
    assert_eq!(kind, "ResourceInUseException");
    assert_eq!(
        message,
        "Consumer c with creation timestamp 1767225600 under stream: s , account 000000000000 is \
         not in ACTIVE status."
    );
    world.advance(SECOND).await;
    let unknown = consumer.replace(":1767225600", ":1");
    let (kind, message) = client
        .refused("SubscribeToShard", from(&unknown, "LATEST"))
        .await;
    assert_eq!(kind, "ResourceNotFoundException");
    assert_eq!(
        message,
        format!("Consumer {unknown}, account 000000000000 not found.")
    );
    let mut body = from(&consumer, "LATEST");
    body["ShardId"] = shard_id(7).into();
    let (kind, message) = client.refused("SubscribeToShard", body).await;
    assert_eq!(kind, "ResourceNotFoundException");
    assert_eq!(
        message,
        "Shard shardId-000000000007 in stream s under account 000000000000 does not exist"
    );
    let mut dry = from(&consumer, "LATEST");
    dry["DryRun"] = true.into();
    let (kind, _) = client.refused("SubscribeToShard", dry).await;
    assert_eq!(kind, "DryRunOperationException");
    // Nor has any of these counted as a subscription.
    client.subscribe(from(&consumer, "LATEST")).await;
}

#[tokio::test(start_paused = true)]
async fn a_starting_position_is_what_a_shard_iterator_is() {
    let (world, consumer) = world(1).await;
    let client = &world.client;
    client.put("s", "key", b"one").await;
    world.advance(SECOND).await;
    let (_, sequence) = client.put("s", "key", b"two").await;
    world.advance(SECOND).await;
    client.put("s", "key", b"three").await;
    let seconds: u64 = 1_767_225_600;
    for (kind, member, value, expected) in [
        (
            "TRIM_HORIZON",
            None,
            Value::Null,
            vec!["one", "two", "three"],
        ),
        ("LATEST", None, Value::Null, vec![]),
        (
            "AT_SEQUENCE_NUMBER",
            Some("SequenceNumber"),
            json!(sequence),
            vec!["two", "three"],
        ),
        (
            "AFTER_SEQUENCE_NUMBER",
            Some("SequenceNumber"),
            json!(sequence),
            vec!["three"],
        ),
        (
            "AT_TIMESTAMP",
            Some("Timestamp"),
            json!(seconds + 1),
            vec!["two", "three"],
        ),
    ] {
        let mut body = from(&consumer, kind);
        if let Some(member) = member {
            body["StartingPosition"][member] = value;
        }
        let mut events = client.subscribe(body).await;
        assert_eq!(texts(&events.event().await), expected, "{kind}");
        world.advance(5 * SECOND).await;
    }
    for position in [
        json!({"Type": "AT_TIMESTAMP"}),
        json!({"Type": "AT_TIMESTAMP", "Timestamp": 2 * seconds}),
        json!({"Type": "LATEST", "SequenceNumber": sequence}),
        json!({"Type": "AT_SEQUENCE_NUMBER"}),
        json!({"Type": "AT_SEQUENCE_NUMBER", "SequenceNumber": "1"}),
    ] {
        let mut iterator = json!({"StreamName": "s", "ShardId": shard_id(0)});
        iterator["ShardIteratorType"] = position["Type"].clone();
        iterator["StartingSequenceNumber"] = position["SequenceNumber"].clone();
        iterator["Timestamp"] = position["Timestamp"].clone();
        let expected = client.refused("GetShardIterator", iterator).await;
        let mut body = from(&consumer, "LATEST");
        body["StartingPosition"] = position;
        let refusal = client.refused("SubscribeToShard", body.clone()).await;
        assert_eq!(refusal, expected, "{body}");
    }
    let mut body = from(&consumer, "LATEST");
    body["StartingPosition"] = json!({"SequenceNumber": "x"});
    let (kind, message) = client.refused("SubscribeToShard", body).await;
    assert_eq!(kind, "ValidationException");
    assert_eq!(
        message,
        "2 validation errors detected: Value null at 'startingPosition.type' failed to satisfy \
         constraint: Member must not be null; Value 'x' at 'startingPosition.sequenceNumber' \
         failed to satisfy constraint: Member must satisfy regular expression pattern: \
         0|([1-9]\\d{0,128})"
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_is_bounded_and_a_slow_reader_gets_the_rest_when_it_asks() {
    let (world, consumer) = world(1).await;
    let client = &world.client;
    let mut events = client.subscribe(from(&consumer, "TRIM_HORIZON")).await;
    let large = vec![b'x'; 1_000_000];
    for _ in 0..12 {
        client.put("s", "key", &large).await;
    }
    world.advance(SECOND).await;
    let event = events.event().await;
    assert_eq!(event["Records"].as_array().unwrap().len(), 10);
    assert_eq!(event["MillisBehindLatest"], 1000);
    let event = events.event().await;
    assert_eq!(event["Records"].as_array().unwrap().len(), 2);
    assert_eq!(event["MillisBehindLatest"], 0);

    let entry = json!({"PartitionKey": "key", "Data": ""});
    let entries = json!({"StreamName": "s", "Records": vec![entry; 500]});
    for _ in 0..21 {
        client.ok("PutRecords", entries.clone()).await;
    }
    let mut counts = Vec::new();
    for _ in 0..2 {
        let event = events.event().await;
        counts.push(event["Records"].as_array().unwrap().len());
    }
    assert_eq!(counts, [10_000, 500]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_rule_strikes_before_the_stream_begins() {
    let (world, consumer) = world(1).await;
    let client = &world.client;
    let rule = |fault| {
        world
            .mock
            .on(Operation::SubscribeToShard)
            .stream("s")
            .times(1)
            .reply(fault);
    };
    rule(Fault::Throttle);
    let (kind, _) = client
        .refused("SubscribeToShard", from(&consumer, "LATEST"))
        .await;
    assert_eq!(kind, "LimitExceededException");
    rule(Fault::Internal);
    let refusal = client
        .call("SubscribeToShard", from(&consumer, "LATEST"))
        .await;
    assert_eq!(refusal.unwrap_err().status, 500);
    client.subscribe(from(&consumer, "LATEST")).await;
}

#[test]
fn equal_seeds_give_equal_subscriptions() {
    let run = || {
        virtual_time(async {
            let (World { client, .. }, consumer) = world(1).await;
            let mut events = client.subscribe(from(&consumer, "LATEST")).await;
            client.put("s", "key", b"one").await;
            let first = events.event().await;
            (first, events.event().await)
        })
    };
    assert_eq!(run(), run());
}

#[tokio::test]
async fn a_reader_that_goes_away_leaves_nothing_behind() {
    let clock = ManualClock::new();
    let mock = Mock::builder().env(clock.env()).build();
    let client = Client::new(&mock);
    client.create("s", 1).await;
    let consumer = client.register("s", "c").await;
    let server = mock.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    for (number, is_http2) in [false, true].into_iter().enumerate() {
        let stream = TcpStream::connect(server.local_addr()).await.unwrap();
        let body = from(&consumer, "LATEST").to_string();
        let sent = request("SubscribeToShard", body.into());
        let (response, connection) = send(stream, sent, is_http2).await;
        let mut events = Events::begin(response).await;
        while clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        client.put("s", "key", b"one").await;
        assert_eq!(texts(&events.event().await), ["one"]);
        clock.advance(5 * SECOND);
        assert_eq!(texts(&events.event().await), [""; 0]);
        drop(events);
        drop(connection);
        while clock.sleepers() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(mock.calls(Operation::SubscribeToShard), number as u64 + 1);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_server_that_shuts_down_ends_its_subscriptions_well() {
    let mock = Mock::new();
    let client = Client::new(&mock);
    client.create("s", 1).await;
    for is_http2 in [false, true] {
        let consumer = client.register("s", &format!("c{is_http2}")).await;
        let server = mock.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let stream = TcpStream::connect(server.local_addr()).await.unwrap();
        let sent = request(
            "SubscribeToShard",
            from(&consumer, "LATEST").to_string().into(),
        );
        let (response, _connection) = send(stream, sent, is_http2).await;
        let mut events = Events::begin(response).await;
        // Had it to wait until its patience ends, the answer would be cut off instead.
        let (message, ()) = tokio::join!(events.message(), server.shutdown());
        assert_eq!(message, None);
    }
}

/// Sends one request over a socket; the task drives the connection.
async fn send(
    stream: TcpStream,
    request: http::Request<Full<bytes::Bytes>>,
    is_http2: bool,
) -> (http::Response<hyper::body::Incoming>, Task<()>) {
    let io = TokioIo::new(stream);
    let mut request = request;
    *request.uri_mut() = "http://localhost/".parse().unwrap();
    request
        .headers_mut()
        .insert("host", "localhost".parse().unwrap());
    if is_http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                .await
                .unwrap();
        let task = Env::system().spawn(async {
            let _ = connection.await;
        });
        (sender.send_request(request).await.unwrap(), task)
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        let task = Env::system().spawn(async {
            let _ = connection.await;
        });
        (sender.send_request(request).await.unwrap(), task)
    }
}
