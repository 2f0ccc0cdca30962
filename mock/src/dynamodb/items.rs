//! GetItem, PutItem, UpdateItem and DeleteItem.
//!
//! Refused: `AttributesToGet`.

use serde_json::{Value, json};

use super::DynamoDb;
use super::capacity::{CapacityReport, Consumed};
use super::collection::CollectionMetrics;
use super::error::Failure;
use super::expression::{Expressions, Projection};
use super::members::Members;
use super::value::{Item, item_size, item_to_json};
use super::write::{Change, ItemWrite, Kind, Legacy, Planned};

impl DynamoDb {
    pub(super) fn get_item(&self, mut members: Members) -> Result<Value, Failure> {
        let name = self.table_name(&mut members)?;
        let key = members.item("Key")?;
        let key = key.ok_or_else(|| members.missing("Key"))?;
        let consistent = members.boolean("ConsistentRead")?.unwrap_or(false);
        let capacity = CapacityReport::take(&mut members)?;
        let fields = ["ProjectionExpression"];
        let mut expressions = Expressions::take(&mut members, &fields, &["AttributesToGet"])?;
        let projection = expressions.projection("ProjectionExpression")?;
        let nested = expressions.finish()?;
        members.finish()?;

        let now = self.env.now();
        self.with_table(&name, |table| {
            let key = table.schema.key_of_request(&key)?;
            table.check_nested(&nested)?;
            let item = if consistent {
                table.items.get(&key)
            } else {
                table.item_of_age(&key, self.draw_age(), now)
            };
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

    pub(super) fn put_item(&self, members: Members) -> Result<Value, Failure> {
        self.write_item(members, Kind::Put)
    }

    pub(super) fn delete_item(&self, members: Members) -> Result<Value, Failure> {
        self.write_item(members, Kind::Delete)
    }

    pub(super) fn update_item(&self, members: Members) -> Result<Value, Failure> {
        self.write_item(members, Kind::Update)
    }

    fn write_item(&self, mut members: Members, kind: Kind) -> Result<Value, Failure> {
        let returns = members.choice("ReturnValues", &RETURN_VALUES)?;
        let returns = returns.unwrap_or("NONE");
        let mut collections = CollectionMetrics::take(&mut members)?;
        let capacity = CapacityReport::take(&mut members)?;
        let write = ItemWrite::take(self, &mut members, kind, Legacy::Taken)?;
        members.finish()?;
        if kind != Kind::Update && !["ALL_OLD", "NONE"].contains(&returns) {
            return Err(Failure::validation(
                "ReturnValues can only be ALL_OLD or NONE",
            ));
        }

        let now = self.env.now();
        self.with_table(&write.table, |table| {
            let planned = write.plan(table)?;
            let mut answer = json!({});
            let shown = shown(&write.change, &planned, returns);
            if let Some(attributes) = shown.filter(|attributes| !attributes.is_empty()) {
                answer["Attributes"] = item_to_json(&attributes);
            }
            capacity.add_to(&mut answer, &write.table, &planned.consumed(table));
            collections.note(table, &planned.key, write.change.named_by());
            collections.add_to(&mut answer);
            if planned.writes {
                let Planned { key, new, .. } = planned;
                table.write(key, new, now);
            }
            Ok(answer)
        })
    }
}

/// What `ReturnValues` shows.
fn shown(change: &Change, planned: &Planned<'_>, returns: &str) -> Option<Item> {
    if !planned.writes {
        return None;
    }
    let updated = |item: &Item| match change {
        Change::Update(_, update) => {
            let paths = update.actions.iter().map(|action| action.path());
            Projection::new(paths).apply(item)
        }
        Change::Put(_) | Change::Delete(_) | Change::Check(_) => Item::new(),
    };
    match returns {
        "ALL_OLD" => planned.old.cloned(),
        "ALL_NEW" => planned.new.clone(),
        "UPDATED_OLD" => planned.old.map(updated),
        "UPDATED_NEW" => planned.new.as_ref().map(updated),
        _ => None,
    }
}

const RETURN_VALUES: [&str; 5] = ["ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"];
