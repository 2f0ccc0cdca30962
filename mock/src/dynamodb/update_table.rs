//! UpdateTable: one index created or deleted, billing, table class, deletion protection.
//!
//! Refused: streams, encryption, replicas, changes of an index's throughput.

use serde_json::{Value, json};

use super::DynamoDb;
use super::error::Failure;
use super::key::KeyAttribute;
use super::members::Members;
use super::table::{Index, IndexKind, Status, Table, TableSettings};
use super::table_ops::{BILLING_MODES, MAX_INDEXES, TABLE_CLASSES, index_of};
use super::table_request::{self as request, IndexRequest};

/// What happens to an index.
enum IndexChange {
    Create(Members),
    Delete(String),
}

impl DynamoDb {
    pub(super) fn update_table(&self, mut members: Members) -> Result<Value, Failure> {
        let name = self.table_name(&mut members)?;
        let definitions = request::definitions(&mut members)?.unwrap_or_default();
        let billing = members.choice("BillingMode", &BILLING_MODES)?;
        let throughput = request::throughput(&mut members)?;
        let class = members.choice("TableClass", &TABLE_CLASSES)?;
        let protection = members.boolean("DeletionProtectionEnabled")?;
        let index_change = take_index_change(&mut members)?;
        members.finish()?;
        let capacity = billing.is_some() || throughput.is_some();
        if !capacity && class.is_none() && protection.is_none() && index_change.is_none() {
            return Err(Failure::validation(
                "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, \
                 GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required",
            ));
        }

        let mut tables = self.tables();
        let table = tables.get_mut(&name);
        let table = table.ok_or_else(|| Failure::table_not_found(&name))?;
        let now = self.env.now();
        table.check_settled(now)?;

        // All that can fail comes first, on a copy: an update happens whole or not at all.
        let mut settings = table.settings.clone();
        if capacity {
            let on_demand = match billing {
                Some(mode) => mode == "PAY_PER_REQUEST",
                None => settings.throughput.is_none(),
            };
            request::check_throughput(on_demand, throughput)?;
            if let (Some(old), Some(new)) = (settings.throughput, throughput) {
                let wall = self.env.wall_now();
                settings.throughput_changes.note(old, new, wall);
            }
            settings.throughput = throughput;
            if on_demand && table.settings.throughput.is_some() {
                settings.on_demand_since = Some(self.env.wall_now());
            }
        }
        settings.class = class.or(settings.class);
        settings.deletion_protection = protection.unwrap_or(settings.deletion_protection);

        let ready = now + self.state_delay;
        let waits = capacity || index_change.is_some();
        match index_change {
            Some(IndexChange::Create(members)) => {
                let index = prepare_index(table, &settings, members, &definitions)?;
                for definition in definitions {
                    if !table.definitions.contains(&definition) {
                        table.definitions.push(definition);
                    }
                }
                table.add_index(index_of(index, ready, true));
            }
            Some(IndexChange::Delete(index)) => {
                let is_it = |known: &Index| known.kind == IndexKind::Global && known.name == index;
                let at = table.indexes.iter().position(is_it);
                table.indexes.remove(at.ok_or_else(Failure::not_found)?);
                forget_unused_definitions(table);
            }
            None => {}
        }
        table.settings = settings;
        if waits {
            table.change = (Status::Updating, ready);
        }
        let mut description = table.describe(now, self.env.wall_now());
        if waits {
            description["TableStatus"] = "UPDATING".into();
        }
        Ok(json!({"TableDescription": description}))
    }
}

fn take_index_change(members: &mut Members) -> Result<Option<IndexChange>, Failure> {
    let Some(updates) = members.structures("GlobalSecondaryIndexUpdates")? else {
        return Ok(None);
    };
    let mut changes = Vec::new();
    for mut update in updates {
        if let Some(create) = update.structure("Create")? {
            changes.push(IndexChange::Create(create));
        } else if let Some(mut delete) = update.structure("Delete")? {
            changes.push(IndexChange::Delete(delete.required_string("IndexName")?));
            delete.finish()?;
        } else if !update.has("Update") {
            return Err(Failure::invalid_parameters(
                "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, \
                 GlobalSecondaryIndexUpdate.Delete must not be null",
            ));
        }
        update.finish()?;
    }
    if changes.len() > 1 {
        return Err(Failure::limit_exceeded(
            "Subscriber limit exceeded: Only 1 online index can be created or deleted \
             simultaneously per table",
        ));
    }
    Ok(changes.pop())
}

fn prepare_index(
    table: &Table,
    settings: &TableSettings,
    members: Members,
    definitions: &[KeyAttribute],
) -> Result<IndexRequest, Failure> {
    let index = IndexRequest::take_global(members, definitions)?;
    index.check_throughput(settings.throughput.is_none())?;
    if table.index(&index.name).is_some() {
        return Err(Failure::validation(
            "Attempting to create an index which already exists",
        ));
    }
    if table.indexes_of(IndexKind::Global).count() >= MAX_INDEXES {
        return Err(Failure::invalid_parameters(&format!(
            "GlobalSecondaryIndex count exceeds the per-table limit of {MAX_INDEXES}"
        )));
    }
    let redefined = definitions.iter().find(|definition| {
        let mut known = table.definitions.iter();
        known.any(|known| known.name == definition.name && known.key_type != definition.key_type)
    });
    match redefined {
        Some(definition) => Err(Failure::invalid_parameters(&format!(
            "Attribute {} is already defined with another type",
            definition.name
        ))),
        None => Ok(index),
    }
}

/// Definitions are there for keys; an index takes its own away.
fn forget_unused_definitions(table: &mut Table) {
    let Table {
        definitions,
        schema,
        indexes,
        ..
    } = table;
    definitions.retain(|definition| {
        let name = &definition.name;
        schema.has(name) || indexes.iter().any(|index| index.schema.has(name))
    });
}
