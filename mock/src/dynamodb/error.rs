//! The service's error answers: status, `__type` and text.
//!
//! Errors of the API model carry the prefix of the model, errors of the service's front end
//! (validation, serialization, unknown operation) the one of the framework below it.

use serde_json::{Value, json};

use super::value::{Item, ValueError, item_to_json};

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

    /// All violated constraints of the API model, in the order in which the service checks them.
    pub(super) fn constraints(violations: &[String]) -> Self {
        let errors = match violations.len() {
            1 => "error",
            _ => "errors",
        };
        Self::validation(format!(
            "{} validation {errors} detected: {}",
            violations.len(),
            violations.join("; ")
        ))
    }

    /// A violated constraint of the API model; `at` is the path of the member.
    pub(super) fn constraint(value: &str, at: &str, must: &str) -> Self {
        let value = match value {
            "null" => value.to_owned(),
            _ => format!("'{value}'"),
        };
        Self::constraints(&[format!(
            "Value {value} at '{at}' failed to satisfy constraint: Member must {must}"
        )])
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

    /// A table named in a request about its backups is not there.
    pub(super) fn no_table(table: &str) -> Self {
        let message = format!("Table not found: {table}");
        Self::service("TableNotFoundException", message)
    }

    pub(super) fn backups_unavailable(table: &str) -> Self {
        let message =
            format!("Backups are being enabled for the table: {table}. Please retry later");
        Self::service("ContinuousBackupsUnavailableException", message)
    }

    /// A resource named by its ARN is not there; the misspelling is the service's.
    pub(super) fn arn_not_found(arn: &str) -> Self {
        let message = format!("Requested resource not found: ResourcArn: {arn} not found");
        Self::service("ResourceNotFoundException", message)
    }

    /// A client's token that came with another transaction before.
    pub(super) fn token_reused() -> Self {
        Self::service(
            "IdempotentParameterMismatchException",
            "The request uses the same client token as a previous, but non-identical request",
        )
    }

    /// A transaction of which no part was done, with a reason for each of its actions.
    pub(super) fn transaction_canceled(reasons: &[Value]) -> Self {
        let codes = reasons.iter().filter_map(|reason| reason["Code"].as_str());
        let codes = codes.collect::<Vec<_>>().join(", ");
        Self {
            status: 400,
            body: json!({
                "__type": format!("{MODEL}#TransactionCanceledException"),
                "CancellationReasons": reasons,
                // With a capital letter, unlike the messages of other errors.
                "Message": format!(
                    "Transaction cancelled, please refer cancellation reasons for specific \
                     reasons [{codes}]"
                ),
            }),
        }
    }

    /// The failure of one action as the reason for which its transaction is cancelled.
    pub(super) fn into_cancellation_reason(mut self) -> Value {
        let kind = self.body["__type"].as_str().unwrap_or_default();
        let code = if kind.ends_with("#ConditionalCheckFailedException") {
            "ConditionalCheckFailed"
        } else {
            "ValidationError"
        };
        let mut reason = json!({"Code": code, "Message": self.body["message"].take()});
        if let Some(item) = self.body.get_mut("Item") {
            reason["Item"] = item.take();
        }
        reason
    }

    fn service(name: &str, message: impl Into<String>) -> Self {
        Self::new(&format!("{MODEL}#{name}"), &message.into())
    }

    fn new(kind: &str, message: &str) -> Self {
        Self {
            status: 400,
            body: json!({"__type": kind, "message": message}),
        }
    }
}

impl From<ValueError> for Failure {
    fn from(error: ValueError) -> Self {
        match error {
            ValueError::Shape(message) => Self::serialization(message),
            ValueError::Content(message) => Self::validation(message),
        }
    }
}

/// What opens the types of the API model.
const MODEL: &str = "com.amazonaws.dynamodb.v20120810";
