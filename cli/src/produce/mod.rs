//! `shardwise produce`: sends lines as records.
//!
//! ```text
//! lines (a thread that reads) → feed: key, send → settle: await, report
//! ```

mod failures;
mod first_bytes;
mod keys;
mod lines;
mod progress;
mod report;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use shardwise_env::Env;
use shardwise_producer::{
    DEFAULT_MAX_BUFFERED_RECORDS, DEFAULT_RECORD_TTL, Delivery, PartitionKey, Producer, Record,
    StreamName,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::failures::{refusal, too_long};
use self::keys::Keys;
use self::lines::{Data, Input, LINE_MAX_BYTES, Line, Lines, ReadError};
use self::report::Report;
use crate::connect::{AwsArgs, ENVIRONMENT_HELP};
use crate::log::LogFormat;
use crate::output::{Format, Output};
use crate::signals::EndSignals;

/// Lines whose fate is not known yet: as many as the producer holds records, so that it is the
/// producer's room that is waited for, and memory stays bounded all the same.
const WINDOW: usize = DEFAULT_MAX_BUFFERED_RECORDS;

/// For the producer's end; every record is settled by then.
const CLOSE: Duration = Duration::from_secs(5);

/// Send the lines of a file, or of standard input, as records
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Send the lines of a file, or of standard input, as records.\n\nEach line becomes \
        one record, without its line feed (and the carriage return before it). Lines need not be \
        UTF-8; UTF-16 and compressed files are refused, and the mark of UTF-8 at the beginning is left \
        out. Records are aggregated and batched, so those of one partition key may be stored in \
        another order than that of the lines.\n\nThe exit code is 0 if every line is stored. Those \
        that are not are named on standard error, by their numbers and with the reason. If the service \
        refuses everything from the start, as for an unknown stream or a missing permission, reading \
        stops with that one error; --keep-going reads on.\n\nCtrl-c or SIGTERM stops the reading; what was read is still sent. A second one ends it at once.",
    after_help = ENVIRONMENT_HELP
)]
pub(crate) struct ProduceArgs {
    /// Stream to send to
    #[arg(long, value_name = "NAME")]
    stream: StreamName,

    /// File to read; standard input if not given or -
    file: Option<PathBuf>,

    /// Partition key of every record; without it and --key-field each gets a random one
    #[arg(long, value_name = "KEY", conflicts_with = "key_field")]
    partition_key: Option<PartitionKey>,

    /// Take the partition key from this field of the line, counted from 1; quotes mean nothing
    #[arg(long, value_name = "N")]
    key_field: Option<NonZeroUsize>,

    /// What separates fields: one ASCII character, or \t
    #[arg(
        long,
        value_name = "CHAR",
        default_value = ",",
        requires = "key_field",
        value_parser = keys::delimiter
    )]
    delimiter: u8,

    /// text: a progress bar on a terminal, lines elsewhere, and a summary; json: an object for each
    /// line as soon as its outcome is known, with line, shard_id, sequence_number,
    /// sub_sequence_number, maybe_duplicate, or line, error, maybe_stored, and the summary on standard
    /// error
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "text|json",
        hide_possible_values = true
    )]
    output: Format,

    /// Read the whole input even if the service refuses every record of it
    #[arg(long)]
    keep_going: bool,

    #[command(flatten)]
    aws: AwsArgs,
}

impl ProduceArgs {
    fn keys(&self) -> Keys {
        match (&self.partition_key, self.key_field) {
            (Some(key), _) => Keys::Fixed(key.clone()),
            (None, Some(number)) => Keys::Field {
                number,
                delimiter: self.delimiter,
            },
            (None, None) => Keys::Random,
        }
    }
}

/// A line that was read, and what has become of it so far.
struct Sent {
    line: u64,
    /// Bytes of the input that it took.
    bytes: u64,
    result: Result<Delivery, String>,
}

/// How the reading ended.
enum Fed {
    /// At the end of the input.
    All,
    /// By a signal.
    Interrupted,
    /// By an error.
    Broken(ReadError),
}

/// Sends all lines.
///
/// # Errors
/// If it cannot begin, a record is not stored, or the input was not read to its end.
pub(crate) async fn run(args: ProduceArgs, log_format: LogFormat) -> anyhow::Result<()> {
    let signals = EndSignals::new().context("could not wait for signals")?;
    let connection = args.aws.connect(log_format).await?;
    let aws = &connection.aws;
    let env = aws.env().clone();
    let input = Input::open(args.file.as_deref())?;
    let producer = Producer::builder(aws).stream(&args.stream).build()?;
    let stop = CancellationToken::new();
    // What cannot be said any more is no reason not to send the rest: its failure stops nothing.
    let output = Output::new(&env, CancellationToken::new(), stop.clone())
        .context("could not start to write")?;
    let mut report = Report::new(
        &env,
        (args.output, log_format),
        &output,
        input.len(),
        (!args.keep_going).then(|| stop.clone()),
    );
    let lines = lines::read(input).context("could not start to read")?;
    let (sender, sent) = mpsc::channel(WINDOW);
    let keys = args.keys();
    let ended = {
        let feeding = feed(lines, &keys, &env, &producer, sender, &stop);
        let work = Box::pin(async { tokio::join!(feeding, report.settle(sent)).0 });
        signals.run(work, &stop, DEFAULT_RECORD_TTL + CLOSE).await
    };
    report.finish().await;
    let Some(fed) = ended else {
        bail!("ended at once: lines that are not reported may be stored or not");
    };
    // Nothing is left to be sent: every delivery was awaited.
    let _complete = producer.close(CLOSE).await;
    output.check()?;
    report.check()?;
    match fed {
        Fed::All => Ok(()),
        Fed::Interrupted => bail!("interrupted after line {}", report.lines()),
        Fed::Broken(ReadError::NotLines(refusal)) => bail!(refusal.text()),
        Fed::Broken(ReadError::Io(error)) => {
            Err(error).with_context(|| format!("could not read on after line {}", report.lines()))
        }
    }
}

/// Sends each line as it comes.
async fn feed(
    mut lines: Lines,
    keys: &Keys,
    env: &Env,
    producer: &Producer,
    sender: mpsc::Sender<Sent>,
    stop: &CancellationToken,
) -> Fed {
    let mut number = 0;
    loop {
        // Cancel safe: a line that is not received stays in the channel, and is not needed.
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return Fed::Interrupted,
            next = lines.recv() => next,
        };
        let line = match next {
            None => return Fed::All,
            Some(Err(error)) => return Fed::Broken(error),
            Some(Ok(line)) => line,
        };
        number += 1;
        let Line { data, bytes, room } = line;
        let result = match data {
            Data::TooLong => Err(too_long(LINE_MAX_BYTES)),
            Data::Whole(data) => match keys.of(&data, env) {
                Err(reason) => Err(reason),
                Ok(key) => {
                    let accepted = producer.send(Record::new(key, data)).await;
                    accepted.map_err(|error| refusal(error.kind()))
                }
            },
        };
        drop(room);
        let sent = Sent {
            line: number,
            bytes,
            result,
        };
        if sender.send(sent).await.is_err() {
            // The outcome is not waited for: the program is about to end.
            return Fed::Interrupted;
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: ProduceArgs,
    }

    fn parse(arguments: &[&str]) -> Result<ProduceArgs, clap::Error> {
        Command::try_parse_from(["produce", "--stream", "orders"].iter().chain(arguments))
            .map(|command| command.args)
    }

    #[test]
    fn keys_are_random_unless_something_else_is_said() {
        assert_eq!(parse(&[]).unwrap().keys(), Keys::Random);
        let fixed = parse(&["--partition-key", "k"]).unwrap().keys();
        assert_eq!(fixed, Keys::Fixed("k".parse().unwrap()));
        let field = parse(&["--key-field", "2", "--delimiter", "\\t", "file"])
            .unwrap()
            .keys();
        let number = NonZeroUsize::new(2).unwrap();
        assert_eq!(
            field,
            Keys::Field {
                number,
                delimiter: b'\t'
            }
        );
    }

    #[test]
    fn what_contradicts_itself_or_is_out_of_range_is_refused() {
        for (arguments, complaint) in [
            (
                &["--partition-key", "k", "--key-field", "1"][..],
                "--key-field",
            ),
            (&["--delimiter", ";"][..], "--key-field"),
            (&["--key-field", "0"][..], "--key-field"),
            (
                &["--key-field", "1", "--delimiter", "ab"][..],
                "one ASCII character",
            ),
            (&["--partition-key", ""][..], "--partition-key"),
            (&["one", "two"][..], "two"),
        ] {
            let error = parse(arguments).unwrap_err().to_string();
            assert!(error.contains(complaint), "{arguments:?}: {error}");
        }
    }
}
