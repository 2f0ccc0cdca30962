//! Writers and readers on one stream at the same time, and how long a bystander waits meanwhile.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use futures_util::future::try_join_all;
use shardwise_client::{IteratorPosition, Kinesis, PutRecordsEntry, ShardFilter, ShardIterator};
use shardwise_env::{Env, Instant};
use shardwise_types::StreamName;

use crate::Common;
use crate::backend::Backend;
use crate::load;
use crate::report::Run;

/// The bystander calls that often.
const BETWEEN_IDLE_CALLS: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Writers, each with one PutRecord under way.
    #[arg(long, default_value_t = 8)]
    writers: usize,
    /// How long to write.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} writers for {} s", self.writers, self.seconds)
    }
}

/// One stream, its readers and its writers.
#[derive(Clone)]
struct Contention {
    env: Env,
    kinesis: Kinesis,
    stream: StreamName,
    end: Instant,
    written: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
}

#[expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]
pub(crate) async fn measure(
    options: &Options,
    backend: &Backend,
    common: &Common,
) -> anyhow::Result<Run> {
    let env = backend.aws.env().clone();
    let contention = Contention {
        kinesis: backend.aws.kinesis(),
        stream: common.stream.clone(),
        end: env.now() + Duration::from_secs(options.seconds),
        written: Arc::default(),
        read: Arc::default(),
        env: env.clone(),
    };
    let mut readers = Vec::new();
    let shards = contention
        .kinesis
        .list_shards(&contention.stream, ShardFilter::AtLatest);
    for shard in shards.await? {
        // Here and not in the reader: what is written from now on is behind it.
        let start = IteratorPosition::Latest;
        let iterator = contention
            .kinesis
            .get_shard_iterator(&contention.stream, &shard.shard_id, &start)
            .await?;
        readers.push(env.spawn(contention.clone().read(iterator)));
    }
    let data = vec![0x55; common.bytes];
    let writers = (0..options.writers).map(|_| env.spawn(contention.clone().write(data.clone())));
    let writers: Vec<_> = writers.collect();
    let longest = contention.clone().stand_by().await?;
    for task in try_join_all(writers).await? {
        task?;
    }
    for task in try_join_all(readers).await? {
        task?;
    }
    let written = contention.written.load(Ordering::Relaxed);
    let read = contention.read.load(Ordering::Relaxed);
    let seconds = options.seconds as f64;
    Ok(vec![
        ("PutRecord/s", written as f64 / seconds),
        ("longest idle call ms", longest.as_secs_f64() * 1e3),
        ("not read", written.abs_diff(read) as f64),
    ])
}

impl Contention {
    async fn write(self, data: Vec<u8>) -> anyhow::Result<()> {
        while self.env.now() < self.end {
            let key = load::key(&self.env).try_into()?;
            let entry = PutRecordsEntry::new(key, data.clone().into());
            self.kinesis.put_record(&self.stream, &entry).await?;
            self.written.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Reads without a pause until the writers are done and nothing is left.
    async fn read(self, mut iterator: ShardIterator) -> anyhow::Result<()> {
        loop {
            let begin = self.env.now();
            let page = self.kinesis.get_records(&iterator, None).await?;
            let count = u64::try_from(page.records.len())?;
            self.read.fetch_add(count, Ordering::Relaxed);
            if count == 0 && begin > self.end + BETWEEN_IDLE_CALLS {
                return Ok(());
            }
            iterator = page.next_shard_iterator.context("the shard has ended")?;
        }
    }

    /// The longest of many calls that have nothing to do with the records.
    async fn stand_by(self) -> anyhow::Result<Duration> {
        let mut longest = Duration::ZERO;
        while self.env.now() < self.end {
            let begin = self.env.now();
            self.kinesis.describe_stream_summary(&self.stream).await?;
            longest = longest.max(self.env.now() - begin);
            self.env.sleep(BETWEEN_IDLE_CALLS).await;
        }
        Ok(longest)
    }
}
