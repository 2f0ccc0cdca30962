//! Query, of a table or an index, by `KeyConditionExpression`.
//!
//! Refused: `KeyConditions`, `QueryFilter`, `AttributesToGet`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value;

use super::DynamoDb;
use super::error::Failure;
use super::expression::{Comparator, Condition, Expressions, Operand};
use super::key::{KeyAttribute, KeySchema, KeyValue};
use super::members::Members;
use super::page::PageRequest;
use super::table::RowKey;
use super::value::AttributeValue;

/// A test of one key attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test<V> {
    Compare(Comparator, V),
    Between(V, V),
    BeginsWith(V),
}

/// What a query looks for.
struct KeyCondition {
    hash: KeyValue,
    range: Option<Test<KeyValue>>,
}

impl DynamoDb {
    pub(super) fn query(&self, mut members: Members) -> Result<Value, Failure> {
        let name = self.table_name(&mut members)?;
        let fields = [
            "ProjectionExpression",
            "FilterExpression",
            "KeyConditionExpression",
        ];
        let legacy = [
            "AttributesToGet",
            "QueryFilter",
            "ConditionalOperator",
            "KeyConditions",
        ];
        let mut expressions = Expressions::take(&mut members, &fields, &legacy)?;
        let condition = expressions.condition("KeyConditionExpression")?;
        let request = PageRequest::take(&mut members, &mut expressions)?;
        let forward = members.boolean("ScanIndexForward")?.unwrap_or(true);
        let nested = expressions.finish()?;
        members.finish()?;
        let tests = tests(condition.ok_or_else(|| {
            Failure::validation(
                "Either the KeyConditions or KeyConditionExpression parameter must be specified \
                 in the request.",
            )
        })?)?;

        let now = self.env.now();
        self.with_table(&name, |table| {
            let table = &*self.as_read(table, request.consistent, now);
            table.check_nested(&nested)?;
            let index = request.find_index(table, now)?;
            let schema = index.map_or(&table.schema, |index| &index.schema);
            let condition = KeyCondition::new(tests, schema)?;
            check_filter(request.filter.as_ref(), schema)?;
            let start = request.start_key(table, index)?;
            if let Some(start) = &start {
                condition.check_start(start)?;
            }
            let mut rows = table.rows_of(index, &condition.hash);
            if !forward {
                rows.reverse();
            }
            let beyond = if forward {
                Ordering::Greater
            } else {
                Ordering::Less
            };
            let rows = rows.into_iter().filter(|row| {
                let begun = |start| row.compare(start) == beyond;
                start.as_ref().is_none_or(begun) && condition.matches(row.key.range.as_ref())
            });
            Ok(request.read(table, index, rows))
        })
    }
}

impl KeyCondition {
    fn new(
        mut tests: BTreeMap<String, Test<AttributeValue>>,
        schema: &KeySchema,
    ) -> Result<Self, Failure> {
        let given = tests.len();
        if given > 2 {
            return Err(Failure::validation(
                "Conditions can be of length 1 or 2 only",
            ));
        }
        let missed = |attribute: &KeyAttribute| {
            Failure::validation(format!(
                "Query condition missed key schema element: {}",
                attribute.name
            ))
        };
        let not_supported = || Failure::validation("Query key condition not supported");
        let hash = tests.remove(&schema.hash.name);
        let hash = match typed(hash.ok_or_else(|| missed(&schema.hash))?, &schema.hash)? {
            Test::Compare(Comparator::Equal, hash) => hash,
            Test::Compare(..) | Test::Between(..) | Test::BeginsWith(_) => {
                return Err(not_supported());
            }
        };
        let range = match (&schema.range, given) {
            (_, 1) => None,
            (None, _) => return Err(not_supported()),
            (Some(attribute), _) => {
                let test = tests.remove(&attribute.name);
                Some(typed(test.ok_or_else(|| missed(attribute))?, attribute)?)
            }
        };
        Ok(Self { hash, range })
    }

    fn matches(&self, range: Option<&KeyValue>) -> bool {
        match (&self.range, range) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(test), Some(value)) => test.holds(value),
        }
    }

    fn check_start(&self, (key, _): &RowKey) -> Result<(), Failure> {
        let text = if key.hash != self.hash {
            "The provided starting key is outside query boundaries based on provided conditions"
        } else if !self.matches(key.range.as_ref()) {
            "The provided starting key does not match the range key predicate"
        } else {
            return Ok(());
        };
        Err(Failure::validation(text))
    }
}

impl Test<KeyValue> {
    fn holds(&self, value: &KeyValue) -> bool {
        match self {
            Self::Between(low, high) => low <= value && value <= high,
            Self::BeginsWith(prefix) => value.begins_with(prefix),
            Self::Compare(comparator, other) => match comparator {
                Comparator::Equal => value == other,
                Comparator::NotEqual => value != other,
                Comparator::Less => value < other,
                Comparator::LessOrEqual => value <= other,
                Comparator::Greater => value > other,
                Comparator::GreaterOrEqual => value >= other,
            },
        }
    }
}

/// A test with values of the attribute's type.
fn typed(test: Test<AttributeValue>, attribute: &KeyAttribute) -> Result<Test<KeyValue>, Failure> {
    let value = |value: AttributeValue| {
        let value = KeyValue::of(&value, attribute.key_type).ok_or_else(|| {
            Failure::invalid_parameters("Condition parameter type does not match schema type")
        })?;
        attribute.not_empty(value)
    };
    Ok(match test {
        Test::Compare(comparator, other) => Test::Compare(comparator, value(other)?),
        Test::Between(low, high) => Test::Between(value(low)?, value(high)?),
        Test::BeginsWith(prefix) => Test::BeginsWith(value(prefix)?),
    })
}

/// The tests of a key condition by attribute.
fn tests(condition: Condition) -> Result<BTreeMap<String, Test<AttributeValue>>, Failure> {
    let mut tests = BTreeMap::new();
    let mut left = vec![condition];
    while let Some(condition) = left.pop() {
        if let Condition::And(terms) = condition {
            left.extend(terms.into_iter().rev());
            continue;
        }
        let (attribute, test) = test(condition).map_err(Failure::validation)?;
        if tests.insert(attribute, test).is_some() {
            let text = "KeyConditionExpressions must only contain one condition per key";
            return Err(Failure::validation(text));
        }
    }
    Ok(tests)
}

fn test(condition: Condition) -> Result<(String, Test<AttributeValue>), String> {
    let operator = match &condition {
        Condition::And(_) => "AND",
        Condition::Or(_) => "OR",
        Condition::Not(_) => "NOT",
        Condition::In(..) => "IN",
        Condition::Exists(_) => "attribute_exists",
        Condition::NotExists(_) => "attribute_not_exists",
        Condition::HasType(..) => "attribute_type",
        Condition::Contains(..) => "contains",
        Condition::Compare(comparator, ..) => comparator.symbol(),
        Condition::Between(..) => "BETWEEN",
        Condition::BeginsWith(..) => "begins_with",
    };
    let misused = format!("Invalid operator used in KeyConditionExpression: {operator}");
    let key_first = || {
        format!(
            "Invalid condition in KeyConditionExpression: {operator} operator must have the key \
             attribute as its first operand"
        )
    };
    match condition {
        Condition::Compare(Comparator::NotEqual, ..) => Err(misused),
        Condition::Compare(comparator, left, right) => match (left, right) {
            (Operand::Path(_), Operand::Path(_)) => Err("Invalid condition in \
                KeyConditionExpression: Multiple attribute names used in one condition"
                .to_owned()),
            (Operand::Value(value), key @ Operand::Path(_)) => Ok((
                key_attribute(key)?,
                Test::Compare(comparator.mirrored(), value),
            )),
            (key, value) => {
                let test = Test::Compare(comparator, literal(value)?);
                Ok((key_attribute(key)?, test))
            }
        },
        Condition::Between(Operand::Value(_), ..) | Condition::BeginsWith(Operand::Value(_), _) => {
            Err(key_first())
        }
        Condition::Between(key, low, high) => {
            let test = Test::Between(literal(low)?, literal(high)?);
            Ok((key_attribute(key)?, test))
        }
        Condition::BeginsWith(key, prefix) => {
            let test = Test::BeginsWith(literal(prefix)?);
            Ok((key_attribute(key)?, test))
        }
        _ => Err(misused),
    }
}

fn key_attribute(operand: Operand) -> Result<String, String> {
    match operand {
        Operand::Path(path) if path.rest.is_empty() => Ok(path.head),
        Operand::Path(_) => {
            Err("KeyConditionExpressions cannot have conditions on nested attributes".to_owned())
        }
        Operand::Size(_) => Err(NESTED.to_owned()),
        Operand::Value(_) => Err(
            "Invalid condition in KeyConditionExpression: No key attribute specified".to_owned(),
        ),
    }
}

fn literal(operand: Operand) -> Result<AttributeValue, String> {
    match operand {
        Operand::Value(value) => Ok(value),
        Operand::Size(_) => Err(NESTED.to_owned()),
        Operand::Path(_) => Err("Invalid condition in KeyConditionExpression: \
            Multiple attribute names used in one condition"
            .to_owned()),
    }
}

/// The key is the key condition's; the filter sees what that leaves.
fn check_filter(filter: Option<&Condition>, schema: &KeySchema) -> Result<(), Failure> {
    let used = filter.map(Condition::attributes).unwrap_or_default();
    match used.iter().find(|name| schema.has(name)) {
        Some(name) => Err(Failure::validation(format!(
            "Filter Expression can only contain non-primary key attributes: Primary key \
             attribute: {name}"
        ))),
        None => Ok(()),
    }
}

const NESTED: &str = "KeyConditionExpressions cannot contain nested operations";
