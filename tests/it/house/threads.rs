//! What an application holds may be sent to other threads, and shared where that is meant: this
//! compiles or it does not.

use std::error::Error;

use shardwise_aggregation_proto as aggregation;
use shardwise_client as client;
use shardwise_consumer as consumer;
use shardwise_env as env;
use shardwise_mock as mock;
use shardwise_producer as producer;
use shardwise_types as types;

fn sent<T: Send + 'static>() {}

fn shared<T: Send + Sync + 'static>() {}

/// An error that can be boxed as `Box<dyn Error + Send + Sync>`.
fn error<T: Error + Send + Sync + 'static>() {}

fn future<F: Future + Send>(_: &F) {}

#[test]
fn names_and_handles_are_shared_between_threads() {
    shared::<types::ApplicationName>();
    shared::<types::HashKey>();
    shared::<types::HashKeyRange>();
    shared::<types::PartitionKey>();
    shared::<types::SequenceNumber>();
    shared::<types::Shard>();
    shared::<types::ShardId>();
    shared::<types::StreamArn>();
    shared::<types::StreamName>();
    shared::<types::WorkerId>();
    shared::<env::Env>();
    shared::<env::ManualClock>();
    shared::<env::Node>();
    shared::<env::Simulation>();
    shared::<env::Task<()>>();
    shared::<client::Aws>();
    shared::<client::AwsBuilder>();
    shared::<client::Kinesis>();
    shared::<Box<dyn client::Transport>>();
    shared::<mock::Mock>();
    shared::<mock::MockBuilder>();
    shared::<mock::MockService>();
    shared::<mock::RuleHandle>();
    shared::<mock::AdminService>();
    sent::<mock::Server>();
    sent::<mock::ResponseFuture>();
    sent::<mock::ResponseBody>();
}

#[test]
fn what_a_producer_and_a_worker_give_crosses_threads() {
    shared::<producer::Producer>();
    shared::<producer::ProducerBuilder>();
    shared::<producer::Record>();
    shared::<producer::Receipt>();
    shared::<producer::CloseReport>();
    shared::<producer::Unsent>();
    sent::<producer::Delivery>();
    shared::<consumer::WorkerBuilder>();
    shared::<consumer::MemoryLeaseStore>();
    shared::<consumer::ShardInfo>();
    shared::<consumer::Batch>();
    shared::<consumer::ConsumedRecord>();
    shared::<consumer::Position>();
    shared::<consumer::Checkpointer>();
    sent::<consumer::ShardEnd>();
    sent::<consumer::EndAcked>();
    shared::<aggregation::Aggregate>();
    shared::<aggregation::Aggregator>();
    shared::<aggregation::Decoded>();
    shared::<aggregation::Encoded>();
    shared::<aggregation::UserRecord>();
}

#[test]
fn every_error_can_be_boxed_and_sent() {
    error::<types::Invalid>();
    error::<env::Elapsed>();
    error::<env::TaskError>();
    error::<client::Error>();
    error::<client::ConfigError>();
    error::<aggregation::Corrupt>();
    error::<producer::SendError>();
    error::<producer::DeliveryError>();
    error::<producer::Closed>();
    error::<consumer::WorkerError>();
    error::<consumer::CheckpointError>();
    error::<mock::FaultsError>();
    error::<mock::ListenError>();
    error::<mock::CreateStreamError>();
}

/// Never called: that the futures are `Send` shows when it is compiled.
#[expect(dead_code, reason = "it is compiled, not run")]
fn futures<P: consumer::RecordProcessor>(
    worker: consumer::Worker<P>,
    producer: &producer::Producer,
    record: producer::Record,
    kinesis: &client::Kinesis,
    stream: &types::StreamName,
) {
    future(&worker.run_until(std::future::ready(())));
    future(&producer.send(record));
    future(&producer.flush());
    future(&producer.close(std::time::Duration::ZERO));
    future(&kinesis.describe_stream_summary(stream));
    future(&kinesis.list_shards(stream, client::ShardFilter::All));
}
