//! Whether consumers can read an aggregate in the shard that took it, so that it may be
//! acknowledged. Pure.
//!
//! The rule is the KCL's: it drops the whole aggregate as soon as one member lies outside the
//! shard's range. What cannot be said yet waits in [`Retries`](crate::retry::Retries).

use shardwise_client::PutSuccess;

use crate::kinesis_record::KinesisRecord;
use crate::shard_map::ShardMap;

/// What a map says of a misrouted aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShardCheck {
    /// The shard owns all members: it counts as stored.
    Owned,
    /// Some member lies outside: consumers may drop it.
    WrongShard,
    /// The map does not know the shard.
    Unknown,
}

/// Checks an aggregate against the shard that took it.
pub(crate) fn shard_check(
    kinesis_record: &KinesisRecord,
    put_result: &PutSuccess,
    map: Option<&ShardMap>,
) -> ShardCheck {
    if !kinesis_record.is_aggregate() {
        // A record that travels alone is readable wherever it lands.
        return ShardCheck::Owned;
    }
    let known = map.and_then(|map| map.range(&put_result.shard_id));
    // The shard that it was packed for may have left the map since: it held its members then.
    let packed_for = kinesis_record
        .target
        .as_ref()
        .filter(|target| target.shard_id == put_result.shard_id)
        .map(|target| target.range);
    match known.or(packed_for) {
        None => ShardCheck::Unknown,
        Some(range) if kinesis_record.fits(&range) => ShardCheck::Owned,
        Some(_) => ShardCheck::WrongShard,
    }
}
