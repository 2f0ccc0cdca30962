//! Applies the actions of an update to an item.
//!
//! Every right side is computed from the item as it was; then values are set and added, then set
//! elements deleted, and last whatever is removed goes, from the end of a list to its beginning,
//! so that list indexes mean the positions before the update.

use super::ast::{Action, Element, Path, SetValue};
use crate::dynamodb::error::Failure;
use crate::dynamodb::number::{Number, NumberError};
use crate::dynamodb::value::{AttributeValue, Item};

/// The actions of an update, and what to say if a value has the wrong type for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dynamodb) struct Update {
    pub(in crate::dynamodb) actions: Vec<Action>,
    pub(in crate::dynamodb) mismatch: &'static str,
}

impl Update {
    /// An update that changes nothing.
    pub(in crate::dynamodb) fn nothing() -> Self {
        Self {
            actions: Vec::new(),
            mismatch: "",
        }
    }

    /// Whether it only takes away; such an update does not create an item.
    pub(in crate::dynamodb) fn only_removes(&self) -> bool {
        let removes = |action: &Action| matches!(action, Action::Remove(_) | Action::Delete(..));
        !self.actions.is_empty() && self.actions.iter().all(removes)
    }

    /// The item after the update.
    pub(in crate::dynamodb) fn apply(&self, old: &Item) -> Result<Item, Failure> {
        let mut item = old.clone();
        // By path, so that two elements set beyond the end of a list keep their order.
        let mut actions = self.actions.iter().collect::<Vec<_>>();
        actions.sort_by(|a, b| a.path().cmp(b.path()));
        let mut removals = Vec::new();
        for action in actions {
            match action {
                Action::Set(path, value) => put(&mut item, path, self.compute(value, old)?)?,
                Action::Add(path, value) => {
                    let sum = match path.find(old) {
                        Some(present) => self.add(present, value)?,
                        None => value.clone(),
                    };
                    put(&mut item, path, sum)?;
                }
                Action::Delete(path, value) => {
                    let Some(present) = path.find(old) else {
                        parent(&mut item, path)?;
                        continue;
                    };
                    match self.subtract(present, value)? {
                        Some(rest) => put(&mut item, path, rest)?,
                        None => removals.push(path),
                    }
                }
                Action::Remove(path) => removals.push(path),
            }
        }
        for path in removals.into_iter().rev() {
            remove(&mut item, path)?;
        }
        Ok(item)
    }

    fn compute(&self, value: &SetValue, old: &Item) -> Result<AttributeValue, Failure> {
        match value {
            SetValue::Value(value) => Ok(value.clone()),
            SetValue::Path(path) => path.find(old).cloned().ok_or_else(|| {
                Failure::validation(
                    "The provided expression refers to an attribute that does not exist in the item",
                )
            }),
            SetValue::IfNotExists(path, otherwise) => match path.find(old) {
                Some(present) => Ok(present.clone()),
                None => self.compute(otherwise, old),
            },
            SetValue::Plus(left, right) => self.arithmetic(left, right, old, Number::plus),
            SetValue::Minus(left, right) => self.arithmetic(left, right, old, Number::minus),
            SetValue::ListAppend(left, right) => {
                let pair = (self.compute(left, old)?, self.compute(right, old)?);
                let (AttributeValue::L(mut list), AttributeValue::L(more)) = pair else {
                    return Err(self.mismatched());
                };
                list.extend(more);
                Ok(AttributeValue::L(list))
            }
        }
    }

    fn arithmetic(
        &self,
        left: &SetValue,
        right: &SetValue,
        old: &Item,
        operation: fn(Number, Number) -> Result<Number, NumberError>,
    ) -> Result<AttributeValue, Failure> {
        let pair = (self.compute(left, old)?, self.compute(right, old)?);
        let (AttributeValue::N(left), AttributeValue::N(right)) = pair else {
            return Err(self.mismatched());
        };
        number(operation(left, right))
    }

    /// `ADD` to a value that is there.
    fn add(
        &self,
        present: &AttributeValue,
        more: &AttributeValue,
    ) -> Result<AttributeValue, Failure> {
        use AttributeValue::{Bs, L, N, Ns, Ss};
        Ok(match (present, more) {
            (N(present), N(more)) => return number(present.plus(*more)),
            (Ss(present), Ss(more)) => Ss(present | more),
            (Ns(present), Ns(more)) => Ns(present | more),
            (Bs(present), Bs(more)) => Bs(present | more),
            // Only the legacy form adds lists.
            (L(present), L(more)) => L([present.as_slice(), more.as_slice()].concat()),
            _ => return Err(self.mismatched()),
        })
    }

    /// `DELETE` from a set that is there; none if nothing is left.
    fn subtract(
        &self,
        present: &AttributeValue,
        less: &AttributeValue,
    ) -> Result<Option<AttributeValue>, Failure> {
        use AttributeValue::{Bs, Ns, Ss};
        Ok(match (present, less) {
            (Ss(present), Ss(less)) => Some(present - less).filter(|set| !set.is_empty()).map(Ss),
            (Ns(present), Ns(less)) => Some(present - less).filter(|set| !set.is_empty()).map(Ns),
            (Bs(present), Bs(less)) => Some(present - less).filter(|set| !set.is_empty()).map(Bs),
            _ => return Err(self.mismatched()),
        })
    }

    fn mismatched(&self) -> Failure {
        Failure::validation(self.mismatch)
    }
}

fn number(result: Result<Number, NumberError>) -> Result<AttributeValue, Failure> {
    result
        .map(AttributeValue::N)
        .map_err(|error| Failure::validation(error.to_string()))
}

/// What holds the last step of a path.
enum Parent<'a> {
    Map(&'a mut Item, &'a str),
    List(&'a mut Vec<AttributeValue>, usize),
}

fn parent<'a>(item: &'a mut Item, path: &'a Path) -> Result<Parent<'a>, Failure> {
    let invalid = || {
        Failure::validation(
            "The document path provided in the update expression is invalid for update",
        )
    };
    let Some((last, steps)) = path.rest.split_last() else {
        return Ok(Parent::Map(item, &path.head));
    };
    let mut value = item.get_mut(&path.head).ok_or_else(invalid)?;
    for step in steps {
        value = match (value, step) {
            (AttributeValue::M(map), Element::Name(name)) => map.get_mut(name),
            (AttributeValue::L(list), Element::Index(index)) => list.get_mut(*index),
            _ => None,
        }
        .ok_or_else(invalid)?;
    }
    match (value, last) {
        (AttributeValue::M(map), Element::Name(name)) => Ok(Parent::Map(map, name)),
        (AttributeValue::L(list), Element::Index(index)) => Ok(Parent::List(list, *index)),
        _ => Err(invalid()),
    }
}

fn put(item: &mut Item, path: &Path, value: AttributeValue) -> Result<(), Failure> {
    match parent(item, path)? {
        Parent::Map(map, name) => {
            map.insert(name.to_owned(), value);
        }
        Parent::List(list, index) => match list.get_mut(index) {
            Some(present) => *present = value,
            None => list.push(value),
        },
    }
    Ok(())
}

fn remove(item: &mut Item, path: &Path) -> Result<(), Failure> {
    match parent(item, path)? {
        Parent::Map(map, name) => {
            map.remove(name);
        }
        Parent::List(list, index) if index < list.len() => {
            list.remove(index);
        }
        Parent::List(..) => {}
    }
    Ok(())
}
