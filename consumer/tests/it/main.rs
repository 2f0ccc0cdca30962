//! The consumer's promises, each a test that bears its name. One process, a paused clock, the mock
//! in process, DynamoDB through the SDK: no socket anywhere.

mod delivery;
mod failover;
mod faults;
mod input;
mod reshard;
mod support;
mod trouble;
