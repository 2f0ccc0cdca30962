//! Rows that may go, by example; and that none is missed, with the histories of `missing.rs`.

use proptest::prelude::*;

use crate::leases::clean::finished;
use crate::leases::lease::{Checkpoint, Lease};
use crate::leases::missing::missing_leases;
use crate::leases::store::Scan;

use super::missing::{histories, make, starts};
use super::support::{at, shard, shards};

fn lease(number: u32, parents: &[u32], checkpoint: Checkpoint) -> Lease {
    let mut lease = Lease::new(shard(number), checkpoint);
    lease.parents = shards(parents.iter().copied());
    lease
}

fn table(leases: &[Lease]) -> Scan {
    Scan {
        leases: leases.to_vec(),
        ..Scan::default()
    }
}

const NONE: [u32; 0] = [];

/// A shard that was split in two, and how far its children have come.
fn split(children: [Checkpoint; 2]) -> Vec<Lease> {
    let [left, right] = children;
    let mut parent = lease(0, &[], Checkpoint::ShardEnd);
    parent.children = shards([1, 2]);
    vec![parent, lease(1, &[0], left), lease(2, &[0], right)]
}

fn gone(table: &Scan) -> Vec<u32> {
    let rows = finished(table, &[]);
    rows.iter()
        .map(|row| row.shard_id().number().unwrap())
        .collect()
}

#[test]
fn a_parent_goes_when_all_its_children_have_begun() {
    assert_eq!(gone(&table(&split([at(1), at(2)]))), [0]);
    assert_eq!(gone(&table(&split([at(1), Checkpoint::ShardEnd]))), [0]);
    for waiting in [
        Checkpoint::TrimHorizon,
        Checkpoint::AtTimestamp,
        Checkpoint::Latest,
    ] {
        assert_eq!(gone(&table(&split([at(1), waiting]))), NONE);
    }
}

#[test]
fn a_parent_stays_while_a_child_has_no_lease() {
    let mut leases = split([at(1), at(2)]);
    leases.pop();
    assert_eq!(gone(&table(&leases)), NONE);
}

#[test]
fn a_shard_that_is_not_done_stays() {
    let mut leases = split([at(1), at(2)]);
    leases[0].checkpoint = at(9);
    assert_eq!(gone(&table(&leases)), NONE);
}

#[test]
fn the_oldest_go_first() {
    let leases = [
        lease(0, &[], Checkpoint::ShardEnd),
        lease(1, &[0], Checkpoint::ShardEnd),
        lease(2, &[1], at(1)),
    ];
    assert_eq!(gone(&table(&leases)), [0]);
    assert_eq!(gone(&table(&leases[1..])), [1]);
}

#[test]
fn a_row_that_cannot_be_read_keeps_its_family() {
    use crate::leases::row;
    use aws_sdk_dynamodb::types::AttributeValue;

    let broken = |number| {
        let key = AttributeValue::S(shard(number).to_string());
        row::read(&[("leaseKey".to_owned(), key)].into()).unwrap_err()
    };
    let leases = split([at(1), at(2)]);
    let without = |index: usize, number| {
        let mut leases = leases.clone();
        leases.remove(index);
        Scan {
            leases,
            unreadable: vec![broken(number)],
            ..Scan::default()
        }
    };
    assert_eq!(gone(&without(2, 2)), NONE, "a child");
    let mut chain = without(0, 0);
    chain.leases[0].checkpoint = Checkpoint::ShardEnd;
    chain.leases.push(lease(3, &[1], at(1)));
    assert_eq!(gone(&chain), NONE, "a parent");
}

#[test]
fn a_row_without_children_waits_until_the_stream_has_forgotten_the_shard() {
    // As a KCL before 1.14 leaves it.
    let old = table(&[lease(0, &[], Checkpoint::ShardEnd)]);
    let listed = [make(0, &[], false), make(1, &[0], true)];
    assert!(
        finished(&old, &listed).is_empty(),
        "the listing knows a child"
    );
    assert!(finished(&old, &listed[..1]).is_empty(), "there may be one");
    assert_eq!(finished(&old, &[]).len(), 1);
}

proptest! {
    /// Property 9: deleting never orphans a shard, and never brings a row back.
    #[test]
    fn what_is_deleted_is_not_missed(
        stream in histories(),
        progress in proptest::collection::vec(0..3_u8, 40),
        start in starts(),
    ) {
        // A table as it comes about: children have leases once their parents are done.
        let mut table = Scan::default();
        for shard in &stream {
            let number = shard.shard_id.number().unwrap();
            let state = |id: &shardwise_types::ShardId| {
                table.leases.iter().find(|lease| lease.shard_id() == id).map(Lease::is_ended)
            };
            let may_exist = shard.parents().all(|parent| state(parent) != Some(false))
                && shard.parents().any(|parent| state(parent).is_some()) | (shard.parents().count() == 0);
            if !may_exist {
                continue;
            }
            let checkpoint = match progress[usize::try_from(number).unwrap()] {
                0 => Checkpoint::TrimHorizon,
                1 => at(5),
                _ if shard.is_open() => at(6),
                _ => Checkpoint::ShardEnd,
            };
            let parents: Vec<u32> = shard.parents().filter_map(|id| id.number()).collect();
            table.leases.push(lease(number, &parents, checkpoint));
        }
        if table.leases.is_empty() {
            return Ok(());
        }
        let missing = |table: &Scan| missing_leases(&stream, table, start).unwrap();
        let created = missing(&table);
        table.leases.extend(created);
        loop {
            let before: Vec<Lease> = finished(&table, &stream).into_iter().cloned().collect();
            if before.is_empty() {
                break;
            }
            table.leases.retain(|lease| !before.contains(lease));
            prop_assert!(!table.leases.is_empty(), "the table was emptied");
            prop_assert_eq!(missing(&table), [], "deleted: {:?}", before);
        }
    }
}
