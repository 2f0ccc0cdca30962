//! UpdateStreamRecordDistributionStrategy: on AUTO the service chooses the shard of each record.
//!
//! The change is immediate, and what is stored stays where it is.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateStreamRecordDistributionStrategy.html>

use super::failure::Failure;
use super::input::Input;
use super::reshard::check_active;
use super::stream_ref::StreamRef;
use super::stream_settings::{Mode, RecordDistributionStrategy};
use super::{Kinesis, rules};
use crate::clock::Now;

impl Kinesis {
    pub(super) fn update_stream_record_distribution_strategy(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<(), Failure> {
        let stream = StreamRef::read_arn(&input)?;
        let strategy = input.required_text(
            "RecordDistributionStrategy",
            &rules::RECORD_DISTRIBUTION_STRATEGY,
        )?;
        input.finish()?;

        let stream = self.stream(&stream, now)?;
        let mut state = stream.lock(now);
        let strategy = RecordDistributionStrategy::new(Some(strategy), state.settings.mode)?;
        check_active(&state, &stream)?;
        state.settings.distribution = strategy;
        Ok(())
    }

    /// Whether the request names a stream on AUTO, whose records need no partition key.
    pub(super) fn needs_no_key(&self, input: &Input<'_>, now: Now) -> bool {
        let in_arn = || Some(input.unchecked_text("StreamARN")?.split_once(":stream/")?.1);
        let name = input.unchecked_text("StreamName").or_else(in_arn);
        name.and_then(|name| self.find(name, now))
            .is_some_and(|stream| stream.lock(now).distributes_itself())
    }
}

impl RecordDistributionStrategy {
    /// The strategy of that name, or the default one, for a stream in that mode.
    pub(super) fn new(name: Option<&str>, mode: Mode) -> Result<Self, Failure> {
        match (name, mode) {
            (Some("AUTO"), Mode::Provisioned) => Err(Failure::invalid_argument(
                "RecordDistributionStrategy AUTO is only supported for streams in ON_DEMAND mode.",
            )),
            (Some("AUTO"), Mode::OnDemand { .. }) => Ok(Self::Auto),
            _ => Ok(Self::UserPartitionKey),
        }
    }
}
