//! One call of an operation: sign, send, judge, wait, again.
//!
//! Every Kinesis operation goes through [`call`]. The time limits stand here, so the loops above
//! need none.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde::Deserialize;

use crate::aws::Aws;
use crate::encoding::{WireFormat, bare_code};
use crate::endpoint::Service;
use crate::error::{BoxError, Error, ErrorKind, Written};
use crate::operation::{Effect, Operation};
use crate::retry::{Class, RetryPolicy, class, kind_of_code};
use crate::sign::sign_request;
use crate::transport::Body;

/// Bytes of an answer, at most: the largest is 10 MiB of records, a third more in base64, with
/// their keys and numbers. Beyond it the answer is not one of Kinesis.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// An answer of the service.
#[derive(Debug)]
pub(crate) struct RawResponse {
    pub(crate) body: Bytes,
    /// What the body is written in.
    pub(crate) wire: WireFormat,
    /// The service's clock, from the `Date` header.
    pub(crate) service_time: Option<SystemTime>,
    pub(crate) request_id: Option<String>,
}

/// Calls an operation, as often as `policy` and the handle's retry budget allow, and reads its
/// answer: one that cannot be read is a failed try like any other.
pub(crate) async fn call<T>(
    aws: &Aws,
    operation: Operation,
    policy: RetryPolicy,
    (wire, body): (WireFormat, Bytes),
    read: impl Fn(&RawResponse) -> Result<T, BoxError> + Send + Sync,
) -> Result<T, Error>
where
    T: Send,
{
    let mut delays = policy.delays(aws.env());
    let mut written = Written::No;
    let mut mended = false;
    let mut attempts = 1;
    loop {
        let (error, cured) = match attempt(aws, operation, wire, body.clone()).await {
            Ok(answer) => match read(&answer) {
                Ok(output) => {
                    aws.retry_budget().succeeded(attempts > 1);
                    return Ok(output);
                }
                Err(source) => (unreadable(operation, &answer, source), false),
            },
            Err(failure) => failure,
        };
        written = written.max(error.written());
        let error = error.with_attempts(attempts).or_written(written);
        // Fresh credentials or a corrected clock are worth one more try, at once.
        if cured && !mended {
            mended = true;
            attempts += 1;
            continue;
        }
        let may_repeat = operation.effect != Effect::Changes || error.written() == Written::No;
        let may_succeed = class(error.kind()) != Class::Permanent;
        if !may_repeat
            || !may_succeed
            || attempts >= policy.max_attempts()
            || !aws.retry_budget().try_take()
        {
            return Err(error);
        }
        let delay = delays.next_delay();
        tracing::debug!(
            operation = operation.name,
            attempt = attempts,
            delay_ms = delay.as_millis(),
            "a call failed and is tried again: {error}"
        );
        aws.env().sleep(delay).await;
        attempts += 1;
    }
}

/// Sends the request once. On failure, also says whether something was cured (credentials, clock)
/// that makes an immediate second try worth it.
async fn attempt(
    aws: &Aws,
    operation: Operation,
    wire: WireFormat,
    body: Bytes,
) -> Result<RawResponse, (Error, bool)> {
    let fail = |kind, written| Error::new(operation.name, kind, written);
    let unknown = operation.effect.written_if_unanswered();
    let unsigned = |source: BoxError| {
        let error = fail(ErrorKind::Credentials, Written::No).with_source(source);
        (error, false)
    };
    let cached = aws.credentials_cache();
    let credentials = match cached {
        Some(cached) => Some(cached.credentials().await.map_err(|e| unsigned(e.into()))?),
        None => None,
    };
    let signed_at = aws.clock_skew().apply(aws.env().wall_now());
    let mut request = request(aws, operation, wire, body);
    if let Some(credentials) = &credentials {
        let service = Service::Kinesis.signing_name();
        sign_request(&mut request, credentials, aws.region(), service, signed_at)
            .map_err(unsigned)?;
    }

    let timeouts = aws.timeouts();
    let response = match aws
        .env()
        .timeout(timeouts.first_byte, aws.transport().send(request))
        .await
    {
        Ok(Ok(response)) => response,
        Ok(Err(error)) if error.is_connect() => {
            return Err((
                fail(ErrorKind::Connect, Written::No).with_source(error),
                false,
            ));
        }
        Ok(Err(error)) => {
            return Err((
                fail(ErrorKind::Transport, unknown).with_source(error),
                false,
            ));
        }
        Err(elapsed) => {
            return Err((
                fail(ErrorKind::Timeout, unknown).with_source(elapsed),
                false,
            ));
        }
    };
    let (parts, body) = response.into_parts();
    aws.encoding().learn(&parts.headers);
    let wire = WireFormat::of(&parts.headers).unwrap_or(wire);
    let service_time = date(&parts.headers);
    let request_id = text(&parts.headers, "x-amzn-requestid");
    let describe = |error: Error| {
        error
            .with_request_id(request_id.clone())
            .with_service_time(service_time)
    };
    let body = match read(aws, body).await {
        Ok(body) => body,
        Err(ReadError::Idle) => return Err((describe(fail(ErrorKind::Timeout, unknown)), false)),
        Err(ReadError::Broken(source)) => {
            let error = fail(ErrorKind::Transport, unknown).with_source(source);
            return Err((describe(error), false));
        }
        Err(ReadError::TooLarge) => {
            let error = fail(ErrorKind::Response, unknown)
                .with_source(format!("the answer has more than {MAX_ANSWER_BYTES} bytes"));
            return Err((describe(error), false));
        }
    };
    if parts.status.is_success() {
        return Ok(RawResponse {
            body,
            wire,
            service_time,
            request_id,
        });
    }
    let status = parts.status.as_u16();
    let (code, message) = error_body(&parts.headers, wire, &body);
    let kind = kind_of_code(code.as_deref().unwrap_or_default(), status);
    // The service refuses before it writes, but a 5xx may come after.
    let written = if status < 500 { Written::No } else { unknown };
    let code = code.or_else(|| Some(format!("HTTP {status}")));
    let error = describe(fail(kind, written).with_code(code, message));
    let cured = match kind {
        ErrorKind::ExpiredCredentials => match (cached, &credentials) {
            (Some(cached), Some(credentials)) => {
                cached.refused(credentials.access_key_id(), credentials.session_token())
            }
            _ => false,
        },
        ErrorKind::AccessDenied => error.service_time().is_some_and(|time| {
            aws.clock_skew()
                .learn(signed_at, aws.env().wall_now(), time)
        }),
        _ => false,
    };
    Err((error, cured))
}

fn request(aws: &Aws, operation: Operation, wire: WireFormat, body: Bytes) -> http::Request<Bytes> {
    let mut request = http::Request::new(body);
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = aws.endpoint(Service::Kinesis).clone();
    let headers = request.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(wire.content_type()),
    );
    let target = format!("Kinesis_20131202.{}", operation.name);
    if let Ok(target) = HeaderValue::try_from(target) {
        headers.insert("x-amz-target", target);
    }
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    request
}

const USER_AGENT: &str = concat!("shardwise/", env!("CARGO_PKG_VERSION"));

enum ReadError {
    Idle,
    Broken(BoxError),
    TooLarge,
}

async fn read(aws: &Aws, mut body: Body) -> Result<Bytes, ReadError> {
    let idle = aws.timeouts().idle;
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let announced = announced.min(MAX_ANSWER_BYTES);
    let mut first: Option<Bytes> = None;
    let mut rest: Vec<u8> = Vec::new();
    loop {
        let frame = match aws.env().timeout(idle, body.frame()).await {
            Err(_elapsed) => return Err(ReadError::Idle),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(ReadError::Broken(error)),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        // Most answers are one piece: it is handed on without a copy.
        match first.take() {
            None if rest.is_empty() => first = Some(piece),
            None => rest.extend_from_slice(&piece),
            Some(head) => {
                // What is announced is reserved at once: large answers come in hundreds of pieces.
                rest.reserve(announced.max(head.len() + piece.len()));
                rest.extend_from_slice(&head);
                rest.extend_from_slice(&piece);
            }
        }
        if rest.len() > MAX_ANSWER_BYTES {
            return Err(ReadError::TooLarge);
        }
    }
    Ok(first.unwrap_or_else(|| rest.into()))
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// Code and message of an error answer. The header `x-amzn-errortype` stands in for a missing code.
fn error_body(
    headers: &HeaderMap,
    wire: WireFormat,
    body: &[u8],
) -> (Option<String>, Option<String>) {
    let (code, message) = wire.read_error(body);
    let code = code.or_else(|| text(headers, "x-amzn-errortype").map(|code| bare_code(&code)));
    (code, message)
}

/// Reads an answer.
pub(crate) fn parse<'a, T: Deserialize<'a>>(answer: &'a RawResponse) -> Result<T, BoxError> {
    answer.wire.read(&answer.body)
}

/// For operations whose answer says nothing.
pub(crate) fn nothing(_answer: &RawResponse) -> Result<(), BoxError> {
    Ok(())
}

/// The error for a successful answer that cannot be understood.
fn unreadable(operation: Operation, answer: &RawResponse, source: BoxError) -> Error {
    let written = operation.effect.written_if_unanswered();
    Error::new(operation.name, ErrorKind::Response, written)
        .with_request_id(answer.request_id.clone())
        .with_service_time(answer.service_time)
        .with_source(source)
}
