//! Request bodies in CBOR as [`Value`]s that borrow from them.
//!
//! Lists, maps and strings of definite and indefinite length are read. Tags are stepped over: a
//! member knows itself whether it is a timestamp. Whatever the bytes, depth and memory are bounded.
//! <https://www.rfc-editor.org/rfc/rfc8949>

use std::borrow::Cow;

use minicbor::Decoder;
use minicbor::data::Type;

use super::value::Value;

/// How deep values may be nested: as deep as in JSON.
const MAX_DEPTH: usize = 128;

/// How many values a request may have. The largest that means something has a few thousand, and
/// each, of one byte, takes some sixty here.
const MAX_VALUES: usize = 1 << 18;

/// Reads one CBOR item, and nothing after it; `None` if that is not what the bytes are.
pub(crate) fn read(body: &[u8]) -> Option<Value<'_>> {
    let mut reader = Reader {
        decoder: Decoder::new(body),
        values_left: MAX_VALUES,
    };
    let value = reader.value(MAX_DEPTH)?;
    (reader.decoder.position() == body.len()).then_some(value)
}

struct Reader<'b> {
    decoder: Decoder<'b>,
    values_left: usize,
}

impl<'b> Reader<'b> {
    fn value(&mut self, depth: usize) -> Option<Value<'b>> {
        let depth = depth.checked_sub(1)?;
        self.values_left = self.values_left.checked_sub(1)?;
        while self.kind()? == Type::Tag {
            self.decoder.tag().ok()?;
        }
        Some(match self.kind()? {
            Type::Null | Type::Undefined => {
                self.decoder.skip().ok()?;
                Value::Null
            }
            Type::Bool => Value::Bool(self.decoder.bool().ok()?),
            Type::U8
            | Type::U16
            | Type::U32
            | Type::U64
            | Type::I8
            | Type::I16
            | Type::I32
            | Type::I64
            | Type::Int => Value::Integer(self.integer()?),
            Type::F16 => Value::Float(self.decoder.f16().ok()?.into()),
            Type::F32 => Value::Float(self.decoder.f32().ok()?.into()),
            Type::F64 => Value::Float(self.decoder.f64().ok()?),
            Type::Bytes | Type::BytesIndef => Value::Bytes(self.bytes()?),
            Type::String | Type::StringIndef => Value::Text(self.text()?),
            Type::Array | Type::ArrayIndef => {
                let mut left = self.decoder.array().ok()?;
                let mut items = Vec::new();
                while self.goes_on(&mut left)? {
                    items.push(self.value(depth)?);
                }
                Value::List(items)
            }
            Type::Map | Type::MapIndef => {
                let mut left = self.decoder.map().ok()?;
                let mut members = Vec::new();
                while self.goes_on(&mut left)? {
                    members.push((self.text()?, self.value(depth)?));
                }
                Value::Map(members)
            }
            Type::Simple | Type::Tag | Type::Break | Type::Unknown(_) => return None,
        })
    }

    fn kind(&self) -> Option<Type> {
        self.decoder.datatype().ok()
    }

    /// Whether a list or map goes on; steps over the end of one of indefinite length.
    fn goes_on(&mut self, left: &mut Option<u64>) -> Option<bool> {
        match left {
            Some(0) => Some(false),
            Some(left) => {
                *left -= 1;
                Some(true)
            }
            None if self.kind()? == Type::Break => {
                self.decoder.set_position(self.decoder.position() + 1);
                Some(false)
            }
            None => Some(true),
        }
    }

    /// An integer of up to 64 bits and a sign, clamped to 64 bits with the sign.
    fn integer(&mut self) -> Option<i64> {
        let number = i128::from(self.decoder.int().ok()?);
        let clamped = number.clamp(i64::MIN.into(), i64::MAX.into());
        i64::try_from(clamped).ok()
    }

    fn text(&mut self) -> Option<Cow<'b, str>> {
        if self.kind()? == Type::String {
            return self.decoder.str().ok().map(Cow::Borrowed);
        }
        let pieces = self.decoder.str_iter().ok()?;
        pieces.collect::<Result<String, _>>().ok().map(Cow::Owned)
    }

    fn bytes(&mut self) -> Option<Cow<'b, [u8]>> {
        if self.kind()? == Type::Bytes {
            return self.decoder.bytes().ok().map(Cow::Borrowed);
        }
        let mut bytes = Vec::new();
        for piece in self.decoder.bytes_iter().ok()? {
            bytes.extend_from_slice(piece.ok()?);
        }
        Some(Cow::Owned(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value<'_> {
        Value::Text(Cow::Borrowed(text))
    }

    #[test]
    fn every_form_of_a_value_is_read() {
        for (bytes, value) in [
            (&b"\x17"[..], Value::Integer(23)),
            (b"\x18\xff", Value::Integer(255)),
            (b"\x19\x01\x00", Value::Integer(256)),
            (b"\x1a\x00\x01\x00\x00", Value::Integer(65536)),
            (
                b"\x1b\x00\x00\x00\x01\x00\x00\x00\x00",
                Value::Integer(1 << 32),
            ),
            (
                b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
                Value::Integer(i64::MAX),
            ),
            (b"\x20", Value::Integer(-1)),
            (
                b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff",
                Value::Integer(i64::MIN),
            ),
            (b"\xf9\x3e\x00", Value::Float(1.5)),
            (b"\xfa\x3f\xc0\x00\x00", Value::Float(1.5)),
            (b"\xfb\x3f\xf8\x00\x00\x00\x00\x00\x00", Value::Float(1.5)),
            (b"\xf4", Value::Bool(false)),
            (b"\xf5", Value::Bool(true)),
            (b"\xf6", Value::Null),
            (b"\xf7", Value::Null),
            (b"\x42\x00\xff", Value::Bytes(Cow::Borrowed(b"\x00\xff"))),
            (
                b"\x5f\x41\x00\x41\xff\xff",
                Value::Bytes(Cow::Borrowed(b"\x00\xff")),
            ),
            (b"\x62\xc3\xa9", text("\u{e9}")),
            (b"\x7f\x61a\x60\x61b\xff", text("ab")),
            (
                b"\xc1\x1b\x00\x00\x01\x9b\x76\xdb\x20\x7b",
                Value::Integer(1_767_225_630_843),
            ),
            (b"\xd9\xd9\xf7\xc1\x05", Value::Integer(5)),
            (
                b"\x82\x01\x80",
                Value::List(vec![Value::Integer(1), Value::List(vec![])]),
            ),
            (
                b"\x9f\x01\x9f\xff\xff",
                Value::List(vec![Value::Integer(1), Value::List(vec![])]),
            ),
            (
                b"\xa1\x61a\x01",
                Value::Map(vec![("a".into(), Value::Integer(1))]),
            ),
            (
                b"\xbf\x7f\x61a\xff\x01\xff",
                Value::Map(vec![("a".into(), Value::Integer(1))]),
            ),
        ] {
            assert_eq!(read(bytes), Some(value), "{bytes:02x?}");
        }
    }

    #[test]
    fn strings_of_definite_length_are_borrowed() {
        assert!(matches!(
            read(b"\x61a"),
            Some(Value::Text(Cow::Borrowed("a")))
        ));
        assert!(matches!(
            read(b"\x41a"),
            Some(Value::Bytes(Cow::Borrowed(b"a")))
        ));
    }

    #[test]
    fn what_is_cut_off_or_goes_on_or_is_no_cbor_is_refused() {
        let whole = b"\xbf\x61a\x82\x7f\x61b\xff\xc1\x1b\x00\x00\x00\x01\x00\x00\x00\x00\xff";
        assert!(read(whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), None, "cut off after {end} bytes");
        }
        assert_eq!(read(&[&whole[..], b"\x00"].concat()), None);
        for garbage in [
            &b"\xff"[..],
            b"\x1c",
            b"\xe0",
            b"\xf8\x20",
            b"\x62\xff\xff",
            b"\xa1\x01\x01",
            b"\x81\xff",
            b"\xbf\x61a\xff",
            b"\x7f\x41a\xff",
            b"\x7f\x7f\x61a\xff\xff",
        ] {
            assert_eq!(read(garbage), None, "{garbage:02x?}");
        }
    }

    #[test]
    fn bombs_are_refused_before_they_cost_anything() {
        let end = [0xff; 8];
        for head in [0x5b, 0x7b, 0x9b, 0xbb] {
            assert_eq!(read(&[&[head][..], &end].concat()), None, "{head:02x}");
        }
        for opening in [0x81, 0x9f, 0xc1, 0xd8] {
            assert_eq!(read(&vec![opening; 1 << 20]), None, "{opening:02x}");
        }
        let mut nulls = vec![0xf6; MAX_VALUES + 1];
        nulls.insert(0, 0x9f);
        nulls.push(0xff);
        assert_eq!(read(&nulls), None);
    }
}
