//! Splits and merges: parents before children, nothing lost, no gap.

use std::collections::BTreeSet;

use shardwise_client::transport::TransportFault;
use shardwise_consumer::{InitialPosition, LeaseEnd, LeaseEventKind};
use shardwise_types::{HashKey, ShardId};

use crate::journal::{Entry, Habits, What};
use crate::support::{Host, Started, TestResult, World, seconds};

/// No record of a child before each of its parents was ended, and the order of each key kept.
fn assert_parents_first(world: &World, families: &[(u32, &[u32])]) {
    for (child, parents) in families {
        let first = world
            .journal
            .first(|entry| entry.shard == *child && matches!(entry.what, What::Started(_)));
        let first = first.expect("the child has started");
        for parent in *parents {
            let ended = world
                .journal
                .first(|entry| entry.shard == *parent && entry.what == What::Ended)
                .expect("the parent has ended");
            assert!(ended <= first, "{child} began before {parent} had ended");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn children_of_a_split_start_after_their_parent_and_within_a_second() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let worker = host.start();
    let before = world.put_numbered("before-", 20).await;
    world.until_processed(&before).await;
    world.split(0).await;
    let after = world.put_numbered("after-", 20).await;
    world.until_processed(&after).await;
    assert_parents_first(&world, &[(1, &[0]), (2, &[0])]);
    let ended = world
        .journal
        .first(|entry| entry.what == What::Ended)
        .unwrap();
    for child in [1, 2] {
        let started = world
            .journal
            .first(|entry| entry.shard == child && matches!(entry.what, What::Started(_)))
            .unwrap();
        println!(
            "child {child} starts {:?} after its parent's end",
            started - ended
        );
        assert!(started - ended < seconds(1.0));
    }
    assert_eq!(world.journal.records(|_| true).len(), 40, "nothing twice");
    assert_eq!(world.leases().await[&0]["checkpoint"], "SHARD_END");
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_child_of_a_merge_starts_after_both_parents_of_one_worker() -> TestResult {
    let world = World::new(2);
    let host = world.host("a");
    let worker = host.start();
    let before = world.put_numbered("before-", 20).await;
    world.until_processed(&before).await;
    world.merge(0, 1).await;
    let after = world.put_numbered("after-", 20).await;
    world.until_processed(&after).await;
    assert_parents_first(&world, &[(2, &[0, 1])]);
    assert_eq!(world.journal.records(|_| true).len(), 40, "nothing twice");
    worker.stop().await?;
    Ok(())
}

/// Two workers with a shard each, the second of which takes this long for a batch; and the records that
/// were put three seconds ago.
async fn with_a_slow_worker(world: &World, takes: f64) -> (Host, Started, Started, Vec<String>) {
    let (fast, slow) = (world.host("fast"), world.host("slow"));
    let fast_worker = fast.start();
    let slow_worker = slow.start_with(slow.builder(), Habits::slow(seconds(takes)));
    world
        .until("one each", || {
            fast_worker.holds().len() == 1 && slow_worker.holds().len() == 1
        })
        .await;
    let before = world.put_numbered("before-", 20).await;
    world.sleep(seconds(3.0)).await;
    (fast, fast_worker, slow_worker, before)
}

#[tokio::test(start_paused = true)]
async fn a_merged_child_starts_within_a_second_of_a_parent_at_another_worker() -> TestResult {
    // The other worker ends at any moment between two looks of the child's owner.
    for slow_for in [15.0, 15.3, 15.6, 15.9, 16.2] {
        let world = World::new(2);
        let (_fast, fast_worker, slow_worker, before) = with_a_slow_worker(&world, slow_for).await;
        world.merge(0, 1).await;
        let after = world.put_numbered("after-", 20).await;
        world.until_processed(&[before, after].concat()).await;
        assert_parents_first(&world, &[(2, &[0, 1])]);
        let last_end = world
            .journal
            .entries()
            .into_iter()
            .filter(|entry| entry.what == What::Ended)
            .map(|entry| entry.at)
            .max()
            .unwrap();
        let started = world
            .journal
            .first(|entry| entry.shard == 2 && matches!(entry.what, What::Started(_)))
            .unwrap();
        let late = started - last_end;
        println!("the child starts {late:?} after the other worker's parent");
        assert!(late < seconds(1.0), "{late:?}");
        fast_worker.stop().await?;
        slow_worker.stop().await?;
    }
    Ok(())
}

/// One worker has ended one parent, holds the child, and loses the other parent half-way.
#[tokio::test(start_paused = true)]
async fn the_loss_of_a_parent_is_not_its_end() -> TestResult {
    let world = World::new(2);
    let host = world.host("a");
    let worker = host.start_with(host.builder(), Habits::slow(seconds(5.0)));
    let keyed = |shard: usize| HashKey::new(u128::MAX / 2 * shard as u128 + 1);
    let batches = 4;
    for batch in 0..batches {
        world
            .put_keyed("late", &[&format!("late-{batch}")], keyed(1))
            .await;
        world.sleep(seconds(2.0)).await;
    }
    world.merge(0, 1).await;
    let after = world.put_numbered("after-", 5).await;
    world
        .until("one parent is ended", || {
            worker.holds() == BTreeSet::from([1, 2])
        })
        .await;
    world.give_away_lease(1).await;
    world
        .until("the other is lost", || {
            worker.holds() == BTreeSet::from([2])
        })
        .await;
    world.sleep(seconds(8.0)).await;
    let started = |entry: &Entry| entry.shard == 2 && matches!(entry.what, What::Started(_));
    assert_eq!(world.journal.first(started), None);

    world.until_processed(&after).await;
    assert_parents_first(&world, &[(2, &[0, 1])]);
    worker.stop().await?;
    Ok(())
}

/// Splits one of the shards 0 and 1, and merges its nearer half with the other, which is given: that one
/// comes to its end, and its child's other parent has no lease while the one that was split is not ended.
async fn merge_with_a_half_of(world: &World, late: u32) -> u32 {
    world.split(late).await; // 2 3
    if late == 1 {
        world.merge(0, 2).await; // 4
        0
    } else {
        world.merge(3, 1).await; // 4
        1
    }
}

fn events_of(worker: &Started, shard: u32) -> Vec<LeaseEventKind> {
    let events = worker.stats.snapshot().events;
    let its = events
        .iter()
        .filter(|event| event.key == ShardId::from_number(shard).into());
    its.map(|event| event.kind.clone()).collect()
}

/// Two workers. The second takes this long for a batch of the shard whose child is to be merged with
/// the shard of the first, which is given.
async fn with_a_late_worker(world: &World, takes: f64) -> (Host, Started, Started, u32) {
    let (fast, fast_worker, late_worker, _) = with_a_slow_worker(world, takes).await;
    let its = *late_worker.holds().first().unwrap();
    let early = 1 - its;
    (fast, fast_worker, late_worker, early)
}

#[tokio::test(start_paused = true)]
async fn a_shards_end_makes_the_lease_that_the_other_parent_lacks() -> TestResult {
    let world = World::new(2);
    let (fast, fast_worker, late_worker, early) = with_a_late_worker(&world, 400.0).await;
    // A table that fails now and then uses up no attempts.
    fast.faults
        .on("GetItem", 30, TransportFault::InternalFailure)
        .on("ListShards", 10, TransportFault::Throttle);
    let merged = world.now();
    assert_eq!(merge_with_a_half_of(&world, 1 - early).await, early);
    let has_ended = |entry: &Entry| entry.shard == early && entry.what == What::Ended;
    let ended = world
        .until("ended", || world.journal.count(has_ended) == 1)
        .await;
    assert!(ended - merged < seconds(30.0), "{:?}", ended - merged);
    let other = if early == 0 { 2 } else { 3 };
    let row = &world.leases().await[&other];
    assert_eq!(row["checkpoint"], "TRIM_HORIZON");
    assert!(!row.contains_key("startedAt"), "{row:?}");
    // It waits for its own parent, which another worker reads.
    let starts_of_other =
        |entry: &Entry| entry.shard == other && matches!(entry.what, What::Started(_));
    world.sleep(seconds(60.0)).await;
    assert_eq!(world.journal.count(starts_of_other), 0);
    let stats = fast_worker.stats.snapshot();
    assert_eq!((stats.processor_failures, stats.shards_given_up), (0, 0));
    assert_eq!(
        events_of(&fast_worker, early),
        [
            LeaseEventKind::Taken,
            LeaseEventKind::Ended(LeaseEnd::ShardEnded)
        ]
    );
    let after = world.put_numbered("after-", 20).await;
    world.until_processed(&after).await;
    assert_parents_first(&world, &[(other, &[1 - early]), (4, &[early, other])]);
    fast_worker.stop().await?;
    late_worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_parent_whose_lease_is_missing_gets_it_as_soon_as_the_other_ends() -> TestResult {
    let world = World::new(2);
    let host = world.host("a");
    let worker = host.start();
    let before = world.put_numbered("before-", 20).await;
    world.until_processed(&before).await;
    world.sleep(seconds(5.0)).await;
    world.delete_lease(1).await;
    world
        .until("lost", || worker.stats.snapshot().leases_lost == 1)
        .await;
    world.merge(0, 1).await;
    let merged = world.now();
    let after = world.put_numbered("after-", 20).await;
    let all = world.until_processed(&after).await;
    assert!(all - merged < seconds(10.0), "{:?}", all - merged);
    assert_parents_first(&world, &[(2, &[0, 1])]);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_full_worker_reads_the_parents_of_the_shard_that_it_waits_with() -> TestResult {
    let world = World::new(2);
    let host = world.host("a");
    let all = world.put_numbered("r", 20).await;
    let worker = host.start_with(host.builder().max_leases(1), Habits::default());
    world.until("one", || worker.holds().len() == 1).await;
    let its = *worker.holds().first().unwrap();
    let early = merge_with_a_half_of(&world, 1 - its).await;
    assert_eq!(early, its);
    let begin = world.now();
    // It holds the merged shard. Nobody reads the other parent's parent, until it does.
    let read = world.until_processed(&all).await;
    assert!(read - begin < seconds(45.0), "{:?}", read - begin);
    let stats = worker.stats.snapshot();
    assert_eq!((stats.processor_failures, stats.shards_given_up), (0, 0));
    worker.stop().await?;
    Ok(())
}

/// Another worker may have the permission.
#[tokio::test(start_paused = true)]
async fn a_worker_that_may_not_read_the_other_parents_lease_gives_up() -> TestResult {
    let world = World::new(2);
    let (fast, fast_worker, late_worker, early) = with_a_late_worker(&world, 400.0).await;
    let denied = TransportFault::Answer(400, "AccessDeniedException");
    fast.faults.on("GetItem", 100_000, denied);
    merge_with_a_half_of(&world, 1 - early).await;
    let given_up = LeaseEventKind::Ended(LeaseEnd::GivenUp);
    let begin = world.now();
    let has_given_up = || events_of(&fast_worker, early).contains(&given_up);
    let end = world.until("given up", has_given_up).await;
    assert!(end - begin < seconds(120.0), "{:?}", end - begin);
    assert_eq!(fast_worker.stats.snapshot().processor_failures, 0);
    assert_ne!(world.leases().await[&early]["checkpoint"], "SHARD_END");
    drop(late_worker);
    Ok(())
}

/// An application that began at LATEST lost the row of a shard that is merged before it has another.
#[tokio::test(start_paused = true)]
async fn a_co_parent_begins_when_a_latest_application_did() -> TestResult {
    let world = World::new(2);
    let host = world.host("a");
    let before = world.put_numbered("before-", 20).await;
    world.sleep(seconds(60.0)).await;
    let builder = host.builder().initial_position(InitialPosition::Latest);
    let worker = host.start_with(builder, Habits::default());
    world.until("both", || worker.holds().len() == 2).await;
    world.sleep(seconds(5.0)).await;
    // No comparison of shards and leases comes in between.
    world.delete_lease(1).await;
    world
        .until("lost", || worker.stats.snapshot().leases_lost == 1)
        .await;
    let late = HashKey::new(u128::MAX / 2 + 2);
    let lost = ["late-0".to_owned(), "late-1".to_owned()];
    for data in &lost {
        world.put_keyed("late", &[data], late).await;
    }
    world.merge(0, 1).await;
    let after = world.put_numbered("after-", 20).await;
    world
        .until_processed(&[lost.to_vec(), after].concat())
        .await;
    let read = world.journal.records(|_| true);
    assert!(before.iter().all(|record| !read.contains(record)));
    assert_parents_first(&world, &[(2, &[0, 1])]);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_splits_and_merges_loses_and_repeats_nothing() -> TestResult {
    let world = World::new(2);
    let (a, b) = (world.host("a"), world.host("b"));
    let (worker_a, worker_b) = (a.start(), b.start());
    let mut all = Vec::new();
    all.extend(world.put_numbered("g0-", 20).await);
    world.sleep(seconds(0.1)).await;
    world.split(0).await; // 2 3
    all.extend(world.put_numbered("g1-", 20).await);
    world.split(1).await; // 4 5
    world.sleep(seconds(2.0)).await;
    all.extend(world.put_numbered("g2-", 20).await);
    world.merge(3, 4).await; // 6
    all.extend(world.put_numbered("g3-", 20).await);
    world.sleep(seconds(1.0)).await;
    world.merge(2, 6).await; // 7
    all.extend(world.put_numbered("g4-", 20).await);
    world.merge(7, 5).await; // 8
    all.extend(world.put_numbered("g5-", 20).await);
    world.until_processed(&all).await;
    assert_parents_first(
        &world,
        &[
            (2, &[0]),
            (3, &[0]),
            (4, &[1]),
            (5, &[1]),
            (6, &[3, 4]),
            (7, &[2, 6]),
            (8, &[7, 5]),
        ],
    );
    // One key's records come in the order of the generations, across shards.
    worker_a.stop().await?;
    worker_b.stop().await?;
    Ok(())
}

/// A copy of the request that created a lease may still be on its way when the shard is finished: behind
/// the deletion of the row it would make it anew, at the beginning.
#[tokio::test(start_paused = true)]
async fn a_create_that_arrives_late_does_not_bring_a_finished_shard_back() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let late = TransportFault::DeliverLate(seconds(200.0));
    host.faults.on("PutItem", 1, late);
    let worker = host.start();
    let before = world.put_numbered("before-", 20).await;
    world.until_processed(&before).await;
    world.split(0).await;
    let after = world.put_numbered("after-", 20).await;
    world.until_processed(&after).await;
    // Several comparisons of shards and leases, and the late copy.
    world.sleep(seconds(250.0)).await;
    assert_eq!(world.leases().await[&0]["checkpoint"], "SHARD_END");
    assert_eq!(world.journal.records(|_| true).len(), 40, "nothing twice");
    world.sleep(seconds(300.0)).await;
    let left: Vec<u32> = world.leases().await.into_keys().collect();
    assert_eq!(left, [1, 2], "the finished row goes at last");
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_between_the_children_and_the_end_loses_nothing() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let worker = host.start();
    let before = world.put_numbered("before-", 5).await;
    world.until_processed(&before).await;
    world.sleep(seconds(2.0)).await;
    // The children get their leases; the parent's end never arrives.
    host.faults
        .on("UpdateItem", 100_000, TransportFault::HangBefore);
    world.split(0).await;
    let after = world.put_numbered("after-", 5).await;
    world.sleep(seconds(3.0)).await;
    host.node.kill();
    drop(worker);
    let rows = world.leases().await;
    assert_eq!(rows[&1]["leaseOwner"], "a", "the creator owns the children");
    assert_ne!(rows[&0]["checkpoint"], "SHARD_END");
    let heir = world.host("b");
    let worker = heir.start();
    world.until_processed(&after).await;
    assert_parents_first(&world, &[(1, &[0]), (2, &[0])]);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stream_resharded_before_the_first_start_is_read_from_its_beginning() -> TestResult {
    let world = World::new(1);
    let before = world.put_numbered("before-", 5).await;
    world.sleep(seconds(60.0)).await;
    world.split(0).await;
    let between = world.put_numbered("between-", 5).await;
    world.sleep(seconds(60.0)).await;
    world.merge(1, 2).await;
    let after = world.put_numbered("after-", 5).await;
    let host = world.host("a");
    let worker = host.start();
    world
        .until_processed(&[before, between, after].concat())
        .await;
    assert_parents_first(&world, &[(1, &[0]), (2, &[0]), (3, &[1, 2])]);
    worker.stop().await?;
    Ok(())
}
