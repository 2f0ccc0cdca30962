//! Rows of every shape.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use proptest::prelude::*;
use shardwise_types::{HashKey, HashKeyRange};

use crate::leases::lease::{Checkpoint, Incarnation, Lease};
use crate::leases::row::{self, Item, Row, attribute};

use super::support::{epoch, key, shard, shards};

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: &str) -> AttributeValue {
    AttributeValue::N(value.to_owned())
}

fn item(attributes: &[(&str, AttributeValue)]) -> Item {
    let least = [
        ("leaseKey", text("shardId-000000000000")),
        ("leaseCounter", number("3")),
        ("checkpoint", text("TRIM_HORIZON")),
    ];
    least
        .into_iter()
        .chain(attributes.iter().cloned())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn lease(item: &Item) -> Lease {
    match row::read(item) {
        Ok(Row::Lease(lease)) => *lease,
        other => panic!("{other:?} is no lease"),
    }
}

#[test]
fn the_least_row_is_a_lease() {
    let mut expected = Lease::new(shard(0), Checkpoint::TrimHorizon);
    expected.counter = 3;
    assert_eq!(lease(&item(&[])), expected);
}

#[test]
fn what_is_not_needed_may_be_broken() {
    // The state as N: a bug of the KCL's serializer, on the way it creates rows.
    let row = item(&[
        ("pendingCheckpoint", number("7")),
        ("pendingCheckpointSubSequenceNumber", text("x")),
        ("pendingCheckpointState", number("0")),
        ("startingHashKey", text("from the beginning")),
        ("endingHashKey", number("9")),
        ("ownerSwitchesSinceCheckpoint", text("many")),
        ("startedAt", text("yesterday")),
        ("throughputKBps", number("1.5")),
        ("somebodyElses", AttributeValue::Bool(true)),
        ("leaseOwner", AttributeValue::Null(true)),
    ]);
    assert_eq!(lease(&row), lease(&item(&[])));
}

#[test]
fn rows_of_another_kind_are_not_leases() {
    for kind in ["WORKER_METRICS", "COORDINATOR_STATE", ""] {
        let row = item(&[("entityType", text(kind))]);
        assert!(matches!(row::read(&row), Ok(Row::Other)), "{kind:?}");
    }
    lease(&item(&[("entityType", text("LEASE"))]));
}

#[test]
fn a_lease_of_a_table_of_many_streams_is_named_as_such() {
    let key = "123456789012:orders:1700000000:shardId-000000000007";
    // Whatever else is in it.
    for counter in [number("3"), text("?")] {
        let row = item(&[("leaseKey", text(key)), ("leaseCounter", counter)]);
        match row::read(&row) {
            Ok(Row::MultiStream(found)) => assert_eq!(found.to_string(), key),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_the_protocol_rests_on_must_be_right() {
    let shard_ids =
        |ids: &[&str]| AttributeValue::Ss(ids.iter().map(ToString::to_string).collect());
    for (name, value) in [
        ("leaseKey", text("123456789012:orders:soon:shardId-0")),
        ("leaseKey", number("1")),
        ("leaseCounter", text("3")),
        ("leaseCounter", number("-1")),
        ("leaseCounter", number("1.5")),
        ("leaseCounter", AttributeValue::Null(true)),
        ("checkpoint", text("SOMEWHERE")),
        ("checkpointSubSequenceNumber", text("0")),
        ("leaseOwner", number("1")),
        ("checkpointOwner", shard_ids(&["a"])),
        ("incarnation", AttributeValue::B(Blob::new("x"))),
        ("parentShardId", text("shardId-000000000000")),
        ("parentShardId", shard_ids(&["not a shard id"])),
        ("entityType", number("1")),
    ] {
        let error = row::read(&item(&[(name, value)])).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    for name in ["leaseKey", "leaseCounter", "checkpoint"] {
        let mut row = item(&[]);
        row.remove(name);
        let error = row::read(&row).unwrap_err();
        assert!(error.to_string().contains("is missing"), "{error}");
    }
}

#[test]
fn an_unreadable_row_says_which_it_is() {
    let error = row::read(&item(&[("checkpoint", text("?"))])).unwrap_err();
    assert_eq!(error.key(), "shardId-000000000000");
}

fn leases() -> impl Strategy<Value = Lease> {
    let checkpoint = prop_oneof![
        Just(Checkpoint::AtTimestamp),
        Just(Checkpoint::TrimHorizon),
        Just(Checkpoint::Latest),
        Just(Checkpoint::ShardEnd),
        ("[1-9][0-9]{0,128}", any::<u64>())
            .prop_map(|(number, sub)| Checkpoint::from_row(&number, sub).unwrap()),
    ];
    let worker = || proptest::option::of("[a-z:.-]{1,40}".prop_map(|id| id.parse().unwrap()));
    (
        (worker(), worker(), any::<u64>(), any::<u64>(), checkpoint),
        proptest::option::of("[1-9a-f][0-9a-f]{31}"),
        proptest::option::of(0..4_000_000_000_u64),
        (
            proptest::collection::btree_set(0_u32..9, 0..3),
            proptest::collection::btree_set(0_u32..9, 0..3),
        ),
        proptest::option::of((any::<u128>(), any::<u128>())),
    )
        .prop_map(|(basics, incarnation, started_at, family, range)| {
            let (owner, checkpoint_owner, counter, owner_switches, checkpoint) = basics;
            Lease {
                key: key(7),
                owner,
                checkpoint_owner,
                counter,
                incarnation: incarnation.and_then(|text| Incarnation::from_row(&text)),
                checkpoint,
                started_at: started_at.map(epoch),
                owner_switches,
                parents: shards(family.0),
                children: shards(family.1),
                hash_key_range: range.map(|(a, b)| {
                    HashKeyRange::new(HashKey::new(a.min(b)), HashKey::new(a.max(b))).unwrap()
                }),
            }
        })
}

fn values() -> impl Strategy<Value = AttributeValue> {
    prop_oneof![
        ".{0,12}".prop_map(AttributeValue::S),
        "-?[0-9]{1,38}(\\.[0-9]{1,3})?".prop_map(AttributeValue::N),
        Just(AttributeValue::Null(true)),
        any::<bool>().prop_map(AttributeValue::Bool),
        proptest::collection::vec(".{0,12}", 1..3).prop_map(AttributeValue::Ss),
        proptest::collection::vec(any::<u8>(), 0..4)
            .prop_map(|bytes| AttributeValue::B(Blob::new(bytes))),
    ]
}

const NAMES: [&str; 14] = [
    attribute::KEY,
    attribute::OWNER,
    attribute::COUNTER,
    attribute::CHECKPOINT_OWNER,
    attribute::OWNER_SWITCHES,
    attribute::CHECKPOINT,
    attribute::SUB_SEQUENCE,
    attribute::PARENTS,
    attribute::CHILDREN,
    attribute::STARTING_HASH_KEY,
    attribute::ENDING_HASH_KEY,
    attribute::ENTITY_TYPE,
    attribute::INCARNATION,
    attribute::STARTED_AT,
];

proptest! {
    #[test]
    fn a_row_reads_back_as_it_was_written(written in leases()) {
        prop_assert_eq!(lease(&row::item(&written)), written);
    }

    /// Any attribute of any type, or missing: understood or refused, never a panic.
    #[test]
    fn any_item_is_understood_or_refused(
        broken in proptest::collection::btree_map(proptest::sample::select(&NAMES[..]), values(), 0..5),
        missing in proptest::sample::select(&NAMES[..]),
    ) {
        let mut row = row::item(&Lease::new(shard(0), Checkpoint::Latest));
        row.remove(missing);
        let broken: BTreeMap<&str, AttributeValue> = broken;
        row.extend(broken.into_iter().map(|(name, value)| (name.to_owned(), value)));
        if let Ok(Row::Lease(lease)) = row::read(&row) {
            let counter = lease.counter.to_string();
            prop_assert_eq!(row[attribute::COUNTER].as_n().unwrap().trim_start_matches('0'), counter.trim_start_matches('0'));
        }
    }
}
