//! The records that are sent, made beforehand, so that making them is no part of what is measured.

use std::time::Duration;

use bytes::Bytes;
use shardwise_env::{Env, Instant};
use shardwise_producer::Record;
use shardwise_types::PartitionKey;

/// Different keys: so many that no aggregate holds one twice.
const KEYS: usize = 100_000;

/// Different payloads.
const PAYLOADS: usize = 1_024;

/// Bursts of a paced load are this far apart; tokio's timer is no finer.
const BURST: Duration = Duration::from_millis(1);

/// Keys as long as a UUID, and data of one size.
pub(crate) struct Load {
    keys: Vec<PartitionKey>,
    payloads: Vec<Bytes>,
}

impl Load {
    pub(crate) fn new(bytes: usize, env: &Env) -> anyhow::Result<Self> {
        let keys = (0..KEYS).map(|_| Ok(key(env).try_into()?));
        let payload = |_| -> Bytes {
            let words = (0..bytes.div_ceil(8)).flat_map(|_| env.random_u64().to_le_bytes());
            words.take(bytes).collect()
        };
        Ok(Self {
            keys: keys.collect::<anyhow::Result<_>>()?,
            payloads: (0..PAYLOADS).map(payload).collect(),
        })
    }

    pub(crate) fn record(&self, number: usize) -> Record {
        let key = self.keys[number % KEYS].clone();
        Record::new(key, self.payloads[number % PAYLOADS].clone())
    }
}

/// 36 random characters.
pub(crate) fn key(env: &Env) -> String {
    format!("{:032x}-{:03x}", env.random_u128(), env.random_below(4096))
}

/// An even pace in bursts.
pub(crate) struct Pace {
    env: Env,
    begin: Instant,
    rate: f64,
    next: Instant,
}

impl Pace {
    pub(crate) fn new(env: &Env, rate: u32) -> Self {
        let begin = env.now();
        Self {
            env: env.clone(),
            begin,
            rate: f64::from(rate),
            next: begin,
        }
    }

    /// Waits until so many records may be sent.
    #[expect(clippy::cast_precision_loss, reason = "a rate is no exact thing")]
    pub(crate) async fn wait_for(&mut self, records: usize) {
        while (self.env.now() - self.begin).as_secs_f64() * self.rate < records as f64 {
            self.next += BURST;
            self.env.sleep_until(self.next).await;
        }
    }
}
