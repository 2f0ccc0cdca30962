//! Promises that need several crates: one binary, a module per subject.

mod simulation;
