//! Typed members of a request, refused as the service refuses them.
//!
//! A wrong type ends the request at once with a SerializationException; broken constraints are
//! collected and reported together by [`Input::finish`], which every operation calls after it has read
//! its last member and before it looks at any state. So types come before constraints and
//! constraints before existence, as in the service. Operations read their members in the model's
//! order, and in that order the constraints are reported. The rules of single members are in
//! [`super::rules`], the texts of wrong types in [`super::wrong_type`].

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::encoding::Encoding;
use super::failure::Failure;
use super::rules::{Count, Text};
use super::value::{Value, find};
use super::wrong_type::{bad_base64, unexpected_list, unexpected_structure, wrong_type};

/// The service tells at most so many broken constraints of one request.
pub(super) const MAX_CONSTRAINTS: usize = 10;

/// How many items of a list of structures are read and shown. Twice what any list may have: a
/// request of sixteen MiB has five million, and each takes more room in an error text than in it.
const READ_ITEMS: usize = 1000;

/// The constraints that a request broke, in the order in which they were found.
pub(crate) type Broken = RefCell<Vec<String>>;

/// The members of a request, or of a structure inside it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'r> {
    members: &'r [(Cow<'r, str>, Value<'r>)],
    encoding: Encoding,
    path_to: MemberPath,
    broken: &'r Broken,
}

/// Where a structure stands in the request, for the error texts: the members that lead to it.
#[derive(Debug, Clone, Copy, Default)]
struct MemberPath([Option<Step>; MAX_DEPTH]);

#[derive(Debug, Clone, Copy)]
struct Step {
    member: &'static str,
    /// Its number in a list, from 1 on.
    item: Option<usize>,
}

/// How deep the model's structures are nested, at most.
const MAX_DEPTH: usize = 4;

impl MemberPath {
    fn then(mut self, member: &'static str, item: Option<usize>) -> Self {
        if let Some(free) = self.0.iter_mut().find(|step| step.is_none()) {
            *free = Some(Step { member, item });
        }
        self
    }
}

impl<'r> Input<'r> {
    /// The whole request.
    ///
    /// # Errors
    /// If it is not a structure.
    pub(crate) fn new(
        request: &'r Value<'r>,
        encoding: Encoding,
        broken: &'r Broken,
    ) -> Result<Self, Failure> {
        match request {
            Value::Map(members) => Ok(Self {
                members,
                encoding,
                path_to: MemberPath::default(),
                broken,
            }),
            _ => Err(Failure::bare("SerializationException")),
        }
    }

    /// A string.
    pub(crate) fn text(&self, name: &'static str, rule: &Text) -> Result<Option<&'r str>, Failure> {
        let Some(value) = find(self.members, name) else {
            return Ok(None);
        };
        let Value::Text(text) = value else {
            return Err(wrong_type(value, "to an String"));
        };
        self.check_text(name, text, rule);
        Ok(Some(text))
    }

    /// A string as it stands, whatever its constraints.
    pub(crate) fn unchecked_text(&self, name: &str) -> Option<&'r str> {
        match find(self.members, name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A string that must be there. If it is not, that is noted for [`Input::finish`] and an
    /// empty one stands in until then.
    pub(crate) fn required_text(
        &self,
        name: &'static str,
        rule: &Text,
    ) -> Result<&'r str, Failure> {
        let text = self.text(name, rule)?;
        Ok(self.required(name, text))
    }

    fn check_text(&self, name: &'static str, text: &str, rule: &Text) {
        let quoted = || format!("'{text}'");
        if let Some(pattern) = rule.pattern
            && !(pattern.matches)(text)
        {
            self.broken(
                name,
                &quoted(),
                &format!("satisfy regular expression pattern: {}", pattern.text),
            );
        }
        // A character has one to four bytes, so most lengths need no count.
        let length = if text.len() <= rule.length.max && text.len() >= rule.length.min * 4 {
            text.len()
        } else {
            text.chars().count()
        };
        self.check_length(name, length, rule.length, quoted);
        if !rule.lists(text) {
            self.broken(name, &quoted(), &rule.must_be_listed());
        }
    }

    fn check_length(
        &self,
        name: &'static str,
        length: usize,
        rule: Count,
        value: impl Fn() -> String,
    ) {
        if length < rule.min {
            let must = format!("have length greater than or equal to {}", rule.min);
            self.broken(name, &value(), &must);
        }
        if length > rule.max {
            let must = format!("have length less than or equal to {}", rule.max);
            self.broken(name, &value(), &must);
        }
    }

    /// A 32-bit number; the service cuts off fractions and clamps what is too large.
    pub(crate) fn integer(
        &self,
        name: &'static str,
        min: i64,
        max: i64,
    ) -> Result<Option<i64>, Failure> {
        let Some(value) = find(self.members, name) else {
            return Ok(None);
        };
        let number = match value {
            Value::Integer(number) => *number,
            #[expect(
                clippy::cast_possible_truncation,
                reason = "saturates, and is clamped below"
            )]
            Value::Float(number) => number.floor() as i64,
            _ => return Err(wrong_type(value, "to an Integer")),
        }
        .clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        if number < min {
            let must = format!("have value greater than or equal to {min}");
            self.broken(name, &format!("'{number}'"), &must);
        }
        if number > max {
            let must = format!("have value less than or equal to {max}");
            self.broken(name, &format!("'{number}'"), &must);
        }
        Ok(Some(number))
    }

    /// A truth value.
    pub(crate) fn boolean(&self, name: &'static str) -> Result<Option<bool>, Failure> {
        match find(self.members, name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(Value::Text(text)) => match text.to_uppercase().as_str() {
                "TRUE" | "YES" | "1" => Ok(Some(true)),
                "FALSE" | "NO" | "0" => Ok(Some(false)),
                upper => Err(Failure::serialization(format!(
                    "'{upper}' can not be converted to an Boolean"
                ))),
            },
            Some(value) => Err(wrong_type(value, "to an Boolean")),
        }
    }

    /// A point in time, in milliseconds since the epoch. In JSON it is a number of seconds.
    pub(crate) fn timestamp_ms(&self, name: &'static str) -> Result<Option<u64>, Failure> {
        let unit: u16 = match self.encoding {
            Encoding::Json => 1000,
            Encoding::Cbor => 1,
        };
        match find(self.members, name) {
            None => Ok(None),
            Some(Value::Integer(units)) => Ok(Some(
                u64::try_from(*units)
                    .unwrap_or_default()
                    .saturating_mul(unit.into()),
            )),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates at both ends, which is what an absurd time should do"
            )]
            Some(Value::Float(units)) => Ok(Some((units * f64::from(unit)).round() as u64)),
            Some(value) => Err(wrong_type(value, "to milliseconds since epoch")),
        }
    }

    /// Bytes that must be there, of at most `max`.
    pub(crate) fn required_blob(
        &self,
        name: &'static str,
        max: usize,
    ) -> Result<Cow<'r, [u8]>, Failure> {
        let Some(value) = find(self.members, name) else {
            self.missing(name);
            return Ok(Cow::Borrowed(&[]));
        };
        let bytes = match value {
            Value::Bytes(bytes) => Cow::Borrowed(&**bytes),
            Value::Text(text) if self.encoding == Encoding::Json => STANDARD
                .decode(text.as_bytes())
                .map(Cow::Owned)
                .map_err(|_| bad_base64(text))?,
            _ => return Err(wrong_type(value, "to a Blob")),
        };
        self.check_length(name, bytes.len(), Count { min: 0, max }, || {
            let length = bytes.len();
            format!("'java.nio.HeapByteBuffer[pos=0 lim={length} cap={length}]'")
        });
        Ok(bytes)
    }

    /// A structure inside this one.
    pub(crate) fn structure(&self, name: &'static str) -> Result<Option<Self>, Failure> {
        match find(self.members, name) {
            None => Ok(None),
            Some(Value::Map(members)) => Ok(Some(Self {
                members,
                path_to: self.path_to.then(name, None),
                ..*self
            })),
            Some(Value::List(_)) => Err(unexpected_list()),
            Some(_) => Err(Failure::serialization("Expected null")),
        }
    }

    /// The structures of a list that must be there.
    pub(crate) fn required_structures(
        &self,
        name: &'static str,
        length: Count,
        shown: &'static str,
    ) -> Result<impl Iterator<Item = Result<Self, Failure>> + use<'r>, Failure> {
        if find(self.members, name).is_none() {
            self.missing(name);
        }
        self.structures(name, length, shown)
    }

    /// The structures of a list; `shown` is what the service shows for each when the list is too
    /// short or too long.
    pub(crate) fn structures(
        &self,
        name: &'static str,
        length: Count,
        shown: &'static str,
    ) -> Result<impl Iterator<Item = Result<Self, Failure>> + use<'r>, Failure> {
        let empty: &'r [Value<'r>] = &[];
        let items = match find(self.members, name) {
            None => empty,
            Some(Value::List(items)) => {
                self.check_length(name, items.len(), length, || {
                    let shown = vec![shown; items.len().min(READ_ITEMS)];
                    format!("'[{}]'", shown.join(", "))
                });
                items.get(..READ_ITEMS).unwrap_or(items)
            }
            Some(Value::Map(_)) => return Err(unexpected_structure()),
            Some(_) => return Err(Failure::serialization("Expected list or null")),
        };
        let outer = *self;
        Ok(items.iter().enumerate().map(move |(index, item)| {
            let members: &'r [(Cow<'r, str>, Value<'r>)] = match item {
                Value::Map(members) => members,
                // A null entry is a structure without members: each required one is then missing.
                Value::Null => &[],
                Value::List(_) => return Err(unexpected_list()),
                _ => return Err(Failure::serialization("Expected null")),
            };
            Ok(Self {
                members,
                path_to: outer.path_to.then(name, Some(index + 1)),
                ..outer
            })
        }))
    }

    /// A map of strings, with a rule for its size, its keys and its values.
    pub(crate) fn texts(
        &self,
        name: &'static str,
        length: Count,
        key_length: Count,
        value_length: Count,
    ) -> Result<Option<Vec<(&'r str, &'r str)>>, Failure> {
        let members = match find(self.members, name) {
            None => return Ok(None),
            Some(Value::Map(members)) => members,
            Some(Value::List(_)) => return Err(unexpected_list()),
            Some(_) => return Err(Failure::serialization("Expected map or null")),
        };
        let mut texts = Vec::with_capacity(members.len());
        for (key, value) in members {
            match value {
                Value::Text(text) => texts.push((&**key, &**text)),
                Value::Null => {}
                other => return Err(wrong_type(other, "to an String")),
            }
        }
        let shown = || {
            let pairs: Vec<_> = texts.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("'{{{}}}'", pairs.join(", "))
        };
        self.check_length(name, texts.len(), length, shown);
        let keys_fit = texts.iter().all(|(key, _)| key_length.fits(key));
        let values_fit = texts.iter().all(|(_, value)| value_length.fits(value));
        for (fit, what, rule) in [
            (keys_fit, "Map keys", key_length),
            (values_fit, "Map value", value_length),
        ] {
            if !fit {
                self.note(format!(
                    "Value {} at '{}' failed to satisfy constraint: {what} must satisfy \
                     constraint: {}",
                    shown(),
                    self.path(name),
                    rule.both()
                ));
            }
        }
        Ok(Some(texts))
    }

    /// The strings of a list that must be there, with a rule for its length and theirs.
    pub(crate) fn required_text_list(
        &self,
        name: &'static str,
        length: Count,
        rule: &Text,
    ) -> Result<Vec<&'r str>, Failure> {
        let items = match find(self.members, name) {
            None => {
                self.missing(name);
                return Ok(Vec::new());
            }
            Some(Value::List(items)) => items,
            Some(Value::Map(_)) => return Err(unexpected_structure()),
            Some(_) => return Err(Failure::serialization("Expected list or null")),
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Value::Text(text) => texts.push(&**text),
                Value::Null => {}
                other => return Err(wrong_type(other, "to an String")),
            }
        }
        let shown = || format!("'[{}]'", texts.join(", "));
        self.check_length(name, texts.len(), length, shown);
        if !texts.iter().all(|text| rule.fits(text)) {
            self.note(format!(
                "Value {} at '{}' failed to satisfy constraint: Member must satisfy constraint: {}",
                shown(),
                self.path(name),
                rule.of_items()
            ));
        }
        Ok(texts)
    }

    /// What was read, or, if it is absent, a note of that and the default until
    /// [`Input::finish`].
    pub(crate) fn required<T: Default>(&self, name: &'static str, read: Option<T>) -> T {
        if read.is_none() {
            self.missing(name);
        }
        read.unwrap_or_default()
    }

    /// Ends the reading: the constraints that were broken, if any, as one error.
    ///
    /// # Errors
    /// A ValidationException.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let broken = self.broken.borrow();
        if broken.is_empty() {
            return Ok(());
        }
        Err(broken_constraints(&broken))
    }

    fn missing(&self, name: &'static str) {
        self.broken(name, "null", "not be null");
    }

    fn broken(&self, name: &'static str, value: &str, must: &str) {
        let path = self.path(name);
        self.note(format!(
            "Value {value} at '{path}' failed to satisfy constraint: Member must {must}"
        ));
    }

    fn note(&self, broken: String) {
        let mut noted = self.broken.borrow_mut();
        if noted.len() < MAX_CONSTRAINTS {
            noted.push(broken);
        }
    }

    fn path(&self, name: &'static str) -> impl fmt::Display {
        let mut path = String::new();
        for step in self.path_to.0.into_iter().flatten() {
            path += &lower_first(step.member);
            path += &match step.item {
                Some(number) => format!(".{number}.member."),
                None => ".".to_owned(),
            };
        }
        path + &lower_first(name)
    }
}

/// One error for all broken constraints.
pub(super) fn broken_constraints(broken: &[String]) -> Failure {
    let errors = match broken.len() {
        1 => "error",
        _ => "errors",
    };
    Failure::validation(format!(
        "{} validation {errors} detected: {}",
        broken.len(),
        broken.join("; ")
    ))
}

/// The service's Java spells its members with a small first letter.
fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars
        .next()
        .map(|first| first.to_ascii_lowercase())
        .into_iter()
        .chain(chars)
        .collect()
}
