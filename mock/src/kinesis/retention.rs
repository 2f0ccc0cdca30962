//! IncreaseStreamRetentionPeriod and DecreaseStreamRetentionPeriod.
//!
//! A record that has passed away stays away, however long the new period.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_IncreaseStreamRetentionPeriod.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DecreaseStreamRetentionPeriod.html>

use std::cmp::Ordering;
use std::time::Duration;

use super::failure::Failure;
use super::input::Input;
use super::reshard::check_active;
use super::stream::Change;
use super::stream_ref::StreamRef;
use super::{Kinesis, rules};
use crate::clock::Now;

const MIN_HOURS: i64 = 24;
const MAX_HOURS: i64 = 8760;

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
        let seconds = u64::try_from(hours).unwrap_or_default() * 3600;
        let retention = Duration::from_secs(seconds);
        let current = state.settings.retention;
        let wrong = if hours < MIN_HOURS {
            format!(
                "Minimum allowed retention period is {MIN_HOURS} hours. Requested retention period \
                 ({hours} hours) is too short."
            )
        } else if hours > MAX_HOURS {
            format!(
                "Maximum allowed retention period is {MAX_HOURS} hours. Requested retention period \
                 ({hours} hours) is too long."
            )
        } else if retention.cmp(&current) != direction {
            let (relation, other) = match direction {
                Ordering::Greater => ("shorter", "Decrease"),
                _ => ("longer", "Increase"),
            };
            format!(
                "Requested retention period ({hours} hours) for stream {} can not be {relation} \
                 than existing retention period ({} hours). Use {other}RetentionPeriod API.",
                stream.name,
                current.as_secs() / 3600
            )
        } else {
            check_active(&state, &stream)?;
            let mut settings = state.settings.clone();
            settings.retention = retention;
            state.begin(Change::settings(settings), now, self.config.state_delay);
            return Ok(());
        };
        Err(Failure::invalid_argument(wrong))
    }
}
