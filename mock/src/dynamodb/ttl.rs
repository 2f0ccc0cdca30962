//! UpdateTimeToLive and DescribeTimeToLive, and the deletion of what has expired.
//!
//! The service promises "within a few days". Here a sweep runs once a minute of the mock's clock,
//! counted from when time to live became ENABLED: an item that expired is gone at most
//! [`SWEEP_PERIOD`] later, and until then it is read like any other, as in the service. The sweep
//! is made up for when somebody looks, so nothing runs in between.
//!
//! Not here: the service's wait of an hour between two changes; a change is refused only while
//! the one before is ENABLING or DISABLING.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use shardwise_env::Instant;

use super::DynamoDb;
use super::error::Failure;
use super::members::Members;
use super::number::Number;
use super::value::{AttributeValue, Item};

/// How often expired items are deleted.
pub(super) const SWEEP_PERIOD: Duration = Duration::from_secs(60);

/// A value this far in the past is taken for an error and not for an expiry.
const OLDEST: u64 = 5 * 365 * 24 * 3600;

/// A table's time to live; the default is that it never had one.
#[derive(Debug, Clone, Default)]
pub(super) struct TimeToLive {
    last: Option<Setting>,
}

#[derive(Debug, Clone)]
struct Setting {
    attribute: String,
    enabled: bool,
    /// When the change to this setting is over.
    settled: Instant,
    /// How many sweeps have been made since.
    sweeps: u64,
}

impl TimeToLive {
    fn status(&self, now: Instant) -> &'static str {
        match &self.last {
            None => "DISABLED",
            Some(last) => match (last.enabled, now < last.settled) {
                (true, true) => "ENABLING",
                (true, false) => "ENABLED",
                (false, true) => "DISABLING",
                (false, false) => "DISABLED",
            },
        }
    }

    fn describe(&self, now: Instant) -> Value {
        let status = self.status(now);
        let mut description = json!({"TimeToLiveStatus": status});
        if let Some(last) = self.last.as_ref().filter(|_| status != "DISABLED") {
            description["AttributeName"] = last.attribute.as_str().into();
        }
        description
    }

    fn change(
        &mut self,
        attribute: String,
        enabled: bool,
        now: Instant,
        delay: Duration,
    ) -> Result<(), Failure> {
        let status = self.status(now);
        if ["ENABLING", "DISABLING"].contains(&status) {
            return Err(Failure::validation(
                "Time to live has been modified multiple times within a fixed interval",
            ));
        }
        if status == "DISABLED" && !enabled {
            return Err(Failure::validation("TimeToLive is already disabled"));
        }
        if let Some(last) = self.last.as_ref().filter(|_| status == "ENABLED") {
            if last.attribute != attribute {
                return Err(Failure::validation(format!(
                    "TimeToLive is active on a different AttributeName: current AttributeName is {}",
                    last.attribute
                )));
            }
            if enabled {
                return Err(Failure::validation("TimeToLive is already enabled"));
            }
        }
        self.last = Some(Setting {
            attribute,
            enabled,
            settled: now + delay,
            sweeps: 0,
        });
        Ok(())
    }

    /// What a sweep deletes, if one is due.
    pub(super) fn due(&mut self, now: Instant, wall: SystemTime) -> Option<Sweep> {
        let last = self.last.as_mut().filter(|last| last.enabled)?;
        let since = now.checked_duration_since(last.settled)?;
        let sweeps = since.as_secs() / SWEEP_PERIOD.as_secs();
        if sweeps <= last.sweeps {
            return None;
        }
        last.sweeps = sweeps;
        let ago = since.saturating_sub(Duration::from_secs(sweeps * SWEEP_PERIOD.as_secs()));
        let at = wall.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(Sweep {
            attribute: last.attribute.clone(),
            at: at.saturating_sub(ago).as_secs(),
        })
    }
}

/// A sweep: what had expired at its time.
pub(super) struct Sweep {
    attribute: String,
    /// Seconds since the epoch.
    at: u64,
}

impl Sweep {
    /// Whether the item had expired.
    pub(super) fn deletes(&self, item: &Item) -> bool {
        let number = |seconds: u64| Number::from(usize::try_from(seconds).unwrap_or(usize::MAX));
        match item.get(&self.attribute) {
            Some(AttributeValue::N(expiry)) => {
                (number(self.at.saturating_sub(OLDEST))..=number(self.at)).contains(expiry)
            }
            _ => false,
        }
    }
}

impl DynamoDb {
    pub(super) fn describe_time_to_live(&self, mut members: Members) -> Result<Value, Failure> {
        let name = self.table_name(&mut members)?;
        members.finish()?;
        let now = self.env.now();
        let tables = self.tables();
        let table = tables.get(&name);
        let table = table.ok_or_else(|| Failure::table_not_found(&name))?;
        Ok(json!({"TimeToLiveDescription": table.ttl.describe(now)}))
    }

    pub(super) fn update_time_to_live(&self, mut members: Members) -> Result<Value, Failure> {
        let name = self.table_name(&mut members)?;
        let setting = members.structure("TimeToLiveSpecification")?;
        let mut setting = setting.ok_or_else(|| members.missing("TimeToLiveSpecification"))?;
        let enabled = setting.boolean("Enabled")?;
        let enabled = enabled.ok_or_else(|| setting.missing("Enabled"))?;
        let attribute = setting.required_string("AttributeName")?;
        setting.finish()?;
        members.finish()?;
        let now = self.env.now();
        let mut tables = self.tables();
        let table = tables.get_mut(&name);
        let table = table.ok_or_else(|| Failure::table_not_found(&name))?;
        table.check_settled(now)?;
        table
            .ttl
            .change(attribute.clone(), enabled, now, self.state_delay)?;
        Ok(json!({
            "TimeToLiveSpecification": {"Enabled": enabled, "AttributeName": attribute},
        }))
    }
}
