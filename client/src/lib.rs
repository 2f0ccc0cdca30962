//! Kinesis over HTTP: transport, signing, retries, operations.
