//! The `shardwise` command.

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
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(io::stderr)
        .init();
    match run(args.command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shardwise: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Mock(args) => {
            shardwise_mock::cli::run(args).await.context("the mock could not run")
        }
    }
}
