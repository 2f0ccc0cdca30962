//! Missing leases, on the KCL's own example and on random histories of a stream.

use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_sdk_dynamodb::types::AttributeValue;
use proptest::prelude::*;
use shardwise_client::ShardFilter;
use shardwise_types::{HashKey, HashKeyRange, SequenceNumber, Shard, ShardId};

use crate::leases::lease::{Checkpoint, Lease};
use crate::leases::missing::{
    Start, SyncError, listing, may_start, missing_leases, missing_parents,
};
use crate::leases::row;
use crate::leases::store::Scan;

use super::support::{at, child, epoch, free, shard};

const LATEST: Start = Start::Latest {
    started_at: SystemTime::UNIX_EPOCH,
};
const AT_TIMESTAMP: Start = Start::AtTimestamp(SystemTime::UNIX_EPOCH);

fn range(start: u128, end: u128) -> HashKeyRange {
    HashKeyRange::new(HashKey::new(start), HashKey::new(end)).unwrap()
}

fn sequence(number: u64) -> SequenceNumber {
    number.to_string().parse().unwrap()
}

pub(super) fn make(number: u32, parents: &[u32], open: bool) -> Shard {
    let number_of = u64::from(number);
    let mut made = Shard::new(shard(number), HashKeyRange::FULL, sequence(number_of));
    made.parent_shard_id = parents.first().map(|id| shard(*id));
    made.adjacent_parent_shard_id = parents.get(1).map(|id| shard(*id));
    made.ending_sequence_number = (!open).then(|| sequence(1_000));
    made
}

fn table(leases: impl IntoIterator<Item = Lease>) -> Scan {
    Scan {
        leases: leases.into_iter().collect(),
        ..Scan::default()
    }
}

fn with(checkpoint: &Checkpoint, numbers: &[u32]) -> Scan {
    let lease = |number: &u32| Lease::new(shard(*number), checkpoint.clone());
    table(numbers.iter().map(lease))
}

fn missing(shards: &[Shard], table: &Scan, start: Start) -> Vec<(u32, Checkpoint)> {
    missing_leases(shards, table, start)
        .unwrap()
        .into_iter()
        .map(|lease| (lease.shard_id().number().unwrap(), lease.checkpoint))
        .collect()
}

/// ```text
/// 0 1 2 3 4   5     shards till epoch 102
/// \ / \ / |   |
///  6   7  4   5     shards from epoch 103 to 205
///   \ /   |  / \
///    8    4 9  10   shards from epoch 206, open
/// ```
fn documented_tree() -> Vec<Shard> {
    vec![
        make(0, &[], false),
        make(1, &[], false),
        make(2, &[], false),
        make(3, &[], false),
        make(4, &[], true),
        make(5, &[], false),
        make(6, &[0, 1], false),
        make(7, &[2, 3], false),
        make(8, &[6, 7], true),
        make(9, &[5], true),
        make(10, &[5], true),
    ]
}

#[test]
fn the_documented_tree_gets_the_documented_leases() {
    let shards = documented_tree();
    let table = with(&Checkpoint::TrimHorizon, &[4, 5, 7]);
    let found = |start| missing(&shards, &table, start);
    assert_eq!(found(LATEST), [(6, Checkpoint::Latest)]);
    assert_eq!(
        found(Start::TrimHorizon),
        [(0, Checkpoint::TrimHorizon), (1, Checkpoint::TrimHorizon)]
    );
    assert_eq!(
        found(AT_TIMESTAMP),
        [(0, Checkpoint::AtTimestamp), (1, Checkpoint::AtTimestamp)]
    );
}

#[test]
fn an_empty_table_gets_what_the_listing_has() {
    let mut halves = [make(0, &[], true), make(1, &[], true)];
    halves[0].hash_key_range = range(0, 9);
    halves[1].hash_key_range = range(10, u128::MAX);
    let empty = Scan::default();
    for (start, checkpoint) in [
        (Start::TrimHorizon, Checkpoint::TrimHorizon),
        (AT_TIMESTAMP, Checkpoint::AtTimestamp),
        (LATEST, Checkpoint::Latest),
    ] {
        let expected = [(0, checkpoint.clone()), (1, checkpoint)];
        assert_eq!(missing(&halves, &empty, start), expected);
    }
    assert_eq!(
        listing(&empty, Start::TrimHorizon),
        ShardFilter::AtTrimHorizon
    );
    assert_eq!(listing(&empty, LATEST), ShardFilter::AtLatest);
    assert_eq!(listing(&table([free(0)]), LATEST), ShardFilter::All);
}

#[test]
fn a_listing_with_a_hole_is_refused() {
    let hole = |ranges: &[(u128, u128)]| {
        let shards: Vec<Shard> = ranges
            .iter()
            .zip(0..)
            .map(|((start, end), number)| {
                let mut shard = make(number, &[], true);
                shard.hash_key_range = range(*start, *end);
                shard
            })
            .collect();
        match missing_leases(&shards, &Scan::default(), LATEST) {
            Ok(_) => None,
            Err(SyncError::Hole { start, end }) => Some((start.get(), end.get())),
        }
    };
    assert_eq!(hole(&[]), Some((0, u128::MAX)));
    assert_eq!(hole(&[(1, u128::MAX)]), Some((0, 0)));
    assert_eq!(hole(&[(0, 9), (11, u128::MAX)]), Some((10, 10)));
    assert_eq!(hole(&[(0, u128::MAX - 1)]), Some((u128::MAX, u128::MAX)));
    assert_eq!(hole(&[(10, u128::MAX), (0, 9)]), None);
    assert_eq!(hole(&[(0, u128::MAX), (3, 4), (0, 9)]), None, "overlaps");
    assert_eq!(hole(&[(0, 9), (3, 4), (11, u128::MAX)]), Some((10, 10)));
}

#[test]
fn a_lease_says_what_its_shard_is_and_when_latest_was() {
    let shards = [make(0, &[], true), make(3, &[1, 2], true)];
    let start = Start::Latest {
        started_at: epoch(77),
    };
    let table = with(&Checkpoint::TrimHorizon, &[0]);
    let leases = missing_leases(&shards, &table, start).unwrap();
    let [lease] = &leases[..] else {
        panic!("{leases:?}")
    };
    assert_eq!(lease.parents, [shard(1), shard(2)].into());
    assert_eq!(lease.hash_key_range, Some(HashKeyRange::FULL));
    assert_eq!((lease.owner.as_ref(), lease.counter), (None, 0));
    assert_eq!(
        (&lease.checkpoint, lease.started_at),
        (&Checkpoint::Latest, Some(epoch(77)))
    );
}

#[test]
fn a_child_whose_creation_failed_is_created_from_its_beginning() {
    let shards = [
        make(0, &[], false),
        make(1, &[0], false),
        make(2, &[1], true),
    ];
    let table = with(&Checkpoint::ShardEnd, &[0]);
    // And only it: its own child waits for it.
    for start in [LATEST, Start::TrimHorizon] {
        assert_eq!(
            missing(&shards, &table, start),
            [(1, Checkpoint::TrimHorizon)]
        );
    }
    assert_eq!(
        missing(&shards, &table, AT_TIMESTAMP),
        [(1, Checkpoint::AtTimestamp)],
        "the service leaves out what is older"
    );
}

#[test]
fn a_child_of_a_parent_that_nobody_knows_any_more_is_created() {
    let shards = [make(3, &[1, 2], true), make(4, &[], true)];
    let table = with(&Checkpoint::TrimHorizon, &[4]);
    assert_eq!(
        missing(&shards, &table, Start::TrimHorizon),
        [(3, Checkpoint::TrimHorizon)]
    );
}

#[test]
fn a_merged_child_of_a_forgotten_shard_is_created_beside_a_read_parent() {
    let shards = [make(1, &[], false), make(2, &[0, 1], true)];
    let table = with(&Checkpoint::TrimHorizon, &[1]);
    for start in [LATEST, Start::TrimHorizon] {
        assert_eq!(
            missing(&shards, &table, start),
            [(2, Checkpoint::TrimHorizon)]
        );
    }
    // The same with the other parent still listed: that one is to be read first.
    let shards = [
        make(0, &[], false),
        make(1, &[], false),
        make(2, &[0, 1], true),
    ];
    assert_eq!(
        missing(&shards, &table, Start::TrimHorizon),
        [(0, Checkpoint::TrimHorizon)]
    );
}

/// ```text
///   5     split by another worker, which still reads it
///  / \
/// 7   6   the other parent: 6, or 8 after another split
/// ```
/// and shard 1, which ends here. Their child is shard 9.
fn parents_of_a_merge(
    shards: &[Shard],
    ended: &Lease,
    table: &Scan,
    start: Start,
) -> Vec<(u32, Checkpoint, Option<SystemTime>)> {
    let other = shards.last().unwrap().parents().find(|id| **id != shard(1));
    let other = other.unwrap().number().unwrap();
    missing_parents(&[child(9, &[1, other])], ended, shards, table, start)
        .into_iter()
        .map(|lease| {
            let number = lease.shard_id().number().unwrap();
            (number, lease.checkpoint, lease.started_at)
        })
        .collect()
}

#[test]
fn a_co_parent_below_leased_shards_begins_at_its_beginning() {
    let shards = [
        make(1, &[], false),
        make(5, &[], false),
        make(6, &[5], false),
        make(7, &[5], true),
        make(8, &[6], false),
        make(9, &[1, 8], true),
    ];
    let beginning = |number| (number, Checkpoint::TrimHorizon, None);
    let mut ended = Lease::new(shard(1), Checkpoint::Latest);
    ended.started_at = Some(epoch(50));
    let table = table([ended.clone(), free(5)]);
    for start in [LATEST, Start::TrimHorizon] {
        let found = parents_of_a_merge(&shards, &ended, &table, start);
        assert_eq!(found, [beginning(6), beginning(8)], "and what it waits for");
    }
    let leases = missing_parents(&[child(9, &[1, 8])], &ended, &shards, &table, LATEST);
    assert_eq!(leases[0].parents, [shard(5)].into(), "it waits for shard 5");
    assert_eq!(leases[0].hash_key_range, Some(HashKeyRange::FULL));
    assert_eq!((leases[0].owner.as_ref(), leases[0].counter), (None, 0));
}

#[test]
fn a_co_parent_of_its_own_begins_when_the_ending_one_did() {
    let shards = [
        make(1, &[], false),
        make(6, &[], false),
        make(9, &[1, 6], true),
    ];
    let mut ended = Lease::new(shard(1), Checkpoint::Latest);
    ended.started_at = Some(epoch(50));
    let mut now = ended.clone();
    now.checkpoint = at(7);
    now.started_at = None;
    let table = table([now.clone()]);
    let found = |ended, start| parents_of_a_merge(&shards, ended, &table, start);
    let since = (6, Checkpoint::Latest, Some(epoch(50)));
    assert_eq!(found(&ended, LATEST), [since]);
    // The time is forgotten: rather records from before the start than none.
    for start in [LATEST, Start::TrimHorizon] {
        assert_eq!(found(&now, start), [(6, Checkpoint::TrimHorizon, None)]);
    }
    let at_timestamp = (6, Checkpoint::AtTimestamp, None);
    assert_eq!(found(&now, AT_TIMESTAMP), [at_timestamp]);
}

#[test]
fn what_a_co_parent_descends_from_begins_with_it() {
    let shards = [
        make(1, &[], false),
        make(5, &[], false),
        make(6, &[5], false),
        make(9, &[1, 6], true),
    ];
    let mut ended = Lease::new(shard(1), Checkpoint::Latest);
    ended.started_at = Some(epoch(50));
    let found = parents_of_a_merge(&shards, &ended, &table([ended.clone()]), LATEST);
    let since = |number| (number, Checkpoint::Latest, Some(epoch(50)));
    assert_eq!(found, [since(5), since(6)]);
}

#[test]
fn a_co_parent_that_is_not_listed_gets_a_lease_all_the_same() {
    let shards = [make(1, &[], false), make(9, &[1, 6], true)];
    let table = table([free(1)]);
    for start in [LATEST, Start::TrimHorizon, AT_TIMESTAMP] {
        let found = parents_of_a_merge(&shards, &free(1), &table, start);
        assert_eq!(found, [(6, Checkpoint::TrimHorizon, None)]);
    }
}

#[test]
fn a_co_parent_that_has_a_lease_needs_none() {
    let shards = [
        make(1, &[], false),
        make(6, &[], false),
        make(9, &[1, 6], true),
    ];
    let table = table([free(1), free(6)]);
    let found = parents_of_a_merge(&shards, &free(1), &table, LATEST);
    assert_eq!(found, []);
}

/// The documented rule for a shard that was overlooked, but for the time that is known.
#[test]
fn an_overlooked_co_parent_begins_when_its_neighbour_did() {
    let shards = documented_tree();
    let mut table = with(&Checkpoint::Latest, &[4, 5, 7]);
    table.leases[2].started_at = Some(epoch(50));
    let leases = missing_leases(&shards, &table, LATEST).unwrap();
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0].shard_id(), &shard(6));
    assert_eq!(leases[0].started_at, Some(epoch(50)));
}

#[test]
fn an_unreadable_row_is_a_row() {
    let shards = [make(0, &[], false), make(1, &[0], true)];
    let key = AttributeValue::S(shard(0).to_string());
    let broken = row::read(&[("leaseKey".to_owned(), key)].into()).unwrap_err();
    let table = Scan {
        unreadable: vec![broken],
        ..Scan::default()
    };
    assert_eq!(listing(&table, LATEST), ShardFilter::All);
    assert_eq!(missing(&shards, &table, Start::TrimHorizon), []);
}

#[test]
fn a_shard_may_start_when_its_parents_are_done_or_unknown() {
    let ended = Lease::new(shard(0), Checkpoint::ShardEnd);
    let reading = free(1);
    assert!(may_start([]));
    assert!(may_start([None, Some(&ended)]));
    assert!(!may_start([Some(&ended), Some(&reading)]));
}

/// A stream with a history of splits and merges; some of the oldest shards may be forgotten.
pub(super) fn histories() -> impl Strategy<Value = Vec<Shard>> {
    let changes = proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..12);
    (1..4_u32, changes, 0..6_usize).prop_map(|(first, changes, forgotten)| {
        let mut shards: Vec<Shard> = (0..first).map(|number| make(number, &[], true)).collect();
        for (split, which) in changes {
            let open: Vec<usize> = (0..shards.len()).filter(|i| shards[*i].is_open()).collect();
            let position = which.index(open.len());
            let next = u32::try_from(shards.len()).unwrap();
            let mut close = |position: usize| {
                let shard = &mut shards[open[position]];
                shard.ending_sequence_number = Some(sequence(1_000));
                shard.shard_id.number().unwrap()
            };
            if split {
                let parent = close(position);
                shards.push(make(next, &[parent], true));
                shards.push(make(next + 1, &[parent], true));
            } else if position + 1 < open.len() {
                let parents = [close(position), close(position + 1)];
                shards.push(make(next, &parents, true));
            }
        }
        let closed = shards.iter().take_while(|shard| !shard.is_open()).count();
        shards.drain(..forgotten.min(closed));
        shards
    })
}

pub(super) fn starts() -> impl Strategy<Value = Start> {
    prop_oneof![Just(LATEST), Just(Start::TrimHorizon), Just(AT_TIMESTAMP)]
}

proptest! {
    /// Property 9: what is created is missing, its parents are done, gone or out of interest, and
    /// the second run creates nothing.
    #[test]
    fn what_is_created_was_missing_and_is_not_created_twice(
        shards in histories(),
        known in proptest::collection::vec((0..30_u32, any::<bool>()), 1..8),
        start in starts(),
    ) {
        let known: BTreeMap<u32, bool> = known.into_iter().collect();
        let lease = |(number, ended): (&u32, &bool)| {
            let checkpoint = if *ended { Checkpoint::ShardEnd } else { Checkpoint::Latest };
            Lease::new(shard(*number), checkpoint)
        };
        let mut table = table(known.iter().map(lease));
        let state = |id: &ShardId| known.get(&id.number().unwrap()).copied();
        let created = missing_leases(&shards, &table, start).unwrap();
        for (index, lease) in created.iter().enumerate() {
            prop_assert_eq!(state(lease.shard_id()), None, "it has a lease");
            let listed = |id: &ShardId| shards.iter().any(|shard| shard.shard_id == *id);
            let forgotten = |id: &ShardId| state(id).is_none() && !listed(id);
            let is_orphan = lease.parents.len() == 2 && lease.parents.iter().any(forgotten);
            for parent in &lease.parents {
                let done = state(parent) == Some(true);
                // The other parent is: no other worker would make the lease.
                let earlier = created[..index].iter().any(|lease| lease.shard_id() == parent);
                let orphaned = is_orphan && (state(parent).is_some() || earlier);
                // LATEST does not care for what was before, unless the application was there.
                let out_of_interest = lease.checkpoint == Checkpoint::Latest;
                prop_assert!(done || forgotten(parent) || orphaned || out_of_interest, "{:?}", lease);
            }
        }
        table.leases.extend(created);
        prop_assert_eq!(missing_leases(&shards, &table, start).unwrap(), []);
    }

    /// Whatever the start, a fleet that reads what it may and syncs comes to the open shards, and
    /// never leaves one behind.
    #[test]
    fn sync_and_reading_reach_every_open_shard(
        shards in histories(),
        known in proptest::collection::btree_set(0..30_u32, 1..4),
        start in starts(),
    ) {
        let mut table = table(known.into_iter().map(free));
        for _ in 0..60 {
            let created = missing_leases(&shards, &table, start).unwrap();
            table.leases.extend(created);
            // A holder ends its shard without creating the children, the worst case. Rows of shards
            // that the stream has forgotten are cleaned up.
            let listed = |id: &ShardId| shards.iter().find(|shard| shard.shard_id == *id);
            table.leases.retain(|lease| listed(lease.shard_id()).is_some());
            if table.leases.is_empty() {
                return Ok(());
            }
            let now = table.clone();
            for lease in &mut table.leases {
                let parents = lease.parents.iter().map(|parent| {
                    now.leases.iter().find(|lease| lease.shard_id() == parent)
                });
                if listed(lease.shard_id()).is_some_and(|shard| !shard.is_open()) && may_start(parents) {
                    lease.checkpoint = Checkpoint::ShardEnd;
                }
            }
        }
        for shard in shards.iter().filter(|shard| shard.is_open()) {
            let lease = table.leases.iter().find(|lease| *lease.shard_id() == shard.shard_id);
            prop_assert!(lease.is_some(), "{} has no lease", shard.shard_id);
        }
    }
}
