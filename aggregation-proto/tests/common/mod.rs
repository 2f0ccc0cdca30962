//! What the integration tests share. Each of them uses a part of it.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use bytes::Bytes;
use md5::{Digest, Md5};
use shardwise_aggregation_proto::{Decoded, UserRecord, decode};
use shardwise_types::HashKey;

pub(crate) const MAGIC: &[u8] = &[0xF3, 0x89, 0x9A, 0xC2];

/// Bytes from hexadecimal digits; blanks are for the eye.
pub(crate) fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|digit| u8::try_from(digit).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// Puts the envelope of an aggregate around a message, sound or not.
pub(crate) fn seal(message: &[u8]) -> Bytes {
    Bytes::from([MAGIC, message, Md5::digest(message).as_slice()].concat())
}

pub(crate) fn user(key: &str, explicit_hash_key: Option<u128>, data: Bytes) -> UserRecord {
    let key = key.parse().unwrap();
    match explicit_hash_key {
        None => UserRecord::new(key, data),
        Some(point) => UserRecord::with_explicit_hash_key(key, HashKey::new(point), data),
    }
}

/// The user records of an aggregate; checks on the way what every aggregate promises.
pub(crate) fn members(data: Bytes) -> Vec<UserRecord> {
    let whole = data.clone();
    let aggregate = match decode(data) {
        Decoded::Aggregated(aggregate) => aggregate,
        other => panic!("not an aggregate: {other:?}"),
    };
    assert_eq!(aggregate.iter().len(), aggregate.len());
    let mut hash_keys = aggregate.hash_keys();
    let mut position = 0;
    let members = aggregate.iter().map(|member| {
        assert_eq!(member.sub_sequence_number, position);
        position += 1;
        assert_eq!(Some(member.hash_key()), hash_keys.next());
        for part in [member.partition_key.as_bytes(), &member.data] {
            assert!(
                part.is_empty() || whole.as_ptr_range().contains(&part.as_ptr()),
                "nothing was copied"
            );
        }
        match member.explicit_hash_key {
            None => UserRecord::new(member.partition_key, member.data),
            Some(it) => UserRecord::with_explicit_hash_key(member.partition_key, it, member.data),
        }
    });
    members.collect()
}
