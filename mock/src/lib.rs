//! Kinesis and DynamoDB in one process, for tests and for a laptop.
