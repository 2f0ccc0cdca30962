//! Messages of `application/vnd.amazon.eventstream`, the framing of SubscribeToShard's answer.
//!
//! All numbers are big endian. A message is: its whole length and the length of its headers (u32
//! each), the CRC-32 of these eight bytes, the headers, the payload, the CRC-32 of everything
//! before. A header is: its name behind a length of one byte, 7 for a string, its value behind a
//! length of two bytes.
//! <https://smithy.io/2.0/aws/amazon-eventstream.html>

use bytes::Bytes;
use serde::Serialize;

use super::failure::Failure;

/// The type of a header whose value is a string.
const STRING: u8 = 7;

/// Lengths, checksums: what a message has beside headers and payload.
const OVERHEAD: usize = 16;

/// An event in JSON; `None` if it is too large for a message.
pub(crate) fn event(kind: &str, payload: &impl Serialize) -> Option<Bytes> {
    let headers = [
        (":message-type", "event"),
        (":event-type", kind),
        (":content-type", "application/x-amz-json-1.1"),
    ];
    message(&headers, &serde_json::to_vec(payload).ok()?)
}

/// An error that ends a stream which has begun.
pub(crate) fn exception(failure: &Failure) -> Option<Bytes> {
    #[derive(Serialize)]
    struct Payload<'a> {
        message: &'a str,
    }
    let headers = [
        (":message-type", "exception"),
        (":exception-type", &*failure.kind),
        (":content-type", "application/x-amz-json-1.1"),
    ];
    let payload = Payload {
        message: failure.message.as_deref().unwrap_or_default(),
    };
    message(&headers, &serde_json::to_vec(&payload).ok()?)
}

fn message(headers: &[(&str, &str)], payload: &[u8]) -> Option<Bytes> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).ok()?);
        head.extend(name.as_bytes());
        head.push(STRING);
        head.extend(u16::try_from(value.len()).ok()?.to_be_bytes());
        head.extend(value.as_bytes());
    }
    let length = OVERHEAD + head.len() + payload.len();
    let mut message = Vec::with_capacity(length);
    message.extend(u32::try_from(length).ok()?.to_be_bytes());
    message.extend(u32::try_from(head.len()).ok()?.to_be_bytes());
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message.extend(head);
    message.extend(payload);
    message.extend(crc32fast::hash(&message).to_be_bytes());
    Some(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's test vectors: one string header, a payload of 13 bytes.
    #[test]
    fn a_message_is_the_specifications() {
        let headers = [("content-type", "application/json")];
        let message = message(&headers, b"{'foo':'bar'}").unwrap();
        let mut expected = vec![0, 0, 0, 61, 0, 0, 0, 32, 0x07, 0xfd, 0x83, 0x96];
        expected.extend(b"\x0ccontent-type\x07\x00\x10application/json{'foo':'bar'}");
        expected.extend([0x8d, 0x9c, 0x08, 0xb1]);
        assert_eq!(message, expected);
    }
}
