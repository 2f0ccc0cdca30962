//! A simulator of whole fleets on one virtual clock.
//!
//! [`fleet::run`] plays one seed: producers, workers, lease table and stream, with every
//! fault drawn from the seed. The code is the real one, from `send` to the bytes of each HTTP request;
//! only the wire and the clock are replaced. An observer in front of the service reports each exchange
//! to an oracle, which judges it at once.
//!
//! `cargo run --release -p shardwise-tests --bin simulate -- --seeds 100` plays many.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    reason = "whatever breaks an assumption of a simulator has to end it"
)]

pub mod fleet;
pub mod mutants;
pub mod proxy;
pub mod tree;
pub mod unverified_signature;
