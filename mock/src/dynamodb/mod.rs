//! DynamoDB as the lease tables of a Kinesis consumer need it.
//!
//! Tables with secondary indexes, items, scans and queries, with expressions and with the
//! legacy parameters `Expected` and `AttributeUpdates`; batches, transactions, time to live, tags
//! and the setting of continuous backups. States of tables and indexes change with the clock of
//! [`Env`], computed when someone looks. Reads are of the present unless
//! [`DynamoDb::stale_reads`] says otherwise.
//!
//! Not here: streams, backups themselves, global tables, PartiQL, and throttling by throughput. An
//! unknown operation gets the service's error; a member that the API model has and that is not
//! implemented is refused by name, one that the model does not have is ignored.

mod backups;
mod batch;
mod capacity;
mod collection;
mod error;
mod expression;
mod items;
mod key;
mod legacy;
mod members;
mod model;
mod number;
mod page;
mod query;
mod scan;
mod table;
mod table_ops;
mod table_request;
mod tags;
mod timestamp;
mod transact;
mod ttl;
mod update_table;
mod value;
mod versions;
mod write;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Map, Value};
use shardwise_env::{Env, Instant, lock};

use crate::arn::arn;

use self::members::Members;
use self::table::{Status, Table};
use self::transact::Tokens;
use self::versions::Versions;

pub(crate) use self::error::Failure;

/// The tables of one account in one region. Clones share the tables.
#[derive(Clone)]
pub(crate) struct DynamoDb {
    env: Env,
    account: String,
    region: String,
    /// How long a table or an index takes to be created, updated or deleted.
    state_delay: Duration,
    /// Where the ids of tables and the ages of eventual reads are drawn from.
    random: Env,
    /// How old the answer of an eventual read is.
    stale: Stale,
    /// For how long tables keep what was replaced. Locked after the tables, never before.
    keep: Arc<Mutex<Duration>>,
    /// One lock for all: an operation holds it for microseconds.
    tables: Arc<Mutex<BTreeMap<String, Table>>>,
    /// The transactions that a client may repeat. Locked after the tables, never before.
    tokens: Arc<Mutex<Tokens>>,
}

/// How old the answer of an eventual read is.
#[derive(Debug, Clone, Copy)]
enum Stale {
    /// Anything up to that, drawn for every item and read.
    UpTo(Duration),
    /// Just that.
    By(Duration),
}

impl DynamoDb {
    pub(crate) fn new(env: Env, account: &str, region: &str, state_delay: Duration) -> Self {
        Self {
            random: env.clone(),
            env,
            account: account.to_owned(),
            region: region.to_owned(),
            state_delay,
            stale: Stale::UpTo(Duration::ZERO),
            keep: Arc::default(),
            tables: Arc::default(),
            tokens: Arc::default(),
        }
    }

    /// Draws ids and the ages of eventual reads from there.
    pub(crate) fn drawing_from(self, random: Env) -> Self {
        Self { random, ..self }
    }

    /// Whether there are no tables.
    pub(crate) fn is_empty(&self) -> bool {
        self.tables().is_empty()
    }

    /// Lets reads without `ConsistentRead`, and all reads of indexes, see each item as it was at
    /// some time up to that long ago, drawn for every item and read. For a service that has no
    /// tables yet.
    pub(crate) fn stale_reads(self, up_to: Duration) -> Self {
        self.keep_past(up_to);
        Self {
            stale: Stale::UpTo(up_to),
            ..self
        }
    }

    /// The same tables, whose eventual reads see each item as it was that long ago, as far as
    /// [`Self::keep_past`] reaches.
    pub(crate) fn as_it_was(&self, ago: Duration) -> Self {
        Self {
            stale: Stale::By(ago),
            ..self.clone()
        }
    }

    /// Keeps what is replaced from now on for at least that long.
    pub(crate) fn keep_past(&self, time: Duration) {
        let mut tables = self.tables();
        let mut keep = lock(&self.keep);
        *keep = time.max(*keep);
        for table in tables.values_mut() {
            table.versions.keep_for(*keep);
        }
    }

    /// The past of a table that is new.
    fn new_versions(&self) -> Versions {
        Versions::new(*lock(&self.keep))
    }

    /// Whether a request is about the table of that name, alone or among others.
    pub(crate) fn is_about(body: &[u8], table: &str) -> bool {
        let Ok(request) = serde_json::from_slice::<Value>(body) else {
            return false;
        };
        let is_it = |name: &str| {
            name == table
                || name
                    .split_once(":table/")
                    .is_some_and(|(_, name)| name == table)
        };
        let names_it = |part: &Value| part["TableName"].as_str().is_some_and(is_it);
        let in_batch = |tables: &Map<String, Value>| tables.keys().any(|name| is_it(name));
        let in_action = |action: &Value| {
            let parts = action.as_object();
            parts.is_some_and(|parts| parts.values().any(names_it))
        };
        names_it(&request)
            || request["RequestItems"].as_object().is_some_and(in_batch)
            || request["TransactItems"]
                .as_array()
                .is_some_and(|actions| actions.iter().any(in_action))
    }

    /// Answers `DynamoDB_20120810.<operation>`.
    pub(crate) fn call(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let run = match operation {
            "BatchGetItem" => Self::batch_get_item,
            "BatchWriteItem" => Self::batch_write_item,
            "CreateTable" => Self::create_table,
            "DeleteItem" => Self::delete_item,
            "DeleteTable" => Self::delete_table,
            "DescribeContinuousBackups" => Self::describe_continuous_backups,
            "DescribeTable" => Self::describe_table,
            "DescribeTimeToLive" => Self::describe_time_to_live,
            "GetItem" => Self::get_item,
            "ListTables" => Self::list_tables,
            "ListTagsOfResource" => Self::list_tags_of_resource,
            "PutItem" => Self::put_item,
            "Query" => Self::query,
            "Scan" => Self::scan,
            "TagResource" => Self::tag_resource,
            "TransactGetItems" => Self::transact_get_items,
            "TransactWriteItems" => Self::transact_write_items,
            "UntagResource" => Self::untag_resource,
            "UpdateContinuousBackups" => Self::update_continuous_backups,
            "UpdateItem" => Self::update_item,
            "UpdateTable" => Self::update_table,
            "UpdateTimeToLive" => Self::update_time_to_live,
            _ => return Err(Failure::unknown_operation()),
        };
        let mut members = Members::parse(body)?;
        model::check(operation, &mut members)?;
        let answer = run(self, members)?;
        Ok(answer.to_string().into_bytes())
    }

    /// The tables, without those whose deletion is over and without what has expired.
    fn tables(&self) -> MutexGuard<'_, BTreeMap<String, Table>> {
        let mut tables = lock(&self.tables);
        let (now, wall) = (self.env.now(), self.env.wall_now());
        tables.retain(|_, table| !table.is_gone(now));
        for table in tables.values_mut() {
            table.sweep(now, wall);
        }
        tables
    }

    /// How old the answer of one eventual read of one item is.
    fn draw_age(&self) -> Duration {
        match self.stale {
            Stale::By(age) => age,
            Stale::UpTo(Duration::ZERO) => Duration::ZERO,
            Stale::UpTo(limit) => {
                let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX - 1);
                Duration::from_micros(self.random.random_below(limit.saturating_add(1)))
            }
        }
    }

    /// The table as a read of many items sees it.
    fn as_read<'t>(&self, table: &'t Table, consistent: bool, now: Instant) -> Cow<'t, Table> {
        if consistent || matches!(self.stale, Stale::UpTo(Duration::ZERO)) {
            return Cow::Borrowed(table);
        }
        table.of_ages(|| self.draw_age(), now)
    }

    /// Runs an operation on the items of a table that serves them.
    fn with_table<T>(
        &self,
        name: &str,
        operation: impl FnOnce(&mut Table) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut tables = self.tables();
        operation(serving(tables.get_mut(name), self.env.now())?)
    }

    /// Takes the name of the table; the service also takes its ARN.
    fn table_name(&self, members: &mut Members) -> Result<String, Failure> {
        let name = members.required_string("TableName")?;
        self.resolve_name(name, &members.at("TableName"))
    }

    /// The name of a table that a request names by its name or its ARN, at that place.
    fn resolve_name(&self, name: String, at: &str) -> Result<String, Failure> {
        if name.starts_with("arn:") {
            return match name.strip_prefix(&self.arn("")) {
                Some(name) => Ok(name.to_owned()),
                None => Err(Failure::not_found()),
            };
        }
        table_request::check_name("TableName", at, &name)?;
        Ok(name)
    }

    /// The ARN of a table: the only place that makes one.
    fn arn(&self, table: &str) -> String {
        let resource = format!("table/{table}");
        arn("dynamodb", &self.region, &self.account, &resource)
    }
}

/// A table that serves its items, or the error of one that does not.
fn serving<T: std::borrow::Borrow<Table>>(table: Option<T>, now: Instant) -> Result<T, Failure> {
    let table = table.ok_or_else(Failure::not_found)?;
    match table.borrow().status(now) {
        Status::Active | Status::Updating => Ok(table),
        Status::Creating | Status::Deleting => Err(Failure::not_found()),
    }
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoDb")
            .field("account", &self.account)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}
