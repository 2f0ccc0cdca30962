//! One write of an item: taken from a request, checked against its table, not yet done.
//!
//! PutItem, UpdateItem and DeleteItem do one of these, a batch or a transaction many. Nothing here
//! changes a table: [`ItemWrite::plan`] says what the item would become, and whoever asked applies
//! that with [`Table::write`]. So "all or nothing" means to plan all before applying any.

use std::collections::BTreeSet;

use super::DynamoDb;
use super::capacity::Consumed;
use super::error::Failure;
use super::expression::{Condition, Expressions, Update};
use super::key::ItemKey;
use super::legacy;
use super::members::Members;
use super::table::Table;
use super::value::{Item, item_size};

/// What a write does, before it is known to which item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Put,
    Update,
    Delete,
    Check,
}

/// Whether the parameters from before expressions are taken; transactions never had them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Legacy {
    Taken,
    Refused,
}

/// A write of one item.
#[derive(Debug)]
pub(super) struct ItemWrite {
    pub(super) table: String,
    pub(super) change: Change,
    condition: Option<Condition>,
    /// Whether a failed condition shows the item.
    shows_item: bool,
    /// The attributes that an expression looks into, which may not be keys.
    nested: BTreeSet<String>,
}

/// What a write does, to the item that it names by an item or by a key.
#[derive(Debug)]
pub(super) enum Change {
    Put(Item),
    Update(Item, Update),
    Delete(Item),
    Check(Item),
}

/// What a write comes to.
#[derive(Debug)]
pub(super) struct Planned<'t> {
    pub(super) key: ItemKey,
    pub(super) old: Option<&'t Item>,
    /// The item afterwards, if there is one then.
    pub(super) new: Option<Item>,
    /// False for a check, and for an update that would only take away from what is not there.
    pub(super) writes: bool,
}

impl ItemWrite {
    /// Takes what describes one write.
    pub(super) fn take(
        db: &DynamoDb,
        members: &mut Members,
        kind: Kind,
        legacy: Legacy,
    ) -> Result<Self, Failure> {
        let named_by = if kind == Kind::Put { "Item" } else { "Key" };
        let item = members.item(named_by)?;
        let item = item.ok_or_else(|| members.missing(named_by))?;
        let table = db.table_name(members)?;
        let on_failure = "ReturnValuesOnConditionCheckFailure";
        let on_failure = members.choice(on_failure, &["ALL_OLD", "NONE"])?;
        let fields: &[&'static str] = match kind {
            Kind::Update => &["UpdateExpression", "ConditionExpression"],
            Kind::Put | Kind::Delete | Kind::Check => &["ConditionExpression"],
        };
        let mut expressions = Expressions::take(members, fields, &LEGACY)?;
        let (mut condition, mut update) = (None, None);
        if legacy == Legacy::Taken {
            condition = legacy::expected(members)?;
        }
        if kind == Kind::Update {
            update = expressions.update("UpdateExpression")?;
        }
        condition = expressions.condition("ConditionExpression")?.or(condition);
        let nested = expressions.finish()?;
        if kind == Kind::Update && legacy == Legacy::Taken {
            update = update.or(legacy::attribute_updates(members)?);
        }
        let change = match kind {
            Kind::Put => Change::Put(item),
            Kind::Update => Change::Update(item, update.unwrap_or_else(Update::nothing)),
            Kind::Delete => Change::Delete(item),
            Kind::Check => Change::Check(item),
        };
        change.check_size()?;
        Ok(Self {
            table,
            change,
            condition,
            shows_item: on_failure == Some("ALL_OLD"),
            nested,
        })
    }

    /// A write without a condition.
    pub(super) fn unconditional(table: String, change: Change) -> Result<Self, Failure> {
        change.check_size()?;
        Ok(Self {
            table,
            change,
            condition: None,
            shows_item: false,
            nested: BTreeSet::new(),
        })
    }

    /// The key of the item that is written.
    pub(super) fn key(&self, table: &Table) -> Result<ItemKey, Failure> {
        match &self.change {
            Change::Put(item) => table.schema.key_of_item(item),
            Change::Update(key, _) | Change::Delete(key) | Change::Check(key) => {
                table.schema.key_of_request(key)
            }
        }
    }

    /// What comes of the write, or why it is refused.
    pub(super) fn plan<'t>(&self, table: &'t Table) -> Result<Planned<'t>, Failure> {
        let key = self.key(table)?;
        if let Change::Update(_, update) = &self.change {
            check_keys_untouched(table, update)?;
        }
        table.check_nested(&self.nested)?;
        if let Change::Put(item) = &self.change {
            check_index_keys(table, item)?;
        }
        let old = table.items.get(&key);
        self.check_condition(old)?;
        let (new, writes) = match &self.change {
            Change::Put(item) => (Some(item.clone()), true),
            Change::Delete(_) => (None, true),
            Change::Check(_) => (old.cloned(), false),
            Change::Update(key, update) => {
                let new = update.apply(old.unwrap_or(key))?;
                if item_size(&new) > MAX_ITEM_SIZE {
                    return Err(Failure::validation(
                        "Item size to update has exceeded the maximum allowed size",
                    ));
                }
                check_index_keys(table, &new)?;
                (Some(new), old.is_some() || !update.only_removes())
            }
        };
        Ok(Planned {
            key,
            old,
            new,
            writes,
        })
    }

    fn check_condition(&self, item: Option<&Item>) -> Result<(), Failure> {
        let Some(condition) = &self.condition else {
            return Ok(());
        };
        let none = Item::new();
        if condition.holds(item.unwrap_or(&none)) {
            return Ok(());
        }
        Err(Failure::condition_failed(item.filter(|_| self.shows_item)))
    }
}

impl Change {
    /// The item or the key that names what is written.
    pub(super) fn named_by(&self) -> &Item {
        match self {
            Self::Put(item) | Self::Update(item, _) | Self::Delete(item) | Self::Check(item) => {
                item
            }
        }
    }

    fn check_size(&self) -> Result<(), Failure> {
        match self {
            Self::Put(item) if item_size(item) > MAX_ITEM_SIZE => Err(Failure::validation(
                "Item size has exceeded the maximum allowed size",
            )),
            _ => Ok(()),
        }
    }
}

impl Planned<'_> {
    /// What the write costs.
    pub(super) fn consumed(&self, table: &Table) -> Consumed {
        Consumed::write(table, self.old, self.new.as_ref())
    }

    /// The bytes of the larger of the item before and after.
    pub(super) fn size(&self) -> usize {
        let size = |item: Option<&Item>| item.map_or(0, item_size);
        size(self.old).max(size(self.new.as_ref()))
    }
}

/// An attribute that is a key of an index has the index's type, or is not there.
fn check_index_keys(table: &Table, item: &Item) -> Result<(), Failure> {
    for index in &table.indexes {
        index.schema.check_in_index(item, &index.name)?;
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

const LEGACY: [&str; 3] = ["AttributeUpdates", "Expected", "ConditionalOperator"];
const MAX_ITEM_SIZE: usize = 400 * 1024;
