//! Stream consumers: registered, described, listed, deregistered.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{World, stream_arn};

const SECOND: Duration = Duration::from_secs(1);

/// With consumers that take a second to come and to go.
fn slow_world() -> World {
    let world = World::with(|builder| builder.state_delay(SECOND));
    world.mock.create_stream(&"s".parse().unwrap(), 1).unwrap();
    world
}

fn named(name: &str) -> Value {
    json!({"StreamARN": stream_arn("s"), "ConsumerName": name})
}

#[tokio::test(start_paused = true)]
async fn a_consumer_is_creating_then_active_then_deleting_then_gone() {
    let world = slow_world();
    let client = &world.client;
    let answer = client.ok("RegisterStreamConsumer", named("c")).await;
    let arn = format!("{}/consumer/c:1767225600", stream_arn("s"));
    assert_eq!(
        answer,
        json!({"Consumer": {
            "ConsumerName": "c",
            "ConsumerARN": arn,
            "ConsumerStatus": "CREATING",
            "ConsumerCreationTimestamp": 1_767_225_600,
        }})
    );
    let by_arn = json!({"ConsumerARN": arn});
    let described = |status: &str| {
        json!({"ConsumerDescription": {
            "ConsumerName": "c",
            "ConsumerARN": arn,
            "ConsumerStatus": status,
            "ConsumerCreationTimestamp": 1_767_225_600,
            "StreamARN": stream_arn("s"),
        }})
    };
    let describe = || client.ok("DescribeStreamConsumer", by_arn.clone());
    assert_eq!(describe().await, described("CREATING"));
    world.advance(SECOND).await;
    assert_eq!(describe().await, described("ACTIVE"));
    let by_name = client.ok("DescribeStreamConsumer", named("c")).await;
    assert_eq!(by_name, described("ACTIVE"));
    client.ok("DeregisterStreamConsumer", by_arn.clone()).await;
    assert_eq!(describe().await, described("DELETING"));
    world.advance(SECOND).await;
    let (kind, message) = client.refused("DescribeStreamConsumer", by_arn).await;
    assert_eq!(kind, "ResourceNotFoundException");
    assert_eq!(
        message,
        format!("Consumer {arn}, account 000000000000 not found.")
    );

    // Under its old name it is another consumer.
    client.ok("RegisterStreamConsumer", named("c")).await;
    let (kind, _) = client
        .refused("DescribeStreamConsumer", json!({"ConsumerARN": arn}))
        .await;
    assert_eq!(kind, "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn a_name_is_taken_once_and_the_limits_hold() {
    let world = slow_world();
    let client = &world.client;
    for number in 0..20 {
        client
            .ok("RegisterStreamConsumer", named(&format!("c{number}")))
            .await;
        if number == 4 {
            let (kind, message) = client.refused("RegisterStreamConsumer", named("c5")).await;
            assert_eq!(kind, "LimitExceededException");
            assert_eq!(
                message,
                "Stream s under account 000000000000 cannot have more than 5 consumers in CREATING \
                 status."
            );
        }
        if number % 5 == 4 {
            world.advance(SECOND).await;
        }
    }
    let (kind, message) = client.refused("RegisterStreamConsumer", named("c20")).await;
    assert_eq!(kind, "LimitExceededException");
    assert_eq!(
        message,
        "Stream s under account 000000000000 cannot have more than 20 registered consumers."
    );
    let (kind, message) = client.refused("RegisterStreamConsumer", named("c1")).await;
    assert_eq!(kind, "ResourceInUseException");
    assert_eq!(
        message,
        "Consumer c1 under stream s already exists for account 000000000000."
    );
    let answer = client
        .ok("DescribeStreamSummary", json!({"StreamName": "s"}))
        .await;
    assert_eq!(answer["StreamDescriptionSummary"]["ConsumerCount"], 20);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_is_named_by_arn_or_stream_and_name_and_all_must_agree() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    client.create("t", 1).await;
    let arn = client.register("s", "c").await;
    let mut all = named("c");
    all["ConsumerARN"] = arn.clone().into();
    client.ok("DescribeStreamConsumer", all.clone()).await;
    for (member, value) in [("ConsumerName", "d"), ("StreamARN", &stream_arn("t"))] {
        let mut body = all.clone();
        body[member] = value.into();
        let (kind, message) = client.refused("DescribeStreamConsumer", body).await;
        assert_eq!(kind, "InvalidArgumentException");
        assert_eq!(
            message,
            format!("StreamARN, ConsumerName and ConsumerARN {arn} do not name the same consumer.")
        );
    }
    for body in [
        json!({}),
        json!({"ConsumerName": "c"}),
        json!({"StreamARN": stream_arn("s")}),
    ] {
        let (kind, message) = client.refused("DeregisterStreamConsumer", body).await;
        assert_eq!(kind, "InvalidArgumentException");
        assert_eq!(
            message,
            "Either ConsumerARN or both StreamARN and ConsumerName should be provided."
        );
    }
    client.ok("DeregisterStreamConsumer", named("c")).await;
    let (kind, message) = client.refused("DeregisterStreamConsumer", named("c")).await;
    assert_eq!(kind, "ResourceNotFoundException");
    assert_eq!(message, "Consumer c, account 000000000000 not found.");
    for stream in [stream_arn("x"), stream_arn("s").replace("east", "west")] {
        let body = json!({"ConsumerARN": format!("{stream}/consumer/c:1767225600")});
        let (kind, _) = client.refused("DescribeStreamConsumer", body).await;
        assert_eq!(kind, "ResourceNotFoundException", "{stream}");
    }
}

#[tokio::test(start_paused = true)]
async fn consumers_are_listed_in_pages_whose_token_lives_five_minutes() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    client.create("t", 1).await;
    for name in ["e", "d", "c", "b", "a"] {
        client.register("s", name).await;
    }
    let mut names = Vec::new();
    let mut body = json!({"StreamARN": stream_arn("s"), "MaxResults": 2});
    let mut pages = 0;
    loop {
        let answer = client.ok("ListStreamConsumers", body.clone()).await;
        pages += 1;
        for consumer in answer["Consumers"].as_array().unwrap() {
            names.push(consumer["ConsumerName"].as_str().unwrap().to_owned());
            assert_eq!(consumer.get("StreamARN"), None);
        }
        let Some(token) = answer.get("NextToken") else {
            break;
        };
        body["NextToken"] = token.clone();
    }
    assert_eq!((pages, names.join("")), (3, "abcde".to_owned()));

    let mut elsewhere = body.clone();
    elsewhere["StreamARN"] = stream_arn("t").into();
    let (kind, message) = client.refused("ListStreamConsumers", elsewhere).await;
    assert_eq!(kind, "InvalidArgumentException");
    assert_eq!(message, "Invalid NextToken.");
    let mut both = body.clone();
    both["StreamCreationTimestamp"] = 1_767_225_600.into();
    let (kind, _) = client.refused("ListStreamConsumers", both).await;
    assert_eq!(kind, "InvalidArgumentException");
    world.advance(SECOND * 300).await;
    client.ok("ListStreamConsumers", body.clone()).await;
    world.advance(Duration::from_millis(1)).await;
    let (kind, _) = client.refused("ListStreamConsumers", body).await;
    assert_eq!(kind, "ExpiredNextTokenException");

    for (created, count) in [(1_767_225_600, Some(5)), (1_767_225_599, None)] {
        let body = json!({"StreamARN": stream_arn("s"), "StreamCreationTimestamp": created});
        match count {
            Some(count) => {
                let answer = client.ok("ListStreamConsumers", body).await;
                assert_eq!(answer["Consumers"].as_array().unwrap().len(), count);
                assert_eq!(answer.get("NextToken"), None);
            }
            None => {
                let (kind, _) = client.refused("ListStreamConsumers", body).await;
                assert_eq!(kind, "ResourceNotFoundException");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_consumers_is_deleted_only_by_force() {
    let world = slow_world();
    let client = &world.client;
    let arn = client.register("s", "c").await;
    world.advance(SECOND).await;
    for body in [
        json!({"StreamName": "s"}),
        json!({"StreamName": "s", "EnforceConsumerDeletion": false}),
    ] {
        let (kind, message) = client.refused("DeleteStream", body).await;
        assert_eq!(kind, "ResourceInUseException");
        assert_eq!(
            message,
            "DeleteStream can’t delete 000000000000:s because there are consumers associated with \
             this data stream. To delete s anyway, set the EnforceConsumerDeletion parameter to \
             true to force the deletion of all the consumers that are associated with it."
        );
    }
    assert_eq!(client.status("s").await, "ACTIVE");
    let body = json!({"StreamName": "s", "EnforceConsumerDeletion": true});
    client.ok("DeleteStream", body).await;
    let answer = client
        .ok("DescribeStreamConsumer", json!({"ConsumerARN": arn}))
        .await;
    assert_eq!(answer["ConsumerDescription"]["ConsumerStatus"], "DELETING");
    let (kind, message) = client.refused("RegisterStreamConsumer", named("d")).await;
    assert_eq!(kind, "ResourceInUseException");
    assert_eq!(
        message,
        "Stream s under account 000000000000 not ACTIVE, instead in state DELETING"
    );
    world.advance(SECOND).await;
    let (kind, _) = client.refused("RegisterStreamConsumer", named("d")).await;
    assert_eq!(kind, "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn constraints_of_consumers_are_told_in_the_services_words() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    let body = json!({"StreamARN": "", "ConsumerName": "!", "Tags": {}});
    let (kind, message) = client.refused("RegisterStreamConsumer", body).await;
    assert_eq!(kind, "ValidationException");
    assert_eq!(
        message,
        "4 validation errors detected: Value '' at 'streamARN' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+; \
         Value '' at 'streamARN' failed to satisfy constraint: Member must have length greater \
         than or equal to 1; Value '!' at 'consumerName' failed to satisfy constraint: Member must \
         satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value '{}' at 'tags' failed to \
         satisfy constraint: Member must have length greater than or equal to 1"
    );
    let body = json!({"ConsumerARN": stream_arn("s")});
    let (kind, message) = client.refused("DescribeStreamConsumer", body).await;
    assert_eq!(kind, "ValidationException");
    assert_eq!(
        message,
        format!(
            "1 validation error detected: Value '{}' at 'consumerARN' failed to satisfy \
             constraint: Member must satisfy regular expression pattern: \
             ^(arn):aws.*:kinesis:.*:\\d{{12}}:.*stream\\/[a-zA-Z0-9_.-]+\\/consumer\\/\
             [a-zA-Z0-9_.-]+:[0-9]+",
            stream_arn("s")
        )
    );
}

#[tokio::test(start_paused = true)]
async fn on_demand_advantage_allows_fifty_consumers() {
    let World { client, .. } = World::new();
    let mode = json!({"StreamName": "s", "StreamModeDetails": {"StreamMode": "ON_DEMAND"}});
    client.ok("CreateStream", mode).await;
    for number in 0..20 {
        client.register("s", &format!("c{number}")).await;
    }
    let (kind, _) = client.refused("RegisterStreamConsumer", named("c")).await;
    assert_eq!(kind, "LimitExceededException");
    let commitment = json!({"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}});
    client.ok("UpdateAccountSettings", commitment).await;
    for number in 20..50 {
        client.register("s", &format!("c{number}")).await;
    }
    let (kind, message) = client.refused("RegisterStreamConsumer", named("c")).await;
    assert_eq!(kind, "LimitExceededException");
    assert_eq!(
        message,
        "Stream s under account 000000000000 cannot have more than 50 registered consumers."
    );
}
