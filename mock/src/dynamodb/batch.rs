//! BatchWriteItem and BatchGetItem.
//!
//! A batch is checked whole before any of it is done, and then all of it is done at once: nothing
//! throttles here, so `UnprocessedItems` is always empty. `UnprocessedKeys` holds what did not fit
//! into an answer of 16 MiB. A request of 16 MiB is refused before it comes here; 25 items of
//! 400 KiB fit.
//!
//! Refused: `AttributesToGet`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::capacity::{CapacityReport, Consumed};
use super::collection::CollectionMetrics;
use super::error::Failure;
use super::expression::{Expressions, Projection};
use super::members::Members;
use super::value::{Item, item_from_json, item_size, item_to_json};
use super::write::{Change, ItemWrite};
use super::{DynamoDb, serving};

/// What a batch reads of one table.
struct TableRead {
    /// The table as the request names it.
    named: String,
    table: String,
    keys: Vec<(Value, Item)>,
    consistent: bool,
    projection: Option<Projection>,
    nested: BTreeSet<String>,
    /// The members besides the keys, for what is left over.
    rest: Map<String, Value>,
}

impl DynamoDb {
    pub(super) fn batch_write_item(&self, mut members: Members) -> Result<Value, Failure> {
        let requests = members.map("RequestItems")?;
        let requests = requests.ok_or_else(|| members.missing("RequestItems"))?;
        let capacity = CapacityReport::take(&mut members)?;
        let mut collections = CollectionMetrics::take(&mut members)?;
        members.finish()?;
        let mut writes = Vec::new();
        for (named, list) in requests {
            let at = format!("requestItems.{named}");
            let table = self.resolve_name(named, &at)?;
            let mut list = Members::new(at, json!({"Member": list}))?;
            for request in list.structures("Member")?.unwrap_or_default() {
                let change = take_change(request)?;
                writes.push(ItemWrite::unconditional(table.clone(), change)?);
            }
        }
        if writes.len() > MAX_WRITES {
            return Err(Failure::validation(
                "Too many items requested for the BatchWriteItem call",
            ));
        }

        let now = self.env.now();
        let mut tables = self.tables();
        for write in &writes {
            serving(tables.get(&write.table), now)?;
        }
        let mut planned = BTreeMap::new();
        let mut costs = BTreeMap::<String, Consumed>::new();
        for write in &writes {
            let table = serving(tables.get(&write.table), now)?;
            let key = match &write.change {
                Change::Put(item) => table.schema.key_in_batch(item)?,
                _ => write.key(table)?,
            };
            let plan = write.plan(table)?;
            let cost = plan.consumed(table);
            collections.note(table, &key, write.change.named_by());
            costs.entry(write.table.clone()).or_default().add(&cost);
            if planned.insert((&write.table, key), plan.new).is_some() {
                return Err(duplicates());
            }
        }
        for ((table, key), item) in planned {
            serving(tables.get_mut(table), now)?.write(key, item, now);
        }
        let mut answer = json!({"UnprocessedItems": {}});
        capacity.add_all_to(&mut answer, &costs, None);
        collections.add_all_to(&mut answer);
        Ok(answer)
    }

    pub(super) fn batch_get_item(&self, mut members: Members) -> Result<Value, Failure> {
        let requests = members.map("RequestItems")?;
        let requests = requests.ok_or_else(|| members.missing("RequestItems"))?;
        let capacity = CapacityReport::take(&mut members)?;
        members.finish()?;
        let reads = requests.into_iter();
        let reads = reads.map(|(named, json)| self.take_read(named, json));
        let reads = reads.collect::<Result<Vec<_>, _>>()?;
        if reads.iter().map(|read| read.keys.len()).sum::<usize>() > MAX_READS {
            return Err(Failure::validation(
                "Too many items requested for the BatchGetItem call",
            ));
        }

        let now = self.env.now();
        let tables = self.tables();
        for read in &reads {
            serving(tables.get(&read.table), now)?;
        }
        let (mut responses, mut unprocessed) = (Map::new(), Map::new());
        let mut costs = BTreeMap::<String, Consumed>::new();
        let (mut bytes, mut full) = (0, false);
        for read in reads {
            let table = serving(tables.get(&read.table), now)?;
            table.check_nested(&read.nested)?;
            let mut seen = BTreeSet::new();
            let mut keys = Vec::new();
            for (json, key) in read.keys {
                let key = table.schema.key_of_request(&key)?;
                if !seen.insert(key.clone()) {
                    return Err(duplicates());
                }
                keys.push((json, key));
            }
            let (mut found, mut left) = (Vec::new(), Vec::new());
            for (json, key) in keys {
                let item = if read.consistent {
                    table.items.get(&key)
                } else {
                    table.item_of_age(&key, self.draw_age(), now)
                };
                let size = item.map_or(0, item_size);
                // What comes later may be smaller, but an answer that is full stays full.
                full = full || bytes + size > MAX_ANSWER;
                if full {
                    left.push(json);
                    continue;
                }
                bytes += size;
                let cost = Consumed::read(size, read.consistent, None);
                costs.entry(read.table.clone()).or_default().add(&cost);
                found.extend(item.map(|item| match &read.projection {
                    None => item_to_json(item),
                    Some(projection) => item_to_json(&projection.apply(item)),
                }));
            }
            if !left.is_empty() {
                let mut rest = read.rest;
                rest.insert("Keys".to_owned(), left.into());
                unprocessed.insert(read.named.clone(), rest.into());
            }
            responses.insert(read.named, found.into());
        }
        let mut answer = json!({"Responses": responses, "UnprocessedKeys": unprocessed});
        capacity.add_all_to(&mut answer, &costs, None);
        Ok(answer)
    }

    fn take_read(&self, named: String, json: Value) -> Result<TableRead, Failure> {
        let at = format!("requestItems.{named}.member");
        let table = self.resolve_name(named.clone(), &at)?;
        let mut rest = json.as_object().cloned().unwrap_or_default();
        rest.remove("Keys");
        let mut members = Members::new(at, json)?;
        let list = match members.take_raw("Keys") {
            Some(Value::Array(list)) => list,
            Some(other) => return Err(super::value::mismatch(&other, "List").into()),
            None => return Err(members.missing("Keys")),
        };
        let mut keys = Vec::new();
        for key in list {
            let Value::Object(attributes) = key.clone() else {
                return Err(super::value::mismatch(&key, "Map").into());
            };
            keys.push((key, item_from_json(attributes)?));
        }
        let consistent = members.boolean("ConsistentRead")?.unwrap_or(false);
        let fields = ["ProjectionExpression"];
        let mut expressions = Expressions::take(&mut members, &fields, &["AttributesToGet"])?;
        let projection = expressions.projection("ProjectionExpression")?;
        let nested = expressions.finish()?;
        members.finish()?;
        Ok(TableRead {
            named,
            table,
            keys,
            consistent,
            projection,
            nested,
            rest,
        })
    }
}

fn take_change(mut request: Members) -> Result<Change, Failure> {
    let put = request.structure("PutRequest")?;
    let delete = request.structure("DeleteRequest")?;
    request.finish()?;
    let (mut members, name) = match (put, delete) {
        (Some(put), None) => (put, "Item"),
        (None, Some(delete)) => (delete, "Key"),
        _ => {
            return Err(Failure::validation(
                "Supplied AttributeValue has more than one datatypes set, must contain exactly \
                 one of the supported datatypes",
            ));
        }
    };
    let item = members.item(name)?;
    let item = item.ok_or_else(|| members.missing(name))?;
    members.finish()?;
    Ok(if name == "Item" {
        Change::Put(item)
    } else {
        Change::Delete(item)
    })
}

fn duplicates() -> Failure {
    Failure::validation("Provided list of item keys contains duplicates")
}

const MAX_WRITES: usize = 25;
const MAX_READS: usize = 100;
const MAX_ANSWER: usize = 16 * 1024 * 1024;
