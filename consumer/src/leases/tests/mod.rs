//! Tests of the leases as a whole; what concerns one file only stands at the end of that file.
//!
//! - `decide.rs`, `row.rs`, `observe.rs`, `balance.rs`, `missing.rs`, `clean.rs`: the pure parts, by
//!   example and by property
//! - `model.rs`: random interleavings of several holders over the same pure functions
//! - `handle.rs`: a held lease under a paused clock
//! - `conformance.rs`: one suite for both stores
//! - `ensure.rs`: the table in DynamoDB, as it may be found
//! - `faults.rs`: DynamoDB, in the mock, with a transport that misbehaves
//! - `java.rs`: rows as a KCL 2.x writes them

mod balance;
mod clean;
mod conformance;
mod decide;
mod ensure;
mod faults;
mod handle;
mod java;
mod missing;
mod model;
mod observe;
mod row;
mod support;
