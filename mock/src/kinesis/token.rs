//! Opaque tokens: shard iterators and page tokens.
//!
//! Like the service's they are base64 of the eight bytes 0000000000000001 and whole blocks of
//! sixteen that only this mock can read or forge: a tag, then the text under a keystream, both from
//! MD5 with the mock's secret. That is no cryptography to rely on; it makes clients that look
//! inside a token, or change one, fail here as they would there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

const HEADER: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 1];
const BLOCK: usize = 16;

/// What a token is for; one kind is never taken for another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    ShardIterator,
    ListShards,
    ListStreams,
    ListStreamConsumers,
    ListChannels,
}

/// Seals texts into tokens and opens them again.
#[derive(Debug)]
pub(crate) struct Sealer {
    secret: [u8; 16],
}

impl Sealer {
    pub(crate) fn new(secret: u128) -> Self {
        Self {
            secret: secret.to_be_bytes(),
        }
    }

    pub(crate) fn seal(&self, kind: Kind, text: &str) -> String {
        let padding = BLOCK - text.len() % BLOCK;
        let mut body = text.as_bytes().to_vec();
        body.resize(
            text.len() + padding,
            u8::try_from(padding).unwrap_or_default(),
        );
        let tag = self.tag(kind, &body);
        self.apply_keystream(tag, &mut body);
        STANDARD.encode([&HEADER[..], &tag, &body].concat())
    }

    /// The text inside, if this mock sealed the token for this use.
    pub(crate) fn open(&self, kind: Kind, token: &str) -> Option<String> {
        let bytes = STANDARD.decode(token).ok()?;
        let (tag, body) = bytes.strip_prefix(&HEADER)?.split_first_chunk::<BLOCK>()?;
        let mut body = body.to_vec();
        self.apply_keystream(*tag, &mut body);
        if self.tag(kind, &body) != *tag {
            return None;
        }
        let padding = usize::from(*body.last()?);
        body.truncate(body.len().checked_sub(padding)?);
        String::from_utf8(body).ok()
    }

    fn tag(&self, kind: Kind, body: &[u8]) -> [u8; BLOCK] {
        let kind: u8 = match kind {
            Kind::ShardIterator => 1,
            Kind::ListShards => 2,
            Kind::ListStreams => 3,
            Kind::ListStreamConsumers => 4,
            Kind::ListChannels => 5,
        };
        Md5::new()
            .chain_update(self.secret)
            .chain_update([kind])
            .chain_update(body)
            .finalize()
            .into()
    }

    fn apply_keystream(&self, tag: [u8; BLOCK], body: &mut [u8]) {
        for (number, block) in (0_u64..).zip(body.chunks_mut(BLOCK)) {
            let key: [u8; BLOCK] = Md5::new()
                .chain_update(self.secret)
                .chain_update(tag)
                .chain_update(number.to_be_bytes())
                .finalize()
                .into();
            for (byte, key) in block.iter_mut().zip(key) {
                *byte ^= key;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_survives_its_token_and_only_its_own_kind(text in ".{0,200}", secret: u128) {
            let sealer = Sealer::new(secret);
            let token = sealer.seal(Kind::ShardIterator, &text);
            prop_assert_eq!(sealer.open(Kind::ShardIterator, &token), Some(text));
            prop_assert_eq!(sealer.open(Kind::ListShards, &token), None);
            prop_assert_eq!(Sealer::new(!secret).open(Kind::ShardIterator, &token), None);
        }

        #[test]
        fn a_changed_token_is_refused(text in "[a-z/0-9]{0,100}", at: prop::sample::Index, bit in 0..8_u8) {
            let sealer = Sealer::new(7);
            let mut bytes = STANDARD.decode(sealer.seal(Kind::ListShards, &text)).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(sealer.open(Kind::ListShards, &STANDARD.encode(bytes)), None);
        }

        #[test]
        fn garbage_is_refused_without_a_panic(token in ".{0,300}") {
            prop_assert_eq!(Sealer::new(7).open(Kind::ShardIterator, &token), None);
        }
    }
}
