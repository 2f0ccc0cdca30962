//! The SerializationExceptions for members of the wrong type, in the words of the service's Java.
//!
//! [`super::input`] answers with them; broken constraints are its own.

use super::failure::Failure;
use super::value::Value;

/// What the service calls a JSON number in its error texts.
const NUMBER_CLASS: &str = "class com.amazon.coral.value.json.numbers.TruncatingBigNumber";

/// A value that cannot be converted: `target` says to what, `to an String`.
pub(super) fn wrong_type(value: &Value<'_>, target: &str) -> Failure {
    let class = match value {
        Value::List(_) => return unexpected_list(),
        Value::Map(_) => return unexpected_structure(),
        Value::Integer(_) | Value::Float(_) => NUMBER_CLASS,
        Value::Bool(_) => "class java.lang.Boolean",
        Value::Bytes(_) => "class java.nio.HeapByteBuffer",
        Value::Text(_) | Value::Null => "class java.lang.String",
    };
    Failure::serialization(format!("{class} can not be converted {target}"))
}

pub(super) fn unexpected_list() -> Failure {
    Failure::serialization("Start of list found where not expected")
}

pub(super) fn unexpected_structure() -> Failure {
    Failure::serialization("Start of structure or map found where not expected.")
}

/// A text that is no base64.
pub(super) fn bad_base64(text: &str) -> Failure {
    let reason = if !text.len().is_multiple_of(4) {
        format!(
            "Base64 encoded length is expected a multiple of 4 bytes but found: {}",
            text.len()
        )
    } else if let Some(character) = bad_base64_character(text) {
        format!("Invalid Base64 character: '{character}'")
    } else {
        // Misspelled by the service.
        "Invalid last non-pad Base64 character dectected".to_owned()
    };
    Failure::serialization(format!("'{text}' can not be converted to a Blob: {reason}"))
}

/// The first character that base64 does not have, or the first `=` that something follows.
fn bad_base64_character(text: &str) -> Option<char> {
    let mut chars = text.chars().peekable();
    while let Some(character) = chars.next() {
        let known = character.is_ascii_alphanumeric() || matches!(character, '+' | '/' | '=');
        let early_pad = character == '=' && chars.peek().is_some_and(|next| *next != '=');
        if !known || early_pad {
            return Some(character);
        }
    }
    None
}
