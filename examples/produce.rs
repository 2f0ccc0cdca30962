//! Sends lines to a stream and prints where each was stored.
//!
//! `cargo run --example produce` sends three lines to an embedded mock;
//! `cargo run --example produce -- STREAM < FILE` sends a file's lines to the stream that the
//! environment names (`AWS_REGION`, `AWS_ENDPOINT_URL`, ...).

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::io::BufRead as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use shardwise_client::Aws;
use shardwise_mock::Mock;
use shardwise_producer::{Producer, Record};
use shardwise_types::StreamName;

/// How long to wait for what is still on its way at the end.
const DRAIN: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (aws, stream, lines) = match std::env::args().nth(1) {
        Some(stream) => {
            let lines = std::io::stdin()
                .lock()
                .lines()
                .collect::<Result<Vec<_>, _>>()?;
            (Aws::from_env()?, stream.parse()?, lines)
        }
        None => embedded().await?,
    };
    let producer = Producer::builder(&aws, stream).build()?;
    let mut deliveries = Vec::new();
    for (number, line) in lines.into_iter().enumerate() {
        let record = Record::new(format!("line-{number}").try_into()?, line);
        // Waits while the buffer is full. The delivery is awaited later, so records share requests.
        deliveries.push(producer.send(record).await?);
    }
    for (number, delivery) in deliveries.into_iter().enumerate() {
        let receipt = delivery
            .await
            .with_context(|| format!("line {number} was not stored"))?;
        println!(
            "line {number}: {} {}",
            receipt.shard_id, receipt.sequence_number
        );
    }
    let report = producer.close(DRAIN).await;
    ensure!(
        report.is_complete(),
        "{} lines were not sent",
        report.unsent.len()
    );
    Ok(())
}

async fn embedded() -> anyhow::Result<(Aws, StreamName, Vec<String>)> {
    let mock = Mock::new();
    let aws = Aws::in_process(mock.service());
    let stream: StreamName = "lines".parse()?;
    aws.kinesis().create_stream(&stream, 1).await?;
    Ok((
        aws,
        stream,
        ["to be", "or not", "to be"].map(str::to_owned).into(),
    ))
}
