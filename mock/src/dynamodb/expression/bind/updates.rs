//! The actions of updates and their operands.

use super::super::ast::{Action, RawAction, SetValue, Tree};
use super::Binder;
use crate::dynamodb::value::AttributeValue;

impl Binder<'_> {
    pub(super) fn action(&mut self, action: RawAction) -> Option<Action> {
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

    pub(super) fn set_value(&mut self, tree: Tree) -> Option<SetValue> {
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
}
