//! A held lease, with time that stands still until it is made to pass.

use std::sync::Arc;
use std::time::Duration;

use shardwise_env::Env;

use crate::leases::decide::{self, Intent};
use crate::leases::end::LeaseEnd;
use crate::leases::lease::Checkpoint;
use crate::leases::memory::MemoryLeaseStore;
use crate::leases::state::LeaseError;
use crate::leases::store::LeaseStore;
use crate::leases::table::LeaseTable;

use super::support::{FAILOVER, Held, at, at_sub, free, key, table, take};

struct Bench {
    rows: MemoryLeaseStore,
    store: Arc<dyn LeaseStore>,
    env: Env,
}

impl Bench {
    /// A table with one free lease.
    async fn new() -> Self {
        let rows = MemoryLeaseStore::new();
        let store: Arc<dyn LeaseStore> = Arc::new(rows.clone());
        table(&store, "setup").create(&[free(0)]).await.unwrap();
        let env = Env::system();
        Self { rows, store, env }
    }

    fn worker(&self, name: &str) -> LeaseTable {
        table(&self.store, name)
    }

    async fn take(&self, table: &LeaseTable) -> Held {
        let row = self.rows.row(&key(0)).unwrap();
        take(table, &row).await.unwrap()
    }

    fn counter(&self) -> u64 {
        self.rows.row(&key(0)).unwrap().counter
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_valid_for_the_failover_time_from_the_moment_of_sending() {
    let bench = Bench::new().await;
    let held = bench.take(&bench.worker("a")).await;
    let taken = bench.env.now();
    assert_eq!(held.state().valid_until(), taken + FAILOVER);
    assert!(held.is_valid(taken + FAILOVER - Duration::from_millis(1)));
    assert!(!held.is_valid(taken + FAILOVER));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_prolongs_and_is_due_every_third_of_the_failover_time() {
    let bench = Bench::new().await;
    let held = bench.take(&bench.worker("a")).await;
    held.renew().await.unwrap();
    assert_eq!(
        bench.counter(),
        1,
        "a renewal that is not due writes nothing"
    );
    bench.env.sleep_until(held.renew_at()).await;
    held.renew().await.unwrap();
    assert_eq!(bench.counter(), 2);
    assert_eq!(held.state().valid_until(), bench.env.now() + FAILOVER);
    let next = held.renew_at() - bench.env.now();
    assert_eq!(next, FAILOVER / 3 - Duration::from_millis(25));
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_is_a_heartbeat() {
    let bench = Bench::new().await;
    let held = bench.take(&bench.worker("a")).await;
    let due = held.renew_at();
    bench.env.sleep(Duration::from_secs(2)).await;
    held.checkpoint(at(5)).await.unwrap();
    assert_eq!(held.state().valid_until(), bench.env.now() + FAILOVER);
    bench.env.sleep_until(due).await;
    held.renew().await.unwrap();
    assert_eq!(bench.counter(), 2, "the checkpoint put the renewal off");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_never_moves_backwards() {
    let bench = Bench::new().await;
    let held = bench.take(&bench.worker("a")).await;
    held.checkpoint(at_sub(5, 3)).await.unwrap();
    let written = bench.counter();
    held.checkpoint(at_sub(5, 3)).await.unwrap();
    assert_eq!(
        bench.counter(),
        written,
        "what is written is not written again"
    );
    for (lower, sub) in [(5, 2), (4, 9)] {
        held.checkpoint(at_sub(lower, sub)).await.unwrap();
        assert_eq!(bench.counter(), written, "what is done is not written");
    }
    assert_eq!(held.checkpointed().to_string(), "5/3");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_is_refused_after_the_lease_is_lost() {
    let bench = Bench::new().await;
    let held = bench.take(&bench.worker("a")).await;
    let stolen = bench.take(&bench.worker("b")).await;
    let lost = held.checkpoint(at(5)).await.unwrap_err();
    let b = LeaseEnd::TakenBy("b".parse().unwrap());
    assert!(matches!(lost, LeaseError::Lost(loss) if loss == b));
    assert!(!held.is_valid(bench.env.now()));
    assert_eq!(held.lost(), Some(b));
    assert!(matches!(held.renew().await, Err(LeaseError::Lost(_))));
    stolen.checkpoint(at(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_expired_lease_is_not_checkpointed_until_a_renewal_proves_it() {
    let bench = Bench::new().await;
    let mut held = bench.take(&bench.worker("a")).await;
    bench.env.sleep(FAILOVER).await;
    let begun = bench.env.now();
    let error = held.checkpoint(at(5)).await.unwrap_err();
    assert!(bench.env.now() - begun < FAILOVER, "tried for so long");
    assert!(matches!(error, LeaseError::Expired));
    assert!(matches!(held.end(&[]).await, Err(LeaseError::Expired)));
    held.renew().await.unwrap();
    held.checkpoint(at(5)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_owner_starts_where_the_last_one_stopped() {
    let bench = Bench::new().await;
    let old_view = bench.rows.row(&key(0)).unwrap();
    let a = bench.take(&bench.worker("a")).await;
    a.checkpoint(at_sub(7, 2)).await.unwrap();
    // A view from before the checkpoint cannot even be acted on.
    assert!(bench.worker("b").take(&old_view).await.is_err());
    let b = bench.take(&bench.worker("b")).await;
    assert_eq!(b.claimed().checkpoint.to_string(), "7/2");
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_free_at_once() {
    let bench = Bench::new().await;
    let held = bench.take(&bench.worker("a")).await;
    assert_eq!(held.release().await, LeaseEnd::Released);
    let row = bench.rows.row(&key(0)).unwrap();
    assert_eq!((row.owner, row.incarnation), (None, None));
    assert!(!held.is_valid(bench.env.now()));
    let error = held.checkpoint(at(5)).await.unwrap_err();
    assert!(matches!(error, LeaseError::Lost(LeaseEnd::Released)));
}

#[tokio::test(start_paused = true)]
async fn a_double_of_the_same_name_is_somebody_else() {
    let bench = Bench::new().await;
    let first = bench.take(&bench.worker("a")).await;
    let _second = bench.take(&bench.worker("a")).await;
    bench.env.sleep_until(first.renew_at()).await;
    let error = first.renew().await.unwrap_err();
    assert!(matches!(
        error,
        LeaseError::Lost(LeaseEnd::TakenByNamesake(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_shows_another_owner_ends_the_lease_at_once() {
    let bench = Bench::new().await;
    let held = bench.take(&bench.worker("a")).await;
    let mut row = bench.rows.row(&key(0)).unwrap();
    held.seen(&row);
    held.seen(&free(0));
    assert!(
        held.is_valid(bench.env.now()),
        "the worker's own row, and an older one"
    );
    // A write of the worker, of which it has not heard yet.
    row.counter += 1;
    held.seen(&row);
    assert!(held.is_valid(bench.env.now()));
    row.owner = Some("b".parse().unwrap());
    held.seen(&row);
    assert_eq!(held.lost(), Some(LeaseEnd::TakenBy("b".parse().unwrap())));
    assert!(!held.is_valid(bench.env.now()));
}

/// A renewal that finds an earlier write of the worker proves the lease from the time when the first of
/// those without an answer was sent, and not from now.
#[tokio::test(start_paused = true)]
async fn an_adopted_write_counts_from_when_it_may_have_been_sent() {
    let bench = Bench::new().await;
    let worker = bench.worker("a");
    let held = bench.take(&worker).await;
    let taken = bench.env.now();
    // One call is given up after its write arrived; another is, before it did.
    bench.env.sleep(Duration::from_secs(2)).await;
    let write = decide::next(
        held.claimed(),
        worker.identity(),
        &Intent::Checkpoint(at(3)),
    );
    let attempt = |intent| held.state().begin(intent, bench.env.now());
    attempt(Intent::Checkpoint(at(3))).unwrap();
    bench.rows.apply(&write);
    bench.env.sleep(Duration::from_secs(4)).await;
    attempt(Intent::Checkpoint(at(5))).unwrap();
    bench.env.sleep(Duration::from_secs(1)).await;
    held.renew().await.unwrap();
    assert_eq!(
        held.state().valid_until(),
        taken + Duration::from_secs(2) + FAILOVER
    );
    assert_eq!(held.checkpointed(), at(3));
    // And so the next one is due at once.
    assert!(held.renew_at() <= bench.env.now());
    held.renew().await.unwrap();
    assert_eq!(held.state().valid_until(), bench.env.now() + FAILOVER);
}

/// The answer to a release is lost, and the next renewal finds the row freed.
#[tokio::test(start_paused = true)]
async fn a_lease_that_is_found_free_after_its_release_was_released() {
    for is_seen in [false, true] {
        let bench = Bench::new().await;
        let worker = bench.worker("a");
        let held = bench.take(&worker).await;
        let write = decide::next(held.claimed(), worker.identity(), &Intent::Release);
        let begun = held.state().begin(Intent::Release, bench.env.now());
        begun.unwrap();
        bench.rows.apply(&write);
        if is_seen {
            held.seen(&bench.rows.row(held.key()).unwrap());
        } else {
            bench.env.sleep_until(held.renew_at()).await;
            let error = held.renew().await.unwrap_err();
            assert!(
                matches!(error, LeaseError::Lost(LeaseEnd::Released)),
                "{error}"
            );
        }
        assert_eq!(held.lost(), Some(LeaseEnd::Released));
    }
}

#[tokio::test(start_paused = true)]
async fn renewals_and_checkpoints_at_once_keep_the_lease() {
    let bench = Bench::new().await;
    let held = bench.take(&bench.worker("a")).await;
    bench.env.sleep_until(held.renew_at()).await;
    let (renewed, one, two) =
        tokio::join!(held.renew(), held.checkpoint(at(1)), held.checkpoint(at(2)));
    renewed.unwrap();
    one.unwrap();
    two.unwrap();
    assert_eq!(held.checkpointed(), at(2));
}

mod ends {
    use shardwise_types::HashKeyRange;

    use super::*;
    use crate::leases::tests::support::{child, claimed, shards};

    #[tokio::test(start_paused = true)]
    async fn children_have_leases_of_the_creator_before_the_parent_ends() {
        let bench = Bench::new().await;
        let worker = bench.worker("a");
        let mut held = bench.take(&worker).await;
        let children = held.end(&[child(1, &[0]), child(2, &[0])]).await.unwrap();
        assert_eq!(children.len(), 2);
        for (child, number) in children.iter().zip([1, 2]) {
            let row = bench.rows.row(&key(number)).unwrap();
            assert!(row.is_claimed_by(worker.identity()));
            assert_eq!(row.checkpoint, Checkpoint::TrimHorizon);
            assert_eq!(row.parents, shards([0]));
            assert_eq!(row.hash_key_range, Some(HashKeyRange::FULL));
            assert_eq!(child.row, row);
            assert!(Held::new(&worker, child.clone()).is_valid(bench.env.now()));
            assert!(worker.may_start(&row).await.unwrap());
        }
        let parent = bench.rows.row(&key(0)).unwrap();
        assert_eq!(parent.checkpoint, Checkpoint::ShardEnd);
        assert_eq!(parent.children, shards([1, 2]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_lost_the_lease_does_not_write_the_end() {
        let bench = Bench::new().await;
        let mut held = bench.take(&bench.worker("a")).await;
        let _stolen = bench.take(&bench.worker("b")).await;
        let error = held.end(&[child(1, &[0])]).await.unwrap_err();
        assert!(matches!(error, LeaseError::Lost(_)));
        assert_ne!(
            bench.rows.row(&key(0)).unwrap().checkpoint,
            Checkpoint::ShardEnd
        );
        // The child is there; it waits for its parent.
        let row = bench.rows.row(&key(1)).unwrap();
        assert!(!bench.worker("b").may_start(&row).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_finished_lease_needs_no_renewal_and_takes_no_checkpoint() {
        let bench = Bench::new().await;
        let mut held = bench.take(&bench.worker("a")).await;
        held.end(&[]).await.unwrap();
        let written = bench.counter();
        held.end(&[]).await.unwrap();
        bench.env.sleep_until(held.renew_at()).await;
        held.renew().await.unwrap();
        assert_eq!(bench.counter(), written);
        held.checkpoint(at(5)).await.unwrap();
        assert_eq!(bench.counter(), written);
        assert!(held.is_ended());
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_that_somebody_else_has_stays_theirs() {
        let bench = Bench::new().await;
        let mut held = bench.take(&bench.worker("a")).await;
        let b = bench.worker("b");
        bench.rows.replace(claimed(1, b.identity(), 4));
        let children = held.end(&[child(1, &[0])]).await.unwrap();
        assert!(children.is_empty());
        assert!(bench.rows.row(&key(1)).unwrap().is_claimed_by(b.identity()));
    }

    /// The other parent's task may hold it: a second claim would move the counter behind its back.
    #[tokio::test(start_paused = true)]
    async fn a_child_that_is_there_is_not_claimed_again() {
        let bench = Bench::new().await;
        let worker = bench.worker("a");
        let mut held = bench.take(&worker).await;
        bench.rows.replace(claimed(1, worker.identity(), 0));
        let children = held.end(&[child(1, &[0])]).await.unwrap();
        assert!(children.is_empty());
        assert_eq!(bench.rows.row(&key(1)).unwrap().counter, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_merged_child_lacks_a_parent_until_both_have_leases() {
        let bench = Bench::new().await;
        let worker = bench.worker("a");
        let merged = [child(2, &[0, 1])];
        // No worker has read the other parent, and none ever would.
        assert!(worker.lacks_parents(&key(0), &merged).await.unwrap());
        bench.rows.replace(free(2));
        assert!(!worker.lacks_parents(&key(0), &merged).await.unwrap());
        bench.rows.replace(free(1));
        assert!(!worker.lacks_parents(&key(0), &merged).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_merged_child_waits_until_both_parents_are_done() {
        let bench = Bench::new().await;
        let worker = bench.worker("a");
        let mut held = bench.take(&worker).await;
        let merged = [child(2, &[0, 1])];
        bench.rows.replace(free(1));
        let children = held.end(&merged).await.unwrap();
        assert_eq!(children.len(), 1);
        let child = children[0].row.clone();
        assert!(!worker.may_start(&child).await.unwrap());
        let mut other = take(&worker, &free(1)).await.unwrap();
        assert!(other.end(&merged).await.unwrap().is_empty());
        assert!(worker.may_start(&child).await.unwrap());
    }
}
