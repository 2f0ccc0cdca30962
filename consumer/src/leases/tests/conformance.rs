//! One suite for both stores: a holder cannot tell them apart.

use std::sync::Arc;

use crate::leases::decide::{Answer, Change, Intent, Write, next};
use crate::leases::end::LeaseEnd;
use crate::leases::lease::{Checkpoint, Lease};
use crate::leases::store::{LeaseStore, MissingTable};

use super::support::{
    self, Held, at, at_sub, child, claimed, epoch, free, identity, key, shards, table, take,
};

/// A test for each store, out of one function.
macro_rules! both {
    ($($name:ident)*) => {
        mod in_memory {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name(super::support::memory()).await;
            })*
        }

        mod in_dynamodb {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name(super::support::dynamodb().await).await;
            })*
        }
    };
}

both! {
    a_fresh_table_is_empty_and_may_be_ensured_twice
    a_lease_reads_back_as_it_was_created
    a_row_that_is_there_is_not_created_again
    an_update_needs_the_counter_and_gives_the_new_row
    a_refused_update_gives_the_row_as_it_is
    every_change_arrives
    a_delete_needs_the_counter
    a_scan_gives_every_lease_in_order
    a_lease_lives_its_whole_life
    a_lost_answer_does_not_lose_the_lease
    of_two_takers_one_wins
}

type Store = Arc<dyn LeaseStore>;

async fn a_fresh_table_is_empty_and_may_be_ensured_twice(store: Store) {
    store.ensure_table(MissingTable::Refuse).await.unwrap();
    let scan = store.scan().await.unwrap();
    assert!(scan.leases.is_empty() && scan.unreadable.is_empty());
    assert_eq!(store.read(&key(0)).await.unwrap(), None);
}

/// A lease with something in every field.
fn full() -> Lease {
    let mut lease = claimed(0, &identity("a", "1"), 3);
    lease.checkpoint_owner = Some("z".parse().unwrap());
    lease.checkpoint = Checkpoint::from_row(&"9".repeat(56), u64::MAX).unwrap();
    lease.started_at = Some(epoch(1_800_000_000));
    lease.owner_switches = 4;
    lease.parents = shards([7, 8]);
    lease.children = shards([9]);
    lease.hash_key_range = Some(shardwise_types::HashKeyRange::FULL);
    lease
}

async fn create(store: &Store, lease: &Lease) -> Answer {
    let write = Write::Create(Box::new(lease.clone()));
    store.write(&write).await.unwrap()
}

async fn a_lease_reads_back_as_it_was_created(store: Store) {
    for lease in [full(), free(1)] {
        let answer = create(&store, &lease).await;
        assert_eq!(answer, Answer::Applied(Box::new(lease.clone())));
        assert_eq!(store.read(&lease.key).await.unwrap(), Some(lease));
    }
}

async fn a_row_that_is_there_is_not_created_again(store: Store) {
    create(&store, &full()).await;
    let answer = create(&store, &free(0)).await;
    assert_eq!(answer, Answer::Refused(Some(Box::new(full()))));
}

fn update(counter: u64, changes: Vec<Change>) -> Write {
    Write::Update {
        key: key(0),
        counter,
        changes,
    }
}

async fn an_update_needs_the_counter_and_gives_the_new_row(store: Store) {
    create(&store, &full()).await;
    let expected = Lease {
        counter: 4,
        owner: None,
        ..full()
    };
    let write = update(3, vec![Change::Owner(None)]);
    let answer = store.write(&write).await.unwrap();
    assert_eq!(answer, Answer::Applied(Box::new(expected.clone())));
    assert_eq!(store.read(&key(0)).await.unwrap(), Some(expected));
}

async fn a_refused_update_gives_the_row_as_it_is(store: Store) {
    let nothing = store.write(&update(0, vec![])).await.unwrap();
    assert_eq!(nothing, Answer::Refused(None));
    assert_eq!(
        store.read(&key(0)).await.unwrap(),
        None,
        "no row came about"
    );
    create(&store, &full()).await;
    for counter in [2, 4] {
        let write = update(counter, vec![Change::Owner(None)]);
        let answer = store.write(&write).await.unwrap();
        assert_eq!(answer, Answer::Refused(Some(Box::new(full()))));
    }
}

async fn every_change_arrives(store: Store) {
    let identity = identity("b", "2");
    let sets = vec![
        Change::Owner(Some(identity.worker_id.clone())),
        Change::Incarnation(Some(identity.incarnation.clone())),
        Change::RemoveCheckpointOwner,
        Change::OwnerSwitches(9),
        Change::StartedAt(epoch(5)),
        Change::Children(shards([1, 2, 3])),
    ];
    let removes = vec![
        Change::Owner(None),
        Change::Incarnation(None),
        Change::Checkpoint(Checkpoint::ShardEnd),
        Change::Children(shards([])),
    ];
    create(&store, &full()).await;
    let mut expected = full();
    for changes in [sets, removes, vec![Change::Checkpoint(at(5))]] {
        changes
            .iter()
            .for_each(|change| change.apply(&mut expected));
        let write = update(expected.counter, changes);
        expected.counter += 1;
        store.write(&write).await.unwrap();
        assert_eq!(store.read(&key(0)).await.unwrap(), Some(expected.clone()));
    }
}

async fn a_delete_needs_the_counter(store: Store) {
    create(&store, &full()).await;
    let delete = |counter| Write::Delete {
        key: key(0),
        counter,
    };
    let row = || Some(Box::new(full()));
    let answer = store.write(&delete(2)).await.unwrap();
    assert_eq!(answer, Answer::Refused(row()));
    let answer = store.write(&delete(3)).await.unwrap();
    assert_eq!(answer, Answer::Applied(row().unwrap()));
    let answer = store.write(&delete(3)).await.unwrap();
    assert_eq!(answer, Answer::Refused(None));
}

async fn a_scan_gives_every_lease_in_order(store: Store) {
    for number in [5, 3, 11, 0, 8] {
        create(&store, &free(number)).await;
    }
    let scan = store.scan().await.unwrap();
    let numbers: Vec<_> = scan
        .leases
        .iter()
        .map(|lease| lease.shard_id().number())
        .collect();
    assert_eq!(numbers, [0, 3, 5, 8, 11].map(Some));
    assert!(scan.unreadable.is_empty());
}

async fn a_lease_lives_its_whole_life(store: Store) {
    let worker = table(&store, "a");
    assert_eq!(worker.create(&[free(0)]).await.unwrap(), 1);
    assert_eq!(worker.create(&[free(0)]).await.unwrap(), 0);
    let seen = store.read(&key(0)).await.unwrap().unwrap();
    let mut held = take(&worker, &seen).await.unwrap();
    assert_eq!(held.claimed().checkpoint, Checkpoint::TrimHorizon);
    held.checkpoint(at_sub(12, 3)).await.unwrap();
    let mut children = held.end(&[child(1, &[0])]).await.unwrap();
    let row = store.read(&key(0)).await.unwrap().unwrap();
    assert_eq!(row.counter, 3);
    let child = Held::new(&worker, children.remove(0));
    assert!(worker.may_start(child.claimed()).await.unwrap());
    assert_eq!(child.release().await, LeaseEnd::Released);
    worker.delete(&row).await.unwrap();
    let left = store.scan().await.unwrap().leases;
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].owner.as_ref(), left[0].counter), (None, 1));
}

async fn a_lost_answer_does_not_lose_the_lease(store: Store) {
    let worker = table(&store, "a");
    worker.create(&[free(0)]).await.unwrap();
    let held = take(&worker, &free(0)).await.unwrap();
    // A checkpoint of this worker, of whose success it never heard.
    let write = next(
        held.claimed(),
        worker.identity(),
        &Intent::Checkpoint(at(7)),
    );
    store.write(&write).await.unwrap();
    held.checkpoint(at(5)).await.unwrap();
    assert_eq!(
        held.checkpointed(),
        at(7),
        "adopted whole, and not set back"
    );
    held.checkpoint(at(8)).await.unwrap();
}

async fn of_two_takers_one_wins(store: Store) {
    let (a, b) = (table(&store, "a"), table(&store, "b"));
    a.create(&[free(0)]).await.unwrap();
    let seen = free(0);
    let (first, second) = tokio::join!(a.take(&seen), b.take(&seen));
    assert_eq!(u8::from(first.is_ok()) + u8::from(second.is_ok()), 1);
}
