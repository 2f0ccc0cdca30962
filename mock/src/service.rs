//! One HTTP exchange: which service, which operation, is it signed, does it parse, what answers.
//!
//! The order of the checks is the service's own, as kinesalite recorded it: origin, method, body,
//! content type, JSON, operation, signature; then the operation's own checks. The path is ignored.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tower_service::Service;

use crate::auth;
use crate::body::ResponseBody;
use crate::clock::Now;
use crate::control::{Effect, Fault};
use crate::kinesis::{Failure, Value};
use crate::mock::Mock;
use crate::operation::{Api, Operation};

/// The largest request body that is read: ten MiB of records are fourteen as base64, and 500 keys
/// and the JSON around them are less than one.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// How long a request's body may take to arrive; a client that stalls must not hold a connection
/// for ever.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

const KINESIS_JSON: &str = "application/x-amz-json-1.1";
const DYNAMODB_JSON: &str = "application/x-amz-json-1.0";
const CBOR: &str = "application/x-amz-cbor-1.1";

/// A [`Mock`] as a service of whole HTTP requests. Cheap to clone; [`Mock::service`] makes it.
#[derive(Debug, Clone)]
pub struct MockService {
    mock: Mock,
}

/// An answer on its way.
pub type ResponseFuture =
    Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Infallible>> + Send>>;

impl MockService {
    pub(crate) fn new(mock: Mock) -> Self {
        Self { mock }
    }
}

impl<B> Service<Request<B>> for MockService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let mock = self.mock.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = Limited::new(body, MAX_REQUEST_BYTES).collect();
            let answer = match mock.env().timeout(BODY_TIMEOUT, body).await {
                Ok(Ok(body)) => exchange(&mock, &head, &body.to_bytes()).await,
                Ok(Err(error)) if error.is::<LengthLimitError>() => {
                    Answer::plain(StatusCode::PAYLOAD_TOO_LARGE)
                }
                Ok(Err(_)) => Answer::plain(StatusCode::BAD_REQUEST),
                Err(_) => Answer::plain(StatusCode::REQUEST_TIMEOUT),
            };
            Ok(respond(&mock, &head, answer))
        })
    }
}

/// What goes back, before the headers that every answer has.
struct Answer {
    status: StatusCode,
    content_type: Option<&'static str>,
    body: Vec<u8>,
}

impl Answer {
    fn plain(status: StatusCode) -> Self {
        Self {
            status,
            content_type: None,
            body: Vec::new(),
        }
    }

    fn of(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
            content_type: Some(content_type),
            body,
        }
    }

    fn failure(content_type: &'static str, failure: &Failure) -> Self {
        let body = serde_json::to_vec(failure).unwrap_or_default();
        Self::of(failure.status, content_type, body)
    }

    fn any_failure(content_type: &'static str, status: u16, kind: &str, message: &str) -> Self {
        let body = serde_json::json!({"__type": kind, "message": message});
        Self::of(status, content_type, body.to_string().into_bytes())
    }

    /// How the service refuses before it knows that the client speaks JSON.
    fn xml(status: StatusCode, kind: &str, message: &str) -> Self {
        Self {
            status,
            content_type: None,
            body: format!("<{kind}>\n  <Message>{message}</Message>\n</{kind}>\n").into_bytes(),
        }
    }

    /// A bare error type in CBOR: what the service sends before it knows better.
    fn cbor(kind: &str) -> Self {
        // An indefinite map of one text pair; a length of 24 to 255 takes a byte of its own.
        let mut body = b"\xbf\x66__type".to_vec();
        match u8::try_from(kind.len()) {
            Ok(length) if length < 24 => body.push(0x60 | length),
            Ok(length) => body.extend([0x78, length]),
            Err(_) => {}
        }
        body.extend(kind.as_bytes());
        body.push(0xff);
        Self::of(400, CBOR, body)
    }
}

async fn exchange(mock: &Mock, head: &Parts, body: &Bytes) -> Answer {
    if head.method == Method::OPTIONS && head.headers.contains_key(header::ORIGIN) {
        return Answer::plain(StatusCode::OK);
    }
    let content_type = text(&head.headers, &header::CONTENT_TYPE)
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    let target = Target::read(&head.headers);
    if head.method != Method::POST {
        return access_denied();
    }
    if body.is_empty() {
        let kind = match target.operation {
            Some(_) => "SerializationException",
            None => "UnknownOperationException",
        };
        return match target.json_type(content_type) {
            Some(json) => Answer::failure(json, &Failure::bare(kind)),
            None => Answer::cbor(kind),
        };
    }
    let Some(json) = target.json_type(content_type) else {
        return if target.is_complete {
            Answer {
                status: StatusCode::NOT_FOUND,
                content_type: None,
                body: b"<UnknownOperationException/>\n".to_vec(),
            }
        } else {
            access_denied()
        };
    };
    let Some(request) = Value::from_json(body).filter(|value| matches!(value, Value::Map(_)))
    else {
        return Answer::failure(json, &Failure::bare("SerializationException"));
    };
    if !target.is_dynamodb && target.operation.is_none() {
        return Answer::failure(json, &Failure::unknown_operation());
    }
    if let Err(failure) = auth::check(&head.headers, head.uri.query()) {
        return Answer::failure(json, &failure);
    }
    let call = Call {
        mock,
        operation: target.operation,
        name: target.name,
        is_dynamodb: target.is_dynamodb,
        json,
        request: &request,
        body,
    };
    call.answer().await
}

fn access_denied() -> Answer {
    Answer::xml(
        StatusCode::FORBIDDEN,
        "AccessDeniedException",
        "Unable to determine service/operation name to be authorized",
    )
}

/// What X-Amz-Target names.
struct Target<'h> {
    /// Whether it names some service and some operation, known or not.
    is_complete: bool,
    is_dynamodb: bool,
    name: &'h str,
    /// The operation, if the mock has it.
    operation: Option<Operation>,
}

impl<'h> Target<'h> {
    fn read(headers: &'h HeaderMap) -> Self {
        const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
        let (service, name) = text(headers, &TARGET).split_once('.').unwrap_or_default();
        let api = match service {
            "Kinesis_20131202" => Some(Api::Kinesis),
            "DynamoDB_20120810" => Some(Api::DynamoDb),
            _ => None,
        };
        Self {
            is_complete: !service.is_empty() && !name.is_empty(),
            is_dynamodb: api == Some(Api::DynamoDb),
            name,
            operation: api.and_then(|api| Operation::find(api, name)),
        }
    }

    /// The content type of the answer, if the request's is one that the service reads.
    fn json_type(&self, content_type: &str) -> Option<&'static str> {
        match content_type {
            DYNAMODB_JSON if self.is_dynamodb => Some(DYNAMODB_JSON),
            KINESIS_JSON if !self.is_dynamodb => Some(KINESIS_JSON),
            _ => None,
        }
    }
}

/// A request that has come through all checks of form.
struct Call<'c> {
    mock: &'c Mock,
    operation: Option<Operation>,
    name: &'c str,
    is_dynamodb: bool,
    json: &'static str,
    request: &'c Value<'c>,
    body: &'c Bytes,
}

impl Call<'_> {
    async fn answer(&self) -> Answer {
        let Some(operation) = self.operation else {
            return self.dynamodb();
        };
        let control = self.mock.control();
        control.count(operation);
        match control.apply(operation) {
            None => self.perform(None),
            Some(effect @ Effect::Entries(_)) => self.perform(Some(&effect)),
            Some(Effect::Whole(fault)) => self.faulty(operation, fault).await,
        }
    }

    async fn faulty(&self, operation: Operation, fault: Fault) -> Answer {
        match fault {
            Fault::Delay(time) => {
                self.mock.env().sleep(time).await;
                self.perform(None)
            }
            Fault::LoseAnswer => {
                self.perform(None);
                self.internal_failure()
            }
            Fault::Internal => self.internal_failure(),
            Fault::Unavailable => Answer::any_failure(
                self.json,
                503,
                "ServiceUnavailable",
                "Service is unable to handle the request.",
            ),
            Fault::Throttle if self.is_dynamodb => Answer::any_failure(
                self.json,
                400,
                "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
                "The level of configured provisioned throughput for the table was exceeded. \
                 Consider increasing your provisioning level with the UpdateTable API.",
            ),
            Fault::Throttle => {
                let failure = self.mock.kinesis().throttled(operation, self.request);
                Answer::failure(self.json, &failure)
            }
            Fault::Error {
                status,
                kind,
                message,
            } => Answer::any_failure(self.json, status, &kind, &message),
        }
    }

    fn internal_failure(&self) -> Answer {
        if self.is_dynamodb {
            return Answer::any_failure(
                self.json,
                500,
                "com.amazonaws.dynamodb.v20120810#InternalServerError",
                "The request processing has failed because of an unknown error.",
            );
        }
        Answer::failure(self.json, &Failure::internal())
    }

    fn perform(&self, effect: Option<&Effect>) -> Answer {
        let Some(operation) = self.operation.filter(|_| !self.is_dynamodb) else {
            return self.dynamodb();
        };
        let faults = match effect {
            Some(Effect::Entries(faults)) => Some(&**faults),
            _ => None,
        };
        let kinesis = self.mock.kinesis();
        match kinesis.call(operation, self.request, faults, self.mock.now()) {
            Ok(body) => Answer::of(200, self.json, body),
            Err(failure) => Answer::failure(self.json, &failure),
        }
    }

    fn dynamodb(&self) -> Answer {
        match self.mock.dynamodb().call(self.name, self.body) {
            Ok(body) => Answer::of(200, self.json, body),
            Err(failure) => {
                let body = failure.body.to_string().into_bytes();
                Answer::of(failure.status, self.json, body)
            }
        }
    }
}

/// Adds what every answer has.
fn respond(mock: &Mock, head: &Parts, answer: Answer) -> Response<ResponseBody> {
    let length = answer.body.len();
    let mut response = Response::new(ResponseBody::new(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if let Some(content_type) = answer.content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    insert(headers, header::DATE, http_date(mock.now()));
    insert(headers, REQUEST_ID, mock.ids().uuid());
    headers.insert(MOCK_VERSION, HeaderValue::from_static(VERSION));
    let preflight = head.method == Method::OPTIONS;
    if let Some(origin_headers) = cross_origin(&head.headers, preflight) {
        headers.extend(origin_headers);
        if preflight {
            return response;
        }
    }
    insert(headers, EXTENDED_REQUEST_ID, extended_id(mock));
    response
}

/// The headers for a browser, if the request comes from one.
fn cross_origin(request: &HeaderMap, preflight: bool) -> Option<HeaderMap> {
    request.get(header::ORIGIN)?;
    let mut headers = HeaderMap::new();
    let any = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    if !preflight {
        let exposed = "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,\
                       x-amzn-ErrorMessage,Date";
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(exposed),
        );
        return Some(headers);
    }
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
    let max_age = HeaderValue::from_static("172800");
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, max_age);
    Some(headers)
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> &'h str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: impl fmt::Display) {
    if let Ok(value) = HeaderValue::try_from(value.to_string()) {
        headers.insert(name, value);
    }
}

/// From the mock's own clock, since clients correct their clocks by it.
fn http_date(now: Now) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(now.wall_ms))
}

/// Seventy-two random bytes, as the service sends.
fn extended_id(mock: &Mock) -> String {
    let mut bytes = [0; 72];
    for chunk in bytes.chunks_exact_mut(8) {
        chunk.copy_from_slice(&mock.ids().draw().to_be_bytes());
    }
    STANDARD.encode(bytes)
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const EXTENDED_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-id-2");
const MOCK_VERSION: HeaderName = HeaderName::from_static("x-shardwise-mock");
