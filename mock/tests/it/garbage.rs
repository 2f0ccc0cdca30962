//! Whatever the bytes: an answer below 500, and never a panic.

use proptest::prelude::*;
use serde_json::{Value, json};
use shardwise_mock::Operation;

use crate::support::{World, request, virtual_time};

const MEMBERS: [&str; 41] = [
    "StreamName",
    "StreamARN",
    "StreamId",
    "ShardId",
    "ShardIteratorType",
    "ShardIterator",
    "StartingSequenceNumber",
    "Timestamp",
    "Limit",
    "Records",
    "Data",
    "PartitionKey",
    "ExplicitHashKey",
    "SequenceNumberForOrdering",
    "ShardCount",
    "StreamModeDetails",
    "Tags",
    "WarmThroughputMiBps",
    "MaxRecordSizeInKiB",
    "NextToken",
    "MaxResults",
    "ShardFilter",
    "ExclusiveStartShardId",
    "StreamCreationTimestamp",
    "ShardToSplit",
    "NewStartingHashKey",
    "ShardToMerge",
    "DryRun",
    "TagKeys",
    "ExclusiveStartTagKey",
    "EncryptionType",
    "KeyId",
    "MinimumThroughputBillingCommitment",
    "RecordDistributionStrategy",
    "RetentionPeriodHours",
    "ScalingType",
    "ShardLevelMetrics",
    "Status",
    "StreamMode",
    "TargetShardCount",
    "Type",
];

/// Values that mean something, mean too much, or mean nothing.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-2..20_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "s",
            "0",
            "1",
            "shardId-000000000000",
            "LATEST",
            "TRIM_HORIZON",
            "AT_TIMESTAMP",
            "AT_SEQUENCE_NUMBER",
            "AFTER_SHARD_ID",
            "ON_DEMAND",
            "PROVISIONED",
            "AUTO",
            "UNIFORM_SCALING",
            "KMS",
            "ENABLED",
            "DISABLED",
            "YQ==",
            "99999999999999999999",
            "49543463076548007577105092703039560359975228518395019266",
            "340282366920938463463374607431768211455",
            "999999999999999999999999999999999999999",
            "arn:aws:kinesis:us-east-1:000000000000:stream/s",
            "arn:aws:kinesis:::stream/",
        ])
        .prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            members(inner),
        ]
    })
}

fn members(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        8 => prop::sample::select(MEMBERS.to_vec()).prop_map(str::to_owned),
        1 => ".{0,10}",
    ];
    prop::collection::btree_map(names, values, 0..8)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn operations() -> impl Strategy<Value = &'static str> {
    let names: Vec<&str> = Operation::ALL
        .iter()
        .map(|operation| operation.name())
        .collect();
    prop::sample::select(names)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_request_of_any_shape_is_the_mocks_fault(
        requests in prop::collection::vec((operations(), members(values())), 1..12),
        delay in prop::sample::select(vec![0, 500]),
    ) {
        virtual_time(async {
            let world = World::with(|b| {
                b.shard_limit(100).state_delay(std::time::Duration::from_millis(delay))
            });
            world.client.create("s", 2).await;
            for (operation, mut body) in requests {
                // Most often the stream exists, so that the request gets further.
                if let Some(members) = body.as_object_mut() {
                    members.entry("StreamName").or_insert(json!("s"));
                }
                let (status, answer) = world
                    .client
                    .post(operation, body.to_string().into_bytes())
                    .await;
                prop_assert!(status.as_u16() < 500, "{operation} {body}: {status} {answer:?}");
                prop_assert!(!answer.windows(5).any(|w| w == b":null"), "{operation} {answer:?}");
            }
            Ok(())
        })?;
    }

    #[test]
    fn no_request_in_cbor_of_any_shape_is_the_mocks_fault(
        operation in operations(),
        members in members(values()),
        bytes in prop::collection::vec(any::<u8>(), 0..4),
        at in any::<prop::sample::Index>(),
        spoil in prop::sample::select(vec!["nothing", "insert", "replace", "cut off"]),
    ) {
        virtual_time(async {
            let world = World::with(|builder| builder.shard_limit(100));
            world.client.create("s", 2).await;
            let mut body = Vec::new();
            ciborium::into_writer(&members, &mut body).unwrap();
            let at = at.index(body.len());
            match spoil {
                "insert" => drop(body.splice(at..at, bytes)),
                "replace" => drop(body.splice(at..body.len().min(at + bytes.len()), bytes)),
                "cut off" => body.truncate(at),
                _ => {}
            }
            let mut sent = request(operation, body);
            let cbor = "application/x-amz-cbor-1.1";
            sent.headers_mut().insert("content-type", cbor.parse().unwrap());
            let (status, headers, answer) = world.client.send(sent).await;
            prop_assert!(status.as_u16() < 500, "{operation} {members}: {status} {answer:?}");
            prop_assert_eq!(&headers["content-type"], cbor);
            if !answer.is_empty() {
                let answer: ciborium::Value = ciborium::from_reader(&answer[..]).unwrap();
                prop_assert!(answer.is_map(), "{operation} {members}: {answer:?}");
            }
            Ok(())
        })?;
    }

    #[test]
    fn no_bytes_under_any_header_are_the_mocks_fault(
        target in prop_oneof![
            operations().prop_map(|name| format!("Kinesis_20131202.{name}")),
            operations().prop_map(|name| format!("DynamoDB_20120810.{name}")),
            "[ -~]{0,40}",
        ],
        content_type in prop_oneof![
            Just("application/x-amz-json-1.1".to_owned()),
            Just("application/x-amz-json-1.0".to_owned()),
            Just("application/x-amz-cbor-1.1".to_owned()),
            "[ -~]{0,30}",
        ],
        authorization in "[ -~]{0,60}",
        query in "[!-~&&[^#]]{0,60}",
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        virtual_time(async {
            let world = World::new();
            let mut sent = request("x", body);
            let headers = sent.headers_mut();
            for (name, value) in [
                ("x-amz-target", &target),
                ("content-type", &content_type),
                ("authorization", &authorization),
            ] {
                headers.insert(name, value.parse().unwrap());
            }
            if let Ok(uri) = format!("/?{query}").parse() {
                *sent.uri_mut() = uri;
            }
            let (status, _, body) = world.client.send(sent).await;
            prop_assert!(status.as_u16() < 500, "{status} {body:?}");
            Ok(())
        })?;
    }
}
