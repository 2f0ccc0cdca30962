//! RegisterStreamConsumer, DeregisterStreamConsumer, DescribeStreamConsumer, ListStreamConsumers.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RegisterStreamConsumer.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DeregisterStreamConsumer.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamConsumer.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListStreamConsumers.html>

use std::ops::Bound;
use std::sync::Arc;

use serde::Serialize;

use super::attached::Attached;
use super::consumer::{Consumer, ConsumerId};
use super::failure::Failure;
use super::input::Input;
use super::list_shards::invalid_token;
use super::output::Timestamp;
use super::resource_ref::ConsumerArn;
use super::status::Status;
use super::stream::Stream;
use super::stream_ref::StreamRef;
use super::stream_settings::Mode;
use super::tags::initial_tags;
use super::token::Kind;
use super::{Kinesis, rules};
use crate::clock::Now;

/// Consumers of one stream, and of one that is of on-demand advantage.
const MAX_CONSUMERS: usize = 20;
const MAX_ADVANTAGE_CONSUMERS: usize = 50;

/// Consumers of one stream that are CREATING at the same time.
const MAX_CREATING: usize = 5;

/// Consumers of one answer when the caller names no number.
const DEFAULT_RESULTS: i64 = 100;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RegisterStreamConsumerOutput {
    consumer: Description,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeStreamConsumerOutput {
    consumer_description: Description,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListStreamConsumersOutput {
    consumers: Vec<Description>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    consumer_name: String,
    #[serde(rename = "ConsumerARN")]
    consumer_arn: String,
    consumer_status: &'static str,
    consumer_creation_timestamp: Timestamp,
    #[serde(rename = "StreamARN", skip_serializing_if = "Option::is_none")]
    stream_arn: Option<String>,
}

impl Description {
    fn new(consumer: &Consumer, stream: &Stream, now: Now) -> Self {
        Self {
            consumer_name: consumer.name.clone(),
            consumer_arn: consumer.arn(&stream.arn),
            consumer_status: consumer.status(now).as_str(),
            consumer_creation_timestamp: Timestamp(consumer.created_seconds() * 1000),
            stream_arn: None,
        }
    }
}

/// How a request names a consumer: ConsumerARN, or StreamARN and ConsumerName, or all three.
struct ConsumerRef<'r> {
    stream: StreamRef<'r>,
    name: Option<&'r str>,
    arn: Option<&'r str>,
}

impl<'r> ConsumerRef<'r> {
    fn read(input: &Input<'r>) -> Result<Self, Failure> {
        let arn = input.text("StreamARN", &rules::STREAM_ARN)?;
        let name = input.text("ConsumerName", &rules::CONSUMER_NAME)?;
        let consumer_arn = input.text("ConsumerARN", &rules::CONSUMER_ARN)?;
        let id = input.text("StreamId", &rules::STREAM_ID)?;
        let stream = StreamRef {
            name: None,
            arn,
            id,
        };
        Ok(Self {
            stream,
            name,
            arn: consumer_arn,
        })
    }
}

impl Kinesis {
    pub(super) fn register_stream_consumer(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<RegisterStreamConsumerOutput, Failure> {
        let arn = input.required_text("StreamARN", &rules::STREAM_ARN)?;
        let name = input.required_text("ConsumerName", &rules::CONSUMER_NAME)?;
        let id = input.text("StreamId", &rules::STREAM_ID)?;
        let tags = input.texts("Tags", rules::TAGS, rules::TAG_KEY, rules::TAG_VALUE)?;
        input.finish()?;

        let stream = self.stream(&StreamRef::of_arn(arn, id), now)?;
        let attached = Attached {
            tags: initial_tags(tags, "consumer")?,
            policy: None,
        };
        let has_commitment = self.has_commitment(now);
        let mut state = stream.lock(now);
        if !state.is_writable() {
            return Err(stream.not_active(state.status));
        }
        if state.consumers.contains_key(name) {
            return Err(Failure::in_use(format!(
                "Consumer {name} under stream {} already exists for account {}.",
                stream.name, stream.account
            )));
        }
        let full = |limit: usize, what: &str| {
            Failure::limit_exceeded(format!(
                "{} cannot have more than {limit} {what}.",
                stream.subject()
            ))
        };
        let limit = match state.settings.mode {
            Mode::OnDemand { .. } if has_commitment => MAX_ADVANTAGE_CONSUMERS,
            _ => MAX_CONSUMERS,
        };
        if state.consumers.len() >= limit {
            return Err(full(limit, "registered consumers"));
        }
        let statuses = state.consumers.values().map(|other| other.status(now));
        if statuses
            .filter(|status| *status == Status::Creating)
            .count()
            >= MAX_CREATING
        {
            return Err(full(MAX_CREATING, "consumers in CREATING status"));
        }
        let consumer = Consumer::new(name, attached, now, self.config.state_delay);
        // As the service answers, whatever the delay.
        let consumer_description = Description {
            consumer_status: Status::Creating.as_str(),
            ..Description::new(&consumer, &stream, now)
        };
        state.consumers.insert(name.to_owned(), consumer);
        Ok(RegisterStreamConsumerOutput {
            consumer: consumer_description,
        })
    }

    pub(super) fn deregister_stream_consumer(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<(), Failure> {
        let consumer = ConsumerRef::read(&input)?;
        input.finish()?;

        let (stream, id) = self.registered(&consumer, now)?;
        let mut state = stream.lock(now);
        if let Some(consumer) = state.consumer(&id) {
            consumer.deregister(now, self.config.state_delay);
        }
        state.wake_subscriptions();
        Ok(())
    }

    pub(super) fn describe_stream_consumer(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<DescribeStreamConsumerOutput, Failure> {
        let consumer = ConsumerRef::read(&input)?;
        input.finish()?;

        let (stream, id) = self.registered(&consumer, now)?;
        let mut state = stream.lock(now);
        let found = state
            .consumer(&id)
            .ok_or_else(|| self.consumer_not_found(&id.name))?;
        Ok(DescribeStreamConsumerOutput {
            consumer_description: Description {
                stream_arn: Some(stream.arn.clone()),
                ..Description::new(found, &stream, now)
            },
        })
    }

    pub(super) fn list_stream_consumers(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<ListStreamConsumersOutput, Failure> {
        let arn = input.required_text("StreamARN", &rules::STREAM_ARN)?;
        let token = input.text("NextToken", &rules::NEXT_TOKEN)?;
        let max_results = input.integer("MaxResults", 1, 10_000)?;
        let created = input.timestamp_ms("StreamCreationTimestamp")?;
        let id = input.text("StreamId", &rules::STREAM_ID)?;
        input.finish()?;

        let stream = self.stream(&StreamRef::of_arn(arn, id), now)?;
        if created.is_some() && token.is_some() {
            return Err(Failure::invalid_argument(
                "NextToken and StreamCreationTimestamp cannot be provided together.",
            ));
        }
        stream.check_created(created)?;
        let after = match token {
            Some(token) => Some(self.page_of_consumers(token, &stream, now)?),
            None => None,
        };
        let max_results =
            usize::try_from(max_results.unwrap_or(DEFAULT_RESULTS)).unwrap_or_default();
        let state = stream.lock(now);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = state.consumers.range((from, Bound::Unbounded));
        let consumers: Vec<_> = rest
            .by_ref()
            .take(max_results)
            .map(|(_, consumer)| Description::new(consumer, &stream, now))
            .collect();
        let last = consumers.last().filter(|_| rest.next().is_some());
        let next_token = last.map(|last| {
            let text = format!("{}/{}", stream.id, last.consumer_name);
            self.seal_page_token(Kind::ListStreamConsumers, &text, now)
        });
        Ok(ListStreamConsumersOutput {
            consumers,
            next_token,
        })
    }

    /// The name after which the page goes on.
    fn page_of_consumers(&self, token: &str, stream: &Stream, now: Now) -> Result<String, Failure> {
        let text = self.open_page_token(Kind::ListStreamConsumers, token, now)?;
        match text.split_once('/') {
            Some((stream_id, name)) if stream_id == stream.id => Ok(name.to_owned()),
            _ => Err(invalid_token()),
        }
    }

    /// The consumer that the request names, and its stream.
    fn registered(
        &self,
        consumer: &ConsumerRef<'_>,
        now: Now,
    ) -> Result<(Arc<Stream>, ConsumerId), Failure> {
        let Some(arn) = consumer.arn else {
            let (Some(_), Some(name)) = (consumer.stream.arn, consumer.name) else {
                return Err(Failure::invalid_argument(
                    "Either ConsumerARN or both StreamARN and ConsumerName should be provided.",
                ));
            };
            let stream = self.stream(&consumer.stream, now)?;
            let id = stream.lock(now).consumers.get(name).map(Consumer::id);
            let id = id.ok_or_else(|| self.consumer_not_found(name))?;
            return Ok((stream, id));
        };
        let (stream, id) = self.consumer_by_arn(arn, consumer.stream.id, now)?;
        if consumer.stream.arn.is_some_and(|arn| arn != stream.arn)
            || consumer.name.is_some_and(|name| name != id.name)
        {
            return Err(Failure::invalid_argument(format!(
                "StreamARN, ConsumerName and ConsumerARN {arn} do not name the same consumer."
            )));
        }
        Ok((stream, id))
    }

    /// The consumer of that ARN, and its stream.
    pub(super) fn consumer_by_arn(
        &self,
        arn: &str,
        stream_id: Option<&str>,
        now: Now,
    ) -> Result<(Arc<Stream>, ConsumerId), Failure> {
        let not_found = || self.consumer_not_found(arn);
        let parsed = ConsumerArn::parse(arn).ok_or_else(not_found)?;
        let stream = self.stream(&StreamRef::of_arn(parsed.stream, stream_id), now)?;
        if stream.lock(now).consumer(&parsed.id).is_none() {
            return Err(not_found());
        }
        Ok((stream, parsed.id))
    }
}
