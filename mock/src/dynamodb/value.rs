//! Attribute values and items: their JSON forms, their validity and their size.
//!
//! All ten types. Not here: which types a key may have (`key`), how values compare in a
//! condition (`expression::eval`).

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::number::Number;

/// An item: its attributes by name.
pub(super) type Item = BTreeMap<String, AttributeValue>;

/// One attribute value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AttributeValue {
    S(String),
    N(Number),
    B(Vec<u8>),
    Bool(bool),
    Null,
    Ss(BTreeSet<String>),
    Ns(BTreeSet<Number>),
    Bs(BTreeSet<Vec<u8>>),
    L(Vec<Self>),
    M(BTreeMap<String, Self>),
}

/// Why a JSON value is no attribute value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ValueError {
    /// The JSON has the wrong shape.
    Shape(String),
    /// The shape is right and the content is not allowed.
    Content(String),
}

impl AttributeValue {
    /// Reads the form `{"S": "text"}`.
    pub(super) fn from_json(json: Value) -> Result<Self, ValueError> {
        Self::read(json, 0)
    }

    fn read(json: Value, depth: usize) -> Result<Self, ValueError> {
        if depth > MAX_DEPTH {
            return Err(ValueError::Content(
                "Nesting Levels have exceeded supported limits: Attributes contain nested levels \
                 deeper than supported"
                    .to_owned(),
            ));
        }
        let Value::Object(members) = json else {
            return Err(ValueError::Shape(
                "Unexpected value type in payload".to_owned(),
            ));
        };
        let mut found = None;
        for (name, content) in members {
            if content.is_null() || !TYPES.contains(&name.as_str()) {
                continue;
            }
            let value = Self::read_typed(&name, content, depth)?;
            if found.replace(value).is_some() {
                return Err(ValueError::Content(
                    "Supplied AttributeValue has more than one datatypes set, must contain \
                     exactly one of the supported datatypes"
                        .to_owned(),
                ));
            }
        }
        found.ok_or_else(|| {
            ValueError::Content(
                "Supplied AttributeValue is empty, must contain exactly one of the supported \
                 datatypes"
                    .to_owned(),
            )
        })
    }

    fn read_typed(name: &str, content: Value, depth: usize) -> Result<Self, ValueError> {
        Ok(match name {
            "S" => Self::S(string(content)?),
            "N" => Self::N(number(content)?),
            "B" => Self::B(binary(content)?),
            "BOOL" => Self::Bool(boolean(&content)?),
            "NULL" if boolean(&content)? => Self::Null,
            "NULL" => {
                return Err(invalid(
                    "Null attribute value types must have the value of true",
                ));
            }
            "SS" => Self::Ss(set(
                content,
                "An string set  may not be empty",
                string,
                |all| {
                    let all = all.join(", ");
                    invalid(&format!("Input collection [{all}] contains duplicates."))
                },
            )?),
            "NS" => Self::Ns(set(
                content,
                "An number set  may not be empty",
                number,
                |_| ValueError::Content("Input collection contains duplicates".to_owned()),
            )?),
            "BS" => {
                let members = list(content)?;
                let shown = members.iter().filter_map(Value::as_str);
                let shown = shown.collect::<Vec<_>>().join(", ");
                let empty = "Binary sets should not be empty";
                Self::Bs(set(Value::Array(members), empty, binary, |_| {
                    invalid(&format!(
                        "Input collection [{shown}]of type BS contains duplicates."
                    ))
                })?)
            }
            "L" => Self::L(
                list(content)?
                    .into_iter()
                    .map(|member| Self::read(member, depth + 1))
                    .collect::<Result<_, _>>()?,
            ),
            _ => match content {
                Value::Object(members) => Self::M(
                    members
                        .into_iter()
                        .map(|(name, member)| Ok((name, Self::read(member, depth + 1)?)))
                        .collect::<Result<_, ValueError>>()?,
                ),
                other => return Err(mismatch(&other, "Map")),
            },
        })
    }

    /// Writes the form `{"S": "text"}`.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::S(text) => json!({"S": text}),
            Self::N(number) => json!({"N": number.to_string()}),
            Self::B(bytes) => json!({"B": BASE64.encode(bytes)}),
            Self::Bool(value) => json!({"BOOL": value}),
            Self::Null => json!({"NULL": true}),
            Self::Ss(set) => json!({"SS": set}),
            Self::Ns(set) => json!({"NS": set.iter().map(Number::to_string).collect::<Vec<_>>()}),
            Self::Bs(set) => {
                json!({"BS": set.iter().map(|bytes| BASE64.encode(bytes)).collect::<Vec<_>>()})
            }
            Self::L(list) => json!({"L": list.iter().map(Self::to_json).collect::<Vec<_>>()}),
            Self::M(map) => json!({"M": item_to_json(map)}),
        }
    }

    /// The name of its type, as it stands in JSON.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::S(_) => "S",
            Self::N(_) => "N",
            Self::B(_) => "B",
            Self::Bool(_) => "BOOL",
            Self::Null => "NULL",
            Self::Ss(_) => "SS",
            Self::Ns(_) => "NS",
            Self::Bs(_) => "BS",
            Self::L(_) => "L",
            Self::M(_) => "M",
        }
    }

    /// The bytes that the service counts for it.
    fn size(&self) -> usize {
        match self {
            Self::S(text) => text.len(),
            Self::N(number) => number.size(),
            Self::B(bytes) => bytes.len(),
            Self::Bool(_) | Self::Null => 1,
            Self::Ss(set) => set.iter().map(String::len).sum(),
            Self::Ns(set) => set.iter().map(|number| number.size()).sum(),
            Self::Bs(set) => set.iter().map(Vec::len).sum(),
            Self::L(list) => 3 + list.iter().map(|value| 1 + value.size()).sum::<usize>(),
            Self::M(map) => 3 + map.len() + item_size(map),
        }
    }
}

/// Checks the shape of an attribute value's JSON, whatever its content, and drops what is none of the
/// ten types.
pub(super) fn check_attribute(json: &mut Value) -> Result<(), ValueError> {
    let Value::Object(members) = json else {
        return Err(ValueError::Shape(
            "Unexpected value type in payload".to_owned(),
        ));
    };
    members.retain(|name, value| !value.is_null() && TYPES.contains(&name.as_str()));
    for (name, content) in members {
        match (name.as_str(), content) {
            ("S" | "N", content) => drop(string(content.clone())?),
            ("B", content) => drop(binary(content.clone())?),
            ("BOOL" | "NULL", content) => drop(boolean(content)?),
            ("M", Value::Object(members)) => members.values_mut().try_for_each(check_attribute)?,
            ("M", other) => return Err(mismatch(other, "Map")),
            ("L", Value::Array(list)) => list.iter_mut().try_for_each(check_attribute)?,
            ("BS", Value::Array(list)) => {
                list.iter()
                    .try_for_each(|json| binary(json.clone()).map(drop))?;
            }
            (_, Value::Array(list)) => {
                list.iter()
                    .try_for_each(|json| string(json.clone()).map(drop))?;
            }
            (_, other) => return Err(mismatch(other, "List")),
        }
    }
    Ok(())
}

/// Reads a map of attributes.
pub(super) fn item_from_json(members: Map<String, Value>) -> Result<Item, ValueError> {
    members
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| Ok((name, AttributeValue::from_json(value)?)))
        .collect()
}

/// Writes a map of attributes.
pub(super) fn item_to_json(item: &Item) -> Value {
    item.iter()
        .map(|(name, value)| (name.clone(), value.to_json()))
        .collect::<Map<_, _>>()
        .into()
}

/// The bytes that the service counts for an item: names and values.
pub(super) fn item_size(item: &Item) -> usize {
    item.iter()
        .map(|(name, value)| name.len() + value.size())
        .sum()
}

fn set<T: Ord + Clone>(
    content: Value,
    empty: &str,
    read: fn(Value) -> Result<T, ValueError>,
    duplicate: impl Fn(&[T]) -> ValueError,
) -> Result<BTreeSet<T>, ValueError> {
    let members = list(content)?
        .into_iter()
        .map(read)
        .collect::<Result<Vec<_>, _>>()?;
    if members.is_empty() {
        return Err(invalid(empty));
    }
    let set = members.iter().cloned().collect::<BTreeSet<_>>();
    if set.len() < members.len() {
        return Err(duplicate(&members));
    }
    Ok(set)
}

fn string(content: Value) -> Result<String, ValueError> {
    match content {
        Value::String(text) => Ok(text),
        other => Err(mismatch(&other, "String")),
    }
}

fn number(content: Value) -> Result<Number, ValueError> {
    let text = string(content)?;
    text.parse()
        .map_err(|error: super::number::NumberError| ValueError::Content(error.to_string()))
}

fn binary(content: Value) -> Result<Vec<u8>, ValueError> {
    match content {
        Value::String(text) => BASE64.decode(&text).map_err(|error| {
            ValueError::Shape(format!("'{text}' can not be converted to a Blob: {error}"))
        }),
        other => Err(mismatch(&other, "Blob")),
    }
}

fn boolean(content: &Value) -> Result<bool, ValueError> {
    content
        .as_bool()
        .ok_or_else(|| mismatch(content, "Boolean"))
}

fn list(content: Value) -> Result<Vec<Value>, ValueError> {
    match content {
        Value::Array(members) => Ok(members),
        other => Err(mismatch(&other, "List")),
    }
}

/// The service's words for JSON of another type than the member's.
pub(super) fn mismatch(found: &Value, wanted: &str) -> ValueError {
    let found = match found {
        Value::Null => "NULL_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(number) if number.is_f64() => "DECIMAL_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
        Value::Array(_) => {
            return ValueError::Shape("Start of list found where not expected".to_owned());
        }
        Value::Object(_) => {
            return ValueError::Shape(
                "Start of structure or map found where not expected.".to_owned(),
            );
        }
    };
    ValueError::Shape(format!("{found} cannot be converted to {wanted}"))
}

fn invalid(message: &str) -> ValueError {
    ValueError::Content(format!(
        "One or more parameter values were invalid: {message}"
    ))
}

/// How deep lists and maps may nest.
const MAX_DEPTH: usize = 32;

const TYPES: [&str; 10] = ["S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M"];
