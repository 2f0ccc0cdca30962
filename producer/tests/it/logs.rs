//! What the log says, and how often.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use shardwise_client::transport::TransportFault;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::support::{World, record, send_all};

/// Keeps the warnings of this thread.
#[derive(Debug, Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn keep() -> (Self, DefaultGuard) {
        let warnings = Self::default();
        let guard = tracing::subscriber::set_default(warnings.clone());
        (warnings, guard)
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("shardwise")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_drop_with_unsent_records_is_logged_once_with_their_number() {
    let (warnings, _guard) = Warnings::keep();
    let world = World::new(3);
    let producer = world.builder().aggregation(false).build().unwrap();
    world.faults.on("PutRecords", 9, TransportFault::HangBefore);
    let mut deliveries = send_all(&producer, 0..60).await;
    drop(deliveries.split_off(30));
    world.sleep_ms(150).await;
    deliveries.extend(send_all(&producer, 60..100).await);
    drop(producer);
    for delivery in deliveries {
        delivery.await.unwrap_err();
    }
    let logged = warnings.take();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].contains("records=100 "), "{logged:?}");
    assert!(logged[0].contains("stream=orders "), "{logged:?}");
}

#[tokio::test(start_paused = true)]
async fn failures_of_dropped_deliveries_are_logged_together() {
    let (warnings, _guard) = Warnings::keep();
    let world = World::new(3);
    let producer = world.builder().aggregation(false).build().unwrap();
    world.tamper.refuse("PutRecords", "AccessDeniedException");
    drop(send_all(&producer, 0..60).await);
    producer.flush().await.unwrap();
    let logged = warnings.take();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].contains("records=60 "), "{logged:?}");
    assert!(logged[0].contains("AccessDenied"), "{logged:?}");
}

#[tokio::test(start_paused = true)]
async fn a_denied_description_is_warned_of_once() {
    let (warnings, _guard) = Warnings::keep();
    let world = World::new(1);
    world
        .tamper
        .refuse("DescribeStreamSummary", "AccessDeniedException");
    let age = std::time::Duration::from_millis(500);
    let producer = world.builder().shard_map_refresh(age).build().unwrap();
    for n in 0..50 {
        producer.send(record(n)).await.unwrap().await.unwrap();
    }
    assert!(producer.stats().snapshot().shard_map_refreshes > 5);
    let logged = warnings.take();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].contains("DistributionUnknown"), "{logged:?}");
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_is_closed_in_time_logs_nothing() {
    let (warnings, _guard) = Warnings::keep();
    let world = World::new(2);
    let producer = world.producer();
    drop(send_all(&producer, 0..60).await);
    let report = producer.close(std::time::Duration::from_secs(5)).await;
    assert!(report.is_complete());
    drop(producer);
    world.sleep_ms(10).await;
    assert_eq!(warnings.take(), Vec::<String>::new());
}
