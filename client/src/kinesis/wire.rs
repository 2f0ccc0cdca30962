//! Members that several operations share.
//!
//! The form of some depends on the encoding: serde calls CBOR not human readable.
//! Bytes are base64 in JSON and bytes in CBOR; times are seconds with up to three decimals in JSON
//! and milliseconds behind tag 1 in CBOR, where RFC 8949 has seconds.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use minicbor_serde::tag::Required;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Serialize, Serializer};
use shardwise_types::{HashKeyRange, Invalid};

/// The tag of a time.
const EPOCH: u64 = 1;

/// A time in a request; before 1970 it is 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timestamp(pub(super) SystemTime);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let since = self.0.duration_since(SystemTime::UNIX_EPOCH);
        let millis = u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
        if serializer.is_human_readable() {
            #[expect(
                clippy::cast_precision_loss,
                reason = "milliseconds of our era are exact in an f64"
            )]
            return serializer.serialize_f64(millis as f64 / 1000.0);
        }
        Required::<EPOCH, u64>::new(millis).serialize(serializer)
    }
}

/// Bytes in a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blob<'a>(pub(super) &'a [u8]);

impl Serialize for Blob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&STANDARD.encode(self.0))
        } else {
            serializer.serialize_bytes(self.0)
        }
    }
}

/// Reads a time of an answer; one that is null or beyond all measure is none.
pub(super) fn time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SystemTime>, D::Error> {
    let in_seconds = deserializer.is_human_readable();
    deserializer.deserialize_any(TimeVisitor { in_seconds })
}

struct TimeVisitor {
    in_seconds: bool,
}

impl Visitor<'_> for TimeVisitor {
    type Value = Option<SystemTime>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        let since = if self.in_seconds {
            Duration::from_secs(number)
        } else {
            Duration::from_millis(number)
        };
        Ok(SystemTime::UNIX_EPOCH.checked_add(since))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        u64::try_from(number).map_or(Ok(None), |number| self.visit_u64(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        let seconds = if self.in_seconds {
            number
        } else {
            number / 1000.0
        };
        Ok(time_of_epoch_seconds(seconds))
    }
}

fn time_of_epoch_seconds(seconds: f64) -> Option<SystemTime> {
    let since_epoch = Duration::try_from_secs_f64(seconds).ok()?;
    // A double holds milliseconds of our era exactly enough, but not as binary fractions.
    let rounded = since_epoch.checked_add(Duration::from_micros(500))?;
    let millis = u64::try_from(rounded.as_millis()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

/// Reads bytes of an answer; null is none. They are copied, so that a record that is kept does not
/// keep the whole answer.
pub(super) fn data<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let is_base64 = deserializer.is_human_readable();
    deserializer.deserialize_any(DataVisitor { is_base64 })
}

struct DataVisitor {
    is_base64: bool,
}

impl Visitor<'_> for DataVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record's data")
    }

    fn visit_unit<E>(self) -> Result<Bytes, E> {
        Ok(Bytes::new())
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        if !self.is_base64 {
            return Err(E::invalid_type(Unexpected::Str(text), &self));
        }
        STANDARD.decode(text).map(Bytes::from).map_err(E::custom)
    }
}

/// The hash keys of a shard.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireHashKeyRange {
    starting_hash_key: String,
    ending_hash_key: String,
}

impl WireHashKeyRange {
    pub(super) fn read(&self) -> Result<HashKeyRange, Invalid> {
        HashKeyRange::new(
            self.starting_hash_key.parse()?,
            self.ending_hash_key.parse()?,
        )
    }
}

/// The input of an operation that takes nothing but a stream.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StreamInput<'a> {
    pub(super) stream_name: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::WireFormat;

    #[derive(Deserialize)]
    struct Read(#[serde(deserialize_with = "time")] Option<SystemTime>);

    #[test]
    fn times_keep_their_milliseconds_in_both_encodings() {
        for millis in [
            0,
            1,
            1_767_225_600_000,
            1_767_225_600_123,
            1_767_225_600_999,
            1_500_000_000_001,
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            for wire in [WireFormat::Json, WireFormat::Cbor] {
                let written = wire.write(&Timestamp(time));
                let Read(read) = wire.read(&written).unwrap();
                assert_eq!(read, Some(time), "{millis} {written:02x?}");
            }
        }
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(258);
        assert_eq!(
            WireFormat::Cbor.write(&Timestamp(time)),
            b"\xc1\x19\x01\x02"
        );
        assert_eq!(WireFormat::Json.write(&Timestamp(time)), b"0.258");
        let Read(untagged) = WireFormat::Cbor.read(b"\x19\x01\x02").unwrap();
        assert_eq!(untagged, Some(time));
    }

    #[test]
    fn times_beyond_all_measure_are_none() {
        for json in ["-1", "-1.5", "1e300", "18446744073709551615", "null"] {
            let Read(read) = WireFormat::Json.read(json.as_bytes()).unwrap();
            assert_eq!(read, None, "{json}");
        }
        for cbor in [&b"\x20"[..], b"\xf9\x7e\x00", b"\xf6"] {
            let Read(read) = WireFormat::Cbor.read(cbor).unwrap();
            assert_eq!(read, None, "{cbor:02x?}");
        }
        assert!(WireFormat::Json.read::<Read>(b"\"1\"").is_err());
    }
}
