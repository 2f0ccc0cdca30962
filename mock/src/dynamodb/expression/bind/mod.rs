//! Trees to what they mean: placeholders replaced, names and types of operands checked.
//!
//! An expression can be wrong in several ways at once. The service reports them by kind, not by
//! place, so binding goes on after an error and the gravest kind is reported.

mod conditions;
mod updates;

use std::collections::BTreeMap;

use super::Placeholders;
use super::ast::{
    Action, Condition, Element, Path, RawElement, RawName, RawPath, RawSection, Tree,
};
use super::parse::Parsed;
use super::project::{self, Projection};
use super::reserved::is_reserved;
use crate::dynamodb::value::AttributeValue;

/// The kinds of error, in the order in which they are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Parentheses,
    UnknownFunction,
    MisusedFunction,
    Reserved,
    Section,
    Undefined,
    OperandCount,
    Overlap,
    Conflict,
    Distinct,
    OperandType,
}

pub(super) fn condition(
    parsed: Parsed<Tree>,
    placeholders: &mut Placeholders,
) -> Result<Condition, String> {
    let mut binder = Binder::new(placeholders);
    binder.check_parentheses(parsed.redundant_parentheses);
    let condition = binder.condition(parsed.tree);
    binder.finish(condition)
}

pub(super) fn projection(
    parsed: Parsed<Vec<RawPath>>,
    placeholders: &mut Placeholders,
) -> Result<Projection, String> {
    let mut binder = Binder::new(placeholders);
    let paths = parsed.tree.into_iter().map(|path| binder.path(path));
    let paths = paths.collect::<Vec<_>>();
    let paths = paths.into_iter().collect::<Option<Vec<_>>>();
    binder.check_overlap(paths.iter().flatten());
    let projection = paths.map(|paths| Projection::new(&paths));
    binder.finish(projection)
}

pub(super) fn update(
    parsed: Parsed<Vec<RawSection>>,
    placeholders: &mut Placeholders,
) -> Result<Vec<Action>, String> {
    let mut binder = Binder::new(placeholders);
    binder.check_parentheses(parsed.redundant_parentheses);
    let mut seen = Vec::new();
    let mut actions = Vec::new();
    for RawSection {
        keyword,
        actions: raw,
    } in parsed.tree
    {
        if seen.contains(&keyword) {
            let text =
                format!("The \"{keyword}\" section can only be used once in an update expression;");
            binder.note(Kind::Section, text);
        }
        seen.push(keyword);
        for action in raw {
            actions.push(binder.action(action));
        }
    }
    let actions = actions.into_iter().collect::<Option<Vec<_>>>();
    binder.check_overlap(actions.iter().flatten().map(Action::path));
    binder.finish(actions)
}

struct Binder<'a> {
    placeholders: &'a mut Placeholders,
    /// The first error of each kind.
    errors: BTreeMap<Kind, String>,
}

impl<'a> Binder<'a> {
    fn new(placeholders: &'a mut Placeholders) -> Self {
        Self {
            placeholders,
            errors: BTreeMap::new(),
        }
    }

    fn finish<T>(self, bound: Option<T>) -> Result<T, String> {
        match (self.errors.into_values().next(), bound) {
            (Some(error), _) => Err(error),
            (None, Some(bound)) => Ok(bound),
            (None, None) => Err("The expression could not be understood;".to_owned()),
        }
    }

    fn note(&mut self, kind: Kind, text: String) {
        self.errors.entry(kind).or_insert(text);
    }

    fn check_parentheses(&mut self, redundant: bool) {
        if redundant {
            let text = "The expression has redundant parentheses;".to_owned();
            self.note(Kind::Parentheses, text);
        }
    }

    fn path(&mut self, raw: RawPath) -> Option<Path> {
        let head = self.name(raw.head);
        let rest = self.all(raw.rest, |binder, element| match element {
            RawElement::Name(name) => binder.name(name).map(Element::Name),
            RawElement::Index(digits) => binder.index(&digits),
        });
        let path = Path {
            head: head?,
            rest: rest?,
        };
        self.placeholders.note_path(&path);
        Some(path)
    }

    fn index(&mut self, digits: &str) -> Option<Element> {
        match digits.parse::<usize>() {
            Ok(index) if index <= MAX_INDEX => Some(Element::Index(index)),
            _ => {
                let text =
                    format!("List index is not within the allowable range; index: [{digits}]");
                self.note(Kind::OperandType, text);
                None
            }
        }
    }

    fn name(&mut self, raw: RawName) -> Option<String> {
        match raw {
            RawName::Literal(name) => {
                if is_reserved(&name) {
                    let text =
                        format!("Attribute name is a reserved keyword; reserved keyword: {name}");
                    self.note(Kind::Reserved, text);
                }
                Some(name)
            }
            RawName::Placeholder(placeholder) => {
                let name = self.placeholders.name(&placeholder);
                if name.is_none() {
                    let text = format!(
                        "An expression attribute name used in the document path is not defined; \
                         attribute name: {placeholder}"
                    );
                    self.note(Kind::Undefined, text);
                }
                name
            }
        }
    }

    fn value(&mut self, placeholder: &str) -> Option<AttributeValue> {
        let value = self.placeholders.value(placeholder);
        if value.is_none() {
            let text = format!(
                "An expression attribute value used in expression is not defined; \
                 attribute value: {placeholder}"
            );
            self.note(Kind::Undefined, text);
        }
        value
    }

    /// The arguments of a function that takes `count` of them.
    fn arguments<T>(
        &mut self,
        name: &str,
        count: usize,
        arguments: Vec<Tree>,
        bind: fn(&mut Self, Tree) -> Option<T>,
    ) -> Option<Vec<T>> {
        let given = arguments.len();
        let bound = self.all(arguments, bind);
        if given == count {
            return bound;
        }
        let text = format!(
            "Incorrect number of operands for operator or function; \
             operator or function: {name}, number of operands: {given}"
        );
        self.note(Kind::OperandCount, text);
        None
    }

    /// Binds all, also after one that fails, so that every error is noted.
    fn all<T, U>(
        &mut self,
        trees: Vec<T>,
        bind: impl Fn(&mut Self, T) -> Option<U>,
    ) -> Option<Vec<U>> {
        let bound = trees.into_iter().map(|tree| bind(self, tree));
        let bound = bound.collect::<Vec<_>>();
        bound.into_iter().collect()
    }

    fn check_overlap<'p>(&mut self, paths: impl Iterator<Item = &'p Path>) {
        let paths = paths.collect::<Vec<_>>();
        for (index, second) in paths.iter().enumerate() {
            for first in &paths[..index] {
                let (kind, what) = match project::relation(first, second) {
                    project::Relation::Apart => continue,
                    project::Relation::Overlap => (Kind::Overlap, "overlap"),
                    project::Relation::Conflict => (Kind::Conflict, "conflict"),
                };
                let text = format!(
                    "Two document paths {what} with each other; must remove or rewrite one of \
                     these paths; path one: {first}, path two: {second}"
                );
                self.note(kind, text);
            }
        }
    }

    fn wrong_type(&mut self, label: &str, operator: &str, found: &str) {
        let text = format!(
            "Incorrect operand type for operator or function; {label}: {operator}, \
             operand type: {found}"
        );
        self.note(Kind::OperandType, text);
    }

    fn needs_path(&mut self, function: &str) {
        let text = format!(
            "Operator or function requires a document path; operator or function: {function}"
        );
        self.note(Kind::OperandType, text);
    }

    fn unknown_function(&mut self, name: &str) {
        let text = format!("Invalid function name; function: {name}");
        self.note(Kind::UnknownFunction, text);
    }

    fn misused(&mut self, name: &str) {
        let text = format!(
            "The function is not allowed to be used this way in an expression; function: {name}"
        );
        self.note(Kind::MisusedFunction, text);
    }
}

/// No item holds a longer list.
const MAX_INDEX: usize = 400 * 1024;
