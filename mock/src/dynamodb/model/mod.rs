//! The API model, checked before an operation looks at its request: first all types (`types`), then
//! the constraints.
//!
//! The service reports the members that break one, up to ten, in a single error, `N validation
//! errors detected: …; …`. The walk follows `shapes`, whose members stand in the order in which the
//! service was seen to check them. JSON of the wrong type ends the walk: what cannot be read is
//! not validated.
//!
//! Attribute values and what only some operations look into are not walked ([`Shape::Any`]);
//! `members` refuses what is wrong there one at a time. Since 2026 some regions report a few of
//! these constraints alone and in other words; only BatchGetItem's lengths follow them, because
//! nearly all regions do.

mod shapes;
mod types;

use serde_json::{Map, Value};
use shardwise_types::limits;

use super::error::Failure;
use super::members::Members;
use super::value::mismatch;

/// What a value of the API may be.
#[derive(Debug)]
enum Shape {
    /// Checked by whoever reads it.
    Any,
    Boolean,
    /// A text of a length.
    Text(usize, usize),
    /// The name of a table or an index. A table's may also be an ARN.
    Name,
    Choice(&'static [&'static str]),
    Integer(i64, i64),
    /// A list of a length.
    List(usize, usize, &'static Self),
    /// A map by names that the caller chose.
    Map(&'static Self),
    Structure(&'static [Member]),
    /// BatchWriteItem's lists by table, whose lengths are constraints of the map.
    WritesByTable(&'static Self),
    /// BatchGetItem's reads by table.
    ReadsByTable(&'static Self),
}

/// The service tells at most so many broken constraints of one request.
const MAX_VIOLATIONS: usize = 10;

/// How many elements of a list are walked and shown. Far above what a list may have: a request of
/// sixteen MiB has five million.
const WALKED_ELEMENTS: usize = 1000;

/// A member of a structure.
#[derive(Debug)]
struct Member {
    name: &'static str,
    required: bool,
    shape: Shape,
}

/// Refuses a request that has a wrong type or breaks constraints of the API model, naming the first
/// of them. What the model does not know is dropped, as the service ignores it.
pub(super) fn check(operation: &str, request: &mut Members) -> Result<(), Failure> {
    types::check(operation, request.all_mut())?;
    let Some(members) = shapes::of(operation) else {
        return Ok(());
    };
    let mut walk = Walk::default();
    walk.structure(members, request.all(), "")?;
    walk.violations.truncate(MAX_VIOLATIONS);
    if walk.violations.is_empty() {
        Ok(())
    } else {
        Err(Failure::constraints(&walk.violations))
    }
}

#[derive(Default)]
struct Walk {
    violations: Vec<String>,
}

impl Walk {
    fn structure(
        &mut self,
        members: &'static [Member],
        json: &Map<String, Value>,
        at: &str,
    ) -> Result<(), Failure> {
        for member in members {
            let at = path(at, member.name);
            match json.get(member.name).filter(|value| !value.is_null()) {
                Some(value) => self.value(&member.shape, value, &at)?,
                None if member.required => self.note("null", &at, "not be null"),
                None => {}
            }
        }
        Ok(())
    }

    fn value(&mut self, shape: &'static Shape, json: &Value, at: &str) -> Result<(), Failure> {
        match shape {
            Shape::Any => {}
            Shape::Boolean => {
                json.as_bool().ok_or_else(|| mismatch(json, "Boolean"))?;
            }
            Shape::Text(least, most) => {
                let text = string(json)?;
                self.length(text.chars().count(), (*least, *most), || quoted(text), at);
            }
            Shape::Name => self.name(string(json)?, at),
            Shape::Choice(choices) => {
                let text = string(json)?;
                if !choices.contains(&text) {
                    let must = format!("satisfy enum value set: [{}]", choices.join(", "));
                    self.note(&quoted(text), at, &must);
                }
            }
            Shape::Integer(least, most) => {
                let value = json.as_i64().ok_or_else(|| mismatch(json, "Integer"))?;
                let bound = if value < *least {
                    format!("have value greater than or equal to {least}")
                } else if value > *most {
                    format!("have value less than or equal to {most}")
                } else {
                    return Ok(());
                };
                self.note(&quoted(&value.to_string()), at, &bound);
            }
            Shape::List(least, most, of) => {
                let list = list(json)?;
                self.length(list.len(), (*least, *most), || quoted(&shown(list)), at);
                for (index, element) in walked(list).iter().enumerate() {
                    self.value(of, element, &format!("{at}.{}.member", index + 1))?;
                }
            }
            Shape::Map(of) => {
                for (name, value) in map(json)? {
                    self.value(of, value, &format!("{at}.{name}.member"))?;
                }
            }
            Shape::Structure(members) => {
                let json = json
                    .as_object()
                    .ok_or_else(|| mismatch(json, "Structure"))?;
                self.structure(members, json, at)?;
            }
            Shape::WritesByTable(of) => self.writes_by_table(of, map(json)?, at)?,
            Shape::ReadsByTable(of) => self.reads_by_table(of, map(json)?, at)?,
        }
        Ok(())
    }

    fn writes_by_table(
        &mut self,
        of: &'static Shape,
        tables: &Map<String, Value>,
        at: &str,
    ) -> Result<(), Failure> {
        if tables.is_empty() {
            self.bare("RequestItems", "have length greater than or equal to 1");
        }
        // Here only, a bad name is reported alone: what else is wrong hides it.
        if self.violations.is_empty() {
            self.table_names(tables, at);
        }
        for (table, json) in tables {
            let writes = list(json)?;
            if !(1..=25).contains(&writes.len()) {
                self.violations.push(format!(
                    "Value '{{{table}={}}}' at '{at}' failed to satisfy constraint: Map value \
                     must satisfy constraint: [Member must have length less than or equal to 25, \
                     Member must have length greater than or equal to 1]",
                    shown(writes)
                ));
            }
            for (index, write) in walked(writes).iter().enumerate() {
                self.value(
                    of,
                    write,
                    &format!("{at}.{table}.member.{}.member", index + 1),
                )?;
            }
        }
        Ok(())
    }

    fn reads_by_table(
        &mut self,
        of: &'static Shape,
        tables: &Map<String, Value>,
        at: &str,
    ) -> Result<(), Failure> {
        if tables.is_empty() {
            self.bare("RequestItems", "have length greater than or equal to 1");
        }
        self.table_names(tables, at);
        for (table, read) in tables {
            let keys = read.get("Keys").and_then(Value::as_array);
            let bare = format!("RequestItems.{table}.member.Keys");
            match keys.map(Vec::len) {
                Some(0) => self.bare(&bare, "have length greater than or equal to 1"),
                Some(101..) => self.bare(&bare, "have length less than or equal to 100"),
                _ => self.value(of, read, &format!("{at}.{table}.member"))?,
            }
        }
        Ok(())
    }

    /// The names of tables in a map, which is shown whole.
    fn table_names(&mut self, tables: &Map<String, Value>, at: &str) {
        let fits = |name: &String| {
            let is_name = (limits::TABLE_NAME_MIN_CHARS..=limits::TABLE_NAME_MAX_CHARS)
                .contains(&name.len())
                && is_name(name);
            name.starts_with("arn:") || is_name
        };
        if !tables.keys().all(fits) {
            self.violations.push(format!(
                "Value '{}' at '{at}' failed to satisfy constraint: Map keys must satisfy \
                 constraint: [Member must have length less than or equal to 255, Member must have \
                 length greater than or equal to 3, Member must satisfy regular expression \
                 pattern: [a-zA-Z0-9_.-]+]",
                Value::Object(tables.clone())
            ));
        }
    }

    fn name(&mut self, name: &str, at: &str) {
        if name.is_empty() {
            self.note("''", at, "have length greater than or equal to 1");
        } else if !name.starts_with("arn:") && !is_name(name) {
            let must = "satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
            self.note(&quoted(name), at, must);
        }
    }

    fn length(
        &mut self,
        length: usize,
        (least, most): (usize, usize),
        value: impl FnOnce() -> String,
        at: &str,
    ) {
        let must = if length < least {
            format!("have length greater than or equal to {least}")
        } else if length > most {
            format!("have length less than or equal to {most}")
        } else {
            return;
        };
        self.note(&value(), at, &must);
    }

    fn note(&mut self, value: &str, at: &str, must: &str) {
        self.violations.push(format!(
            "Value {value} at '{at}' failed to satisfy constraint: Member must {must}"
        ));
    }

    /// A violation in the newer words, which do not show the value.
    fn bare(&mut self, at: &str, must: &str) {
        self.violations.push(format!(
            "Value at '{at}' failed to satisfy constraint: Member must {must}"
        ));
    }
}

/// The path of a member, spelled as error texts spell it.
fn path(at: &str, name: &str) -> String {
    let mut path = at.to_owned();
    if !path.is_empty() {
        path.push('.');
    }
    let mut letters = name.chars();
    path.extend(letters.next().map(|first| first.to_ascii_lowercase()));
    path.push_str(letters.as_str());
    path
}

/// Whether it has only the letters of a name.
fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    text.bytes().all(fits)
}

fn quoted(text: &str) -> String {
    format!("'{text}'")
}

/// A list in an error text. The service prints its own objects there; this prints the JSON.
fn shown(list: &[Value]) -> String {
    let texts = walked(list).iter().map(Value::to_string);
    format!("[{}]", texts.collect::<Vec<_>>().join(", "))
}

/// The elements of a list that are looked at.
fn walked(list: &[Value]) -> &[Value] {
    list.get(..WALKED_ELEMENTS).unwrap_or(list)
}

fn string(json: &Value) -> Result<&str, Failure> {
    Ok(json.as_str().ok_or_else(|| mismatch(json, "String"))?)
}

fn list(json: &Value) -> Result<&[Value], Failure> {
    let list = json.as_array().map(Vec::as_slice);
    Ok(list.ok_or_else(|| mismatch(json, "List"))?)
}

fn map(json: &Value) -> Result<&Map<String, Value>, Failure> {
    Ok(json.as_object().ok_or_else(|| mismatch(json, "Map"))?)
}
