//! Trees to what they mean: placeholders replaced, names and types of operands checked.
//!
//! An expression can be wrong in several ways at once. The service reports them by kind, not by
//! place, so binding goes on after an error and the gravest kind is reported.

use std::collections::BTreeMap;

use super::super::value::AttributeValue;
use super::Placeholders;
use super::ast::{
    Action, Comparator, Condition, Element, Operand, Path, RawAction, RawElement, RawName, RawPath,
    RawSection, SetValue, Tree,
};
use super::parse::Parsed;
use super::project::{self, Projection};
use super::reserved::is_reserved;

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

    fn condition(&mut self, tree: Tree) -> Option<Condition> {
        match tree {
            Tree::Or(terms) => self.all(terms, Self::condition).map(Condition::Or),
            Tree::And(terms) => self.all(terms, Self::condition).map(Condition::And),
            Tree::Not(inner) => Some(Condition::Not(Box::new(self.condition(*inner)?))),
            Tree::Compare(comparator, left, right) => {
                let (left, right) = (self.operand(*left), self.operand(*right));
                let (left, right) = (left?, right?);
                self.check_distinct(comparator.symbol(), &left, &right);
                if !matches!(comparator, Comparator::Equal | Comparator::NotEqual) {
                    self.check_ordered(comparator.symbol(), [&left, &right]);
                }
                Some(Condition::Compare(comparator, left, right))
            }
            Tree::Between(value, low, high) => {
                let value = self.operand(*value);
                let (low, high) = (self.operand(*low), self.operand(*high));
                let (value, low, high) = (value?, low?, high?);
                self.check_ordered("BETWEEN", [&value, &low]);
                self.check_ordered("BETWEEN", [&value, &high]);
                self.check_bounds(&low, &high);
                Some(Condition::Between(value, low, high))
            }
            Tree::In(value, choices) => {
                let value = self.operand(*value);
                let choices = self.all(choices, Self::operand);
                Some(Condition::In(value?, choices?))
            }
            Tree::Call(name, arguments) => self.test(&name, arguments),
            // The parser has refused these where a condition must stand.
            Tree::Plus(..) | Tree::Minus(..) | Tree::Path(_) | Tree::Value(_) => None,
        }
    }

    /// A function that is true or false.
    fn test(&mut self, name: &str, arguments: Vec<Tree>) -> Option<Condition> {
        let count = match name {
            "attribute_exists" | "attribute_not_exists" => 1,
            "attribute_type" | "begins_with" | "contains" => 2,
            "size" => {
                self.misused(name);
                return None;
            }
            _ => {
                self.unknown_function(name);
                return None;
            }
        };
        let arguments = self.arguments(name, count, arguments, Self::operand)?;
        let mut arguments = arguments.into_iter();
        let first = arguments.next()?;
        match name {
            "attribute_exists" => self.document_path(name, first).map(Condition::Exists),
            "attribute_not_exists" => self.document_path(name, first).map(Condition::NotExists),
            "attribute_type" => {
                let type_name = self.type_name(name, &arguments.next()?)?;
                Some(Condition::HasType(first, type_name))
            }
            "begins_with" => {
                let prefix = arguments.next()?;
                self.check_distinct(name, &first, &prefix);
                for operand in [&first, &prefix] {
                    self.check_type(name, operand, &["S", "B"]);
                }
                Some(Condition::BeginsWith(first, prefix))
            }
            _ => {
                let element = arguments.next()?;
                self.check_distinct(name, &first, &element);
                Some(Condition::Contains(first, element))
            }
        }
    }

    fn operand(&mut self, tree: Tree) -> Option<Operand> {
        match tree {
            Tree::Path(path) => self.path(path).map(Operand::Path),
            Tree::Value(name) => self.value(&name).map(Operand::Value),
            Tree::Call(name, arguments) if name == "size" => {
                let arguments = self.arguments(&name, 1, arguments, Self::operand)?;
                let operand = arguments.into_iter().next()?;
                let sized = ["S", "B", "SS", "NS", "BS", "L", "M"];
                self.check_type(&name, &operand, &sized);
                Some(Operand::Size(Box::new(operand)))
            }
            Tree::Call(name, _) => {
                if CONDITION_FUNCTIONS.contains(&name.as_str()) {
                    self.misused(&name);
                } else {
                    self.unknown_function(&name);
                }
                None
            }
            // The parser has refused these where an operand must stand.
            _ => None,
        }
    }

    fn action(&mut self, action: RawAction) -> Option<Action> {
        match action {
            RawAction::Set(path, value) => {
                let (path, value) = (self.path(path), self.set_value(value));
                Some(Action::Set(path?, value?))
            }
            RawAction::Remove(path) => self.path(path).map(Action::Remove),
            RawAction::Add(path, value) => {
                let (path, value) = (self.path(path), self.value(&value));
                let (path, value) = (path?, value?);
                self.check_action("ADD", &value, &["N", "SS", "NS", "BS"]);
                Some(Action::Add(path, value))
            }
            RawAction::Delete(path, value) => {
                let (path, value) = (self.path(path), self.value(&value));
                let (path, value) = (path?, value?);
                self.check_action("DELETE", &value, &["SS", "NS", "BS"]);
                Some(Action::Delete(path, value))
            }
        }
    }

    fn set_value(&mut self, tree: Tree) -> Option<SetValue> {
        match tree {
            Tree::Path(path) => self.path(path).map(SetValue::Path),
            Tree::Value(name) => self.value(&name).map(SetValue::Value),
            Tree::Plus(left, right) => {
                let (left, right) = self.numbers("+", *left, *right)?;
                Some(SetValue::Plus(left, right))
            }
            Tree::Minus(left, right) => {
                let (left, right) = self.numbers("-", *left, *right)?;
                Some(SetValue::Minus(left, right))
            }
            Tree::Call(name, arguments) => self.set_function(&name, arguments),
            // The parser has refused these on the right side of an assignment.
            _ => None,
        }
    }

    fn set_function(&mut self, name: &str, arguments: Vec<Tree>) -> Option<SetValue> {
        if !matches!(name, "if_not_exists" | "list_append") {
            self.unknown_function(name);
            return None;
        }
        let arguments = self.arguments(name, 2, arguments, Self::set_value)?;
        let mut arguments = arguments.into_iter();
        let (first, second) = (arguments.next()?, arguments.next()?);
        if name == "list_append" {
            for operand in [&first, &second] {
                self.check_set_type(name, operand, "L");
            }
            return Some(SetValue::ListAppend(Box::new(first), Box::new(second)));
        }
        let SetValue::Path(path) = first else {
            self.needs_path(name);
            return None;
        };
        Some(SetValue::IfNotExists(path, Box::new(second)))
    }

    fn numbers(
        &mut self,
        operator: &str,
        left: Tree,
        right: Tree,
    ) -> Option<(Box<SetValue>, Box<SetValue>)> {
        let (left, right) = (self.set_value(left), self.set_value(right));
        let (left, right) = (left?, right?);
        for operand in [&left, &right] {
            self.check_set_type(operator, operand, "N");
        }
        Some((Box::new(left), Box::new(right)))
    }

    fn path(&mut self, raw: RawPath) -> Option<Path> {
        let head = self.name(raw.head);
        let rest = self.all(raw.rest, |binder, element| match element {
            RawElement::Name(name) => binder.name(name).map(Element::Name),
            RawElement::Index(digits) => binder.index(&digits),
        });
        Some(Path {
            head: head?,
            rest: rest?,
        })
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

    fn document_path(&mut self, function: &str, operand: Operand) -> Option<Path> {
        if let Operand::Path(path) = operand {
            return Some(path);
        }
        self.needs_path(function);
        None
    }

    fn type_name(&mut self, function: &str, operand: &Operand) -> Option<String> {
        match operand {
            Operand::Value(AttributeValue::S(name)) if TYPES.contains(&name.as_str()) => {
                Some(name.clone())
            }
            Operand::Value(AttributeValue::S(name)) => {
                let text = format!(
                    "Invalid attribute type name found; type: {name}, \
                     valid types: {{B,NULL,SS,BOOL,L,BS,N,NS,S,M}}"
                );
                self.note(Kind::OperandType, text);
                None
            }
            other => {
                let found = static_type(other).unwrap_or("{NS,SS,L,BS,N,M,B,BOOL,NULL,S}");
                self.wrong_type("operator or function", function, found);
                None
            }
        }
    }

    fn check_type(&mut self, function: &str, operand: &Operand, allowed: &[&str]) {
        if let Some(found) = static_type(operand)
            && !allowed.contains(&found)
        {
            self.wrong_type("operator or function", function, found);
        }
    }

    fn check_ordered(&mut self, operator: &str, operands: [&Operand; 2]) {
        for operand in operands {
            if let Some(found) = static_type(operand)
                && !["S", "N", "B"].contains(&found)
            {
                self.wrong_type("operator or function", operator, found);
            }
        }
    }

    fn check_set_type(&mut self, function: &str, operand: &SetValue, allowed: &str) {
        let found = match operand {
            SetValue::Value(value) => value.type_name(),
            SetValue::Plus(..) | SetValue::Minus(..) => "N",
            SetValue::ListAppend(..) => "L",
            SetValue::Path(_) | SetValue::IfNotExists(..) => return,
        };
        if found != allowed {
            self.wrong_type("operator or function", function, found);
        }
    }

    fn check_action(&mut self, action: &str, value: &AttributeValue, allowed: &[&str]) {
        let found = value.type_name();
        if allowed.contains(&found) {
            return;
        }
        let found = match found {
            "S" => "STRING",
            "N" => "NUMBER",
            "B" => "BINARY",
            "BOOL" => "BOOLEAN",
            "L" => "LIST",
            "M" => "MAP",
            other => other,
        };
        self.wrong_type("operator", action, found);
    }

    fn check_bounds(&mut self, low: &Operand, high: &Operand) {
        let (Operand::Value(low), Operand::Value(high)) = (low, high) else {
            return;
        };
        let must = if low.type_name() != high.type_name() {
            "same data type for lower and upper bounds"
        } else if super::eval::order(low, high).is_some_and(std::cmp::Ordering::is_gt) {
            "upper bound to be greater than or equal to lower bound"
        } else {
            return;
        };
        let text = format!(
            "The BETWEEN operator requires {must}; lower bound operand: {}, \
             upper bound operand: {}",
            shown(low),
            shown(high)
        );
        self.note(Kind::OperandType, text);
    }

    fn check_distinct(&mut self, operator: &str, first: &Operand, second: &Operand) {
        if let (Operand::Path(path), Operand::Path(other)) = (first, second)
            && path == other
        {
            let text = format!(
                "The first operand must be distinct from the remaining operands for this \
                 operator or function; operator: {operator}, first operand: {path}"
            );
            self.note(Kind::Distinct, text);
        }
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

/// The type of an operand, where it does not depend on the item.
fn static_type(operand: &Operand) -> Option<&'static str> {
    match operand {
        Operand::Path(_) => None,
        Operand::Value(value) => Some(value.type_name()),
        Operand::Size(_) => Some("N"),
    }
}

/// A bound as the service prints it.
fn shown(value: &AttributeValue) -> String {
    let content = match value {
        AttributeValue::S(text) => text.clone(),
        AttributeValue::N(number) => number.to_string(),
        other => other.to_json()[other.type_name()].to_string(),
    };
    format!("AttributeValue: {{{}:{content}}}", value.type_name())
}

const CONDITION_FUNCTIONS: [&str; 6] = [
    "attribute_exists",
    "attribute_not_exists",
    "attribute_type",
    "begins_with",
    "contains",
    "size",
];
const TYPES: [&str; 10] = ["S", "N", "B", "NULL", "SS", "BOOL", "L", "BS", "NS", "M"];
/// No item holds a longer list.
const MAX_INDEX: usize = 400 * 1024;
