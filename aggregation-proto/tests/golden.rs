//! Bytes that others have written, and the KPL's rules for what a Kinesis record looks like.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests may panic as tests do"
)]

mod common;

use bytes::Bytes;
use common::{hex, members, user};
use shardwise_aggregation_proto::{Aggregator, Encoded, UserRecord, WRAPPED_PARTITION_KEY};
use shardwise_types::HashKey;

/// Two records by the format's description: `a` = `hello`, and `b` = `world` with explicit hash
/// key 123.
const KPL: &str = "f3899ac2 0a0161 0a0162 1203313233 1a0908001a0568656c6c6f \
     1a0b080110001a05776f726c64 03df21c9456b8cb24a2cd0db8a70f0a9";

/// Written by AWS's own library for Python, aws-kinesis-agg 1.2.3: a key that comes twice, a key
/// outside ASCII, empty data, the lowest and the highest hash key; 200 times `x` are to follow and
/// then the digest.
const PYTHON: [&str; 2] = [
    "f3899ac2 0a086f726465722d3137 0a0462c3a472 \
     1227333430323832333636393230393338343633343633333734363037343331373638323131343535 120130 \
     1a1108001a0d7b22746f74616c223a2034327d 1a06080110001a00 1acf01080010011ac801",
    "d6ff1ca664f5d3669fcdd1c6ce73a136",
];

/// A single record, wrapped all the same, as only that library does it.
const PYTHON_SINGLE: &str =
    "f3899ac2 0a04736f6c6f 1a0908001a05616c6f6e65 9e271264dfcf53f34f4c559fbeaada6f";

fn aggregate(records: impl IntoIterator<Item = UserRecord>) -> Option<Encoded> {
    let mut aggregator = Aggregator::new(50 * 1024);
    for record in records {
        aggregator.try_push(record).unwrap();
    }
    aggregator.finish()
}

fn kpl_records() -> [UserRecord; 2] {
    [
        user("a", None, Bytes::from_static(b"hello")),
        user("b", Some(123), Bytes::from_static(b"world")),
    ]
}

fn python_records() -> [UserRecord; 3] {
    [
        user("order-17", None, Bytes::from_static(b"{\"total\": 42}")),
        user("bär", Some(u128::MAX), Bytes::new()),
        user("order-17", Some(0), Bytes::from(vec![b'x'; 200])),
    ]
}

fn python_bytes() -> Bytes {
    [hex(PYTHON[0]), vec![b'x'; 200].into(), hex(PYTHON[1])]
        .concat()
        .into()
}

#[test]
fn the_golden_record_is_written_byte_for_byte() {
    let encoded = aggregate(kpl_records()).unwrap();
    assert_eq!(encoded.data, hex(KPL));
    assert_eq!(encoded.data.len(), 55);
    assert_eq!(encoded.partition_key.as_str(), "a");
    assert_eq!(
        encoded.explicit_hash_key.to_string(),
        "16955237001963240173058271559858726497"
    );
    assert_eq!(encoded.records, kpl_records());
}

#[test]
fn the_golden_record_is_read() {
    assert_eq!(members(hex(KPL)), kpl_records());
}

#[test]
fn a_record_of_the_python_library_is_read_and_written_byte_for_byte() {
    assert_eq!(members(python_bytes()), python_records());
    assert_eq!(aggregate(python_records()).unwrap().data, python_bytes());
}

#[test]
fn a_single_record_that_was_wrapped_is_unwrapped() {
    let solo = user("solo", None, Bytes::from_static(b"alone"));
    assert_eq!(members(hex(PYTHON_SINGLE)), [solo]);
}

#[test]
fn no_records_make_no_record() {
    assert_eq!(aggregate([]), None);
    assert_eq!(Aggregator::new(100).encoded_len(), 0);
}

#[test]
fn a_single_record_leaves_as_it_came() {
    let data = Bytes::from(vec![7; 1000]);
    let encoded = aggregate([user("key", None, data.clone())]).unwrap();
    assert_eq!(encoded.partition_key.as_str(), "key");
    assert_eq!(encoded.explicit_hash_key, HashKey::of_partition_key("key"));
    assert_eq!(encoded.data, data);
    assert_eq!(encoded.data.as_ptr(), data.as_ptr(), "nothing was copied");
    assert_eq!(encoded.records.len(), 1);

    let routed = aggregate([user("key", Some(5), data)]).unwrap();
    assert_eq!(routed.explicit_hash_key, HashKey::new(5));
}

#[test]
fn several_records_go_where_the_first_one_goes() {
    let by_key = aggregate([
        user("k", None, Bytes::new()),
        user("l", Some(9), Bytes::new()),
    ]);
    let by_key = by_key.unwrap();
    assert_eq!(by_key.partition_key.as_str(), WRAPPED_PARTITION_KEY);
    assert_eq!(by_key.explicit_hash_key, HashKey::of_partition_key("k"));

    let explicit = aggregate([
        user("k", Some(9), Bytes::new()),
        user("l", None, Bytes::new()),
    ]);
    assert_eq!(explicit.unwrap().explicit_hash_key, HashKey::new(9));
}
