//! The names that nearly every program needs: `use shardwise::prelude::*;`.
//!
//! Of the modules whose features are off, nothing.

pub use crate::Aws;
#[cfg(feature = "consumer")]
pub use crate::consumer::{
    Batch, BoxError, Checkpointer, InitialPosition, RecordProcessor, ShardInfo, Worker,
};
#[cfg(feature = "mock")]
pub use crate::mock::Mock;
#[cfg(feature = "producer")]
pub use crate::producer::{Producer, Record};
