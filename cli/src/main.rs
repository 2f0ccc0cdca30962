//! The `shardwise` command.
//!
//! Standard output carries data, standard error what is said about it; whatever goes wrong is one
//! line there and an exit code other than 0.

mod connect;
mod consume;
mod log;
mod output;
mod produce;
mod reach;
mod signals;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use shardwise_mock::cli::MockArgs;

use crate::log::LogFormat;

/// A toolkit for Amazon Kinesis Data Streams
#[derive(Debug, Parser)]
#[command(name = "shardwise", version, propagate_version = true)]
struct Args {
    #[command(subcommand)]
    command: Command,

    /// How standard error is written: text for people, or json with one object a line
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "text|json",
        hide_possible_values = true,
        help_heading = "Log"
    )]
    log_format: LogFormat,
}

// Each command is described at its arguments: a description here would go before the long one there.
#[derive(Debug, Subcommand)]
enum Command {
    #[command(about = "Run Kinesis and DynamoDB in one process, for tests and for a laptop")]
    Mock(MockArgs),
    Produce(produce::ProduceArgs),
    Consume(consume::ConsumeArgs),
}

fn main() -> ExitCode {
    let args = Args::parse();
    log::init(args.log_format);
    match start(args.command, args.log_format) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Some libraries set their errors out on several lines.
            let text = shardwise_types::with_causes(&*error);
            let text: Vec<&str> = text.lines().map(str::trim).collect();
            log::say_error(args.log_format, &text.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command, log_format: LogFormat) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("could not start the runtime")?;
    let result = runtime.block_on(run(command, log_format));
    // Dropping the runtime would wait for what blocks in it.
    runtime.shutdown_background();
    result
}

async fn run(command: Command, log_format: LogFormat) -> anyhow::Result<()> {
    match command {
        Command::Mock(args) => shardwise_mock::cli::run(args)
            .await
            .context("the mock could not run"),
        Command::Produce(args) => produce::run(args, log_format).await,
        Command::Consume(args) => consume::run(args, log_format).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_of_the_arguments_is_consistent() {
        Args::command().debug_assert();
    }
}
