//! The producer that is measured, and the records that it sends.

use std::fmt;
use std::time::Duration;

use clap::Args;
use shardwise_producer::Producer;

use crate::Common;
use crate::backend::Backend;
use crate::load::Load;

/// How the producer is set.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Send each record as a Kinesis record of its own.
    #[arg(long)]
    no_aggregation: bool,
    /// How long a record waits for others, in milliseconds; the producer's default if not given.
    #[arg(long)]
    linger: Option<u64>,
}

impl Options {
    pub(crate) fn start(
        &self,
        backend: &Backend,
        common: &Common,
    ) -> anyhow::Result<(Producer, Load)> {
        let load = Load::new(common.bytes, backend.aws.env())?;
        let mut builder = Producer::builder(&backend.aws)
            .stream(&common.stream)
            .aggregation(!self.no_aggregation);
        if let Some(linger) = self.linger {
            builder = builder.linger(Duration::from_millis(linger));
        }
        Ok((builder.build()?, load))
    }
}

/// What differs from the defaults, behind the title of a measurement.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(linger) = self.linger {
            write!(f, " lingering {linger} ms")?;
        }
        if self.no_aggregation {
            f.write_str(" without aggregation")?;
        }
        Ok(())
    }
}
