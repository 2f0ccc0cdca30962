//! Values of answers whose form depends on the encoding: serde calls CBOR not human readable.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minicbor_serde::tag::Required;
use serde::{Serialize, Serializer};

/// The tag of a point in time. The service counts milliseconds behind it, not seconds.
const EPOCH: u64 = 1;

/// A point in time: in JSON a number of seconds with up to three decimals, in CBOR a tagged number
/// of milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timestamp(
    /// Milliseconds since the epoch.
    pub(crate) u64,
);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return Required::<EPOCH, u64>::new(self.0).serialize(serializer);
        }
        if self.0.is_multiple_of(1000) {
            return serializer.serialize_u64(self.0 / 1000);
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of this millennium are exact in an f64"
        )]
        let milliseconds = self.0 as f64;
        serializer.serialize_f64(milliseconds / 1000.0)
    }
}

/// Bytes: in JSON base64, in CBOR as they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blob<'a>(pub(crate) &'a [u8]);

impl Serialize for Blob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(self.0);
        }
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}
