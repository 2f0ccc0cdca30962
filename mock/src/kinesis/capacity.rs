//! UpdateStreamMode and UpdateStreamWarmThroughput: how much a stream takes, and who sees to it.
//!
//! A stream keeps its shards when its mode changes. Warm throughput adds shards, one for each MiB
//! per second, and takes none away.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateStreamMode.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateStreamWarmThroughput.html>

use serde::Serialize;

use super::failure::Failure;
use super::input::Input;
use super::reshard::{check_active, refuse_provisioned};
use super::stream::{Change, State};
use super::stream_ref::StreamRef;
use super::stream_settings::{Mode, RecordDistributionStrategy};
use super::{Kinesis, rules};
use crate::clock::Now;

/// Warm throughput of one stream: 10 GiB per second.
const MAX_WARM_MIBPS: i64 = 10 * 1024;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateStreamWarmThroughputOutput {
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_name: String,
    warm_throughput: WarmThroughput,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WarmThroughput {
    #[serde(rename = "TargetMiBps")]
    target_mibps: u32,
    #[serde(rename = "CurrentMiBps")]
    current_mibps: u32,
}

impl WarmThroughput {
    /// That of an on-demand stream which was given one.
    pub(super) fn of(state: &State) -> Option<Self> {
        let Mode::OnDemand {
            warm_mibps: Some(target_mibps),
        } = state.settings.mode
        else {
            return None;
        };
        // A shard takes a MiB per second.
        let open = u32::try_from(state.open_shard_count()).unwrap_or(u32::MAX);
        Some(Self {
            target_mibps,
            current_mibps: target_mibps.min(open),
        })
    }
}

impl Kinesis {
    pub(super) fn update_stream_mode(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        let stream = StreamRef::read_arn(&input)?;
        let mode = read_mode(&input)?;
        let mode = input.required("StreamModeDetails", mode);
        let warm_mibps = input.integer("WarmThroughputMiBps", 0, i64::MAX)?;
        input.finish()?;

        let stream = self.stream(&stream, now)?;
        let mut state = stream.lock(now);
        check_active(&state, &stream)?;
        let mode = Mode::new(mode, warm_mibps)?;
        let mut settings = state.settings.clone();
        settings.mode = mode;
        if mode == Mode::Provisioned {
            settings.distribution = RecordDistributionStrategy::UserPartitionKey;
            self.cancel_growth(&mut state);
        }
        let shard_count = self.reserve_warm_shards(&state, mode)?;
        let change = Change::Update {
            settings: Box::new(settings),
            shard_count,
        };
        state.begin(change, now, self.config.state_delay);
        Ok(())
    }

    pub(super) fn update_stream_warm_throughput(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<UpdateStreamWarmThroughputOutput, Failure> {
        let arn = input.text("StreamARN", &rules::STREAM_ARN)?;
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let id = input.text("StreamId", &rules::STREAM_ID)?;
        let warm_mibps = input.integer("WarmThroughputMiBps", 0, i64::MAX)?;
        let warm_mibps = input.required("WarmThroughputMiBps", warm_mibps);
        input.finish()?;

        let stream = self.stream(&StreamRef { name, arn, id }, now)?;
        let mut state = stream.lock(now);
        refuse_provisioned(&state)?;
        check_active(&state, &stream)?;
        let mode = Mode::new(Mode::ON_DEMAND, Some(warm_mibps))?;
        let shard_count = self.reserve_warm_shards(&state, mode)?;
        state.settings.mode = mode;
        let answer = WarmThroughput::of(&state).ok_or_else(Failure::internal)?;
        let change = Change::Update {
            settings: Box::new(state.settings.clone()),
            shard_count,
        };
        state.begin(change, now, self.config.state_delay);
        Ok(UpdateStreamWarmThroughputOutput {
            stream_arn: stream.arn.clone(),
            stream_name: stream.name.clone(),
            warm_throughput: answer,
        })
    }

    /// How many shards the stream needs for its warm throughput, if more than it has.
    fn reserve_warm_shards(&self, state: &State, mode: Mode) -> Result<Option<u32>, Failure> {
        let current = state.reserved_shards();
        let Some(more) = mode.warm_shards().checked_sub(current).filter(|&n| n > 0) else {
            return Ok(None);
        };
        self.reserve_shards(more)?;
        Ok(Some(current + more))
    }
}

/// The mode in a request, by name.
pub(super) fn read_mode<'r>(input: &Input<'r>) -> Result<Option<&'r str>, Failure> {
    match input.structure("StreamModeDetails")? {
        Some(details) => details
            .required_text("StreamMode", &rules::STREAM_MODE)
            .map(Some),
        None => Ok(None),
    }
}

impl Mode {
    /// The mode of that name, with the warm throughput that only on-demand streams may have.
    pub(super) fn new(name: &str, warm_mibps: Option<i64>) -> Result<Self, Failure> {
        match (name, warm_mibps) {
            (Self::ON_DEMAND, Some(mibps)) if mibps > MAX_WARM_MIBPS => {
                Err(Failure::limit_exceeded(format!(
                    "WarmThroughputMiBps cannot be greater than {MAX_WARM_MIBPS}. Requested: \
                     {mibps}."
                )))
            }
            (Self::ON_DEMAND, warm_mibps) => Ok(Self::OnDemand {
                warm_mibps: warm_mibps.and_then(|mibps| u32::try_from(mibps).ok()),
            }),
            (_, Some(_)) => Err(Failure::invalid_argument(
                "WarmThroughputMiBps is only for streams in ON_DEMAND mode.",
            )),
            (_, None) => Ok(Self::Provisioned),
        }
    }

    /// The shards that warm throughput needs: one takes a MiB per second.
    pub(super) fn warm_shards(self) -> u32 {
        match self {
            Self::OnDemand { warm_mibps } => warm_mibps.unwrap_or_default(),
            Self::Provisioned => 0,
        }
    }
}
