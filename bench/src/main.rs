//! End-to-end figures of producer and consumer: records per second, CPU per record, latency.
//!
//! `cargo run --release -p shardwise-bench -- produce --records 1000000 --bytes 100` runs against a
//! service that answers and does nothing else (`null`), against the mock, and, if `--endpoint` names
//! one, against a service at the other end of a connection. `BENCHMARKS.md` explains the figures.

mod backend;
mod consume;
mod contention;
mod cpu;
mod latency;
mod load;
mod null;
mod produce;
mod producer;
mod report;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::backend::{Backend, Where};
use crate::report::Report;

/// Measures Shardwise's producer and consumer.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    mode: Mode,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Sends records as fast as they are taken, or at a rate.
    Produce(produce::Options),
    /// Reads records as fast as the service's limits allow.
    Consume(consume::Options),
    /// Sends at a rate and times each record from send to acknowledgement.
    Latency(latency::Options),
    /// Writes and reads one stream at the same time, and times a bystander's calls.
    Contention(contention::Options),
}

#[derive(Debug, Clone, Args)]
struct Common {
    /// Against what; all of them if not given.
    #[arg(long, global = true)]
    backend: Option<Where>,
    /// A service to call over HTTP, such as `https://127.0.0.1:4568`.
    #[arg(long, global = true)]
    endpoint: Option<String>,
    /// PEM certificates to trust for the endpoint.
    #[arg(long, global = true)]
    ca_bundle: Option<std::path::PathBuf>,
    /// The process behind the endpoint, to report its CPU as well.
    #[arg(long, global = true)]
    server_pid: Option<u32>,
    /// The stream.
    #[arg(long, global = true, default_value = "bench")]
    stream: shardwise_types::StreamName,
    /// Shards of the stream; an endpoint has its own.
    #[arg(long, global = true, default_value_t = 16)]
    shards: u32,
    /// Bytes of each record's data; keys have 36 more.
    #[arg(long, global = true, default_value_t = 100)]
    bytes: usize,
    /// How often to measure.
    #[arg(long, global = true, default_value_t = 5)]
    runs: usize,
    /// Threads for the part that is measured; one for each core if not given.
    #[arg(long, global = true)]
    threads: Option<usize>,
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = cli.common.threads {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().build()?;
    runtime.block_on(run(cli))
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let common = &cli.common;
    let everywhere = [Where::Null, Where::Mock, Where::Endpoint];
    for place in everywhere {
        if common.backend.is_some_and(|chosen| chosen != place) {
            continue;
        }
        let title = format!("{} against {place}", cli.mode.title(common));
        let mut report = Report::new(title);
        if place == Where::Endpoint && common.endpoint.is_none() {
            report.skip("no --endpoint");
        } else {
            for _ in 0..common.runs {
                let run = async {
                    let backend = Backend::start(place, common, cli.mode.served(common)).await?;
                    cli.mode.measure(&backend, common).await
                };
                report.add(run.await.with_context(|| format!("against {place}"))?);
            }
        }
        report.print(common.output)?;
    }
    Ok(())
}

impl Mode {
    fn title(&self, common: &Common) -> String {
        let bytes = common.bytes;
        match self {
            Self::Produce(options) => format!("produce {options}, {bytes} B"),
            Self::Consume(options) => format!("consume {options}, {bytes} B"),
            Self::Latency(options) => format!("latency {options}, {bytes} B"),
            Self::Contention(options) => format!("contention of {options}, {bytes} B"),
        }
    }

    /// What the null service has in its shards.
    fn served(&self, common: &Common) -> null::Served {
        match self {
            Self::Consume(options) => options.served(common.bytes),
            Self::Produce(_) | Self::Latency(_) | Self::Contention(_) => null::Served::Nothing,
        }
    }

    async fn measure(&self, backend: &Backend, common: &Common) -> anyhow::Result<report::Run> {
        match self {
            Self::Produce(options) => produce::measure(options, backend, common).await,
            Self::Consume(options) => consume::measure(options, backend, common).await,
            Self::Latency(options) => latency::measure(options, backend, common).await,
            Self::Contention(options) => contention::measure(options, backend, common).await,
        }
    }
}
