//! Prints a stream's records as they come, and checkpoints after each batch, until ctrl-c.
//!
//! `cargo run --example consume` reads three records from an embedded mock and ends;
//! `cargo run --example consume -- APPLICATION STREAM` shares the stream that the environment names
//! (`AWS_REGION`, `AWS_ENDPOINT_URL`, ...) with every other worker of that application.

#![allow(clippy::print_stdout, reason = "an example prints")]

use anyhow::Context as _;
use shardwise_client::{Aws, PutRecordsEntry};
use shardwise_consumer::{Batch, BoxError, Checkpointer, InitialPosition, RecordProcessor, Worker};
use shardwise_mock::Mock;
use shardwise_types::{ShardId, StreamName};
use tokio::sync::mpsc;

/// One for each shard that this worker holds.
struct Printer {
    shard: ShardId,
    processed: mpsc::UnboundedSender<usize>,
}

impl RecordProcessor for Printer {
    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        for record in batch.records() {
            println!("{}: {}", self.shard, String::from_utf8_lossy(&record.data));
        }
        // An error here repeats the batch: nothing is skipped.
        checkpointer.checkpoint(batch.end()).await?;
        self.processed.send(batch.records().len())?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (aws, application, stream, expected) = match arguments.next() {
        Some(application) => {
            let stream = arguments
                .next()
                .context("usage: consume APPLICATION STREAM")?;
            (Aws::from_env()?, application, stream.parse()?, None)
        }
        None => {
            let (aws, stream) = embedded().await?;
            (aws, "printers".to_owned(), stream, Some(3))
        }
    };
    let (processed, mut counts) = mpsc::unbounded_channel();
    let worker = Worker::builder(&aws, application.parse()?, stream)
        .initial_position(InitialPosition::TrimHorizon)
        .build(move |shard| Printer {
            shard: shard.shard_id.clone(),
            processed: processed.clone(),
        })?;
    let enough = async {
        let mut left = expected.unwrap_or(usize::MAX);
        while left > 0 {
            left = left.saturating_sub(counts.recv().await.unwrap_or(left));
        }
    };
    let stop = async {
        tokio::select! { _ = tokio::signal::ctrl_c() => {}, () = enough => {} }
    };
    worker.run_until(stop).await?; // leases are released before it returns
    Ok(())
}

async fn embedded() -> anyhow::Result<(Aws, StreamName)> {
    let aws = Aws::in_process(Mock::new().service());
    let stream: StreamName = "lines".parse()?;
    aws.kinesis().create_stream(&stream, 2).await?;
    for line in ["to be", "or not", "to be"] {
        let entry = PutRecordsEntry::new(line.parse()?, line.into());
        aws.kinesis().put_record(&stream, &entry).await?;
    }
    Ok((aws, stream))
}
