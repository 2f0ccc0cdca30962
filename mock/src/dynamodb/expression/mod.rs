//! Expressions: conditions, filters, key conditions, projections and updates.
//!
//! An expression goes through four steps: `lex` cuts it into tokens, `parse` makes a tree,
//! `bind` puts the request's names and values into it and checks it, `eval`, `update` and
//! `project` apply the result to items. Errors are in the service's words.

mod ast;
mod bind;
mod eval;
mod lex;
mod parse;
mod project;
mod reserved;
mod update;

use std::collections::{BTreeMap, BTreeSet};

use crate::dynamodb::error::Failure;
use crate::dynamodb::members::Members;
use crate::dynamodb::value::{AttributeValue, ValueError};

pub(super) use ast::{Action, Comparator, Condition, Operand, Path, SetValue};
pub(super) use eval::order;
pub(super) use project::Projection;
pub(super) use update::Update;

/// The names and values that a request gives to its expressions, and which of them were used.
#[derive(Debug, Default)]
pub(super) struct Placeholders {
    names: BTreeMap<String, String>,
    values: BTreeMap<String, AttributeValue>,
    used_names: BTreeSet<String>,
    used_values: BTreeSet<String>,
    /// The attributes that an expression looks into.
    nested: BTreeSet<String>,
}

/// The expressions of one request, taken out of its members before the table is looked at.
#[derive(Debug)]
pub(super) struct Expressions {
    placeholders: Placeholders,
    texts: BTreeMap<&'static str, String>,
}

impl Expressions {
    /// Takes the expressions named `fields` with their names and values, and refuses them if the
    /// request also has one of the `legacy` parameters.
    pub(super) fn take(
        members: &mut Members,
        fields: &[&'static str],
        legacy: &[&str],
    ) -> Result<Self, Failure> {
        let mut texts = BTreeMap::new();
        for field in fields {
            if let Some(text) = members.string(field)? {
                texts.insert(*field, text);
            }
        }
        let legacy = legacy.iter().filter(|name| members.has(name)).copied();
        let legacy = legacy.collect::<Vec<_>>();
        if !texts.is_empty() && !legacy.is_empty() {
            let given = fields.iter().filter(|field| texts.contains_key(*field));
            return Err(Failure::validation(format!(
                "Can not use both expression and non-expression parameters in the same request: \
                 Non-expression parameters: {{{}}} Expression parameters: {{{}}}",
                legacy.join(", "),
                given.copied().collect::<Vec<_>>().join(", "),
            )));
        }
        let placeholders = Placeholders {
            names: take_names(members, texts.is_empty())?,
            values: take_values(members, fields, &texts)?,
            ..Placeholders::default()
        };
        Ok(Self {
            placeholders,
            texts,
        })
    }

    pub(super) fn condition(&mut self, field: &'static str) -> Result<Option<Condition>, Failure> {
        self.read(field, |text, placeholders| {
            bind::condition(parse::condition(text)?, placeholders)
        })
    }

    pub(super) fn projection(
        &mut self,
        field: &'static str,
    ) -> Result<Option<Projection>, Failure> {
        self.read(field, |text, placeholders| {
            bind::projection(parse::projection(text)?, placeholders)
        })
    }

    pub(super) fn update(&mut self, field: &'static str) -> Result<Option<Update>, Failure> {
        self.read(field, |text, placeholders| {
            let actions = bind::update(parse::update(text)?, placeholders)?;
            Ok(Update {
                actions,
                mismatch: "An operand in the update expression has an incorrect data type",
            })
        })
    }

    /// Refuses names and values that no expression has used; returns the attributes that an
    /// expression looks into, which may not be keys.
    pub(super) fn finish(self) -> Result<BTreeSet<String>, Failure> {
        let Placeholders {
            names,
            values,
            used_names,
            used_values,
            nested,
        } = self.placeholders;
        check_used("ExpressionAttributeNames", names.into_keys(), &used_names)?;
        check_used(
            "ExpressionAttributeValues",
            values.into_keys(),
            &used_values,
        )?;
        Ok(nested)
    }

    fn read<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&str, &mut Placeholders) -> Result<T, String>,
    ) -> Result<Option<T>, Failure> {
        let Some(text) = self.texts.get(field) else {
            return Ok(None);
        };
        match read(text, &mut self.placeholders) {
            Ok(bound) => Ok(Some(bound)),
            Err(message) => Err(Failure::validation(format!("Invalid {field}: {message}"))),
        }
    }
}

impl Placeholders {
    fn name(&mut self, placeholder: &str) -> Option<String> {
        let name = self.names.get(placeholder)?;
        self.used_names.insert(placeholder.to_owned());
        Some(name.clone())
    }

    /// Notes a path, if it leads into an attribute.
    fn note_path(&mut self, path: &Path) {
        if !path.rest.is_empty() {
            self.nested.insert(path.head.clone());
        }
    }

    fn value(&mut self, placeholder: &str) -> Option<AttributeValue> {
        let value = self.values.get(placeholder)?;
        self.used_values.insert(placeholder.to_owned());
        Some(value.clone())
    }
}

fn take_names(
    members: &mut Members,
    no_expression: bool,
) -> Result<BTreeMap<String, String>, Failure> {
    let Some(json) = members.map("ExpressionAttributeNames")? else {
        return Ok(BTreeMap::new());
    };
    if no_expression {
        return Err(Failure::validation(
            "ExpressionAttributeNames can only be specified when using expressions",
        ));
    }
    check_placeholders("ExpressionAttributeNames", '#', json.keys())?;
    json.into_iter()
        .map(|(key, value)| match value {
            serde_json::Value::String(name) => Ok((key, name)),
            other => Err(crate::dynamodb::value::mismatch(&other, "String").into()),
        })
        .collect()
}

fn take_values(
    members: &mut Members,
    fields: &[&'static str],
    texts: &BTreeMap<&'static str, String>,
) -> Result<BTreeMap<String, AttributeValue>, Failure> {
    let Some(json) = members.map("ExpressionAttributeValues")? else {
        return Ok(BTreeMap::new());
    };
    let users = fields
        .iter()
        .filter(|field| **field != "ProjectionExpression")
        .copied()
        .collect::<Vec<_>>();
    if !users.iter().any(|field| texts.contains_key(field)) {
        let verb = if users.len() > 1 { "are" } else { "is" };
        return Err(Failure::validation(format!(
            "ExpressionAttributeValues can only be specified when using expressions: {} {verb} \
             null",
            users.join(" and ")
        )));
    }
    check_placeholders("ExpressionAttributeValues", ':', json.keys())?;
    json.into_iter()
        .map(|(key, value)| match AttributeValue::from_json(value) {
            Ok(value) => Ok((key, value)),
            Err(ValueError::Content(message)) => Err(Failure::validation(format!(
                "ExpressionAttributeValues contains invalid value: {message} for key {key}"
            ))),
            Err(shape) => Err(shape.into()),
        })
        .collect()
}

fn check_placeholders<'a>(
    parameter: &str,
    sigil: char,
    mut keys: impl Iterator<Item = &'a String>,
) -> Result<(), Failure> {
    let mut empty = true;
    let bad = keys.find(|key| {
        empty = false;
        !key.strip_prefix(sigil).is_some_and(|word| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            !word.is_empty() && word.bytes().all(fits)
        })
    });
    match bad {
        Some(key) => Err(Failure::validation(format!(
            "{parameter} contains invalid key: Syntax error; key: \"{key}\""
        ))),
        None if empty => Err(Failure::validation(format!(
            "{parameter} must not be empty"
        ))),
        None => Ok(()),
    }
}

fn check_used(
    parameter: &str,
    given: impl Iterator<Item = String>,
    used: &BTreeSet<String>,
) -> Result<(), Failure> {
    let unused = given.filter(|key| !used.contains(key)).collect::<Vec<_>>();
    if unused.is_empty() {
        return Ok(());
    }
    Err(Failure::validation(format!(
        "Value provided in {parameter} unused in expressions: keys: {{{}}}",
        unused.join(", ")
    )))
}
