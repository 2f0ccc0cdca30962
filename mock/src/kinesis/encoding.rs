//! How a body is written: JSON 1.1, or CBOR 1.1 with the same members.
//!
//! No API model names CBOR; the Java SDKs speak it all the same. There, blobs are byte strings and
//! timestamps are tag 1 with an integer of milliseconds, where RFC 8949 says seconds; an SDK that
//! meets a float there fails. <https://github.com/aws/aws-sdk-java-v2/issues/4661>
//!
//! Requests become [`Value`]s from either, and answers are written from the same structures: what
//! differs is in [`super::cbor`] and [`super::output`].

use serde::Serialize;

use super::cbor;
use super::failure::Failure;
use super::value::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Cbor,
}

impl Encoding {
    /// The encoding that a content type without parameters names.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        [Self::Json, Self::Cbor]
            .into_iter()
            .find(|encoding| encoding.content_type() == content_type)
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::Cbor => "application/x-amz-cbor-1.1",
        }
    }

    /// Reads a request; `None` unless it is one structure or list, and nothing more.
    pub(crate) fn read(self, body: &[u8]) -> Option<Value<'_>> {
        let value = match self {
            Self::Json => Value::from_json(body),
            Self::Cbor => cbor::read(body),
        };
        value.filter(|value| matches!(value, Value::Map(_) | Value::List(_)))
    }

    /// Writes an answer.
    ///
    /// # Errors
    /// Never for the structures of this crate; else an InternalFailure.
    pub(crate) fn write(self, output: &impl Serialize) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Json => serde_json::to_vec(output).map_err(|_| Failure::internal()),
            Self::Cbor => minicbor_serde::to_vec(output).map_err(|_| Failure::internal()),
        }
    }
}
