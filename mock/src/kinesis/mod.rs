//! The Kinesis engine: requests in, answers out, no I/O and nothing to await, but for the
//! subscriptions of [`subscribe_to_shard`], which wait for records and for time to pass.
//!
//! One file for each operation or small group, each headed by what it does. Around them:
//! [`encoding`], [`value`] and [`input`] read requests and refuse bad ones, [`stream`] and [`shard`] hold the
//! state, [`sequence`] and [`token`] are the service's number and token formats.
//!
//! Locks: the map of streams, then one stream, then the account's shard count; the channels with
//! none of these; never two streams at once, and none while a request is parsed or an answer is
//! written.

mod account;
mod attached;
mod call_rates;
mod capacity;
mod cbor;
mod channel;
mod channel_configuration;
mod channel_rules;
mod channels;
mod commitment;
mod consumer;
mod control_plane;
mod create_stream;
mod delete_stream;
mod describe_stream;
mod encoding;
mod encryption;
mod event_stream;
mod failure;
mod get_records;
mod get_shard_iterator;
mod growth;
mod input;
mod iterator;
mod list_shards;
mod list_streams;
mod max_record_size;
mod monitoring;
mod on_demand;
mod output;
mod put_record;
mod put_records;
mod record_distribution;
mod reshard;
mod resource_policy;
mod resource_ref;
mod retention;
mod rules;
mod sequence;
mod shard;
mod shard_limits;
mod status;
mod stream;
mod stream_consumers;
mod stream_ref;
mod stream_settings;
mod subject;
mod subscribe_to_shard;
mod tag_resource;
mod tags;
mod throttle;
mod token;
mod update_shard_count;
mod value;
mod wrong_type;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use shardwise_env::{Env, lock};

use self::call_rates::Calls;
use self::channel::Channel;
use self::commitment::Commitment;
pub(crate) use self::encoding::Encoding;
pub(crate) use self::failure::Failure;
use self::input::{Broken, Input};
pub(crate) use self::shard::{shard_id, shard_number};
use self::stream::{Change, Stream};
use self::token::Sealer;
pub(crate) use self::value::Value;
use crate::arn::arn;
use crate::clock::Now;
use crate::fault::EntryFaults;
use crate::operation::Operation;
use crate::settings::LimitsMode;

/// One account's streams in one region.
#[derive(Debug)]
pub(crate) struct Kinesis {
    config: Config,
    streams: RwLock<BTreeMap<String, Arc<Stream>>>,
    /// By name.
    channels: Mutex<BTreeMap<String, Channel>>,
    /// Open shards of the account, those that a change under way will open included.
    shard_count: Mutex<u32>,
    commitment: Mutex<Option<Commitment>>,
    calls: Mutex<Calls>,
    sealer: Sealer,
    /// What ids of streams and channels are drawn from.
    random: Env,
}

/// The settings of the engine.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) shard_limit: u32,
    pub(crate) limits: LimitsMode,
    pub(crate) control_plane_limits: bool,
    pub(crate) scale_every: Duration,
    pub(crate) state_delay: Duration,
    /// What ids and the secret of tokens are drawn from.
    pub(crate) random: Env,
}

impl Kinesis {
    pub(crate) fn new(config: Config) -> Self {
        let random = config.random.clone();
        Self {
            sealer: Sealer::new(random.random_u128()),
            random,
            config,
            streams: RwLock::default(),
            channels: Mutex::default(),
            shard_count: Mutex::default(),
            commitment: Mutex::default(),
            calls: Mutex::default(),
        }
    }

    /// Whether there are no streams, no channels, and no settings of the account.
    pub(crate) fn is_empty(&self, now: Now) -> bool {
        if self.commitment().is_some() || !self.channels(now).is_empty() {
            return false;
        }
        self.forget_gone(now);
        self.streams().is_empty()
    }

    /// Deletes every stream at once.
    pub(crate) fn delete_all(&self, now: Now) {
        for stream in self.streams().values() {
            let mut state = stream.lock(now);
            state.begin(Change::Delete, now, Duration::ZERO);
        }
    }

    fn streams(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Stream>>> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Arc<Stream>>> {
        self.streams.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        lock(&self.calls)
    }

    /// Answers one request: the body of a 200, empty for operations without output.
    pub(crate) fn call(
        &self,
        operation: Operation,
        request: &Value<'_>,
        encoding: Encoding,
        entry_faults: Option<&EntryFaults>,
        now: Now,
    ) -> Result<Vec<u8>, Failure> {
        if !self.config.control_plane_limits {
            return self.perform(operation, request, encoding, entry_faults, now);
        }
        self.check_control_plane(operation, request, now)?;
        let answer = self.perform(operation, request, encoding, entry_faults, now)?;
        self.note_done(operation, request, now);
        Ok(answer)
    }

    fn perform(
        &self,
        operation: Operation,
        request: &Value<'_>,
        encoding: Encoding,
        entry_faults: Option<&EntryFaults>,
        now: Now,
    ) -> Result<Vec<u8>, Failure> {
        let broken = Broken::default();
        let input = Input::new(request, encoding, &broken)?;
        match operation {
            Operation::AddTagsToStream => nothing(self.add_tags_to_stream(input, now)),
            Operation::CreateChannel => encoding.write(&self.create_channel(input, now)?),
            Operation::CreateStream => nothing(self.create_stream(input, now)),
            Operation::DecreaseStreamRetentionPeriod => {
                nothing(self.decrease_stream_retention_period(input, now))
            }
            Operation::DeleteChannel => nothing(self.delete_channel(input, now)),
            Operation::DeleteResourcePolicy => nothing(self.delete_resource_policy(input, now)),
            Operation::DeleteStream => nothing(self.delete_stream(input, now)),
            Operation::DeregisterStreamConsumer => {
                nothing(self.deregister_stream_consumer(input, now))
            }
            Operation::DescribeAccountSettings => {
                encoding.write(&self.describe_account_settings(now))
            }
            Operation::DescribeLimits => encoding.write(&self.describe_limits(now)),
            Operation::DescribeStreamConsumer => {
                encoding.write(&self.describe_stream_consumer(input, now)?)
            }
            Operation::DescribeChannel => encoding.write(&self.describe_channel(input, now)?),
            Operation::DescribeStream => encoding.write(&self.describe_stream(input, now)?),
            Operation::DescribeStreamSummary => {
                encoding.write(&self.describe_stream_summary(input, now)?)
            }
            Operation::DisableEnhancedMonitoring => {
                encoding.write(&self.disable_enhanced_monitoring(input, now)?)
            }
            Operation::EnableEnhancedMonitoring => {
                encoding.write(&self.enable_enhanced_monitoring(input, now)?)
            }
            Operation::GetRecords => encoding.write(&self.get_records(input, now)?),
            Operation::GetResourcePolicy => encoding.write(&self.get_resource_policy(input, now)?),
            Operation::GetShardIterator => encoding.write(&self.get_shard_iterator(input, now)?),
            Operation::IncreaseStreamRetentionPeriod => {
                nothing(self.increase_stream_retention_period(input, now))
            }
            Operation::ListChannels => encoding.write(&self.list_channels(input, now)?),
            Operation::ListShards => encoding.write(&self.list_shards(input, now)?),
            Operation::ListStreamConsumers => {
                encoding.write(&self.list_stream_consumers(input, now)?)
            }
            Operation::ListStreams => encoding.write(&self.list_streams(input, now)?),
            Operation::ListTagsForResource => {
                encoding.write(&self.list_tags_for_resource(input, now)?)
            }
            Operation::ListTagsForStream => encoding.write(&self.list_tags_for_stream(input, now)?),
            Operation::MergeShards => nothing(self.merge_shards(input, now)),
            Operation::PutRecord => encoding.write(&self.put_record(input, now)?),
            Operation::PutRecords => encoding.write(&self.put_records(input, entry_faults, now)?),
            Operation::PutResourcePolicy => nothing(self.put_resource_policy(input, now)),
            Operation::RegisterStreamConsumer => {
                encoding.write(&self.register_stream_consumer(input, now)?)
            }
            Operation::RemoveTagsFromStream => nothing(self.remove_tags_from_stream(input, now)),
            Operation::SplitShard => nothing(self.split_shard(input, now)),
            Operation::StartStreamEncryption => nothing(self.start_stream_encryption(input, now)),
            Operation::StopStreamEncryption => nothing(self.stop_stream_encryption(input, now)),
            Operation::TagResource => nothing(self.tag_resource(input, now)),
            Operation::UntagResource => nothing(self.untag_resource(input, now)),
            Operation::UpdateAccountSettings => {
                encoding.write(&self.update_account_settings(input, now)?)
            }
            Operation::UpdateChannel => encoding.write(&self.update_channel(input, now)?),
            Operation::UpdateMaxRecordSize => nothing(self.update_max_record_size(input, now)),
            Operation::UpdateShardCount => encoding.write(&self.update_shard_count(input, now)?),
            Operation::UpdateStreamMode => nothing(self.update_stream_mode(input, now)),
            Operation::UpdateStreamRecordDistributionStrategy => {
                nothing(self.update_stream_record_distribution_strategy(input, now))
            }
            Operation::UpdateStreamWarmThroughput => {
                encoding.write(&self.update_stream_warm_throughput(input, now)?)
            }
            _ => Err(Failure::unknown_operation()),
        }
    }

    /// The error of a request that is throttled as a whole.
    pub(crate) fn throttled(&self, operation: Operation, request: &Value<'_>) -> Failure {
        match operation {
            Operation::PutRecord
            | Operation::PutRecords
            | Operation::GetRecords
            | Operation::GetShardIterator => {
                let stream = match request.member("StreamName") {
                    Some(Value::Text(name)) => name,
                    _ => "",
                };
                Failure::throughput_exceeded(self.rate_exceeded(0, stream))
            }
            _ => Failure::limit_exceeded(match self.stream_name(request) {
                Some(stream) => self.stream_rate_exceeded(&stream),
                None => format!("Rate exceeded for account {}.", self.config.account),
            }),
        }
    }

    /// The ARN of a resource of this account.
    fn arn(&self, resource: &str) -> String {
        arn(
            "kinesis",
            &self.config.region,
            &self.config.account,
            resource,
        )
    }

    fn stream_rate_exceeded(&self, stream: &str) -> String {
        let account = &self.config.account;
        format!("Rate exceeded for stream {stream} under account {account}.")
    }

    fn rate_exceeded(&self, shard: u32, stream: &str) -> String {
        format!(
            "Rate exceeded for shard {} in stream {stream} under account {}.",
            shard_id(shard),
            self.config.account
        )
    }

    /// The stream of that name, unless it is gone.
    fn find(&self, name: &str, now: Now) -> Option<Arc<Stream>> {
        let stream = self.streams().get(name)?.clone();
        if stream.lock(now).is_gone() {
            self.forget_gone(now);
            return None;
        }
        Some(stream)
    }

    /// Drops deleted streams, so that their memory comes back.
    fn forget_gone(&self, now: Now) {
        let mut streams = self.streams_mut();
        streams.retain(|_, stream| !stream.lock(now).is_gone());
    }

    fn shard_count(&self) -> MutexGuard<'_, u32> {
        lock(&self.shard_count)
    }

    fn commitment(&self) -> MutexGuard<'_, Option<Commitment>> {
        lock(&self.commitment)
    }

    /// Counts `additional` shards in, or refuses them.
    fn reserve_shards(&self, additional: u32) -> Result<(), Failure> {
        let mut count = self.shard_count();
        let limit = self.config.shard_limit;
        match count.checked_add(additional) {
            Some(sum) if sum <= limit => {
                *count = sum;
                Ok(())
            }
            _ => Err(Failure::limit_exceeded(format!(
                "This request would exceed the shard limit for the account {} in {}. Current shard \
                 count for the account: {count}. Limit: {limit}. Number of additional shards that \
                 would have resulted from this request: {additional}. Refer to the AWS Service \
                 Limits page (http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) \
                 for current limits and how to request higher limits.",
                self.config.account, self.config.region
            ))),
        }
    }

    /// Counts in as many of `additional` shards as there is room for, and tells how many.
    fn reserve_at_most(&self, additional: u32) -> u32 {
        let mut count = self.shard_count();
        let room = self.config.shard_limit.saturating_sub(*count);
        let granted = additional.min(room);
        *count += granted;
        granted
    }

    fn release_shards(&self, count: u32) {
        let mut held = self.shard_count();
        *held = held.saturating_sub(count);
    }
}

/// The empty body of an operation without output.
fn nothing(done: Result<(), Failure>) -> Result<Vec<u8>, Failure> {
    done.map(|()| Vec::new())
}
