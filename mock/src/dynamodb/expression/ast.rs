//! The forms of an expression: the tree as written, and the same bound to names and values.

use std::collections::BTreeSet;
use std::fmt;

use crate::dynamodb::value::{AttributeValue, Item};

/// An expression as written, with its placeholders.
///
/// Conditions and operands are one type, because `(` may open either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree {
    Or(Vec<Self>),
    And(Vec<Self>),
    Not(Box<Self>),
    Compare(Comparator, Box<Self>, Box<Self>),
    Between(Box<Self>, Box<Self>, Box<Self>),
    In(Box<Self>, Vec<Self>),
    Call(String, Vec<Self>),
    Plus(Box<Self>, Box<Self>),
    Minus(Box<Self>, Box<Self>),
    Path(RawPath),
    /// A value's placeholder.
    Value(String),
}

impl Tree {
    /// Whether it can stand beside an operator.
    pub(super) fn is_operand(&self) -> bool {
        matches!(self, Self::Call(..) | Self::Path(_) | Self::Value(_))
    }

    /// Whether it can be true or false.
    pub(super) fn is_condition(&self) -> bool {
        !matches!(
            self,
            Self::Plus(..) | Self::Minus(..) | Self::Path(_) | Self::Value(_)
        )
    }
}

/// A document path as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawPath {
    pub(super) head: RawName,
    pub(super) rest: Vec<RawElement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RawName {
    Literal(String),
    Placeholder(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RawElement {
    Name(RawName),
    Index(String),
}

/// One action of an update expression as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RawAction {
    Set(RawPath, Tree),
    Remove(RawPath),
    /// The value's placeholder.
    Add(RawPath, String),
    /// The value's placeholder.
    Delete(RawPath, String),
}

/// `SET`, `REMOVE`, `ADD` or `DELETE` and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawSection {
    pub(super) keyword: &'static str,
    pub(super) actions: Vec<RawAction>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dynamodb) enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparator {
    pub(super) const ALL: [Self; 6] = [
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::Greater,
        Self::GreaterOrEqual,
    ];

    pub(in crate::dynamodb) fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// The comparator with its operands exchanged.
    pub(in crate::dynamodb) fn mirrored(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

/// Where a value stands in an item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dynamodb) struct Path {
    /// The attribute.
    pub(in crate::dynamodb) head: String,
    /// The way inside it.
    pub(in crate::dynamodb) rest: Vec<Element>,
}

/// One step into a map or a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dynamodb) enum Element {
    Name(String),
    Index(usize),
}

impl Path {
    pub(in crate::dynamodb) fn attribute(name: impl Into<String>) -> Self {
        Self {
            head: name.into(),
            rest: Vec::new(),
        }
    }

    /// The value there.
    pub(in crate::dynamodb) fn find<'a>(&self, item: &'a Item) -> Option<&'a AttributeValue> {
        let head = item.get(&self.head)?;
        self.rest
            .iter()
            .try_fold(head, |value, element| match (value, element) {
                (AttributeValue::M(map), Element::Name(name)) => map.get(name),
                (AttributeValue::L(list), Element::Index(index)) => list.get(*index),
                _ => None,
            })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}", self.head)?;
        for element in &self.rest {
            match element {
                Element::Name(name) => write!(f, ", {name}")?,
                Element::Index(index) => write!(f, ", [{index}]")?,
            }
        }
        f.write_str("]")
    }
}

/// A value in a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dynamodb) enum Operand {
    Path(Path),
    Value(AttributeValue),
    Size(Box<Self>),
}

/// What is true or false of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dynamodb) enum Condition {
    Or(Vec<Self>),
    And(Vec<Self>),
    Not(Box<Self>),
    Compare(Comparator, Operand, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Exists(Path),
    NotExists(Path),
    /// The name of the type.
    HasType(Operand, String),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
}

impl Condition {
    /// The attributes that it looks at.
    pub(in crate::dynamodb) fn attributes(&self) -> BTreeSet<&str> {
        match self {
            Self::Or(terms) | Self::And(terms) => terms.iter().flat_map(Self::attributes).collect(),
            Self::Not(inner) => inner.attributes(),
            Self::Compare(_, a, b) | Self::BeginsWith(a, b) | Self::Contains(a, b) => {
                [a, b].into_iter().filter_map(Operand::attribute).collect()
            }
            Self::Between(a, b, c) => {
                let operands = [a, b, c].into_iter();
                operands.filter_map(Operand::attribute).collect()
            }
            Self::In(value, choices) => {
                let operands = std::iter::once(value).chain(choices);
                operands.filter_map(Operand::attribute).collect()
            }
            Self::Exists(path) | Self::NotExists(path) => BTreeSet::from([path.head.as_str()]),
            Self::HasType(operand, _) => operand.attribute().into_iter().collect(),
        }
    }
}

impl Operand {
    fn attribute(&self) -> Option<&str> {
        match self {
            Self::Path(path) => Some(&path.head),
            Self::Value(_) => None,
            Self::Size(operand) => operand.attribute(),
        }
    }
}

/// What an update does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dynamodb) enum Action {
    Set(Path, SetValue),
    Remove(Path),
    Add(Path, AttributeValue),
    Delete(Path, AttributeValue),
}

impl Action {
    pub(in crate::dynamodb) fn path(&self) -> &Path {
        match self {
            Self::Set(path, _)
            | Self::Remove(path)
            | Self::Add(path, _)
            | Self::Delete(path, _) => path,
        }
    }
}

/// The right side of an assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dynamodb) enum SetValue {
    Path(Path),
    Value(AttributeValue),
    Plus(Box<Self>, Box<Self>),
    Minus(Box<Self>, Box<Self>),
    IfNotExists(Path, Box<Self>),
    ListAppend(Box<Self>, Box<Self>),
}
