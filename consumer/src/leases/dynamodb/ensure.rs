//! The lease table itself: there, ours, and ready.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TableDescription, TableStatus,
};
use shardwise_env::{Env, Instant};

use super::super::row::attribute;
use super::super::store::{MissingTable, StoreError, StoreErrorKind};
use super::client::failed;

/// How long a table may take to become ready, as in the KCL; DynamoDB takes seconds.
const READY_WITHIN: Duration = Duration::from_secs(600);

/// How often to look: often enough for a fresh worker to start within seconds, and far below the
/// control plane's limit.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Makes sure that the table exists, has the key of a lease table and answers.
pub(super) async fn ensure(
    client: &Client,
    env: &Env,
    table: &str,
    missing: MissingTable,
) -> Result<(), StoreError> {
    let deadline = env.now() + READY_WITHIN;
    loop {
        match state(client, table).await {
            Ok(State::Ready) => return Ok(()),
            Ok(State::Busy) => {}
            Ok(State::Missing) => match missing {
                // Then it is looked at again: it may be made by somebody else, or be slow to appear.
                MissingTable::Create => create(client, table).await?,
                MissingTable::Refuse => {
                    let message =
                        format!("there is no lease table {table}, and it is not to be created");
                    return Err(StoreError::new(StoreErrorKind::NoTable, message));
                }
            },
            Err(error) if error.is_retryable() && env.now() < deadline => {}
            Err(error) => return Err(error),
        }
        wait(env, deadline, table).await?;
    }
}

enum State {
    Ready,
    /// Being made, or being deleted.
    Busy,
    Missing,
}

async fn state(client: &Client, table: &str) -> Result<State, StoreError> {
    match client.describe_table().table_name(table).send().await {
        Ok(output) => match output.table {
            Some(description) => {
                check_key(table, &description)?;
                Ok(match description.table_status {
                    // A table that is being updated, for an index say, answers.
                    Some(TableStatus::Active | TableStatus::Updating) => State::Ready,
                    _ => State::Busy,
                })
            }
            None => Ok(State::Busy),
        },
        Err(error) => match error.as_service_error() {
            Some(DescribeTableError::ResourceNotFoundException(_)) => Ok(State::Missing),
            _ => Err(failed("describe", table, error)),
        },
    }
}

/// Another application's table must not be written to, whatever its name.
fn check_key(table: &str, description: &TableDescription) -> Result<(), StoreError> {
    let kind = |name: &str| {
        let definition = description
            .attribute_definitions()
            .iter()
            .find(|definition| definition.attribute_name() == name);
        definition.map_or("?", |definition| definition.attribute_type().as_str())
    };
    let mut found: Vec<String> = description
        .key_schema()
        .iter()
        .map(|key| {
            let name = key.attribute_name();
            format!("{name} ({}, {})", kind(name), key.key_type().as_str())
        })
        .collect();
    found.sort();
    let expected = format!("{} (S, HASH)", attribute::KEY);
    if found == [expected.as_str()] {
        return Ok(());
    }
    Err(StoreError::new(
        StoreErrorKind::ForeignTable,
        format!(
            "the table {table} is not a lease table: its key is {}, expected {expected}",
            found.join(" and ")
        ),
    ))
}

async fn create(client: &Client, table: &str) -> Result<(), StoreError> {
    let key = KeySchemaElement::builder()
        .attribute_name(attribute::KEY)
        .key_type(KeyType::Hash)
        .build();
    let definition = AttributeDefinition::builder()
        .attribute_name(attribute::KEY)
        .attribute_type(ScalarAttributeType::S)
        .build();
    let (Ok(key), Ok(definition)) = (key, definition) else {
        return Err(StoreError::new(
            StoreErrorKind::Refused,
            "the definition of the lease table is incomplete",
        ));
    };
    let result = client
        .create_table()
        .table_name(table)
        .key_schema(key)
        .attribute_definitions(definition)
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await;
    match result {
        Ok(_) => {
            tracing::info!(table, "created the lease table");
            Ok(())
        }
        Err(error) => match error.as_service_error() {
            // Somebody else was faster, or an earlier try of this call was.
            Some(CreateTableError::ResourceInUseException(_)) => Ok(()),
            _ => match failed("create", table, error) {
                error if error.is_retryable() => Ok(()),
                error => Err(error),
            },
        },
    }
}

async fn wait(env: &Env, deadline: Instant, table: &str) -> Result<(), StoreError> {
    if env.now() >= deadline {
        let message = format!("the lease table {table} was not ready within {READY_WITHIN:?}");
        return Err(StoreError::new(StoreErrorKind::TableNotReady, message));
    }
    env.sleep(LOOK_EVERY).await;
    Ok(())
}
