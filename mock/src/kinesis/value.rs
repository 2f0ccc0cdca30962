//! A request body as untyped values that borrow from it.
//!
//! Operations read typed members out of it with [`super::input::Input`]. A tree between the bytes
//! and the operations costs little (strings are borrowed) and lets every wrong type be refused with
//! the service's own words, which no derived deserializer would say.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// One value of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Cow<'a, str>),
    /// In CBOR only; JSON has base64.
    Bytes(Cow<'a, [u8]>),
    List(Vec<Self>),
    /// In the order of the request; of a repeated name the last one counts.
    Map(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> Value<'a> {
    /// Reads a JSON document; `None` if it is not one.
    pub(crate) fn from_json(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// The member of that name, unless it is absent or null (the service sees no difference).
    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(members) => find(members, name),
            _ => None,
        }
    }
}

/// The member of that name, unless it is absent or null.
pub(crate) fn find<'v, 'a>(
    members: &'v [(Cow<'a, str>, Value<'a>)],
    name: &str,
) -> Option<&'v Value<'a>> {
    members
        .iter()
        .rev()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
        .filter(|value| **value != Value::Null)
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(Name(name)) = access.next_key()? {
            members.push((name, access.next_value()?));
        }
        Ok(Value::Map(members))
    }
}

/// A member's name, borrowed unless the request escaped it.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(value)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(value.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_strings_are_borrowed_and_escaped_ones_are_not() {
        let body = br#"{"a":"plain","\u0062":"esc\n","n":null,"l":[1,2.5,true]}"#;
        let value = Value::from_json(body).unwrap();
        assert!(matches!(
            value.member("a"),
            Some(Value::Text(Cow::Borrowed("plain")))
        ));
        assert!(matches!(
            value.member("b"),
            Some(Value::Text(Cow::Owned(_)))
        ));
        assert_eq!(value.member("n"), None);
        let list = [Value::Integer(1), Value::Float(2.5), Value::Bool(true)];
        assert_eq!(value.member("l"), Some(&Value::List(list.into())));
    }

    #[test]
    fn the_last_of_two_equal_names_counts() {
        let value = Value::from_json(br#"{"a":1,"a":2}"#).unwrap();
        assert_eq!(value.member("a"), Some(&Value::Integer(2)));
    }

    #[test]
    fn garbage_is_refused_and_deep_nesting_does_not_overflow() {
        assert_eq!(Value::from_json(b""), None);
        assert_eq!(Value::from_json(b"{\"a\":\xff}"), None);
        assert_eq!(Value::from_json("[".repeat(1 << 20).as_bytes()), None);
    }
}
