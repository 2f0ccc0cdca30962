//! Answers in CBOR, as serde reads them.
//!
//! Lists, maps and strings may be of indefinite length: the service writes all of them so, strings
//! when they are long. Tags are stepped over, since a member knows itself whether it is a time.
//! Whatever the bytes, depth and memory are bounded. <https://www.rfc-editor.org/rfc/rfc8949>

use minicbor::Decoder;
use minicbor::data::Type;
use minicbor_serde::error::DecodeError;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

/// How deep an answer may be nested: as deep as in JSON.
const MAX_DEPTH: usize = 128;

/// Reads one value, and nothing behind it.
pub(crate) fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    let mut reader = Reader {
        decoder: Decoder::new(bytes),
        depth_left: MAX_DEPTH,
    };
    let value = T::deserialize(&mut reader)?;
    if reader.decoder.position() != bytes.len() {
        return Err(DecodeError::custom("more bytes behind the value"));
    }
    Ok(value)
}

struct Reader<'de> {
    decoder: Decoder<'de>,
    depth_left: usize,
}

impl<'de> Reader<'de> {
    /// The kind of the next value, behind its tags.
    fn kind(&mut self) -> Result<Type, DecodeError> {
        while self.decoder.datatype()? == Type::Tag {
            self.decoder.tag()?;
        }
        Ok(self.decoder.datatype()?)
    }

    /// Visits a list or map one level further down.
    fn descend<T>(
        &mut self,
        left: Option<u64>,
        visit: impl FnOnce(Items<'_, 'de>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        self.depth_left = self
            .depth_left
            .checked_sub(1)
            .ok_or_else(|| DecodeError::custom("nested too deeply"))?;
        let value = visit(Items { reader: self, left })?;
        self.depth_left += 1;
        Ok(value)
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.kind()? {
            Type::Null | Type::Undefined => {
                self.decoder.skip()?;
                visitor.visit_unit()
            }
            Type::Bool => visitor.visit_bool(self.decoder.bool()?),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => visitor.visit_u64(self.decoder.u64()?),
            Type::I8 | Type::I16 | Type::I32 | Type::I64 => visitor.visit_i64(self.decoder.i64()?),
            Type::F16 => visitor.visit_f32(self.decoder.f16()?),
            Type::F32 => visitor.visit_f32(self.decoder.f32()?),
            Type::F64 => visitor.visit_f64(self.decoder.f64()?),
            Type::String => visitor.visit_borrowed_str(self.decoder.str()?),
            Type::StringIndef => {
                let text: Result<String, _> = self.decoder.str_iter()?.collect();
                visitor.visit_string(text?)
            }
            Type::Bytes => visitor.visit_borrowed_bytes(self.decoder.bytes()?),
            Type::BytesIndef => {
                let mut bytes = Vec::new();
                for piece in self.decoder.bytes_iter()? {
                    bytes.extend_from_slice(piece?);
                }
                visitor.visit_byte_buf(bytes)
            }
            Type::Array | Type::ArrayIndef => {
                let left = self.decoder.array()?;
                self.descend(left, |items| visitor.visit_seq(items))
            }
            Type::Map | Type::MapIndef => {
                let left = self.decoder.map()?;
                self.descend(left, |items| visitor.visit_map(items))
            }
            kind @ (Type::Int | Type::Simple | Type::Tag | Type::Break | Type::Unknown(_)) => {
                Err(DecodeError::custom(format!("no member is of type {kind}")))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.kind()? {
            Type::Null | Type::Undefined => {
                self.decoder.skip()?;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The items of a list, or the names and values of a map.
struct Items<'r, 'de> {
    reader: &'r mut Reader<'de>,
    /// How many are left, if the beginning said so.
    left: Option<u64>,
}

impl Items<'_, '_> {
    /// Whether there is another; steps over the end of an indefinite length.
    fn goes_on(&mut self) -> Result<bool, DecodeError> {
        match &mut self.left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None if self.reader.decoder.datatype()? == Type::Break => {
                let end = self.reader.decoder.position();
                self.reader.decoder.set_position(end + 1);
                Ok(false)
            }
            None => Ok(true),
        }
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        if !self.goes_on()? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, DecodeError> {
        seed.deserialize(&mut *self.reader)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        text: Cow<'a, str>,
        number: Option<u64>,
        #[serde(default)]
        list: Vec<Self>,
    }

    #[test]
    fn definite_and_indefinite_lengths_tags_and_nulls_are_read_alike() {
        let leaf = Answer {
            text: "ab".into(),
            number: Some(300),
            list: vec![],
        };
        for bytes in [
            &b"\xa2\x64text\x62ab\x66number\x19\x01\x2c"[..],
            b"\xbf\x64text\x7f\x61a\x61b\xff\x66number\xc1\x1a\x00\x00\x01\x2c\xff",
            b"\xd9\xd9\xf7\xa3\x7f\x64text\xff\x62ab\x66number\x19\x01\x2c\x65other\x9f\xa1\x61x\xf6\xff",
        ] {
            assert_eq!(from_slice::<Answer<'_>>(bytes).unwrap(), leaf, "{bytes:02x?}");
        }
        let outer = b"\xbf\x64text\x60\x66number\xf6\x64list\x9f\xa1\x64text\x61a\xff\xff";
        let read: Answer<'_> = from_slice(outer).unwrap();
        assert_eq!((read.number, read.list.len()), (None, 1));
        for end in 0..outer.len() {
            assert!(from_slice::<Answer<'_>>(&outer[..end]).is_err(), "{end}");
        }
        assert!(from_slice::<Answer<'_>>(&[&outer[..], b"\0"].concat()).is_err());
    }

    #[test]
    fn bombs_cost_nothing() {
        for member in ["text", "number", "list", "other"] {
            let head = [
                &[0xa1, 0x60 + u8::try_from(member.len()).unwrap()],
                member.as_bytes(),
            ]
            .concat();
            for opening in [0x81, 0x9f, 0xa1, 0xbf, 0xc1, 0xd8] {
                let bomb = [&head[..], &vec![opening; 1 << 20]].concat();
                assert!(
                    from_slice::<Answer<'_>>(&bomb).is_err(),
                    "{member} {opening:02x}"
                );
            }
            for opening in [0x5b, 0x7b, 0x9b, 0xbb] {
                let bomb = [&head[..], &[opening], &[0xff; 8]].concat();
                assert!(
                    from_slice::<Answer<'_>>(&bomb).is_err(),
                    "{member} {opening:02x}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = from_slice::<Answer<'_>>(&bytes);
            let _ = from_slice::<serde::de::IgnoredAny>(&bytes);
        }
    }
}
