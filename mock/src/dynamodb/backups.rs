//! UpdateContinuousBackups and DescribeContinuousBackups.
//!
//! Only the setting is kept: there is nothing to restore from.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::DynamoDb;
use super::error::Failure;
use super::members::Members;
use super::timestamp::epoch_seconds;

/// Point-in-time recovery of a table that has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recovery {
    since: SystemTime,
    days: i64,
}

/// How far back one can restore where nothing is said.
const DEFAULT_DAYS: i64 = 35;

/// How far the latest restorable time lies behind the present.
const LAG: Duration = Duration::from_secs(5 * 60);

impl DynamoDb {
    pub(super) fn describe_continuous_backups(
        &self,
        mut members: Members,
    ) -> Result<Value, Failure> {
        let name = self.table_name(&mut members)?;
        members.finish()?;
        let tables = self.tables();
        let table = tables.get(&name).ok_or_else(|| Failure::no_table(&name))?;
        Ok(self.describe_recovery(table.recovery))
    }

    pub(super) fn update_continuous_backups(&self, mut members: Members) -> Result<Value, Failure> {
        let name = self.table_name(&mut members)?;
        let setting = members.structure("PointInTimeRecoverySpecification")?;
        let mut setting =
            setting.ok_or_else(|| members.missing("PointInTimeRecoverySpecification"))?;
        let enabled = setting.boolean("PointInTimeRecoveryEnabled")?;
        let enabled = enabled.ok_or_else(|| setting.missing("PointInTimeRecoveryEnabled"))?;
        let days = setting.integer("RecoveryPeriodInDays", 1..=DEFAULT_DAYS)?;
        setting.finish()?;
        members.finish()?;
        let now = self.env.now();
        let mut tables = self.tables();
        let table = tables
            .get_mut(&name)
            .ok_or_else(|| Failure::no_table(&name))?;
        if table.check_settled(now).is_err() {
            return Err(Failure::backups_unavailable(&name));
        }
        table.recovery = enabled.then(|| Recovery {
            // Enabled again, it goes on; only its length may change.
            since: table
                .recovery
                .map_or_else(|| self.env.wall_now(), |known| known.since),
            days: days.unwrap_or(DEFAULT_DAYS),
        });
        Ok(self.describe_recovery(table.recovery))
    }

    fn describe_recovery(&self, recovery: Option<Recovery>) -> Value {
        let description = match recovery {
            None => json!({"PointInTimeRecoveryStatus": "DISABLED"}),
            Some(Recovery { since, days }) => {
                let latest = self.env.wall_now().checked_sub(LAG);
                let latest = latest.filter(|latest| *latest > since).unwrap_or(since);
                json!({
                    "PointInTimeRecoveryStatus": "ENABLED",
                    "RecoveryPeriodInDays": days,
                    "EarliestRestorableDateTime": epoch_seconds(since),
                    "LatestRestorableDateTime": epoch_seconds(latest),
                })
            }
        };
        json!({"ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": description,
        }})
    }
}
