//! The service's error answers: status, `__type` and text.
//!
//! Errors of the API model carry the prefix of the model, errors of the service's front end
//! (validation, serialization, unknown operation) the one of the framework below it.

use serde_json::{Value, json};

use super::value::{Item, item_to_json};

/// An error answer, ready for the wire.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The JSON body.
    pub(crate) body: Value,
}

impl Failure {
    /// A request that the service refuses for what it says.
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(
            "com.amazon.coral.validate#ValidationException",
            &message.into(),
        )
    }

    /// A validation error with the words that open most of them.
    pub(super) fn invalid_parameters(message: &str) -> Self {
        Self::validation(format!(
            "One or more parameter values were invalid: {message}"
        ))
    }

    /// A violated constraint of the API model; `at` is the path of the member.
    pub(super) fn constraint(value: &str, at: &str, must: &str) -> Self {
        let value = match value {
            "null" => value.to_owned(),
            _ => format!("'{value}'"),
        };
        Self::validation(format!(
            "1 validation error detected: Value {value} at '{at}' failed to satisfy constraint: \
             Member must {must}"
        ))
    }

    /// What the real service can do and this mock cannot: refused, so that no test relies on it.
    pub(super) fn not_implemented(what: &str) -> Self {
        Self::validation(format!("shardwise-mock does not implement {what}"))
    }

    /// JSON that does not have the shape of the request.
    pub(super) fn serialization(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            body: json!({
                "__type": "com.amazon.coral.service#SerializationException",
                "Message": message.into(),
            }),
        }
    }

    pub(super) fn unknown_operation() -> Self {
        Self {
            status: 400,
            body: json!({"__type": "com.amazon.coral.service#UnknownOperationException"}),
        }
    }

    /// A table named in a request about items is not there, or not ready.
    pub(super) fn not_found() -> Self {
        Self::service("ResourceNotFoundException", "Requested resource not found")
    }

    /// A table named in a request about tables is not there.
    pub(super) fn table_not_found(table: &str) -> Self {
        let message = format!("Requested resource not found: Table: {table} not found");
        Self::service("ResourceNotFoundException", message)
    }

    pub(super) fn table_exists(table: &str) -> Self {
        let message = format!("Table already exists: {table}");
        Self::service("ResourceInUseException", message)
    }

    /// A table that changes its state (`created`, `updated`, `deleted`) cannot change otherwise.
    pub(super) fn table_in_use(table: &str, doing: &str) -> Self {
        let message = format!(
            "Attempt to change a resource which is still in use: Table is being {doing}: {table}"
        );
        Self::service("ResourceInUseException", message)
    }

    pub(super) fn limit_exceeded(message: &str) -> Self {
        Self::service("LimitExceededException", message)
    }

    /// A condition that does not hold; `item` is shown if the request asked for it.
    pub(super) fn condition_failed(item: Option<&Item>) -> Self {
        let mut failure = Self::service(
            "ConditionalCheckFailedException",
            "The conditional request failed",
        );
        if let Some(item) = item {
            failure.body["Item"] = item_to_json(item);
        }
        failure
    }

    fn service(name: &str, message: impl Into<String>) -> Self {
        Self::new(
            &format!("com.amazonaws.dynamodb.v20120810#{name}"),
            &message.into(),
        )
    }

    fn new(kind: &str, message: &str) -> Self {
        Self {
            status: 400,
            body: json!({"__type": kind, "message": message}),
        }
    }
}
