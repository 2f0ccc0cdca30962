//! The mock as a program of its own; `shardwise mock` is the same.

use std::process::ExitCode;

use clap::Parser as _;
use shardwise_mock::cli::{MockArgs, run};

/// Kinesis and DynamoDB in one process, for tests and for a laptop
#[derive(Debug, clap::Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    mock: MockArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match run(args.mock).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shardwise-mock: {error:?}");
            ExitCode::FAILURE
        }
    }
}
