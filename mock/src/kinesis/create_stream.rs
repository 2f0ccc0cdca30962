//! CreateStream: provisioned and on-demand streams, with the tags and settings that a new one may
//! bring along.
//!
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html>

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use super::capacity::read_mode;
use super::failure::Failure;
use super::input::Input;
use super::max_record_size::read_record_bytes;
use super::stream::{Change, Stream};
use super::stream_settings::{Mode, RecordDistributionStrategy, StreamSettings};
use super::tags::initial_tags;
use super::{Kinesis, rules};
use crate::clock::Now;
use crate::ids::alphanumeric;

/// Shards of a new on-demand stream.
const ON_DEMAND_SHARDS: u32 = 4;

impl Kinesis {
    pub(super) fn create_stream(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        let name = input.required_text("StreamName", &rules::STREAM_NAME)?;
        let shard_count = input.integer("ShardCount", 1, i64::MAX)?;
        let mode = read_mode(&input)?;
        let tags = input.texts("Tags", rules::TAGS, rules::TAG_KEY, rules::TAG_VALUE)?;
        let warm_mibps = input.integer("WarmThroughputMiBps", 0, i64::MAX)?;
        let record_bytes = read_record_bytes(&input)?;
        let distribution = input.text(
            "RecordDistributionStrategy",
            &rules::RECORD_DISTRIBUTION_STRATEGY,
        )?;
        input.finish()?;

        // Without either, as the AWS CLI's tutorial begins, the stream is on demand.
        let default = match shard_count {
            Some(_) => Mode::PROVISIONED,
            None => Mode::ON_DEMAND,
        };
        let mode = Mode::new(mode.unwrap_or(default), warm_mibps)?;
        let shard_count = shard_count.and_then(|count| u32::try_from(count).ok());
        let shard_count = match (mode, shard_count) {
            (Mode::Provisioned, Some(count)) => count,
            (Mode::Provisioned, None) => {
                return Err(Failure::invalid_argument(
                    "ShardCount must be provided for a stream in PROVISIONED mode.",
                ));
            }
            (Mode::OnDemand { .. }, None) => mode.warm_shards().max(ON_DEMAND_SHARDS),
            (Mode::OnDemand { .. }, Some(_)) => {
                return Err(Failure::invalid_argument(
                    "ShardCount must not be provided for a stream in ON_DEMAND mode.",
                ));
            }
        };
        let mut settings = StreamSettings::new(mode);
        settings.distribution = RecordDistributionStrategy::new(distribution, mode)?;
        if let Some(record_bytes) = record_bytes {
            settings.max_record_bytes = record_bytes;
        }
        let tags = initial_tags(tags, "stream")?;
        let delay = self.config.state_delay;
        self.add_stream(name, settings, shard_count, tags, delay, now)
    }

    /// A provisioned stream that is ACTIVE at once.
    pub(crate) fn create_active_stream(
        &self,
        name: &str,
        shard_count: u32,
        now: Now,
    ) -> Result<(), Failure> {
        if shard_count == 0 {
            return Err(Failure::invalid_argument("ShardCount must be at least 1."));
        }
        let settings = StreamSettings::new(Mode::Provisioned);
        let (tags, delay) = (BTreeMap::new(), Duration::ZERO);
        self.add_stream(name, settings, shard_count, tags, delay, now)
    }

    fn add_stream(
        &self,
        name: &str,
        settings: StreamSettings,
        shard_count: u32,
        tags: BTreeMap<String, String>,
        delay: Duration,
        now: Now,
    ) -> Result<(), Failure> {
        let mut streams = self.streams_mut();
        streams.retain(|_, stream| !stream.lock(now).is_gone());
        if self.config.control_plane_limits {
            self.check_new_stream(settings.mode, streams.values().map(|stream| &**stream), now)?;
        }
        let entry = match streams.entry(name.to_owned()) {
            Entry::Vacant(entry) => entry,
            Entry::Occupied(entry) => {
                let subject = entry.get().subject();
                return Err(Failure::in_use(format!("{subject} already exists.")));
            }
        };
        self.reserve_shards(shard_count)?;
        let arn = self.arn(&format!("stream/{name}"));
        // With the time, lest an account that was forgotten and comes again repeats an id.
        let random = self.random.random_u64() ^ now.uptime_ms();
        let random = self.random.with_seed(random);
        let id = format!("{}-{}", alphanumeric(&random, 20), alphanumeric(&random, 3));
        let stream = Stream::new(name, arn, id, &self.config.account, settings, now);
        {
            let mut state = stream.lock(now);
            state.attached.tags = tags;
            state.begin(Change::Activate { shard_count }, now, delay);
        }
        entry.insert(Arc::new(stream));
        Ok(())
    }
}
