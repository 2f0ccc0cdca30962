//! The records that a fleet's producer sends: what they hold, and which hash keys they have.

use shardwise_consumer::BoxError;
use shardwise_producer::Record;
use shardwise_types::HashKey;

use super::ledger::Id;

/// How many keys there are.
pub(super) const KEYS: u64 = 32;

/// The record with this key and number.
pub(super) fn record((key, number): Id) -> Record {
    let record = Record::new(
        partition_key(key).parse().unwrap(),
        format!("{key} {number}"),
    );
    match explicit_hash_key(key) {
        Some(hash_key) => record.with_explicit_hash_key(hash_key),
        None => record,
    }
}

/// The hash key of all records with this key.
pub(super) fn hash_key(key: u64) -> HashKey {
    explicit_hash_key(key).unwrap_or_else(|| HashKey::of_partition_key(&partition_key(key)))
}

fn partition_key(key: u64) -> String {
    format!("key-{key}")
}

/// One key in four has its place by the application, two of them at the ends of the ring, which are
/// ends of a shard's range, too.
fn explicit_hash_key(key: u64) -> Option<HashKey> {
    match key {
        3 => Some(HashKey::MIN),
        7 => Some(HashKey::MAX),
        _ if key % 4 == 3 => Some(HashKey::new(u128::MAX / u128::from(KEYS) * u128::from(key))),
        _ => None,
    }
}

/// What a record of the fleet's producer holds: `KEY NUMBER`.
pub(super) fn parse(data: &[u8]) -> Result<Id, BoxError> {
    let (key, number) = std::str::from_utf8(data)?
        .split_once(' ')
        .ok_or("foreign data")?;
    Ok((key.parse()?, number.parse()?))
}
