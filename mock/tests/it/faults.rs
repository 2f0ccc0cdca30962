//! Fault rules and call counts.

use std::time::Duration;

use serde_json::json;
use shardwise_mock::{EntryFault, Fault, Operation};

use crate::support::World;

fn put() -> serde_json::Value {
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
