//! Answers as HTTP responses: the bodies of refusals, and the headers that every answer has.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use serde_json::json;

use crate::backend::Backend;
use crate::body::ResponseBody;
use crate::clock::Now;
use crate::ids;
use crate::kinesis::{Encoding, Failure};

/// Kinesis has a protocol of that content type, which no SDK uses.
pub(crate) const PLAIN_JSON: &str = "application/json";

/// DynamoDB's protocol.
pub(crate) const DYNAMODB_JSON: &str = "application/x-amz-json-1.0";

const VERSION: &str = env!("CARGO_PKG_VERSION");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const EXTENDED_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-id-2");
const BODY_CHECKSUM: HeaderName = HeaderName::from_static("x-amz-crc32");
const MOCK_VERSION: HeaderName = HeaderName::from_static("x-shardwise-mock");

/// What the service lets a browser's script read.
const EXPOSED_HEADERS: &str = "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,\
                               x-amzn-ErrorMessage,Date";

/// What goes back, before the headers that every answer has.
pub(crate) struct HttpAnswer {
    status: StatusCode,
    content_type: Option<&'static str>,
    /// The CRC-32 of the body, where the service tells it.
    checksum: Option<u32>,
    body: ResponseBody,
}

impl HttpAnswer {
    /// A status alone.
    pub(crate) fn plain(status: StatusCode) -> Self {
        Self {
            status,
            content_type: None,
            checksum: None,
            body: ResponseBody::new(Vec::new()),
        }
    }

    pub(crate) fn new(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
            content_type: Some(content_type),
            checksum: None,
            body: ResponseBody::new(body),
        }
    }

    /// DynamoDB's clients check what they receive against the checksum that it sends along.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html>
    pub(crate) fn dynamodb(status: u16, body: Vec<u8>) -> Self {
        Self {
            checksum: Some(crc32fast::hash(&body)),
            ..Self::new(status, DYNAMODB_JSON, body)
        }
    }

    /// A success whose body grows while it is read.
    pub(crate) fn events(body: ResponseBody) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: Some("application/vnd.amazon.eventstream"),
            checksum: None,
            body,
        }
    }

    pub(crate) fn failure(encoding: Encoding, failure: &Failure) -> Self {
        let body = encoding.write(failure).unwrap_or_default();
        Self::new(failure.status, encoding.content_type(), body)
    }

    /// What the service's front end says to plain JSON, which it reads no further.
    pub(crate) fn plain_json(status: u16, kind: &str) -> Self {
        let kind = format!("com.amazon.coral.service#{kind}");
        let body = json!({"Output": {"__type": kind}, "Version": "1.0"}).to_string();
        Self::new(status, PLAIN_JSON, body.into_bytes())
    }

    /// The service's front end cannot say whose request this is.
    pub(crate) fn access_denied() -> Self {
        Self::xml(
            StatusCode::FORBIDDEN,
            "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be \
             authorized</Message>\n</AccessDeniedException>\n",
        )
    }

    /// The service's front end does not read this content type.
    pub(crate) fn unknown_content_type() -> Self {
        Self::xml(StatusCode::NOT_FOUND, "<UnknownOperationException/>\n")
    }

    fn xml(status: StatusCode, body: &str) -> Self {
        Self {
            status,
            content_type: None,
            checksum: None,
            body: ResponseBody::new(body.to_owned()),
        }
    }

    /// The same answer with what a fault makes of its body.
    pub(crate) fn with_body(self, spoil: impl FnOnce(ResponseBody) -> ResponseBody) -> Self {
        Self {
            body: spoil(self.body),
            ..self
        }
    }

    /// The response to a request with that head.
    pub(crate) fn into_response(self, backend: &Backend, head: &Parts) -> Response<ResponseBody> {
        let length = self.body.size_hint().exact();
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(content_type) = self.content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if let Some(checksum) = self.checksum {
            headers.insert(BODY_CHECKSUM, HeaderValue::from(checksum));
        }
        insert(headers, header::DATE, http_date(backend.now()));
        insert(headers, REQUEST_ID, ids::uuid(backend.random()));
        headers.insert(MOCK_VERSION, HeaderValue::from_static(VERSION));
        let from_browser = head.headers.contains_key(header::ORIGIN);
        if from_browser && head.method == Method::OPTIONS {
            allow_preflight(headers, &head.headers);
            return response;
        }
        if from_browser {
            let (name, any) = (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
            headers.insert(name, HeaderValue::from_static(any));
            let name = header::ACCESS_CONTROL_EXPOSE_HEADERS;
            headers.insert(name, HeaderValue::from_static(EXPOSED_HEADERS));
        }
        insert(headers, EXTENDED_REQUEST_ID, extended_id(backend));
        response
    }
}

fn allow_preflight(headers: &mut HeaderMap, request: &HeaderMap) {
    for (asked, allowed) in [
        (
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            header::ACCESS_CONTROL_ALLOW_HEADERS,
        ),
        (
            header::ACCESS_CONTROL_REQUEST_METHOD,
            header::ACCESS_CONTROL_ALLOW_METHODS,
        ),
    ] {
        if let Some(value) = request.get(asked) {
            headers.insert(allowed, value.clone());
        }
    }
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_MAX_AGE, "172800"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// From the mock's own clock, since clients correct their clocks by it.
fn http_date(now: Now) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(now.wall_ms))
}

/// Seventy-two random bytes, as the service sends.
fn extended_id(backend: &Backend) -> String {
    let mut bytes = [0; 72];
    for chunk in bytes.chunks_exact_mut(8) {
        chunk.copy_from_slice(&backend.random().random_u64().to_be_bytes());
    }
    STANDARD.encode(bytes)
}
