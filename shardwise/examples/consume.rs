//! Prints a stream's records as they come, and checkpoints after each batch, until ctrl-c.
//!
//! `cargo run -p shardwise --example consume` reads three records from an embedded mock and ends;
//! `cargo run -p shardwise --example consume -- APPLICATION STREAM` shares a stream with every other
//! worker of that application, with region, endpoint and credentials from where AWS's own tools have
//! them.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;

use shardwise::client::PutRecordsEntry;
use shardwise::prelude::*;
use shardwise::{ApplicationName, ShardId, StreamName};
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
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (aws, application, stream, expected) = match (arguments.next(), arguments.next()) {
        (Some(application), Some(stream)) => {
            let aws = Aws::load().await?;
            (aws, application.parse()?, stream.parse()?, usize::MAX)
        }
        (None, _) => embedded().await?,
        (Some(_), None) => return Err("usage: consume [APPLICATION STREAM]".into()),
    };
    let (processed, mut counts) = mpsc::unbounded_channel();
    let worker = Worker::builder(&aws)
        .application(application)
        .stream(stream)
        .initial_position(InitialPosition::TrimHorizon)
        .build(move |shard| Printer {
            shard: shard.shard_id.clone(),
            processed: processed.clone(),
        })?;
    let enough = async {
        let mut left = expected;
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

async fn embedded() -> Result<(Aws, ApplicationName, StreamName, usize), Box<dyn Error>> {
    let aws = Aws::in_process(Mock::new().service());
    let stream: StreamName = "lines".parse()?;
    aws.kinesis().create_stream(&stream, 2).await?;
    for line in ["to be", "or not", "to be"] {
        let entry = PutRecordsEntry::new(line.parse()?, line.into());
        aws.kinesis().put_record(&stream, &entry).await?;
    }
    Ok((aws, "printers".parse()?, stream, 3))
}
