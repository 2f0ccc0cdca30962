//! CreateStream: provisioned and on-demand streams, tags, warm throughput, the record size.
//!
//! Not implemented: the limit of five streams in CREATING at once.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html>

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::failure::Failure;
use super::input::Input;
use super::stream::{Change, Mode, Settings, Stream};
use super::tags::initial_tags;
use super::{Kinesis, rules};
use crate::clock::Now;
use crate::ids::Ids;

/// Shards of a new on-demand stream.
const ON_DEMAND_SHARDS: u32 = 4;

/// Retention of a new stream.
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// The record limit of a stream that names none, in KiB.
const DEFAULT_RECORD_KIB: u32 = 1024;

impl Kinesis {
    pub(super) fn create_stream(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        let shard_count = input.integer("ShardCount", 1, i64::MAX)?;
        let name = input.required_text("StreamName", &rules::STREAM_NAME)?;
        let mode = match input.structure("StreamModeDetails")? {
            Some(details) => Some(details.required_text("StreamMode", &rules::STREAM_MODE)?),
            None => None,
        };
        let tags = input.texts("Tags", rules::TAGS, rules::TAG_KEY, rules::TAG_VALUE)?;
        let warm_mibps = input.integer("WarmThroughputMiBps", 0, i64::MAX)?;
        let record_kib = input.integer("MaxRecordSizeInKiB", 1024, 10240)?;
        input.finish()?;

        let count = |number: Option<i64>| number.and_then(|n| u32::try_from(n).ok());
        let (mode, shard_count) = match (mode, count(shard_count)) {
            (Some("ON_DEMAND"), None) => {
                let warm_mibps = count(warm_mibps);
                let shards = warm_mibps.unwrap_or_default().max(ON_DEMAND_SHARDS);
                (Mode::OnDemand { warm_mibps }, shards)
            }
            (Some("ON_DEMAND"), Some(_)) => {
                return Err(Failure::invalid_argument(
                    "ShardCount must not be provided for a stream in ON_DEMAND mode.",
                ));
            }
            _ if warm_mibps.is_some() => {
                return Err(Failure::invalid_argument(
                    "WarmThroughputMiBps is only for streams in ON_DEMAND mode.",
                ));
            }
            (_, Some(shards)) => (Mode::Provisioned, shards),
            (_, None) => {
                return Err(Failure::invalid_argument(
                    "ShardCount must be provided for a stream in PROVISIONED mode.",
                ));
            }
        };
        let settings = Settings {
            mode,
            shard_count,
            retention: RETENTION,
            max_record_kib: count(record_kib).unwrap_or(DEFAULT_RECORD_KIB),
        };
        let tags = initial_tags(tags, "stream")?;
        self.add_stream(name, settings, tags, self.config.state_delay, now)
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
        let settings = Settings {
            mode: Mode::Provisioned,
            shard_count,
            retention: RETENTION,
            max_record_kib: DEFAULT_RECORD_KIB,
        };
        self.add_stream(name, settings, BTreeMap::new(), Duration::ZERO, now)
    }

    fn add_stream(
        &self,
        name: &str,
        settings: Settings,
        tags: BTreeMap<String, String>,
        delay: Duration,
        now: Now,
    ) -> Result<(), Failure> {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|_, stream| !stream.lock(now).is_gone());
        let entry = match streams.entry(name.to_owned()) {
            Entry::Vacant(entry) => entry,
            Entry::Occupied(entry) => {
                let subject = entry.get().subject();
                return Err(Failure::in_use(format!("{subject} already exists.")));
            }
        };
        self.reserve_shards(settings.shard_count)?;
        let arn = format!(
            "arn:aws:kinesis:{}:{}:stream/{name}",
            self.config.region, self.config.account
        );
        // With the time, lest an account that was forgotten and comes again repeats an id.
        let ids = Ids::new(self.stream_ids.draw() ^ now.uptime_ms());
        let id = format!("{}-{}", ids.alphanumeric(20), ids.alphanumeric(3));
        let stream = Stream::new(name, arn, id, &self.config.account, settings, now);
        {
            let mut state = stream.lock(now);
            state.attached.tags = tags;
            state.begin(Change::Activate, now, delay);
        }
        entry.insert(Arc::new(stream));
        Ok(())
    }
}
