//! A place in a shard: what a processor checkpoints, and what an application may keep beside its
//! own data. Its text form is the one that is read back; what may be written to a lease with it is
//! decided elsewhere (`leases`).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use shardwise_types::{Invalid, SequenceNumber, ShardId};

/// What stands between the three parts of the text. No part can hold it.
const SEPARATOR: char = '/';

/// A place in a shard: that of one record.
///
/// It names its shard, so that a checkpoint cannot name a place of another one: the
/// [`Checkpointer`](crate::Checkpointer) of another shard refuses it. Cheap to clone.
///
/// # Order
/// Positions of one shard are ordered as its records are. Those of two shards have no order:
/// `partial_cmp` is `None` and each of `<`, `<=`, `>`, `>=` is false. That is why there is no `Ord`.
///
/// # Text
/// `Display`, `FromStr` and serde have one form: shard id, sequence number and sub-sequence number,
/// with slashes between, of at most 279 characters. It stays the same between versions, so it may be
/// kept in a database beside what the records led to, in the same transaction, and be checkpointed
/// later: whatever then comes again at or before it is done.
///
/// ```
/// use shardwise_consumer::Position;
///
/// let text = "shardId-000000000007/49590338271490256608559692538361571095921575989136588898/3";
/// let position: Position = text.parse()?;
/// assert_eq!(position.shard_id().number(), Some(7));
/// assert_eq!(position.sub_sequence_number(), 3);
/// assert_eq!(position.to_string(), text);
/// # Ok::<(), shardwise_types::Invalid>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Position {
    shard_id: ShardId,
    sequence_number: SequenceNumber,
    sub_sequence_number: u64,
}

impl Position {
    /// The place of the record with this number in this shard, and in the aggregate that bears the
    /// number: 0 for a record that is not out of an aggregate.
    ///
    /// What is checkpointed is what the application says: a place that its records never reached
    /// leaves out all before it.
    #[must_use]
    pub fn new(
        shard_id: ShardId,
        sequence_number: SequenceNumber,
        sub_sequence_number: u64,
    ) -> Self {
        Self {
            shard_id,
            sequence_number,
            sub_sequence_number,
        }
    }

    /// The shard that it lies in.
    #[must_use]
    pub fn shard_id(&self) -> &ShardId {
        &self.shard_id
    }

    /// The number of the Kinesis record.
    #[must_use]
    pub fn sequence_number(&self) -> &SequenceNumber {
        &self.sequence_number
    }

    /// The place in the Kinesis record as stored, counted from zero, if that is an aggregate; else 0.
    #[must_use]
    pub fn sub_sequence_number(&self) -> u64 {
        self.sub_sequence_number
    }

    /// The number of the Kinesis record and the place in it: what orders a shard.
    fn place(&self) -> (&SequenceNumber, u64) {
        (&self.sequence_number, self.sub_sequence_number)
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.shard_id == other.shard_id).then(|| self.place().cmp(&other.place()))
    }
}

impl FromStr for Position {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |reason: String| Invalid::new("position", text, reason);
        let parts: Vec<_> = text.split(SEPARATOR).collect();
        let [shard_id, sequence_number, sub_sequence_number] = parts[..] else {
            return Err(invalid(
                "it is not a shard id, a sequence number and a sub-sequence number with '/' between"
                    .to_owned(),
            ));
        };
        let sub_sequence_number: u64 = sub_sequence_number
            .parse()
            .map_err(|error| invalid(format!("its sub-sequence number is wrong: {error}")))?;
        let position = Self {
            shard_id: shard_id.parse()?,
            sequence_number: sequence_number.parse()?,
            sub_sequence_number,
        };
        // "+7" and "07" are numbers, too: one place has one text, so that texts can be compared.
        if position.to_string() != text {
            return Err(invalid("its sub-sequence number is not plain".to_owned()));
        }
        Ok(position)
    }
}

impl TryFrom<String> for Position {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            shard_id,
            sequence_number,
            sub_sequence_number,
        } = self;
        write!(
            f,
            "{shard_id}{SEPARATOR}{sequence_number}{SEPARATOR}{sub_sequence_number}"
        )
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({self})")
    }
}

/// As its text.
impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From its text.
impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Position;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text of a position")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Position, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn position() -> impl Strategy<Value = Position> {
        ("[a-zA-Z0-9_.-]{1,128}", "0|[1-9][0-9]{0,128}", any::<u64>()).prop_map(
            |(shard_id, number, sub)| {
                Position::new(shard_id.parse().unwrap(), number.parse().unwrap(), sub)
            },
        )
    }

    proptest! {
        #[test]
        fn a_position_survives_its_text_and_serde(position in position()) {
            let text = position.to_string();
            prop_assert!(text.len() <= 279);
            prop_assert_eq!(&text.parse::<Position>().unwrap(), &position);
            let json = serde_json::to_string(&position).unwrap();
            prop_assert_eq!(&json, &format!("\"{text}\""));
            prop_assert_eq!(&serde_json::from_str::<Position>(&json).unwrap(), &position);
        }

        /// No two texts are read as one place.
        #[test]
        fn any_text_is_a_position_as_written_or_refused(text in "[sS0-9+/._-]{0,12}") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string(), text);
            }
        }

        #[test]
        fn positions_of_one_shard_are_ordered_and_of_two_are_not(
            a in position(),
            b in position(),
        ) {
            let here = Position { shard_id: a.shard_id.clone(), ..b.clone() };
            let by_place = a.place().cmp(&here.place());
            prop_assert_eq!(a.partial_cmp(&here), Some(by_place));
            prop_assert_eq!(by_place == Ordering::Equal, a == here);
            if a.shard_id != b.shard_id {
                prop_assert_eq!(a.partial_cmp(&b), None);
                prop_assert!(a != b);
            }
        }
    }

    #[test]
    fn a_text_that_is_no_position_is_refused_with_what_was_tried() {
        for text in [
            "", "a/1", "a/1/0/0", "a//0", "/1/0", "a/1/+0", "a/1/00", "a/01/0", "a/x/0",
        ] {
            let error = text.parse::<Position>().unwrap_err().to_string();
            assert!(error.starts_with("invalid "), "{text}: {error}");
        }
        assert_eq!("a/1/x".parse::<Position>().unwrap_err().what(), "position");
    }
}
