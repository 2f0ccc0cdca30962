//! The admin API: what a test in another process, or a person, asks of a mock beside AWS's own
//! operations. JSON over HTTP, on a port of its own.
//!
//! | request | |
//! |---|---|
//! | `GET /health` | whether it answers |
//! | `GET /metrics` | requests by operation and strikes by fault rule, for Prometheus |
//! | `GET /faults` | every fault rule and how often it struck |
//! | `POST /faults` | adds rules, in the text of [`Mock::add_faults`](crate::Mock::add_faults) |
//! | `DELETE /faults`, `DELETE /faults/ID` | drops all rules, or one |
//! | `GET /clock` | the mock's time |
//! | `POST /clock/advance` | `{"ms": N}` moves a manual clock on |
//! | `POST /reset`, `POST /moto-api/reset` | drops all streams, tables and fault rules |
//!
//! What cannot be done is a 4xx with `{"error": "..."}`. Nobody is asked who they are: it is for
//! loopback addresses.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shardwise_env::Env;
use tower_service::Service;

use crate::backend::Backend;
use crate::body::{BrokenConnection, ResponseBody, ResponseFuture, read_all};
use crate::fault_text::RuleReport;
use crate::operation::Operation;

/// The largest body that is read: some thousand fault rules.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// How far the clock moves at once: dates must not run out of what HTTP can write.
const MAX_ADVANCE_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;

const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4";

/// The admin API of a [`Mock`](crate::Mock) as a service of whole HTTP requests. Cheap to clone;
/// [`Mock::admin_service`](crate::Mock::admin_service) makes it.
#[derive(Debug, Clone)]
pub struct AdminService(Arc<Backend>);

impl AdminService {
    pub(crate) fn new(backend: Arc<Backend>) -> Self {
        Self(backend)
    }
}

impl<B> Service<Request<B>> for AdminService
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
        let backend = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            // Whatever the mock's clock, which may wait for this very request.
            let patience = Env::system();
            let reply = match read_all(body, MAX_BODY_BYTES, &patience).await {
                Ok(body) => answer(&backend, &head.method, head.uri.path(), &body),
                Err(status) => Err(Refusal(status, "the request did not arrive".to_owned())),
            };
            Ok(reply.unwrap_or_else(Reply::from).into_response())
        })
    }
}

/// What goes back.
struct Reply {
    status: StatusCode,
    content_type: &'static str,
    body: String,
}

/// Why a request is not done.
struct Refusal(StatusCode, String);

impl Reply {
    fn json(value: &impl Serialize) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: JSON,
            body: serde_json::to_string(value).unwrap_or_default(),
        }
    }

    fn into_response(self) -> Response<ResponseBody> {
        let mut response = Response::new(ResponseBody::new(self.body));
        *response.status_mut() = self.status;
        let content_type = HeaderValue::from_static(self.content_type);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}

impl From<Refusal> for Reply {
    fn from(Refusal(status, why): Refusal) -> Self {
        Self {
            status,
            ..Self::json(&json!({"error": why}))
        }
    }
}

fn answer(backend: &Backend, method: &Method, path: &str, body: &Bytes) -> Result<Reply, Refusal> {
    match (method, path) {
        (&Method::GET, "/health") => Ok(Reply::json(&json!({"status": "ok"}))),
        (&Method::GET, "/metrics") => Ok(Reply {
            status: StatusCode::OK,
            content_type: PROMETHEUS,
            body: metrics(backend),
        }),
        (&Method::GET, "/faults") => Ok(Reply::json(&reports(backend))),
        (&Method::POST, "/faults") => add_faults(backend, body),
        (&Method::DELETE, "/faults") => {
            backend.rules().clear();
            Ok(done())
        }
        (&Method::DELETE, path) if path.starts_with("/faults/") => {
            let id = path.trim_start_matches("/faults/");
            match id.parse() {
                Ok(number) if backend.rules().remove(number) => Ok(done()),
                _ => Err(Refusal(
                    StatusCode::NOT_FOUND,
                    format!("there is no rule {id}"),
                )),
            }
        }
        (&Method::GET, "/clock") => Ok(clock(backend)),
        (&Method::POST, "/clock/advance") => advance(backend, body),
        (&Method::POST, "/reset" | "/moto-api/reset") => {
            backend.reset();
            Ok(done())
        }
        (_, "/health" | "/metrics" | "/faults" | "/clock" | "/clock/advance" | "/reset") => {
            Err(Refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{path} takes no {method}"),
            ))
        }
        _ => Err(Refusal(
            StatusCode::NOT_FOUND,
            format!("there is no {path}"),
        )),
    }
}

fn done() -> Reply {
    Reply::json(&json!({"status": "ok"}))
}

fn reports(backend: &Backend) -> Vec<RuleReport> {
    let rules = backend.rules().all_rules();
    rules.iter().map(RuleReport::from).collect()
}

fn add_faults(backend: &Backend, body: &Bytes) -> Result<Reply, Refusal> {
    let text = std::str::from_utf8(body).map_err(|error| bad_request(&error))?;
    let rules = backend
        .add_rules(text)
        .map_err(|error| bad_request(&error))?;
    let ids: Vec<u64> = rules.into_iter().map(|(id, _)| id).collect();
    Ok(Reply {
        status: StatusCode::CREATED,
        ..Reply::json(&json!({"ids": ids}))
    })
}

fn clock(backend: &Backend) -> Reply {
    let now = backend.now();
    Reply::json(&json!({
        "wall_ms": now.wall_ms,
        "uptime_ms": now.uptime_ms(),
        "manual": backend.manual_clock().is_some(),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    ms: u64,
}

fn advance(backend: &Backend, body: &Bytes) -> Result<Reply, Refusal> {
    let Advance { ms } = serde_json::from_slice(body).map_err(|error| bad_request(&error))?;
    let Some(clock) = backend.manual_clock() else {
        return Err(Refusal(
            StatusCode::CONFLICT,
            "the clock moves by itself: only a manual clock can be moved".to_owned(),
        ));
    };
    if ms > MAX_ADVANCE_MS {
        return Err(Refusal(
            StatusCode::BAD_REQUEST,
            format!("the clock moves by {MAX_ADVANCE_MS} ms at most, ten years"),
        ));
    }
    clock.advance(Duration::from_millis(ms));
    Ok(self::clock(backend))
}

fn bad_request(error: &impl ToString) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, error.to_string())
}

/// The text that Prometheus reads.
/// <https://prometheus.io/docs/instrumenting/exposition_formats/>
fn metrics(backend: &Backend) -> String {
    let mut text = "# HELP shardwise_mock_requests_total Requests by operation.\n\
                    # TYPE shardwise_mock_requests_total counter\n"
        .to_owned();
    for &operation in Operation::ALL {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "shardwise_mock_requests_total{{service=\"{}\",operation=\"{operation}\"}} {}",
            operation.api().name(),
            backend.calls().of(operation)
        );
    }
    text += "# HELP shardwise_mock_fault_strikes_total Requests that a fault rule struck.\n\
             # TYPE shardwise_mock_fault_strikes_total counter\n";
    for rule in reports(backend) {
        let _ = writeln!(
            text,
            "shardwise_mock_fault_strikes_total{{rule=\"{}\"}} {}",
            rule.id, rule.struck
        );
    }
    text
}
