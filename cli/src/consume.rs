//! `shardwise consume`: prints a stream's records as one worker of an application.
//!
//! The order of steps is what makes it at-least-once: print, flush, checkpoint.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format as TimeFormat;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::ValueEnum;
use serde::Serialize;
use shardwise_consumer::{
    ApplicationName, Batch, BoxError, Checkpointer, ConsumedRecord, EndAcked, InitialPosition,
    Position, RecordProcessor, ShardEnd, ShardId, StreamName, Worker, WorkerId,
};
use tokio_util::sync::CancellationToken;

use crate::connect::{AwsArgs, ENVIRONMENT_HELP};
use crate::output::{Format, Output};
use crate::signals::EndSignals;

/// Which records, and as whom.
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Print a stream's records, sharing its shards with the other workers of an \
        application.\n\nAny number of processes may run with the same --application: they divide \
        the shards among them by leases in a DynamoDB table of that name, which is made if it is \
        missing. After each batch is printed and flushed it is checkpointed, and the next run goes \
        on from there. Every record is printed at least once; after a crash some come again. \
        Records of one partition key come in order.\n\nCtrl-c or SIGTERM ends it cleanly: its \
        leases are released, and the exit code is 0. A second one ends it at once.",
    after_help = ENVIRONMENT_HELP
)]
pub(crate) struct ConsumeArgs {
    /// Stream to read
    #[arg(long, value_name = "NAME")]
    stream: StreamName,

    /// Application to work for; its lease table has the same name
    #[arg(long, value_name = "NAME")]
    application: ApplicationName,

    /// Name of this worker in the lease table, different from that of every other; random if not
    /// given
    #[arg(long, value_name = "NAME")]
    worker_id: Option<WorkerId>,

    /// Where to begin in a shard in which the application has no checkpoint
    #[arg(long, value_enum, default_value_t, value_name = "WHERE")]
    from: Begin,

    /// How long a lease is good without a renewal, the same for all workers of the application: a
    /// crashed worker's shards stand still for this long and some more
    #[arg(
        long,
        default_value_t = shardwise_consumer::DEFAULT_FAILOVER.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=3600),
        value_name = "SECONDS"
    )]
    failover: u64,

    /// text: each record's data and a line feed; json: shard_id, sequence_number,
    /// sub_sequence_number, partition_key, data, encoding (utf-8, or base64 if the data is not
    /// UTF-8), arrival
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "text|json",
        hide_possible_values = true
    )]
    output: Format,

    #[command(flatten)]
    aws: AwsArgs,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Begin {
    /// At the oldest record that is kept
    #[default]
    TrimHorizon,
    /// At the records that come from now on
    Latest,
}

/// Prints until it is told to stop.
///
/// # Errors
/// If the worker cannot begin or cannot go on, or standard output fails in another way than that its
/// reader is gone.
pub(crate) async fn run(args: ConsumeArgs) -> anyhow::Result<()> {
    let aws = args.aws.connect().await?;
    let stop = CancellationToken::new();
    let output = Arc::new(Output::new(stop.clone()));
    let mut builder = Worker::builder(&aws)
        .application(args.application)
        .stream(args.stream)
        .failover(Duration::from_secs(args.failover))
        .initial_position(match args.from {
            Begin::TrimHorizon => InitialPosition::TrimHorizon,
            Begin::Latest => InitialPosition::Latest,
        });
    if let Some(worker_id) = args.worker_id {
        builder = builder.worker_id(worker_id);
    }
    let worker = builder.build({
        let output = output.clone();
        move |shard| Printer {
            shard_id: shard.shard_id.clone(),
            format: args.output,
            output: output.clone(),
            printed: None,
        }
    })?;
    let stats = worker.stats();
    let signals = EndSignals::new().context("could not wait for signals")?;
    let work = Box::pin(worker.run_until(stop.cancelled()));
    let ended = signals.run(work, &stop).await;
    let stats = stats.snapshot();
    eprintln!(
        "{} records printed, {} checkpoints written",
        stats.records, stats.checkpoints
    );
    output.check()?;
    ended.context("ended at once: its leases expire by themselves")??;
    Ok(())
}

/// Prints one shard's records.
struct Printer {
    shard_id: ShardId,
    format: Format,
    output: Arc<Output>,
    /// How far records are printed. A batch comes again if only its checkpoint has failed.
    printed: Option<Position>,
}

impl Printer {
    /// What is to be printed of a batch.
    fn lines(&self, batch: &Batch) -> serde_json::Result<Vec<u8>> {
        let mut lines = Vec::new();
        for record in batch {
            if self
                .printed
                .as_ref()
                .is_some_and(|printed| record.position() <= *printed)
            {
                continue;
            }
            match self.format {
                Format::Text => lines.extend_from_slice(&record.data),
                Format::Json => {
                    serde_json::to_writer(&mut lines, &Line::new(&self.shard_id, record))?;
                }
            }
            lines.push(b'\n');
        }
        Ok(lines)
    }
}

impl RecordProcessor for Printer {
    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        let lines = self.lines(&batch)?;
        // A reader that is slow, or has stopped, must not keep the leases from being renewed.
        let written = tokio::task::block_in_place(|| self.output.write(&lines));
        if written.is_err() {
            // The worker is being stopped. Nothing is printed any more, so nothing is checkpointed
            // any more, and an error would only be logged and tried again.
            return Ok(());
        }
        self.printed = Some(batch.end().clone());
        checkpointer.checkpoint(batch.end()).await?;
        Ok(())
    }

    async fn shard_ended(&mut self, end: ShardEnd) -> Result<EndAcked, BoxError> {
        if self.output.has_failed() {
            return Err("not all of the shard's records were printed".into());
        }
        Ok(end.checkpoint().await?)
    }
}

/// One record in JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    shard_id: &'a str,
    sequence_number: &'a str,
    sub_sequence_number: u64,
    partition_key: Option<&'a str>,
    data: Cow<'a, str>,
    encoding: &'static str,
    arrival: Option<String>,
    /// Only said where it is true.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    corrupt_aggregate: bool,
}

impl<'a> Line<'a> {
    fn new(shard_id: &'a ShardId, record: &'a ConsumedRecord) -> Self {
        let (data, encoding) = encode(&record.data);
        Self {
            shard_id: shard_id.as_str(),
            sequence_number: record.sequence_number.as_str(),
            sub_sequence_number: record.sub_sequence_number,
            partition_key: record.partition_key.as_ref().map(|key| key.as_str()),
            data,
            encoding,
            arrival: record.approximate_arrival.and_then(rfc3339),
            corrupt_aggregate: record.is_corrupt(),
        }
    }
}

/// Data as text, and how.
fn encode(data: &[u8]) -> (Cow<'_, str>, &'static str) {
    match std::str::from_utf8(data) {
        Ok(text) => (text.into(), "utf-8"),
        Err(_) => (BASE64_STANDARD.encode(data).into(), "base64"),
    }
}

fn rfc3339(time: SystemTime) -> Option<String> {
    DateTime::from(time).fmt(TimeFormat::DateTime).ok()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: ConsumeArgs,
    }

    fn parse(arguments: &[&str]) -> Result<ConsumeArgs, clap::Error> {
        let required = ["consume", "--stream", "orders", "--application", "billing"];
        Command::try_parse_from(required.iter().chain(arguments)).map(|command| command.args)
    }

    #[test]
    fn what_is_not_said_has_the_librarys_defaults() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.failover, 10);
        assert_eq!(args.from, Begin::TrimHorizon);
        assert_eq!(args.output, Format::Text);
        assert_eq!(args.worker_id, None);
    }

    #[test]
    fn every_setting_can_be_said() {
        let args = parse(&[
            "--worker-id",
            "w1",
            "--from",
            "latest",
            "--failover",
            "3",
            "--output",
            "json",
        ])
        .unwrap();
        assert_eq!(args.failover, 3);
        assert_eq!(args.from, Begin::Latest);
        assert_eq!(args.output, Format::Json);
        assert_eq!(args.worker_id.unwrap().as_str(), "w1");
    }

    #[test]
    fn bad_values_are_refused_by_the_name_of_their_option() {
        for (option, value) in [
            ("--failover", "0"),
            ("--failover", "soon"),
            ("--from", "yesterday"),
            ("--output", "xml"),
            ("--worker-id", ""),
        ] {
            let error = parse(&[option, value]).unwrap_err().to_string();
            assert!(error.contains(option), "{error}");
        }
        let error = Command::try_parse_from(["consume", "--stream", "no/stream"]).unwrap_err();
        assert!(error.to_string().contains("--stream"), "{error}");
    }

    #[test]
    fn data_that_is_no_text_is_base64() {
        assert_eq!(encode("grün".as_bytes()), ("grün".into(), "utf-8"));
        assert_eq!(encode(&[0xff, 0x00]), ("/wA=".into(), "base64"));
        assert_eq!(encode(b""), ("".into(), "utf-8"));
    }

    #[test]
    fn times_are_as_rfc_3339_has_them() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        assert_eq!(rfc3339(time).unwrap(), "2023-11-14T22:13:20.123Z");
    }
}
