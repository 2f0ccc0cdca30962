//! Whether a condition holds for an item.
//!
//! A comparison with something that is not there is false, and so is an order between values of
//! different types; only `<>` is true of what is not there.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::ast::{Comparator, Condition, Operand};
use crate::dynamodb::number::Number;
use crate::dynamodb::value::{AttributeValue, Item};

impl Condition {
    /// Whether it holds; an item that does not exist is an empty one.
    pub(in crate::dynamodb) fn holds(&self, item: &Item) -> bool {
        match self {
            Self::Or(terms) => terms.iter().any(|term| term.holds(item)),
            Self::And(terms) => terms.iter().all(|term| term.holds(item)),
            Self::Not(inner) => !inner.holds(item),
            Self::Compare(comparator, left, right) => {
                compare(*comparator, left.find(item), right.find(item))
            }
            Self::Between(value, low, high) => {
                let value = value.find(item);
                compare(Comparator::GreaterOrEqual, value.clone(), low.find(item))
                    && compare(Comparator::LessOrEqual, value, high.find(item))
            }
            Self::In(value, choices) => value.find(item).is_some_and(|value| {
                choices
                    .iter()
                    .any(|choice| choice.find(item).is_some_and(|choice| choice == value))
            }),
            Self::Exists(path) => path.find(item).is_some(),
            Self::NotExists(path) => path.find(item).is_none(),
            Self::HasType(operand, name) => operand
                .find(item)
                .is_some_and(|value| value.type_name() == name),
            Self::BeginsWith(value, prefix) => both(value.find(item), prefix.find(item))
                .is_some_and(|(value, prefix)| match (&*value, &*prefix) {
                    (AttributeValue::S(text), AttributeValue::S(prefix)) => {
                        text.starts_with(prefix)
                    }
                    (AttributeValue::B(bytes), AttributeValue::B(prefix)) => {
                        bytes.starts_with(prefix)
                    }
                    _ => false,
                }),
            Self::Contains(value, element) => both(value.find(item), element.find(item))
                .is_some_and(|(value, element)| contains(&value, &element)),
        }
    }
}

impl Operand {
    fn find<'a>(&'a self, item: &'a Item) -> Option<Cow<'a, AttributeValue>> {
        match self {
            Self::Path(path) => path.find(item).map(Cow::Borrowed),
            Self::Value(value) => Some(Cow::Borrowed(value)),
            Self::Size(operand) => {
                let size = size(&*operand.find(item)?)?;
                Some(Cow::Owned(AttributeValue::N(Number::from(size))))
            }
        }
    }
}

/// The order of two values, if they have one.
pub(in crate::dynamodb) fn order(
    left: &AttributeValue,
    right: &AttributeValue,
) -> Option<Ordering> {
    match (left, right) {
        (AttributeValue::S(left), AttributeValue::S(right)) => Some(left.cmp(right)),
        (AttributeValue::N(left), AttributeValue::N(right)) => Some(left.cmp(right)),
        (AttributeValue::B(left), AttributeValue::B(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

type Found<'a> = Option<Cow<'a, AttributeValue>>;

fn compare(comparator: Comparator, left: Found<'_>, right: Found<'_>) -> bool {
    let pair = both(left, right);
    let ordered = |test: fn(Ordering) -> bool| {
        pair.as_ref()
            .and_then(|(left, right)| order(left, right))
            .is_some_and(test)
    };
    let equal = || pair.as_ref().is_some_and(|(left, right)| left == right);
    match comparator {
        Comparator::Equal => equal(),
        Comparator::NotEqual => !equal(),
        Comparator::Less => ordered(Ordering::is_lt),
        Comparator::LessOrEqual => ordered(Ordering::is_le),
        Comparator::Greater => ordered(Ordering::is_gt),
        Comparator::GreaterOrEqual => ordered(Ordering::is_ge),
    }
}

fn both<'a>(
    left: Found<'a>,
    right: Found<'a>,
) -> Option<(Cow<'a, AttributeValue>, Cow<'a, AttributeValue>)> {
    left.zip(right)
}

fn contains(value: &AttributeValue, element: &AttributeValue) -> bool {
    match (value, element) {
        (AttributeValue::S(text), AttributeValue::S(part)) => text.contains(part.as_str()),
        (AttributeValue::B(bytes), AttributeValue::B(part)) => {
            part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
        }
        (AttributeValue::Ss(set), AttributeValue::S(text)) => set.contains(text),
        (AttributeValue::Ns(set), AttributeValue::N(number)) => set.contains(number),
        (AttributeValue::Bs(set), AttributeValue::B(bytes)) => set.contains(bytes),
        (AttributeValue::L(list), element) => list.contains(element),
        _ => false,
    }
}

fn size(value: &AttributeValue) -> Option<usize> {
    match value {
        AttributeValue::S(text) => Some(text.len()),
        AttributeValue::B(bytes) => Some(bytes.len()),
        AttributeValue::Ss(set) => Some(set.len()),
        AttributeValue::Ns(set) => Some(set.len()),
        AttributeValue::Bs(set) => Some(set.len()),
        AttributeValue::L(list) => Some(list.len()),
        AttributeValue::M(map) => Some(map.len()),
        AttributeValue::N(_) | AttributeValue::Bool(_) | AttributeValue::Null => None,
    }
}
