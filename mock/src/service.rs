//! One HTTP exchange: which service, which operation, is it signed, does it parse, what answers.
//!
//! The order of the checks is the service's own, as kinesalite recorded it: origin, method, body,
//! content type, JSON or CBOR, operation, signature; then the operation's own checks. The path is ignored, but for `/moto-api/reset` where that is asked for.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use serde_json::json;
use shardwise_env::Env;
use tower_service::Service;

use crate::auth::Claim;
use crate::backend::Backend;
use crate::body::{BrokenConnection, ResponseBody, ResponseFuture, read_all};
use crate::dynamodb::DynamoDb;
use crate::fault::Fault;
use crate::fault_injection::{Refusals, strike};
use crate::fault_rules::{Effect, Subject};
use crate::http_answer::{DYNAMODB_JSON, HttpAnswer, PLAIN_JSON};
use crate::kinesis::{Encoding, Failure, Value};
use crate::operation::{Api, Operation};

/// The largest request body that is read: ten MiB of records are fourteen as base64, and 500 keys
/// and the JSON around them are less than one.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// Where moto takes a reset, and suites written for it send one.
/// <https://docs.getmoto.org/en/latest/docs/server_mode.html>
const MOTO_RESET: &str = "/moto-api/reset";

/// A [`Mock`](crate::Mock) as a service of whole HTTP requests. Cheap to clone;
/// [`Mock::service`](crate::Mock::service) makes it.
#[derive(Debug, Clone)]
pub struct MockService {
    backend: Arc<Backend>,
    /// The clock that a body's arrival is timed by.
    patience: Env,
}

impl MockService {
    pub(crate) fn new(backend: Arc<Backend>) -> Self {
        let patience = backend.env().clone();
        Self { backend, patience }
    }

    /// For requests that come by sockets: those live in real time, whatever the mock's clock.
    pub(crate) fn on_sockets(self) -> Self {
        Self {
            patience: Env::system(),
            ..self
        }
    }
}

impl<B> Service<Request<B>> for MockService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody>;
    type Error = BrokenConnection;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BrokenConnection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let (backend, patience) = (self.backend.clone(), self.patience.clone());
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let answer = match read_all(body, MAX_REQUEST_BYTES, &patience).await {
                Ok(body) => exchange(&backend, &head, &body).await?,
                Err(status) => HttpAnswer::plain(status),
            };
            Ok(answer.into_response(&backend, &head))
        })
    }
}

async fn exchange(
    backend: &Backend,
    head: &Parts,
    body: &Bytes,
) -> Result<HttpAnswer, BrokenConnection> {
    if head.method == Method::OPTIONS && head.headers.contains_key(header::ORIGIN) {
        return Ok(HttpAnswer::plain(StatusCode::OK));
    }
    if head.method != Method::POST {
        return Ok(HttpAnswer::access_denied());
    }
    if backend.moto_reset && head.uri.path() == MOTO_RESET {
        backend.reset();
        return Ok(HttpAnswer::new(
            200,
            PLAIN_JSON,
            br#"{"status":"ok"}"#.to_vec(),
        ));
    }
    let target = Target::read(&head.headers);
    match target.api {
        Some(Api::DynamoDb) => dynamodb(backend, head, &target, body).await,
        Some(Api::Kinesis) | None => kinesis(backend, head, &target, body).await,
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

async fn kinesis(
    backend: &Backend,
    head: &Parts,
    target: &Target<'_>,
    body: &Bytes,
) -> Result<HttpAnswer, BrokenConnection> {
    let call = match read_kinesis(backend, head, target, body) {
        Ok(call) => call,
        Err(refusal) => return Ok(refusal),
    };
    let (operation, encoding, request) = (call.operation, call.encoding, &call.request);
    let refuse = |failure: &Failure| HttpAnswer::failure(encoding, failure);
    backend.calls().count(operation);
    let now = backend.now();
    let account = backend.accounts().of(&call.claim, Some(operation), now);
    let kinesis = &account.kinesis;
    let perform = |effect: Option<&Effect>| {
        let faults = match effect {
            Some(Effect::Entries(faults)) => Some(&**faults),
            _ => None,
        };
        if operation == Operation::SubscribeToShard {
            return match kinesis.subscribe_to_shard(request, encoding, backend.clock()) {
                Ok(subscription) => {
                    HttpAnswer::events(ResponseBody::pieces(subscription.messages()))
                }
                Err(failure) => refuse(&failure),
            };
        }
        // Not `now`: a fault may have delayed it.
        match kinesis.call(operation, request, encoding, faults, backend.now()) {
            Ok(body) => HttpAnswer::new(200, encoding.content_type(), body),
            Err(failure) => refuse(&failure),
        }
    };
    let effect = backend.rules().apply(&Subject {
        operation,
        caller: call.claim.access_key_id(),
        uptime: now.uptime,
        names: &|stream| kinesis.is_about(request, stream),
        touches: &|shard| kinesis.is_about_shard(request, shard, now),
    });
    match effect {
        Some(Effect::Whole(fault)) => {
            let refusals = Refusals {
                throttled: kinesis.throttled(operation, request),
                internal: Failure::internal(),
                answer: refuse,
            };
            strike(backend, fault, refusals, || perform(None)).await
        }
        effect => Ok(perform(effect.as_ref())),
    }
}

/// A request to Kinesis that the front end has let in.
struct KinesisCall<'r> {
    operation: Operation,
    encoding: Encoding,
    request: Value<'r>,
    claim: Claim<'r>,
}

/// What a request to Kinesis asks for and who signed it, or its refusal by the front end.
fn read_kinesis<'r>(
    backend: &Backend,
    head: &'r Parts,
    target: &Target<'_>,
    body: &'r Bytes,
) -> Result<KinesisCall<'r>, HttpAnswer> {
    let content_type = content_type(head);
    let encoding = Encoding::of(content_type);
    if body.is_empty() {
        let kind = match target.operation {
            Some(_) => "SerializationException",
            None => "UnknownOperationException",
        };
        // The service answers in CBOR as long as nothing says JSON.
        let encoding = encoding.unwrap_or(Encoding::Cbor);
        return Err(HttpAnswer::failure(encoding, &Failure::bare(kind)));
    }
    let Some(encoding) = encoding else {
        return Err(if content_type == PLAIN_JSON {
            match Encoding::Json.read(body) {
                Some(_) => HttpAnswer::plain_json(404, "UnknownOperationException"),
                None => HttpAnswer::plain_json(400, "SerializationException"),
            }
        } else if target.is_complete {
            HttpAnswer::unknown_content_type()
        } else {
            HttpAnswer::access_denied()
        });
    };
    let refuse = |failure: &Failure| HttpAnswer::failure(encoding, failure);
    let request = encoding
        .read(body)
        .ok_or_else(|| refuse(&Failure::bare("SerializationException")))?;
    let operation = target
        .operation
        .ok_or_else(|| refuse(&Failure::unknown_operation()))?;
    let claim =
        authenticate(backend, head, body, Api::Kinesis).map_err(|failure| refuse(&failure))?;
    Ok(KinesisCall {
        operation,
        encoding,
        request,
        claim,
    })
}

async fn dynamodb(
    backend: &Backend,
    head: &Parts,
    target: &Target<'_>,
    body: &Bytes,
) -> Result<HttpAnswer, BrokenConnection> {
    let refuse = |failure: &Failure| {
        let message = failure.message.as_deref().unwrap_or_default();
        let body = json!({"__type": failure.kind, "message": message}).to_string();
        HttpAnswer::dynamodb(failure.status, body.into_bytes())
    };
    if content_type(head) != DYNAMODB_JSON {
        return Ok(HttpAnswer::unknown_content_type());
    }
    let claim = match authenticate(backend, head, body, Api::DynamoDb) {
        Ok(claim) => claim,
        Err(failure) => {
            let kind = format!("com.amazon.coral.service#{}", failure.kind);
            return Ok(refuse(&Failure {
                kind: Cow::Owned(kind),
                ..failure
            }));
        }
    };
    let ask = |dynamodb: &DynamoDb| match dynamodb.call(target.name, body) {
        Ok(body) => HttpAnswer::dynamodb(200, body),
        Err(failure) => {
            let body = failure.body.to_string().into_bytes();
            HttpAnswer::dynamodb(failure.status, body)
        }
    };
    let now = backend.now();
    let account = backend.accounts().of(&claim, target.operation, now);
    let perform = || ask(&account.dynamodb);
    let Some(operation) = target.operation else {
        return Ok(perform());
    };
    backend.calls().count(operation);
    let effect = backend.rules().apply(&Subject {
        operation,
        caller: claim.access_key_id(),
        uptime: now.uptime,
        names: &|table| DynamoDb::is_about(body, table),
        touches: &|_| false,
    });
    match effect {
        Some(Effect::Whole(Fault::StaleRead(age))) => Ok(ask(&account.dynamodb.as_it_was(age))),
        Some(Effect::Whole(fault)) => {
            let refusals = Refusals {
                throttled: Failure::new(
                    "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
                    "The level of configured provisioned throughput for the table was exceeded. \
                     Consider increasing your provisioning level with the UpdateTable API.",
                ),
                internal: Failure {
                    status: 500,
                    ..Failure::new(
                        "com.amazonaws.dynamodb.v20120810#InternalServerError",
                        "The request processing has failed because of an unknown error.",
                    )
                },
                answer: refuse,
            };
            strike(backend, fault, refusals, perform).await
        }
        Some(Effect::Entries(_)) | None => Ok(perform()),
    }
}

/// Who signed a request; refuses it without a signature, and with a wrong one where signatures are
/// verified.
fn authenticate<'r>(
    backend: &Backend,
    head: &'r Parts,
    body: &[u8],
    api: Api,
) -> Result<Claim<'r>, Failure> {
    let claim = Claim::read(head)?;
    if let Some(verifier) = backend.verifier() {
        verifier.verify(&claim, head, body, api, backend.now().wall_seconds())?;
    }
    Ok(claim)
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
