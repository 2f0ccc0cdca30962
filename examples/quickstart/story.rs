//! What the run says: a line for each event, with the time since the beginning, and the verdict.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use shardwise::env::Instant;
use shardwise::{Env, ShardId};

use super::flights::Delays;
use super::ledger::Verdict;
use super::speed::rate;

/// Airports with fewer flights than this have no telling mean.
const LEAST_FLIGHTS: u64 = 100;

/// How many airports are shown.
const SHOWN: usize = 3;

/// Says what happens, as it happens.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    env: Env,
    begin: Instant,
}

impl Story {
    pub(crate) fn begin(env: &Env) -> Self {
        Self {
            env: env.clone(),
            begin: env.now(),
        }
    }

    /// One event; further lines of the text say what follows from it.
    pub(crate) fn tell(&self, text: &str) {
        let seconds = self.elapsed().as_secs_f64();
        println!("{seconds:5.1} s  {}", text.replace('\n', "\n         "));
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.env.now() - self.begin
    }
}

/// What the first act came to.
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    pub(crate) records: Records,
    /// The worker that was killed, and how long its shards stood still.
    pub(crate) takeover: (&'static str, Option<Duration>),
    pub(crate) took: Duration,
}

/// How the records travelled.
pub(crate) struct Records {
    pub(crate) user_records: usize,
    pub(crate) kinesis_records: usize,
    pub(crate) calls: usize,
}

impl Report {
    /// Fails if anything was lost, out of order, or added up wrongly.
    pub(crate) fn check(&self, batch: &BTreeMap<String, Delays>) -> anyhow::Result<()> {
        let verdict = &self.verdict;
        ensure!(verdict.lost == 0, "{} flights were lost", verdict.lost);
        ensure!(
            verdict.order_violations == 0,
            "{} flights came out of order",
            verdict.order_violations
        );
        ensure!(
            self.takeover.1.is_some(),
            "the dead worker's shards were not taken over"
        );
        for (shard, start) in &verdict.child_starts {
            ensure!(start.is_some(), "{shard} did not start after its parents");
        }
        ensure!(
            verdict.delays == *batch,
            "the means differ from those of the batch computation"
        );
        Ok(())
    }

    /// The verdict of a run that has passed its [`check`](Self::check).
    pub(crate) fn print(&self) {
        let verdict = &self.verdict;
        let (dead, takeover) = self.takeover;
        let flights = verdict.delivered - verdict.duplicates;
        println!(
            "\nPASS     {count} of {count} flights processed, each airport's in order, in {:.1} s.",
            self.took.as_secs_f64(),
            count = grouped(flights)
        );
        let again = match verdict.duplicates {
            0 => format!("None came twice: worker {dead} died right behind a checkpoint."),
            count => format!(
                "{} came twice: worker {dead} had processed them when it was killed, and had not \
                 checkpointed them.\n         At least once is the promise; the totals count each \
                 flight by its number, once.",
                grouped(count)
            ),
        };
        println!("         {again}");
        let starts: Vec<_> = verdict
            .child_starts
            .iter()
            .filter_map(|(_, start)| *start)
            .collect();
        println!(
            "         The dead worker's shards went on after {}; child shards began {} after their \
             parents' end, at most.",
            seconds(takeover.unwrap_or_default()),
            seconds(starts.into_iter().max().unwrap_or_default()),
        );
        let Records {
            user_records,
            kinesis_records,
            calls,
        } = self.records;
        println!(
            "         {} records travelled as {} Kinesis records in {} calls: aggregation, at {} \
             flights a second.",
            grouped(user_records),
            grouped(kinesis_records),
            grouped(calls),
            grouped(rate(user_records, crate::SENDING)),
        );
        println!(
            "         The mean delays of {} airports are those of a batch computation over the \
             file. The longest:",
            verdict.delays.len()
        );
        let mut by_delay: Vec<_> = verdict.delays.iter().collect();
        by_delay.retain(|(_, delays)| delays.flights >= LEAST_FLIGHTS);
        by_delay.sort_by(|a, b| b.1.mean().total_cmp(&a.1.mean()));
        for (airport, delays) in by_delay.iter().take(SHOWN) {
            println!(
                "           {airport}  {:.1} minutes over {} flights",
                delays.mean(),
                delays.flights
            );
        }
    }
}

/// `shardId-000000000003` is called shard 3 here.
pub(crate) fn name(shard: &ShardId) -> String {
    let number = shard.as_str().trim_start_matches("shardId-");
    match number.trim_start_matches('0') {
        "" => "shard 0".to_owned(),
        number => format!("shard {number}"),
    }
}

/// Names of shards, as in a sentence.
pub(crate) fn names<'a>(shards: impl IntoIterator<Item = &'a ShardId>) -> String {
    let names: Vec<_> = shards.into_iter().map(name).collect();
    names.join(" and ")
}

/// 20000 is written 20,000.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// What to do next.
pub(crate) fn epilogue() {
    println!(
        "\nNEXT     cargo install --path cli                     the command `shardwise`: mock, \
         produce, consume\n         shardwise mock --create-stream orders:4      Kinesis and DynamoDB on \
         a port, for any client\n         cargo run --release --example quickstart -- --endpoint \
         http://127.0.0.1:4567\n         README.md: how to depend on the crate, and the \
         first lines of an application"
    );
}
