//! One shard: read, unpack, process, checkpoint.

pub(crate) mod calls;
pub(crate) mod command;
pub(crate) mod deaggregate;
pub(crate) mod fetch;
mod listing;
pub(crate) mod pace;
pub(crate) mod run;
pub(crate) mod state;
