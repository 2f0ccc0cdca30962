//! Sends lines to a stream and prints where each was stored.
//!
//! `cargo run -p shardwise --example produce` sends three lines to an embedded mock;
//! `cargo run -p shardwise --example produce -- STREAM < FILE` sends a file's lines to a stream, with
//! region, endpoint and credentials from where AWS's own tools have them.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::io;
use std::time::Duration;

use shardwise::StreamName;
use shardwise::prelude::*;

/// How long to wait at the end for what is still on its way.
const DRAIN: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (aws, stream, lines) = match std::env::args().nth(1) {
        Some(stream) => {
            let lines = io::stdin().lines().collect::<Result<Vec<_>, _>>()?;
            (Aws::load().await?, stream.parse()?, lines)
        }
        None => embedded().await?,
    };
    let producer = Producer::builder(&aws).stream(stream).build()?;
    let mut deliveries = Vec::new();
    for (index, line) in lines.into_iter().enumerate() {
        let record = Record::new(format!("line-{index}").try_into()?, line);
        // Waits while the buffer is full. The delivery is awaited later, so records share requests.
        deliveries.push(producer.send(record).await?);
    }
    for (index, delivery) in deliveries.into_iter().enumerate() {
        let receipt = delivery.await?;
        println!(
            "line {index}: {} {}",
            receipt.shard_id, receipt.sequence_number
        );
    }
    let report = producer.close(DRAIN).await;
    assert!(report.is_complete(), "every delivery was awaited");
    Ok(())
}

async fn embedded() -> Result<(Aws, StreamName, Vec<String>), Box<dyn Error>> {
    let aws = Aws::in_process(Mock::new().service());
    let stream: StreamName = "lines".parse()?;
    aws.kinesis().create_stream(&stream, 1).await?;
    let lines = ["to be", "or not", "to be"].map(str::to_owned).into();
    Ok((aws, stream, lines))
}
