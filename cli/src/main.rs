//! The `shardwise` command.
//!
//! Standard output carries data, standard error what is said about it; whatever goes wrong is one
//! line there and an exit code other than 0.

mod connect;
mod consume;
mod output;
mod produce;
mod signals;

use std::io;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use shardwise_mock::cli::MockArgs;
use tracing_subscriber::EnvFilter;

/// A toolkit for Amazon Kinesis Data Streams
#[derive(Debug, Parser)]
#[command(name = "shardwise", version, propagate_version = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run Kinesis and DynamoDB in one process, for tests and for a laptop
    Mock(MockArgs),
    /// Send the lines of a file, or of standard input, as records
    Produce(produce::ProduceArgs),
    /// Print a stream's records, sharing its shards with the other workers of an application
    Consume(consume::ConsumeArgs),
}

fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(io::stderr)
        .init();
    match start(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Some libraries set their errors out on several lines.
            let text = shardwise_types::with_causes(&*error);
            let text: Vec<&str> = text.lines().map(str::trim).collect();
            eprintln!("shardwise: {}", text.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("could not start the runtime")?;
    let result = runtime.block_on(run(command));
    // Dropping the runtime would wait for a thread that is stuck in a write to a pipe which nobody
    // reads: then a second ctrl-c could not end the program.
    runtime.shutdown_background();
    result
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Mock(args) => shardwise_mock::cli::run(args)
            .await
            .context("the mock could not run"),
        Command::Produce(args) => produce::run(args).await,
        Command::Consume(args) => consume::run(args).await,
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
