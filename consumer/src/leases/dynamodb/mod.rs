//! Leases in a table of DynamoDB.
//!
//! - `client.rs`: the SDK's client on our transport, its time limits and errors
//! - `ensure.rs`: the table itself
//! - `update.rs`: changes as an update expression
//!
//! Existing rows are changed with UpdateItem and never put whole: attributes that we do not know
//! belong to somebody else. Every refused write asks for the row as it is, since that decides what
//! the refusal means.

mod client;
mod ensure;
mod update;

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure};
use shardwise_client::Aws;
use shardwise_env::Env;
use shardwise_types::ApplicationName;

use self::client::{ServiceClock, failed};
use self::update::Update;
use super::decide::{Answer, Change, Write};
use super::key::LeaseKey;
use super::lease::Lease;
use super::row::{self, Item, Row, Unreadable, attribute};
use super::store::{BoxFuture, LeaseStore, MissingTable, Scan, StoreError, StoreErrorKind};

/// The lease table of an application, in DynamoDB.
pub(crate) struct DynamoDbStore {
    client: Client,
    table: String,
    env: Env,
    clock: ServiceClock,
}

impl DynamoDbStore {
    /// The table that bears the application's name. No call is made.
    ///
    /// `failover` bounds how long a call may take: an answer that comes later is of no use.
    pub(crate) fn new(aws: &Aws, application: &ApplicationName, failover: Duration) -> Self {
        let clock = ServiceClock::new(aws.env().clone());
        Self {
            client: client::new(aws, failover, clock.clone()),
            table: application.to_string(),
            env: aws.env().clone(),
            clock,
        }
    }

    #[cfg(test)]
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    async fn scan_all(&self) -> Result<Scan, StoreError> {
        let mut scan = Scan::default();
        let mut from = None;
        loop {
            let page = self
                .client
                .scan()
                .table_name(&self.table)
                .set_exclusive_start_key(from.take())
                .send()
                .await
                .map_err(|error| failed("scan", &self.table, error))?;
            for item in page.items() {
                match row::read(item) {
                    Ok(Row::Lease(lease)) => scan.leases.push(*lease),
                    Ok(Row::Other) => {}
                    Ok(Row::MultiStream(key)) => {
                        tracing::debug!(%key, "passed over a lease of a table of many streams");
                        scan.multi_stream += 1;
                    }
                    Err(unreadable) => {
                        tracing::debug!(error = %unreadable, "passed over a lease row");
                        scan.unreadable.push(unreadable);
                    }
                }
            }
            match page.last_evaluated_key {
                Some(key) => from = Some(key),
                None => break,
            }
        }
        // A scan comes in the order of the keys' hashes.
        scan.leases.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(scan)
    }

    async fn read_now(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(attribute::KEY, row::text(key.to_string()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed("read a lease of", &self.table, error))?;
        match output.item.as_ref().map(row::read).transpose() {
            Ok(Some(Row::Lease(lease))) => Ok(Some(*lease)),
            Ok(Some(Row::Other | Row::MultiStream(_)) | None) => Ok(None),
            Err(error) => Err(unreadable(error)),
        }
    }

    async fn create(&self, lease: &Lease) -> Result<Answer, StoreError> {
        let result = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(row::item(lease)))
            .condition_expression(format!("attribute_not_exists({})", attribute::KEY))
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send()
            .await;
        match result {
            Ok(_) => Ok(Answer::Applied(Box::new(lease.clone()))),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refusal)) => {
                    Ok(refused(refusal.item()))
                }
                _ => Err(failed("create a lease in", &self.table, error)),
            },
        }
    }

    async fn update(
        &self,
        key: &LeaseKey,
        counter: u64,
        changes: &[Change],
    ) -> Result<Answer, StoreError> {
        let update = Update::new(counter, changes);
        let result = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(attribute::KEY, row::text(key.to_string()))
            .update_expression(update.expression())
            .condition_expression(update.condition())
            .set_expression_attribute_values(Some(update.into_values()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send()
            .await;
        match result {
            Ok(output) => applied(output.attributes.as_ref()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
                    Ok(refused(refusal.item()))
                }
                _ => Err(failed("update a lease of", &self.table, error)),
            },
        }
    }

    async fn delete(&self, key: &LeaseKey, counter: u64) -> Result<Answer, StoreError> {
        let update = Update::new(counter, &[]);
        let result = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(attribute::KEY, row::text(key.to_string()))
            .condition_expression(update.condition())
            .set_expression_attribute_values(Some(update.into_condition_values()))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send()
            .await;
        match result {
            Ok(output) => applied(output.attributes.as_ref()),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(refusal)) => {
                    Ok(refused(refusal.item()))
                }
                _ => Err(failed("delete a lease of", &self.table, error)),
            },
        }
    }
}

impl LeaseStore for DynamoDbStore {
    fn ensure_table(&self, missing: MissingTable) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(ensure::ensure(
            &self.client,
            &self.env,
            &self.table,
            missing,
        ))
    }

    fn scan(&self) -> BoxFuture<'_, Result<Scan, StoreError>> {
        Box::pin(self.scan_all())
    }

    fn read<'a>(&'a self, key: &'a LeaseKey) -> BoxFuture<'a, Result<Option<Lease>, StoreError>> {
        Box::pin(self.read_now(key))
    }

    fn write<'a>(&'a self, write: &'a Write) -> BoxFuture<'a, Result<Answer, StoreError>> {
        match write {
            Write::Create(lease) => Box::pin(self.create(lease)),
            Write::Update {
                key,
                counter,
                changes,
            } => Box::pin(self.update(key, *counter, changes)),
            Write::Delete { key, counter } => Box::pin(self.delete(key, *counter)),
        }
    }

    fn service_time(&self) -> Option<SystemTime> {
        self.clock.now()
    }
}

impl fmt::Debug for DynamoDbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbStore")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

fn applied(item: Option<&Item>) -> Result<Answer, StoreError> {
    match item.map(row::read).transpose() {
        Ok(Some(Row::Lease(lease))) => Ok(Answer::Applied(lease)),
        Ok(Some(Row::Other | Row::MultiStream(_)) | None) => Err(StoreError::new(
            StoreErrorKind::Unreadable,
            "a write was answered without a lease",
        )),
        Err(error) => Err(unreadable(error)),
    }
}

/// A row that cannot be read has no owner that is known, just as one that is gone.
fn refused(item: Option<&Item>) -> Answer {
    match item.map(row::read) {
        Some(Ok(Row::Lease(lease))) => Answer::Refused(Some(lease)),
        Some(Ok(Row::Other | Row::MultiStream(_)) | Err(_)) | None => Answer::Refused(None),
    }
}

fn unreadable(error: Unreadable) -> StoreError {
    StoreError::new(StoreErrorKind::Unreadable, "a lease cannot be read").with_source(error)
}
