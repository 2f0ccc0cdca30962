//! Where the run takes place: the stream, embedded or elsewhere, and what is done to its shards.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use shardwise::client::{Kinesis, ShardFilter, StreamStatus};
use shardwise::prelude::*;
use shardwise::{ApplicationName, Credentials, HashKey, Shard, StreamName};

/// The embedded mock keeps a stream in CREATING and UPDATING this long, as the program does.
const STATE_DELAY: Duration = Duration::from_millis(500);

/// The real service takes tens of seconds to make or change a stream.
const ACTIVE_WITHIN: Duration = Duration::from_secs(180);

const SHARDS: u32 = 2;

const USAGE: &str = "usage: quickstart [--endpoint URL | --aws]";

/// Where to run.
#[derive(Debug)]
pub(crate) enum Options {
    Embedded,
    Endpoint(String),
    Aws,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let options = match arguments.next().as_deref() {
            None => Self::Embedded,
            Some("--aws") => Self::Aws,
            Some("--endpoint") => match arguments.next() {
                Some(url) => Self::Endpoint(url),
                None => return Err(format!("--endpoint wants a URL\n{USAGE}")),
            },
            Some(other) => return Err(format!("unknown argument {other:?}\n{USAGE}")),
        };
        match arguments.next() {
            Some(extra) => Err(format!("unknown argument {extra:?}\n{USAGE}")),
            None => Ok(options),
        }
    }
}

/// A stream of two shards, ready, and the application's name.
pub(crate) struct Stage {
    pub(crate) aws: Aws,
    pub(crate) stream: StreamName,
    pub(crate) application: ApplicationName,
    kinesis: Kinesis,
}

impl Stage {
    pub(crate) async fn set(options: &Options) -> anyhow::Result<Self> {
        let aws = match options {
            Options::Embedded => {
                Aws::in_process(Mock::builder().state_delay(STATE_DELAY).build().service())
            }
            Options::Endpoint(url) => Aws::builder()
                .region("us-east-1")
                .credentials(Credentials::new("test", "test", None, None, "quickstart"))
                .endpoint_url(url)
                .build()?,
            Options::Aws => Aws::from_env()?,
        };
        let name = format!(
            "shardwise-quickstart-{:08x}",
            aws.env().random_below(1 << 32)
        );
        let stage = Self {
            kinesis: aws.kinesis(),
            stream: name.parse()?,
            application: name.parse()?,
            aws,
        };
        stage
            .kinesis
            .create_stream(&stage.stream, SHARDS)
            .await
            .context("could not make the stream")?;
        stage.until_active().await?;
        Ok(stage)
    }

    /// Splits the first open shard in the middle.
    pub(crate) async fn split(&self, open: &[Shard]) -> anyhow::Result<()> {
        let shard = open.first().context("the stream has no open shard")?;
        let (start, end) = (
            shard.hash_key_range.start().get(),
            shard.hash_key_range.end().get(),
        );
        let middle = HashKey::new(start + (end - start) / 2 + 1);
        self.kinesis
            .split_shard(&self.stream, &shard.shard_id, middle)
            .await?;
        self.until_active().await
    }

    /// Merges the second and the third open shard: a child of the split and a shard of the start.
    pub(crate) async fn merge(&self, open: &[Shard]) -> anyhow::Result<()> {
        let [_, second, third] = open else {
            bail!("there are {} open shards, 3 were expected", open.len());
        };
        self.kinesis
            .merge_shards(&self.stream, &second.shard_id, &third.shard_id)
            .await?;
        self.until_active().await
    }

    /// The open shards in the order of their hash keys.
    pub(crate) async fn open_shards(&self) -> anyhow::Result<Vec<Shard>> {
        let mut open = self
            .kinesis
            .list_shards(&self.stream, ShardFilter::AtLatest)
            .await?;
        open.sort_by_key(|shard| shard.hash_key_range.start());
        Ok(open)
    }

    pub(crate) async fn all_shards(&self) -> anyhow::Result<Vec<Shard>> {
        Ok(self
            .kinesis
            .list_shards(&self.stream, ShardFilter::All)
            .await?)
    }

    pub(crate) async fn clear(&self) -> anyhow::Result<()> {
        self.kinesis
            .delete_stream(&self.stream)
            .await
            .context("could not delete the stream")
    }

    async fn until_active(&self) -> anyhow::Result<()> {
        let env = self.aws.env();
        let limit = env.now() + ACTIVE_WITHIN;
        loop {
            let summary = self.kinesis.describe_stream_summary(&self.stream).await?;
            if summary.status == StreamStatus::Active {
                return Ok(());
            }
            ensure!(
                env.now() < limit,
                "the stream is still {:?}",
                summary.status
            );
            env.sleep(Duration::from_millis(200)).await;
        }
    }
}
