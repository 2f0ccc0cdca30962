//! A transport that misbehaves as told: for tests of whatever stands above it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use shardwise_env::Env;

use super::{Body, BoxFuture, Transport, TransportError};

/// One way in which an exchange can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A `400` with the throttling error of the service that was called.
    Throttle,
    /// A `500 InternalFailure`; the service did not see the request.
    InternalFailure,
    /// The connection cannot be made.
    Refuse,
    /// The request vanishes on its way: the service never sees it, the caller sees a broken
    /// connection.
    LoseRequest,
    /// The service does what it was asked, but its answer never arrives: the caller sees a broken
    /// connection.
    LoseResponse,
    /// The service does what it was asked, but the caller waits for ever.
    HangAfter,
    /// The caller waits for ever, and the service never sees the request.
    HangBefore,
    /// The answer comes this much later.
    Delay(Duration),
    /// The answer is cut off in the middle of its body.
    TruncateBody,
    /// No fault: lets one call pass, to fail a later one.
    Pass,
}

/// A shared plan of faults; a clone steers the same transport.
///
/// Rules are used once, in the order they were added, by the next call whose `X-Amz-Target` ends
/// with the rule's operation.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<VecDeque<Rule>>>);

#[derive(Debug)]
struct Rule {
    operation: String,
    fault: Fault,
    left: usize,
}

impl Faults {
    /// The next `times` calls of `operation` (as AWS spells it: `PutRecords`, `UpdateItem`; `*`
    /// for any) meet `fault`.
    pub fn on(&self, operation: &str, times: usize, fault: Fault) -> &Self {
        self.lock().push_back(Rule {
            operation: operation.to_owned(),
            fault,
            left: times,
        });
        self
    }

    /// Drops every rule that is left.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Calls that are still to fail.
    #[must_use]
    pub fn left(&self) -> usize {
        self.lock().iter().map(|rule| rule.left).sum()
    }

    fn next(&self, target: &str) -> Option<Fault> {
        let operation = target.rsplit('.').next().unwrap_or_default();
        let mut rules = self.lock();
        let index = rules
            .iter()
            .position(|rule| rule.operation == operation || rule.operation == "*")?;
        let rule = &mut rules[index];
        rule.left = rule.left.saturating_sub(1);
        let (fault, done) = (rule.fault, rule.left == 0);
        if done {
            rules.remove(index);
        }
        Some(fault)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Rule>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wraps a transport and lets [`Faults`] happen to its exchanges.
#[derive(Clone)]
pub struct Faulty<T> {
    inner: T,
    env: Env,
    faults: Faults,
}

impl<T> Faulty<T> {
    /// Wraps `inner`; delays run on the clock of `env`.
    pub fn new(inner: T, env: Env) -> Self {
        Self {
            inner,
            env,
            faults: Faults::default(),
        }
    }

    /// The plan that this transport follows.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }
}

impl<T: fmt::Debug> fmt::Debug for Faulty<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<T: Transport> Transport for Faulty<T> {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>> {
        let target = request
            .headers()
            .get("x-amz-target")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let fault = self.faults.next(&target).unwrap_or(Fault::Pass);
        Box::pin(async move {
            match fault {
                Fault::Pass => self.inner.send(request).await,
                Fault::Throttle => Ok(throttled(&target)),
                Fault::InternalFailure => {
                    Ok(answer(500, "InternalFailure", "planned by a fault rule"))
                }
                Fault::Refuse => Err(TransportError::connect("refused by a fault rule")),
                Fault::LoseRequest => Err(TransportError::broken("lost by a fault rule")),
                Fault::LoseResponse => {
                    self.inner.send(request).await?;
                    Err(TransportError::broken("answer lost by a fault rule"))
                }
                Fault::HangBefore => std::future::pending().await,
                Fault::HangAfter => {
                    self.inner.send(request).await?;
                    std::future::pending().await
                }
                Fault::Delay(delay) => {
                    let response = self.inner.send(request).await;
                    self.env.sleep(delay).await;
                    response
                }
                Fault::TruncateBody => truncate(self.inner.send(request).await?).await,
            }
        })
    }
}

fn throttled(target: &str) -> http::Response<Body> {
    // LimitExceeded, since every Kinesis operation models it; DynamoDB has a name of its own.
    let code = if target.starts_with("DynamoDB") {
        "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
    } else if target.ends_with("PutRecord")
        || target.ends_with("PutRecords")
        || target.ends_with("GetRecords")
        || target.ends_with("GetShardIterator")
    {
        "ProvisionedThroughputExceededException"
    } else {
        "LimitExceededException"
    };
    answer(400, code, "Rate exceeded, by a fault rule")
}

fn answer(status: u16, code: &str, message: &str) -> http::Response<Body> {
    let body = format!(r#"{{"__type":"{code}","message":"{message}"}}"#);
    let mut response = http::Response::new(Body::full(Bytes::from(body)));
    *response.status_mut() =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response
}

async fn truncate(response: http::Response<Body>) -> Result<http::Response<Body>, TransportError> {
    let (parts, body) = response.into_parts();
    let whole = body
        .collect()
        .await
        .map_err(TransportError::broken)?
        .to_bytes();
    let half = whole.slice(..whole.len() / 2);
    Ok(http::Response::from_parts(parts, Body::full(half)))
}
