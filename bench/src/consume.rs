//! What a consumer spends on each record.
//!
//! The rate says little: a shard hands out 2 MiB a second, and the consumer keeps to that.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use shardwise_consumer::{
    Batch, BoxError, Checkpointer, InitialPosition, MemoryLeaseStore, RecordProcessor, Worker,
};
use shardwise_producer::Producer;
use tokio::sync::Notify;

use crate::Common;
use crate::backend::{Backend, Where};
use crate::load::Load;
use crate::null::Served;
use crate::report::Run;

/// How long the mock may take to be filled.
const DRAIN: Duration = Duration::from_secs(60);

/// Records on their way into the mock.
const OUTSTANDING: usize = 50_000;

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// How many records to read.
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    /// Read aggregates, as the producer makes them; an endpoint has what it has.
    #[arg(long)]
    aggregated: bool,
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aggregated = if self.aggregated { " aggregated" } else { "" };
        write!(f, "{}{aggregated} records", self.records)
    }
}

impl Options {
    pub(crate) fn served(&self, bytes: usize) -> Served {
        if self.aggregated {
            Served::Aggregated(bytes)
        } else {
            Served::Plain(bytes)
        }
    }
}

/// What has been seen of all shards.
#[derive(Default)]
struct Seen {
    records: AtomicUsize,
    bytes: AtomicUsize,
    first: Notify,
    enough: Notify,
}

/// Looks at each record once.
struct Counter {
    seen: Arc<Seen>,
    enough: usize,
}

impl RecordProcessor for Counter {
    async fn process(&mut self, batch: Batch, _: &Checkpointer) -> Result<(), BoxError> {
        let bytes = batch.records().iter().map(|record| record.data.len()).sum();
        self.seen.bytes.fetch_add(bytes, Ordering::Relaxed);
        let count = batch.records().len();
        let before = self.seen.records.fetch_add(count, Ordering::Relaxed);
        if before == 0 {
            self.seen.first.notify_one();
        }
        if before + count >= self.enough {
            self.seen.enough.notify_one();
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]
pub(crate) async fn measure(
    options: &Options,
    backend: &Backend,
    common: &Common,
) -> anyhow::Result<Run> {
    if backend.place == Where::Mock {
        fill(options, backend, common).await?;
    }
    let env = backend.aws.env();
    let seen = Arc::new(Seen::default());
    let (counted, enough) = (seen.clone(), options.records);
    let worker = Worker::builder(&backend.aws)
        .application("bench")
        .stream(&common.stream)
        .initial_position(InitialPosition::TrimHorizon)
        .lease_store(MemoryLeaseStore::default())
        .build(move |_| Counter {
            seen: counted.clone(),
            enough,
        })?;

    let mut figures = None;
    let reading = async {
        seen.first.notified().await;
        let (begin, cpu) = (env.now(), backend.cpu());
        let before = seen.records.load(Ordering::Relaxed);
        seen.enough.notified().await;
        let read = seen.records.load(Ordering::Relaxed) - before;
        figures = Some((env.now() - begin, cpu, backend.cpu(), read));
    };
    worker.run_until(reading).await?;
    let (elapsed, cpu, cpu_after, read) = figures.context("the worker ended early")?;
    let ((own, served), (own_after, served_after)) = (cpu?, cpu_after?);
    ensure!(read > 0, "all records came at once: read more of them");
    ensure!(
        seen.bytes.load(Ordering::Relaxed) >= read * common.bytes
            || backend.place == Where::Endpoint,
        "records are smaller than they should be"
    );
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / read as f64;
    Ok(vec![
        ("records/s", read as f64 / elapsed.as_secs_f64()),
        ("CPU us/record", micros(own_after - own)),
        ("service CPU us/record", micros(served_after - served)),
        (
            "CPU % of a core",
            (own_after - own).as_secs_f64() * 100.0 / elapsed.as_secs_f64(),
        ),
        ("peak memory MiB", crate::cpu::peak_memory_mib()?),
    ])
}

/// Puts the records into the mock.
async fn fill(options: &Options, backend: &Backend, common: &Common) -> anyhow::Result<()> {
    let load = Load::new(common.bytes, backend.aws.env())?;
    let producer = Producer::builder(&backend.aws)
        .stream(&common.stream)
        .aggregation(options.aggregated)
        .build()?;
    let mut waiting = VecDeque::new();
    for number in 0..options.records {
        if waiting.len() >= OUTSTANDING
            && let Some(oldest) = waiting.pop_front()
        {
            let oldest: shardwise_producer::Delivery = oldest;
            oldest.await?;
        }
        waiting.push_back(producer.send(load.record(number)).await?);
    }
    let closed = producer.close(DRAIN).await;
    ensure!(closed.is_complete(), "the mock could not be filled");
    Ok(())
}
