//! The mock from outside: raw HTTP in, raw HTTP out, no client of ours in between.

mod faults;
mod garbage;
mod http;
mod iterators;
mod program;
mod records;
mod refusals;
mod reshard;
mod streams;
mod support;
