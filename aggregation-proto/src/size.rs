//! How long things are once encoded, known before a byte is written.
//!
//! The sums are exact: `encode` fills a buffer of just the promised length, and a property test
//! holds them against it.

use shardwise_types::HashKey;

/// The length of a field's key: all field numbers of the format are below 16.
const KEY_LEN: usize = 1;

/// The length of a number.
pub(crate) const fn varint(value: usize) -> usize {
    // Seven bits a byte; zero takes a byte as well.
    let bits = usize::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// The length of a field that holds a number.
pub(crate) const fn varint_field(value: usize) -> usize {
    KEY_LEN + varint(value)
}

/// The length of a field that holds `len` bytes: a string, bytes or a message.
pub(crate) const fn delimited_field(len: usize) -> usize {
    KEY_LEN + varint(len) + len
}

/// The length of the message `Record` with these table indices and this much data.
pub(crate) fn record(key_index: usize, hash_key_index: Option<usize>, data_len: usize) -> usize {
    varint_field(key_index) + hash_key_index.map_or(0, varint_field) + delimited_field(data_len)
}

/// The number of decimal digits of a hash key.
pub(crate) fn decimal_digits(hash_key: HashKey) -> usize {
    let logarithm = hash_key.get().checked_ilog10().unwrap_or(0);
    1 + logarithm as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire;

    #[test]
    fn a_number_grows_by_a_byte_at_every_seventh_bit() {
        for (value, len) in [
            (0, 1),
            (0x7F, 1),
            (0x80, 2),
            (0x3FFF, 2),
            (0x4000, 3),
            (usize::MAX, 10),
        ] {
            assert_eq!(varint(value), len, "{value:#x}");
        }
    }

    proptest! {
        #[test]
        fn a_number_has_the_predicted_length(value: usize, shift in 0..usize::BITS) {
            let value = value >> shift;
            let mut out = Vec::new();
            wire::put_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint(value));
        }

        #[test]
        fn a_hash_key_has_the_predicted_digits(point: u128, shift in 0..u128::BITS) {
            let hash_key = HashKey::new(point >> shift);
            prop_assert_eq!(decimal_digits(hash_key), hash_key.to_string().len());
        }
    }
}
