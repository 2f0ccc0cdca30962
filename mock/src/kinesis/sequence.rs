//! Sequence numbers in the service's layout: 186 bits, written as 56 decimal digits.
//!
//! From the top, in hexadecimal digits: `2`, the second in which the shard was created (9), the
//! low digit of the shard's number (1), a running index (16, below 2^63), two zeros, the second in
//! which the record arrived (9), the shard's number (8), and the version, `2`. So within a shard
//! the running index decides the order, and a child, created in a later second, lies above its
//! parents' end.

use std::cmp::Ordering;
use std::fmt;

use serde::{Serialize, Serializer};

/// The running index of a shard's ending sequence number: above every record's.
pub(crate) const LAST_INDEX: u64 = 0x7FFF_FFFF_FFFF_FFFF;

/// The parts of a sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// When the shard was created, in seconds since the epoch.
    pub(crate) created: u64,
    pub(crate) index: u64,
    /// When the record arrived, in seconds since the epoch.
    pub(crate) seconds: u64,
    pub(crate) shard: u32,
}

/// What a number that somebody sent turns out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// The current layout.
    Current(Sequence),
    /// A layout of the service's first years, which no shard here has.
    Outdated { shard: u32, number: Number },
}

/// An unsigned number of up to 192 bits: limbs, the lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number([u64; 3]);

/// 36 bits: nine hexadecimal digits of seconds.
const SECONDS_MASK: u64 = (1 << 36) - 1;

/// The seconds from which on a number of version 0 is refused, as the service does.
const VERSION_0_SECONDS_LIMIT: u64 = 16_025_175_000;

impl Sequence {
    fn number(self) -> Number {
        let low = 2
            | u128::from(self.shard) << 4
            | u128::from(self.seconds & SECONDS_MASK) << 36
            | u128::from(self.index) << 80;
        let high = self.index >> 48
            | u64::from(self.shard & 0xF) << 16
            | (self.created & SECONDS_MASK) << 20
            | 2 << 56;
        Number([low_half(low), low_half(low >> 64), high])
    }

    /// Reads a decimal number that the model's pattern has already accepted.
    /// `None` if it is of no layout that the service ever had.
    pub(crate) fn parse(text: &str) -> Option<Parsed> {
        let number = Number::parse(text)?;
        let [l0, l1, l2] = number.0;
        let low = u128::from(l0) | u128::from(l1) << 64;
        if l2 == 0 {
            return parse_version_0(low);
        }
        // Between 2^185 and 1.5 times that: the leading digit is 2.
        if l2 >> 56 != 2 {
            return None;
        }
        let created = l2 >> 20 & SECONDS_MASK;
        let shard = low_half(low >> 4 & 0xFFFF_FFFF);
        match low & 0xF {
            2 => {
                let index = low_half(low >> 80) | (l2 & 0xFFFF) << 48;
                let shard = u32::try_from(shard).ok()?;
                if index > LAST_INDEX || shard > i32::MAX.unsigned_abs() {
                    return None;
                }
                Some(Parsed::Current(Self {
                    created,
                    index,
                    seconds: low_half(low >> 36) & SECONDS_MASK,
                    shard,
                }))
            }
            1 => Some(Parsed::Outdated {
                shard: u32::try_from(shard).ok()?,
                number,
            }),
            _ => None,
        }
    }
}

/// Version 0: 124 bits and a leading 1, which old clients left out.
fn parse_version_0(low: u128) -> Option<Parsed> {
    let number = if low < 1 << 124 {
        low + (1 << 124)
    } else {
        low
    };
    if number >> 124 != 1 || low_half(number >> 88) & SECONDS_MASK >= VERSION_0_SECONDS_LIMIT {
        return None;
    }
    Some(Parsed::Outdated {
        shard: u32::try_from(number & 0xFFFF).ok()?,
        number: Number([low_half(number), low_half(number >> 64), 0]),
    })
}

/// The low 64 bits.
fn low_half(value: u128) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low half is what is wanted"
    )]
    let low = value as u64;
    low
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        let mut limbs = [0_u64; 3];
        for digit in text.bytes() {
            let mut carry = u128::from(digit.checked_sub(b'0').filter(|d| *d < 10)?);
            for limb in &mut limbs {
                carry += u128::from(*limb) * 10;
                *limb = low_half(carry);
                carry >>= 64;
            }
            if carry != 0 {
                return None;
            }
        }
        Some(Self(limbs))
    }

    /// Divides by 10^19 in place and returns the rest: nineteen decimal digits.
    fn take_digits(&mut self) -> u64 {
        const DIVISOR: u128 = 10_000_000_000_000_000_000;
        let mut rest = 0_u128;
        for limb in self.0.iter_mut().rev() {
            let value = rest << 64 | u128::from(*limb);
            *limb = low_half(value / DIVISOR);
            rest = value % DIVISOR;
        }
        low_half(rest)
    }

    /// The decimal digits, right-aligned in the buffer, which 2^192 fits.
    fn decimal(mut self, buffer: &mut [u8; 76]) -> &str {
        let mut start = buffer.len();
        for chunk in buffer.rchunks_exact_mut(19) {
            let mut digits = self.take_digits();
            for digit in chunk.iter_mut().rev() {
                *digit = b'0' + u8::try_from(digits % 10).unwrap_or_default();
                digits /= 10;
            }
            start -= 19;
            if self.0 == [0; 3] {
                break;
            }
        }
        while start + 1 < buffer.len() && buffer[start] == b'0' {
            start += 1;
        }
        std::str::from_utf8(&buffer[start..]).unwrap_or_default()
    }
}

impl Ord for Sequence {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = |s: &Self| (s.created, s.shard & 0xF, s.index, s.seconds, s.shard);
        order(self).cmp(&order(other))
    }
}

impl PartialOrd for Sequence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.decimal(&mut [0; 76]))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

impl Serialize for Sequence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.number().decimal(&mut [0; 76]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The number that a hexadecimal text stands for, in decimal.
    fn decimal(hex: &str) -> String {
        let mut limbs = [0_u64; 3];
        for digit in hex.chars() {
            let mut carry = u64::from(digit.to_digit(16).unwrap());
            for limb in &mut limbs {
                (*limb, carry) = (*limb << 4 | carry, *limb >> 60);
            }
        }
        Number(limbs).to_string()
    }

    #[test]
    fn the_layout_is_the_services() {
        let sequence = Sequence {
            created: 0x5_6789_ABCD,
            index: 0x0123_4567_89AB_CDEF,
            seconds: 0x5_6789_ABCE,
            shard: 0x1F,
        };
        let hex = "256789abcdf0123456789abcdef0056789abce0000001f2";
        assert_eq!(hex.len(), 47);
        assert_eq!(sequence.to_string(), decimal(hex));
        assert_eq!(sequence.to_string().len(), 56);
    }

    #[test]
    fn a_number_seen_in_the_services_documentation_is_read() {
        let text = "49543463076548007577105092703039560359975228518395019266";
        let Some(Parsed::Current(sequence)) = Sequence::parse(text) else {
            panic!("{text}");
        };
        assert_eq!(sequence.to_string(), text);
        assert_eq!(sequence.shard, 0);
    }

    #[test]
    fn old_layouts_are_known_and_others_are_refused() {
        assert!(matches!(
            Sequence::parse("5"),
            Some(Parsed::Outdated { shard: 5, .. })
        ));
        let Some(Parsed::Outdated { shard, number }) = Sequence::parse("0") else {
            panic!("version 0");
        };
        assert_eq!(shard, 0);
        assert_eq!(number.to_string(), "21267647932558653966460912964485513216");
        for hex in [
            "20000000000800000000000000000000000000000000002",
            "20000000000000000000000000000000000000800000002",
            "20000000000000000000000000000000000000000000003",
            "30000000000000000000000000000000000000000000002",
            "13bb2cc3d80000000000000000000000",
        ] {
            assert_eq!(Sequence::parse(&decimal(hex)), None, "{hex}");
        }
        assert_eq!(Sequence::parse(&"9".repeat(129)), None);
    }

    fn sequences() -> impl Strategy<Value = Sequence> {
        let seconds = 0..=SECONDS_MASK;
        (
            seconds.clone(),
            0..=LAST_INDEX,
            seconds,
            0..=i32::MAX.unsigned_abs(),
        )
            .prop_map(|(created, index, seconds, shard)| Sequence {
                created,
                index,
                seconds,
                shard,
            })
    }

    proptest! {
        #[test]
        fn a_sequence_number_survives_its_text(sequence in sequences()) {
            let text = sequence.to_string();
            prop_assert_eq!(text.len(), 56);
            prop_assert_eq!(Sequence::parse(&text), Some(Parsed::Current(sequence)));
        }

        #[test]
        fn the_order_is_that_of_the_numbers(a in sequences(), b in sequences()) {
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn any_number_is_read_without_a_panic(text in "[0-9]{1,129}") {
            let _ = Sequence::parse(&text);
        }
    }
}
