//! The main job, end to end, on real input, in about a minute.
//!
//! Act 1: 20,000 flights go through the producer, keyed by their airport of origin. Two workers of one
//! application share the stream's shards through leases and compute each airport's mean delay.
//! While flights are still being sent, a shard is split, two are merged, and a worker is killed
//! without warning. At the end nothing may be lost or out of order, and the means must be those of
//! a batch computation over the file; anything else is exit code 1.
//!
//! Act 2: 1,000,000 records, as fast as they go.
//!
//! - `cargo run --release --example quickstart`: everything in this process, on the embedded mock.
//! - `... -- --endpoint URL`: act 1 against a mock in another process, such as `shardwise mock`.
//! - `... -- --aws`: act 1 against what the environment variables name (`AWS_REGION`,
//!   `AWS_ACCESS_KEY_ID`, ...). A stream and a table named `shardwise-quickstart-...` are made; the
//!   stream is deleted at the end, the table is left to look at.

#![allow(clippy::print_stdout, reason = "a program that shows its result")]

mod quickstart {
    pub(crate) mod flights;
    pub(crate) mod ledger;
    pub(crate) mod speed;
    pub(crate) mod stage;
    pub(crate) mod story;
    pub(crate) mod workers;
}

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use quickstart::flights::{self, Flight};
use quickstart::ledger::Ledger;
use quickstart::stage::{Options, Stage};
use quickstart::story::{Records, Report, Story, grouped, names};
use quickstart::workers::Crew;
use quickstart::{speed, story};
use shardwise::env::{Instant, Task};
use shardwise::prelude::*;
use shardwise::producer::Delivery;
use shardwise::{Env, Shard};
use tokio::sync::mpsc;

/// How long sending takes. With the default failover of 10 s, a takeover takes up to 17 s; the
/// worker dies at 60 %, so all ends within 30 to 45 s.
pub(crate) const SENDING: Duration = Duration::from_secs(32);

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
    match Options::parse(std::env::args().skip(1)) {
        Ok(options) => match run(&options).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("\nFAIL     {error:#}");
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
    println!(
        "ACT 1    {} real flights go through a producer, keyed by airport, in {} s. Two workers, A \
         and B,\n         share the stream's shards by leases and add up each airport's delays. \
         Meanwhile a shard is\n         split, two are merged, and a worker is killed. Nothing may be \
         lost, and the result must be\n         that of a batch computation over the file.\n",
        grouped(flights.len()),
        SENDING.as_secs()
    );
    let stage = Stage::set(options).await?;
    // Whatever became of the run, the stream must not stay behind.
    let played = play(&stage, &flights).await;
    let cleared = stage.clear().await;
    let report = played?;
    cleared?;
    report.check(&flights::batch(&flights))?;
    report.print();
    if matches!(options, Options::Embedded) {
        speed::play().await?;
    }
    story::epilogue();
    Ok(())
}

async fn play(stage: &Stage, flights: &[Flight]) -> anyhow::Result<Report> {
    let env = stage.aws.env().clone();
    let story = Story::begin(&env);
    let ledger = Ledger::default();
    let mut crew = Crew::start(stage, &ledger, &story)?;
    crew.until_both_process().await?;

    let producer = Producer::builder(&stage.aws)
        .stream(&stage.stream)
        .build()?;
    let sent = Arc::new(AtomicUsize::new(0));
    let sending = send(
        env.clone(),
        producer.clone(),
        flights.to_vec(),
        sent.clone(),
    );
    story.tell("sending begins");
    let sender = env.spawn(sending);
    let due = Due {
        env: env.clone(),
        sent,
        total: flights.len(),
        story: &story,
        ledger: &ledger,
    };

    let open = due.event(SPLIT_AT, "split", stage, &crew).await?;
    story.tell(&format!(
        "SPLIT    {} is split: its children wait until it is processed to its end",
        names(open.first().map(|shard| &shard.shard_id))
    ));
    stage.split(&open).await?;

    let open = due.event(MERGE_AT, "merge", stage, &crew).await?;
    story.tell(&format!(
        "MERGE    {} are merged: their child waits for both",
        names(open.iter().skip(1).map(|shard| &shard.shard_id))
    ));
    stage.merge(&open).await?;

    let open = due
        .event(KILL_AT, "death of a worker", stage, &crew)
        .await?;
    let death = crew.kill_one(&open, &ledger)?;
    story.tell(&format!(
        "KILL     worker {} is killed without warning, holding {}: its leases run out after 10 s,\n\
         and then the other worker takes them",
        death.worker,
        names(&death.shards)
    ));

    due.until_sent(100).await;
    sender.await.context("the sender ended early")??;
    story.tell("every flight is sent and stored");
    due.until_all_delivered().await?;
    story.tell("every flight is processed");
    let stats = producer.stats().snapshot();
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
        records: Records {
            user_records: count(stats.user_records_acknowledged),
            kinesis_records: count(stats.kinesis_records_put),
            calls: count(stats.put_records_calls),
        },
        takeover: (death.worker, ledger.takeover()),
        took: story.elapsed(),
    })
}

fn count(counter: u64) -> usize {
    usize::try_from(counter).unwrap_or(usize::MAX)
}

/// Sends all flights at an even pace, then waits until each is stored.
async fn send(
    env: Env,
    producer: Producer,
    flights: Vec<Flight>,
    sent: Arc<AtomicUsize>,
) -> anyhow::Result<()> {
    let (deliveries, unconfirmed) = mpsc::channel(MAX_UNCONFIRMED);
    let confirming: Task<anyhow::Result<()>> = env.spawn(confirm(unconfirmed));
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
            .context("the outcome is not awaited")?;
        sent.store(index + 1, Ordering::Relaxed);
    }
    drop(deliveries);
    confirming.await?
}

/// Awaits each outcome. A flight that could not be stored ends the run.
async fn confirm(mut unconfirmed: mpsc::Receiver<(usize, Delivery)>) -> anyhow::Result<()> {
    while let Some((flight, delivery)) = unconfirmed.recv().await {
        delivery
            .await
            .with_context(|| format!("flight {flight} was not stored"))?;
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
    story: &'a Story,
    ledger: &'a Ledger,
}

impl Due<'_> {
    /// Waits until it is time for an event, with both workers at work; gives the open shards. Fails
    /// if the event comes too late to prove anything.
    async fn event(
        &self,
        at: usize,
        event: &str,
        stage: &Stage,
        crew: &Crew,
    ) -> anyhow::Result<Vec<Shard>> {
        self.until_sent(at).await;
        let open = stage.open_shards().await?;
        crew.until_both_process().await?;
        let (sent, processed) = (self.sent(), self.ledger.distinct());
        let unsent = (self.total - sent) * 100 / self.total;
        ensure!(
            unsent >= LEAST_UNSENT,
            "the {event} came too late: {unsent} % of the flights unsent, at least {LEAST_UNSENT} % wanted"
        );
        self.story.tell(&format!(
            "{} flights are sent, {} are processed",
            grouped(sent),
            grouped(processed)
        ));
        Ok(open)
    }

    /// Waits until this percentage of the flights has been sent.
    async fn until_sent(&self, percent: usize) {
        while self.sent() * 100 < self.total * percent {
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
            self.pause().await;
        }
        Ok(())
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    async fn pause(&self) {
        self.env.sleep(Duration::from_millis(50)).await;
    }
}
