//! CreateTable, DescribeTable, DeleteTable and ListTables.
//!
//! Billing, table class, encryption and deletion protection are kept and described; deletion
//! protection is enforced. Streams, replicas, resource policies and throughput limits are refused.

use std::collections::BTreeSet;
use std::ops::Bound;

use serde_json::{Value, json};
use shardwise_env::Instant;

use super::error::Failure;
use super::key::{KeyAttribute, KeySchema};
use super::members::Members;
use super::table::{Index, IndexKind, Status, Table, TableSettings, ThroughputChanges};
use super::table_request::{self as request, IndexRequest};
use super::tags::take_tags;
use super::ttl::TimeToLive;
use super::versions::Versions;
use super::{DynamoDb, table_request};
use crate::arn::arn;
use crate::ids::uuid;

impl DynamoDb {
    pub(super) fn create_table(&self, mut members: Members) -> Result<Value, Failure> {
        let name = members.required_string("TableName")?;
        table_request::check_name("TableName", "tableName", &name)?;
        let definitions = request::definitions(&mut members)?;
        let definitions = definitions.ok_or_else(|| members.missing("AttributeDefinitions"))?;
        let keys = members.structures("KeySchema")?;
        let keys = keys.ok_or_else(|| members.missing("KeySchema"))?;
        let has_indexes = [IndexKind::Local, IndexKind::Global]
            .iter()
            .any(|kind| members.has(kind.member()));
        let schema = request::table_key_schema(keys, &definitions, has_indexes)?;
        let settings = self.take_settings(&mut members)?;
        let mut indexes = take_local_indexes(&mut members, &definitions, &schema)?;
        indexes.extend(take_global_indexes(&mut members, &definitions, &settings)?);
        check_names_differ(&indexes)?;
        let tags = take_tags(&mut members)?;
        refuse_stream(&mut members)?;
        members.finish()?;

        let index_schemas = indexes.iter().map(|index| &index.schema);
        let schemas = std::iter::once(&schema).chain(index_schemas);
        request::check_all_used(&definitions, &schemas.collect::<Vec<_>>())?;

        let mut tables = self.tables();
        if tables.contains_key(&name) {
            return Err(Failure::table_exists(&name));
        }
        let now = self.env.now();
        let ready = now + self.state_delay;
        let index = |request| index_of(request, ready, false);
        let table = Table {
            arn: self.arn(&name),
            id: uuid(&self.random),
            created: self.env.wall_now(),
            definitions,
            schema,
            settings,
            indexes: indexes.into_iter().map(index).collect(),
            change: (Status::Creating, ready),
            items: std::collections::BTreeMap::new(),
            versions: self.new_versions(),
            ttl: TimeToLive::default(),
            recovery: None,
            tags,
            name: name.clone(),
        };
        let mut description = table.describe(now, self.env.wall_now());
        // The answer tells of the beginning, also where nothing has to be waited for.
        description["TableStatus"] = "CREATING".into();
        tables.insert(name, table);
        Ok(json!({"TableDescription": description}))
    }

    pub(super) fn describe_table(&self, mut members: Members) -> Result<Value, Failure> {
        let name = self.table_name(&mut members)?;
        members.finish()?;
        let tables = self.tables();
        let table = tables.get(&name);
        let table = table.ok_or_else(|| Failure::table_not_found(&name))?;
        Ok(json!({"Table": table.describe(self.env.now(), self.env.wall_now())}))
    }

    pub(super) fn delete_table(&self, mut members: Members) -> Result<Value, Failure> {
        let name = self.table_name(&mut members)?;
        members.finish()?;
        let mut tables = self.tables();
        let table = tables.get_mut(&name);
        let table = table.ok_or_else(|| Failure::table_not_found(&name))?;
        let now = self.env.now();
        table.check_settled(now)?;
        if table.settings.deletion_protection {
            return Err(Failure::validation(
                "Resource cannot be deleted as it is currently protected against deletion. \
                 Disable deletion protection first.",
            ));
        }
        table.change = (Status::Deleting, now + self.state_delay);
        table.items.clear();
        table.indexes.clear();
        table.versions = Versions::default();
        Ok(json!({"TableDescription": table.describe(now, self.env.wall_now())}))
    }

    pub(super) fn list_tables(&self, mut members: Members) -> Result<Value, Failure> {
        let start = members.string("ExclusiveStartTableName")?;
        let limit = members.integer("Limit", 1..=100)?.unwrap_or(100);
        members.finish()?;
        let limit = usize::try_from(limit).unwrap_or(100);
        let tables = self.tables();
        let after = start.map_or(Bound::Unbounded, Bound::Excluded);
        let mut names = tables
            .range((after, Bound::Unbounded))
            .map(|(name, _)| name);
        let page = names.by_ref().take(limit).collect::<Vec<_>>();
        let mut answer = json!({"TableNames": page});
        if names.next().is_some()
            && let Some(last) = page.last()
        {
            answer["LastEvaluatedTableName"] = json!(last);
        }
        Ok(answer)
    }

    fn take_settings(&self, members: &mut Members) -> Result<TableSettings, Failure> {
        let billing = members.choice("BillingMode", &BILLING_MODES)?;
        let throughput = request::throughput(members)?;
        let on_demand = billing == Some("PAY_PER_REQUEST");
        request::check_throughput(on_demand, throughput)?;
        let protection = members.boolean("DeletionProtectionEnabled")?;
        Ok(TableSettings {
            throughput,
            throughput_changes: ThroughputChanges::default(),
            on_demand_since: on_demand.then(|| self.env.wall_now()),
            class: members.choice("TableClass", &TABLE_CLASSES)?,
            encryption_key: self.take_encryption(members)?,
            deletion_protection: protection.unwrap_or(false),
        })
    }

    fn take_encryption(&self, members: &mut Members) -> Result<Option<String>, Failure> {
        let Some(mut encryption) = members.structure("SSESpecification")? else {
            return Ok(None);
        };
        let enabled = encryption.boolean("Enabled")?.unwrap_or(false);
        encryption.choice("SSEType", &["KMS"])?;
        let key = encryption.string("KMSMasterKeyId")?;
        encryption.finish()?;
        let id = key.unwrap_or_else(|| "alias/aws/dynamodb".to_owned());
        let arn = match id.as_str() {
            id if id.starts_with("arn:") => id.to_owned(),
            alias if alias.starts_with("alias/") => self.kms_arn(alias),
            id => self.kms_arn(&format!("key/{id}")),
        };
        Ok(enabled.then_some(arn))
    }

    fn kms_arn(&self, resource: &str) -> String {
        arn("kms", &self.region, &self.account, resource)
    }
}

/// The index that a request asks for.
pub(super) fn index_of(request: IndexRequest, ready: Instant, backfilled: bool) -> Index {
    let IndexRequest {
        name,
        kind,
        schema,
        projection,
        throughput,
    } = request;
    Index::new(
        name, kind, schema, projection, throughput, ready, backfilled,
    )
}

fn take_local_indexes(
    members: &mut Members,
    definitions: &[KeyAttribute],
    table: &KeySchema,
) -> Result<Vec<IndexRequest>, Failure> {
    let take = |members| IndexRequest::take_local(members, definitions, table);
    let indexes = take_indexes(members, IndexKind::Local, take)?;
    if indexes.len() > MAX_LOCAL_INDEXES {
        return Err(Failure::invalid_parameters(&format!(
            "Number of LocalSecondaryIndexes exceeds per-table limit of {MAX_LOCAL_INDEXES}"
        )));
    }
    Ok(indexes)
}

fn take_global_indexes(
    members: &mut Members,
    definitions: &[KeyAttribute],
    settings: &TableSettings,
) -> Result<Vec<IndexRequest>, Failure> {
    let take = |members| {
        let index = IndexRequest::take_global(members, definitions)?;
        index.check_throughput(settings.throughput.is_none())?;
        Ok(index)
    };
    let indexes = take_indexes(members, IndexKind::Global, take)?;
    if indexes.len() > MAX_INDEXES {
        return Err(Failure::invalid_parameters(&format!(
            "GlobalSecondaryIndex count exceeds the per-table limit of {MAX_INDEXES}"
        )));
    }
    Ok(indexes)
}

fn take_indexes(
    members: &mut Members,
    kind: IndexKind,
    take: impl Fn(Members) -> Result<IndexRequest, Failure>,
) -> Result<Vec<IndexRequest>, Failure> {
    match members.structures(kind.member())? {
        None => Ok(Vec::new()),
        Some(list) if list.is_empty() => Err(Failure::invalid_parameters(&format!(
            "List of {} is empty",
            kind.member()
        ))),
        Some(list) => list.into_iter().map(take).collect(),
    }
}

fn check_names_differ(indexes: &[IndexRequest]) -> Result<(), Failure> {
    let mut names = BTreeSet::new();
    match indexes.iter().find(|index| !names.insert(&index.name)) {
        Some(index) => Err(Failure::invalid_parameters(&format!(
            "Duplicate index name: {}",
            index.name
        ))),
        None => Ok(()),
    }
}

/// A stream that is switched off is no stream.
fn refuse_stream(members: &mut Members) -> Result<(), Failure> {
    let Some(mut stream) = members.structure("StreamSpecification")? else {
        return Ok(());
    };
    match stream.boolean("StreamEnabled")? {
        Some(true) => Err(Failure::not_implemented("streams of tables")),
        Some(false) => stream.finish(),
        None => Err(stream.missing("StreamEnabled")),
    }
}

pub(super) const BILLING_MODES: [&str; 2] = ["PROVISIONED", "PAY_PER_REQUEST"];
pub(super) const TABLE_CLASSES: [&str; 2] = ["STANDARD", "STANDARD_INFREQUENT_ACCESS"];
pub(super) const MAX_INDEXES: usize = 20;
const MAX_LOCAL_INDEXES: usize = 5;
