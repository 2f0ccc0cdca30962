//! The producer against the mock, in process and on a paused clock: no sockets, no real time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests; clippy takes only test functions for such, not their helpers"
)]

mod batching;
mod buffer;
mod close;
mod distribution;
mod failures;
mod faults;
mod flush;
mod logs;
mod recreated;
mod reshard;
mod sharing;
mod simulation;
mod support;
mod threads;
