//! Requests that break the API model: the service's types and texts.

use serde_json::json;

use crate::support::World;

const NUMBER: &str = "class com.amazon.coral.value.json.numbers.TruncatingBigNumber";

#[tokio::test(start_paused = true)]
async fn constraints_are_told_together_in_the_services_words() {
    let World { client, .. } = World::new();
    for (operation, body, text) in [
        (
            "GetShardIterator",
            json!({}),
            "2 validation errors detected: Value null at 'shardId' failed to satisfy constraint: \
             Member must not be null; Value null at 'shardIteratorType' failed to satisfy \
             constraint: Member must not be null"
                .to_owned(),
        ),
        (
            "GetShardIterator",
            json!({"StreamName": "", "ShardId": "", "ShardIteratorType": "",
                   "StartingSequenceNumber": ""}),
            "6 validation errors detected: Value '' at 'streamName' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value '' at \
             'streamName' failed to satisfy constraint: Member must have length greater than or \
             equal to 1; Value '' at 'shardId' failed to satisfy constraint: Member must satisfy \
             regular expression pattern: [a-zA-Z0-9_.-]+; Value '' at 'shardId' failed to satisfy \
             constraint: Member must have length greater than or equal to 1; Value '' at \
             'shardIteratorType' failed to satisfy constraint: Member must satisfy enum value set: \
             [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]; \
             Value '' at 'startingSequenceNumber' failed to satisfy constraint: Member must \
             satisfy regular expression pattern: 0|([1-9]\\d{0,128})"
                .to_owned(),
        ),
        (
            "GetRecords",
            json!({"ShardIterator": "", "Limit": 0}),
            "2 validation errors detected: Value '' at 'shardIterator' failed to satisfy \
             constraint: Member must have length greater than or equal to 1; Value '0' at 'limit' \
             failed to satisfy constraint: Member must have value greater than or equal to 1"
                .to_owned(),
        ),
        (
            "GetRecords",
            json!({"ShardIterator": "a".repeat(513), "Limit": 100_000}),
            format!(
                "2 validation errors detected: Value '{}' at 'shardIterator' failed to satisfy \
                 constraint: Member must have length less than or equal to 512; Value '100000' at \
                 'limit' failed to satisfy constraint: Member must have value less than or equal to \
                 10000",
                "a".repeat(513)
            ),
        ),
        (
            "CreateStream",
            json!({"ShardCount": 0}),
            "2 validation errors detected: Value null at 'streamName' failed to satisfy \
             constraint: Member must not be null; Value '0' at 'shardCount' failed to satisfy \
             constraint: Member must have value greater than or equal to 1"
                .to_owned(),
        ),
        (
            "CreateStream",
            json!({"StreamName": "s", "StreamModeDetails": {"StreamMode": "SOME"}}),
            "1 validation error detected: Value 'SOME' at 'streamModeDetails.streamMode' failed to \
             satisfy constraint: Member must satisfy enum value set: [PROVISIONED, ON_DEMAND]"
                .to_owned(),
        ),
        (
            "CreateStream",
            json!({"StreamName": "s", "ShardCount": 1, "Tags": {"": "v"}}),
            "1 validation error detected: Value '{=v}' at 'tags' failed to satisfy constraint: Map \
             keys must satisfy constraint: [Member must have length less than or equal to 128, \
             Member must have length greater than or equal to 1]"
                .to_owned(),
        ),
        (
            "PutRecords",
            json!({"StreamName": "s", "Records": [{"PartitionKey": "a", "Data": ""}, {}]}),
            "2 validation errors detected: Value null at 'records.2.member.data' failed to satisfy \
             constraint: Member must not be null; Value null at 'records.2.member.partitionKey' \
             failed to satisfy constraint: Member must not be null"
                .to_owned(),
        ),
        (
            "PutRecord",
            json!({"StreamName": "s", "PartitionKey": "𝄞".repeat(257), "Data": ""}),
            format!(
                "1 validation error detected: Value '{}' at 'partitionKey' failed to satisfy \
                 constraint: Member must have length less than or equal to 256",
                "𝄞".repeat(257)
            ),
        ),
        (
            "ListShards",
            json!({"StreamARN": "arn:aws:s3:::bucket", "ShardFilter": {}}),
            "2 validation errors detected: Value null at 'shardFilter.type' failed to satisfy \
             constraint: Member must not be null; Value 'arn:aws:s3:::bucket' at 'streamARN' \
             failed to satisfy constraint: Member must satisfy regular expression pattern: \
             arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+"
                .to_owned(),
        ),
    ] {
        let (kind, message) = client.refused(operation, body).await;
        assert_eq!(kind, "ValidationException", "{message}");
        assert_eq!(message, text);
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_ten_constraints_are_told() {
    let World { client, .. } = World::new();
    let body = json!({"StreamName": "s", "Records": vec![json!({}); 30]});
    let (_, message) = client.refused("PutRecords", body).await;
    assert!(
        message.starts_with("10 validation errors detected: "),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_far_too_long_is_not_told_whole() {
    let World { client, .. } = World::new();
    let body = json!({"StreamName": "s", "Records": vec![json!(null); 100_000]});
    let (kind, message) = client.refused("PutRecords", body).await;
    assert_eq!(kind, "ValidationException");
    assert!(message.contains("at 'records' failed to satisfy constraint: Member must have length"));
    assert!(message.len() < 100_000, "{}", message.len());
}

#[tokio::test(start_paused = true)]
async fn a_wrong_type_is_told_before_any_constraint() {
    let World { client, .. } = World::new();
    for (operation, body, text) in [
        (
            "DeleteStream",
            json!({"StreamName": true}),
            "class java.lang.Boolean can not be converted to an String".to_owned(),
        ),
        (
            "DeleteStream",
            json!({"StreamName": 23}),
            format!("{NUMBER} can not be converted to an String"),
        ),
        (
            "DeleteStream",
            json!({"StreamName": 2.5}),
            format!("{NUMBER} can not be converted to an String"),
        ),
        (
            "DeleteStream",
            json!({"StreamName": []}),
            "Start of list found where not expected".to_owned(),
        ),
        (
            "DeleteStream",
            json!({"StreamName": {}}),
            "Start of structure or map found where not expected.".to_owned(),
        ),
        (
            "DeleteStream",
            json!({"EnforceConsumerDeletion": "maybe"}),
            "'MAYBE' can not be converted to an Boolean".to_owned(),
        ),
        (
            "DeleteStream",
            json!({"EnforceConsumerDeletion": 1}),
            format!("{NUMBER} can not be converted to an Boolean"),
        ),
        (
            "GetRecords",
            json!({"ShardIterator": "", "Limit": "23"}),
            "class java.lang.String can not be converted to an Integer".to_owned(),
        ),
        (
            "GetRecords",
            json!({"Limit": 0, "ShardIterator": false}),
            "class java.lang.Boolean can not be converted to an String".to_owned(),
        ),
        (
            "GetShardIterator",
            json!({"Timestamp": "now"}),
            "class java.lang.String can not be converted to milliseconds since epoch".to_owned(),
        ),
        (
            "PutRecord",
            json!({"Data": true}),
            "class java.lang.Boolean can not be converted to a Blob".to_owned(),
        ),
        (
            "PutRecord",
            json!({"Data": "23456"}),
            "'23456' can not be converted to a Blob: Base64 encoded length is expected a multiple \
             of 4 bytes but found: 5"
                .to_owned(),
        ),
        (
            "PutRecord",
            json!({"Data": "=+/="}),
            "'=+/=' can not be converted to a Blob: Invalid Base64 character: '='".to_owned(),
        ),
        (
            "PutRecord",
            json!({"Data": "+/+="}),
            "'+/+=' can not be converted to a Blob: Invalid last non-pad Base64 character dectected"
                .to_owned(),
        ),
        (
            "PutRecords",
            json!({"Records": 23}),
            "Expected list or null".to_owned(),
        ),
        (
            "PutRecords",
            json!({"Records": {}}),
            "Start of structure or map found where not expected.".to_owned(),
        ),
        (
            "PutRecords",
            json!({"Records": ["a"]}),
            "Expected null".to_owned(),
        ),
        (
            "CreateStream",
            json!({"StreamModeDetails": "x"}),
            "Expected null".to_owned(),
        ),
        (
            "CreateStream",
            json!({"Tags": "x"}),
            "Expected map or null".to_owned(),
        ),
    ] {
        let (kind, message) = client.refused(operation, body).await;
        assert_eq!(kind, "SerializationException", "{message}");
        assert_eq!(message, text);
    }
}

#[tokio::test(start_paused = true)]
async fn null_is_absent_and_what_the_model_does_not_know_is_ignored() {
    let World { client, .. } = World::new();
    client
        .ok(
            "CreateStream",
            json!({"StreamName": "s", "ShardCount": 1.9, "Tags": null, "Invented": [1]}),
        )
        .await;
    assert_eq!(client.shards("s").await.len(), 1, "fractions are cut off");
}
