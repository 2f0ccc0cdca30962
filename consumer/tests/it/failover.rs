//! Who reads, and when the next one begins: crashes, hand-overs, freezes. The times are those of
//! the default settings.

use std::collections::BTreeSet;

use shardwise_client::transport::TransportFault;
use shardwise_consumer::{CheckpointErrorKind, LeaseEnd, LeaseEventKind, WorkerErrorKind};
use shardwise_env::Instant;

use crate::journal::{Checkpoints, Habits, Trouble, What};
use crate::support::{Started, TestResult, World, seconds};

/// Waits until the workers hold all shards among them, evenly.
async fn settle(world: &World, workers: &[&Started], shards: usize) {
    let (least, most) = (shards / workers.len(), shards.div_ceil(workers.len()));
    world
        .until("an even share", || {
            let counts: Vec<usize> = workers.iter().map(|worker| worker.holds().len()).collect();
            counts.iter().sum::<usize>() == shards
                && counts.iter().all(|count| (least..=most).contains(count))
        })
        .await;
}

fn started(world: &World, host: &str, after: Instant) -> Option<Instant> {
    world.journal.first(|entry| {
        entry.host == host && entry.at > after && matches!(entry.what, What::Started(_))
    })
}

#[tokio::test(start_paused = true)]
async fn two_workers_share_the_shards_and_a_third_gets_its_share() -> TestResult {
    let world = World::new(6);
    let (a, b, c) = (world.host("a"), world.host("b"), world.host("c"));
    let worker_a = a.start();
    settle(&world, &[&worker_a], 6).await;
    let worker_b = b.start();
    settle(&world, &[&worker_a, &worker_b], 6).await;
    let worker_c = c.start();
    settle(&world, &[&worker_a, &worker_b, &worker_c], 6).await;
    // And then nothing moves any more.
    let held = [worker_a.holds(), worker_b.holds(), worker_c.holds()];
    world.sleep(seconds(120.0)).await;
    assert_eq!(held, [worker_a.holds(), worker_b.holds(), worker_c.holds()]);
    let union: BTreeSet<u32> = held.iter().flatten().copied().collect();
    assert_eq!(union.len(), 6);
    for worker in [worker_a, worker_b, worker_c] {
        worker.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_fresh_worker_reads_its_first_record_within_five_seconds() -> TestResult {
    let world = World::new(4);
    let first = world.put_numbered("r", 8).await;
    let host = world.host("a");
    let worker = host.start();
    world.until_processed(&first).await;
    worker.stop().await?;
    // The tables exist now.
    let next = world.put_numbered("s", 8).await;
    let begin = world.now();
    let host = world.host("b");
    let worker = host.start();
    let took = world.until_processed(&next).await - begin;
    println!("first records after {took:?}");
    assert!(took < seconds(5.0), "{took:?}");
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_killed_workers_shards_are_taken_within_one_and_a_half_failovers() -> TestResult {
    let mut worst = seconds(0.0);
    for round in 0..8 {
        let world = World::new(4);
        let (a, b) = (world.host("a"), world.host("b"));
        let (worker_a, worker_b) = (a.start(), b.start());
        settle(&world, &[&worker_a, &worker_b], 4).await;
        world.sleep(seconds(30.0 + 0.7 * f64::from(round))).await;
        let died = world.now();
        a.node.kill();
        let all = world.put_numbered("after-the-crash-", 16).await;
        let took = world.until_processed(&all).await - died;
        worst = worst.max(took);
        assert!(took <= seconds(17.0), "{took:?}");
        worker_b.stop().await?;
    }
    println!("takeover after a crash, worst of 8: {worst:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn leases_are_released_on_a_clean_shutdown_and_taken_within_two_seconds() -> TestResult {
    let mut worst = seconds(0.0);
    for round in 0..20 {
        let world = World::new(4);
        let (a, b) = (world.host("a"), world.host("b"));
        let (worker_a, worker_b) = (a.start(), b.start());
        settle(&world, &[&worker_a, &worker_b], 4).await;
        world.sleep(seconds(5.0 + 0.37 * f64::from(round))).await;
        let released = worker_a.holds();
        let begin = world.now();
        worker_a.stop().await?;
        let said_goodbye =
            |entry: &crate::journal::Entry| entry.host == "a" && entry.what == What::ShuttingDown;
        assert_eq!(world.journal.count(said_goodbye), 2);
        let rows = world.leases().await;
        for shard in &released {
            let owner = rows[shard].get("leaseOwner");
            assert!(owner.is_none_or(|owner| owner == "b"), "{owner:?}");
        }
        let end = world
            .until("taken", || worker_b.holds().is_superset(&released))
            .await;
        world
            .until("read", || started(&world, "b", begin).is_some())
            .await;
        worst = worst.max(end - begin);
        worker_b.stop().await?;
    }
    println!("hand-over at a clean shutdown, worst of 20: {worst:?}");
    assert!(worst < seconds(2.0), "{worst:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn at_a_clean_shutdown_nothing_comes_twice() -> TestResult {
    let world = World::new(2);
    let mut all = Vec::new();
    for turn in 0..5 {
        let host = world.host(&format!("w{turn}"));
        let worker = host.start();
        let some = world.put_numbered(&format!("t{turn}-"), 10).await;
        world.until_processed(&some).await;
        all.extend(some);
        worker.stop().await?;
    }
    assert_eq!(world.journal.records(|_| true).len(), all.len());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_frozen_worker_gets_no_checkpoint_accepted_after_its_lease_expired() -> TestResult {
    let world = World::new(1);
    let frozen = world.host("frozen");
    let habits = Habits::slow(seconds(2.0));
    let worker = frozen.start_with(frozen.builder(), habits);
    let first = world.put_numbered("first-", 3).await;
    world.until_processed(&first).await;
    let second = world.put_numbered("second-", 3).await;
    world.sleep(seconds(1.5)).await;
    // In the middle of a batch.
    frozen.node.freeze();
    let heir = world.host("heir");
    let heir_worker = heir.start();
    world.sleep(seconds(30.0)).await;
    world.until_processed(&second).await;
    let checkpoint = world.checkpoint(0).await;
    let thawed = world.now();
    frozen.node.thaw();
    world
        .until("the frozen one knows", || {
            world
                .journal
                .count(|entry| entry.host == "frozen" && entry.what == What::LeaseLost)
                == 1
        })
        .await;
    world.sleep(seconds(30.0)).await;
    let accepted = |entry: &crate::journal::Entry| {
        entry.host == "frozen" && entry.at >= thawed && matches!(entry.what, What::Checkpointed(_))
    };
    assert_eq!(world.journal.count(accepted), 0);
    assert_eq!(world.checkpoint(0).await, checkpoint);
    let refused = What::Refused(CheckpointErrorKind::LeaseLost);
    assert!(
        world
            .journal
            .count(|entry| entry.host == "frozen" && entry.what == refused)
            <= 1
    );
    worker.stop().await?;
    heir_worker.stop().await?;
    Ok(())
}

/// Validity: the lease was not taken, but could have been.
#[tokio::test(start_paused = true)]
async fn an_expired_lease_delivers_nothing_until_a_renewal_has_proven_it() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let worker = host.start();
    let first = world.put_numbered("first-", 1).await;
    world.until_processed(&first).await;
    world.sleep(seconds(1.0)).await;
    // The table does not answer any more; Kinesis does.
    for operation in ["UpdateItem", "Scan", "GetItem"] {
        host.faults
            .on(operation, 100_000, TransportFault::HangBefore);
    }
    let cut = world.now();
    world.sleep(seconds(10.5)).await;
    let late = world.put_numbered("late-", 1).await;
    world.sleep(seconds(60.0)).await;
    assert!(
        !world.journal.data().contains("late-0"),
        "the lease has expired"
    );
    host.faults.clear();
    let back = world.until_processed(&late).await;
    assert!(back - cut > seconds(70.0));
    assert_eq!(
        worker.stats.snapshot().leases_lost,
        0,
        "it was not taken meanwhile"
    );
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_is_refused_after_the_lease_is_lost() -> TestResult {
    let world = World::new(2);
    let a = world.host("a");
    let worker_a = a.start_with(a.builder(), Habits::slow(seconds(5.0)));
    settle(&world, &[&worker_a], 2).await;
    let all = world.put_numbered("r", 20).await;
    world.sleep(seconds(1.2)).await;
    // Both shards of a are in the middle of a batch when b takes one of them.
    let b = world.host("b");
    let worker_b = b.start();
    world
        .until("a notices", || {
            world.journal.count(|entry| entry.what == What::LeaseLost) == 1
        })
        .await;
    let refused = What::Refused(CheckpointErrorKind::LeaseLost);
    assert_eq!(world.journal.count(|entry| entry.what == refused), 1);
    world.until_processed(&all).await;
    let stats = worker_a.stats.snapshot();
    assert_eq!(stats.leases_lost, 1);
    assert_eq!(
        stats.processor_failures, 0,
        "a lost lease is not the processor's fault"
    );
    worker_a.stop().await?;
    worker_b.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_wall_clocks_of_two_hosts_are_not_compared() -> TestResult {
    let world = World::new(4);
    let (a, b) = (world.host("a"), world.host("b"));
    a.node.set_wall_offset_ms(-3_600_000);
    b.node.set_wall_offset_ms(3_600_000);
    let (worker_a, worker_b) = (a.start(), b.start());
    settle(&world, &[&worker_a, &worker_b], 4).await;
    let taken =
        [worker_a.stats.snapshot(), worker_b.stats.snapshot()].map(|stats| stats.leases_taken);
    let all = world.put_numbered("r", 20).await;
    world.sleep(seconds(120.0)).await;
    world.until_processed(&all).await;
    assert_eq!(world.journal.records(|_| true).len(), 20);
    let now =
        [worker_a.stats.snapshot(), worker_b.stats.snapshot()].map(|stats| stats.leases_taken);
    assert_eq!(taken, now);
    worker_a.stop().await?;
    worker_b.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_second_process_with_the_same_worker_id_ends_with_an_error() -> TestResult {
    let world = World::new(2);
    let (first, second) = (world.host("first"), world.host("second"));
    let worker = first.start_with(first.named("twin"), Habits::default());
    settle(&world, &[&worker], 2).await;
    let twin = second.start_with(second.named("twin"), Habits::default());
    let error = twin.task.await?.unwrap_err();
    assert_eq!(error.kind(), WorkerErrorKind::DuplicateWorkerId);
    assert_eq!(worker.holds().len(), 2, "the first one goes on");
    let all = world.put_numbered("r", 4).await;
    world.until_processed(&all).await;
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_worker_frozen_and_replaced_under_its_own_id_ends_with_an_error() -> TestResult {
    let world = World::new(1);
    let (old, new) = (world.host("old"), world.host("new"));
    let old_worker = old.start_with(old.named("twin"), Habits::default());
    settle(&world, &[&old_worker], 1).await;
    old.node.freeze();
    let new_worker = new.start_with(new.named("twin"), Habits::default());
    settle(&world, &[&new_worker], 1).await;
    old.node.thaw();
    let error = old_worker.task.await?.unwrap_err();
    assert_eq!(error.kind(), WorkerErrorKind::DuplicateWorkerId);
    assert_eq!(new_worker.holds().len(), 1);
    new_worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn dropping_run_until_ends_every_task_and_the_leases_expire() -> TestResult {
    let world = World::new(2);
    let a = world.host("a");
    let worker = a.start();
    settle(&world, &[&worker], 2).await;
    let first = world.put_numbered("r", 4).await;
    world.until_processed(&first).await;
    drop(worker);
    world.sleep(seconds(0.1)).await;
    let calls = world.mock.calls(shardwise_mock::Operation::GetRecords);
    world.sleep(seconds(60.0)).await;
    assert_eq!(
        world.mock.calls(shardwise_mock::Operation::GetRecords),
        calls
    );
    let b = world.host("b");
    let worker = b.start();
    let next = world.put_numbered("s", 4).await;
    world.until_processed(&next).await;
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_running_call_is_finished_at_shutdown_and_its_checkpoint_accepted() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let worker = host.start_with(host.builder(), Habits::slow(seconds(8.0)));
    let all = world.put_numbered("r", 3).await;
    world.sleep(seconds(2.0)).await;
    assert!(world.journal.data().is_empty());
    worker.stop().await?;
    assert_eq!(world.journal.records(|_| true), all);
    let last: Vec<What> = world
        .journal
        .entries()
        .into_iter()
        .rev()
        .take(2)
        .map(|entry| entry.what)
        .collect();
    assert_eq!(last[0], What::ShuttingDown);
    assert!(matches!(last[1], What::Checkpointed(_)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_processor_that_is_busy_when_the_grace_ends_is_dropped_with_an_error() -> TestResult {
    let world = World::new(1);
    let host = world.host("a");
    let worker = host.start_with(
        host.builder().shutdown_grace(seconds(5.0)),
        Habits::trouble(|_| Trouble::Hang),
    );
    world.put("r").await;
    world.sleep(seconds(5.0)).await;
    let begin = world.now();
    let error = worker.stop().await.unwrap_err();
    assert_eq!(error.kind(), WorkerErrorKind::GraceEnded);
    assert!(
        error.to_string().contains("shardId-000000000000"),
        "{error}"
    );
    assert_eq!(world.now() - begin, seconds(5.0));
    // Nothing was skipped.
    let heir = world.host("b");
    let worker = heir.start();
    world.until_processed(&["r".to_owned()]).await;
    worker.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn stats_tell_what_is_held_and_what_happened() -> TestResult {
    let world = World::new(2);
    let host = world.host("a");
    let worker = host.start();
    settle(&world, &[&worker], 2).await;
    let stats = worker.stats.clone();
    worker.stop().await?;
    let stats = stats.snapshot();
    assert!(stats.shards.is_empty());
    let kinds: Vec<_> = stats
        .events
        .iter()
        .map(|event| event.kind.clone())
        .collect();
    let (taken, released) = (
        LeaseEventKind::Taken,
        LeaseEventKind::Ended(LeaseEnd::Released),
    );
    assert_eq!(kinds, [taken.clone(), taken, released.clone(), released]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_worker_takes_no_more_than_max_leases() -> TestResult {
    let world = World::new(4);
    let (a, b) = (world.host("a"), world.host("b"));
    let worker_a = a.start_with(a.builder().max_leases(1), Habits::default());
    world.sleep(seconds(30.0)).await;
    assert_eq!(worker_a.holds().len(), 1);
    let worker_b = b.start_with(b.builder(), Habits::checkpoints(Checkpoints::Never));
    world
        .until("the others", || worker_b.holds().len() == 3)
        .await;
    worker_a.stop().await?;
    worker_b.stop().await?;
    Ok(())
}
