//! Seeded ids: the same seed and the same order of draws give the same ids.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Builder;

/// A sequence of pseudo-random numbers (SplitMix64). Lock-free, so concurrent requests do not
/// wait for each other to be given their id.
#[derive(Debug)]
pub(crate) struct Ids(AtomicU64);

/// The step of SplitMix64: 2^64 divided by the golden ratio, made odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub(crate) fn draw(&self) -> u64 {
        let mut z = self
            .0
            .fetch_add(GOLDEN, Ordering::Relaxed)
            .wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn draw_u128(&self) -> u128 {
        u128::from(self.draw()) << 64 | u128::from(self.draw())
    }

    /// A number from 0 up to but not including 1.
    pub(crate) fn draw_f64(&self) -> f64 {
        // 53 bits fill the mantissa of a double exactly.
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in an f64")]
        let mantissa = (self.draw() >> 11) as f64;
        mantissa / (1_u64 << 53) as f64
    }

    /// A number from 0 up to but not including `bound`; 0 if `bound` is 0.
    pub(crate) fn draw_below(&self, bound: u64) -> u64 {
        let wide = u128::from(self.draw()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or_default()
    }

    /// A version 4 UUID, as request ids and the ids of tables are.
    pub(crate) fn uuid(&self) -> String {
        let random = self.draw_u128().to_be_bytes();
        Builder::from_random_bytes(random).into_uuid().to_string()
    }

    /// Letters and digits, as in a stream id.
    pub(crate) fn alphanumeric(&self, length: usize) -> String {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        (0..length)
            .map(|_| {
                let index = usize::try_from(self.draw() % 36).unwrap_or_default();
                char::from(ALPHABET[index])
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_two_seeds_differ() {
        let (a, b, c) = (Ids::new(1), Ids::new(1), Ids::new(2));
        assert_eq!(a.uuid(), b.uuid());
        assert_eq!(a.alphanumeric(20), b.alphanumeric(20));
        assert_ne!(a.draw(), c.draw());
    }

    #[test]
    fn a_request_id_is_a_version_4_uuid() {
        let ids = Ids::new(7);
        for _ in 0..100 {
            let id = ids.uuid();
            assert_eq!(id.len(), 36);
            assert_eq!(&id[14..15], "4");
            assert!("89ab".contains(&id[19..20]), "{id}");
        }
    }
}
