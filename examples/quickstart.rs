//! The main job, end to end, on real input, in about forty seconds.
//!
//! 20,000 flights go through the producer, keyed by their airport of origin. Two workers of one
//! application share the stream's shards through leases and compute each airport's mean delay.
//! While flights are still being sent, a shard is split, two are merged, and a worker is killed
//! without warning. At the end nothing may be lost or out of order, and the means must be those of
//! a batch computation over the file; anything else is exit code 1.
//!
//! - `cargo run --release --example quickstart`: everything in this process, on the embedded mock.
//! - `... -- --endpoint URL`: against a mock in another process, such as `shardwise mock`.
//! - `... -- --aws`: against what the environment names (`AWS_REGION`, `AWS_ACCESS_KEY_ID`, ...).
//!   A stream and a table named `shardwise-quickstart-...` are made; the stream is deleted at the
//!   end, the table is left to look at.

#![allow(clippy::print_stdout, reason = "a program that shows its result")]

mod quickstart {
    pub(crate) mod flights;
    pub(crate) mod ledger;
    pub(crate) mod report;
    pub(crate) mod stage;
    pub(crate) mod workers;
}

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use quickstart::flights::{self, Flight};
use quickstart::ledger::Ledger;
use quickstart::report::{self, Progress, Report};
use quickstart::stage::{Options, Stage};
use quickstart::workers::Crew;
use shardwise_env::{Env, Instant, Task};
use shardwise_producer::{Delivery, Producer, Record, Stats};
use tokio::sync::mpsc;

/// How long sending takes. With the default failover of 10 s, a takeover takes up to 17 s; the
/// worker dies at 60 %, so all ends within 30 to 45 s.
const SENDING: Duration = Duration::from_secs(32);

/// When, in percent of the flights sent, something happens to the fleet.
const SPLIT_AT: usize = 20;
const MERGE_AT: usize = 40;
const KILL_AT: usize = 60;

/// Each event must come while at least this share of the flights is still to be sent, in percent:
/// otherwise it would prove nothing.
const LEAST_UNSENT: usize = 20;

/// Flights that are sent at once between two looks at the clock.
const BURST: usize = 10;

/// Deliveries whose outcome is awaited: as many as the producer's buffer may hold.
const MAX_UNCONFIRMED: usize = 100_000;

/// How long the rest may take to arrive after the last flight was sent.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match Options::parse(std::env::args().skip(1)) {
        Ok(options) => match run(&options).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("quickstart: {error:#}");
                ExitCode::FAILURE
            }
        },
        Err(usage) => {
            eprintln!("{usage}");
            ExitCode::from(2)
        }
    }
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let flights = flights::read()?;
    let stage = Stage::set(options).await?;
    // Whatever became of the run, the stream must not stay behind.
    let played = play(&stage, &flights).await;
    let cleared = stage.clear().await;
    let report = played?;
    cleared?;
    report::print(&report);
    report.check(&flights::batch(&flights))
}

async fn play(stage: &Stage, flights: &[Flight]) -> anyhow::Result<Report> {
    let env = stage.aws.env().clone();
    let begin = env.now();
    let ledger = Ledger::default();
    let mut crew = Crew::start(stage, &ledger)?;
    crew.until_both_process().await?;

    let progress = Progress::new(flights.len());
    let producer = Producer::builder(&stage.aws, stage.stream.clone()).build()?;
    let sent = Arc::new(AtomicUsize::new(0));
    let sending = send(
        env.clone(),
        producer.clone(),
        flights.to_vec(),
        sent.clone(),
        ledger.clone(),
    );
    let sender = env.spawn(sending);
    let due = Due {
        env: env.clone(),
        sent,
        total: flights.len(),
        progress: &progress,
        ledger: &ledger,
    };

    due.until_sent(SPLIT_AT).await;
    let open = stage.open_shards().await?;
    crew.until_both_process().await?;
    due.check("split")?;
    stage.split(&open).await?;
    progress.note("a shard was split");

    due.until_sent(MERGE_AT).await;
    let open = stage.open_shards().await?;
    crew.until_both_process().await?;
    due.check("merge")?;
    stage.merge(&open).await?;
    progress.note("two shards were merged");

    due.until_sent(KILL_AT).await;
    let open = stage.open_shards().await?;
    crew.until_both_process().await?;
    due.check("death of a worker")?;
    let death = crew.kill_one(&open)?;
    progress.note(&format!(
        "worker {} was killed, holding {} open shards",
        death.worker,
        death.shards.len()
    ));

    due.until_sent(100).await;
    sender.await.context("the sender ended early")??;
    due.until_all_delivered().await?;
    progress.finish();
    let stats = producer.stats();
    let closed = producer.close(PATIENCE).await;
    ensure!(
        closed.is_complete(),
        "{} flights were not sent",
        closed.unsent.len()
    );
    crew.stop().await?;

    let shards = stage.all_shards().await?;
    Ok(Report {
        verdict: ledger.judge(&shards, flights.len()),
        stats: Figures::of(&stats),
        takeover: ledger.takeover(death.worker, &death.shards, death.at),
        wall: env.now() - begin,
    })
}

/// The producer's figures that the report shows.
pub(crate) struct Figures {
    pub(crate) user_records: u64,
    pub(crate) kinesis_records: u64,
    pub(crate) calls: u64,
}

impl Figures {
    fn of(stats: &Stats) -> Self {
        Self {
            user_records: stats.user_records_acknowledged,
            kinesis_records: stats.kinesis_records_put,
            calls: stats.put_records_calls,
        }
    }
}

/// Sends all flights at an even pace, then waits until each is stored.
async fn send(
    env: Env,
    producer: Producer,
    flights: Vec<Flight>,
    sent: Arc<AtomicUsize>,
    ledger: Ledger,
) -> anyhow::Result<()> {
    let (deliveries, unconfirmed) = mpsc::channel(MAX_UNCONFIRMED);
    let confirming: Task<anyhow::Result<()>> = env.spawn(confirm(unconfirmed, ledger));
    let begin = env.now();
    for (index, flight) in flights.iter().enumerate() {
        if index % BURST == 0 {
            env.sleep_until(begin + share(SENDING, index, flights.len()))
                .await;
        }
        let record = Record::new(flight.origin.as_str().try_into()?, flight.to_data());
        let delivery = producer.send(record).await?;
        deliveries
            .send((flight.number, delivery))
            .await
            .context("nobody awaits the outcome")?;
        sent.store(index + 1, Ordering::Relaxed);
    }
    drop(deliveries);
    confirming.await?
}

/// Awaits each outcome. A flight that could not be stored ends the run.
async fn confirm(
    mut unconfirmed: mpsc::Receiver<(usize, Delivery)>,
    ledger: Ledger,
) -> anyhow::Result<()> {
    while let Some((flight, delivery)) = unconfirmed.recv().await {
        let receipt = delivery
            .await
            .with_context(|| format!("flight {flight} was not stored"))?;
        let place = (
            receipt.shard_id,
            receipt.sequence_number,
            receipt.sub_sequence_number,
        );
        ledger.stored(flight, place);
    }
    Ok(())
}

fn share(whole: Duration, part: usize, of: usize) -> Duration {
    let (part, of) = (u32::try_from(part), u32::try_from(of.max(1)));
    whole * part.unwrap_or(u32::MAX) / of.unwrap_or(u32::MAX)
}

/// What is sent and what is still to come.
struct Due<'a> {
    env: Env,
    sent: Arc<AtomicUsize>,
    total: usize,
    progress: &'a Progress,
    ledger: &'a Ledger,
}

impl Due<'_> {
    /// Waits until this percentage of the flights has been sent.
    async fn until_sent(&self, percent: usize) {
        while self.show() * 100 < self.total * percent {
            self.pause().await;
        }
    }

    /// Waits until every flight has been delivered at least once.
    async fn until_all_delivered(&self) -> anyhow::Result<()> {
        let limit: Instant = self.env.now() + PATIENCE;
        while self.ledger.distinct() < self.total {
            ensure!(
                self.env.now() < limit,
                "{} flights were not delivered within {} s",
                self.total - self.ledger.distinct(),
                PATIENCE.as_secs()
            );
            self.show();
            self.pause().await;
        }
        Ok(())
    }

    /// Fails if an event comes too late to prove anything.
    fn check(&self, event: &str) -> anyhow::Result<()> {
        let unsent = (self.total - self.show()) * 100 / self.total;
        ensure!(
            unsent >= LEAST_UNSENT,
            "the {event} came too late: {unsent} % of the flights unsent, at least {LEAST_UNSENT} % wanted"
        );
        Ok(())
    }

    fn show(&self) -> usize {
        let sent = self.sent.load(Ordering::Relaxed);
        self.progress.show(sent, self.ledger.distinct());
        sent
    }

    async fn pause(&self) {
        self.env.sleep(Duration::from_millis(50)).await;
    }
}
