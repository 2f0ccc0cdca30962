//! The envelope around an aggregate, and the little of protobuf's wire format that it needs:
//! reading and writing varints, lengths and field keys.
//! <https://protobuf.dev/programming-guides/encoding/>

use std::ops::Range;

use md5::{Digest as _, Md5};

/// What every aggregate begins with.
pub(crate) const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];

/// The length of the MD5 that every aggregate ends with.
pub(crate) const DIGEST_LEN: usize = 16;

/// What the envelope adds to the protobuf message.
pub(crate) const ENVELOPE_LEN: usize = MAGIC.len() + DIGEST_LEN;

/// Field numbers of the message `AggregatedRecord`.
pub(crate) mod aggregated_record {
    pub(crate) const PARTITION_KEY_TABLE: u32 = 1;
    pub(crate) const EXPLICIT_HASH_KEY_TABLE: u32 = 2;
    pub(crate) const RECORDS: u32 = 3;
}

/// Field numbers of the message `Record`.
pub(crate) mod record {
    pub(crate) const PARTITION_KEY_INDEX: u32 = 1;
    pub(crate) const EXPLICIT_HASH_KEY_INDEX: u32 = 2;
    pub(crate) const DATA: u32 = 3;
    pub(crate) const TAGS: u32 = 4;
}

/// The digest that closes an aggregate with this message.
pub(crate) fn digest(message: &[u8]) -> [u8; DIGEST_LEN] {
    Md5::digest(message).into()
}

/// How a field's value is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireType {
    Varint,
    SixtyFourBit,
    LengthDelimited,
    StartGroup,
    EndGroup,
    ThirtyTwoBit,
}

/// How deep groups may nest in an unknown field, as in prost and in Google's own libraries. The
/// fields of a message inside a message have one level less, and so on.
pub(crate) const MAX_DEPTH: u32 = 100;

/// Where a message is broken, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) offset: usize,
    pub(crate) what: &'static str,
}

/// Reads one message, or one part of it, from front to back.
///
/// All offsets count from the start of `bytes`, of which the reader sees `at..end`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `range` of `bytes`; an end beyond the bytes means their end.
    pub(crate) fn new(bytes: &'a [u8], range: Range<usize>) -> Self {
        Self {
            bytes: bytes.get(..range.end).unwrap_or(bytes),
            at: range.start,
        }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The number and the wire type of the next field.
    pub(crate) fn field(&mut self) -> Result<(u32, WireType), Malformed> {
        let start = self.at;
        let broken = |what| Malformed {
            offset: start,
            what,
        };
        let key =
            u32::try_from(self.varint()?).map_err(|_| broken("a field number is too large"))?;
        let wire_type = match key & 7 {
            0 => WireType::Varint,
            1 => WireType::SixtyFourBit,
            2 => WireType::LengthDelimited,
            3 => WireType::StartGroup,
            4 => WireType::EndGroup,
            5 => WireType::ThirtyTwoBit,
            _ => return Err(broken("a wire type is unknown")),
        };
        match key >> 3 {
            0 => Err(broken("a field has number 0")),
            number => Ok((number, wire_type)),
        }
    }

    /// A number of up to 64 bits.
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        let mut shift = 0;
        while let Some(&byte) = self.bytes.get(self.at) {
            // The tenth byte holds the 64th bit and nothing else.
            if shift == 63 && byte > 1 {
                return Err(self.broken("a number has more than 64 bits"));
            }
            self.at += 1;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
        }
        Err(self.broken("it ends within a number"))
    }

    /// Where the next length-delimited value lies.
    pub(crate) fn delimited(&mut self) -> Result<Range<usize>, Malformed> {
        let len = self.varint()?;
        self.advance(len)
    }

    /// Passes over the value of a field that is not known.
    pub(crate) fn skip(
        &mut self,
        number: u32,
        wire_type: WireType,
        depth: u32,
    ) -> Result<(), Malformed> {
        if depth == 0 {
            return Err(self.broken("groups nest too deep"));
        }
        match wire_type {
            WireType::Varint => {
                self.varint()?;
            }
            WireType::SixtyFourBit => {
                self.advance(8)?;
            }
            WireType::ThirtyTwoBit => {
                self.advance(4)?;
            }
            WireType::LengthDelimited => {
                self.delimited()?;
            }
            WireType::StartGroup => loop {
                match self.field()? {
                    (end, WireType::EndGroup) if end == number => break,
                    (_, WireType::EndGroup) => {
                        return Err(self.broken("a group ends that is not open"));
                    }
                    (number, wire_type) => self.skip(number, wire_type, depth - 1)?,
                }
            },
            WireType::EndGroup => return Err(self.broken("a group ends that is not open")),
        }
        Ok(())
    }

    /// An error at the place where the reader stands.
    pub(crate) fn broken(&self, what: &'static str) -> Malformed {
        Malformed {
            offset: self.at,
            what,
        }
    }

    fn advance(&mut self, len: u64) -> Result<Range<usize>, Malformed> {
        let start = self.at;
        let left = self.bytes.len() - start;
        match usize::try_from(len) {
            Ok(len) if len <= left => {
                self.at += len;
                Ok(start..self.at)
            }
            _ => Err(self.broken("a value reaches beyond the end")),
        }
    }
}

/// Appends a number.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(low_seven_bits(value) | 0x80);
        value >>= 7;
    }
    out.push(low_seven_bits(value));
}

/// Appends a field that holds a number; zero is written as well.
pub(crate) fn put_varint_field(out: &mut Vec<u8>, number: u32, value: usize) {
    out.push(key(number, 0));
    put_varint(out, value);
}

/// Appends the head of a length-delimited field; `len` bytes of value are to follow.
pub(crate) fn put_delimited_head(out: &mut Vec<u8>, number: u32, len: usize) {
    out.push(key(number, 2));
    put_varint(out, len);
}

/// The key of one of our fields, all of which have numbers below 16 and so keys of one byte.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the fields of the format end at 4"
)]
const fn key(number: u32, wire_type: u8) -> u8 {
    (number << 3) as u8 | wire_type
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits fit")]
const fn low_seven_bits(value: usize) -> u8 {
    (value & 0x7F) as u8
}
