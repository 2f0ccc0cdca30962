//! Partition keys, hash keys and the ranges that shards own.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::str::FromStr;

use bytes::Bytes;
use bytestring::ByteString;
use md5::{Digest, Md5};

use crate::{Invalid, limits};

/// The partition key of a record: 1 to 256 Unicode characters.
///
/// It is a view of shared bytes: cloning it, or cutting it out of an aggregated record, copies and
/// allocates nothing. The MD5 of the key decides the shard, see [`HashKey::of_partition_key`].
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html>
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey(ByteString);

impl PartitionKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A key like no other, so that records spread evenly over the shards: 128 random bits, written
    /// as 32 hexadecimal digits.
    ///
    /// For records that need no order and no grouping. The bits come from the standard library's
    /// [`RandomState`], which the operating system seeds: no seed replays them, and they are no
    /// secret. A run that is to be replayed makes its keys from its own generator.
    ///
    /// ```
    /// use shardwise_types::PartitionKey;
    ///
    /// assert_ne!(PartitionKey::random(), PartitionKey::random());
    /// ```
    #[must_use]
    pub fn random() -> Self {
        // Each state has keys of its own, and its hash is a keyed pseudorandom function.
        let state = RandomState::new();
        let bits = [0_u8, 1].map(|half| state.hash_one(half));
        Self(format!("{:016x}{:016x}", bits[0], bits[1]).into())
    }

    /// The key of a stored record: taken as it is, whatever its length.
    ///
    /// A reader must not lose a record over a rule that its writer broke. The bytes are shared.
    ///
    /// # Errors
    /// If the bytes are not UTF-8.
    pub fn from_stored(bytes: Bytes) -> Result<Self, Invalid> {
        match ByteString::try_from(bytes) {
            Ok(text) => Ok(Self(text)),
            Err(_) => Err(Invalid::new("partition key", "", "it is not UTF-8")),
        }
    }

    /// The bytes of the key, shared.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        self.0.as_bytes()
    }
}

impl FromStr for PartitionKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_partition_key(text)?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<&str> for PartitionKey {
    type Error = Invalid;

    fn try_from(text: &str) -> Result<Self, Invalid> {
        text.parse()
    }
}

/// Takes the string over without a copy.
impl TryFrom<String> for PartitionKey {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        check_partition_key(&text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl AsRef<str> for PartitionKey {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

fn check_partition_key(text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new("partition key", text, "it is empty"));
    }
    // A character has at most four bytes, so a short text needs no count.
    if text.len() > limits::PARTITION_KEY_MAX_CHARS {
        let chars = text.chars().count();
        if chars > limits::PARTITION_KEY_MAX_CHARS {
            return Err(Invalid::new(
                "partition key",
                text,
                format!("it has {chars} characters, 1 to 256 are allowed"),
            ));
        }
    }
    Ok(())
}

/// A point on the ring of hash keys, `0` to `2^128 - 1`, that decides which shard takes a record.
///
/// Written in decimal, as the service does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashKey(u128);

impl HashKey {
    /// The lowest hash key.
    pub const MIN: Self = Self(0);
    /// The highest hash key.
    pub const MAX: Self = Self(u128::MAX);

    /// The hash key at this point.
    #[must_use]
    pub const fn new(point: u128) -> Self {
        Self(point)
    }

    /// The hash key of a partition key: its MD5 read as a big-endian number.
    /// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html>
    ///
    /// ```
    /// use shardwise_types::HashKey;
    /// let hash = HashKey::of_partition_key("abcd");
    /// assert_eq!(hash.get(), 0xE2FC714C4727EE9395F324CD2E7F331F);
    /// ```
    #[must_use]
    pub fn of_partition_key(partition_key: &str) -> Self {
        Self(u128::from_be_bytes(
            Md5::digest(partition_key.as_bytes()).into(),
        ))
    }

    /// The point as a number.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }
}

impl FromStr for HashKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let plain = !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_digit())
            && (text.len() == 1 || !text.starts_with('0'));
        match text.parse() {
            Ok(point) if plain => Ok(Self(point)),
            _ => Err(Invalid::new(
                "hash key",
                text,
                "it is not a decimal number from 0 to 2^128 - 1",
            )),
        }
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The hash keys of a shard, both ends included.
///
/// ```
/// use shardwise_types::{HashKey, HashKeyRange};
///
/// let lower = HashKeyRange::new(HashKey::MIN, HashKey::new(9))?;
/// assert!(lower.contains(HashKey::new(9)));
/// assert!(HashKeyRange::new(HashKey::MAX, HashKey::MIN).is_err());
/// # Ok::<(), shardwise_types::Invalid>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HashKeyRange {
    start: HashKey,
    end: HashKey,
}

impl HashKeyRange {
    /// Every hash key.
    pub const FULL: Self = Self {
        start: HashKey::MIN,
        end: HashKey::MAX,
    };

    /// The range from `start` to `end`, both included.
    ///
    /// # Errors
    /// If `start` lies above `end`.
    pub fn new(start: HashKey, end: HashKey) -> Result<Self, Invalid> {
        if start > end {
            return Err(Invalid::new(
                "hash key range",
                &format!("{start}..={end}"),
                "the start lies above the end",
            ));
        }
        Ok(Self { start, end })
    }

    /// The lowest hash key of the range.
    #[must_use]
    pub const fn start(&self) -> HashKey {
        self.start
    }

    /// The highest hash key of the range.
    #[must_use]
    pub const fn end(&self) -> HashKey {
        self.end
    }

    /// Whether the range holds this hash key.
    #[must_use]
    pub fn contains(&self, key: HashKey) -> bool {
        self.start <= key && key <= self.end
    }
}

impl fmt::Display for HashKeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_partition_key_counts_characters_and_not_bytes() {
        let widest = "𝄞".repeat(256);
        assert_eq!(widest.len(), 1024);
        assert!(widest.parse::<PartitionKey>().is_ok());
        assert!(format!("{widest}x").parse::<PartitionKey>().is_err());
        assert!("".parse::<PartitionKey>().is_err());
        assert!(PartitionKey::try_from("x".repeat(257)).is_err());
    }

    #[test]
    fn a_stored_key_shares_its_bytes_and_is_not_judged() {
        let stored = Bytes::from_static(b"shared");
        let key = PartitionKey::from_stored(stored.slice(1..)).unwrap();
        assert_eq!(key.as_str(), "hared");
        assert_eq!(key.as_bytes().as_ptr(), stored[1..].as_ptr());
        assert!(PartitionKey::from_stored(Bytes::new()).is_ok());
        assert!(PartitionKey::from_stored(Bytes::from_static(&[0xff])).is_err());
    }

    #[test]
    fn random_keys_differ_and_spread_over_the_ring() {
        let keys: std::collections::BTreeSet<_> =
            (0..1_000).map(|_| PartitionKey::random()).collect();
        assert_eq!(keys.len(), 1_000);
        let mut eighths = [0; 8];
        for key in &keys {
            assert_eq!(key.as_str().parse::<PartitionKey>().unwrap(), *key);
            let hash = HashKey::of_partition_key(key.as_str()).get();
            eighths[usize::try_from(hash >> 125).unwrap()] += 1;
        }
        // 125 each on average; 60 away from that is six standard deviations.
        assert!(eighths.iter().all(|n| (65..185).contains(n)), "{eighths:?}");
    }

    #[test]
    fn the_hash_of_a_is_the_known_one() {
        assert_eq!(
            HashKey::of_partition_key("a").to_string(),
            "16955237001963240173058271559858726497"
        );
    }

    #[test]
    fn a_hash_key_is_a_plain_decimal_number() {
        assert_eq!(
            u128::MAX.to_string().parse::<HashKey>().unwrap(),
            HashKey::MAX
        );
        for bad in [
            "",
            "+1",
            "-1",
            "01",
            "0x1",
            "340282366920938463463374607431768211456",
        ] {
            assert!(bad.parse::<HashKey>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_hash_key_survives_its_text(point: u128) {
            prop_assert_eq!(HashKey::new(point).to_string().parse::<HashKey>().unwrap().get(), point);
        }

        #[test]
        fn a_range_holds_exactly_what_lies_between(a: u128, b: u128, x: u128) {
            let (low, high) = (a.min(b), a.max(b));
            let range = HashKeyRange::new(HashKey::new(low), HashKey::new(high)).unwrap();
            prop_assert_eq!(range.contains(HashKey::new(x)), low <= x && x <= high);
        }
    }
}
