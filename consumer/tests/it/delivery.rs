//! Records: all of them, in order, out of their aggregates, from where they are to begin.

use std::collections::BTreeSet;

use bytes::Bytes;
use shardwise_client::transport::{Faults, TransportFault};
use shardwise_consumer::{InitialPosition, RecordForm};
use shardwise_mock::Operation;
use shardwise_producer::{Producer, Record};
use shardwise_types::{HashKey, HashKeyRange, PartitionKey};

use crate::journal::{Checkpoints, Habits, What};
use crate::support::{TestResult, World, seconds};

#[tokio::test(start_paused = true)]
async fn every_record_is_delivered_and_a_shards_records_come_in_order() -> TestResult {
    let world = World::new(2);
    let before = world.put_numbered("before-", 20).await;
    let host = world.host("a");
    let worker = host.start();
    world.until_processed(&before).await;
    let after = world.put_numbered("after-", 20).await;
    world.until_processed(&after).await;
    for shard in 0..2 {
        let records = world.journal.records(|entry| entry.shard == shard);
        let (before, after): (Vec<_>, Vec<_>) =
            records.iter().partition(|data| data.starts_with("before"));
        let number = |data: &&String| data.rsplit('-').next().unwrap().parse::<u32>().unwrap();
        assert!(before.iter().map(number).is_sorted());
        assert!(after.iter().map(number).is_sorted());
    }
    assert_eq!(worker.stats.snapshot().records, 40, "nothing comes twice");
    assert_eq!(world.journal.records(|_| true).len(), 40);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_records_behind_the_last_checkpoint_come_again() -> TestResult {
    let world = World::new(1);
    let all = world.put_numbered("r", 10).await;
    let crashing = world.host("a");
    let _worker = crashing.start_with(
        crashing.builder().max_records(4),
        Habits::checkpoints(Checkpoints::FirstRecord),
    );
    world.until_processed(&all).await;
    crashing.node.kill();
    let heir = world.host("b");
    let heir = heir.start();
    world
        .until("the rest again", || {
            world.journal.records(|entry| entry.host == "b").len() == 1
        })
        .await;
    // Batches of 4, 4 and 2, each checkpointed at its first record: r8 is done, r9 is not known to be.
    assert_eq!(world.journal.records(|entry| entry.host == "b"), ["r9"]);
    heir.stop().await?;
    Ok(())
}

/// Three aggregates and a plain record, cut anywhere, resumed anywhere.
#[tokio::test(start_paused = true)]
async fn resuming_inside_an_aggregate_delivers_exactly_the_rest() -> TestResult {
    for max_records in [1, 2, 3, 5] {
        let world = World::new(1);
        let any = HashKey::MIN;
        world.put_aggregate(&["a0", "a1", "a2", "a3"], any).await;
        world.put("plain").await;
        world.put_aggregate(&["b0", "b1"], any).await;
        let expected = ["a0", "a1", "a2", "a3", "plain", "b0", "b1"];
        // Each worker processes one batch of the aggregates and stops.
        let mut resumed = Vec::new();
        for turn in 0..20 {
            let host = world.host(&format!("w{turn}"));
            let habits = Habits::slow(seconds(1.0));
            let worker = host.start_with(host.builder().max_records(max_records), habits);
            let count = |world: &World| world.journal.records(|_| true).len();
            let before = count(&world);
            world.until("one batch", || count(&world) > before).await;
            worker.stop().await?;
            resumed = world.journal.records(|_| true);
            if resumed.len() >= expected.len() {
                break;
            }
        }
        assert_eq!(resumed, expected, "batches of {max_records}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn sub_sequence_numbers_are_places_in_the_aggregate_as_stored() -> TestResult {
    let world = World::new(2);
    let first = world.shards().await[0].hash_key_range;
    let members = members_in_and_out_of(first);
    let data: Vec<&str> = members.iter().map(|(data, _)| data.as_str()).collect();
    world.put_aggregate(&data, first.start()).await;
    world.put("end").await;
    let host = world.host("a");
    let worker = host.start();
    world.until_processed(&["end".to_owned()]).await;
    world.sleep(seconds(2.0)).await;
    let subs: Vec<(String, u64)> = world
        .journal
        .entries()
        .into_iter()
        .filter_map(|entry| match entry.what {
            What::Record {
                data,
                sub,
                form: RecordForm::Aggregated,
                ..
            } => Some((data, sub)),
            _ => None,
        })
        .collect();
    let expected: Vec<(String, u64)> = members
        .into_iter()
        .zip(0..)
        .filter_map(|((data, is_in), sub)| is_in.then_some((data, sub)))
        .collect();
    assert_eq!(subs, expected);
    assert!(expected.iter().any(|(_, sub)| *sub > 0));
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn members_outside_the_shards_range_are_filtered_one_by_one_and_counted() -> TestResult {
    let world = World::new(2);
    let first = world.shards().await[0].hash_key_range;
    let members = members_in_and_out_of(first);
    let data: Vec<&str> = members.iter().map(|(data, _)| data.as_str()).collect();
    world.put_aggregate(&data, first.start()).await;
    let inside: Vec<String> = members
        .iter()
        .filter(|(_, is_in)| *is_in)
        .map(|(data, _)| data.clone())
        .collect();
    let host = world.host("a");
    let worker = host.start();
    world.until_processed(&inside).await;
    world.sleep(seconds(2.0)).await;
    assert_eq!(world.journal.records(|_| true), inside);
    let filtered = members.len() - inside.len();
    assert!(filtered > 0 && !inside.is_empty());
    assert_eq!(worker.stats.snapshot().filtered, filtered as u64);
    worker.stop().await?;
    Ok(())
}

fn members_in_and_out_of(range: HashKeyRange) -> Vec<(String, bool)> {
    (0..12)
        .map(|n| {
            let key: PartitionKey = format!("member-{n}").parse().unwrap();
            let is_in = range.contains(HashKey::of_partition_key(key.as_str()));
            (key.as_str().to_owned(), is_in)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn what_our_producer_aggregates_is_delivered_record_by_record() -> TestResult {
    let world = World::new(2);
    let host = world.host("producer");
    let producer = Producer::builder(&host.aws).stream(&world.stream).build()?;
    let all: Vec<String> = (0..200).map(|n| format!("r{n}")).collect();
    let mut deliveries = Vec::new();
    for data in &all {
        let record = Record::new(data.parse()?, data.clone());
        deliveries.push(producer.send(record).await?);
    }
    for delivery in deliveries {
        delivery.await?;
    }
    assert!(
        world.mock.calls(Operation::PutRecords) < 20,
        "they travel together"
    );
    let host = world.host("a");
    let worker = host.start();
    world.until_processed(&all).await;
    assert_eq!(world.journal.records(|_| true).len(), all.len());
    assert_eq!(worker.stats.snapshot().filtered, 0);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_aggregate_is_delivered_whole_flagged_and_counted() -> TestResult {
    let world = World::new(1);
    // A digest that fits, and a message without a record.
    let corrupt = b"\xF3\x89\x9A\xC2\x0A\x01a".to_vec();
    let digest = md5_of(&corrupt[4..]);
    let corrupt = Bytes::from([corrupt.as_slice(), &digest].concat());
    world.put("before").await;
    world.put_raw(corrupt.clone(), HashKey::MIN).await;
    world.put("after").await;
    let host = world.host("a");
    let worker = host.start();
    world
        .until_processed(&["before".to_owned(), "after".to_owned()])
        .await;
    let forms: Vec<RecordForm> = world
        .journal
        .entries()
        .into_iter()
        .filter_map(|entry| match entry.what {
            What::Record { form, .. } => Some(form),
            _ => None,
        })
        .collect();
    let plain = RecordForm::Plain;
    assert_eq!(forms, [plain, RecordForm::CorruptAggregate, plain]);
    assert!(
        world
            .journal
            .data()
            .contains(&*String::from_utf8_lossy(&corrupt))
    );
    assert_eq!(worker.stats.snapshot().corrupt, 1);
    worker.stop().await?;
    Ok(())
}

fn md5_of(data: &[u8]) -> [u8; 16] {
    // The hash key of a key is its MD5.
    let text = std::str::from_utf8(data).unwrap();
    HashKey::of_partition_key(text).get().to_be_bytes()
}

#[tokio::test(start_paused = true)]
async fn trim_horizon_begins_with_the_oldest_record() -> TestResult {
    let world = World::new(1);
    let all = world.put_numbered("old", 3).await;
    let host = world.host("a");
    let worker = host.start();
    world.until_processed(&all).await;
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn at_timestamp_begins_with_the_first_record_of_that_time() -> TestResult {
    let world = World::new(1);
    world.put("too old").await;
    world.sleep(seconds(100.0)).await;
    let from = world.env.wall_now();
    let all = world.put_numbered("new", 3).await;
    world.sleep(seconds(100.0)).await;
    let host = world.host("a");
    let builder = host
        .builder()
        .initial_position(InitialPosition::AtTimestamp(from));
    let worker = host.start_with(builder, Habits::default());
    world.until_processed(&all).await;
    assert_eq!(world.journal.records(|_| true), all);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn latest_begins_with_what_comes_after_the_start() -> TestResult {
    let world = World::new(1);
    world.put_numbered("old", 3).await;
    world.sleep(seconds(10.0)).await;
    let host = world.host("a");
    let builder = host.builder().initial_position(InitialPosition::Latest);
    let worker = host.start_with(builder, Habits::default());
    world.sleep(seconds(3.0)).await;
    let new = world.put_numbered("new", 3).await;
    world.until_processed(&new).await;
    assert_eq!(world.journal.records(|_| true), new);
    worker.stop().await?;
    Ok(())
}

/// The KCL would begin at the tip again and lose what came between.
#[tokio::test(start_paused = true)]
async fn latest_is_durable_across_a_death_before_the_first_checkpoint() -> TestResult {
    let world = World::new(1);
    world.sleep(seconds(10.0)).await;
    let host = world.host("a");
    let builder = host.builder().initial_position(InitialPosition::Latest);
    let _dies = host.start_with(builder, Habits::checkpoints(Checkpoints::Never));
    world.sleep(seconds(3.0)).await;
    let all = world.put_numbered("r", 3).await;
    world.until_processed(&all).await;
    host.node.kill();
    let later = world.put_numbered("between-two-workers-", 3).await;
    let heir = world.host("b");
    let builder = heir.builder().initial_position(InitialPosition::Latest);
    let worker = heir.start_with(builder, Habits::default());
    let all = [all, later].concat();
    world
        .until("all by the heir", || {
            let seen = world.journal.records(|entry| entry.host == "b");
            BTreeSet::from_iter(seen) == BTreeSet::from_iter(all.iter().cloned())
        })
        .await;
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_expired_iterator_is_replaced_and_nothing_is_missed_or_repeated() -> TestResult {
    let world = World::new(1);
    let first = world.put_numbered("a", 3).await;
    let host = world.host("a");
    // A batch takes longer than an iterator lives.
    let worker = host.start_with(host.builder(), Habits::slow(seconds(400.0)));
    world.sleep(seconds(2.0)).await;
    let second = world.put_numbered("b", 3).await;
    world.sleep(seconds(2.0)).await;
    let third = world.put_numbered("c", 3).await;
    let all = [first, second, third].concat();
    world.until_processed(&all).await;
    assert_eq!(world.journal.records(|_| true), all);
    let stats = worker.stats.snapshot();
    assert!(stats.expired_iterators > 0);
    assert_eq!(stats.read_failures, 0, "that is no failure");
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_polled_at_most_five_times_a_second_and_once_when_idle() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let worker = host.start();
    world.sleep(seconds(10.0)).await;
    let before = world.mock.calls(Operation::GetRecords);
    world.sleep(seconds(10.0)).await;
    let idle = world.mock.calls(Operation::GetRecords) - before;
    assert!((9..=11).contains(&idle), "{idle}");
    worker.stop().await?;

    let all = world.put_numbered("r", 100).await;
    let host = world.host("b");
    let before = world.mock.calls(Operation::GetRecords);
    let begin = world.now();
    let worker = host.start_with(host.builder().max_records(2), Habits::default());
    let end = world.until_processed(&all).await;
    let calls = world.mock.calls(Operation::GetRecords) - before;
    let per_second = calls as f64 / (end - begin).as_secs_f64();
    assert!((4.0..=5.1).contains(&per_second), "{per_second}");
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_throttled_shard_does_not_hold_up_the_others() -> TestResult {
    let world = World::new(2);
    let host = world.host("a");
    let worker = host.start();
    world.sleep(seconds(3.0)).await;
    // Half of all reads from now on.
    throttle_every_other(&host.faults, 400);
    let begin = world.now();
    let all = world.put_numbered("r", 50).await;
    let took = world.until_processed(&all).await - begin;
    assert!(took < seconds(10.0), "{took:?}");
    assert!(worker.stats.snapshot().throttled > 0);
    assert_eq!(worker.stats.snapshot().leases_lost, 0);
    worker.stop().await?;
    Ok(())
}

fn throttle_every_other(faults: &Faults, times: usize) {
    for _ in 0..times / 2 {
        faults.on("GetRecords", 1, TransportFault::Throttle);
        faults.on("GetRecords", 1, TransportFault::Pass);
    }
}
