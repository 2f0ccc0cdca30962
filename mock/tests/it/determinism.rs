//! Equal seeds, equal clocks and equal requests give equal answers, byte for byte.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde_json::json;
use shardwise_env::ManualClock;
use shardwise_mock::{Fault, Mock, Operation};

use crate::support::{Client, request};

/// One thing that happens to a mock.
#[derive(Debug, Clone)]
enum Step {
    Advance(u64),
    Ask {
        caller: &'static str,
        operation: &'static str,
        body: String,
    },
}

const CALLERS: [&str; 3] = ["AKIDEXAMPLE", "111111111111", "222222222222"];

fn ask() -> impl Strategy<Value = Step> {
    let name = || prop::sample::select(&["a", "b"][..]);
    let body = prop_oneof![
        name().prop_map(|name| ("CreateStream", json!({"StreamName": name, "ShardCount": 2}))),
        name().prop_map(|name| ("DeleteStream", json!({"StreamName": name}))),
        name().prop_map(|name| ("DescribeStreamSummary", json!({"StreamName": name}))),
        name().prop_map(|name| ("ListShards", json!({"StreamName": name, "MaxResults": 1}))),
        Just(("ListStreams", json!({"Limit": 1}))),
        (name(), "[a-z]{1,3}").prop_map(|(name, key)| {
            (
                "PutRecord",
                json!({"StreamName": name, "PartitionKey": key, "Data": "AA=="}),
            )
        }),
        name().prop_map(|name| {
            let body = json!({
                "StreamName": name, "ShardId": "0", "ShardIteratorType": "TRIM_HORIZON",
            });
            ("GetShardIterator", body)
        }),
        name().prop_map(|name| {
            let body = json!({
                "TableName": format!("table-{name}"),
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
            });
            ("CreateTable", body)
        }),
    ];
    (prop::sample::select(&CALLERS[..]), body).prop_map(|(caller, (operation, body))| Step::Ask {
        caller,
        operation,
        body: body.to_string(),
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![1 => (0..3000_u64).prop_map(Step::Advance), 5 => ask()];
    prop::collection::vec(step, 0..40)
}

/// The answers of a new mock: status, headers and body of each.
fn answers(steps: &[Step], env_seed: u64, with_fault: bool) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(async {
        let clock = ManualClock::at(
            SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30),
            env_seed,
        );
        let mock = Mock::builder().env(clock.env()).seed(7).build();
        if with_fault {
            mock.on(Operation::PutRecord)
                .rate(0.5)
                .reply(Fault::Throttle);
        }
        let client = Client::new(&mock);
        let mut answers = Vec::new();
        for step in steps {
            match step {
                Step::Advance(ms) => clock.advance(Duration::from_millis(*ms)),
                Step::Ask {
                    caller,
                    operation,
                    body,
                } => {
                    let mut request = request(operation, body.clone().into_bytes());
                    let headers = request.headers_mut();
                    let scope = format!(
                        "AWS4-HMAC-SHA256 Credential={caller}/20260101/eu-west-1/kinesis/\
                         aws4_request, SignedHeaders=host, Signature=0"
                    );
                    headers.insert("authorization", scope.parse().unwrap());
                    if *operation == "CreateTable" {
                        let target = format!("DynamoDB_20120810.{operation}");
                        headers.insert("x-amz-target", target.parse().unwrap());
                        let json = "application/x-amz-json-1.0".parse().unwrap();
                        headers.insert("content-type", json);
                    }
                    let (status, headers, body) = client.send(request).await;
                    answers.push(format!("{status} {headers:?} {body:?}"));
                }
            }
        }
        answers
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_seed_and_a_clock_repeat_every_answer(steps in steps(), with_fault: bool) {
        // The environment's own randomness differs: only the mock's seed may count.
        prop_assert_eq!(answers(&steps, 1, with_fault), answers(&steps, 2, with_fault));
    }
}

/// The body of the last answer.
fn last_body(steps: &[Step]) -> String {
    let answers = answers(steps, 1, false);
    let (_, body) = answers.last().unwrap().split_once("} b").unwrap();
    body.to_owned()
}

#[test]
fn the_ids_of_an_account_do_not_depend_on_who_came_first() {
    let ask = |caller, operation, body: serde_json::Value| Step::Ask {
        caller,
        operation,
        body: body.to_string(),
    };
    let create = |caller| {
        ask(
            caller,
            "CreateStream",
            json!({"StreamName": "a", "ShardCount": 1}),
        )
    };
    let describe = |caller| ask(caller, "DescribeStreamSummary", json!({"StreamName": "a"}));
    let [_, one, two] = CALLERS;
    let first = last_body(&[create(one), create(two), describe(one)]);
    let second = last_body(&[create(two), create(one), describe(one)]);
    assert_eq!(first, second);
    assert!(first.contains("StreamId"), "{first}");
    assert_ne!(first, last_body(&[create(one), create(two), describe(two)]));
}
