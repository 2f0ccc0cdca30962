//! What an input is, by its first bytes: lines are taken apart at line feeds, which is wrong for text of
//! two bytes a character and for compressed files.

use std::io::{self, BufRead};

/// An input that is not made of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotLines {
    what: &'static str,
    /// A command that makes lines of it.
    remedy: &'static str,
}

impl NotLines {
    pub(super) fn text(self) -> String {
        let Self { what, remedy } = self;
        format!("the input is {what}: nothing was sent; make lines of it first, as with {remedy}")
    }
}

/// The mark of UTF-8, which is no part of the text.
const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";

/// Beginnings, longer ones first where one is the beginning of another.
const MARKS: &[(&[u8], &str, &str)] = &[
    (b"\xff\xfe\0\0", "UTF-32", "iconv -f UTF-32 -t UTF-8"),
    (b"\0\0\xfe\xff", "UTF-32", "iconv -f UTF-32 -t UTF-8"),
    (b"\xff\xfe", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    (b"\x1f\x8b\x08", "compressed by gzip", "gzip -dc"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "zstd -dc"),
    (b"PK\x03\x04", "a zip archive", "unzip -p"),
    (b"\xfd7zXZ\0", "compressed by xz", "xz -dc"),
];

/// bzip2: these, a digit from 1 to 9, and the mark of a block or of the end. The letters alone may begin
/// a text.
const BZIP2: &[u8] = b"BZh";
const BZIP2_BLOCKS: [&[u8]; 2] = [b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90"];

/// Whether the bytes are such a beginning, may become one, or neither.
#[derive(Debug, PartialEq, Eq)]
enum Match {
    No,
    Perhaps,
    Yes(NotLines),
}

fn look(bytes: &[u8]) -> Match {
    let mut perhaps = UTF_8_MARK.starts_with(bytes) && bytes.len() < UTF_8_MARK.len();
    for (mark, what, remedy) in MARKS {
        if bytes.starts_with(mark) && !perhaps {
            return Match::Yes(NotLines { what, remedy });
        }
        perhaps |= mark.starts_with(bytes);
    }
    let level = bytes.get(BZIP2.len());
    let block = bytes.get(BZIP2.len() + 1..).unwrap_or_default();
    if bytes.len() <= BZIP2.len() {
        perhaps |= BZIP2.starts_with(bytes);
    } else if bytes.starts_with(BZIP2) && level.is_some_and(|level| (b'1'..=b'9').contains(level)) {
        if BZIP2_BLOCKS.iter().any(|mark| block.starts_with(mark)) {
            return Match::Yes(NotLines {
                what: "compressed by bzip2",
                remedy: "bzip2 -dc",
            });
        }
        perhaps |= BZIP2_BLOCKS.iter().any(|mark| mark.starts_with(block));
    }
    if perhaps { Match::Perhaps } else { Match::No }
}

/// The first bytes of an input: to be read again before the rest.
pub(super) struct FirstBytes {
    pub(super) bytes: Vec<u8>,
    /// Bytes before them that are no part of the first line.
    pub(super) skipped: u64,
}

/// Reads as many bytes as it takes to know, and no more: who types a line does not wait for the next.
pub(super) fn examine(input: &mut impl BufRead) -> io::Result<Result<FirstBytes, NotLines>> {
    let mut bytes = Vec::new();
    loop {
        let next = match input.fill_buf() {
            Ok(buffer) => buffer.first().copied(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let looked = match next {
            Some(byte) => {
                input.consume(1);
                bytes.push(byte);
                look(&bytes)
            }
            // A shorter mark may have been kept open for a longer one.
            None => MARKS
                .iter()
                .find(|(mark, ..)| bytes == *mark)
                .map_or(Match::No, |(_, what, remedy)| {
                    Match::Yes(NotLines { what, remedy })
                }),
        };
        match looked {
            Match::Perhaps => {}
            Match::Yes(refusal) => return Ok(Err(refusal)),
            Match::No => {
                // The byte that decided may have ended a shorter mark.
                if let Some((_, what, remedy)) =
                    MARKS.iter().find(|(mark, ..)| bytes.starts_with(mark))
                {
                    return Ok(Err(NotLines { what, remedy }));
                }
                let skipped = if bytes.starts_with(UTF_8_MARK) {
                    UTF_8_MARK.len()
                } else {
                    0
                };
                return Ok(Ok(FirstBytes {
                    bytes: bytes.split_off(skipped),
                    skipped: skipped as u64,
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(input: &[u8]) -> Option<&'static str> {
        let mut input = input;
        examine(&mut input).unwrap().err().map(|found| found.what)
    }

    #[test]
    fn what_is_not_lines_is_known_by_its_first_bytes() {
        for (input, what) in [
            (&b"\xff\xfeo\0n\0e\0"[..], "UTF-16"),
            (b"\xfe\xff\0o\0n\0e", "UTF-16"),
            (b"\xff\xfe", "UTF-16"),
            (b"\xff\xfe\0\0o\0\0\0", "UTF-32"),
            (b"\0\0\xfe\xff\0\0\0o", "UTF-32"),
            (b"\x1f\x8b\x08\0rest", "compressed by gzip"),
            (b"\x28\xb5\x2f\xfdrest", "compressed by zstd"),
            (b"PK\x03\x04rest", "a zip archive"),
            (b"\xfd7zXZ\0rest", "compressed by xz"),
            (b"BZh91AY&SYrest", "compressed by bzip2"),
            (b"BZh1\x17\x72\x45\x38\x50\x90", "compressed by bzip2"),
        ] {
            assert_eq!(refusal(input), Some(what), "{input:?}");
        }
    }

    #[test]
    fn text_that_only_resembles_it_is_taken_as_it_is() {
        for text in [
            &b""[..],
            b"o",
            b"BZhang,1",
            b"BZh9",
            b"PKW",
            b"\xff",
            b"\xef\xbb",
            b"\x1f\x8b",
            b"\0\0",
        ] {
            let mut input = text;
            let Ok(first) = examine(&mut input).unwrap() else {
                panic!("{text:?} is refused");
            };
            let all = [&first.bytes[..], input].concat();
            assert_eq!((&all[..], first.skipped), (text, 0));
        }
    }

    #[test]
    fn the_mark_of_utf_8_is_left_out() {
        for text in [&b"\xef\xbb\xbfone\n"[..], b"\xef\xbb\xbf"] {
            let mut input = text;
            let Ok(first) = examine(&mut input).unwrap() else {
                panic!("{text:?} is refused");
            };
            let all = [&first.bytes[..], input].concat();
            assert_eq!((&all[..], first.skipped), (&text[3..], 3));
        }
    }

    #[test]
    fn no_byte_is_read_beyond_what_decides() {
        let mut input = &b"one\ntwo"[..];
        assert!(examine(&mut input).unwrap().is_ok());
        assert_eq!(input, b"ne\ntwo");
    }
}
