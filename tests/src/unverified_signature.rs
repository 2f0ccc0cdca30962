//! A signature for calls of nodes without credentials, which the mock does not verify.

use bytes::Bytes;
use http::HeaderValue;
use http::header::AUTHORIZATION;

/// The request with a signature that names an account and would not be verified. The mock wants one in
/// each call, to know whose it is.
#[must_use]
pub fn with_unverified_signature(mut request: http::Request<Bytes>) -> http::Request<Bytes> {
    const SIGNATURE: HeaderValue = HeaderValue::from_static(
        "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/kinesis/aws4_request, \
         SignedHeaders=host, Signature=none",
    );
    const DATE: HeaderValue = HeaderValue::from_static("20260101T000000Z");
    request.headers_mut().insert(AUTHORIZATION, SIGNATURE);
    request.headers_mut().insert("x-amz-date", DATE);
    request
}
