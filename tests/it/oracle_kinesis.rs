//! The official SDK as a second opinion on the mock's Kinesis, and on what our producer and
//! consumer write and read.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::client::Waiters as _;
use aws_sdk_kinesis::error::ProvideErrorMetadata as _;
use aws_sdk_kinesis::operation::RequestId as _;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{
    PutRecordsRequestEntry, Record, ShardFilter, ShardFilterType, ShardIteratorType, StreamStatus,
};
use bytes::Bytes;
use shardwise_aggregation_proto::{Aggregator, Decoded, UserRecord, decode};
use shardwise_consumer::{Batch, BoxError, Checkpointer, InitialPosition, RecordProcessor, Worker};
use shardwise_mock::{EntryFault, Fault, Operation};
use shardwise_producer::Producer;
use tokio::sync::mpsc;

use crate::official::{Backend, STREAM, stream};

/// More than any wait here takes; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(30);

const SHARD_0: &str = "shardId-000000000000";
const SHARD_1: &str = "shardId-000000000001";
const SHARD_2: &str = "shardId-000000000002";
const SHARD_3: &str = "shardId-000000000003";

/// A hash key in the upper half of the range.
const UPPER_HALF: &str = "170141183460469231731687303715884105728";

async fn put(client: &Client, key: &str) -> String {
    let output = client
        .put_record()
        .stream_name(STREAM)
        .partition_key(key)
        .data(Blob::new(key))
        .send()
        .await
        .unwrap();
    output.sequence_number
}

async fn iterator(client: &Client, shard: &str, kind: ShardIteratorType) -> String {
    let output = client
        .get_shard_iterator()
        .stream_name(STREAM)
        .shard_id(shard)
        .shard_iterator_type(kind)
        .send()
        .await
        .unwrap();
    output.shard_iterator.unwrap()
}

async fn iterator_at(client: &Client, kind: ShardIteratorType, sequence_number: &str) -> String {
    let output = client
        .get_shard_iterator()
        .stream_name(STREAM)
        .shard_id(SHARD_0)
        .shard_iterator_type(kind)
        .starting_sequence_number(sequence_number)
        .send()
        .await
        .unwrap();
    output.shard_iterator.unwrap()
}

async fn get(client: &Client, iterator: impl Into<String>) -> GetRecordsOutput {
    let request = client.get_records().shard_iterator(iterator);
    request.send().await.unwrap()
}

/// What a shard holds, from its oldest record to its newest, and its last answer.
async fn read_shard(client: &Client, shard: &str) -> (Vec<Record>, GetRecordsOutput) {
    let mut records = Vec::new();
    let mut next = iterator(client, shard, ShardIteratorType::TrimHorizon).await;
    loop {
        let mut output = get(client, next).await;
        records.append(&mut output.records);
        match output.next_shard_iterator.clone() {
            Some(more) if output.millis_behind_latest != Some(0) => next = more,
            _ => return (records, output),
        }
    }
}

fn keys(records: &[Record]) -> Vec<&str> {
    records.iter().filter_map(Record::partition_key).collect()
}

#[tokio::test]
async fn a_stream_is_created_described_listed_and_deleted() {
    let backend = Backend::start().await;
    let client = backend.kinesis();
    client
        .create_stream()
        .stream_name(STREAM)
        .shard_count(2)
        .send()
        .await
        .unwrap();
    client
        .wait_until_stream_exists()
        .stream_name(STREAM)
        .wait(PATIENCE)
        .await
        .unwrap();

    let again = client.create_stream().stream_name(STREAM).shard_count(1);
    let error = again.send().await.unwrap_err().into_service_error();
    assert!(error.is_resource_in_use_exception(), "{error:?}");

    let output = client.describe_stream_summary().stream_name(STREAM);
    let output = output.send().await.unwrap();
    assert!(output.request_id().is_some());
    let summary = output.stream_description_summary.unwrap();
    assert_eq!(summary.stream_status, StreamStatus::Active);
    assert_eq!(summary.open_shard_count, 2);
    assert_eq!(summary.retention_period_hours, 24);

    // By its ARN as well as by its name.
    let described = client.describe_stream().stream_arn(&summary.stream_arn);
    let described = described.send().await.unwrap().stream_description.unwrap();
    assert_eq!(described.stream_name, STREAM);
    assert_eq!(described.shards.len(), 2);

    let listed = client.list_streams().send().await.unwrap();
    assert_eq!(listed.stream_names, [STREAM]);
    assert!(!listed.has_more_streams);

    let deleted = client.delete_stream().stream_name(STREAM).send().await;
    deleted.unwrap();
    client
        .wait_until_stream_not_exists()
        .stream_name(STREAM)
        .wait(PATIENCE)
        .await
        .unwrap();
    let gone = client.describe_stream_summary().stream_name(STREAM);
    let error = gone.send().await.unwrap_err().into_service_error();
    assert!(error.is_resource_not_found_exception(), "{error:?}");
    assert!(error.request_id().is_some());
    assert_eq!(backend.mock.calls(Operation::DeleteStream), 1);
}

#[tokio::test]
async fn each_type_of_iterator_begins_where_it_says() {
    let backend = Backend::with_stream(1).await;
    let client = backend.kinesis();
    put(&client, "a").await;
    let second = put(&client, "b").await;
    put(&client, "c").await;

    let horizon = iterator(&client, SHARD_0, ShardIteratorType::TrimHorizon).await;
    let all = get(&client, horizon).await.records;
    assert_eq!(keys(&all), ["a", "b", "c"]);
    assert_eq!(all[1].sequence_number, second);
    assert_eq!(all[1].data, Blob::new("b"));

    let at = iterator_at(&client, ShardIteratorType::AtSequenceNumber, &second).await;
    assert_eq!(keys(&get(&client, at).await.records), ["b", "c"]);
    let after = iterator_at(&client, ShardIteratorType::AfterSequenceNumber, &second).await;
    assert_eq!(keys(&get(&client, after).await.records), ["c"]);

    let arrival = all[1].approximate_arrival_timestamp.unwrap();
    let since: Vec<&str> = all
        .iter()
        .filter(|record| record.approximate_arrival_timestamp.unwrap() >= arrival)
        .filter_map(Record::partition_key)
        .collect();
    let at_time = |time: DateTime| {
        let request = client
            .get_shard_iterator()
            .stream_name(STREAM)
            .shard_id(SHARD_0)
            .shard_iterator_type(ShardIteratorType::AtTimestamp)
            .timestamp(time);
        async move { request.send().await.unwrap().shard_iterator.unwrap() }
    };
    assert_eq!(
        keys(&get(&client, at_time(arrival).await).await.records),
        since
    );
    let long_ago = DateTime::from_secs(arrival.secs() - 3600);
    assert_eq!(get(&client, at_time(long_ago).await).await.records.len(), 3);

    let latest = iterator(&client, SHARD_0, ShardIteratorType::Latest).await;
    put(&client, "d").await;
    let output = get(&client, latest).await;
    assert_eq!(keys(&output.records), ["d"]);
    assert_eq!(output.millis_behind_latest, Some(0));
    let nothing_more = get(&client, output.next_shard_iterator.unwrap()).await;
    assert!(nothing_more.records.is_empty());
}

#[tokio::test]
async fn a_limit_leaves_the_rest_to_the_next_iterator() {
    let backend = Backend::with_stream(1).await;
    let client = backend.kinesis();
    for key in ["a", "b", "c"] {
        put(&client, key).await;
    }
    let horizon = iterator(&client, SHARD_0, ShardIteratorType::TrimHorizon).await;
    let request = client.get_records().shard_iterator(horizon).limit(2);
    let first = request.send().await.unwrap();
    assert_eq!(keys(&first.records), ["a", "b"]);
    let rest = get(&client, first.next_shard_iterator.unwrap()).await;
    assert_eq!(keys(&rest.records), ["c"]);
}

#[tokio::test]
async fn entries_that_fail_are_answered_one_by_one_and_the_others_are_stored() {
    let backend = Backend::with_stream(1).await;
    let client = backend.kinesis();
    backend
        .mock
        .on(Operation::PutRecords)
        .times(1)
        .fail_entries(EntryFault::Throttle, |index| index % 2 == 1);
    let entry = |key: &str| {
        PutRecordsRequestEntry::builder()
            .partition_key(key)
            .data(Blob::new(key))
            .build()
            .unwrap()
    };
    let request = client.put_records().stream_name(STREAM);
    let request = request.set_records(Some(["a", "b", "c", "d"].map(entry).into()));
    let output = request.send().await.unwrap();
    assert_eq!(output.failed_record_count, Some(2));
    let codes: Vec<_> = output.records.iter().map(|it| it.error_code()).collect();
    let throttled = Some("ProvisionedThroughputExceededException");
    assert_eq!(codes, [None, throttled, None, throttled]);
    for result in &output.records {
        let stored = result.error_code().is_none();
        assert_eq!(result.shard_id(), stored.then_some(SHARD_0));
        assert_eq!(result.sequence_number().is_some(), stored);
        assert_eq!(result.error_message().is_some(), !stored);
    }
    let (records, _) = read_shard(&client, SHARD_0).await;
    assert_eq!(keys(&records), ["a", "c"]);
    assert_eq!(
        records[1].sequence_number(),
        output.records[2].sequence_number().unwrap()
    );
}

#[tokio::test]
async fn shards_are_listed_page_by_page() {
    let backend = Backend::with_stream(5).await;
    let client = backend.kinesis();
    let request = client.list_shards().stream_name(STREAM).max_results(2);
    let mut page = request.send().await.unwrap();
    let mut sizes = vec![page.shards().len()];
    let mut listed: Vec<_> = page.shards.take().unwrap();
    while let Some(token) = page.next_token.take() {
        // A token goes without the stream's name.
        let request = client.list_shards().next_token(token).max_results(2);
        page = request.send().await.unwrap();
        sizes.push(page.shards().len());
        listed.append(page.shards.as_mut().unwrap());
    }
    assert_eq!(sizes, [2, 2, 1]);
    let distinct: BTreeSet<_> = listed.iter().map(|shard| shard.shard_id()).collect();
    assert_eq!(distinct.len(), 5);
    let first = listed[0].hash_key_range().unwrap();
    assert_eq!(first.starting_hash_key, "0");
    let last = listed[4].hash_key_range().unwrap();
    assert_eq!(last.ending_hash_key, u128::MAX.to_string());
}

#[tokio::test]
async fn a_split_and_a_merge_end_shards_and_name_their_children() {
    let backend = Backend::with_stream(1).await;
    let client = backend.kinesis();
    put(&client, "before").await;
    client
        .split_shard()
        .stream_name(STREAM)
        .shard_to_split(SHARD_0)
        .new_starting_hash_key(UPPER_HALF)
        .send()
        .await
        .unwrap();
    // The records stay in the parent; its end names both children.
    let (records, end) = read_shard(&client, SHARD_0).await;
    assert_eq!(keys(&records), ["before"]);
    assert_eq!(end.next_shard_iterator, None);
    let children = end.child_shards.unwrap();
    assert_eq!(children.len(), 2);
    for (child, id) in children.iter().zip([SHARD_1, SHARD_2]) {
        assert_eq!(
            (child.shard_id(), child.parent_shards()),
            (id, &[SHARD_0.to_owned()][..])
        );
    }
    assert_eq!(
        children[1].hash_key_range().unwrap().starting_hash_key,
        UPPER_HALF
    );

    client
        .merge_shards()
        .stream_name(STREAM)
        .shard_to_merge(SHARD_1)
        .adjacent_shard_to_merge(SHARD_2)
        .send()
        .await
        .unwrap();
    for parent in [SHARD_1, SHARD_2] {
        let (records, end) = read_shard(&client, parent).await;
        assert!(records.is_empty());
        assert_eq!(end.next_shard_iterator, None);
        let children = end.child_shards.unwrap();
        assert_eq!(children.len(), 1);
        assert_eq!(children[0].shard_id(), SHARD_3);
        let parents: BTreeSet<_> = children[0].parent_shards().iter().cloned().collect();
        assert_eq!(parents, [SHARD_1, SHARD_2].map(str::to_owned).into());
    }

    let all = client
        .list_shards()
        .stream_name(STREAM)
        .send()
        .await
        .unwrap();
    assert_eq!(all.shards().len(), 4);
    let merged = all
        .shards()
        .iter()
        .find(|shard| shard.shard_id() == SHARD_3);
    let merged = merged.unwrap();
    assert_eq!(merged.parent_shard_id(), Some(SHARD_1));
    assert_eq!(merged.adjacent_parent_shard_id(), Some(SHARD_2));
    for shard in all.shards() {
        let open = shard.shard_id() == SHARD_3;
        let range = shard.sequence_number_range().unwrap();
        assert_eq!(range.ending_sequence_number().is_none(), open);
    }
    let open = ShardFilter::builder().r#type(ShardFilterType::AtLatest);
    let request = client.list_shards().stream_name(STREAM);
    let request = request.shard_filter(open.build().unwrap());
    let latest = request.send().await.unwrap();
    assert_eq!(latest.shards().len(), 1);
}

#[tokio::test]
async fn errors_arrive_as_the_types_that_the_sdk_knows() {
    let backend = Backend::with_stream(1).await;
    let client = backend.kinesis();

    let unknown_shard = client
        .get_shard_iterator()
        .stream_name(STREAM)
        .shard_id("shardId-000000000009")
        .shard_iterator_type(ShardIteratorType::TrimHorizon);
    let error = unknown_shard.send().await.unwrap_err();
    assert!(error.into_service_error().is_resource_not_found_exception());

    let unknown_stream = client.put_record().stream_name("nowhere");
    let unknown_stream = unknown_stream.partition_key("a").data(Blob::new("a"));
    let error = unknown_stream.send().await.unwrap_err();
    assert!(error.into_service_error().is_resource_not_found_exception());

    let broken = client.get_records().shard_iterator("broken");
    let error = broken.send().await.unwrap_err().into_service_error();
    assert!(error.is_invalid_argument_exception(), "{error:?}");

    backend
        .mock
        .on(Operation::PutRecord)
        .times(1)
        .reply(Fault::Throttle);
    let throttled = client.put_record().stream_name(STREAM);
    let throttled = throttled.partition_key("a").data(Blob::new("a"));
    let error = throttled
        .clone()
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(
        error.is_provisioned_throughput_exceeded_exception(),
        "{error:?}"
    );

    backend
        .mock
        .on(Operation::PutRecord)
        .times(1)
        .reply(Fault::Internal);
    let error = throttled.send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 500);
    assert_eq!(error.into_service_error().code(), Some("InternalFailure"));
}

#[tokio::test]
async fn what_our_producer_writes_the_official_sdk_reads() {
    const RECORDS: usize = 200;
    let backend = Backend::with_stream(2).await;
    let producer = Producer::builder(&backend.aws())
        .stream(stream())
        .build()
        .unwrap();
    let mut deliveries = Vec::new();
    for number in 0..RECORDS {
        let record = shardwise_producer::Record::new(
            format!("key-{number}").parse().unwrap(),
            format!("data-{number}"),
        );
        deliveries.push(producer.send(record).await.unwrap());
    }
    producer.flush().await.unwrap();
    let mut acknowledged = BTreeSet::new();
    for (number, delivery) in deliveries.into_iter().enumerate() {
        let receipt = delivery.await.unwrap();
        let place = (
            receipt.shard_id.to_string(),
            receipt.sequence_number.to_string(),
        );
        acknowledged.insert((place, format!("key-{number}"), format!("data-{number}")));
    }
    assert!(producer.close(PATIENCE).await.is_complete());

    let client = backend.kinesis();
    let mut read = BTreeSet::new();
    let mut stored = 0;
    for shard in [SHARD_0, SHARD_1] {
        let (records, _) = read_shard(&client, shard).await;
        stored += records.len();
        for record in records {
            let place = (shard.to_owned(), record.sequence_number);
            match decode(Bytes::from(record.data.into_inner())) {
                Decoded::Aggregated(aggregate) => {
                    for member in aggregate.iter() {
                        let data = String::from_utf8(member.data.to_vec()).unwrap();
                        let key = member.partition_key.as_str().to_owned();
                        read.insert((place.clone(), key, data));
                    }
                }
                Decoded::Plain { data, .. } => {
                    let data = String::from_utf8(data.to_vec()).unwrap();
                    read.insert((place, record.partition_key.unwrap(), data));
                }
                Decoded::Corrupt { error, .. } => panic!("{error}"),
            }
        }
    }
    // Each where its receipt says, and nothing besides.
    assert_eq!(read, acknowledged);
    assert!(
        stored < RECORDS / 10,
        "{stored} stored: aggregated they are few"
    );
}

/// Passes on what it is given.
struct Relay(mpsc::UnboundedSender<(String, String)>);

impl RecordProcessor for Relay {
    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        for record in batch.records() {
            let key = record.partition_key.as_ref().ok_or("no partition key")?;
            let data = String::from_utf8(record.data.to_vec())?;
            self.0.send((key.as_str().to_owned(), data))?;
        }
        checkpointer.checkpoint(batch.end()).await?;
        Ok(())
    }
}

#[tokio::test]
async fn what_the_official_sdk_writes_our_worker_reads() {
    let backend = Backend::with_stream(2).await;
    let client = backend.kinesis();
    let mut expected = BTreeSet::new();
    // One by one ...
    for key in ["a", "b", "c", "d"] {
        put(&client, key).await;
        expected.insert((key.to_owned(), key.to_owned()));
    }
    // ... many at once ...
    let mut request = client.put_records().stream_name(STREAM);
    for number in 0..100 {
        let (key, data) = (format!("key-{number}"), format!("data-{number}"));
        let entry = PutRecordsRequestEntry::builder().partition_key(&key);
        request = request.records(entry.data(Blob::new(data.as_str())).build().unwrap());
        expected.insert((key, data));
    }
    assert_eq!(request.send().await.unwrap().failed_record_count, Some(0));
    // ... and an aggregate, as another language's KPL may send it.
    let mut aggregator = Aggregator::new(50_000);
    for member in ["x", "y"] {
        let record = UserRecord::with_explicit_hash_key(
            member.parse().unwrap(),
            "0".parse().unwrap(),
            Bytes::from(member),
        );
        aggregator.try_push(record).unwrap();
        expected.insert((member.to_owned(), member.to_owned()));
    }
    client
        .put_record()
        .stream_name(STREAM)
        .partition_key("x")
        .explicit_hash_key("0")
        .data(Blob::new(aggregator.finish().unwrap().data))
        .send()
        .await
        .unwrap();

    let aws = backend.aws();
    let (sender, mut records) = mpsc::unbounded_channel();
    let worker = Worker::builder(&aws)
        .application("billing")
        .stream(stream())
        .initial_position(InitialPosition::TrimHorizon)
        .build(move |_shard| Relay(sender.clone()))
        .unwrap();
    let mut seen = BTreeSet::new();
    let all = async {
        while seen.len() < expected.len() {
            seen.insert(records.recv().await.unwrap());
        }
    };
    let until = async { aws.env().timeout(PATIENCE, all).await };
    worker.run_until(until).await.unwrap();
    assert_eq!(seen, expected);
}
