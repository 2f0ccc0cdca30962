//! A refusal, as the service words it.

use std::borrow::Cow;

use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

/// An error answer: HTTP status, error type and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    pub(crate) kind: Cow<'static, str>,
    /// Absent where the service sends the type alone.
    pub(crate) message: Option<String>,
}

impl Failure {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            kind: Cow::Borrowed(kind),
            message: Some(message.into()),
        }
    }

    /// The type alone, without a message.
    pub(crate) fn bare(kind: &'static str) -> Self {
        Self {
            status: 400,
            kind: Cow::Borrowed(kind),
            message: None,
        }
    }

    pub(crate) fn internal() -> Self {
        Self {
            status: 500,
            kind: Cow::Borrowed("InternalFailure"),
            message: None,
        }
    }

    pub(crate) fn unknown_operation() -> Self {
        Self::bare("UnknownOperationException")
    }

    pub(crate) fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", message)
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    pub(crate) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new("InvalidArgumentException", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new("ResourceNotFoundException", message)
    }

    pub(crate) fn in_use(message: impl Into<String>) -> Self {
        Self::new("ResourceInUseException", message)
    }

    pub(crate) fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new("LimitExceededException", message)
    }

    pub(crate) fn throughput_exceeded(message: impl Into<String>) -> Self {
        Self::new("ProvisionedThroughputExceededException", message)
    }
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("__type", &self.kind)?;
        if let Some(message) = &self.message {
            // The service's own inconsistency: this one error has a capital letter.
            let name = if self.kind == "SerializationException" {
                "Message"
            } else {
                "message"
            };
            map.serialize_entry(name, message)?;
        }
        map.end()
    }
}
