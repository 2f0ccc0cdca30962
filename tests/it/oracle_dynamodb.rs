//! The official SDK as a second opinion on the mock's DynamoDB, by way of a lease table.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::client::Waiters as _;
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::operation::RequestId as _;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ReturnValue,
    ReturnValuesOnConditionCheckFailure, ScalarAttributeType, TableStatus,
};
use shardwise_consumer::{
    Batch, BoxError, Checkpointer, InitialPosition, RecordProcessor, ShardId, Worker,
};
use shardwise_mock::{Fault, Operation};
use tokio::sync::mpsc;

use crate::official::{Backend, STREAM, stream};

/// More than any wait here takes; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(30);

const TABLE: &str = "billing";

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A lease table, as the KCL makes one.
async fn create_table(client: &Client) {
    client
        .create_table()
        .table_name(TABLE)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(
            AttributeDefinition::builder()
                .attribute_name("leaseKey")
                .attribute_type(ScalarAttributeType::S)
                .build()
                .unwrap(),
        )
        .key_schema(
            KeySchemaElement::builder()
                .attribute_name("leaseKey")
                .key_type(KeyType::Hash)
                .build()
                .unwrap(),
        )
        .send()
        .await
        .unwrap();
}

async fn with_table() -> (Backend, Client) {
    let backend = Backend::start().await;
    let client = backend.dynamodb();
    create_table(&client).await;
    (backend, client)
}

async fn put_lease(client: &Client, lease: &str) {
    client
        .put_item()
        .table_name(TABLE)
        .item("leaseKey", text(lease))
        .item("leaseCounter", number(0))
        .item("checkpoint", text("TRIM_HORIZON"))
        .condition_expression("attribute_not_exists(leaseKey)")
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_table_is_created_described_listed_and_deleted() {
    let (_backend, client) = with_table().await;
    client
        .wait_until_table_exists()
        .table_name(TABLE)
        .wait(PATIENCE)
        .await
        .unwrap();
    let output = client
        .describe_table()
        .table_name(TABLE)
        .send()
        .await
        .unwrap();
    assert!(output.request_id().is_some());
    let table = output.table.unwrap();
    assert_eq!(table.table_status(), Some(&TableStatus::Active));
    assert_eq!(table.key_schema()[0].attribute_name(), "leaseKey");
    let billing = table.billing_mode_summary().unwrap();
    assert_eq!(billing.billing_mode(), Some(&BillingMode::PayPerRequest));
    let listed = client.list_tables().send().await.unwrap();
    assert_eq!(listed.table_names(), [TABLE]);

    client
        .delete_table()
        .table_name(TABLE)
        .send()
        .await
        .unwrap();
    client
        .wait_until_table_not_exists()
        .table_name(TABLE)
        .wait(PATIENCE)
        .await
        .unwrap();
    let gone = client.describe_table().table_name(TABLE).send().await;
    let error = gone.unwrap_err().into_service_error();
    assert!(error.is_resource_not_found_exception(), "{error:?}");
}

#[tokio::test]
async fn a_lease_is_taken_once_and_the_loser_sees_the_winner() {
    let (_backend, client) = with_table().await;
    put_lease(&client, "shard-0").await;

    let again = client
        .put_item()
        .table_name(TABLE)
        .item("leaseKey", text("shard-0"))
        .condition_expression("attribute_not_exists(leaseKey)")
        .send()
        .await;
    let error = again.unwrap_err().into_service_error();
    assert!(error.is_conditional_check_failed_exception(), "{error:?}");

    let take = |owner: &str| {
        client
            .update_item()
            .table_name(TABLE)
            .key("leaseKey", text("shard-0"))
            .update_expression("SET leaseOwner = :owner, leaseCounter = leaseCounter + :one")
            .condition_expression("leaseCounter = :seen AND attribute_not_exists(#owner)")
            .expression_attribute_names("#owner", "leaseOwner")
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":seen", number(0))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    };
    let taken = take("winner").send().await.unwrap().attributes.unwrap();
    assert_eq!(taken.len(), 4);
    assert_eq!(taken["leaseOwner"], text("winner"));
    assert_eq!(taken["leaseCounter"], number(1));
    assert_eq!(taken["checkpoint"], text("TRIM_HORIZON"));

    let error = take("loser").send().await.unwrap_err().into_service_error();
    let aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(
        failed,
    ) = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(failed.item(), Some(&taken));

    let read = client.get_item().table_name(TABLE);
    let read = read.key("leaseKey", text("shard-0")).consistent_read(true);
    assert_eq!(read.send().await.unwrap().item, Some(taken));
}

#[tokio::test]
async fn rows_are_scanned_page_by_page_queried_and_deleted() {
    let (_backend, client) = with_table().await;
    let leases: BTreeSet<String> = (0..5).map(|number| format!("shard-{number}")).collect();
    for lease in &leases {
        put_lease(&client, lease).await;
    }
    let mut pages = client
        .scan()
        .table_name(TABLE)
        .limit(2)
        .into_paginator()
        .send();
    let mut scanned = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert!(page.items().len() <= 2);
        let keys = page.items().iter().map(|item| item["leaseKey"].as_s());
        scanned.extend(keys.map(|key| key.unwrap().clone()));
    }
    assert_eq!(scanned.len(), leases.len());
    assert_eq!(scanned.into_iter().collect::<BTreeSet<_>>(), leases);

    let query = |lease: &str| {
        client
            .query()
            .table_name(TABLE)
            .key_condition_expression("leaseKey = :lease")
            .expression_attribute_values(":lease", text(lease))
            .send()
    };
    let found = query("shard-3").await.unwrap();
    assert_eq!(found.count(), 1);
    assert_eq!(found.items()[0]["leaseKey"], text("shard-3"));

    let delete = |seen: u64| {
        client
            .delete_item()
            .table_name(TABLE)
            .key("leaseKey", text("shard-3"))
            .condition_expression("leaseCounter = :seen")
            .expression_attribute_values(":seen", number(seen))
            .return_values(ReturnValue::AllOld)
            .send()
    };
    let error = delete(7).await.unwrap_err().into_service_error();
    assert!(error.is_conditional_check_failed_exception(), "{error:?}");
    let deleted = delete(0).await.unwrap().attributes.unwrap();
    assert_eq!(deleted["leaseKey"], text("shard-3"));
    assert_eq!(query("shard-3").await.unwrap().count(), 0);
}

#[tokio::test]
async fn every_type_of_attribute_comes_back_as_it_went() {
    let (_backend, client) = with_table().await;
    let list = |values: &[&str]| values.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let item: BTreeMap<&str, AttributeValue> = [
        ("leaseKey", text("shard-0")),
        ("number", AttributeValue::N("-12.5".to_owned())),
        ("binary", AttributeValue::B(Blob::new([0, 159, 255]))),
        ("bool", AttributeValue::Bool(true)),
        ("null", AttributeValue::Null(true)),
        ("empty", text("")),
        ("texts", AttributeValue::Ss(list(&["a", "b"]))),
        ("numbers", AttributeValue::Ns(list(&["1"]))),
        ("binaries", AttributeValue::Bs(vec![Blob::new([1])])),
        ("list", AttributeValue::L(vec![text("é\"\n"), number(3)])),
        (
            "map",
            AttributeValue::M([("inner".to_owned(), number(4))].into()),
        ),
    ]
    .into();
    let mut put = client.put_item().table_name(TABLE);
    for (name, value) in &item {
        put = put.item(*name, value.clone());
    }
    put.send().await.unwrap();
    let get = client.get_item().table_name(TABLE);
    let read = get.key("leaseKey", text("shard-0")).send().await.unwrap();
    let read: BTreeMap<String, AttributeValue> = read.item.unwrap().into_iter().collect();
    let read: BTreeMap<&str, AttributeValue> = read
        .iter()
        .map(|(name, value)| {
            // The service promises no order of a set's members.
            let value = match value.clone() {
                AttributeValue::Ss(mut members) => {
                    members.sort();
                    AttributeValue::Ss(members)
                }
                other => other,
            };
            (name.as_str(), value)
        })
        .collect();
    assert_eq!(read, item);
}

#[tokio::test]
async fn errors_arrive_as_the_types_that_the_sdk_knows() {
    let (backend, client) = with_table().await;
    let get = |table: &str| {
        let get = client.get_item().table_name(table);
        get.key("leaseKey", text("shard-0")).send()
    };
    let error = get("nowhere").await.unwrap_err().into_service_error();
    assert!(error.is_resource_not_found_exception(), "{error:?}");

    backend
        .mock
        .on(Operation::GetItem)
        .times(1)
        .reply(Fault::Throttle);
    let error = get(TABLE).await.unwrap_err().into_service_error();
    assert!(
        error.is_provisioned_throughput_exceeded_exception(),
        "{error:?}"
    );

    backend
        .mock
        .on(Operation::GetItem)
        .times(1)
        .reply(Fault::Internal);
    let error = get(TABLE).await.unwrap_err().into_service_error();
    assert!(error.is_internal_server_error(), "{error:?}");

    let bad = client.update_item().table_name(TABLE);
    let bad = bad.key("leaseKey", text("shard-0"));
    let bad = bad
        .update_expression("SET leaseOwner = :owner")
        .send()
        .await;
    let error = bad.unwrap_err().into_service_error();
    assert_eq!(error.code(), Some("ValidationException"));
    assert!(error.request_id().is_some());

    let twice = client.create_table().table_name(TABLE).key_schema(
        KeySchemaElement::builder()
            .attribute_name("leaseKey")
            .key_type(KeyType::Hash)
            .build()
            .unwrap(),
    );
    let twice = twice
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(
            AttributeDefinition::builder()
                .attribute_name("leaseKey")
                .attribute_type(ScalarAttributeType::S)
                .build()
                .unwrap(),
        );
    let error = twice.send().await.unwrap_err().into_service_error();
    assert!(error.is_resource_in_use_exception(), "{error:?}");
}

/// Checkpoints what it is given, and tells.
struct Checkpointing(ShardId, mpsc::UnboundedSender<(String, String)>);

impl RecordProcessor for Checkpointing {
    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        checkpointer.checkpoint(batch.end()).await?;
        let last = batch.records().last().ok_or("an empty batch")?;
        self.1
            .send((self.0.to_string(), last.sequence_number.to_string()))?;
        Ok(())
    }
}

#[tokio::test]
async fn the_official_sdk_reads_the_rows_that_our_worker_writes() {
    let backend = Backend::with_stream(2).await;
    let kinesis = backend.kinesis();
    for hash_key in ["0", "340282366920938463463374607431768211455"] {
        let put = kinesis.put_record().stream_name(STREAM).partition_key("a");
        let put = put.explicit_hash_key(hash_key);
        let put = put.data(Blob::new("a"));
        put.send().await.unwrap();
    }
    let aws = backend.aws();
    let (sender, mut checkpoints) = mpsc::unbounded_channel();
    let worker = Worker::builder(&aws)
        .application(TABLE)
        .stream(stream())
        .initial_position(InitialPosition::TrimHorizon)
        .build(move |shard| Checkpointing(shard.shard_id.clone(), sender.clone()))
        .unwrap();
    let mut expected = BTreeMap::new();
    let both = async {
        while expected.len() < 2 {
            expected.extend(checkpoints.recv().await);
        }
    };
    let until = async { aws.env().timeout(PATIENCE, both).await };
    worker.run_until(until).await.unwrap();

    let rows = backend.dynamodb().scan().table_name(TABLE);
    let rows = rows.consistent_read(true).send().await.unwrap();
    let mut written = BTreeMap::new();
    for row in rows.items() {
        // Released at the end: a row that counts on and has no owner.
        assert_eq!(row.get("leaseOwner"), None);
        assert!(row["leaseCounter"].as_n().unwrap().parse::<u64>().unwrap() > 0);
        assert_eq!(row["checkpointSubSequenceNumber"], number(0));
        let lease = row["leaseKey"].as_s().unwrap().clone();
        written.insert(lease, row["checkpoint"].as_s().unwrap().clone());
    }
    assert_eq!(written, expected);
}
