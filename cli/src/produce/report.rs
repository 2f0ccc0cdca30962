//! What became of each line: awaited in order, counted, told.

use anyhow::ensure;
use serde::Serialize;
use shardwise_client::Written;
use shardwise_env::{Env, Instant};
use shardwise_producer::Receipt;
use tokio::sync::mpsc;

use super::Sent;
use super::progress::Progress;
use crate::output::{Format, Output};

/// The outcome of the lines so far.
pub(super) struct Report<'a> {
    env: Env,
    begin: Instant,
    format: Format,
    output: &'a Output,
    progress: Progress,
    stored: u64,
    failed: u64,
    /// Failures that are not told yet, because the next line may have failed in the same way.
    untold: Option<Failures>,
}

/// Lines in a row that failed for one reason.
#[derive(Debug, PartialEq, Eq)]
struct Failures {
    first: u64,
    last: u64,
    reason: String,
}

impl Failures {
    fn text(&self) -> String {
        let Self {
            first,
            last,
            reason,
        } = self;
        if first == last {
            format!("line {first} was not stored: {reason}")
        } else {
            format!("lines {first} to {last} were not stored: {reason}")
        }
    }
}

#[derive(Debug, Serialize)]
struct Stored<'a> {
    line: u64,
    shard_id: &'a str,
    sequence_number: &'a str,
    sub_sequence_number: u64,
    maybe_duplicate: bool,
}

#[derive(Debug, Serialize)]
struct Failed<'a> {
    line: u64,
    error: &'a str,
    maybe_stored: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(env: &Env, format: Format, output: &'a Output, bytes: Option<u64>) -> Self {
        Self {
            env: env.clone(),
            begin: env.now(),
            format,
            output,
            progress: match format {
                Format::Text => Progress::new(env, bytes),
                Format::Json => Progress::quiet(env),
            },
            stored: 0,
            failed: 0,
            untold: None,
        }
    }

    /// Waits for the lines' outcomes until no more come.
    pub(super) async fn settle(&mut self, mut sent: mpsc::Receiver<Sent>) {
        while let Some(Sent { line, read, result }) = sent.recv().await {
            match result {
                Err(reason) => self.failed(line, reason, false),
                Ok(delivery) => match delivery.await {
                    Ok(receipt) => self.stored(line, &receipt),
                    Err(error) => {
                        let maybe_stored = error.written() != Written::No;
                        self.failed(line, error.to_string(), maybe_stored);
                    }
                },
            }
            self.progress.show(read, self.stored);
        }
    }

    fn stored(&mut self, line: u64, receipt: &Receipt) {
        self.stored += 1;
        self.tell();
        self.print(&Stored {
            line,
            shard_id: receipt.shard_id.as_str(),
            sequence_number: receipt.sequence_number.as_str(),
            sub_sequence_number: receipt.sub_sequence_number,
            maybe_duplicate: receipt.maybe_duplicate,
        });
    }

    fn failed(&mut self, line: u64, reason: String, maybe_stored: bool) {
        self.failed += 1;
        self.print(&Failed {
            line,
            error: &reason,
            maybe_stored,
        });
        match &mut self.untold {
            Some(failures) if failures.reason == reason => failures.last = line,
            _ => {
                self.tell();
                self.untold = Some(Failures {
                    first: line,
                    last: line,
                    reason,
                });
            }
        }
    }

    fn print(&self, value: &impl Serialize) {
        if self.format == Format::Json
            && let Ok(mut line) = serde_json::to_vec(value)
        {
            line.push(b'\n');
            // The output remembers that it failed; the records are sent all the same.
            let _remembered = self.output.write(&line);
        }
    }

    fn tell(&mut self) {
        if let Some(failures) = self.untold.take() {
            self.progress.note(&failures.text());
        }
    }

    /// Tells the rest, and the summary.
    pub(super) fn finish(&mut self) {
        self.tell();
        self.progress.finish();
        let took = self.env.now() - self.begin;
        let summary = format!(
            "{} records stored, {} not stored, in {:.1} s",
            self.stored,
            self.failed,
            took.as_secs_f64()
        );
        match self.format {
            Format::Text => {
                let _remembered = self.output.write(format!("{summary}\n").as_bytes());
            }
            Format::Json => eprintln!("{summary}"),
        }
    }

    /// Fails if any line was not stored.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let (failed, all) = (self.failed, self.lines());
        ensure!(failed == 0, "{failed} of {all} lines were not stored");
        Ok(())
    }

    /// Lines whose outcome is known.
    pub(super) fn lines(&self) -> u64 {
        self.stored + self.failed
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[test]
    fn failures_in_a_row_for_one_reason_are_told_together() {
        let output = Output::new(CancellationToken::new());
        let mut report = Report::new(&Env::system(), Format::Text, &output, None);
        for line in 3..=5 {
            report.failed(line, "no field 2".to_owned(), false);
        }
        let text = report.untold.as_ref().unwrap().text();
        assert_eq!(text, "lines 3 to 5 were not stored: no field 2");
        report.failed(6, "too large".to_owned(), false);
        let text = report.untold.as_ref().unwrap().text();
        assert_eq!(text, "line 6 was not stored: too large");
        assert_eq!(
            report.check().unwrap_err().to_string(),
            "4 of 4 lines were not stored"
        );
    }
}
