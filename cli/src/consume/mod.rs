//! `shardwise consume`: prints a stream's records as one worker of an application.
//!
//! The order of steps is what makes it at-least-once: print, flush, checkpoint.

mod begin;
mod holdings;
mod printer;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use shardwise_consumer::{ApplicationName, DEFAULT_SHUTDOWN_GRACE, StreamName, Worker, WorkerId};
use tokio_util::sync::CancellationToken;

use self::begin::Begin;
use self::printer::Printer;
use crate::connect::{AwsArgs, ENVIRONMENT_HELP};
use crate::log::{LogFormat, say};
use crate::output::{Format, Output};
use crate::signals::EndSignals;

/// Print a stream's records, sharing its shards with the other workers of an application
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Print a stream's records, sharing its shards with the other workers of an \
        application.\n\nAny number of processes may run with the same --application: they divide \
        the shards among them by leases in a DynamoDB table of that name, which is made if it is \
        missing. After each batch is printed and flushed it is checkpointed, and the next run goes \
        on from there. Every record is printed at least once; after a crash some come again. \
        Records of one partition key come in order.\n\nOne application reads one stream.\n\nCtrl-c or \
        SIGTERM ends it cleanly: its leases are released, and the exit code is 0. A second one ends \
        it at once.",
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

    /// Where to begin in a shard in which the application has no checkpoint: trim-horizon (the oldest
    /// record that is kept), latest (what comes from now on), a time such as 2026-03-01T12:00:00Z, or
    /// how long ago, such as 10m
    #[arg(long, default_value = "trim-horizon", value_name = "WHERE")]
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

/// Prints until a signal ends it.
///
/// # Errors
/// If the worker cannot begin or cannot go on, or standard output fails in another way than that its
/// reader is gone.
pub(crate) async fn run(args: ConsumeArgs, log_format: LogFormat) -> anyhow::Result<()> {
    let signals = EndSignals::new().context("could not wait for signals")?;
    let connection = args.aws.connect(log_format).await?;
    let (aws, env) = (&connection.aws, connection.aws.env());
    let stop = CancellationToken::new();
    let output = Output::new(env, stop.clone(), stop.clone());
    let output = Arc::new(output.context("could not start to write")?);
    let mut builder = Worker::builder(aws)
        .application(args.application)
        .stream(args.stream)
        .failover(Duration::from_secs(args.failover))
        .initial_position(args.from.position(env.wall_now()));
    if let Some(worker_id) = args.worker_id {
        builder = builder.worker_id(worker_id);
    }
    let worker = builder.build({
        let output = output.clone();
        move |shard| Printer::new(shard.shard_id.clone(), args.output, output.clone())
    })?;
    let stats = worker.stats();
    let _telling = env.spawn(holdings::tell(env.clone(), stats.clone(), log_format));
    let work = Box::pin(worker.run_until(stop.cancelled()));
    let ended = signals.run(work, &stop, DEFAULT_SHUTDOWN_GRACE).await;
    let stats = stats.snapshot();
    let mut summary = format!(
        "{} records printed, {} checkpoints written",
        stats.records, stats.checkpoints
    );
    if stats.filtered > 0 {
        let left_out = stats.filtered;
        summary += &format!(
            ", {left_out} members of aggregates left out: their hash keys belong to other shards"
        );
    }
    say(log_format, &summary);
    output.check()?;
    ended.context("ended at once: its leases expire by themselves")??;
    Ok(())
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
            ("--from", "10"),
            ("--output", "xml"),
            ("--worker-id", ""),
        ] {
            let error = parse(&[option, value]).unwrap_err().to_string();
            assert!(error.contains(option), "{error}");
        }
        let error = Command::try_parse_from(["consume", "--stream", "no/stream"]).unwrap_err();
        assert!(error.to_string().contains("--stream"), "{error}");
    }
}
