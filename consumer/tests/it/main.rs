//! The consumer's promises, each a test that bears its name. One process, a paused clock, the mock
//! in process, DynamoDB through the SDK: no socket anywhere.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests: a panic is a failure, and measured times are printed"
)]

mod applications;
mod chaos;
mod delivery;
mod distribution;
mod failover;
mod faults;
mod input;
mod journal;
mod logs;
mod processor_failures;
mod reshard;
mod support;
