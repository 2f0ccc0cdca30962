//! CreateChannel, DescribeChannel, UpdateChannel, DeleteChannel, ListChannels: the whole life of a
//! channel, which delivers nothing.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateChannel.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeChannel.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateChannel.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DeleteChannel.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListChannels.html>

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::MutexGuard;

use serde::Serialize;
use shardwise_env::lock;

use super::attached::Attached;
use super::channel::{Channel, Life, Source};
use super::channel_configuration::{
    Destination, Encryption, Logging, RecordConfiguration, freshness,
};
use super::failure::Failure;
use super::input::Input;
use super::output::Timestamp;
use super::reshard::refuse_provisioned;
use super::status::Status;
use super::stream::Stream;
use super::stream_ref::StreamRef;
use super::tags::initial_tags;
use super::token::Kind;
use super::{Kinesis, channel_rules, rules};
use crate::clock::Now;
use crate::ids::alphanumeric;

/// Channels of one answer, at most and by default.
const MAX_RESULTS: usize = 100;

/// What the service shows for each structure of a list that is too short or too long.
const SHOWN_STREAM: &str = "com.amazonaws.kinesis.v20131202.ChannelStreamConfiguration@1";
const SHOWN_FILTER: &str = "com.amazonaws.kinesis.v20131202.StreamFilter@1";

/// The answer of all operations that tell one channel.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ChannelOutput {
    channel_description: ChannelDescription,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChannelDescription {
    #[serde(flatten)]
    common: Common,
    #[serde(rename = "ServiceExecutionRoleARN")]
    service_execution_role_arn: String,
    stream_configuration_list: [StreamDescription; 1],
    #[serde(flatten)]
    destination: Destination,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_configuration: Option<Encryption>,
    logging_configuration: Logging,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDescription {
    #[serde(flatten)]
    stream: StreamIdentifier,
    record_configuration: RecordConfiguration,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListChannelsOutput {
    channel_summaries: Vec<ChannelSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChannelSummary {
    #[serde(flatten)]
    common: Common,
    channel_destination_type: &'static str,
    streams: [StreamIdentifier; 1],
}

/// What descriptions and summaries tell.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Common {
    channel_name: String,
    #[serde(rename = "ChannelARN")]
    channel_arn: String,
    channel_id: String,
    channel_status: &'static str,
    channel_creation_timestamp: Timestamp,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamIdentifier {
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_creation_timestamp: Timestamp,
}

impl Common {
    fn new(channel: &Channel, now: Now) -> Self {
        Self {
            channel_name: channel.name.clone(),
            channel_arn: channel.arn.clone(),
            channel_id: channel.id.clone(),
            channel_status: channel.status(now).as_str(),
            channel_creation_timestamp: Timestamp(channel.created_ms / 1000 * 1000),
        }
    }
}

impl StreamIdentifier {
    fn new(source: &Source) -> Self {
        Self {
            stream_arn: source.stream_arn.clone(),
            stream_creation_timestamp: Timestamp(source.stream_created_ms / 1000 * 1000),
        }
    }
}

impl ChannelOutput {
    fn new(channel: &Channel, now: Now) -> Self {
        Self {
            channel_description: ChannelDescription {
                common: Common::new(channel, now),
                service_execution_role_arn: channel.role_arn.clone(),
                stream_configuration_list: [StreamDescription {
                    stream: StreamIdentifier::new(&channel.source),
                    record_configuration: channel.source.records.clone(),
                }],
                destination: channel.destination.clone(),
                encryption_configuration: channel.encryption.clone(),
                logging_configuration: channel.logging.clone(),
            },
        }
    }

    /// The answer to a change, whatever the delay.
    fn with_status(mut self, status: Status) -> Self {
        self.channel_description.common.channel_status = status.as_str();
        self
    }
}

impl Kinesis {
    pub(super) fn create_channel(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<ChannelOutput, Failure> {
        let name = input.required_text("ChannelName", &channel_rules::CHANNEL_NAME)?;
        let role_arn = input.required_text("ServiceExecutionRoleARN", &channel_rules::ROLE_ARN)?;
        let mut streams = Vec::new();
        for stream in input.required_structures(
            "StreamConfigurationList",
            channel_rules::LIST,
            SHOWN_STREAM,
        )? {
            let stream = stream?;
            let arn = stream.required_text("StreamARN", &rules::STREAM_ARN)?;
            let records = stream.structure("RecordConfiguration")?;
            let records = records
                .as_ref()
                .map(RecordConfiguration::read)
                .transpose()?;
            streams.push((arn, stream.required("RecordConfiguration", records)));
        }
        let destination = Destination::read(&input)?;
        let encryption = Encryption::read(&input)?;
        let tags = input.texts("Tags", rules::TAGS, rules::TAG_KEY, rules::TAG_VALUE)?;
        let logging = Logging::read(&input)?;
        input.finish()?;

        let [(stream_arn, records)] = &streams[..] else {
            return Err(Failure::invalid_argument(
                "StreamConfigurationList cannot have more than 1 element.",
            ));
        };
        let destination = Destination::one_of(destination, records)?;
        encryption.as_ref().map_or(Ok(()), Encryption::check)?;
        let tags = initial_tags(tags, "channel")?;
        let stream = self.stream(&StreamRef::of_arn(stream_arn, None), now)?;
        {
            let state = stream.lock(now);
            if !state.is_writable() {
                return Err(stream.not_active(state.status));
            }
            refuse_provisioned(&state)?;
        }
        let mut channels = self.channels(now);
        if channels.contains_key(name) {
            return Err(Failure::in_use(format!(
                "Channel {name} under account {} already exists.",
                self.config.account
            )));
        }
        let id = alphanumeric(&self.random, 20);
        let channel = Channel {
            name: name.to_owned(),
            arn: self.arn(&format!("channel/{name}")),
            created_ms: now.wall_ms,
            role_arn: role_arn.to_owned(),
            source: Source {
                stream_arn: stream.arn.clone(),
                stream_created_ms: stream.created_ms,
                records: records.clone(),
            },
            destination,
            encryption,
            logging: logging.unwrap_or_default().complete(name, &id),
            attached: Attached { tags, policy: None },
            life: Life::new(now, self.config.state_delay),
            id,
        };
        let output = ChannelOutput::new(&channel, now).with_status(Status::Creating);
        channels.insert(name.to_owned(), channel);
        Ok(output)
    }

    pub(super) fn describe_channel(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<ChannelOutput, Failure> {
        let arn = input.required_text("ChannelARN", &channel_rules::CHANNEL_ARN)?;
        input.finish()?;

        self.with_channel(arn, now, |channel| Ok(ChannelOutput::new(channel, now)))
    }

    pub(super) fn update_channel(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<ChannelOutput, Failure> {
        let arn = input.required_text("ChannelARN", &channel_rules::CHANNEL_ARN)?;
        let mut updates = Vec::new();
        for (member, kind) in [
            ("S3DestinationConfiguration", "S3"),
            ("S3TablesDestinationConfiguration", "S3_TABLES"),
        ] {
            if let Some(destination) = input.structure(member)? {
                let seconds = freshness(&destination)?;
                let seconds = destination.required("DataFreshnessInSeconds", seconds);
                updates.push((kind, seconds));
            }
        }
        let logging = Logging::read(&input)?;
        input.finish()?;

        self.with_channel(arn, now, |channel| {
            let status = channel.status(now);
            if status != Status::Active {
                return Err(Failure::in_use(format!(
                    "Channel {} under account {} not ACTIVE, instead in state {}",
                    channel.name,
                    self.config.account,
                    status.as_str()
                )));
            }
            if let Some((other, _)) = updates
                .iter()
                .find(|(kind, _)| *kind != channel.destination.kind())
            {
                return Err(Failure::invalid_argument(format!(
                    "Channel {} under account {} has no destination of type {other}.",
                    channel.name, self.config.account
                )));
            }
            for (_, seconds) in &updates {
                channel.destination.set_freshness(*seconds);
            }
            if let Some(logging) = logging {
                channel.logging = logging.complete(&channel.name, &channel.id);
            }
            let delay = self.config.state_delay;
            channel.life.begin(Status::Updating, now, delay);
            Ok(ChannelOutput::new(channel, now).with_status(Status::Updating))
        })
    }

    pub(super) fn delete_channel(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        let arn = input.required_text("ChannelARN", &channel_rules::CHANNEL_ARN)?;
        input.finish()?;

        self.with_channel(arn, now, |channel| {
            let delay = self.config.state_delay;
            channel.life.begin(Status::Deleting, now, delay);
            Ok(())
        })
    }

    pub(super) fn list_channels(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<ListChannelsOutput, Failure> {
        let mut wanted = Vec::new();
        for filter in input.structures("StreamFilter", channel_rules::LIST, SHOWN_FILTER)? {
            let filter = filter?;
            let arn = filter.required_text("StreamARN", &rules::STREAM_ARN)?;
            wanted.push((arn, filter.timestamp_ms("StreamCreationTimestamp")?));
        }
        let max_results = input.integer("MaxResults", 1, 10_000)?;
        let token = input.text("NextToken", &rules::NEXT_TOKEN)?;
        input.finish()?;

        let limit = max_results.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(MAX_RESULTS).min(MAX_RESULTS);
        let after = match token {
            Some(token) => Some(self.open_page_token(Kind::ListChannels, token, now)?),
            None => None,
        };
        let is_wanted = |source: &Source| {
            wanted.is_empty()
                || wanted.iter().any(|(arn, created_ms)| {
                    *arn == source.stream_arn
                        && created_ms.is_none_or(|ms| ms / 1000 == source.stream_created_ms / 1000)
                })
        };
        let channels = self.channels(now);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = channels
            .range((from, Bound::Unbounded))
            .map(|(_, channel)| channel)
            .filter(|channel| is_wanted(&channel.source));
        let channel_summaries: Vec<_> = rest
            .by_ref()
            .take(limit)
            .map(|channel| ChannelSummary {
                common: Common::new(channel, now),
                channel_destination_type: channel.destination.kind(),
                streams: [StreamIdentifier::new(&channel.source)],
            })
            .collect();
        let last = channel_summaries.last().filter(|_| rest.next().is_some());
        let next_token = last.map(|last| {
            let name = &last.common.channel_name;
            self.seal_page_token(Kind::ListChannels, name, now)
        });
        Ok(ListChannelsOutput {
            channel_summaries,
            next_token,
        })
    }

    /// The channel of that ARN, for `act` to read or change.
    pub(super) fn with_channel<T>(
        &self,
        arn: &str,
        now: Now,
        act: impl FnOnce(&mut Channel) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (_, name) = arn.split_once(":channel/").unwrap_or_default();
        let mut channels = self.channels(now);
        match channels.get_mut(name).filter(|channel| channel.arn == arn) {
            Some(channel) => act(channel),
            None => Err(Failure::not_found(format!(
                "Channel {name} under account {} not found.",
                self.config.account
            ))),
        }
    }

    /// How many channels read the stream.
    pub(super) fn channel_count(&self, stream: &Stream, now: Now) -> usize {
        self.channels(now)
            .values()
            .filter(|channel| {
                channel.source.stream_arn == stream.arn
                    && channel.source.stream_created_ms == stream.created_ms
            })
            .count()
    }

    /// All channels by name, without those that are gone.
    pub(super) fn channels(&self, now: Now) -> MutexGuard<'_, BTreeMap<String, Channel>> {
        let mut channels = lock(&self.channels);
        channels.retain(|_, channel| !channel.life.is_gone(now));
        channels
    }
}
