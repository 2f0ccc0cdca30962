//! What is attached to streams and consumers: resource policies and tags.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::support::{World, stream_arn};

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[]}"#;

#[tokio::test(start_paused = true)]
async fn a_policy_is_kept_for_each_stream_and_consumer_and_is_empty_before() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    let consumer = client.register("s", "c").await;
    let stream = stream_arn("s");
    for arn in [&stream, &consumer] {
        let resource = json!({"ResourceARN": arn});
        let empty = json!({"Policy": "{}"});
        let get = || client.ok("GetResourcePolicy", resource.clone());
        assert_eq!(get().await, empty);
        client
            .ok(
                "PutResourcePolicy",
                json!({"ResourceARN": arn, "Policy": POLICY}),
            )
            .await;
        assert_eq!(get().await, json!({"Policy": POLICY}));
        let (kind, message) = client
            .refused(
                "PutResourcePolicy",
                json!({"ResourceARN": arn, "Policy": "{"}),
            )
            .await;
        assert_eq!(kind, "InvalidArgumentException");
        assert_eq!(message, "The resource policy is not a valid JSON document.");
        assert_eq!(get().await, json!({"Policy": POLICY}));
        client.ok("DeleteResourcePolicy", resource.clone()).await;
        assert_eq!(get().await, empty);
        let (kind, message) = client
            .refused("DeleteResourcePolicy", resource.clone())
            .await;
        assert_eq!(kind, "ResourceNotFoundException");
        let told = format!("No resource policy found for resource ARN {arn}.");
        assert_eq!(message, told);
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_needs_a_resource_that_is_there_and_active() {
    let delay = Duration::from_secs(1);
    let world = World::with(|builder| builder.state_delay(delay));
    let client = &world.client;
    client.create("s", 1).await;
    let put = |arn: &str| json!({"ResourceARN": arn, "Policy": POLICY});
    let (kind, message) = client
        .refused("PutResourcePolicy", put(&stream_arn("s")))
        .await;
    assert_eq!(kind, "ResourceInUseException");
    assert_eq!(
        message,
        "Stream s under account 000000000000 not ACTIVE, instead in state CREATING"
    );
    world.advance(delay).await;
    let consumer = client.register("s", "c").await;
    let (kind, message) = client.refused("PutResourcePolicy", put(&consumer)).await;
    assert_eq!(kind, "ResourceInUseException");
    assert_eq!(
        message,
        "Consumer c with creation timestamp 1767225601 under stream s and account 000000000000 is \
         not in ACTIVE status."
    );
    world.advance(delay).await;
    client.ok("PutResourcePolicy", put(&consumer)).await;
    for arn in [stream_arn("x"), consumer.replace("/c:", "/d:")] {
        for operation in [
            "PutResourcePolicy",
            "DeleteResourcePolicy",
            "GetResourcePolicy",
        ] {
            let (kind, _) = client.refused(operation, put(&arn)).await;
            assert_eq!(kind, "ResourceNotFoundException", "{operation} {arn}");
        }
    }
    let (kind, message) = client
        .refused("GetResourcePolicy", json!({"ResourceARN": "x"}))
        .await;
    assert_eq!(kind, "ValidationException");
    assert_eq!(
        message,
        "1 validation error detected: Value 'x' at 'resourceARN' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:.*stream/\\S+"
    );
}

fn many(range: std::ops::Range<usize>) -> Value {
    let tags = range.map(|number| (format!("k{number}"), Value::from("v")));
    Value::Object(Map::from_iter(tags))
}

#[tokio::test(start_paused = true)]
async fn tags_of_a_stream_are_one_set_by_either_way_and_a_consumer_has_its_own() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    client
        .ok(
            "AddTagsToStream",
            json!({"StreamName": "s", "Tags": {"a": "1"}}),
        )
        .await;
    let body = json!({
        "StreamARN": stream_arn("s"), "ConsumerName": "c", "Tags": {"a": "of consumer"},
    });
    let answer = client.ok("RegisterStreamConsumer", body).await;
    let consumer = answer["Consumer"]["ConsumerARN"].clone();
    let stream = Value::from(stream_arn("s"));
    for arn in [&stream, &consumer] {
        let body = json!({"ResourceARN": arn, "Tags": {"b": "2", "c": ""}});
        client.ok("TagResource", body).await;
    }
    let tag = |key: &str, value: &str| json!({"Key": key, "Value": value});
    let list = |arn: &Value| client.ok("ListTagsForResource", json!({"ResourceARN": arn}));
    assert_eq!(
        list(&stream).await,
        json!({"Tags": [tag("a", "1"), tag("b", "2"), tag("c", "")]})
    );
    assert_eq!(
        list(&consumer).await,
        json!({"Tags": [tag("a", "of consumer"), tag("b", "2"), tag("c", "")]})
    );
    let body = json!({"ResourceARN": stream, "TagKeys": ["a", "c", "none"]});
    client.ok("UntagResource", body).await;
    let answer = client
        .ok("ListTagsForStream", json!({"StreamName": "s"}))
        .await;
    assert_eq!(answer["Tags"], json!([tag("b", "2")]));
    assert_eq!(list(&consumer).await["Tags"].as_array().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_resource_has_at_most_fifty_tags_of_lawful_characters() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    let arn = stream_arn("s");
    let body = json!({"ResourceARN": arn, "Tags": many(0..50)});
    client.ok("TagResource", body.clone()).await;
    client.ok("TagResource", body).await;
    let (kind, message) = client
        .refused(
            "TagResource",
            json!({"ResourceARN": arn, "Tags": many(50..51)}),
        )
        .await;
    assert_eq!(kind, "InvalidArgumentException");
    assert_eq!(
        message,
        format!(
            "Failed to add tags to resource {arn} under account 000000000000 because a given \
             resource cannot have more than 50 tags associated with it."
        )
    );
    let body = json!({"StreamARN": arn, "ConsumerName": "c", "Tags": many(0..51)});
    let (kind, message) = client.refused("RegisterStreamConsumer", body).await;
    assert_eq!(kind, "InvalidArgumentException");
    assert_eq!(
        message,
        "Failed to create the consumer because a given consumer cannot have more than 50 tags \
         associated with it."
    );
    for (operation, body) in [
        (
            "TagResource",
            json!({"ResourceARN": arn, "Tags": {"a": "!"}}),
        ),
        (
            "UntagResource",
            json!({"ResourceARN": arn, "TagKeys": ["!"]}),
        ),
    ] {
        let (kind, message) = client.refused(operation, body).await;
        assert_eq!(kind, "InvalidArgumentException");
        assert!(
            message.starts_with("Some tags contain invalid characters."),
            "{message}"
        );
    }
}
