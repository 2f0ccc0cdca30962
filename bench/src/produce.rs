//! How many records a producer sends, and what each costs.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use shardwise_producer::{Delivery, Producer};

use crate::Common;
use crate::backend::Backend;
use crate::load::{Load, Pace};
use crate::producer;
use crate::report::Run;

/// Of this many records one is sent before the clock starts: connections are open then, and memory
/// is mapped.
const WARM_UP_SHARE: usize = 10;

/// How long the rest may take at the end.
const DRAIN: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// How many records to send.
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    #[command(flatten)]
    producer: producer::Options,
    /// Records per second; as many as possible if not given.
    #[arg(long)]
    rate: Option<u32>,
    /// Records that may be sent and not acknowledged.
    #[arg(long, default_value_t = 20_000)]
    outstanding: usize,
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records", self.records)?;
        if let Some(rate) = self.rate {
            write!(f, " at {rate}/s")?;
        }
        write!(f, "{}", self.producer)
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]
pub(crate) async fn measure(
    options: &Options,
    backend: &Backend,
    common: &Common,
) -> anyhow::Result<Run> {
    let env = backend.aws.env();
    let (producer, load) = options.producer.start(backend, common)?;
    let records = options.records;
    send(&producer, &load, records / WARM_UP_SHARE, options, backend).await?;

    let (begin, (own, served)) = (env.now(), backend.cpu()?);
    let before = producer.stats().snapshot();
    send(&producer, &load, records, options, backend).await?;
    let elapsed = env.now() - begin;
    let (own_after, served_after) = backend.cpu()?;
    let after = producer.stats().snapshot();
    let closed = producer.close(DRAIN).await;
    ensure!(closed.is_complete(), "{} not sent", closed.unsent.len());
    ensure!(after.user_records_failed == 0, "{after:?}");

    let kinesis_records = (after.kinesis_records_put - before.kinesis_records_put) as f64;
    let calls = (after.put_records_calls - before.put_records_calls) as f64;
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / records as f64;
    Ok(vec![
        ("records/s", records as f64 / elapsed.as_secs_f64()),
        ("CPU us/record", micros(own_after - own)),
        ("service CPU us/record", micros(served_after - served)),
        ("records/Kinesis record", records as f64 / kinesis_records),
        ("Kinesis records/call", kinesis_records / calls),
        ("peak memory MiB", crate::cpu::peak_memory_mib()?),
    ])
}

/// Sends records and awaits every delivery, some way behind.
async fn send(
    producer: &Producer,
    load: &Load,
    records: usize,
    options: &Options,
    backend: &Backend,
) -> anyhow::Result<()> {
    let mut pace = options.rate.map(|rate| Pace::new(backend.aws.env(), rate));
    let mut waiting: VecDeque<Delivery> = VecDeque::with_capacity(options.outstanding);
    for number in 0..records {
        if let Some(pace) = &mut pace {
            pace.wait_for(number).await;
        }
        if waiting.len() >= options.outstanding
            && let Some(oldest) = waiting.pop_front()
        {
            oldest.await?;
        }
        waiting.push_back(producer.send(load.record(number)).await?);
    }
    producer.flush().await?;
    for delivery in waiting {
        delivery.await?;
    }
    Ok(())
}
