//! Drives the service as a client does: operations by name, bodies in JSON.

mod batches;
mod constraints;
mod expressions;
mod items;
mod kcl;
mod legacy;
mod local_indexes;
mod properties;
mod reads;
mod settings;
mod stale;
mod tables;
mod transaction_properties;
mod transactions;

use std::time::Duration;

use serde_json::{Value, json};
use shardwise_env::Env;

use super::{DynamoDb, Failure};

/// A service whose tables change state at once.
fn service() -> DynamoDb {
    DynamoDb::new(Env::system(), "000000000000", "us-east-1", Duration::ZERO)
}

/// A service with a table `leases` with the key `leaseKey`.
fn with_leases() -> DynamoDb {
    let db = service();
    ok(&db, "CreateTable", leases());
    db
}

/// A service with a table `events` with the key `streamName` and `seq`, a number.
fn with_events() -> DynamoDb {
    let db = service();
    let request = json!({
        "TableName": "events",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": "streamName", "AttributeType": "S"},
            {"AttributeName": "seq", "AttributeType": "N"},
        ],
        "KeySchema": [
            {"AttributeName": "streamName", "KeyType": "HASH"},
            {"AttributeName": "seq", "KeyType": "RANGE"},
        ],
    });
    ok(&db, "CreateTable", request);
    db
}

/// The request that creates the table `leases`.
fn leases() -> Value {
    json!({
        "TableName": "leases",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "requests are written in place"
)]
fn call(db: &DynamoDb, operation: &str, request: Value) -> Result<Value, Failure> {
    let answer = db.call(operation, request.to_string().as_bytes())?;
    Ok(serde_json::from_slice(&answer).expect("an answer is JSON"))
}

#[track_caller]
fn ok(db: &DynamoDb, operation: &str, request: Value) -> Value {
    match call(db, operation, request) {
        Ok(answer) => answer,
        Err(failure) => panic!("{operation} failed: {failure:?}"),
    }
}

/// The error of a call: its name without the prefix, and its message.
#[track_caller]
fn fails(db: &DynamoDb, operation: &str, request: Value) -> (String, String) {
    match call(db, operation, request) {
        Ok(answer) => panic!("{operation} did not fail: {answer}"),
        Err(failure) => {
            assert_eq!(failure.status, 400);
            let kind = failure.body["__type"].as_str().expect("a type");
            let (_, name) = kind.split_once('#').expect("a prefix");
            let message = failure.body["message"].as_str().unwrap_or_default();
            (name.to_owned(), message.to_owned())
        }
    }
}

/// The message of a call that is not valid.
#[track_caller]
fn invalid(db: &DynamoDb, operation: &str, request: Value) -> String {
    let (name, message) = fails(db, operation, request);
    assert_eq!(name, "ValidationException", "{message}");
    message
}

/// One structure with the members of both.
fn merge(mut first: Value, second: Value) -> Value {
    let (Value::Object(into), Value::Object(from)) = (&mut first, second) else {
        panic!("not structures");
    };
    into.extend(from);
    first
}

/// Puts an item with this key and these attributes into `leases`.
fn put(db: &DynamoDb, key: &str, attributes: Value) {
    let item = merge(json!({"leaseKey": {"S": key}}), attributes);
    ok(db, "PutItem", json!({"TableName": "leases", "Item": item}));
}

/// The attributes of an item of `leases`, without its key.
fn get(db: &DynamoDb, key: &str) -> Option<Value> {
    let request = json!({"TableName": "leases", "Key": {"leaseKey": {"S": key}}});
    let mut item = ok(db, "GetItem", request).get("Item")?.clone();
    item.as_object_mut()
        .expect("a structure")
        .remove("leaseKey");
    Some(item)
}

/// An UpdateItem request for an item of `leases`.
fn update(key: &str, more: Value) -> Value {
    merge(
        json!({"TableName": "leases", "Key": {"leaseKey": {"S": key}}}),
        more,
    )
}
