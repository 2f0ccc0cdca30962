//! A consumer for Amazon Kinesis Data Streams: leases, checkpoints, polling.

mod leases;
