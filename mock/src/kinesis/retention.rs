//! IncreaseStreamRetentionPeriod and DecreaseStreamRetentionPeriod.
//!
//! A record that has passed away stays away, however long the new period.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_IncreaseStreamRetentionPeriod.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DecreaseStreamRetentionPeriod.html>

use std::cmp::Ordering;
use std::time::Duration;

use shardwise_types::limits;

use super::failure::Failure;
use super::input::Input;
use super::reshard::check_active;
use super::stream::{Change, Stream};
use super::stream_ref::StreamRef;
use super::{Kinesis, rules};
use crate::clock::Now;

/// The service's default is its minimum.
const MIN_HOURS: u64 = limits::RETENTION_HOURS_DEFAULT as u64;
const MAX_HOURS: u64 = limits::RETENTION_HOURS_MAX as u64;

impl Kinesis {
    pub(super) fn increase_stream_retention_period(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<(), Failure> {
        self.change_retention(&input, Ordering::Greater, now)
    }

    pub(super) fn decrease_stream_retention_period(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<(), Failure> {
        self.change_retention(&input, Ordering::Less, now)
    }

    /// Changes the retention to one that lies in that direction.
    fn change_retention(
        &self,
        input: &Input<'_>,
        direction: Ordering,
        now: Now,
    ) -> Result<(), Failure> {
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let hours = input.integer("RetentionPeriodHours", i64::MIN, i64::MAX)?;
        let hours = input.required("RetentionPeriodHours", hours);
        let stream = StreamRef::read(input, name)?;
        input.finish()?;

        let stream = self.stream(&stream, now)?;
        let mut state = stream.lock(now);
        let current_hours = state.settings.retention.as_secs() / 3600;
        let hours = check_hours(hours, current_hours, direction, &stream)?;
        check_active(&state, &stream)?;
        let mut settings = state.settings.clone();
        settings.retention = Duration::from_secs(hours * 3600);
        state.begin(Change::settings(settings), now, self.config.state_delay);
        Ok(())
    }
}

/// Refuses a retention that no stream has, or that lies in the other direction.
fn check_hours(
    asked: i64,
    current: u64,
    direction: Ordering,
    stream: &Stream,
) -> Result<u64, Failure> {
    let hours = u64::try_from(asked).unwrap_or_default();
    let refusal = if hours < MIN_HOURS {
        format!(
            "Minimum allowed retention period is {MIN_HOURS} hours. Requested retention period \
             ({asked} hours) is too short."
        )
    } else if hours > MAX_HOURS {
        format!(
            "Maximum allowed retention period is {MAX_HOURS} hours. Requested retention period \
             ({asked} hours) is too long."
        )
    } else if hours == current || hours.cmp(&current) == direction {
        // The present one is accepted in both directions.
        return Ok(hours);
    } else {
        let (relation, other) = match direction {
            Ordering::Greater => ("shorter", "Decrease"),
            _ => ("longer", "Increase"),
        };
        format!(
            "Requested retention period ({asked} hours) for stream {} can not be {relation} than \
             existing retention period ({current} hours). Use {other}RetentionPeriod API.",
            stream.name
        )
    };
    Err(Failure::invalid_argument(refusal))
}
