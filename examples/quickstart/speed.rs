//! Act 2: a million records from `send` to `process`, as fast as they go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use shardwise::StreamName;
use shardwise::prelude::*;
use tokio::sync::Notify;

use super::story::{Story, grouped};

const RECORDS: usize = 1_000_000;

/// As many bytes as a line of a log.
const BYTES: usize = 100;

const SHARDS: u32 = 4;

/// Different partition keys, so that every shard has its share.
const KEYS: usize = 10_000;

/// Deliveries that are awaited together.
const UNCONFIRMED: usize = 20_000;

/// How often a line is printed.
const STEP: usize = RECORDS / 4;

/// How long the rest may take to arrive after the last record was sent.
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts records, those that come twice as well.
struct Counter {
    processed: Arc<AtomicUsize>,
    all: Arc<Notify>,
}

impl RecordProcessor for Counter {
    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        let count = batch.records().len();
        let processed = count + self.processed.fetch_add(count, Ordering::Relaxed);
        checkpointer.checkpoint(batch.end()).await?;
        if processed >= RECORDS {
            self.all.notify_one();
        }
        Ok(())
    }
}

pub(crate) async fn play() -> anyhow::Result<()> {
    println!(
        "\nACT 2    {} records of {BYTES} bytes over {SHARDS} shards to one worker, with the mock, \
         all in this process.\n",
        grouped(RECORDS)
    );
    let aws = Aws::in_process(Mock::new().service());
    let env = aws.env().clone();
    let stream: StreamName = "shardwise-quickstart-speed".parse()?;
    aws.kinesis().create_stream(&stream, SHARDS).await?;
    let (processed, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let worker = Worker::builder(&aws)
        .application("shardwise-quickstart-speed")
        .stream(&stream)
        .build({
            let (processed, all) = (processed.clone(), all.clone());
            move |_shard| Counter {
                processed: processed.clone(),
                all: all.clone(),
            }
        })?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let working = env.spawn(worker.run_until(async {
        // A sender that is dropped stops it as well: the run has failed.
        let _stopped = stopped.await;
    }));

    let story = Story::begin(&env);
    let producer = Producer::builder(&aws).stream(stream).build()?;
    let data = shardwise::Bytes::from(vec![b'.'; BYTES]);
    let keys: Vec<shardwise::PartitionKey> = (0..KEYS)
        .map(|key| format!("key-{key}").try_into())
        .collect::<Result<_, _>>()?;
    let mut deliveries = Vec::with_capacity(UNCONFIRMED);
    for index in 0..RECORDS {
        let record = Record::new(keys[index % KEYS].clone(), data.clone());
        deliveries.push(producer.send(record).await?);
        if deliveries.len() == UNCONFIRMED {
            for delivery in deliveries.drain(..) {
                delivery.await.context("a record was not stored")?;
            }
        }
        if (index + 1) % STEP == 0 {
            let processed = processed.load(Ordering::Relaxed);
            story.tell(&format!(
                "{} records are sent, {} are processed",
                grouped(index + 1),
                grouped(processed)
            ));
        }
    }
    for delivery in deliveries.drain(..) {
        delivery.await.context("a record was not stored")?;
    }
    let sent = story.elapsed();
    let waited = env.timeout(PATIENCE, all.notified()).await;
    let took = story.elapsed();
    let count = processed.load(Ordering::Relaxed);
    ensure!(
        waited.is_ok() && count >= RECORDS,
        "{} of {} records were processed within {} s",
        grouped(count),
        grouped(RECORDS),
        PATIENCE.as_secs()
    );
    let closed = producer.close(PATIENCE).await;
    ensure!(
        closed.is_complete(),
        "{} records were not sent",
        closed.unsent.len()
    );
    // Fails only if the worker has ended by itself, and then its result says why.
    let _ended_already = stop.send(());
    working.await?.context("the worker failed")?;
    println!(
        "\nPASS     {} of {} records stored in {:.1} s and processed in {:.1} s: {} records a second \
         from end to end.",
        grouped(count),
        grouped(RECORDS),
        sent.as_secs_f64(),
        took.as_secs_f64(),
        grouped(rate(RECORDS, took))
    );
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "for showing"
)]
pub(crate) fn rate(records: usize, took: Duration) -> usize {
    (records as f64 / took.as_secs_f64()) as usize
}
