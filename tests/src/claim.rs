//! Whose call it is, where a caller without credentials does not say.

use bytes::Bytes;
use http::HeaderValue;
use http::header::AUTHORIZATION;

/// The request with a signature that says whose it is and holds for nothing. The mock wants to hear
/// that much of every call; what it does not verify it takes.
#[must_use]
pub fn with_claim(mut request: http::Request<Bytes>) -> http::Request<Bytes> {
    const CLAIM: HeaderValue = HeaderValue::from_static(
        "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/kinesis/aws4_request, \
         SignedHeaders=host, Signature=none",
    );
    const DATE: HeaderValue = HeaderValue::from_static("20260101T000000Z");
    request.headers_mut().insert(AUTHORIZATION, CLAIM);
    request.headers_mut().insert("x-amz-date", DATE);
    request
}
