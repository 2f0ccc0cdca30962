//! Sequence numbers: decimal text, ordered as numbers.

use std::cmp::Ordering;
use std::str::FromStr;

use bytestring::ByteString;

use crate::text::text_newtype;
use crate::{Invalid, limits};

/// The sequence number of a record: a decimal number of up to 129 digits, too large for `u128`.
///
/// Kept as the service's text and compared as a number, first by length, then digit by digit.
/// Within a shard later records have larger numbers; across shards the order means nothing.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Record.html>
///
/// ```
/// use shardwise_types::SequenceNumber;
///
/// let nine: SequenceNumber = "9".parse()?;
/// let ten: SequenceNumber = "10".parse()?;
/// assert!(nine < ten);
/// # Ok::<(), shardwise_types::Invalid>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SequenceNumber(ByteString);

impl SequenceNumber {
    /// The number as decimal text without leading zeros.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SequenceNumber {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |reason: &str| Err(Invalid::new("sequence number", text, reason));
        if text.is_empty() {
            return invalid("it is empty");
        }
        if text.len() > limits::SEQUENCE_NUMBER_MAX_DIGITS {
            return invalid("it has more than 129 digits");
        }
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return invalid("it is not a decimal number");
        }
        if text.len() > 1 && text.starts_with('0') {
            return invalid("it has a leading zero");
        }
        Ok(Self(text.into()))
    }
}

text_newtype!(SequenceNumber);

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0
            .len()
            .cmp(&other.0.len())
            .then_with(|| self.as_str().cmp(other.as_str()))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_plain_decimal_numbers_are_taken() {
        for good in ["0", "7", &"9".repeat(129)] {
            assert_eq!(good.parse::<SequenceNumber>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "00",
            "01",
            "-1",
            "1.0",
            "LATEST",
            "１",
            &"9".repeat(130),
        ] {
            assert!(bad.parse::<SequenceNumber>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn the_order_is_the_numeric_one(a: u128, b: u128) {
            let text = |n: u128| n.to_string().parse::<SequenceNumber>().unwrap();
            prop_assert_eq!(text(a).cmp(&text(b)), a.cmp(&b));
        }
    }
}
