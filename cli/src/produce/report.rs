//! What became of each line: awaited as it comes, counted, said.

use std::time::Duration;

use anyhow::ensure;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde::Serialize;
use shardwise_client::Written;
use shardwise_env::{Env, Instant};
use shardwise_producer::{DeliveryError, Receipt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::failures::{Failures, reason, refuses_all};
use super::progress::Progress;
use super::{Sent, WINDOW};
use crate::log::LogFormat;
use crate::output::{Format, Output};

/// Failures are said this often, folded.
const BETWEEN_TELLING: Duration = Duration::from_secs(5);

/// Bytes of outcomes that are printed at once.
const PRINT_BYTES: usize = 64 * 1024;

/// The outcome of the lines so far.
pub(super) struct Report<'a> {
    env: Env,
    begin: Instant,
    format: Format,
    output: &'a Output,
    progress: Progress,
    /// Outcomes in JSON that are not printed yet.
    unprinted: Vec<u8>,
    stored: u64,
    failed: u64,
    /// Bytes of the input whose lines have an outcome.
    bytes: u64,
    untold: Failures,
    tell_at: Instant,
    /// Cancelled when nothing can be stored: why stands in `hopeless`.
    stop: Option<CancellationToken>,
    hopeless: Option<String>,
}

/// What became of one line.
struct Outcome {
    line: u64,
    bytes: u64,
    result: Result<Receipt, Failure>,
}

struct Failure {
    reason: String,
    maybe_stored: bool,
    refuses_all: bool,
}

impl Failure {
    fn of(error: &DeliveryError) -> Self {
        Self {
            reason: reason(error),
            maybe_stored: error.written() != Written::No,
            refuses_all: refuses_all(error),
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
    /// `stop` is cancelled if the service refuses every record; without it the rest is sent all the
    /// same.
    pub(super) fn new(
        env: &Env,
        (format, log_format): (Format, LogFormat),
        output: &'a Output,
        bytes: Option<u64>,
        stop: Option<CancellationToken>,
    ) -> Self {
        Self {
            env: env.clone(),
            begin: env.now(),
            format,
            output,
            progress: match format {
                Format::Text => Progress::new(env, log_format, bytes),
                Format::Json => Progress::quiet(env, log_format),
            },
            unprinted: Vec::new(),
            stored: 0,
            failed: 0,
            bytes: 0,
            untold: Failures::default(),
            tell_at: env.now() + BETWEEN_TELLING,
            stop,
            hopeless: None,
        }
    }

    /// Waits for the lines' outcomes until no more come. A line that is slow holds up no other.
    pub(super) async fn settle(&mut self, mut sent: mpsc::Receiver<Sent>) {
        let mut waiting = FuturesUnordered::new();
        let mut more = true;
        loop {
            // Cancel safe: what is not received stays in the channel, what is not ready in the set.
            let outcome = tokio::select! {
                biased;
                Some(outcome) = waiting.next() => outcome,
                next = sent.recv(), if more && waiting.len() < WINDOW => match next {
                    Some(next) => {
                        waiting.push(outcome(next));
                        continue;
                    }
                    None => {
                        more = false;
                        continue;
                    }
                },
                // Nothing is ready: a good moment to print what is there.
                () = std::future::ready(()), if !self.unprinted.is_empty() => {
                    self.print().await;
                    continue;
                }
                else => break,
            };
            self.settled(outcome);
            if self.unprinted.len() >= PRINT_BYTES {
                self.print().await;
            }
        }
        self.print().await;
    }

    fn settled(&mut self, outcome: Outcome) {
        let Outcome {
            line,
            bytes,
            result,
        } = outcome;
        self.bytes += bytes;
        match result {
            Ok(receipt) => {
                self.stored += 1;
                self.add(&Stored {
                    line,
                    shard_id: receipt.shard_id.as_str(),
                    sequence_number: receipt.sequence_number.as_str(),
                    sub_sequence_number: receipt.sub_sequence_number,
                    maybe_duplicate: receipt.maybe_duplicate,
                });
            }
            Err(failure) => self.failed(line, &failure),
        }
        let now = self.env.now();
        if now >= self.tell_at {
            self.tell_at = now + BETWEEN_TELLING;
            self.tell();
        }
        self.progress.show(self.bytes, self.stored);
    }

    fn failed(&mut self, line: u64, failure: &Failure) {
        self.failed += 1;
        self.add(&Failed {
            line,
            error: &failure.reason,
            maybe_stored: failure.maybe_stored,
        });
        if failure.refuses_all
            && self.stored == 0
            && self.hopeless.is_none()
            && let Some(stop) = &self.stop
        {
            stop.cancel();
            self.hopeless = Some(failure.reason.clone());
        }
        if self.hopeless.as_ref() != Some(&failure.reason) {
            self.untold.add(line, &failure.reason);
        }
    }

    fn add(&mut self, value: &impl Serialize) {
        if self.format == Format::Json && serde_json::to_writer(&mut self.unprinted, value).is_ok()
        {
            self.unprinted.push(b'\n');
        }
    }

    async fn print(&mut self) {
        if !self.unprinted.is_empty() {
            // The output remembers that it failed; the records are sent all the same.
            let _remembered = self.output.write(std::mem::take(&mut self.unprinted)).await;
        }
    }

    fn tell(&mut self) {
        for text in self.untold.take() {
            self.progress.note(&text);
        }
    }

    /// Says the rest, and the summary.
    pub(super) async fn finish(&mut self) {
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
                let _remembered = self.output.write(format!("{summary}\n").into_bytes()).await;
            }
            Format::Json => self.progress.note(&summary),
        }
    }

    /// Fails if any line was not stored.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let (failed, all) = (self.failed, self.lines());
        if let Some(reason) = &self.hopeless {
            anyhow::bail!(
                "nothing was stored, and reading stopped after {all} lines (--keep-going reads on): \
                 {reason}"
            );
        }
        ensure!(failed == 0, "{failed} of {all} lines were not stored");
        Ok(())
    }

    /// Lines whose outcome is known.
    pub(super) fn lines(&self) -> u64 {
        self.stored + self.failed
    }
}

async fn outcome(sent: Sent) -> Outcome {
    let Sent {
        line,
        bytes,
        result,
    } = sent;
    let result = match result {
        Err(reason) => Err(Failure {
            reason,
            maybe_stored: false,
            refuses_all: false,
        }),
        Ok(delivery) => delivery.await.map_err(|error| Failure::of(&error)),
    };
    Outcome {
        line,
        bytes,
        result,
    }
}
