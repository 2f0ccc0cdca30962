//! The ten operations against the mock, in process and over a real socket.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::time::Duration;

use shardwise_client::{
    Aws, ConfigErrorKind, Encoding, ErrorKind, IteratorPosition, Kinesis, PutRecordsEntry,
    ShardFilter, StreamStatus,
};
use shardwise_mock::{Mock, Operation};
use shardwise_types::{HashKey, HashKeyRange, ShardId, StreamName};

fn entry(key: &str, data: &str) -> PutRecordsEntry {
    PutRecordsEntry::new(key.parse().unwrap(), data.to_owned().into())
}

/// Makes, fills, splits, merges, reads and deletes a stream.
async fn whole_life(kinesis: &Kinesis) {
    let stream: StreamName = "whole-life".parse().unwrap();
    kinesis.create_stream(&stream, 2).await.unwrap();
    let error = kinesis.create_stream(&stream, 2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceInUse);
    let summary = kinesis.describe_stream_summary(&stream).await.unwrap();
    assert_eq!(summary.status, StreamStatus::Active);
    assert_eq!(summary.open_shard_count, 2);
    assert_eq!(summary.retention, Duration::from_secs(24 * 3600));
    assert_eq!(summary.arn.as_ref().unwrap().stream_name(), &stream);
    assert!(summary.service_time.is_some() && summary.created.is_some());

    // One record goes where its key says, the other where its explicit hash key says.
    let by_key = kinesis
        .put_record(&stream, &entry("a", "one"))
        .await
        .unwrap();
    let mut explicit = entry("a", "two");
    explicit.explicit_hash_key = Some(HashKey::MAX);
    let results = kinesis
        .put_records(&stream, &[explicit, entry("a", "three")])
        .await
        .unwrap();
    let stored: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(by_key.shard_id, ShardId::from_number(0));
    assert_eq!(stored[0].shard_id, ShardId::from_number(1));
    assert_eq!(stored[1].shard_id, ShardId::from_number(0));
    assert!(stored[1].sequence_number > by_key.sequence_number);

    let first = ShardId::from_number(0);
    let read = |position| async move {
        let iterator = kinesis
            .get_shard_iterator(&stream_name(), &first_id(), &position)
            .await
            .unwrap();
        kinesis.get_records(&iterator, Some(10)).await.unwrap()
    };
    let all = read(IteratorPosition::TrimHorizon).await;
    let data: Vec<_> = all
        .records
        .iter()
        .map(|record| record.data.clone())
        .collect();
    assert_eq!(data, ["one", "three"]);
    assert_eq!(all.records[0].partition_key.as_ref().unwrap().as_str(), "a");
    assert!(all.records[0].approximate_arrival_timestamp.is_some());
    assert_eq!(all.behind_latest, Some(Duration::ZERO));
    let number = by_key.sequence_number.clone();
    assert_eq!(
        read(IteratorPosition::AtSequenceNumber(number.clone()))
            .await
            .records
            .len(),
        2
    );
    assert_eq!(
        read(IteratorPosition::AfterSequenceNumber(number))
            .await
            .records
            .len(),
        1
    );
    assert_eq!(read(IteratorPosition::Latest).await.records.len(), 0);
    let created = summary.created.unwrap();
    assert_eq!(
        read(IteratorPosition::AtTimestamp(created))
            .await
            .records
            .len(),
        2
    );

    // A split closes the shard; its end names the children.
    kinesis
        .split_shard(&stream, &first, HashKey::new(1 << 100))
        .await
        .unwrap();
    let closed = read(IteratorPosition::TrimHorizon).await;
    let end = match closed.next_shard_iterator {
        None => closed,
        Some(next) => kinesis.get_records(&next, None).await.unwrap(),
    };
    assert!(end.next_shard_iterator.is_none());
    let children: Vec<_> = end
        .child_shards
        .iter()
        .map(|c| c.shard_id.number())
        .collect();
    assert_eq!(children, [Some(2), Some(3)]);
    assert_eq!(
        end.child_shards[0].parent_shards,
        std::slice::from_ref(&first)
    );
    assert_eq!(
        end.child_shards[0].hash_key_range.end(),
        HashKey::new((1 << 100) - 1)
    );

    kinesis
        .merge_shards(&stream, &ShardId::from_number(2), &ShardId::from_number(3))
        .await
        .unwrap();
    let shards = kinesis
        .list_shards(&stream, ShardFilter::All)
        .await
        .unwrap();
    assert_eq!(shards.len(), 5);
    assert_eq!(shards[4].parents().count(), 2);
    assert!(!shards[0].is_open() && shards[4].is_open());
    let open = kinesis
        .list_shards(&stream, ShardFilter::AtLatest)
        .await
        .unwrap();
    let ids: Vec<_> = open.iter().map(|shard| shard.shard_id.number()).collect();
    assert_eq!(ids, [Some(1), Some(4)]);
    assert_eq!(open[1].hash_key_range.start(), HashKeyRange::FULL.start());

    kinesis.delete_stream(&stream).await.unwrap();
    let error = kinesis
        .put_record(&stream, &entry("a", "x"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceNotFound);
}

fn stream_name() -> StreamName {
    "whole-life".parse().unwrap()
}

fn first_id() -> ShardId {
    ShardId::from_number(0)
}

#[tokio::test]
async fn the_ten_operations_work_in_process() {
    let mock = Mock::new();
    whole_life(&Aws::in_process(mock.service()).kinesis()).await;
}

#[tokio::test]
async fn the_ten_operations_work_in_cbor() {
    let mock = Mock::new();
    let aws = Aws::builder()
        .in_process(mock.service())
        .encoding(Encoding::Cbor)
        .build()
        .unwrap();
    whole_life(&aws.kinesis()).await;
}

#[tokio::test]
async fn the_ten_operations_work_over_a_socket() {
    let mock = Mock::new();
    let server = mock.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let aws = aws_at(&format!("http://{}", server.local_addr()));
    whole_life(&aws.kinesis()).await;
    server.shutdown().await;
}

fn aws_at(url: &str) -> Aws {
    use shardwise_client::credential_types::Credentials;
    Aws::builder()
        .region("us-east-1")
        .credentials(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(url)
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_connect_error_that_wrote_nothing() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let kinesis = aws_at(&format!("http://{free}")).kinesis();
    let error = kinesis
        .put_record(&stream_name(), &entry("a", "x"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert_eq!(error.written(), shardwise_client::Written::No);
    assert_eq!(error.attempts(), 3);
}

#[tokio::test]
async fn a_listing_of_many_shards_is_read_page_by_page() {
    let mock = Mock::builder().shard_limit(5_000).build();
    let kinesis = Aws::in_process(mock.service()).kinesis();
    let stream: StreamName = "wide".parse().unwrap();
    kinesis.create_stream(&stream, 2_500).await.unwrap();
    let shards = kinesis
        .list_shards(&stream, ShardFilter::All)
        .await
        .unwrap();
    assert_eq!(shards.len(), 2_500);
    assert_eq!(mock.calls(Operation::ListShards), 3, "pages of 1,000");
    assert!(
        shards
            .windows(2)
            .all(|pair| pair[0].shard_id < pair[1].shard_id)
    );
}

#[test]
fn a_handle_without_region_or_credentials_or_a_good_endpoint_is_refused() {
    use shardwise_client::credential_types::Credentials;
    let credentials = || Credentials::new("test", "test", None, None, "test");
    let kind = |result: Result<Aws, shardwise_client::ConfigError>| result.unwrap_err().kind();
    let none = Aws::builder().credentials(credentials()).build();
    assert_eq!(kind(none), ConfigErrorKind::MissingRegion);
    let none = Aws::builder().region("eu-west-1").build();
    assert_eq!(kind(none), ConfigErrorKind::MissingCredentials);
    let bad = Aws::builder()
        .region("eu-west-1")
        .credentials(credentials())
        .endpoint_url("nonsense");
    assert_eq!(kind(bad.build()), ConfigErrorKind::InvalidEndpoint);
}
