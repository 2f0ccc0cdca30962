//! Every operation against every way in which a call can go wrong: one table.
//!
//! What must hold: a read is tried again whatever happened; records are put again, which may
//! duplicate; a change of a stream is never sent again once the service may have seen it, and the
//! error says so.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::time::Duration;

use shardwise_client::transport::{Faults, Faulty, InProcess, TransportFault};
use shardwise_client::{
    Aws, Error, ErrorKind, IteratorPosition, Kinesis, PutRecordsEntry, ShardFilter, ShardIterator,
    Written,
};
use shardwise_env::{Env, Simulation};
use shardwise_mock::{Mock, Operation as Op};
use shardwise_types::{HashKey, ShardId, StreamName};

/// The operations of the client, as AWS spells them.
const ALL: [Op; 10] = [
    Op::CreateStream,
    Op::DeleteStream,
    Op::DescribeStreamSummary,
    Op::ListShards,
    Op::PutRecord,
    Op::PutRecords,
    Op::GetShardIterator,
    Op::GetRecords,
    Op::SplitShard,
    Op::MergeShards,
];

fn changes_a_stream(op: Op) -> bool {
    matches!(
        op,
        Op::CreateStream | Op::DeleteStream | Op::SplitShard | Op::MergeShards
    )
}

fn puts(op: Op) -> bool {
    matches!(op, Op::PutRecord | Op::PutRecords)
}

fn attempts(op: Op) -> u32 {
    let data_path = puts(op) || matches!(op, Op::GetShardIterator | Op::GetRecords);
    if data_path { 3 } else { 5 }
}

/// A mock with one stream of two shards, and a client whose transport fails on demand.
struct World {
    env: Env,
    mock: Mock,
    kinesis: Kinesis,
    faults: Faults,
    stream: StreamName,
}

impl World {
    async fn new() -> Self {
        let env = Simulation::new(7).node("client", 1.0).env();
        let mock = Mock::builder().env(env.clone()).build();
        let transport = Faulty::new(InProcess::new(mock.service()), env.clone());
        let faults = transport.faults();
        let aws = Aws::builder()
            .in_process_transport(transport)
            .env(env.clone())
            .build()
            .unwrap();
        let world = Self {
            env,
            mock,
            kinesis: aws.kinesis(),
            faults,
            stream: "orders".parse().unwrap(),
        };
        world.kinesis.create_stream(&world.stream, 2).await.unwrap();
        world
    }

    async fn iterator(&self) -> ShardIterator {
        let shard = ShardId::from_number(0);
        self.kinesis
            .get_shard_iterator(&self.stream, &shard, &IteratorPosition::TrimHorizon)
            .await
            .unwrap()
    }

    /// Calls the operation once, with `fault` in the way the first `times` times.
    async fn call(&self, op: Op, times: usize, fault: TransportFault) -> Result<(), Error> {
        let (kinesis, stream) = (&self.kinesis, &self.stream);
        let (first, second) = (ShardId::from_number(0), ShardId::from_number(1));
        let entry = PutRecordsEntry::new("key".parse().unwrap(), "data".into());
        let iterator = self.iterator().await;
        self.faults.on(op.name(), times, fault);
        let result = match op {
            Op::CreateStream => kinesis.create_stream(&"other".parse().unwrap(), 1).await,
            Op::DeleteStream => kinesis.delete_stream(stream).await,
            Op::DescribeStreamSummary => {
                kinesis
                    .describe_stream_summary(stream)
                    .await
                    .map(|summary| {
                        assert_eq!(summary.open_shard_count, 2);
                    })
            }
            Op::ListShards => kinesis
                .list_shards(stream, ShardFilter::All)
                .await
                .map(|shards| assert_eq!(shards.len(), 2)),
            Op::PutRecord => kinesis.put_record(stream, &entry).await.map(drop),
            Op::PutRecords => kinesis.put_records(stream, &[entry]).await.map(|results| {
                assert!(results[0].is_ok());
            }),
            Op::GetShardIterator => kinesis
                .get_shard_iterator(stream, &first, &IteratorPosition::TrimHorizon)
                .await
                .map(drop),
            Op::GetRecords => kinesis.get_records(&iterator, None).await.map(drop),
            Op::SplitShard => kinesis.split_shard(stream, &first, HashKey::new(99)).await,
            Op::MergeShards => kinesis.merge_shards(stream, &first, &second).await,
            other => panic!("the client has no {other}"),
        };
        self.faults.clear();
        result
    }

    /// Records that are stored, in all shards.
    async fn stored(&self) -> usize {
        let mut count = 0;
        for number in 0..2 {
            let position = IteratorPosition::TrimHorizon;
            let shard = ShardId::from_number(number);
            let iterator = self
                .kinesis
                .get_shard_iterator(&self.stream, &shard, &position)
                .await
                .unwrap();
            count += self
                .kinesis
                .get_records(&iterator, None)
                .await
                .unwrap()
                .records
                .len();
        }
        count
    }

    /// Whether the change that the operation asks for has happened.
    async fn changed(&self, op: Op) -> bool {
        match op {
            Op::CreateStream => self
                .kinesis
                .describe_stream_summary(&"other".parse().unwrap())
                .await
                .is_ok(),
            Op::DeleteStream => self
                .kinesis
                .describe_stream_summary(&self.stream)
                .await
                .is_err(),
            _ => {
                let all = ShardFilter::All;
                self.kinesis
                    .list_shards(&self.stream, all)
                    .await
                    .unwrap()
                    .len()
                    > 2
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_service_never_saw_is_tried_again_for_every_operation() {
    for op in ALL {
        for fault in [TransportFault::Throttle, TransportFault::Refuse] {
            let world = World::new().await;
            world.call(op, 1, fault).await.unwrap_or_else(|error| {
                panic!("{op} after {fault:?}: {error}");
            });
            if puts(op) {
                assert_eq!(world.stored().await, 1, "{op} after {fault:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_or_failed_answer_is_tried_again_unless_it_was_a_change() {
    let faults = [
        (TransportFault::InternalFailure, ErrorKind::Service),
        (TransportFault::LoseRequest, ErrorKind::Transport),
        (TransportFault::LoseResponse, ErrorKind::Transport),
        (TransportFault::HangBefore, ErrorKind::Timeout),
        (TransportFault::HangAfter, ErrorKind::Timeout),
    ];
    for op in ALL {
        for (fault, kind) in faults {
            let world = World::new().await;
            let result = world.call(op, 1, fault).await;
            if changes_a_stream(op) {
                let error = result.unwrap_err();
                assert_eq!(error.kind(), kind, "{op} after {fault:?}");
                assert_eq!(error.written(), Written::Unknown, "{op} after {fault:?}");
                assert_eq!(error.attempts(), 1, "{op} after {fault:?}");
                let happened = matches!(
                    fault,
                    TransportFault::LoseResponse | TransportFault::HangAfter
                );
                assert_eq!(world.changed(op).await, happened, "{op} after {fault:?}");
            } else {
                result.unwrap_or_else(|error| panic!("{op} after {fault:?}: {error}"));
            }
            if puts(op) {
                let twice = matches!(
                    fault,
                    TransportFault::LoseResponse | TransportFault::HangAfter
                );
                let expected = if twice { 2 } else { 1 };
                assert_eq!(world.stored().await, expected, "{op} after {fault:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_truncated_answer_is_read_again() {
    for op in ALL.into_iter().filter(|op| !changes_a_stream(*op)) {
        let world = World::new().await;
        world
            .call(op, 1, TransportFault::TruncateBody)
            .await
            .unwrap_or_else(|error| panic!("{op}: {error}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_within_the_limit_is_waited_for() {
    for op in ALL {
        let world = World::new().await;
        let begin = world.env.now();
        let before = world.mock.calls(op);
        world
            .call(op, 1, TransportFault::Delay(Duration::from_secs(9)))
            .await
            .unwrap();
        assert!(world.env.now() - begin >= Duration::from_secs(9));
        // GetShardIterator is also called to set the stage.
        let extra = u64::from(op == Op::GetShardIterator);
        assert_eq!(world.mock.calls(op) - before, 1 + extra, "{op}");
    }
}

#[tokio::test(start_paused = true)]
async fn tries_end_and_the_error_tells_their_number() {
    for op in ALL {
        let world = World::new().await;
        let error = world
            .call(op, 100, TransportFault::Throttle)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Throttled, "{op}");
        assert_eq!(error.attempts(), attempts(op), "{op}");
        assert_eq!(error.written(), Written::No, "{op}");
        assert!(error.is_retryable());
    }
}

#[tokio::test(start_paused = true)]
async fn one_lost_answer_makes_the_call_unknown_though_the_last_try_was_refused() {
    let world = World::new().await;
    world
        .faults
        .on("PutRecords", 1, TransportFault::LoseResponse);
    let error = world
        .call(Op::PutRecords, 100, TransportFault::Throttle)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert_eq!(error.written(), Written::Unknown);
}

#[tokio::test(start_paused = true)]
async fn permanent_errors_are_not_tried_again_and_keep_what_the_service_said() {
    let world = World::new().await;
    let unknown: StreamName = "nowhere".parse().unwrap();
    let error = world
        .kinesis
        .describe_stream_summary(&unknown)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceNotFound);
    assert_eq!(error.code(), Some("ResourceNotFoundException"));
    assert!(error.message().unwrap().contains("nowhere"), "{error}");
    assert!(error.request_id().is_some());
    assert_eq!((error.attempts(), error.is_retryable()), (1, false));
    let text = error.to_string();
    assert!(
        text.starts_with("could not DescribeStreamSummary: ResourceNotFound"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_retry_budget_ends_retries_for_all_calls_of_a_handle() {
    let world = World::new().await;
    let mut retried = 0;
    for _ in 0..100 {
        let error = world
            .call(Op::ListShards, 100, TransportFault::InternalFailure)
            .await
            .unwrap_err();
        retried += error.attempts() - 1;
    }
    // 500 tokens at 5 each, and one back for every iterator that set the stage.
    assert!((100..=125).contains(&retried), "{retried}");
}
