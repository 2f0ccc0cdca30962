//! What a signature of version 4 is calculated over.
//!
//! Written from the specification and not from a client's code: a client that signs wrongly must
//! not find its own mistake here.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::HOST;
use http::request::Parts;
use sha2::{Digest as _, Sha256};

pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(super) const TERMINATOR: &str = "aws4_request";

/// HTTP/2's field for the host, under which a client may sign it.
pub(super) const AUTHORITY: &str = ":authority";

/// The request as its signer wrote it down: method, path, query, the signed headers, their names
/// and the hash of the body.
pub(super) fn request(head: &Parts, signed_headers: &str, payload_hash: &str) -> String {
    let mut out = String::with_capacity(512);
    out += head.method.as_str();
    out.push('\n');
    path(&mut out, head.uri.path());
    out.push('\n');
    query(&mut out, head.uri.query().unwrap_or_default());
    out.push('\n');
    for name in signed_headers.split(';') {
        out += name;
        out.push(':');
        header(&mut out, head, name);
        out.push('\n');
    }
    out.push('\n');
    out += signed_headers;
    out.push('\n');
    out += payload_hash;
    out
}

/// What is signed in the end: the time, the scope and the hash of the canonical request.
pub(super) fn string_to_sign(time: &str, scope: &str, canonical_request: &str) -> String {
    let hash = hash(canonical_request.as_bytes());
    format!("{ALGORITHM}\n{time}\n{scope}\n{hash}")
}

/// The signature by the key that a secret gives for a scope.
pub(super) fn signature(
    secret: &str,
    [date, region, service]: [&str; 3],
    string_to_sign: &str,
) -> String {
    let key = [date, region, service, TERMINATOR]
        .iter()
        .fold(Vec::from(format!("AWS4{secret}")), |key, part| {
            hmac(&key, part.as_bytes()).to_vec()
        });
    hex(&hmac(&key, string_to_sign.as_bytes()))
}

/// SHA-256 in lower-case hexadecimal.
pub(super) fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The values of `%XX`; what is no such escape stays as it is.
pub(super) fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high << 4 | low).ok(),
            _ => None,
        };
        out.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    out
}

/// The path without `.`, `..` and doubled slashes, its escapes escaped once more: every service
/// but S3 has it so.
fn path(out: &mut String, path: &str) {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    for segment in &segments {
        out.push('/');
        encode(out, segment.as_bytes());
    }
    if segments.is_empty() || path.ends_with('/') {
        out.push('/');
    }
}

/// The parameters in order, but for the signature itself.
fn query(out: &mut String, query: &str) {
    if query.is_empty() {
        return;
    }
    let encoded = |text: &str| {
        let mut out = String::with_capacity(text.len());
        encode(&mut out, &decode(text));
        out
    };
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    pairs.sort();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push('&');
        }
        *out += name;
        out.push('=');
        *out += value;
    }
}

/// The values of a header, trimmed, with single spaces, joined by commas.
fn header(out: &mut String, head: &Parts, name: &str) {
    let mut is_first = true;
    for value in head.headers.get_all(name) {
        if !is_first {
            out.push(',');
        }
        is_first = false;
        let value = String::from_utf8_lossy(value.as_bytes());
        for (index, word) in value.split_ascii_whitespace().enumerate() {
            if index > 0 {
                out.push(' ');
            }
            *out += word;
        }
    }
    // HTTP/2 has the host in a field of its own, which the SDK for JavaScript signs by its own name,
    // and a request that never met a socket has it in its address.
    if is_first && (name == HOST.as_str() || name == AUTHORITY) {
        *out += head.uri.authority().map(authority).unwrap_or_default();
    }
}

/// The host and its port, without the port that goes without saying.
fn authority(authority: &http::uri::Authority) -> &str {
    match authority.port_u16() {
        Some(80 | 443) => authority.host(),
        _ => authority.as_str(),
    }
}

/// Escapes everything but letters, digits and `-._~`.
fn encode(out: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    /// The signature of a request of the published suite: in us-east-1, of service `service`.
    fn sign(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut request = Request::builder().method(method).uri(uri);
        let mut names = vec!["host", "x-amz-date"];
        request = request.header("host", "example.amazonaws.com");
        request = request.header("x-amz-date", "20150830T123600Z");
        for (name, value) in headers {
            request = request.header(*name, *value);
            names.push(name);
        }
        names.sort_unstable();
        names.dedup();
        let (head, ()) = request.body(()).unwrap().into_parts();
        let canonical = super::request(&head, &names.join(";"), &hash(body.as_bytes()));
        let scope = "20150830/us-east-1/service/aws4_request";
        let string = string_to_sign("20150830T123600Z", scope, &canonical);
        signature(SECRET, ["20150830", "us-east-1", "service"], &string)
    }

    #[test]
    fn the_published_suite_is_met() {
        let form = "application/x-www-form-urlencoded";
        // get-vanilla
        assert_eq!(
            sign("GET", "/", &[], ""),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        // get-relative, get-slashes and so on: the same request
        for path in ["/example/..", "//", "/./", "/example1/example2/../.."] {
            assert_eq!(sign("GET", path, &[], ""), sign("GET", "/", &[], ""));
        }
        // get-vanilla-query-order-key-case
        assert_eq!(
            sign("GET", "/?Param2=value2&Param1=value1", &[], ""),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
        );
        // get-vanilla-empty-query-key
        assert_eq!(
            sign("GET", "/?Param1=value1", &[], ""),
            "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"
        );
        // get-unreserved
        let unreserved = "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        assert_eq!(
            sign("GET", unreserved, &[], ""),
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"
        );
        // get-header-value-trim
        let headers = [("my-header1", " value1"), ("my-header2", " \"a   b   c\"")];
        assert_eq!(
            sign("GET", "/", &headers, ""),
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"
        );
        // get-header-key-duplicate
        let headers = ["value2", "value2", "value1"].map(|value| ("my-header1", value));
        assert_eq!(
            sign("GET", "/", &headers, ""),
            "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"
        );
        // post-vanilla
        assert_eq!(
            sign("POST", "/", &[], ""),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
        // post-x-www-form-urlencoded
        assert_eq!(
            sign("POST", "/", &[("content-type", form)], "Param1=value1"),
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        );
    }

    #[test]
    fn the_example_of_the_manual_is_met() {
        let request = Request::get("/?Action=ListUsers&Version=2010-05-08")
            .header("host", "iam.amazonaws.com")
            .header(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            )
            .header("x-amz-date", "20150830T123600Z");
        let (head, ()) = request.body(()).unwrap().into_parts();
        let canonical = super::request(&head, "content-type;host;x-amz-date", &hash(b""));
        let scope = "20150830/us-east-1/iam/aws4_request";
        assert_eq!(
            string_to_sign("20150830T123600Z", scope, &canonical),
            "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n\
             f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
        );
        assert_eq!(
            signature(
                SECRET,
                ["20150830", "us-east-1", "iam"],
                &string_to_sign("20150830T123600Z", scope, &canonical)
            ),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn the_presigned_example_of_the_manual_is_met() {
        let request = Request::get(
            "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE\
             %2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z\
             &X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=left-out",
        )
        .header("host", "examplebucket.s3.amazonaws.com");
        let (head, ()) = request.body(()).unwrap().into_parts();
        let canonical = super::request(&head, "host", "UNSIGNED-PAYLOAD");
        let scope = "20130524/us-east-1/s3/aws4_request";
        let string = string_to_sign("20130524T000000Z", scope, &canonical);
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        assert_eq!(
            signature(secret, ["20130524", "us-east-1", "s3"], &string),
            "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    #[test]
    fn paths_and_parameters_are_normal() {
        let of = |uri: &str| {
            let (head, ()) = Request::get(uri).body(()).unwrap().into_parts();
            let canonical = request(&head, "host", "-");
            let mut lines = canonical.lines().skip(1).map(str::to_owned);
            [(); 3].map(|()| lines.next().unwrap())
        };
        assert_eq!(
            of("http://a:80/b%20c//d/./e/../?q=+&p=%2f&p&X-Amz-Signature=x&&o=%zz"),
            ["/b%2520c/d/", "o=%25zz&p=&p=%2F&q=%2B", "host:a"]
        );
        assert_eq!(of("https://a:4567"), ["/", "", "host:a:4567"]);
    }

    #[test]
    fn the_host_of_http_2_is_signed_by_either_name() {
        for name in ["host", ":authority"] {
            let (head, ()) = Request::get("http://a:4567/")
                .body(())
                .unwrap()
                .into_parts();
            let canonical = request(&head, name, "-");
            let line = canonical.lines().nth(3);
            assert_eq!(line, Some(format!("{name}:a:4567").as_str()));
        }
    }
}
