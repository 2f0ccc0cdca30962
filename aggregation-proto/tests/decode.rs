//! The three answers of `decode`, case by case.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests may panic as tests do"
)]

mod common;

use bytes::Bytes;
use common::{MAGIC, hex, members, seal, user};
use proptest::prelude::*;
use shardwise_aggregation_proto::{Aggregator, Corrupt, Decoded, PlainReason, decode};

/// What is wrong with the aggregate of this message (in hexadecimal); the raw record is kept.
fn corrupt(message: &str) -> Corrupt {
    let sealed = seal(&hex(message));
    match decode(sealed.clone()) {
        Decoded::Corrupt { data, error } => {
            assert_eq!(data, sealed, "the raw record is kept");
            error
        }
        other => panic!("{message} is not corrupt: {other:?}"),
    }
}

fn malformed(message: &str) -> (usize, &'static str) {
    match corrupt(message) {
        Corrupt::Malformed { offset, what } => (offset, what),
        other => panic!("{message} is not malformed: {other:?}"),
    }
}

/// Why this is a plain record; its data is kept.
fn plain(data: impl Into<Bytes>) -> PlainReason {
    let data = data.into();
    match decode(data.clone()) {
        Decoded::Plain { data: kept, why } => {
            assert_eq!(kept, data);
            why
        }
        other => panic!("not plain: {other:?}"),
    }
}

/// A table with the one key `k`.
const KEY: &str = "0a016b ";
/// A record with key 0 and data `d`.
const RECORD: &str = "1a05 0800 1a0164 ";

#[test]
fn the_building_blocks_of_these_tests_are_sound() {
    let d = user("k", None, Bytes::from_static(b"d"));
    assert_eq!(members(seal(&hex(&format!("{KEY}{RECORD}")))), [d]);
}

#[test]
fn a_record_without_the_magic_bytes_is_plain() {
    for data in ["", "f3899a", "f3899ac3", "00f3899ac2", "68656c6c6f"] {
        assert_eq!(plain(hex(data)), PlainReason::NoMagic, "{data}");
    }
    let mut aggregate = seal(&hex(&format!("{KEY}{RECORD}"))).to_vec();
    aggregate[0] ^= 1;
    assert_eq!(plain(aggregate), PlainReason::NoMagic);
}

#[test]
fn a_record_too_short_for_a_message_and_a_digest_is_plain() {
    for rest in 0..=16 {
        let data = [MAGIC, &vec![0; rest]].concat();
        assert_eq!(plain(data), PlainReason::TooShort, "{rest}");
    }
    assert_eq!(plain(seal(b"")), PlainReason::TooShort);
    assert_eq!(plain([MAGIC, &[0; 17]].concat()), PlainReason::BadDigest);
}

#[test]
fn any_damage_on_the_way_makes_the_record_plain() {
    let sealed = seal(&hex(&format!("{KEY}{RECORD}")));
    for at in MAGIC.len()..sealed.len() {
        let mut damaged = sealed.to_vec();
        damaged[at] ^= 0x10;
        assert_eq!(plain(damaged), PlainReason::BadDigest, "byte {at}");
    }
    let longer = [&sealed[..], b"x"].concat();
    assert_eq!(plain(longer), PlainReason::BadDigest);
    let shorter = sealed.slice(..sealed.len() - 1);
    assert_eq!(plain(shorter), PlainReason::BadDigest);
}

#[test]
fn user_data_that_begins_like_an_aggregate_stays_user_data() {
    let data = Bytes::from([MAGIC, b" is how another format begins, too"].concat());
    assert_eq!(plain(data.clone()), PlainReason::BadDigest);

    let records = [user("k", None, data.clone()), user("k", None, data)];
    let mut aggregator = Aggregator::new(1000);
    for record in records.clone() {
        aggregator.try_push(record).unwrap();
    }
    assert_eq!(members(aggregator.finish().unwrap().data), records);
}

#[test]
fn an_aggregate_within_an_aggregate_is_data() {
    let inner = seal(&hex(&format!("{KEY}{RECORD}")));
    let records = [user("k", None, inner.clone()), user("k", Some(1), inner)];
    let mut aggregator = Aggregator::new(1000);
    for record in records.clone() {
        aggregator.try_push(record).unwrap();
    }
    assert_eq!(members(aggregator.finish().unwrap().data), records);
}

/// The format has no way to tell it from an aggregate of the producer's own.
#[test]
fn an_aggregate_that_travels_alone_is_unpacked() {
    let inner = seal(&hex(&format!("{KEY}{RECORD}")));
    let mut aggregator = Aggregator::new(1000);
    aggregator.try_push(user("x", None, inner)).unwrap();
    let d = user("k", None, Bytes::from_static(b"d"));
    assert_eq!(members(aggregator.finish().unwrap().data), [d]);
}

#[test]
fn a_message_that_ends_too_early_is_corrupt() {
    assert_eq!(malformed("0a"), (5, "it ends within a number"));
    assert_eq!(malformed("0a80"), (6, "it ends within a number"));
    assert_eq!(malformed("0a026b"), (6, "a value reaches beyond the end"));
    let huge = "0affffffffffffffffff01";
    assert_eq!(malformed(huge).1, "a value reaches beyond the end");
    // The record ends within its data, the message does not.
    let within = format!("{KEY} 1a05 0800 1a0264 {RECORD}");
    assert_eq!(malformed(&within).1, "a value reaches beyond the end");
}

#[test]
fn a_message_against_the_wire_format_is_corrupt() {
    let eleven_bytes = "0affffffffffffffffffff01";
    assert_eq!(malformed(eleven_bytes).1, "a number has more than 64 bits");
    let bit_65 = "0affffffffffffffffff02";
    assert_eq!(malformed(bit_65).1, "a number has more than 64 bits");
    assert_eq!(malformed("00").1, "a field has number 0");
    assert_eq!(malformed("0e").1, "a wire type is unknown");
    assert_eq!(malformed("818080808001").1, "a field number is too large");
    assert_eq!(malformed("2c").1, "a group ends that is not open");
    assert_eq!(malformed("2b34").1, "a group ends that is not open");
    assert_eq!(malformed("2b").1, "it ends within a number");
    let deep = "2b".repeat(200);
    assert_eq!(malformed(&deep).1, "groups nest too deep");
}

#[test]
fn a_known_field_of_the_wrong_type_is_corrupt() {
    for field in ["0800", "1000", "1800", "0d00000000", "1b1c"] {
        let message = format!("{KEY}{RECORD}{field}");
        assert_eq!(
            malformed(&message).1,
            "a field has the wrong type",
            "{field}"
        );
    }
    for field in ["0a00", "1200", "1800", "2000"] {
        let message = format!("{KEY} 1a07 0800 1a0164 {field}");
        assert_eq!(
            malformed(&message).1,
            "a field has the wrong type",
            "{field}"
        );
    }
}

#[test]
fn a_key_that_is_not_utf8_is_corrupt_even_if_no_record_names_it() {
    for table in ["0a", "12"] {
        let message = format!("{KEY}{RECORD} {table}01ff");
        assert_eq!(malformed(&message).1, "a key is not UTF-8");
    }
}

#[test]
fn a_user_record_without_a_required_field_is_corrupt() {
    let missing = |record, field| Corrupt::MissingField { record, field };
    let no_key = format!("{KEY}{RECORD} 1a03 1a0164");
    assert_eq!(corrupt(&no_key), missing(1, "partition_key_index"));
    let no_data = format!("{KEY}{RECORD} 1a02 0800");
    assert_eq!(corrupt(&no_data), missing(1, "data"));
    let nothing = format!("{KEY} 1a00");
    assert_eq!(corrupt(&nothing), missing(0, "partition_key_index"));
    let tag_without_key = format!("{KEY} 1a0a 0800 1a0164 2203 120176");
    assert_eq!(corrupt(&tag_without_key), missing(0, "tags.key"));
}

#[test]
fn a_tag_that_cannot_be_read_is_corrupt_and_a_sound_one_is_passed_over() {
    let broken = format!("{KEY} 1a0a 0800 1a0164 2203 0a02ff");
    assert_eq!(malformed(&broken).1, "a tag cannot be read");
    let sound = format!("{KEY} 1a0d 0800 1a0164 2206 0a016e 120176");
    assert_eq!(members(seal(&hex(&sound))).len(), 1);
}

#[test]
fn an_index_beyond_its_table_is_corrupt() {
    let no_such_key = |record, index, table_len| Corrupt::NoSuchPartitionKey {
        record,
        index,
        table_len,
    };
    let one_too_many = format!("{KEY}{RECORD} 1a05 0801 1a0164");
    assert_eq!(corrupt(&one_too_many), no_such_key(1, 1, 1));
    let no_table = RECORD;
    assert_eq!(corrupt(no_table), no_such_key(0, 0, 0));
    // The KCL would cut this one down to 32 bits, and read 0.
    let past_32_bits = format!("{KEY} 1a09 088080808010 1a0164");
    assert_eq!(corrupt(&past_32_bits), no_such_key(0, 1 << 32, 1));
    let highest = format!("{KEY} 1a0e 08ffffffffffffffffff01 1a0164");
    assert_eq!(corrupt(&highest), no_such_key(0, u64::MAX, 1));

    let no_hash_keys = format!("{KEY} 1a07 0800 1002 1a0164");
    assert_eq!(
        corrupt(&no_hash_keys),
        Corrupt::NoSuchExplicitHashKey {
            record: 0,
            index: 2,
            table_len: 0
        }
    );
}

/// An aggregate of one record with this text as its explicit hash key.
fn with_hash_key(text: &str) -> Bytes {
    let text_in_hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let table = format!("12{:02x}{text_in_hex}", text.len());
    seal(&hex(&format!("{KEY}{table} 1a07 0800 1000 1a0164")))
}

#[test]
fn an_explicit_hash_key_that_is_no_hash_key_is_corrupt() {
    let too_large = "340282366920938463463374607431768211456";
    for text in ["", "-1", "+", "1.0", "0x1", " 1", "abc", too_large] {
        match decode(with_hash_key(text)) {
            Decoded::Corrupt { error, .. } => {
                assert_eq!(error, Corrupt::BadExplicitHashKey { record: 0 }, "{text:?}");
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }
}

#[test]
fn an_explicit_hash_key_may_be_written_as_the_kcl_allows() {
    let highest = u128::MAX.to_string();
    for (text, point) in [("0", 0), ("007", 7), ("+7", 7), (&highest, u128::MAX)] {
        let d = user("k", Some(point), Bytes::from_static(b"d"));
        assert_eq!(members(with_hash_key(text)), [d], "{text:?}");
    }
}

#[test]
fn a_table_entry_that_no_record_names_may_be_no_hash_key() {
    let message = format!("{KEY}{RECORD} 1203616263");
    assert_eq!(members(seal(&hex(&message))).len(), 1);
}

#[test]
fn an_aggregate_of_nothing_is_corrupt_so_that_it_does_not_vanish() {
    assert_eq!(corrupt(KEY), Corrupt::NoRecords);
    assert_eq!(corrupt("3203616263"), Corrupt::NoRecords);
}

#[test]
fn unknown_fields_are_passed_over() {
    let unknown = "2801 31 0102030405060708 3a0161 45 01020304 4b 5000 53 54 4c ";
    let inside = format!("1a{:02x} 0800 {unknown} 1a0164 ", 5 + hex(unknown).len());
    let d = user("k", None, Bytes::from_static(b"d"));
    let message = format!("{unknown}{KEY}{unknown}{inside}{RECORD}{unknown}");
    assert_eq!(members(seal(&hex(&message))), [d.clone(), d]);
}

#[test]
fn of_a_field_that_comes_twice_the_last_one_counts() {
    let tables = "0a016a 0a016b 120130 120131";
    let record = "1a0e 0800 1000 1a0163 0801 1001 1a0164";
    let d = user("k", Some(1), Bytes::from_static(b"d"));
    assert_eq!(members(seal(&hex(&format!("{tables}{record}")))), [d]);
}

#[test]
fn tables_may_come_behind_the_records_and_hold_repeats() {
    let message = format!("{RECORD} 1a05 0801 1a0164 {KEY}{KEY}");
    let d = user("k", None, Bytes::from_static(b"d"));
    assert_eq!(members(seal(&hex(&message))), [d.clone(), d]);
}

#[test]
fn reading_can_go_on_at_any_member() {
    let mut aggregator = Aggregator::new(1000);
    for key in ["a", "b", "c", "d"] {
        aggregator.try_push(user(key, None, Bytes::new())).unwrap();
    }
    let Decoded::Aggregated(aggregate) = decode(aggregator.finish().unwrap().data) else {
        panic!("not an aggregate");
    };
    for start in 0..=5 {
        let rest: Vec<_> = aggregate.iter().skip(start).collect();
        let expected: Vec<_> = aggregate.iter().collect();
        assert_eq!(rest, expected[start.min(4)..]);
    }
    let backwards: Vec<_> = aggregate
        .iter()
        .rev()
        .map(|it| it.sub_sequence_number)
        .collect();
    assert_eq!(backwards, [3, 2, 1, 0]);
}

#[test]
fn logs_show_no_payload() {
    let secret = Bytes::from_static(b"secret");
    let mut aggregator = Aggregator::new(1000);
    for _ in 0..2 {
        aggregator
            .try_push(user("k", None, secret.clone()))
            .unwrap();
    }
    let open = format!("{aggregator:?}");
    let encoded = aggregator.finish().unwrap();
    let decoded = decode(encoded.data.clone());
    let Decoded::Aggregated(aggregate) = &decoded else {
        panic!("not an aggregate");
    };
    let member = aggregate.iter().next();
    let broken = decode(seal(b"secret"));
    for text in [
        open,
        format!("{encoded:?} {decoded:?} {member:?}"),
        format!("{broken:?} {:?}", decode(secret)),
    ] {
        assert!(!text.contains("secret"), "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer_and_are_kept(data in prop::collection::vec(any::<u8>(), 0..200)) {
        for data in [Bytes::from([MAGIC, &data].concat()), seal(&data), Bytes::from(data)] {
            match decode(data.clone()) {
                Decoded::Plain { data: kept, .. } | Decoded::Corrupt { data: kept, .. } => {
                    prop_assert_eq!(kept, data);
                }
                Decoded::Aggregated(aggregate) => {
                    prop_assert_eq!(aggregate.iter().count(), aggregate.len());
                }
            }
        }
    }
}
