//! Promises that need several crates: one binary, a module per subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod dead_connections;
mod determinism;
mod house;
mod mutants;
mod official;
mod oracle_dynamodb;
mod oracle_kinesis;
mod promises;
mod remote_calls;
mod signatures;
mod simulation;
mod sockets;
