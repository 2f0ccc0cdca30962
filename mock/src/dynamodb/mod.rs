//! DynamoDB as the lease tables of a Kinesis consumer need it.
//!
//! Tables with global secondary indexes, items, scans and queries, with expressions and with the
//! legacy parameters `Expected` and `AttributeUpdates`. Reads are always consistent. States of
//! tables and indexes change with the clock of [`Env`], computed when someone looks.
//!
//! Not here: transactions, batches, time to live, streams, local secondary indexes, backups,
//! global tables. An unknown operation gets the service's error; a member that is not
//! implemented is refused by name, never ignored.

mod capacity;
mod error;
mod expression;
mod items;
mod key;
mod legacy;
mod members;
mod number;
mod page;
mod query;
mod scan;
mod table;
mod table_ops;
mod table_request;
mod update_table;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shardwise_env::Env;

use self::members::Members;
use self::table::{Status, Table};

pub(crate) use self::error::Failure;

/// The tables of one account in one region.
pub(crate) struct DynamoDb {
    env: Env,
    account: String,
    region: String,
    /// How long a table or an index takes to be created, updated or deleted.
    state_delay: Duration,
    /// One lock for all: an operation holds it for microseconds.
    tables: Mutex<BTreeMap<String, Table>>,
}

impl DynamoDb {
    pub(crate) fn new(env: Env, account: &str, region: &str, state_delay: Duration) -> Self {
        Self {
            env,
            account: account.to_owned(),
            region: region.to_owned(),
            state_delay,
            tables: Mutex::default(),
        }
    }

    /// Answers `DynamoDB_20120810.<operation>`.
    pub(crate) fn call(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let run = match operation {
            "CreateTable" => Self::create_table,
            "DeleteItem" => Self::delete_item,
            "DeleteTable" => Self::delete_table,
            "DescribeTable" => Self::describe_table,
            "GetItem" => Self::get_item,
            "ListTables" => Self::list_tables,
            "PutItem" => Self::put_item,
            "Query" => Self::query,
            "Scan" => Self::scan,
            "UpdateItem" => Self::update_item,
            "UpdateTable" => Self::update_table,
            _ => return Err(Failure::unknown_operation()),
        };
        let answer = run(self, Members::parse(body)?)?;
        Ok(answer.to_string().into_bytes())
    }

    /// The tables, without those whose deletion is over.
    fn tables(&self) -> MutexGuard<'_, BTreeMap<String, Table>> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.env.now();
        tables.retain(|_, table| !table.is_gone(now));
        tables
    }

    /// Runs an operation on the items of a table that serves them.
    fn with_table<T>(
        &self,
        name: &str,
        operation: impl FnOnce(&mut Table) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut tables = self.tables();
        let table = tables.get_mut(name).ok_or_else(Failure::not_found)?;
        match table.status(self.env.now()) {
            Status::Active | Status::Updating => operation(table),
            Status::Creating | Status::Deleting => Err(Failure::not_found()),
        }
    }

    /// Takes the name of the table; the service also takes its ARN.
    fn table_name(&self, members: &mut Members) -> Result<String, Failure> {
        let name = members.required_string("TableName")?;
        if name.starts_with("arn:") {
            return match name.strip_prefix(&self.arn("")) {
                Some(name) => Ok(name.to_owned()),
                None => Err(Failure::not_found()),
            };
        }
        table_request::check_name("TableName", &members.at("TableName"), &name)?;
        Ok(name)
    }

    fn arn(&self, table: &str) -> String {
        format!(
            "arn:aws:dynamodb:{}:{}:table/{table}",
            self.region, self.account
        )
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
