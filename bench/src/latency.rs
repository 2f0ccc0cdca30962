//! How long a record takes from `send` to its acknowledgement.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use shardwise_env::{Env, Instant};
use shardwise_producer::{Delivery, DeliveryError};
use tokio::sync::mpsc;

use crate::Common;
use crate::backend::Backend;
use crate::load::Pace;
use crate::producer;
use crate::report::Run;

/// Records that are sent and not yet awaited.
const QUEUE: usize = 100_000;

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Records per second.
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// How long to send.
    #[arg(long, default_value_t = 10)]
    seconds: usize,
    #[command(flatten)]
    producer: producer::Options,
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rate,
            seconds,
            producer,
        } = self;
        write!(f, "{seconds} s at {rate}/s{producer}")
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
    // The first record opens connections and fetches the shards.
    producer.send(load.record(0)).await?.await?;

    let (deliveries, sent) = mpsc::channel(QUEUE);
    let confirming = env.spawn(confirm(env.clone(), sent));
    let own = backend.cpu()?.0;
    let records = options.rate as usize * options.seconds;
    let mut pace = Pace::new(env, options.rate);
    for number in 0..records {
        pace.wait_for(number).await;
        let begin = env.now();
        let delivery = producer.send(load.record(number)).await?;
        deliveries.send((begin, delivery)).await?;
    }
    drop(deliveries);
    let mut times = confirming.await??;
    let own = backend.cpu()?.0 - own;
    times.sort_unstable();

    let quantile = |per_mille: usize| -> anyhow::Result<f64> {
        let index = (times.len() * per_mille / 1000).min(times.len().saturating_sub(1));
        Ok(times.get(index).context("no record")?.as_secs_f64() * 1e3)
    };
    Ok(vec![
        ("p50 ms", quantile(500)?),
        ("p90 ms", quantile(900)?),
        ("p99 ms", quantile(990)?),
        ("p99.9 ms", quantile(999)?),
        ("max ms", quantile(1000)?),
        ("CPU us/record", own.as_secs_f64() * 1e6 / records as f64),
    ])
}

/// Notes the time of each acknowledgement as it comes, whatever the order.
async fn confirm(
    env: Env,
    mut sent: mpsc::Receiver<(Instant, Delivery)>,
) -> Result<Vec<Duration>, DeliveryError> {
    let mut waiting = FuturesUnordered::new();
    let mut times = Vec::new();
    let mut open = true;
    while open || !waiting.is_empty() {
        // Each branch is cancel safe: a channel and a set keep what is not taken.
        tokio::select! {
            Some((begin, acknowledged)) = waiting.next() => {
                let acknowledged: Result<_, DeliveryError> = acknowledged;
                acknowledged?;
                times.push(env.now() - begin);
            }
            next = sent.recv(), if open => match next {
                Some((begin, delivery)) => waiting.push(async move { (begin, delivery.await) }),
                None => open = false,
            }
        }
    }
    Ok(times)
}
