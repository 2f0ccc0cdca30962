//! The one task of a producer: seals what is due, calls, judges, retries, settles.
//!
//! ```text
//! core ─ groups due ─ seal ─ parcels ─ Collector ─ PutRecords ─ split ─┬─ settled
//!                                          └───────── Retries ─────────┴─ again, or stray until a map judges
//! ```
//!
//! It sleeps until something is due: a linger, an answer, a retry, an expiry. With nothing to send
//! it has no timer at all. Its parts are pure ([`Collector`], [`Retries`], [`Stream`], the core);
//! here they are put together. What limits the rate per shard belongs between sealing and
//! collecting ([`Engine::admit`]); what keeps the order per key, in what [`Collector`] may take.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use shardwise_client::retry::{Delays, RetryPolicy};
use shardwise_client::{Env, Kinesis, PutSuccess, ShardFilter};
use shardwise_env::{Instant, Task, TaskError};

use crate::aggregate::{Group, Limits, Parcel, Routing};
use crate::collect::Collector;
use crate::config::Settings;
use crate::core::Phase;
use crate::error::{Cause, DeliveryErrorKind, SendErrorKind};
use crate::fetch::{Fetched, fetch};
use crate::producer::{Shared, Unsent};
use crate::record::Record;
use crate::retry::{Judgement, Retries, Stray, judge};
use crate::send::{Answer, Call, Fate, Sent, Split, split};
use crate::settle::Settlement;
use crate::stats::AggregationOff;
use crate::stream::{News, Stream};

/// How often ListShards and DescribeStreamSummary are tried per fetch: a throttled start of many
/// producers must not cost them their aggregation, and records wait for the first map.
const FETCH_ATTEMPTS: u32 = 3;

/// Everything that is not behind the core's lock.
pub(crate) struct Engine {
    shared: Arc<Shared>,
    kinesis: Kinesis,
    settings: Settings,
    limits: Limits,
    routing: Routing,
    stream: Stream,
    collector: Collector,
    retries: Retries,
    /// The parcels of the calls under way, by call.
    in_flight: BTreeMap<u64, Sent>,
    calls: FuturesUnordered<Call>,
    next_call: u64,
    fetch: Option<Task<Fetched>>,
    /// The waits between fetches that fail, since the last that did not.
    fetch_delays: Option<Delays>,
    settlement: Settlement,
}

impl Engine {
    pub(crate) fn new(shared: Arc<Shared>, kinesis: Kinesis, settings: Settings) -> Self {
        let now = shared.env.now();
        let control_plane = RetryPolicy::control_plane().attempts(FETCH_ATTEMPTS);
        let mut engine = Self {
            kinesis: kinesis
                .with_data_path_retries(RetryPolicy::never())
                .with_control_plane_retries(control_plane),
            limits: settings.limits(),
            routing: Routing::Unknown,
            stream: Stream::new(&settings, now),
            collector: Collector::new(settings.max_request_entries, settings.max_request_bytes),
            retries: Retries::default(),
            in_flight: BTreeMap::new(),
            calls: FuturesUnordered::new(),
            next_call: 0,
            fetch: None,
            fetch_delays: None,
            settlement: Settlement::default(),
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
                fetched = fetched(&mut self.fetch) => self.on_fetched(fetched),
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
        let (phase, groups, expired) = {
            let mut core = self.shared.lock();
            if core.phase >= Phase::Stopping {
                // Nothing is started any more: what is left is given back as it is.
                return None;
            }
            if core.take_hurry() {
                self.collector.hurry(now);
            }
            if core.is_full() && self.in_flight.is_empty() && self.retries.is_empty() {
                // All the room is taken by records that linger, and nothing else will make more.
                core.seal_all(now);
                self.collector.hurry(now);
            }
            (core.phase, core.take_due(now), core.take_expired_held(now))
        };
        for group in groups {
            for parcel in group.seal(&self.routing, &self.limits) {
                self.admit(parcel);
            }
        }
        for mut parcel in self.seal_alone(expired) {
            parcel.cause = self.stream.error().cloned().map(Cause::Request);
            self.settlement.failed(&parcel, DeliveryErrorKind::Expired);
        }
        self.expire_and_retry(now);
        self.start_calls(now);
        self.settlement.book(&self.shared);

        let outstanding = self.shared.lock().outstanding();
        if phase == Phase::Draining && outstanding == 0 {
            return None;
        }
        if self.stream.begin_fetch(now, outstanding) {
            self.start_fetch();
        }
        let own = [
            self.retries.next(),
            self.collector.next_expiry(),
            self.in_flight.values().filter_map(Sent::next_expiry).min(),
            self.collector.next_call().filter(|_| self.may_call()),
            self.stream.next_fetch(outstanding),
        ];
        let own = own.into_iter().flatten().min();
        Some(self.shared.lock().arm(own))
    }

    /// Takes a parcel that is new.
    fn admit(&mut self, parcel: Parcel) {
        let limit = self.stream.record_limit();
        if !parcel.is_aggregate() && parcel.room() > limit {
            // It was accepted before the stream had said what it takes.
            let size = parcel.room();
            let cause = Cause::TooLarge(SendErrorKind::TooLarge { size, limit });
            self.settlement
                .failed_by(parcel, DeliveryErrorKind::Rejected, cause);
            return;
        }
        self.collector.put(parcel);
    }

    fn expire_and_retry(&mut self, now: Instant) {
        for mut parcel in self.retries.take_due(now) {
            if parcel.expires() <= now {
                self.settlement.failed(&parcel, DeliveryErrorKind::Expired);
            } else {
                parcel.due = now;
                self.collector.put(parcel);
            }
        }
        for parcel in self.retries.take_expired_strays(now) {
            self.settlement.failed(&parcel, DeliveryErrorKind::Expired);
        }
        for parcel in self.collector.take_expired(now) {
            self.settlement.failed(&parcel, DeliveryErrorKind::Expired);
        }
        for sent in self.in_flight.values_mut() {
            for parcel in sent.take_expired(now) {
                self.settlement.failed(&parcel, DeliveryErrorKind::Expired);
            }
        }
    }

    /// Makes parcels that will not be sent.
    fn seal_alone(&self, groups: Vec<Group>) -> Vec<Parcel> {
        groups
            .into_iter()
            .flat_map(|group| group.seal(&Routing::Loose, &self.limits))
            .collect()
    }

    fn may_call(&self) -> bool {
        self.in_flight.len() < self.settings.max_requests_in_flight
    }

    fn start_calls(&mut self, now: Instant) {
        while self.may_call()
            && let Some(mut parcels) = self.collector.take_call(now)
        {
            for parcel in &mut parcels {
                if parcel.attempts > 0 {
                    self.settlement.counts.kinesis_records_retried += 1;
                }
                parcel.attempts += 1;
            }
            let id = self.next_call;
            self.next_call += 1;
            let stream = &self.shared.ledger.stream;
            self.calls
                .push(Call::start(id, &self.kinesis, stream, &parcels));
            self.in_flight.insert(id, Sent::new(parcels));
            self.settlement.counts.put_records_calls += 1;
        }
    }

    fn on_answer(&mut self, id: u64, answer: Result<Answer, Cause>) {
        let Some(sent) = self.in_flight.remove(&id) else {
            return;
        };
        let now = self.shared.env.now();
        match split(sent, answer) {
            Split::Halves(first, second) => {
                self.collector.put_half(first);
                self.collector.put_half(second);
            }
            Split::Each(fates) => {
                for (parcel, fate) in fates {
                    self.on_fate(parcel, fate, now);
                }
            }
        }
    }

    fn on_fate(&mut self, mut parcel: Parcel, fate: Fate, now: Instant) {
        match fate {
            Fate::Landed(landing) => self.on_landed(parcel, landing, now),
            Fate::Retry(cause, written) => {
                parcel.cause = Some(cause);
                parcel.written = parcel.written.max(written);
                self.retry(parcel, now);
            }
            Fate::Rejected(cause) => {
                self.settlement
                    .failed_by(parcel, DeliveryErrorKind::Rejected, cause);
            }
        }
    }

    /// The service has stored a parcel. That counts if consumers can read it there.
    fn on_landed(&mut self, parcel: Parcel, landing: PutSuccess, now: Instant) {
        self.settlement.counts.kinesis_records_put += 1;
        self.settlement.counts.bytes_put += parcel.size() as u64;
        let expected = parcel
            .target
            .as_ref()
            .is_none_or(|target| target.shard_id == landing.shard_id);
        if !expected {
            self.stream.need_map(now);
        }
        let believed = parcel
            .target
            .as_ref()
            .is_some_and(|target| self.routing.serves(target));
        match judge(&parcel, &landing, self.stream.map()) {
            Judgement::Fits => self.settlement.stored(&parcel, landing),
            // The map knows better by now than when the parcel was packed.
            Judgement::WrongShard if !believed => {
                self.on_wrong_shard(Stray { parcel, landing }, now);
            }
            // By the map it should not have landed there: only a newer one can explain that.
            Judgement::WrongShard | Judgement::Unknown => {
                self.retries.keep_stray(Stray { parcel, landing });
            }
        }
    }

    /// Consumers may drop the aggregate where it is: all of it is sent again, and the copy stays on
    /// the stream.
    fn on_wrong_shard(&mut self, stray: Stray, now: Instant) {
        self.settlement.counts.wrong_shard_resends += 1;
        tracing::debug!(
            stream = %self.shared.ledger.stream,
            shard_id = %stray.landing.shard_id,
            records = stray.parcel.records.len(),
            "an aggregate was stored by a shard that does not own all of its records, sending it again"
        );
        for parcel in stray.unresolved().repack(&self.routing, &self.limits) {
            self.retry(parcel, now);
        }
    }

    fn retry(&mut self, mut parcel: Parcel, now: Instant) {
        let delays = parcel
            .delays
            .get_or_insert_with(|| Box::new(RetryPolicy::data_path().delays(&self.shared.env)));
        let delay = delays.next_delay();
        for parcel in parcel.reroute(&self.routing, &self.limits) {
            self.retries.delay(parcel, now, delay);
        }
    }

    fn start_fetch(&mut self) {
        // A stray may lie on a shard that was closed meanwhile, which only the full list tells.
        let filter = if self.retries.has_strays() {
            ShardFilter::All
        } else {
            ShardFilter::AtLatest
        };
        let stream = self.shared.ledger.stream.clone();
        let fetch = fetch(self.kinesis.clone(), stream, filter);
        self.fetch = Some(self.shared.env.spawn(fetch));
    }

    fn on_fetched(&mut self, fetched: Result<Fetched, TaskError>) {
        self.fetch = None;
        let now = self.shared.env.now();
        let delay = self.next_fetch_delay();
        match self.stream.on_fetched(fetched.ok(), now, delay) {
            News::Nothing => {}
            News::NoStream(error) => {
                let held = self.shared.lock().take_held();
                for parcel in self.seal_alone(held) {
                    let cause = Cause::Request(error.clone());
                    self.settlement
                        .failed_by(parcel, DeliveryErrorKind::Rejected, cause);
                }
            }
            News::Routing { complete } => {
                if complete {
                    self.fetch_delays = None;
                }
                if self.stream.error().is_none() {
                    self.settlement.counts.shard_map_refreshes += 1;
                }
                self.set_routing();
                self.judge_strays(now);
            }
        }
    }

    /// Routes by what is known of the stream now.
    fn set_routing(&mut self) {
        let (routing, off) = self.stream.routing();
        self.routing = routing;
        let (displaced, before) = {
            let mut core = self.shared.lock();
            core.max_record_bytes = self.stream.record_limit();
            let before = std::mem::replace(&mut core.stats.aggregation_off, off);
            (core.route(self.routing.clone()), before)
        };
        let stream = &self.shared.ledger.stream;
        match off {
            Some(reason) if before != off && reason != AggregationOff::Disabled => {
                tracing::warn!(%stream, ?reason, "records are not aggregated");
            }
            None if before.is_some() => tracing::info!(%stream, "records are aggregated again"),
            _ => {}
        }
        self.collector.reroute(&self.routing, &self.limits);
        self.retries.reroute(&self.routing, &self.limits);
        for group in displaced {
            for parcel in group.seal(&self.routing, &self.limits) {
                self.admit(parcel);
            }
        }
    }

    fn judge_strays(&mut self, now: Instant) {
        let Some(map) = self.stream.map() else {
            return;
        };
        for (stray, judgement) in self.retries.judge_strays(map) {
            if judgement == Judgement::Fits {
                self.settlement.stored(&stray.parcel, stray.landing);
            } else {
                self.on_wrong_shard(stray, now);
            }
        }
        if self.retries.has_strays() {
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
        let (phase, groups, dismissed) = {
            let mut core = self.shared.lock();
            let phase = std::mem::replace(&mut core.phase, Phase::Stopping);
            (phase, core.take_all(now), core.room().dismiss())
        };
        let in_flight = std::mem::take(&mut self.in_flight);
        let mut unsent: Vec<Parcel> = in_flight.into_values().flat_map(Sent::give_up).collect();
        unsent.extend(self.retries.take_all());
        unsent.extend(self.collector.take_all());
        unsent.extend(self.seal_alone(groups));
        let mut report = Vec::new();
        for parcel in &unsent {
            self.settlement.failed(parcel, DeliveryErrorKind::Stopped);
            let records = parcel.records.iter().cloned().map(Record::from);
            report.extend(records.map(|record| Unsent::new(record, parcel.written)));
        }
        let records = report.len();
        if records > 0 && phase != Phase::Stopping {
            tracing::warn!(
                stream = %self.shared.ledger.stream,
                records,
                "the producer stopped with records that were not sent"
            );
        }
        // Whoever sees that the engine has ended sees the report as well.
        self.settlement.book_and(&self.shared, |core| {
            core.unsent = report;
            // A panic may have lost records that were in hand.
            core.unsent_total = records + core.outstanding();
            core.phase = Phase::Ended;
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

/// What a fetch brought; pending for ever if none runs.
async fn fetched(fetch: &mut Option<Task<Fetched>>) -> Result<Fetched, TaskError> {
    match fetch {
        Some(task) => task.await,
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

    fn engine(mock: &Mock) -> Engine {
        let aws = Aws::in_process(mock.service());
        let ledger = Arc::new(Ledger {
            stream: "orders".parse().unwrap(),
            unheeded: AtomicU64::new(0),
        });
        let shared = Shared::new(&Settings::default(), aws.env().clone(), ledger);
        Engine::new(Arc::new(shared), aws.kinesis(), Settings::default())
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_producer_has_no_timer() {
        let mock = Mock::new();
        mock.create_stream(&"orders".parse().unwrap(), 2).unwrap();
        let mut engine = engine(&mock);
        assert_eq!(engine.turn(), Some(None), "it only waits for the first map");
        let fetched = fetched(&mut engine.fetch).await;
        engine.on_fetched(fetched);
        assert_eq!(engine.turn(), Some(None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_producer_of_an_unknown_stream_has_no_timer() {
        let mut engine = engine(&Mock::new());
        assert_eq!(engine.turn(), Some(None));
        let fetched = fetched(&mut engine.fetch).await;
        engine.on_fetched(fetched);
        assert_eq!(engine.turn(), Some(None));
    }
}
