//! One structure of a request, whose members are taken out by name.
//!
//! What is left at [`Members::finish`] is refused: a member of the API model that is not implemented
//! is never ignored. Members outside the model have been dropped before (`model`).

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::error::Failure;
use super::value::{AttributeValue, Item, item_from_json, mismatch};

/// The members of one structure that have not been taken yet.
#[derive(Debug)]
pub(super) struct Members {
    /// Where the structure stands in the request, for error texts; empty at the top.
    path: String,
    members: Map<String, Value>,
}

impl Members {
    /// Reads the body of a request.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Failure> {
        let json = serde_json::from_slice(body)
            .map_err(|error| Failure::serialization(format!("could not parse JSON: {error}")))?;
        Self::new(String::new(), json)
    }

    /// Reads a structure that stands at `path`.
    pub(super) fn new(path: String, json: Value) -> Result<Self, Failure> {
        match json {
            Value::Object(mut members) => {
                members.retain(|_, value| !value.is_null());
                Ok(Self { path, members })
            }
            other => Err(mismatch(&other, "Structure").into()),
        }
    }

    /// Refuses what has not been taken.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let Some(name) = self.members.keys().next() else {
            return Ok(());
        };
        let at = self.at(name);
        Err(Failure::not_implemented(&format!("the member '{at}'")))
    }

    /// Whether a member is there and has not been taken.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    pub(super) fn string(&mut self, name: &str) -> Result<Option<String>, Failure> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(mismatch(&other, "String").into()),
        }
    }

    pub(super) fn required_string(&mut self, name: &str) -> Result<String, Failure> {
        self.string(name)?.ok_or_else(|| self.missing(name))
    }

    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>, Failure> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(mismatch(&other, "Boolean").into()),
        }
    }

    pub(super) fn integer(
        &mut self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, Failure> {
        let Some(json) = self.members.remove(name) else {
            return Ok(None);
        };
        let value = json
            .as_i64()
            .ok_or_else(|| Failure::from(mismatch(&json, "Integer")))?;
        let must = if value < *range.start() {
            format!("have value greater than or equal to {}", range.start())
        } else if value > *range.end() {
            format!("have value less than or equal to {}", range.end())
        } else {
            return Ok(Some(value));
        };
        Err(Failure::constraint(
            &value.to_string(),
            &self.at(name),
            &must,
        ))
    }

    /// A member that has one of a few values.
    pub(super) fn choice(
        &mut self,
        name: &str,
        choices: &[&'static str],
    ) -> Result<Option<&'static str>, Failure> {
        let Some(text) = self.string(name)? else {
            return Ok(None);
        };
        match choices.iter().find(|choice| **choice == text) {
            Some(choice) => Ok(Some(choice)),
            None => {
                let must = format!("satisfy enum value set: [{}]", choices.join(", "));
                Err(Failure::constraint(&text, &self.at(name), &must))
            }
        }
    }

    /// A structure inside this one.
    pub(super) fn structure(&mut self, name: &str) -> Result<Option<Self>, Failure> {
        let at = self.at(name);
        let json = self.members.remove(name);
        json.map(|json| Self::new(at, json)).transpose()
    }

    /// A list of structures.
    pub(super) fn structures(&mut self, name: &str) -> Result<Option<Vec<Self>>, Failure> {
        let at = self.at(name);
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::Array(list)) => list
                .into_iter()
                .enumerate()
                .map(|(index, json)| Self::new(format!("{at}.{}.member", index + 1), json))
                .collect::<Result<_, _>>()
                .map(Some),
            Some(other) => Err(mismatch(&other, "List").into()),
        }
    }

    /// A list of strings.
    pub(super) fn strings(&mut self, name: &str) -> Result<Option<Vec<String>>, Failure> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::Array(list)) => list
                .into_iter()
                .map(|json| match json {
                    Value::String(text) => Ok(text),
                    other => Err(mismatch(&other, "String").into()),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(other) => Err(mismatch(&other, "List").into()),
        }
    }

    /// A map by names that the caller chose.
    pub(super) fn map(&mut self, name: &str) -> Result<Option<Map<String, Value>>, Failure> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(mismatch(&other, "Map").into()),
        }
    }

    /// A map of attribute values.
    pub(super) fn item(&mut self, name: &str) -> Result<Option<Item>, Failure> {
        let map = self.map(name)?;
        Ok(map.map(item_from_json).transpose()?)
    }

    /// An attribute value.
    pub(super) fn value(&mut self, name: &str) -> Result<Option<AttributeValue>, Failure> {
        let json = self.members.remove(name);
        Ok(json.map(AttributeValue::from_json).transpose()?)
    }

    /// A list of attribute values.
    pub(super) fn values(&mut self, name: &str) -> Result<Option<Vec<AttributeValue>>, Failure> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::Array(list)) => list
                .into_iter()
                .map(|json| Ok(AttributeValue::from_json(json)?))
                .collect::<Result<_, _>>()
                .map(Some),
            Some(other) => Err(mismatch(&other, "List").into()),
        }
    }

    /// All members that have not been taken.
    pub(super) fn all(&self) -> &Map<String, Value> {
        &self.members
    }

    /// The same, to be changed.
    pub(super) fn all_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.members
    }

    /// A member as it came, left where it is.
    pub(super) fn raw(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// Takes a member as it came.
    pub(super) fn take_raw(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name)
    }

    /// The error for a member that must be there and is not.
    pub(super) fn missing(&self, name: &str) -> Failure {
        Failure::constraint("null", &self.at(name), "not be null")
    }

    /// The path of a member, spelled as error texts spell it.
    pub(super) fn at(&self, name: &str) -> String {
        let mut at = self.path.clone();
        if !at.is_empty() {
            at.push('.');
        }
        let mut letters = name.chars();
        at.extend(letters.next().map(|first| first.to_ascii_lowercase()));
        at.push_str(letters.as_str());
        at
    }
}
