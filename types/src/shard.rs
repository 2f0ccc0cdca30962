//! A shard, its id and its place in the stream's history.

use std::str::FromStr;
use std::sync::Arc;

use crate::text::{check_name, text_newtype};
use crate::{HashKeyRange, Invalid, SequenceNumber, limits};

/// The id of a shard: 1 to 128 letters, digits, `_`, `.` and `-`, in practice
/// `shardId-000000000007`.
///
/// Cheap to clone. <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Shard.html>
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(Arc<str>);

impl ShardId {
    /// The id that the service gives to the shard with this number: `shardId-` and twelve digits.
    ///
    /// ```
    /// use shardwise_types::ShardId;
    /// assert_eq!(ShardId::from_number(7).as_str(), "shardId-000000000007");
    /// assert_eq!(ShardId::from_number(7).number(), Some(7));
    /// ```
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        Self(format!("shardId-{number:012}").into())
    }

    /// The number in the id, in order of creation, if the id has the service's form.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        self.0.strip_prefix("shardId-")?.parse().ok()
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ShardId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_name("shard id", text, 1, limits::SHARD_ID_MAX_CHARS)?;
        Ok(Self(text.into()))
    }
}

text_newtype!(ShardId);

/// A shard as ListShards describes it.
///
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Shard.html>
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shard {
    /// The shard's id.
    pub shard_id: ShardId,
    /// The shard that was split, or the first of the two that were merged, to make this one.
    pub parent_shard_id: Option<ShardId>,
    /// The second of the two shards that were merged to make this one.
    pub adjacent_parent_shard_id: Option<ShardId>,
    /// The hash keys that the shard takes, both ends included.
    pub hash_key_range: HashKeyRange,
    /// The number below or at which the shard's first record lies.
    pub starting_sequence_number: SequenceNumber,
    /// The number above the shard's last record, once the shard is closed.
    pub ending_sequence_number: Option<SequenceNumber>,
}

impl Shard {
    /// An open shard without parents; set the other fields as needed.
    #[must_use]
    pub fn new(
        shard_id: ShardId,
        hash_key_range: HashKeyRange,
        starting_sequence_number: SequenceNumber,
    ) -> Self {
        Self {
            shard_id,
            parent_shard_id: None,
            adjacent_parent_shard_id: None,
            hash_key_range,
            starting_sequence_number,
            ending_sequence_number: None,
        }
    }

    /// Whether the shard takes records: it has no ending sequence number.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ending_sequence_number.is_none()
    }

    /// The shards that this one came from: none, one (split) or two (merge).
    pub fn parents(&self) -> impl Iterator<Item = &ShardId> {
        self.parent_shard_id
            .iter()
            .chain(&self.adjacent_parent_shard_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_id_keeps_names_that_are_not_the_services() {
        let odd: ShardId = "my.shard".parse().unwrap();
        assert_eq!(odd.number(), None);
        assert!("".parse::<ShardId>().is_err());
        assert!("shard 1".parse::<ShardId>().is_err());
        assert!(ShardId::from_number(2) < ShardId::from_number(10));
    }

    #[test]
    fn parents_come_in_the_services_order() {
        let mut shard = Shard::new(
            ShardId::from_number(2),
            HashKeyRange::FULL,
            "1".parse().unwrap(),
        );
        assert_eq!(shard.parents().count(), 0);
        shard.parent_shard_id = Some(ShardId::from_number(0));
        shard.adjacent_parent_shard_id = Some(ShardId::from_number(1));
        let parents: Vec<_> = shard.parents().map(ShardId::as_str).collect();
        assert_eq!(parents, ["shardId-000000000000", "shardId-000000000001"]);
    }
}
