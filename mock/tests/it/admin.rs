//! The admin API.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use shardwise_env::ManualClock;
use shardwise_mock::{EntryFault, Fault, Mock, Operation};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower_service::Service as _;

use crate::support::{Client, World};

/// Status and body of an answer.
async fn ask(mock: &Mock, method: Method, path: &str, body: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri(path);
    let request = request
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    let response = mock.admin_service().call(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn get(mock: &Mock, path: &str) -> Value {
    let (status, body) = ask(mock, Method::GET, path, "").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

async fn post(mock: &Mock, path: &str, body: &str) -> (u16, Value) {
    let (status, body) = ask(mock, Method::POST, path, body).await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn rules_are_added_listed_with_their_strikes_and_dropped() {
    let mock = Mock::new();
    let client = Client::new(&mock);
    let first = json!({
        "operation": "ListStreams", "times": 2, "rate": 1.0, "fault": "internal",
    });
    let second = json!({
        "service": "dynamodb", "table": "leases", "after_ms": 60_000, "for_ms": 5,
        "fault": {"error": {"status": 400, "type": "T", "message": "m"}},
    });
    let text = json!([first, second]).to_string();
    let added = post(&mock, "/faults", &text).await;
    assert_eq!(added, (201, json!({"ids": [1, 2]})));
    for _ in 0..3 {
        let _ = client.call("ListStreams", json!({})).await;
    }
    let listed = get(&mock, "/faults").await;
    let expected = json!({
        "id": 1, "struck": 2, "service": "kinesis", "operation": "ListStreams", "rate": 1.0,
        "times": 0, "fault": "internal",
    });
    let strip = |rule: &Value| {
        let mut rule = rule.clone();
        let after = rule.as_object_mut().unwrap().remove("after_ms");
        (rule, after.unwrap().as_u64().unwrap())
    };
    assert_eq!(strip(&listed[0]).0, expected);
    let (rule, after) = strip(&listed[1]);
    assert_eq!((&rule["id"], &rule["struck"]), (&json!(2), &json!(0)));
    assert_eq!(rule["table"], "leases");
    assert_eq!(rule["fault"], second["fault"]);
    assert!((60_000..120_000).contains(&after), "{after}");
    let delete = async |path: &str| ask(&mock, Method::DELETE, path, "").await.0;
    assert_eq!(delete("/faults/1").await, 200);
    assert_eq!(delete("/faults/1").await, 404);
    assert_eq!(delete("/faults/x").await, 404);
    assert_eq!(get(&mock, "/faults").await[0]["id"], 2);
    assert_eq!(delete("/faults").await, 200);
    assert_eq!(get(&mock, "/faults").await, json!([]));
}

#[tokio::test]
async fn every_fault_is_listed_as_it_would_be_written() {
    let mock = Mock::new();
    let ms = Duration::from_millis;
    for fault in [
        Fault::Throttle,
        Fault::Internal,
        Fault::Unavailable,
        Fault::LoseRequest,
        Fault::LoseAnswer,
        Fault::LoseResponse,
        Fault::Delay(ms(1)),
        Fault::StaleRead(ms(2)),
        Fault::TruncateBody(3),
        Fault::slow_body(4.try_into().unwrap(), ms(5)),
        Fault::error(400, "T", "m"),
    ] {
        mock.on(Operation::GetItem)
            .shard(7)
            .caller("c")
            .reply(fault);
    }
    for fault in [EntryFault::Throttle, EntryFault::Internal] {
        mock.on(Operation::PutRecords)
            .stream("s")
            .fail_entries(fault, |_| true);
    }
    let listed = get(&mock, "/faults").await;
    let mut written = listed.clone();
    for rule in written.as_array_mut().unwrap() {
        let rule = rule.as_object_mut().unwrap();
        rule.retain(|member, _| member != "id" && member != "struck");
        rule.insert("after_ms".to_owned(), json!(0));
    }
    mock.clear_faults();
    let (status, answer) = post(&mock, "/faults", &written.to_string()).await;
    assert_eq!(status, 201, "{answer}");
    let again = get(&mock, "/faults").await;
    let faults = |rules: &Value| -> Vec<Value> {
        let rules = rules.as_array().unwrap().iter();
        rules
            .map(|rule| json!([rule["fault"], rule["shard"], rule["stream"]]))
            .collect()
    };
    assert_eq!(faults(&listed), faults(&again));
    assert_eq!(listed.as_array().unwrap().len(), 13);
}

#[tokio::test]
async fn a_manual_clock_is_moved_and_time_passes_for_streams() {
    let clock = ManualClock::at(SystemTime::UNIX_EPOCH, 1);
    let delay = Duration::from_millis(500);
    let mock = Mock::builder()
        .manual_clock(clock)
        .state_delay(delay)
        .build();
    let client = Client::new(&mock);
    client.create("s", 1).await;
    assert_eq!(client.status("s").await, "CREATING");
    let moved = post(&mock, "/clock/advance", r#"{"ms": 500}"#).await;
    let expected = json!({"wall_ms": 500, "uptime_ms": 500, "manual": true});
    assert_eq!(moved, (200, expected.clone()));
    assert_eq!(client.status("s").await, "ACTIVE");
    assert_eq!(get(&mock, "/clock").await, expected);
}

#[tokio::test]
async fn a_reset_drops_everything_of_everybody() {
    let mock = Mock::new();
    let client = Client::new(&mock);
    for path in ["/reset", "/moto-api/reset"] {
        client.create("s", 1).await;
        mock.on(Operation::ListStreams).reply(Fault::Internal);
        assert_eq!(post(&mock, path, "").await.0, 200);
        let answer = client.ok("ListStreams", json!({})).await;
        assert_eq!(answer["StreamNames"], json!([]));
        assert_eq!(mock.calls(Operation::CreateStream), 0);
        assert_eq!(get(&mock, "/faults").await, json!([]));
    }
}

#[tokio::test]
async fn metrics_count_requests_and_strikes() {
    let mock = Mock::new();
    let client = Client::new(&mock);
    client.create("s", 1).await;
    mock.on(Operation::ListStreams).reply(Fault::Internal);
    for _ in 0..3 {
        let _ = client.call("ListStreams", json!({})).await;
    }
    let (status, text) = ask(&mock, Method::GET, "/metrics", "").await;
    assert_eq!(status, 200);
    for line in [
        r#"shardwise_mock_requests_total{service="kinesis",operation="ListStreams"} 3"#,
        r#"shardwise_mock_requests_total{service="kinesis",operation="CreateStream"} 1"#,
        r#"shardwise_mock_requests_total{service="dynamodb",operation="TagResource"} 0"#,
        r#"shardwise_mock_fault_strikes_total{rule="1"} 3"#,
    ] {
        assert!(
            text.lines().any(|written| written == line),
            "{line}\n{text}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_told_in_json() {
    let mock = Mock::new();
    for (method, path, body, status) in [
        (Method::GET, "/", "", 404),
        (Method::GET, "/faults/1", "", 404),
        (Method::DELETE, "/faults/", "", 404),
        (Method::POST, "/health", "", 405),
        (Method::PUT, "/faults", "[]", 405),
        (Method::GET, "/reset", "", 405),
        (Method::POST, "/faults", "[{}]", 400),
        (Method::POST, "/faults", "\u{0}", 400),
        (Method::POST, "/clock/advance", "{}", 400),
        (Method::POST, "/clock/advance", r#"{"ms": -1}"#, 400),
        (Method::POST, "/clock/advance", r#"{"ms": 1, "s": 1}"#, 400),
        (Method::POST, "/clock/advance", r#"{"ms": 1}"#, 409),
        (Method::POST, "/faults", &" ".repeat(1024 * 1024 + 1), 413),
    ] {
        let (seen, answer) = ask(&mock, method.clone(), path, body).await;
        assert_eq!(seen, status, "{method} {path} {answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["error"].is_string(), "{answer}");
    }
    let mock = Mock::builder().manual_clock(ManualClock::new()).build();
    let (status, _) = post(
        &mock,
        "/clock/advance",
        &json!({"ms": u64::MAX}).to_string(),
    )
    .await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn it_answers_on_a_port_of_its_own() {
    let mock = Mock::new();
    let server = mock.listen_admin(([127, 0, 0, 1], 0).into()).await.unwrap();
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let request = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with(r#"{"status":"ok"}"#), "{answer}");
    server.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_reset_as_moto_takes_it_works_on_the_services_port_when_asked_for() {
    let reset = || {
        let request = Request::post("/moto-api/reset");
        request.body(Full::new(Bytes::new())).unwrap()
    };
    let world = World::with(|builder| builder.moto_reset(true));
    let client = &world.client;
    client.create("s", 1).await;
    let (status, _, body) = client.send(reset()).await;
    assert_eq!(
        (status.as_u16(), &body[..]),
        (200, &br#"{"status":"ok"}"#[..])
    );
    let left = client.ok("ListStreams", json!({})).await;
    assert_eq!(left["StreamNames"], json!([]));

    let world = World::new();
    world.client.create("s", 1).await;
    let (status, ..) = world.client.send(reset()).await;
    assert_ne!(status.as_u16(), 200, "not unless it is asked for");
    let left = world.client.ok("ListStreams", json!({})).await;
    assert_eq!(left["StreamNames"], json!(["s"]));
}
