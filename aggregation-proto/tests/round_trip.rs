//! What goes in comes out, in the size that was promised.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests may panic as tests do"
)]

mod common;

use bytes::Bytes;
use common::{members, user};
use proptest::collection::vec;
use proptest::prelude::*;
use shardwise_aggregation_proto::{Aggregator, Encoded, Full, UserRecord};

fn records(most: usize) -> impl Strategy<Value = Vec<UserRecord>> {
    let key = prop_oneof!["[ab]", "\\PC{1,30}", "𝄞{256}"];
    let hash_key = proptest::option::weighted(0.3, prop_oneof![0..3_u128, any::<u128>()]);
    let data = prop_oneof![8 => 0..200_usize, 1 => 100..20_000_usize];
    let data = (data, any::<u8>()).prop_map(|(len, byte)| Bytes::from(vec![byte; len]));
    let record = (key, hash_key, data).prop_map(|(key, hash_key, data)| user(&key, hash_key, data));
    vec(record, 0..most)
}

/// Packs the records as a producer would, and checks what an aggregator promises.
fn pack(mut aggregator: Aggregator, records: &[UserRecord]) -> Vec<Encoded> {
    fn seal(aggregator: &mut Aggregator) -> Option<Encoded> {
        let (promised, len) = (aggregator.encoded_len(), aggregator.len());
        let encoded = aggregator.finish();
        assert!(aggregator.is_empty());
        assert_eq!(aggregator.encoded_len(), 0);
        let real = encoded.as_ref().map_or(0, |it| it.data.len());
        assert_eq!(promised, real, "the promised length is exact");
        assert_eq!(len, encoded.as_ref().map_or(0, |it| it.records.len()));
        encoded
    }

    let mut done = Vec::new();
    for record in records {
        let before = aggregator.encoded_len();
        if let Err(Full(back)) = aggregator.try_push(record.clone()) {
            assert_eq!(back, *record);
            assert_eq!(aggregator.encoded_len(), before, "nothing has changed");
            done.extend(seal(&mut aggregator));
            aggregator
                .try_push(back)
                .expect("an empty aggregator takes any record");
        }
    }
    done.extend(seal(&mut aggregator));
    done
}

/// Unpacks a Kinesis record; a single user record was not wrapped.
fn unpack(encoded: &Encoded) -> Vec<UserRecord> {
    match encoded.records.as_slice() {
        [only] => {
            assert_eq!(encoded.data, only.data());
            assert_eq!(encoded.partition_key, *only.partition_key());
            assert_eq!(encoded.explicit_hash_key, only.hash_key());
            vec![only.clone()]
        }
        _ => members(encoded.data.clone()),
    }
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        records in records(60),
        max_bytes in prop_oneof![0..300_usize, 0..60_000_usize],
        max_records in prop_oneof![0..5_usize, Just(usize::MAX)],
    ) {
        let aggregator = Aggregator::new(max_bytes).with_max_records(max_records);
        let done = pack(aggregator, &records);
        for encoded in &done {
            let count = encoded.records.len();
            prop_assert!(count <= max_records.max(1));
            prop_assert!(count == 1 || encoded.data.len() <= max_bytes);
            prop_assert_eq!(encoded.explicit_hash_key, encoded.records[0].hash_key());
            prop_assert_eq!(&unpack(encoded), &encoded.records);
        }
        let out: Vec<_> = done.iter().flat_map(|it| it.records.clone()).collect();
        prop_assert_eq!(out, records);
    }

    #[test]
    fn a_record_fits_to_the_last_byte(records in records(10)) {
        let mut roomy = Aggregator::new(usize::MAX);
        for record in &records {
            roomy.try_push(record.clone()).unwrap();
        }
        prop_assume!(records.len() >= 2);
        let len = roomy.encoded_len();
        prop_assert_eq!(pack(Aggregator::new(len), &records).len(), 1);
        prop_assert_eq!(pack(Aggregator::new(len - 1), &records).len(), 2);
    }
}

/// Enough keys for table indices of one, two and three bytes.
#[test]
fn many_keys_come_out_as_they_went_in() {
    for count in [127, 128, 129, 16_383, 16_384, 16_385, 17_000] {
        let records: Vec<_> = (0..count)
            .map(|n| user(&n.to_string(), Some(n), Bytes::from(n.to_string())))
            .collect();
        let done = pack(Aggregator::new(usize::MAX), &records);
        assert_eq!(done.len(), 1);
        assert_eq!(members(done[0].data.clone()), records);
    }
}

#[test]
fn large_data_comes_out_as_it_went_in() {
    let megabytes = |n: usize| Bytes::from(vec![0xF3; n << 20]);
    let records = [
        user("a", None, megabytes(10)),
        user("b", None, Bytes::new()),
        user("c", None, megabytes(3)),
    ];
    let done = pack(Aggregator::new(usize::MAX), &records);
    assert_eq!(members(done[0].data.clone()), records);
}

#[test]
fn a_giant_record_leaves_alone_and_what_follows_is_packed() {
    let giant = user("giant", None, Bytes::from(vec![0; 10_000]));
    let small = user("small", None, Bytes::from_static(b"data"));
    let records = [&small, &small, &giant, &small, &small].map(Clone::clone);
    let done = pack(Aggregator::new(100), &records);
    let counts: Vec<_> = done.iter().map(|it| it.records.len()).collect();
    assert_eq!(counts, [2, 1, 2]);
    assert_eq!(done[1].data, giant.data());
}

#[test]
fn records_can_be_taken_out_as_they_went_in() {
    let records = [
        user("a", None, Bytes::from_static(b"1")),
        user("b", Some(2), Bytes::from_static(b"2")),
    ];
    let mut aggregator = Aggregator::new(1000);
    for record in records.clone() {
        aggregator.try_push(record).unwrap();
    }
    assert_eq!(aggregator.take_records(), records);
    assert!(aggregator.is_empty());
    assert_eq!(aggregator.encoded_len(), 0);
    assert_eq!(aggregator.take_records(), []);
}

/// KPL's default limit, and the counts that its sizes give.
#[test]
fn as_many_records_fit_as_with_the_kpl() {
    for (data_len, count) in [(100, 482), (128, 376), (200, 245), (512, 98), (1024, 49)] {
        let record = user("sixteen bytes !!", None, Bytes::from(vec![0; data_len]));
        let mut aggregator = Aggregator::new(51_200);
        while aggregator.try_push(record.clone()).is_ok() {}
        assert_eq!(aggregator.len(), count, "{data_len}");
    }
}
