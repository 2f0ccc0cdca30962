//! SubscribeToShard: records are pushed as they arrive, for up to five minutes.
//!
//! An answer is made while it is read: a slow reader is sent fewer and larger events, and nothing is
//! kept for it. A [`Subscription`] looks at its shard, tells what is new, and sleeps
//! until the shard is changed or something falls due; [`super::shard::Shard::changed`] wakes it.
//! Strict limits let a subscription give 2 MiB/s.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html>

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{Stream as Pieces, unfold};
use serde::Serialize;
use tokio::sync::Notify;

use super::consumer::ConsumerId;
use super::encoding::Encoding;
use super::failure::Failure;
use super::get_records::{ChildShard, MAX_BYTES, MAX_RECORDS, Page, Records, children};
use super::get_shard_iterator::StartingPosition;
use super::input::{Broken, Input};
use super::put_record::refuse_dry_run;
use super::sequence::Sequence;
use super::shard::{shard_id, shard_number};
use super::status::Status;
use super::stream::{Stream, shard_not_found};
use super::value::Value;
use super::{Kinesis, event_stream, rules};
use crate::body::BrokenConnection;
use crate::clock::{Clock, Now};
use crate::token_bucket::Bucket;

/// How long a subscription lives.
const LIFETIME: Duration = Duration::from_secs(5 * 60);

/// How long it may be silent: an event without records then tells that nothing has come.
const MAX_SILENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SubscribeToShardEvent {
    records: Records,
    /// Absent at the end of the shard: a KCL takes it as a promise that more will come.
    #[serde(skip_serializing_if = "Option::is_none")]
    continuation_sequence_number: Option<Sequence>,
    millis_behind_latest: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    child_shards: Option<Vec<ChildShard>>,
}

/// What the service sends before the first event: an empty structure.
#[derive(Debug, Serialize)]
struct InitialResponse {}

/// A consumer's subscription to a shard, before and while it is read.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// Not kept for its sake: a stream that is deleted or reset away takes its memory along.
    stream: Weak<Stream>,
    /// The error in that case.
    stream_not_found: Failure,
    consumer: ConsumerId,
    shard: u32,
    /// Which of the consumer's subscriptions to the shard it is; a later one takes over.
    turn: u64,
    /// The running index of the next record.
    position: u64,
    changed: Arc<Notify>,
    clock: Clock,
    /// The uptime at which it ends.
    ends_at: Duration,
    /// The uptime at which the next event is due, with or without records.
    event_due: Duration,
    /// What it gives in a second, if that is limited.
    limit: Option<Bucket>,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    New,
    Open,
    Ended,
}

/// What a look at the shard comes to.
enum Step {
    Tell(SubscribeToShardEvent),
    /// The last event of a closed shard.
    TellEnd(SubscribeToShardEvent),
    Fail(Failure),
    End,
    /// Nothing to tell before that uptime unless the shard is changed.
    Wait(Duration),
}

impl Kinesis {
    /// Begins a subscription. Its events are in JSON whatever the request was in: the SDKs that speak
    /// CBOR make an exception of this operation.
    pub(crate) fn subscribe_to_shard(
        &self,
        request: &Value<'_>,
        encoding: Encoding,
        clock: &Clock,
    ) -> Result<Subscription, Failure> {
        let broken = Broken::default();
        let input = Input::new(request, encoding, &broken)?;
        let arn = input.required_text("ConsumerARN", &rules::CONSUMER_ARN)?;
        let stream_id = input.text("StreamId", &rules::STREAM_ID)?;
        let id = input.required_text("ShardId", &rules::SHARD_ID)?;
        let start = match input.structure("StartingPosition")? {
            Some(position) => StartingPosition::read(&position, "Type", "SequenceNumber")?,
            None => input.required("StartingPosition", None),
        };
        let dry_run = input.boolean("DryRun")?;
        input.finish()?;

        let now = clock.now();
        let (stream, consumer_id) = self.consumer_by_arn(arn, stream_id, now)?;
        let number = shard_number(id).ok_or_else(|| self.could_not_find_shard(id, &stream.name))?;
        let mut state = stream.lock(now);
        if !state.is_writable() {
            return Err(stream.not_active(state.status));
        }
        let shard = state
            .shard(number, now)
            .ok_or_else(|| shard_not_found(number, &stream.name, &stream.account))?;
        let position = start.index_in(shard, &stream, now)?;
        let changed = shard.changed();
        let consumer = state
            .consumer(&consumer_id)
            .ok_or_else(|| self.consumer_not_found(arn))?;
        if !consumer.is_active(now) {
            // The spaces and the colon are the service's.
            return Err(Failure::in_use(format!(
                "Consumer {} with creation timestamp {} under stream: {} , account {} is not in \
                 ACTIVE status.",
                consumer_id.name, consumer_id.created_seconds, stream.name, stream.account
            )));
        }
        refuse_dry_run(dry_run)?;
        let turn = consumer
            .subscribe(number, now)
            .ok_or_else(|| another_subscription(&stream, &consumer_id, number))?;
        changed.notify_waiters();
        drop(state);
        Ok(Subscription {
            stream: Arc::downgrade(&stream),
            stream_not_found: stream.not_found(),
            consumer: consumer_id,
            shard: number,
            turn,
            position,
            changed,
            clock: clock.clone(),
            ends_at: now.uptime + LIFETIME,
            event_due: now.uptime + MAX_SILENCE,
            limit: self.subscription_limit(),
            stage: Stage::New,
        })
    }
}

impl Subscription {
    /// The messages of the answer, each made when it is asked for.
    pub(crate) fn messages(
        self,
    ) -> impl Pieces<Item = Result<Bytes, BrokenConnection>> + Send + Sync + 'static {
        unfold(self, |mut subscription| async move {
            let message = subscription.next().await?;
            Some((Ok(message), subscription))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        if self.stage == Stage::New {
            self.stage = Stage::Open;
            return event_stream::event("initial-response", &InitialResponse {});
        }
        if self.stage == Stage::Ended {
            return None;
        }
        let changed = self.changed.clone();
        loop {
            // Made before the look, it is woken by whatever is changed after the look.
            let change = changed.notified();
            match self.step(self.clock.now()) {
                Step::Tell(event) => return message(&event),
                Step::TellEnd(event) => {
                    self.stage = Stage::Ended;
                    return message(&event);
                }
                Step::Fail(failure) => {
                    self.stage = Stage::Ended;
                    return event_stream::exception(&failure);
                }
                Step::End => return None,
                Step::Wait(until) => {
                    tokio::select! {
                        biased;
                        () = change => {}
                        () = self.clock.sleep_until(until) => {}
                    }
                }
            }
        }
    }

    fn step(&mut self, now: Now) -> Step {
        let Some(stream) = self.stream.upgrade() else {
            return Step::Fail(self.stream_not_found.clone());
        };
        let mut state = stream.lock(now);
        if state.status == Status::Deleting {
            return Step::Fail(self.stream_not_found.clone());
        }
        match state.consumer(&self.consumer) {
            Some(consumer) if consumer.is_active(now) => {
                if !consumer.holds(self.shard, self.turn) {
                    return Step::Fail(another_subscription(&stream, &self.consumer, self.shard));
                }
            }
            _ => {
                return Step::Fail(Failure::not_found(format!(
                    "Consumer {}, account {} not found.",
                    self.consumer.name, stream.account
                )));
            }
        }
        if now.uptime >= self.ends_at {
            return Step::End;
        }
        let Some(shard) = state.shard(self.shard, now) else {
            let (name, account) = (&stream.name, &stream.account);
            return Step::Fail(shard_not_found(self.shard, name, account));
        };
        if let Some(limit) = &self.limit
            && limit.ready_at() > now.uptime
        {
            return Step::Wait(limit.ready_at().min(self.ends_at));
        }
        let page = Page::read(shard, self.position, MAX_RECORDS, MAX_BYTES, now);
        if page.ends_shard {
            return Step::TellEnd(SubscribeToShardEvent {
                records: page.records,
                continuation_sequence_number: None,
                millis_behind_latest: 0,
                child_shards: Some(children(&state, shard)),
            });
        }
        if page.records.is_empty() && now.uptime < self.event_due {
            let change_due = state.change_due().unwrap_or(Duration::MAX);
            return Step::Wait(self.event_due.min(self.ends_at).min(change_due));
        }
        if let Some(limit) = &mut self.limit {
            let bytes = u64::try_from(page.records.bytes()).unwrap_or(u64::MAX);
            limit.take(bytes, now.uptime);
        }
        self.position = page.next;
        self.event_due = now.uptime + MAX_SILENCE;
        let last = page.records.last_sequence();
        Step::Tell(SubscribeToShardEvent {
            continuation_sequence_number: Some(
                last.unwrap_or_else(|| shard.sequence_before(page.next, now)),
            ),
            records: page.records,
            millis_behind_latest: page.millis_behind_latest,
            child_shards: None,
        })
    }
}

fn message(event: &SubscribeToShardEvent) -> Option<Bytes> {
    event_stream::event("SubscribeToShardEvent", event)
}

fn another_subscription(stream: &Stream, consumer: &ConsumerId, shard: u32) -> Failure {
    Failure::in_use(format!(
        "Another active subscription exists for this consumer: {}:{}:{}:{}",
        stream.account,
        stream.name,
        shard_id(shard),
        consumer.name
    ))
}
