//! Tells aggregates from other records, and reads them.

use std::fmt;

use bytes::Bytes;

use crate::aggregate::{self, Aggregate};
use crate::corrupt::Corrupt;
use crate::wire;

/// Unpacks a Kinesis record, if it is an aggregate.
///
/// Total: any bytes get one of the three answers, and none of them loses a byte. Two passes at
/// most, one for the digest and one for the content; keys and data are views of `data`.
///
/// ```
/// use bytes::Bytes;
/// use shardwise_aggregation_proto::{Decoded, PlainReason, decode};
///
/// let plain = Bytes::from_static(b"just bytes");
/// match decode(plain.clone()) {
///     Decoded::Plain { data, why } => assert_eq!((data, why), (plain, PlainReason::NoMagic)),
///     other => unreachable!("{other:?}"),
/// }
/// ```
#[must_use]
pub fn decode(data: Bytes) -> Decoded {
    if let Err(why) = check_envelope(&data) {
        return Decoded::Plain { data, why };
    }
    match aggregate::read(&data) {
        Ok(aggregate) => Decoded::Aggregated(aggregate),
        Err(error) => Decoded::Corrupt { data, error },
    }
}

/// What a Kinesis record turned out to be.
#[derive(Clone)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a reader that leaves an answer out loses records"
)]
pub enum Decoded {
    /// An aggregate, read to its last byte and found sound.
    Aggregated(Aggregate),
    /// A record like any other.
    Plain {
        /// The record's data, untouched.
        data: Bytes,
        /// What it lacks for an aggregate.
        why: PlainReason,
    },
    /// An aggregate whose digest fits, so that no transport has damaged it, and whose content is
    /// broken all the same: its writer has a bug.
    ///
    /// Nothing of it was unpacked. The KCL drops such a record in part or delivers it as plain,
    /// depending on what is broken.
    Corrupt {
        /// The record's data, untouched.
        data: Bytes,
        /// What is broken.
        error: Corrupt,
    },
}

/// Shows the length of the data and not the data: payloads do not belong in logs.
impl fmt::Debug for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aggregated(aggregate) => f.debug_tuple("Aggregated").field(aggregate).finish(),
            Self::Plain { data, why } => f
                .debug_struct("Plain")
                .field("data_len", &data.len())
                .field("why", why)
                .finish(),
            Self::Corrupt { data, error } => f
                .debug_struct("Corrupt")
                .field("data_len", &data.len())
                .field("error", error)
                .finish(),
        }
    }
}

/// Why a record is not an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainReason {
    /// It does not begin with the magic bytes: the usual case.
    NoMagic,
    /// It begins with the magic bytes and is too short to hold a message and a digest.
    TooShort,
    /// It begins with the magic bytes and does not end with the digest of what lies between. User
    /// data may begin like that, and an aggregate that was cut off looks so.
    BadDigest,
}

fn check_envelope(data: &[u8]) -> Result<(), PlainReason> {
    let Some(rest) = data.strip_prefix(&wire::MAGIC) else {
        return Err(PlainReason::NoMagic);
    };
    match rest.split_last_chunk::<{ wire::DIGEST_LEN }>() {
        Some((message, digest)) if !message.is_empty() => {
            if wire::digest(message) == *digest {
                Ok(())
            } else {
                Err(PlainReason::BadDigest)
            }
        }
        _ => Err(PlainReason::TooShort),
    }
}
