//! A producer for Amazon Kinesis Data Streams: aggregation, batching, retries.
