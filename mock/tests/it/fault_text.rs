//! Fault rules as text: each kind strikes, and what is wrong is named by line and member.

use serde_json::{Value, json};
use shardwise_mock::{Fault, Mock, Operation};

use crate::support::{Client, World};

/// The status and error type of a ListStreams under one rule.
async fn under(rule: Value) -> (u16, String) {
    let mock = Mock::new();
    let rules = mock.add_faults(&json!([rule]).to_string()).unwrap();
    let answer = Client::new(&mock).call("ListStreams", json!({})).await;
    match answer {
        Ok(_) => {
            assert_eq!(rules[0].struck(), 0, "{rule}");
            (200, String::new())
        }
        Err(refusal) => {
            assert_eq!(rules[0].struck(), 1, "{rule}");
            (refusal.status, refusal.kind)
        }
    }
}

#[tokio::test]
async fn each_refusing_fault_has_its_error() {
    let error = json!({"error": {"status": 418, "type": "Teapot", "message": "short"}});
    for (fault, status, kind) in [
        (json!("throttle"), 400, "LimitExceededException"),
        (json!("internal"), 500, "InternalFailure"),
        (json!("lose_answer"), 500, "InternalFailure"),
        (json!("unavailable"), 503, "ServiceUnavailable"),
        (error, 418, "Teapot"),
    ] {
        let (status_seen, kind_seen) = under(json!({"fault": fault})).await;
        assert_eq!((status_seen, kind_seen.as_str()), (status, kind));
    }
}

#[tokio::test]
async fn each_member_narrows_the_rule() {
    for (member, value) in [
        ("service", json!("dynamodb")),
        ("operation", json!("PutRecord")),
        ("stream", json!("other")),
        ("table", json!("other")),
        ("shard", json!("shardId-000000000000")),
        ("caller", json!("somebody")),
        ("rate", json!(0.0)),
        ("after_ms", json!(60_000)),
        ("for_ms", json!(0)),
    ] {
        let mut rule = json!({"fault": "internal"});
        rule[member] = value;
        assert_eq!(under(rule).await.0, 200, "{member}");
    }
    let rule = json!({
        "service": "kinesis", "operation": "ListStreams", "caller": "AKIAIOSFODNN7EXAMPLE",
        "rate": 1, "times": 1, "after_ms": 0, "for_ms": 60_000, "fault": "internal",
    });
    assert_eq!(under(rule).await.0, 500);
}

#[tokio::test(start_paused = true)]
async fn entries_fail_by_their_places_and_a_rule_ends_after_its_times() {
    let world = World::new();
    world.client.create("s", 1).await;
    let text = r#"[
        {"operation": "PutRecords", "stream": "s", "times": 1,
         "fault": {"throttle_entries": {"every": 2}}},
        {"operation": "PutRecords", "times": 1, "fault": {"fail_entries": {}}}
    ]"#;
    let rules = world.mock.add_faults(text).unwrap();
    let entries = vec![json!({"PartitionKey": "a", "Data": ""}); 3];
    let body = json!({"StreamName": "s", "Records": entries});
    let mut failed = Vec::new();
    for _ in 0..3 {
        let answer = world.client.ok("PutRecords", body.clone()).await;
        failed.push(answer["FailedRecordCount"].as_u64().unwrap());
    }
    assert_eq!(failed, [2, 3, 0]);
    assert_eq!((rules[0].struck(), rules[1].struck()), (1, 1));
}

#[test]
fn what_is_wrong_is_named_by_line_and_member() {
    let mock = Mock::new();
    let mut wrong = Vec::new();
    for (text, error) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        (
            "{}",
            "invalid type: map, expected a sequence at line 1 column 0",
        ),
        ("[] []", "trailing characters at line 1 column 4"),
        (
            "[\n{\"fault\": \"throttle\",\n\"rates\": 1}]",
            "[0].rates: unknown field `rates`, expected one of `service`, `operation`, `stream`, \
             `table`, `shard`, `caller`, `rate`, `times`, `after_ms`, `for_ms`, `fault` at line 3 \
             column 7",
        ),
        (
            r#"[{"rate": 1}]"#,
            "[0]: missing field `fault` at line 1 column 12",
        ),
        (
            "[{\"fault\": \"internal\"},\n{\"fault\": \"internal\", \"rate\": 1.5}]",
            "[1].rate: a rate is from 0 to 1 at line 2 column 34",
        ),
        (
            r#"[{"operation": "PutRecordz", "fault": "throttle"}]"#,
            "[0].operation: no such operation: PutRecordz at line 1 column 27",
        ),
        (
            r#"[{"operation": "GetItem", "service": "kinesis", "fault": "throttle"}]"#,
            "[0]: kinesis has no operation GetItem at line 1 column 69",
        ),
        (
            r#"[{"shard": "one", "fault": "throttle"}]"#,
            "[0].shard: one is no shard id, such as shardId-000000000000 at line 1 column 16",
        ),
        (
            r#"[{"fault": {"error": {"status": 200, "type": "x"}}}]"#,
            "[0].fault.error.status: the status of an error is from 400 to 599 at line 1 column 35",
        ),
        (
            r#"[{"fault": {"slow_body": {"bytes": 0, "every_ms": 1}}}]"#,
            "[0].fault.slow_body.bytes: invalid value: integer `0`, expected a nonzero usize at \
             line 1 column 36",
        ),
        (
            r#"[{"fault": {"throttle_entries": {}}}]"#,
            "[0]: only PutRecords has entries: name it as the operation at line 1 column 37",
        ),
        (
            r#"[{"times": 0, "fault": "throttle"}]"#,
            "[0]: a rule holds for a number of times from 1 at line 1 column 35",
        ),
        (
            r#"[{"stream": "a", "table": "b", "fault": "throttle"}]"#,
            "[0]: a rule is for a stream or a table, not both at line 1 column 52",
        ),
    ] {
        let refused = mock.add_faults(text).unwrap_err().to_string();
        if refused != error {
            wrong.push((refused, error));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_text_of_which_one_rule_is_wrong_adds_none() {
    let world = World::new();
    let text = r#"[{"fault": "internal"}, {"fault": "unheard-of"}]"#;
    assert!(world.mock.add_faults(text).is_err());
    world.client.ok("ListStreams", json!({})).await;
    world.mock.on(Operation::ListStreams).reply(Fault::Internal);
    assert!(world.client.call("ListStreams", json!({})).await.is_err());
}
