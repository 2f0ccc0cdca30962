//! Cuts out of an item what a projection names.

use std::collections::BTreeMap;

use super::ast::{Element, Path};
use crate::dynamodb::value::{AttributeValue, Item};

/// The paths of a projection as a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::dynamodb) struct Projection {
    attributes: BTreeMap<String, Cut>,
}

/// What is wanted of a value: all of it if nothing inside is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Cut {
    inside: BTreeMap<Element, Self>,
}

impl Projection {
    pub(in crate::dynamodb) fn new<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut projection = Self::default();
        for path in paths {
            let head = projection.attributes.entry(path.head.clone()).or_default();
            path.rest.iter().fold(head, |cut, element| {
                cut.inside.entry(element.clone()).or_default()
            });
        }
        projection
    }

    /// The attributes of which something is wanted.
    pub(in crate::dynamodb) fn attributes(&self) -> impl Iterator<Item = &String> {
        self.attributes.keys()
    }

    /// The part of the item that is named; what is not there is left out.
    pub(in crate::dynamodb) fn apply(&self, item: &Item) -> Item {
        self.attributes
            .iter()
            .filter_map(|(name, cut)| Some((name.clone(), cut.apply(item.get(name)?)?)))
            .collect()
    }
}

impl Cut {
    fn apply(&self, value: &AttributeValue) -> Option<AttributeValue> {
        if self.inside.is_empty() {
            return Some(value.clone());
        }
        match value {
            AttributeValue::M(map) => {
                let part = self
                    .inside
                    .iter()
                    .filter_map(|(element, cut)| match element {
                        Element::Name(name) => Some((name.clone(), cut.apply(map.get(name)?)?)),
                        Element::Index(_) => None,
                    });
                let part = part.collect::<BTreeMap<_, _>>();
                (!part.is_empty()).then_some(AttributeValue::M(part))
            }
            AttributeValue::L(list) => {
                let part = self
                    .inside
                    .iter()
                    .filter_map(|(element, cut)| match element {
                        Element::Index(index) => cut.apply(list.get(*index)?),
                        Element::Name(_) => None,
                    });
                let part = part.collect::<Vec<_>>();
                (!part.is_empty()).then_some(AttributeValue::L(part))
            }
            _ => None,
        }
    }
}

/// How two paths lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Apart,
    /// One is the other, or leads to it.
    Overlap,
    /// One takes a value for a map, the other for a list.
    Conflict,
}

pub(super) fn relation(first: &Path, second: &Path) -> Relation {
    if first.head != second.head {
        return Relation::Apart;
    }
    for (a, b) in first.rest.iter().zip(&second.rest) {
        match (a, b) {
            _ if a == b => {}
            (Element::Name(_), Element::Name(_)) | (Element::Index(_), Element::Index(_)) => {
                return Relation::Apart;
            }
            _ => return Relation::Conflict,
        }
    }
    Relation::Overlap
}
