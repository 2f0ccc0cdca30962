//! One shard: read, unpack, process, checkpoint.

pub(crate) mod calls;
pub(crate) mod expand;
pub(crate) mod fetch;
pub(crate) mod pace;
pub(crate) mod run;
pub(crate) mod state;
