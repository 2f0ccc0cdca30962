//! Conditions and their operands.

use std::cmp::Ordering;

use super::super::ast::{Comparator, Condition, Operand, Path, Tree};
use super::super::eval::order;
use super::{Binder, Kind};
use crate::dynamodb::value::AttributeValue;

impl Binder<'_> {
    pub(super) fn condition(&mut self, tree: Tree) -> Option<Condition> {
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

    pub(super) fn operand(&mut self, tree: Tree) -> Option<Operand> {
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

    fn check_bounds(&mut self, low: &Operand, high: &Operand) {
        let (Operand::Value(low), Operand::Value(high)) = (low, high) else {
            return;
        };
        let must = if low.type_name() != high.type_name() {
            "same data type for lower and upper bounds"
        } else if order(low, high).is_some_and(Ordering::is_gt) {
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
