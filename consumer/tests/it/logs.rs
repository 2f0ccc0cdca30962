//! What a worker logs: levels that can be alerted on, and fields that say which worker and shard.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::journal::{Habits, Trouble};
use crate::support::{APPLICATION, STREAM, TestResult, World, seconds};

/// A line of the log with the fields of all spans around it.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    level: Level,
    pub(crate) message: String,
    pub(crate) fields: BTreeMap<String, String>,
    /// By span and name: `worker.stream`.
    pub(crate) spans: BTreeMap<String, String>,
}

thread_local! {
    /// Where the lines of this thread go.
    static LOG: RefCell<Option<Log>> = const { RefCell::new(None) };
}

/// The one subscriber of the process. One for each test would not do: where a line is first met on a thread
/// without one, it is switched off for all.
struct Collector;

/// Ends the collection.
pub(crate) struct Collecting;

impl Drop for Collecting {
    fn drop(&mut self) {
        LOG.set(None);
    }
}

/// The lines of this crate, from this thread.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Line>>>);

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let span = context.span(id).unwrap();
        span.extensions_mut().insert(fields);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !event.metadata().target().starts_with("shardwise_consumer") {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut spans = BTreeMap::new();
        for span in context.event_scope(event).into_iter().flatten() {
            let extensions = span.extensions();
            for (name, value) in &extensions.get::<Fields>().unwrap().0 {
                spans.insert(format!("{}.{name}", span.name()), value.clone());
            }
        }
        let line = Line {
            level: *event.metadata().level(),
            message: fields.0.remove("message").unwrap_or_default(),
            fields: fields.0,
            spans,
        };
        LOG.with_borrow(|log| {
            if let Some(log) = log {
                log.0.lock().unwrap().push(line);
            }
        });
    }
}

impl Log {
    /// Collects until the guard is dropped. All tasks of a test run on its thread.
    pub(crate) fn collect() -> (Self, Collecting) {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let subscriber = tracing_subscriber::registry().with(Collector);
            tracing::subscriber::set_global_default(subscriber).unwrap();
        });
        let log = Self::default();
        LOG.set(Some(log.clone()));
        (log, Collecting)
    }

    /// Lines of this level or a more urgent one.
    pub(crate) fn lines(&self, level: Level) -> Vec<Line> {
        let mut lines = self.0.lock().unwrap().clone();
        lines.retain(|line| line.level <= level);
        lines
    }
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_a_reshard_and_a_shutdown_log_nothing_above_info() -> TestResult {
    let (log, _guard) = Log::collect();
    let world = World::new(2);
    let (a, b) = (world.host("a"), world.host("b"));
    let worker_a = a.start();
    world
        .until("a has all", || worker_a.holds().len() == 2)
        .await;
    let worker_b = b.start();
    world
        .until("b has one", || worker_b.holds().len() == 1)
        .await;
    world.sleep(seconds(30.0)).await;
    world.split(0).await;
    world.sleep(seconds(30.0)).await;
    worker_a.stop().await?;
    world
        .until("b has all", || worker_b.holds().len() == 3)
        .await;
    worker_b.stop().await?;
    let urgent = log.lines(Level::WARN);
    assert!(urgent.is_empty(), "{urgent:#?}");
    let moves = |line: &&Line| line.message.starts_with("the lease is taken");
    assert!(log.lines(Level::INFO).iter().filter(moves).count() >= 4);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_failing_processor_is_a_warning_and_a_shard_given_up_an_error() -> TestResult {
    let (log, _guard) = Log::collect();
    let world = World::new(1);
    world.put("r").await;
    let host = world.host("a");
    let habits = Habits::trouble(|_| Trouble::Fail);
    let worker = host.start_with(host.builder(), habits);
    world
        .until("given up", || worker.stats.snapshot().shards_given_up == 1)
        .await;
    worker.stop().await?;
    let failing = |line: &&Line| line.message.contains("as the test asks");
    let errors = log.lines(Level::ERROR);
    assert_eq!(errors.iter().filter(failing).count(), 1, "{errors:#?}");
    let all = log.lines(Level::WARN);
    let warnings = all.iter().filter(|line| line.level == Level::WARN);
    assert_eq!(warnings.clone().filter(failing).count(), 4, "{all:#?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn each_line_names_application_stream_worker_and_shard() -> TestResult {
    let (log, _guard) = Log::collect();
    let world = World::new(1);
    world.put("r").await;
    let host = world.host("a");
    let habits = Habits::trouble(|_| Trouble::Panic);
    let worker = host.start_with(host.builder(), habits);
    world
        .until("given up", || worker.stats.snapshot().shards_given_up == 1)
        .await;
    worker.stop().await?;
    let worker = [
        ("worker.application", APPLICATION),
        ("worker.stream", STREAM),
        ("worker.worker_id", "a"),
    ];
    let lines = log.lines(Level::TRACE);
    assert!(!lines.is_empty());
    for line in lines {
        for (name, value) in worker {
            assert_eq!(
                line.spans.get(name).map(String::as_str),
                Some(value),
                "{line:#?}"
            );
        }
        if line.message.contains("processor") {
            let shard = line.spans.get("shard.shard_id").map(String::as_str);
            assert_eq!(shard, Some("shardId-000000000000"), "{line:#?}");
        }
    }
    Ok(())
}
