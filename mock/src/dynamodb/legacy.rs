//! The parameters that came before expressions: `Expected` and `AttributeUpdates`.
//!
//! They become the same conditions and updates as expressions do. Attribute names are taken as
//! they are: no paths, no reserved words. The Java KCL writes with them.
//!
//! Not here: `ScanFilter`, `QueryFilter`, `KeyConditions`, `AttributesToGet`.

use super::error::Failure;
use super::expression::{Action, Comparator, Condition, Operand, Path, SetValue, Update, order};
use super::members::Members;
use super::value::AttributeValue;

/// Takes `Expected` and `ConditionalOperator`.
pub(super) fn expected(members: &mut Members) -> Result<Option<Condition>, Failure> {
    let operator = members.choice("ConditionalOperator", &["OR", "AND"])?;
    let at = members.at("Expected");
    let Some(expected) = members.map("Expected")? else {
        return match operator {
            Some(_) => Err(Failure::validation(
                "ConditionalOperator cannot be used without Filter or Expected",
            )),
            None => Ok(None),
        };
    };
    let conditions = expected
        .into_iter()
        .map(|(name, json)| condition(&name, Members::new(format!("{at}.{name}.member"), json)?))
        .collect::<Result<Vec<_>, _>>()?;
    if operator.is_some() && conditions.len() < 2 {
        return Err(Failure::validation(
            "ConditionalOperator can only be used when Filter or Expected has two or more elements",
        ));
    }
    Ok(Some(match operator {
        Some("OR") => Condition::Or(conditions),
        _ => Condition::And(conditions),
    }))
}

/// Takes `AttributeUpdates`.
pub(super) fn attribute_updates(members: &mut Members) -> Result<Option<Update>, Failure> {
    let at = members.at("AttributeUpdates");
    let Some(updates) = members.map("AttributeUpdates")? else {
        return Ok(None);
    };
    let actions = updates
        .into_iter()
        .map(|(name, json)| action(&name, Members::new(format!("{at}.{name}.member"), json)?))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Update {
        actions,
        mismatch: "Type mismatch for attribute to update",
    }))
}

fn action(name: &str, mut members: Members) -> Result<Action, Failure> {
    let kind = members.choice("Action", &["ADD", "PUT", "DELETE"])?;
    let value = members.value("Value")?;
    members.finish()?;
    let path = Path::attribute(name);
    let Some(value) = value else {
        return match kind {
            Some("DELETE") => Ok(Action::Remove(path)),
            _ => Err(Failure::invalid_parameters(
                "Only DELETE action is allowed when no attribute value is specified",
            )),
        };
    };
    let found = value.type_name();
    match kind {
        Some("DELETE") if !["SS", "NS", "BS"].contains(&found) => Err(Failure::invalid_parameters(
            &format!("DELETE action with value is not supported for the type {found}"),
        )),
        Some("DELETE") => Ok(Action::Delete(path, value)),
        Some("ADD") if !["N", "SS", "NS", "BS", "L"].contains(&found) => {
            Err(Failure::invalid_parameters(&format!(
                "ADD action is not supported for the type {found}"
            )))
        }
        Some("ADD") => Ok(Action::Add(path, value)),
        _ => Ok(Action::Set(path, SetValue::Value(value))),
    }
}

fn condition(name: &str, mut members: Members) -> Result<Condition, Failure> {
    let exists = members.boolean("Exists")?;
    let value = members.value("Value")?;
    let list = members.values("AttributeValueList")?;
    let operator = members.choice("ComparisonOperator", &OPERATORS)?;
    members.finish()?;
    let together = |first: &str, second: &str| {
        Failure::invalid_parameters(&format!(
            "{first} and {second} cannot be used together for Attribute: {name}"
        ))
    };
    if value.is_some() && list.is_some() {
        return Err(together("Value", "AttributeValueList"));
    }
    let Some(operator) = operator else {
        if list.is_some() {
            return Err(Failure::invalid_parameters(&format!(
                "AttributeValueList can only be used with a ComparisonOperator for Attribute: \
                 {name}"
            )));
        }
        return existence(name, exists, value);
    };
    if exists.is_some() {
        return Err(together("Exists", "ComparisonOperator"));
    }
    if list.is_none() && value.is_none() && !["NULL", "NOT_NULL"].contains(&operator) {
        return Err(Failure::invalid_parameters(&format!(
            "Value or AttributeValueList must be used with ComparisonOperator: {operator} for \
             Attribute: {name}"
        )));
    }
    let values = list.unwrap_or_else(|| value.into_iter().collect());
    comparison(name, operator, values)
}

/// The oldest form: the attribute is not there, or has a value.
fn existence(
    name: &str,
    exists: Option<bool>,
    value: Option<AttributeValue>,
) -> Result<Condition, Failure> {
    let path = Path::attribute(name);
    match (exists, value) {
        (Some(false), None) => Ok(Condition::NotExists(path)),
        (Some(false), Some(_)) => Err(Failure::invalid_parameters(&format!(
            "Value cannot be used when Exists is false for Attribute: {name}"
        ))),
        (_, Some(value)) => Ok(Condition::Compare(
            Comparator::Equal,
            Operand::Path(path),
            Operand::Value(value),
        )),
        (exists, None) => {
            let exists = exists.map_or("null", |_| "true");
            Err(Failure::invalid_parameters(&format!(
                "Value must be provided when Exists is {exists} for Attribute: {name}"
            )))
        }
    }
}

fn comparison(
    name: &str,
    operator: &str,
    values: Vec<AttributeValue>,
) -> Result<Condition, Failure> {
    check_values(operator, &values)?;
    let path = Path::attribute(name);
    let attribute = Operand::Path(path.clone());
    let count = values.len();
    let mut operands = values.into_iter().map(Operand::Value);
    let wrong_count = || {
        Failure::invalid_parameters(&format!(
            "Invalid number of argument(s) for the {operator} ComparisonOperator"
        ))
    };
    match (operator, count) {
        ("NULL", 0) => return Ok(Condition::NotExists(path)),
        ("NOT_NULL", 0) => return Ok(Condition::Exists(path)),
        ("IN", 1..) => return Ok(Condition::In(attribute, operands.collect())),
        _ => {}
    }
    let (first, second) = (operands.next(), operands.next());
    let first = first.ok_or_else(wrong_count)?;
    if operator == "BETWEEN" && count == 2 {
        let second = second.ok_or_else(wrong_count)?;
        return Ok(Condition::Between(attribute, first, second));
    }
    let compare = |comparator, attribute, first| Condition::Compare(comparator, attribute, first);
    match (operator, count) {
        ("EQ", 1) => Ok(compare(Comparator::Equal, attribute, first)),
        ("NE", 1) => Ok(compare(Comparator::NotEqual, attribute, first)),
        ("LT", 1) => Ok(compare(Comparator::Less, attribute, first)),
        ("LE", 1) => Ok(compare(Comparator::LessOrEqual, attribute, first)),
        ("GT", 1) => Ok(compare(Comparator::Greater, attribute, first)),
        ("GE", 1) => Ok(compare(Comparator::GreaterOrEqual, attribute, first)),
        ("BEGINS_WITH", 1) => Ok(Condition::BeginsWith(attribute, first)),
        ("CONTAINS", 1) => Ok(Condition::Contains(attribute, first)),
        // What is not there does not contain anything, and yet does not satisfy NOT_CONTAINS.
        ("NOT_CONTAINS", 1) => Ok(Condition::And(vec![
            Condition::Exists(path),
            Condition::Not(Box::new(Condition::Contains(attribute, first))),
        ])),
        _ => Err(wrong_count()),
    }
}

fn check_values(operator: &str, values: &[AttributeValue]) -> Result<(), Failure> {
    let types = values.iter().map(AttributeValue::type_name);
    let types = types.collect::<Vec<_>>();
    if types.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(Failure::invalid_parameters(
            "AttributeValues inside AttributeValueList must be of same type",
        ));
    }
    let scalars = ["S", "N", "B"];
    let allowed: &[&str] = match operator {
        "LT" | "LE" | "GT" | "GE" | "BETWEEN" | "IN" | "CONTAINS" | "NOT_CONTAINS" => &scalars,
        "BEGINS_WITH" => &["S", "B"],
        _ => &types,
    };
    if let Some(found) = types.iter().find(|found| !allowed.contains(found)) {
        return Err(Failure::invalid_parameters(&format!(
            "ComparisonOperator {operator} is not valid for {found} AttributeValue type"
        )));
    }
    if let ("BETWEEN", [low, high]) = (operator, values)
        && order(low, high).is_some_and(std::cmp::Ordering::is_gt)
    {
        return Err(Failure::validation(
            "The BETWEEN condition was provided a range where the lower bound is greater than \
             the upper bound",
        ));
    }
    Ok(())
}

const OPERATORS: [&str; 13] = [
    "IN",
    "NULL",
    "BETWEEN",
    "LT",
    "NOT_CONTAINS",
    "EQ",
    "GT",
    "NOT_NULL",
    "NE",
    "LE",
    "BEGINS_WITH",
    "GE",
    "CONTAINS",
];
