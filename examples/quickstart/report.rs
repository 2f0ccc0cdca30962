//! What the run shows: progress on the way, a table at the end.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use anyhow::ensure;
use indicatif::{ProgressBar, ProgressStyle};

use super::flights::Delays;
use super::ledger::Verdict;
use crate::Figures;

/// Where nobody watches, a line is printed for each of this many parts of the whole.
const PLAIN_LINES: usize = 10;

/// A bar on a terminal, plain lines elsewhere.
pub(crate) struct Progress {
    total: usize,
    bar: Option<ProgressBar>,
    line: Cell<usize>,
}

impl Progress {
    pub(crate) fn new(total: usize) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total as u64);
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} delivered, {msg}");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar
        });
        Self {
            total,
            bar,
            line: Cell::new(0),
        }
    }

    pub(crate) fn show(&self, sent: usize, delivered: usize) {
        if let Some(bar) = &self.bar {
            bar.set_position(delivered as u64);
            bar.set_message(format!("{sent} sent"));
        } else if sent * PLAIN_LINES / self.total > self.line.get() {
            self.line.set(sent * PLAIN_LINES / self.total);
            println!("{sent:>6} of {} sent, {delivered} delivered", self.total);
        }
    }

    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("       {text}")),
            None => println!("       {text}"),
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The figures of a run.
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    pub(crate) stats: Figures,
    pub(crate) takeover: Option<Duration>,
    pub(crate) wall: Duration,
}

impl Report {
    /// Fails if anything was lost, out of order, or added up wrongly.
    pub(crate) fn check(&self, batch: &BTreeMap<String, Delays>) -> anyhow::Result<()> {
        let Verdict {
            lost,
            order_violations,
            delays,
            child_starts,
            ..
        } = &self.verdict;
        ensure!(*lost == 0, "{lost} flights were lost");
        ensure!(
            *order_violations == 0,
            "{order_violations} flights came out of order"
        );
        ensure!(
            self.takeover.is_some(),
            "the dead worker's shards were not taken over"
        );
        for (shard, start) in child_starts {
            ensure!(start.is_some(), "{shard} did not start after its parents");
        }
        ensure!(
            delays == batch,
            "the means differ from those of the batch computation"
        );
        println!(
            "means of {} airports: equal to the batch computation over the file",
            batch.len()
        );
        Ok(())
    }
}

pub(crate) fn print(report: &Report) {
    let Report {
        verdict,
        stats,
        takeover,
        wall,
    } = report;
    let line = |what: &str, value: String| println!("{what:<34} {value:>12}");
    println!();
    line("user records sent", stats.user_records.to_string());
    line("Kinesis records", stats.kinesis_records.to_string());
    line("PutRecords calls", stats.calls.to_string());
    line(
        "records per aggregate",
        ratio(stats.user_records, stats.kinesis_records),
    );
    line("delivered", verdict.delivered.to_string());
    line("duplicates", verdict.duplicates.to_string());
    line("lost", verdict.lost.to_string());
    line("order violations", verdict.order_violations.to_string());
    line(
        "stored out of send order",
        verdict.stored_out_of_order.to_string(),
    );
    line("takeover of a dead worker", seconds(*takeover));
    for (shard, start) in &verdict.child_starts {
        line(&format!("start of {shard}"), seconds(*start));
    }
    line("wall time", seconds(Some(*wall)));
    println!();
    println!("longest mean delays, minutes:");
    let mut by_delay: Vec<_> = verdict.delays.iter().collect();
    by_delay.retain(|(_, delays)| delays.flights >= 100);
    by_delay.sort_by(|a, b| b.1.mean().total_cmp(&a.1.mean()));
    for (airport, delays) in by_delay.iter().take(5) {
        line(
            &format!("  {airport} ({} flights)", delays.flights),
            format!("{:.2}", delays.mean()),
        );
    }
    println!();
}

#[expect(clippy::cast_precision_loss, reason = "for showing")]
fn ratio(of: u64, to: u64) -> String {
    format!("{:.1}", of as f64 / to.max(1) as f64)
}

fn seconds(duration: Option<Duration>) -> String {
    duration.map_or_else(
        || "never".to_owned(),
        |d| format!("{:.2} s", d.as_secs_f64()),
    )
}
