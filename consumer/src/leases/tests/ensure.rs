//! The lease table as a worker may find it.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use shardwise_client::Aws;
use shardwise_env::Env;
use shardwise_mock::Mock;

use crate::leases::store::{LeaseStore, MissingTable, StoreErrorKind};
use crate::leases::{DynamoDbStore, LeaseTable};

use super::support::{application, dynamodb_on, free, table};

fn stores<const N: usize>() -> [DynamoDbStore; N] {
    let aws = Aws::in_process(Mock::new().service());
    std::array::from_fn(|_| dynamodb_on(&aws))
}

#[tokio::test(start_paused = true)]
async fn workers_that_start_together_make_one_table() {
    let [a, b, c] = stores();
    let results = tokio::join!(
        a.ensure_table(MissingTable::Create),
        b.ensure_table(MissingTable::Create),
        c.ensure_table(MissingTable::Create)
    );
    assert!(matches!(results, (Ok(()), Ok(()), Ok(()))), "{results:?}");
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_there_is_ready_at_once_and_keeps_its_rows() {
    let [store, again] = stores();
    let store = std::sync::Arc::new(store);
    store.ensure_table(MissingTable::Create).await.unwrap();
    let shared: std::sync::Arc<dyn LeaseStore> = store.clone();
    let worker: LeaseTable = table(&shared, "a");
    worker.create(&[free(0)]).await.unwrap();
    let env = Env::system();
    let begin = env.now();
    again.ensure_table(MissingTable::Refuse).await.unwrap();
    assert!(env.now() - begin < Duration::from_millis(100));
    assert_eq!(again.scan().await.unwrap().leases.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_applications_table_is_refused_and_left_alone() {
    let [store] = stores();
    let key = |name: &str, kind| {
        let element = KeySchemaElement::builder().attribute_name(name);
        element.key_type(kind).build().unwrap()
    };
    let attribute = |name: &str, kind| {
        let definition = AttributeDefinition::builder().attribute_name(name);
        definition.attribute_type(kind).build().unwrap()
    };
    store
        .client()
        .create_table()
        .table_name(application().as_str())
        .key_schema(key("leaseKey", KeyType::Hash))
        .key_schema(key("at", KeyType::Range))
        .attribute_definitions(attribute("leaseKey", ScalarAttributeType::S))
        .attribute_definitions(attribute("at", ScalarAttributeType::N))
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .unwrap();
    let error = store.ensure_table(MissingTable::Create).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ForeignTable);
    assert_eq!(
        error.to_string(),
        "the table billing is not a lease table: its key is at (N, RANGE) and \
         leaseKey (S, HASH), expected leaseKey (S, HASH)"
    );
}
