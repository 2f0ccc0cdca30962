//! GetItem, PutItem, UpdateItem and DeleteItem.
//!
//! Refused: `AttributesToGet`. `ReturnItemCollectionMetrics` is taken and answers nothing, as in
//! the service for tables without local secondary indexes, the only ones there are here.

use serde_json::{Value, json};

use super::DynamoDb;
use super::capacity::{CapacityReport, Consumed};
use super::error::Failure;
use super::expression::{Condition, Expressions, Projection, Update};
use super::legacy;
use super::members::Members;
use super::table::Table;
use super::value::{Item, item_size, item_to_json};

/// What all writes have in common.
struct Write {
    table: String,
    condition: Option<Condition>,
    /// Whether a failed condition shows the item.
    shows_item: bool,
    returns: &'static str,
    capacity: CapacityReport,
}

impl DynamoDb {
    pub(super) fn get_item(&self, mut members: Members) -> Result<Value, Failure> {
        let name = self.table_name(&mut members)?;
        let key = take_item(&mut members, "Key")?;
        let consistent = members.boolean("ConsistentRead")?.unwrap_or(false);
        let capacity = CapacityReport::take(&mut members)?;
        let fields = ["ProjectionExpression"];
        let mut expressions = Expressions::take(&mut members, &fields, &["AttributesToGet"])?;
        let projection = expressions.projection("ProjectionExpression")?;
        let nested = expressions.finish()?;
        members.finish()?;

        self.with_table(&name, |table| {
            let key = table.schema.key_of_request(&key)?;
            table.check_nested(&nested)?;
            let item = table.items.get(&key);
            let mut answer = json!({});
            if let Some(item) = item {
                answer["Item"] = match &projection {
                    None => item_to_json(item),
                    Some(projection) => item_to_json(&projection.apply(item)),
                };
            }
            let consumed = Consumed::read(item.map_or(0, item_size), consistent, None);
            capacity.add_to(&mut answer, &name, &consumed);
            Ok(answer)
        })
    }

    pub(super) fn put_item(&self, mut members: Members) -> Result<Value, Failure> {
        let item = take_item(&mut members, "Item")?;
        let (write, mut expressions) = self.take_write(&mut members, &["ConditionExpression"])?;
        let write = write.with_condition(&mut expressions)?;
        let nested = expressions.finish()?;
        members.finish()?;
        write.check_returns_old()?;
        check_size(&item, "Item size has exceeded the maximum allowed size")?;

        self.with_table(&write.table, |table| {
            let key = table.schema.key_of_item(&item)?;
            table.check_nested(&nested)?;
            check_index_keys(table, &item)?;
            let old = table.items.get(&key);
            write.check(old)?;
            let consumed = Consumed::write(table, old, Some(&item));
            let old = table.write(key, Some(item));
            Ok(write.answer(old.filter(|_| write.returns == "ALL_OLD"), &consumed))
        })
    }

    pub(super) fn delete_item(&self, mut members: Members) -> Result<Value, Failure> {
        let key = take_item(&mut members, "Key")?;
        let (write, mut expressions) = self.take_write(&mut members, &["ConditionExpression"])?;
        let write = write.with_condition(&mut expressions)?;
        let nested = expressions.finish()?;
        members.finish()?;
        write.check_returns_old()?;

        self.with_table(&write.table, |table| {
            let key = table.schema.key_of_request(&key)?;
            table.check_nested(&nested)?;
            let old = table.items.get(&key);
            write.check(old)?;
            let consumed = Consumed::write(table, old, None);
            let old = table.write(key, None);
            Ok(write.answer(old.filter(|_| write.returns == "ALL_OLD"), &consumed))
        })
    }

    pub(super) fn update_item(&self, mut members: Members) -> Result<Value, Failure> {
        let key = take_item(&mut members, "Key")?;
        let fields = ["UpdateExpression", "ConditionExpression"];
        let (write, mut expressions) = self.take_write(&mut members, &fields)?;
        let update = expressions.update("UpdateExpression")?;
        let write = write.with_condition(&mut expressions)?;
        let nested = expressions.finish()?;
        let legacy_update = legacy::attribute_updates(&mut members)?;
        members.finish()?;
        let update = update.or(legacy_update).unwrap_or_else(Update::nothing);

        self.with_table(&write.table, |table| {
            let item_key = table.schema.key_of_request(&key)?;
            check_keys_untouched(table, &update)?;
            table.check_nested(&nested)?;
            let old = table.items.get(&item_key);
            write.check(old)?;
            let new = update.apply(old.unwrap_or(&key))?;
            check_size(
                &new,
                "Item size to update has exceeded the maximum allowed size",
            )?;
            check_index_keys(table, &new)?;
            let consumed = Consumed::write(table, old, Some(&new));
            if old.is_none() && update.only_removes() {
                return Ok(write.answer(None, &consumed));
            }
            let updated = || Projection::new(update.actions.iter().map(|action| action.path()));
            let (returns_old, returns_new) = match write.returns {
                "UPDATED_NEW" => (None, Some(updated().apply(&new))),
                "ALL_NEW" => (None, Some(new.clone())),
                "UPDATED_OLD" => (old.map(|old| updated().apply(old)), None),
                "ALL_OLD" => (old.cloned(), None),
                _ => (None, None),
            };
            table.write(item_key, Some(new));
            Ok(write.answer(returns_old.or(returns_new), &consumed))
        })
    }

    /// Takes what all writes have, but for the condition's expression, which shares its names
    /// and values with other expressions.
    fn take_write(
        &self,
        members: &mut Members,
        fields: &[&'static str],
    ) -> Result<(Write, Expressions), Failure> {
        let table = self.table_name(members)?;
        let returns = members.choice("ReturnValues", &RETURN_VALUES)?;
        let on_failure = "ReturnValuesOnConditionCheckFailure";
        let on_failure = members.choice(on_failure, &["ALL_OLD", "NONE"])?;
        members.choice("ReturnItemCollectionMetrics", &["SIZE", "NONE"])?;
        let capacity = CapacityReport::take(members)?;
        let legacy = ["AttributeUpdates", "Expected", "ConditionalOperator"];
        let expressions = Expressions::take(members, fields, &legacy)?;
        let write = Write {
            table,
            condition: legacy::expected(members)?,
            shows_item: on_failure == Some("ALL_OLD"),
            returns: returns.unwrap_or("NONE"),
            capacity,
        };
        Ok((write, expressions))
    }
}

impl Write {
    fn with_condition(self, expressions: &mut Expressions) -> Result<Self, Failure> {
        let condition = expressions.condition("ConditionExpression")?;
        Ok(Self {
            condition: condition.or(self.condition),
            ..self
        })
    }

    fn check_returns_old(&self) -> Result<(), Failure> {
        match self.returns {
            "ALL_OLD" | "NONE" => Ok(()),
            _ => Err(Failure::validation(
                "ReturnValues can only be ALL_OLD or NONE",
            )),
        }
    }

    /// Checks the condition against the item that is there.
    fn check(&self, item: Option<&Item>) -> Result<(), Failure> {
        let Some(condition) = &self.condition else {
            return Ok(());
        };
        let none = Item::new();
        if condition.holds(item.unwrap_or(&none)) {
            return Ok(());
        }
        Err(Failure::condition_failed(item.filter(|_| self.shows_item)))
    }

    fn answer(&self, attributes: Option<Item>, consumed: &Consumed) -> Value {
        let mut answer = json!({});
        if let Some(attributes) = attributes.filter(|attributes| !attributes.is_empty()) {
            answer["Attributes"] = item_to_json(&attributes);
        }
        self.capacity.add_to(&mut answer, &self.table, consumed);
        answer
    }
}

fn take_item(members: &mut Members, name: &str) -> Result<Item, Failure> {
    members.item(name)?.ok_or_else(|| members.missing(name))
}

fn check_size(item: &Item, message: &str) -> Result<(), Failure> {
    if item_size(item) > MAX_ITEM_SIZE {
        return Err(Failure::validation(message));
    }
    Ok(())
}

/// An attribute that is a key of an index has the index's type, or is not there.
fn check_index_keys(table: &Table, item: &Item) -> Result<(), Failure> {
    for index in &table.indexes {
        for attribute in index.schema.attributes() {
            let Some(value) = item.get(&attribute.name) else {
                continue;
            };
            attribute.check_in_index(value, &index.name)?;
        }
    }
    Ok(())
}

fn check_keys_untouched(table: &Table, update: &Update) -> Result<(), Failure> {
    let mut touched = update.actions.iter().map(|action| &action.path().head);
    match touched.find(|attribute| table.schema.has(attribute)) {
        Some(attribute) => Err(Failure::invalid_parameters(&format!(
            "Cannot update attribute {attribute}. This attribute is part of the key"
        ))),
        None => Ok(()),
    }
}

const RETURN_VALUES: [&str; 5] = ["ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"];
const MAX_ITEM_SIZE: usize = 400 * 1024;
