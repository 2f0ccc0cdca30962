//! The mock from outside: raw HTTP in, raw HTTP out, no client of ours in between.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests; clippy takes only test functions for such, not their helpers"
)]

mod accounts;
mod admin;
mod cbor;
mod channels;
mod clock;
mod consumers;
mod determinism;
mod fault_text;
mod faults;
mod garbage;
mod growth;
mod http;
mod iterators;
mod limits;
mod listing;
mod load;
mod model;
mod policies;
mod precedence;
#[cfg(feature = "cli")]
mod program;
mod records;
mod reference;
mod refusals;
mod reshard;
mod scaling;
mod settings;
mod streams;
mod subscribe;
mod support;
#[cfg(feature = "tls")]
mod tls;
