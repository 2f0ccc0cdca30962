//! How a request names a stream, a consumer or a channel alike: by a ResourceARN.

use super::attached::Attached;
use super::consumer::ConsumerId;
use super::failure::Failure;
use super::input::Input;
use super::stream_ref::StreamRef;
use super::{Kinesis, rules};
use crate::clock::Now;

/// ResourceARN, and StreamId as a check.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResourceRef<'r> {
    pub(super) arn: &'r str,
    id: Option<&'r str>,
}

impl<'r> ResourceRef<'r> {
    pub(super) fn read(input: &Input<'r>) -> Result<Self, Failure> {
        Ok(Self {
            arn: input.required_text("ResourceARN", &rules::RESOURCE_ARN)?,
            id: input.text("StreamId", &rules::STREAM_ID)?,
        })
    }
}

/// The parts of a consumer's ARN: `STREAM-ARN/consumer/NAME:SECONDS`.
#[derive(Debug)]
pub(super) struct ConsumerArn<'r> {
    pub(super) stream: &'r str,
    pub(super) id: ConsumerId,
}

impl<'r> ConsumerArn<'r> {
    pub(super) fn parse(arn: &'r str) -> Option<Self> {
        let (stream, consumer) = arn.split_once("/consumer/")?;
        let (name, seconds) = consumer.rsplit_once(':')?;
        Some(Self {
            stream,
            id: ConsumerId {
                name: name.to_owned(),
                created_seconds: seconds.parse().ok()?,
            },
        })
    }
}

impl Kinesis {
    /// What is attached to the resource, for `act` to read or change. With `must_be_active` a
    /// resource whose status forbids changes is refused.
    pub(super) fn attached<T>(
        &self,
        resource: ResourceRef<'_>,
        must_be_active: bool,
        now: Now,
        act: impl FnOnce(&mut Attached) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if resource.arn.contains(":channel/") {
            return self.with_channel(resource.arn, now, |channel| act(&mut channel.attached));
        }
        let consumer = ConsumerArn::parse(resource.arn);
        let arn = consumer.as_ref().map_or(resource.arn, |arn| arn.stream);
        let stream = self.stream(&StreamRef::of_arn(arn, resource.id), now)?;
        let mut state = stream.lock(now);
        let Some(ConsumerArn { id, .. }) = consumer else {
            if must_be_active && !state.is_writable() {
                return Err(stream.not_active(state.status));
            }
            return act(&mut state.attached);
        };
        let consumer = state
            .consumer(&id)
            .ok_or_else(|| self.consumer_not_found(resource.arn))?;
        if must_be_active && !consumer.is_active(now) {
            return Err(Failure::in_use(format!(
                "Consumer {} with creation timestamp {} under stream {} and account {} is not in \
                 ACTIVE status.",
                id.name, id.created_seconds, stream.name, stream.account
            )));
        }
        act(&mut consumer.attached)
    }

    pub(super) fn consumer_not_found(&self, consumer: &str) -> Failure {
        Failure::not_found(format!(
            "Consumer {consumer}, account {} not found.",
            self.config.account
        ))
    }
}
