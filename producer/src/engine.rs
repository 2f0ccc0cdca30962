//! The one task of a producer: closes aggregates that are due, calls, checks answers, retries,
//! completes.
//!
//! ```text
//! Buffer ─ OpenAggregate, due ─ close ─ KinesisRecord ─ Collector ─ PutCall ─ shard check ─┬─ Completions
//!                                             └──────── Retries ────────┴─ again, or until a map comes
//! ```
//!
//! It sleeps until something is due: a linger, an answer, a retry, an expiry. With nothing to send
//! it has no timer at all. Its parts are pure ([`Collector`], [`Retries`], [`StreamInfo`], the
//! buffer); here they are put together. What limits the rate per shard belongs between closing and
//! collecting ([`Engine::admit`]); what keeps the order per key, in what [`Collector`] may take.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use shardwise_client::retry::{Delays, RetryPolicy};
use shardwise_client::{Env, ErrorKind, Kinesis, PutSuccess};
use shardwise_env::{Instant, Task};
use tracing::Instrument as _;

use crate::buffer::Phase;
use crate::close_report::Unsent;
use crate::collect::Collector;
use crate::completions::Completions;
use crate::error::{Cause, DeliveryErrorKind, SendErrorKind};
use crate::fetch::{DESCRIBE_PATIENCE, Fetched};
use crate::kinesis_record::{AggregateLimits, KinesisRecord};
use crate::open_aggregate::OpenAggregate;
use crate::put_call::{CallOutcome, EntryOutcome, InFlight, PutCall, PutResponse, call_outcome};
use crate::record::Record;
use crate::retry::{Misrouted, Retries};
use crate::settings::ProducerSettings;
use crate::shard_check::{ShardCheck, ShardChecker};
use crate::shard_map::Routing;
use crate::shared::Shared;
use crate::stats::AggregationOff;
use crate::stream_cache::SharedStream;
use crate::stream_info::{News, StreamInfo};

/// How long records that come after a pause wait for a newer map before the last good one serves.
const PAUSE_PATIENCE: Duration = DESCRIBE_PATIENCE;

/// How often ListShards and DescribeStreamSummary are tried per fetch: a throttled start of many
/// producers must not cost them their aggregation, and records wait for the first map.
const FETCH_ATTEMPTS: u32 = 3;

/// Everything that is not behind the buffer's lock.
pub(crate) struct Engine {
    shared: Arc<Shared>,
    kinesis: Kinesis,
    settings: ProducerSettings,
    limits: AggregateLimits,
    routing: Routing,
    stream: StreamInfo,
    /// What the stream's producers share.
    shared_stream: Arc<SharedStream>,
    checker: ShardChecker,
    /// When the last good map serves again though records wait for a newer one.
    hold_until: Option<Instant>,
    collector: Collector,
    retries: Retries,
    /// The Kinesis records of the calls under way, by call.
    in_flight: BTreeMap<u64, InFlight>,
    calls: FuturesUnordered<PutCall>,
    next_call: u64,
    fetch: Option<Task<Arc<Fetched>>>,
    /// The waits between fetches that fail, since the last that did not.
    fetch_delays: Option<Delays>,
    completions: Completions,
}

impl Engine {
    pub(crate) fn new(
        shared: Arc<Shared>,
        shared_stream: Arc<SharedStream>,
        kinesis: Kinesis,
        settings: ProducerSettings,
    ) -> Self {
        let now = shared.env.now();
        let control_plane = RetryPolicy::control_plane().attempts(FETCH_ATTEMPTS);
        let mut engine = Self {
            kinesis: kinesis
                .with_data_path_retries(RetryPolicy::never())
                .with_control_plane_retries(control_plane),
            limits: settings.limits(),
            routing: Routing::Unknown,
            stream: StreamInfo::new(&settings, now),
            shared_stream,
            checker: ShardChecker::default(),
            hold_until: None,
            collector: Collector::new(settings.max_request_entries, settings.max_request_bytes),
            retries: Retries::default(),
            in_flight: BTreeMap::new(),
            calls: FuturesUnordered::new(),
            next_call: 0,
            fetch: None,
            fetch_delays: None,
            completions: Completions::default(),
            shared,
            settings,
        };
        engine.set_routing();
        engine
    }

    pub(crate) async fn run(mut self) {
        let shared = self.shared.clone();
        while let Some(wake_at) = self.turn() {
            tokio::select! {
                biased;
                // Each branch is cancel safe: what is not chosen stays where it is.
                Some((id, answer)) = self.calls.next() => self.on_answer(id, answer),
                fetched = fetched(&mut self.fetch) => self.on_fetched(fetched.as_deref()),
                () = shared.wake.notified() => {}
                () = sleep_until(&shared.env, wake_at) => {}
            }
        }
    }

    /// Does all that is due now. Returns when to wake by itself, `None` if it is done for good.
    #[expect(
        clippy::option_option,
        reason = "done for good, or until when to sleep"
    )]
    fn turn(&mut self) -> Option<Option<Instant>> {
        let now = self.shared.env.now();
        if self.hold_until.is_some_and(|until| until <= now) {
            self.set_routing();
        }
        let (phase, aggregates, expired, doubted) = {
            let mut buffer = self.shared.lock();
            if buffer.phase >= Phase::Stopping {
                // Nothing is started any more: what is left is given back as it is.
                return None;
            }
            if buffer.take_hurry() {
                self.collector.hurry(now);
            }
            if buffer.is_full() && self.in_flight.is_empty() && self.retries.is_empty() {
                // All the room is taken by records that linger, and nothing else will make more.
                buffer.close_all(now);
                self.collector.hurry(now);
            }
            (
                buffer.phase,
                buffer.take_due(now),
                buffer.take_expired_held(now),
                buffer.take_refused_large(),
            )
        };
        if doubted {
            self.stream.doubt_record_limit(now);
        }
        for aggregate in aggregates {
            for kinesis_record in aggregate.close(&self.routing, &self.limits) {
                self.admit(kinesis_record);
            }
        }
        for mut kinesis_record in self.close_unrouted(expired) {
            kinesis_record.cause = self.stream.error().cloned().map(Cause::Request);
            self.completions
                .failed(&kinesis_record, DeliveryErrorKind::Expired);
        }
        self.expire_and_retry(now);
        self.start_calls(now);
        self.completions.book(&self.shared);

        let outstanding = self.shared.lock().outstanding();
        if phase == Phase::Draining && outstanding == 0 {
            return None;
        }
        if self.stream.begin_fetch(now, outstanding) {
            self.start_fetch(now);
        }
        let own = [
            self.retries.next(),
            self.collector.next_expiry(),
            self.in_flight
                .values()
                .filter_map(InFlight::next_expiry)
                .min(),
            self.collector.next_call().filter(|_| self.may_call()),
            self.stream.next_fetch(outstanding),
        ];
        let own = own.into_iter().flatten().min();
        let mut buffer = self.shared.lock();
        buffer.set_fresh_until(self.stream.fresh_until());
        self.hold_until = buffer.holding_since().map(|at| at + PAUSE_PATIENCE);
        Some(buffer.arm(own.into_iter().chain(self.hold_until).min()))
    }

    /// Takes a Kinesis record that is new.
    fn admit(&mut self, kinesis_record: KinesisRecord) {
        let limit = self.stream.record_limit();
        if !kinesis_record.is_aggregate() && kinesis_record.user_bytes() > limit {
            // It was accepted before the stream had said what it takes.
            let size = kinesis_record.user_bytes();
            let cause = Cause::TooLarge(SendErrorKind::TooLarge { size, limit });
            self.stream.doubt_record_limit(self.shared.env.now());
            self.completions
                .failed_by(kinesis_record, DeliveryErrorKind::Rejected, cause);
            return;
        }
        self.collector.put(kinesis_record);
    }

    fn expire_and_retry(&mut self, now: Instant) {
        for mut kinesis_record in self.retries.take_due(now) {
            if kinesis_record.expires() <= now {
                self.completions
                    .failed(&kinesis_record, DeliveryErrorKind::Expired);
            } else {
                kinesis_record.due = now;
                self.collector.put(kinesis_record);
            }
        }
        for kinesis_record in self.retries.take_expired_misrouted(now) {
            self.completions
                .failed(&kinesis_record, DeliveryErrorKind::Expired);
        }
        for kinesis_record in self.collector.take_expired(now) {
            self.completions
                .failed(&kinesis_record, DeliveryErrorKind::Expired);
        }
        for sent in self.in_flight.values_mut() {
            for kinesis_record in sent.take_expired(now) {
                self.completions
                    .failed(&kinesis_record, DeliveryErrorKind::Expired);
            }
        }
    }

    /// Makes Kinesis records that will not be sent.
    fn close_unrouted(&self, aggregates: Vec<OpenAggregate>) -> Vec<KinesisRecord> {
        aggregates
            .into_iter()
            .flat_map(|aggregate| aggregate.close(&Routing::Loose, &self.limits))
            .collect()
    }

    fn may_call(&self) -> bool {
        self.in_flight.len() < self.settings.max_requests_in_flight
    }

    fn start_calls(&mut self, now: Instant) {
        while self.may_call()
            && let Some(mut kinesis_records) = self.collector.take_call(now)
        {
            for kinesis_record in &mut kinesis_records {
                if kinesis_record.attempts > 0 {
                    self.completions.counts.kinesis_records_retried += 1;
                }
                kinesis_record.attempts += 1;
            }
            let id = self.next_call;
            self.next_call += 1;
            let stream = &self.shared.ledger.stream;
            self.calls
                .push(PutCall::start(id, &self.kinesis, stream, &kinesis_records));
            self.in_flight.insert(id, InFlight::new(kinesis_records));
            self.completions.counts.put_records_calls += 1;
        }
    }

    fn on_answer(&mut self, id: u64, answer: Result<PutResponse, Cause>) {
        let Some(sent) = self.in_flight.remove(&id) else {
            return;
        };
        let now = self.shared.env.now();
        match call_outcome(sent, answer) {
            CallOutcome::Halves(first, second) => {
                self.collector.put_half(first);
                self.collector.put_half(second);
            }
            CallOutcome::Each(outcomes) => {
                for (kinesis_record, outcome) in outcomes {
                    self.on_outcome(kinesis_record, outcome, now);
                }
            }
        }
    }

    fn on_outcome(
        &mut self,
        mut kinesis_record: KinesisRecord,
        outcome: EntryOutcome,
        now: Instant,
    ) {
        match outcome {
            EntryOutcome::Stored(put_result) => self.on_stored(kinesis_record, put_result, now),
            EntryOutcome::Retry(cause, written) => {
                kinesis_record.cause = Some(cause);
                kinesis_record.written = kinesis_record.written.max(written);
                self.retry(kinesis_record, now);
            }
            EntryOutcome::Rejected(cause) => {
                if matches!(&cause, Cause::Request(error) if error.kind() == ErrorKind::ResourceNotFound)
                    && self.stream.map().is_some()
                {
                    self.stream.forget(now);
                    self.set_routing();
                }
                self.completions
                    .failed_by(kinesis_record, DeliveryErrorKind::Rejected, cause);
            }
        }
    }

    /// The service has stored a Kinesis record. That counts if consumers can read it there.
    fn on_stored(&mut self, kinesis_record: KinesisRecord, put_result: PutSuccess, now: Instant) {
        self.completions.counts.kinesis_records_put += 1;
        self.completions.counts.bytes_put += kinesis_record.size() as u64;
        let expected = kinesis_record
            .target
            .as_ref()
            .is_none_or(|target| target.shard_id == put_result.shard_id);
        if !expected {
            self.stream.need_map(now);
        }
        let believed = kinesis_record
            .target
            .as_ref()
            .is_some_and(|target| self.routing.serves(target));
        let map = self.stream.map();
        match self.checker.check(&kinesis_record, &put_result, map, false) {
            ShardCheck::Owned => self.completions.stored(&kinesis_record, put_result),
            // The map knows better by now than when the Kinesis record was packed.
            ShardCheck::WrongShard if !believed => {
                self.on_wrong_shard(
                    Misrouted {
                        kinesis_record,
                        put_result,
                        at: now,
                    },
                    now,
                );
            }
            // By the map it should not have been stored there: only a newer one can explain that.
            ShardCheck::WrongShard | ShardCheck::Unknown => {
                self.stream.need_map(now);
                self.retries.keep_misrouted(Misrouted {
                    kinesis_record,
                    put_result,
                    at: now,
                });
            }
        }
    }

    /// Consumers may drop the aggregate where it is: all of it is sent again, and the copy stays on
    /// the stream.
    fn on_wrong_shard(&mut self, misrouted: Misrouted, now: Instant) {
        self.completions.counts.wrong_shard_resends += 1;
        tracing::debug!(
            operation = "PutRecords",
            stream = %self.shared.ledger.stream,
            shard_id = %misrouted.put_result.shard_id,
            records = misrouted.kinesis_record.records.len(),
            "sending an aggregate again: the shard that stored it does not own all of its records"
        );
        for kinesis_record in misrouted.unresolved().repack(&self.routing, &self.limits) {
            self.retry(kinesis_record, now);
        }
    }

    fn retry(&mut self, mut kinesis_record: KinesisRecord, now: Instant) {
        let delays = kinesis_record
            .delays
            .get_or_insert_with(|| Box::new(RetryPolicy::data_path().delays(&self.shared.env)));
        let delay = delays.next_delay();
        for kinesis_record in kinesis_record.reroute(&self.routing, &self.limits) {
            self.retries.delay(kinesis_record, now, delay);
        }
    }

    fn start_fetch(&mut self, now: Instant) {
        // A misrouted aggregate may lie on a shard that was closed meanwhile, which only the full
        // list has.
        let wanted = self.stream.wanted(now, self.retries.has_misrouted());
        let stream = self.shared.ledger.stream.clone();
        let shared_stream = self.shared_stream.clone();
        let fetch = shared_stream.fetch(self.kinesis.clone(), stream, wanted);
        self.fetch = Some(self.shared.env.spawn(fetch.in_current_span()));
    }

    fn on_fetched(&mut self, fetched: Option<&Fetched>) {
        self.fetch = None;
        let now = self.shared.env.now();
        let delay = self.next_fetch_delay();
        let random = self.shared.env.random_f64();
        match self.stream.on_fetched(fetched, now, delay, random) {
            News::Nothing => {
                if self.shared.lock().holding_since().is_some() {
                    self.set_routing();
                }
            }
            News::CreatedAgain => {
                tracing::info!(
                    operation = "DescribeStreamSummary",
                    stream = %self.shared.ledger.stream,
                    "fetching the shards anew: the stream was deleted and created again"
                );
                self.set_routing();
            }
            News::NoStream(error) => {
                self.set_routing();
                let held = self.shared.lock().take_held();
                for kinesis_record in self.close_unrouted(held) {
                    let cause = Cause::Request(error.clone());
                    self.completions
                        .failed_by(kinesis_record, DeliveryErrorKind::Rejected, cause);
                }
            }
            News::Routing { complete } => {
                if complete {
                    self.fetch_delays = None;
                }
                if self.stream.error().is_none() {
                    self.completions.counts.shard_map_refreshes += 1;
                }
                self.set_routing();
                self.check_misrouted(now);
            }
        }
    }

    /// Routes by what is known of the stream now.
    fn set_routing(&mut self) {
        let (routing, off) = self.stream.routing();
        self.routing = routing;
        let (displaced, before) = {
            let mut buffer = self.shared.lock();
            buffer.max_record_bytes = self.stream.record_limit();
            let before = std::mem::replace(&mut buffer.stats.aggregation_off, off);
            (buffer.route(self.routing.clone()), before)
        };
        let stream = &self.shared.ledger.stream;
        match off {
            Some(reason) if before != off && reason != AggregationOff::Disabled => {
                let error = self.stream.last_failure().map(tracing::field::display);
                tracing::warn!(%stream, ?reason, error, "records are not aggregated: {reason}");
            }
            None if before.is_some() && matches!(self.routing, Routing::Aggregate(_)) => {
                tracing::info!(%stream, "records are aggregated again");
            }
            _ => {}
        }
        self.collector.reroute(&self.routing, &self.limits);
        self.retries.reroute(&self.routing, &self.limits);
        for aggregate in displaced {
            for kinesis_record in aggregate.close(&self.routing, &self.limits) {
                self.admit(kinesis_record);
            }
        }
    }

    fn check_misrouted(&mut self, now: Instant) {
        let Some(map) = self.stream.map() else {
            return;
        };
        let begun = self.stream.map_begun();
        let checked = self.retries.check_misrouted(&mut self.checker, map, begun);
        for (misrouted, check) in checked {
            if check == ShardCheck::Owned {
                self.completions
                    .stored(&misrouted.kinesis_record, misrouted.put_result);
            } else {
                self.on_wrong_shard(misrouted, now);
            }
        }
        if self.retries.has_misrouted() {
            let delay = self.next_fetch_delay();
            self.stream.need_map_after(now, delay);
        }
    }

    fn next_fetch_delay(&mut self) -> Duration {
        self.fetch_delays
            .get_or_insert_with(|| RetryPolicy::control_plane().delays(&self.shared.env))
            .next_delay()
    }

    /// Ends every record that is left, and then, with the report in its place, the producer.
    fn stop(&mut self) {
        let now = self.shared.env.now();
        let (phase, aggregates, dismissed) = {
            let mut buffer = self.shared.lock();
            let phase = std::mem::replace(&mut buffer.phase, Phase::Stopping);
            (phase, buffer.take_all(now), buffer.room().dismiss())
        };
        let in_flight = std::mem::take(&mut self.in_flight);
        let mut unsent: Vec<KinesisRecord> = in_flight
            .into_values()
            .flat_map(InFlight::give_up)
            .collect();
        unsent.extend(self.retries.take_all());
        unsent.extend(self.collector.take_all());
        unsent.extend(self.close_unrouted(aggregates));
        let mut report = Vec::new();
        for kinesis_record in &unsent {
            self.completions
                .failed(kinesis_record, DeliveryErrorKind::Stopped);
            let records = kinesis_record.records.iter().cloned().map(Record::from);
            report.extend(records.map(|record| Unsent::new(record, kinesis_record.written)));
        }
        let records = report.len();
        if records > 0 && phase != Phase::Stopping {
            tracing::warn!(
                stream = %self.shared.ledger.stream,
                records,
                "the producer stopped before all records were sent: its last handle was dropped or its \
                 runtime ended"
            );
        }
        // Whoever sees that the engine has ended sees the report as well.
        self.completions.book_and(&self.shared, |buffer| {
            buffer.unsent = report;
            // A panic may have lost records that were in hand.
            buffer.unsent_total = records + buffer.outstanding();
            buffer.phase = Phase::Ended;
        });
        dismissed.into_iter().for_each(std::task::Waker::wake);
    }
}

/// However the engine ends, with its producer's last clone, with the runtime, by a panic: every
/// record that it has gets an outcome.
impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a fetch brought, if anything; never ready if none runs.
async fn fetched(fetch: &mut Option<Task<Arc<Fetched>>>) -> Option<Arc<Fetched>> {
    match fetch {
        Some(task) => task.await.ok(),
        None => std::future::pending().await,
    }
}

async fn sleep_until(env: &Env, wake_at: Option<Instant>) {
    match wake_at {
        Some(at) => env.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use shardwise_client::Aws;
    use shardwise_mock::Mock;

    use super::*;
    use crate::delivery::Ledger;
    use crate::stream_cache::StreamCache;

    fn engine(mock: &Mock) -> Engine {
        let aws = Aws::in_process(mock.service());
        let ledger = Arc::new(Ledger {
            stream: "orders".parse().unwrap(),
            unheeded: AtomicU64::new(0),
        });
        let shared = Shared::new(&ProducerSettings::default(), aws.env().clone(), ledger);
        let shared_stream = aws
            .extension::<StreamCache>()
            .stream(&"orders".parse().unwrap());
        let settings = ProducerSettings::default();
        Engine::new(Arc::new(shared), shared_stream, aws.kinesis(), settings)
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_producer_has_no_timer() {
        let mock = Mock::new();
        mock.create_stream(&"orders".parse().unwrap(), 2).unwrap();
        let mut engine = engine(&mock);
        assert_eq!(engine.turn(), Some(None), "it only waits for the first map");
        let fetched = fetched(&mut engine.fetch).await;
        engine.on_fetched(fetched.as_deref());
        assert_eq!(engine.turn(), Some(None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_producer_of_an_unknown_stream_has_no_timer() {
        let mut engine = engine(&Mock::new());
        assert_eq!(engine.turn(), Some(None));
        let fetched = fetched(&mut engine.fetch).await;
        engine.on_fetched(fetched.as_deref());
        assert_eq!(engine.turn(), Some(None));
    }
}
