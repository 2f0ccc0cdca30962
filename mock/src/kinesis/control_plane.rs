//! Where a call is refused that comes more often than the service allows, where
//! the control plane is limited.
//!
//! The texts of rates and of the limit of streams being created are recorded from the service; those
//! of the quotas are not.

use super::call_rates::{Rate, quota, rate};
use super::commitment::ON_DEMAND_STREAM_LIMIT;
use super::failure::Failure;
use super::status::Status;
use super::stream::Stream;
use super::stream_settings::Mode;
use super::{Kinesis, Value};
use crate::clock::Now;
use crate::operation::Operation;

/// Streams that may be created, or deleted, at once.
const MAX_IN_CHANGE: usize = 5;

impl Kinesis {
    /// Refuses a call beyond its rate or its quota.
    pub(super) fn check_control_plane(
        &self,
        operation: Operation,
        request: &Value<'_>,
        now: Now,
    ) -> Result<(), Failure> {
        let stream = || self.stream_of(request, now);
        let is_within_rate = match rate(operation) {
            None => true,
            Some(Rate::Account(rate)) => self.calls().try_call(operation, rate, now),
            Some(Rate::Stream(rate)) => {
                stream().is_none_or(|stream| stream.lock(now).calls.try_call(operation, rate, now))
            }
        };
        if !is_within_rate {
            return Err(self.throttled(operation, request));
        }
        if let Some(quota) = quota(operation)
            && let Some(stream) = stream()
            && stream.lock(now).calls.done_in_a_day(operation, now).len() >= quota
        {
            return Err(Failure::limit_exceeded(format!(
                "{}: {operation} can be done {quota} times in 24 hours.",
                stream.subject()
            )));
        }
        Ok(())
    }

    /// Counts a call that was done towards its quota.
    pub(super) fn note_done(&self, operation: Operation, request: &Value<'_>, now: Now) {
        if quota(operation).is_some()
            && let Some(stream) = self.stream_of(request, now)
        {
            let mut state = stream.lock(now);
            let done = state.calls.done_in_a_day(operation, now);
            done.push_back(now.uptime);
        }
    }

    /// Refuses one more stream beside those there are.
    pub(super) fn check_new_stream<'s>(
        &self,
        mode: Mode,
        streams: impl Iterator<Item = &'s Stream>,
        now: Now,
    ) -> Result<(), Failure> {
        let is_on_demand = |mode| matches!(mode, Mode::OnDemand { .. });
        let (mut in_change, mut on_demand) = (0, 0);
        for stream in streams {
            let state = stream.lock(now);
            in_change += usize::from(matches!(state.status, Status::Creating | Status::Deleting));
            on_demand += u32::from(is_on_demand(state.settings.mode));
        }
        if in_change >= MAX_IN_CHANGE {
            return Err(Failure::limit_exceeded(format!(
                "This request would have exceed the limit on the number of streams that can \
                 simultaneously be in CREATING or DELETING. Limit: {MAX_IN_CHANGE}"
            )));
        }
        let limit = ON_DEMAND_STREAM_LIMIT;
        if is_on_demand(mode) && on_demand >= limit {
            return Err(Failure::limit_exceeded(format!(
                "This request would exceed the limit of {limit} on-demand streams for the account \
                 {} in {}.",
                self.config.account, self.config.region
            )));
        }
        Ok(())
    }
}
