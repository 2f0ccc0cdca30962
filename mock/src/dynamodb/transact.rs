//! TransactWriteItems and TransactGetItems.
//!
//! A transaction runs under the lock of all tables, so it is alone: no other request ever sees a
//! part of it, and it never conflicts with another (`TransactionConflict` and
//! `TransactionInProgressException` come from fault rules only). All actions are planned before
//! one is applied.
//!
//! What is wrong with the request itself refuses it; what an action meets in its table cancels the
//! transaction, with a reason for each action.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use shardwise_env::{Instant, lock};

use super::capacity::{CapacityReport, Consumed};
use super::collection::CollectionMetrics;
use super::error::Failure;
use super::expression::{Expressions, Projection};
use super::members::Members;
use super::table::Table;
use super::value::{Item, item_size, item_to_json};
use super::write::{ItemWrite, Kind, Legacy};
use super::{DynamoDb, serving};

/// How long a transaction may be repeated with its `ClientRequestToken`.
const TOKEN_LIFE: Duration = Duration::from_secs(10 * 60);

/// What all items of a transaction may have together.
const MAX_SIZE: usize = 4 * 1024 * 1024;

/// The transactions that were done with a token, as they were requested.
#[derive(Debug, Default)]
pub(super) struct Tokens(BTreeMap<String, (Instant, Value)>);

/// One read of a transaction.
struct Get {
    table: String,
    key: Item,
    projection: Option<Projection>,
    nested: BTreeSet<String>,
}

impl Tokens {
    /// Whether this transaction was done before with its token.
    fn is_repeated(&mut self, token: &str, actions: &Value, now: Instant) -> Result<bool, Failure> {
        self.0.retain(|_, (until, _)| *until > now);
        match self.0.get(token) {
            None => Ok(false),
            Some((_, done)) if done == actions => Ok(true),
            Some(_) => Err(Failure::token_reused()),
        }
    }
}

impl DynamoDb {
    pub(super) fn transact_write_items(&self, mut members: Members) -> Result<Value, Failure> {
        let requested = members.raw("TransactItems").cloned().unwrap_or_default();
        let actions = members.structures("TransactItems")?;
        let actions = actions.ok_or_else(|| members.missing("TransactItems"))?;
        let token = members.string("ClientRequestToken")?;
        let capacity = CapacityReport::take(&mut members)?;
        let mut collections = CollectionMetrics::take(&mut members)?;
        members.finish()?;
        let writes = actions.into_iter().map(|action| self.take_action(action));
        let writes = writes.collect::<Result<Vec<_>, _>>()?;

        let now = self.env.now();
        let mut tables = self.tables();
        let mut tokens = lock(&self.tokens);
        let mut costs = Costs::default();
        if let Some(token) = &token
            && tokens.is_repeated(token, &requested, now)?
        {
            // The answer to a repetition tells what it cost to look.
            for write in &writes {
                let table = serving(tables.get(&write.table), now)?;
                let item = write.key(table).ok().and_then(|key| table.items.get(&key));
                costs.add(table, Consumed::read(item.map_or(0, item_size), true, None));
            }
            return Ok(costs.answer(json!({}), capacity, READ_UNITS));
        }
        let mut targets = Targets::default();
        for write in &writes {
            let table = serving(tables.get(&write.table), now)?;
            table.schema.check_not_empty(write.change.named_by())?;
            targets.add(table, write.key(table))?;
        }

        let mut reasons = Vec::new();
        let mut changes = Vec::new();
        let (mut failed, mut size) = (false, 0);
        for write in &writes {
            let table = serving(tables.get(&write.table), now)?;
            match write.plan(table) {
                Ok(planned) => {
                    size += planned.size();
                    costs.add(table, planned.consumed(table));
                    if planned.writes {
                        collections.note(table, &planned.key, write.change.named_by());
                    }
                    reasons.push(json!({"Code": "None"}));
                    if planned.writes {
                        changes.push((&write.table, planned.key, planned.new));
                    }
                }
                Err(failure) => {
                    failed = true;
                    reasons.push(failure.into_cancellation_reason());
                }
            }
        }
        if failed {
            return Err(Failure::transaction_canceled(&reasons));
        }
        check_size(size)?;
        for (table, key, item) in changes {
            serving(tables.get_mut(table), now)?.write(key, item, now);
        }
        if let Some(token) = token {
            tokens.0.insert(token, (now + TOKEN_LIFE, requested));
        }
        let mut answer = costs.answer(json!({}), capacity, WRITE_UNITS);
        collections.add_all_to(&mut answer);
        Ok(answer)
    }

    pub(super) fn transact_get_items(&self, mut members: Members) -> Result<Value, Failure> {
        let actions = members.structures("TransactItems")?;
        let actions = actions.ok_or_else(|| members.missing("TransactItems"))?;
        let capacity = CapacityReport::take(&mut members)?;
        members.finish()?;
        let gets = actions.into_iter().map(|action| self.take_get(action));
        let gets = gets.collect::<Result<Vec<_>, _>>()?;

        let now = self.env.now();
        let tables = self.tables();
        let mut targets = Targets::default();
        for get in &gets {
            let table = serving(tables.get(&get.table), now)?;
            table.schema.check_not_empty(&get.key)?;
            targets.add(table, table.schema.key_of_request(&get.key))?;
        }
        let mut costs = Costs::default();
        let (mut reasons, mut responses) = (Vec::new(), Vec::new());
        let (mut failed, mut size) = (false, 0);
        for get in &gets {
            let table = serving(tables.get(&get.table), now)?;
            let key = table.schema.key_of_request(&get.key);
            let key = key.and_then(|key| table.check_nested(&get.nested).map(|()| key));
            let item = match key {
                Ok(key) => table.items.get(&key),
                Err(failure) => {
                    failed = true;
                    reasons.push(failure.into_cancellation_reason());
                    continue;
                }
            };
            reasons.push(json!({"Code": "None"}));
            let bytes = item.map_or(0, item_size);
            size += bytes;
            costs.add(table, Consumed::read(bytes, true, None));
            responses.push(match (item, &get.projection) {
                (None, _) => json!({}),
                (Some(item), None) => json!({"Item": item_to_json(item)}),
                (Some(item), Some(projection)) => {
                    json!({"Item": item_to_json(&projection.apply(item))})
                }
            });
        }
        if failed {
            return Err(Failure::transaction_canceled(&reasons));
        }
        check_size(size)?;
        Ok(costs.answer(json!({"Responses": responses}), capacity, READ_UNITS))
    }

    fn take_action(&self, mut action: Members) -> Result<ItemWrite, Failure> {
        let mut found = None;
        for (name, kind) in ACTIONS {
            let Some(members) = action.structure(name)? else {
                continue;
            };
            if found.replace((members, kind)).is_some() {
                return Err(Failure::validation(
                    "TransactItems can only contain one of Check, Put, Update or Delete",
                ));
            }
        }
        action.finish()?;
        let (mut members, kind) = found.ok_or_else(|| {
            Failure::validation(
                "Invalid Request: TransactWriteRequest should contain Delete or Put or Update \
                 request",
            )
        })?;
        let write = ItemWrite::take(self, &mut members, kind, Legacy::Refused)?;
        members.finish()?;
        Ok(write)
    }

    fn take_get(&self, mut action: Members) -> Result<Get, Failure> {
        let get = action.structure("Get")?;
        let mut members = get.ok_or_else(|| action.missing("Get"))?;
        action.finish()?;
        let table = self.table_name(&mut members)?;
        let key = members.item("Key")?;
        let key = key.ok_or_else(|| members.missing("Key"))?;
        let mut expressions = Expressions::take(&mut members, &["ProjectionExpression"], &[])?;
        let projection = expressions.projection("ProjectionExpression")?;
        let nested = expressions.finish()?;
        members.finish()?;
        Ok(Get {
            table,
            key,
            projection,
            nested,
        })
    }
}

/// The items that a transaction is about: each once.
#[derive(Default)]
struct Targets(BTreeSet<(String, super::key::ItemKey)>);

impl Targets {
    /// Adds an item; a key that does not fit is left to whoever reads or writes it.
    fn add(
        &mut self,
        table: &Table,
        key: Result<super::key::ItemKey, Failure>,
    ) -> Result<(), Failure> {
        let again = key.is_ok_and(|key| !self.0.insert((table.name.clone(), key)));
        if again {
            return Err(Failure::validation(
                "Transaction request cannot include multiple operations on one item",
            ));
        }
        Ok(())
    }
}

/// What a transaction costs, by table.
#[derive(Default)]
struct Costs(BTreeMap<String, Consumed>);

impl Costs {
    fn add(&mut self, table: &Table, consumed: Consumed) {
        let cost = self.0.entry(table.name.clone()).or_default();
        cost.add(&consumed.in_transaction());
    }

    fn answer(self, mut answer: Value, capacity: CapacityReport, kind: &str) -> Value {
        capacity.add_all_to(&mut answer, &self.0, Some(kind));
        answer
    }
}

fn check_size(size: usize) -> Result<(), Failure> {
    if size > MAX_SIZE {
        return Err(Failure::validation(
            "The aggregate size of the items in the transaction exceeded 4 MB",
        ));
    }
    Ok(())
}

/// The members that tell of what kind a transaction's units are.
const READ_UNITS: &str = "ReadCapacityUnits";
const WRITE_UNITS: &str = "WriteCapacityUnits";

const ACTIONS: [(&str, Kind); 4] = [
    ("ConditionCheck", Kind::Check),
    ("Put", Kind::Put),
    ("Delete", Kind::Delete),
    ("Update", Kind::Update),
];
