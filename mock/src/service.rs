//! One HTTP exchange: which service, which operation, is it signed, does it parse, what answers.
//!
//! The order of the checks is the service's own, as kinesalite recorded it: origin, method, body,
//! content type, JSON, operation, signature; then the operation's own checks. The path is ignored.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tower_service::Service;

use crate::answer::Answer;
use crate::auth::Claim;
use crate::body::ResponseBody;
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
            Ok(answer.into_response(&mock, &head))
        })
    }
}

async fn exchange(mock: &Mock, head: &Parts, body: &Bytes) -> Answer {
    if head.method == Method::OPTIONS && head.headers.contains_key(header::ORIGIN) {
        return Answer::plain(StatusCode::OK);
    }
    if head.method != Method::POST {
        return Answer::access_denied();
    }
    let target = Target::read(&head.headers);
    match target.api {
        Some(Api::DynamoDb) => dynamodb(mock, head, &target, body).await,
        Some(Api::Kinesis) | None => kinesis(mock, head, &target, body).await,
    }
}

/// What X-Amz-Target names.
struct Target<'h> {
    /// Whether it names some service and some operation, known or not.
    is_complete: bool,
    api: Option<Api>,
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
            api,
            name,
            operation: api.and_then(|api| Operation::find(api, name)),
        }
    }
}

async fn kinesis(mock: &Mock, head: &Parts, target: &Target<'_>, body: &Bytes) -> Answer {
    let is_json = content_type(head) == KINESIS_JSON;
    let refuse = |failure: &Failure| Answer::failure(KINESIS_JSON, failure);
    if body.is_empty() {
        let kind = match target.operation {
            Some(_) => "SerializationException",
            None => "UnknownOperationException",
        };
        return if is_json {
            refuse(&Failure::bare(kind))
        } else {
            Answer::cbor(kind)
        };
    }
    if !is_json {
        return if target.is_complete {
            Answer::unknown_content_type()
        } else {
            Answer::access_denied()
        };
    }
    let Some(request) = Value::from_json(body) else {
        return refuse(&Failure::bare("SerializationException"));
    };
    let Some(operation) = target.operation else {
        return refuse(&Failure::unknown_operation());
    };
    if let Err(failure) = authenticate(mock, head, body, Api::Kinesis) {
        return refuse(&failure);
    }
    mock.control().count(operation);
    let perform = |effect: Option<&Effect>| {
        let faults = match effect {
            Some(Effect::Entries(faults)) => Some(&**faults),
            _ => None,
        };
        match mock.kinesis().call(operation, &request, faults, mock.now()) {
            Ok(body) => Answer::new(200, KINESIS_JSON, body),
            Err(failure) => refuse(&failure),
        }
    };
    match mock.control().apply(operation) {
        Some(Effect::Whole(fault)) => match fault {
            Fault::Throttle => refuse(&mock.kinesis().throttled(operation, &request)),
            Fault::Internal => refuse(&Failure::internal()),
            Fault::LoseAnswer => {
                perform(None);
                refuse(&Failure::internal())
            }
            Fault::Delay(time) => {
                mock.env().sleep(time).await;
                perform(None)
            }
            Fault::Unavailable => unavailable(KINESIS_JSON),
            Fault::Error {
                status,
                kind,
                message,
            } => Answer::error(status, KINESIS_JSON, &kind, &message),
        },
        effect => perform(effect.as_ref()),
    }
}

async fn dynamodb(mock: &Mock, head: &Parts, target: &Target<'_>, body: &Bytes) -> Answer {
    let refuse =
        |status, kind: &str, message: &str| Answer::error(status, DYNAMODB_JSON, kind, message);
    if content_type(head) != DYNAMODB_JSON {
        return Answer::unknown_content_type();
    }
    if let Err(failure) = authenticate(mock, head, body, Api::DynamoDb) {
        let kind = format!("com.amazon.coral.service#{}", failure.kind);
        return refuse(failure.status, &kind, &failure.message.unwrap_or_default());
    }
    let perform = || match mock.dynamodb().call(target.name, body) {
        Ok(body) => Answer::new(200, DYNAMODB_JSON, body),
        Err(failure) => {
            let body = failure.body.to_string().into_bytes();
            Answer::new(failure.status, DYNAMODB_JSON, body)
        }
    };
    let Some(operation) = target.operation else {
        return perform();
    };
    let internal = || {
        refuse(
            500,
            "com.amazonaws.dynamodb.v20120810#InternalServerError",
            "The request processing has failed because of an unknown error.",
        )
    };
    mock.control().count(operation);
    match mock.control().apply(operation) {
        Some(Effect::Whole(fault)) => match fault {
            Fault::Throttle => refuse(
                400,
                "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
                "The level of configured provisioned throughput for the table was exceeded. \
                 Consider increasing your provisioning level with the UpdateTable API.",
            ),
            Fault::Internal => internal(),
            Fault::LoseAnswer => {
                perform();
                internal()
            }
            Fault::Delay(time) => {
                mock.env().sleep(time).await;
                perform()
            }
            Fault::Unavailable => unavailable(DYNAMODB_JSON),
            Fault::Error {
                status,
                kind,
                message,
            } => refuse(status, &kind, &message),
        },
        Some(Effect::Entries(_)) | None => perform(),
    }
}

/// Refuses a request that is not signed, or that is signed wrongly where signatures count.
fn authenticate(mock: &Mock, head: &Parts, body: &[u8], api: Api) -> Result<(), Failure> {
    let claim = Claim::read(head)?;
    match mock.verifier() {
        Some(verifier) => verifier.verify(&claim, head, body, api, mock.now().wall_seconds()),
        None => Ok(()),
    }
}

fn unavailable(content_type: &'static str) -> Answer {
    Answer::error(
        503,
        content_type,
        "ServiceUnavailable",
        "Service is unable to handle the request.",
    )
}

/// The content type without its parameters.
fn content_type(head: &Parts) -> &str {
    let content_type = text(&head.headers, &header::CONTENT_TYPE);
    content_type.split(';').next().unwrap_or_default().trim()
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> &'h str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
