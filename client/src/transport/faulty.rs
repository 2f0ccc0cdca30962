//! A transport that misbehaves by rules: for tests of what stands above it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use shardwise_env::{Env, Task, lock};
use tokio::sync::oneshot;

use super::body::Body;
use super::exchange::{BoxFuture, Transport, TransportError};

/// One way in which an exchange can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportFault {
    /// A `400` with the throttling error of the service that was called.
    Throttle,
    /// A `500 InternalFailure`; the service did not see the request.
    InternalFailure,
    /// This status and error code; the service did not see the request.
    Answer(u16, &'static str),
    /// The connection cannot be made.
    Refuse,
    /// The request vanishes on its way: the service never sees it, the caller sees a broken
    /// connection.
    LoseRequest,
    /// The service does what it was asked, but its answer never arrives: the caller sees a broken
    /// connection.
    LoseResponse,
    /// The service does what it was asked, but the caller waits without end.
    HangAfter,
    /// The caller waits without end, and the service never sees the request.
    HangBefore,
    /// The answer comes this much later.
    Delay(Duration),
    /// The request reaches the service this much later, whether or not the caller still waits: a
    /// zombie write.
    DeliverLate(Duration),
    /// The answer is cut off in the middle of its body.
    TruncateBody,
    /// No fault: lets one call pass, to fail a later one.
    Pass,
}

/// What the network does to every exchange, at random: each rate is a share from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Conditions {
    /// Each direction takes up to this long.
    pub latency: Duration,
    /// Requests that vanish.
    pub lose_request: f64,
    /// Answers that vanish.
    pub lose_response: f64,
    /// Requests that are delivered up to [`Conditions::late`] later.
    pub deliver_late: f64,
    /// How late a late request is, at most.
    pub late: Duration,
    /// Calls that are throttled.
    pub throttle: f64,
    /// Calls that meet a 500.
    pub internal_failure: f64,
    /// Answers that are cut off.
    pub truncate: f64,
}

impl Conditions {
    /// A network without faults and without latency.
    pub const CALM: Self = Self {
        latency: Duration::ZERO,
        lose_request: 0.0,
        lose_response: 0.0,
        deliver_late: 0.0,
        late: Duration::ZERO,
        throttle: 0.0,
        internal_failure: 0.0,
        truncate: 0.0,
    };

    /// The fault of one exchange.
    fn draw(&self, env: &Env) -> TransportFault {
        let mut left = env.random_f64();
        let mut falls_to = |rate: f64| {
            left -= rate;
            left < 0.0
        };
        if falls_to(self.lose_request) {
            TransportFault::LoseRequest
        } else if falls_to(self.lose_response) {
            TransportFault::LoseResponse
        } else if falls_to(self.deliver_late) {
            TransportFault::DeliverLate(self.late.mul_f64(env.random_f64()))
        } else if falls_to(self.throttle) {
            TransportFault::Throttle
        } else if falls_to(self.internal_failure) {
            TransportFault::InternalFailure
        } else if falls_to(self.truncate) {
            TransportFault::TruncateBody
        } else {
            TransportFault::Pass
        }
    }
}

/// A shared plan of faults; a clone steers the same transport.
///
/// Rules are used once, in the order they were added, by the next call whose `X-Amz-Target` ends
/// with the rule's operation. What no rule takes meets the [`Conditions`].
#[derive(Debug, Clone)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug)]
struct Plan {
    rules: VecDeque<Rule>,
    conditions: Conditions,
    cut_off: bool,
    /// The exchanges that are carried, with their owner: this plan, not the sender.
    under_way: Vec<Task<()>>,
}

#[derive(Debug)]
struct Rule {
    operation: String,
    fault: TransportFault,
    left: usize,
}

impl Default for Faults {
    fn default() -> Self {
        let plan = Plan {
            rules: VecDeque::new(),
            conditions: Conditions::CALM,
            cut_off: false,
            under_way: Vec::new(),
        };
        Self(Arc::new(Mutex::new(plan)))
    }
}

impl Faults {
    /// The next `times` calls of `operation` (as AWS spells it: `PutRecords`, `UpdateItem`; `*`
    /// for any) meet `fault`.
    pub fn on(&self, operation: &str, times: usize, fault: TransportFault) -> &Self {
        let rule = Rule {
            operation: operation.to_owned(),
            fault,
            left: times,
        };
        self.lock().rules.push_back(rule);
        self
    }

    /// From now on the network is like this.
    pub fn set_conditions(&self, conditions: Conditions) {
        self.lock().conditions = conditions;
    }

    /// Cuts the caller off from the service, or connects it again: meanwhile every request
    /// vanishes and the caller waits without end.
    pub fn cut_off(&self, cut_off: bool) {
        self.lock().cut_off = cut_off;
    }

    /// Drops every rule, calms the network and connects it.
    pub fn clear(&self) {
        let mut plan = self.lock();
        plan.rules.clear();
        plan.conditions = Conditions::CALM;
        plan.cut_off = false;
    }

    /// Calls that are still to fail by a rule.
    #[must_use]
    pub fn left(&self) -> usize {
        self.lock().rules.iter().map(|rule| rule.left).sum()
    }

    /// Owns the task of an exchange until it has ended.
    fn keep(&self, task: Task<()>) {
        let mut plan = self.lock();
        if plan.under_way.len() == plan.under_way.capacity() {
            plan.under_way.retain(|task| !task.is_finished());
        }
        plan.under_way.push(task);
    }

    /// What happens to a call, and how long each direction takes.
    fn next(&self, target: &str, env: &Env) -> (TransportFault, [Duration; 2]) {
        let operation = target.rsplit('.').next().unwrap_or_default();
        let mut plan = self.lock();
        let latency = plan.conditions.latency;
        let latencies = if latency.is_zero() {
            [Duration::ZERO; 2]
        } else {
            [
                latency.mul_f64(env.random_f64()),
                latency.mul_f64(env.random_f64()),
            ]
        };
        if plan.cut_off {
            return (TransportFault::HangBefore, latencies);
        }
        let index = plan
            .rules
            .iter()
            .position(|rule| rule.operation == operation || rule.operation == "*");
        let Some(index) = index else {
            let calm = plan.conditions
                == Conditions {
                    latency,
                    ..Conditions::CALM
                };
            return (
                if calm {
                    TransportFault::Pass
                } else {
                    plan.conditions.draw(env)
                },
                latencies,
            );
        };
        let rule = &mut plan.rules[index];
        rule.left = rule.left.saturating_sub(1);
        let (fault, done) = (rule.fault, rule.left == 0);
        if done {
            plan.rules.remove(index);
        }
        (fault, latencies)
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        lock(&self.0)
    }
}

/// Wraps a transport and lets [`Faults`] happen to its exchanges.
///
/// An exchange is carried by a task of the network, not of the caller: a request that is under way
/// reaches the service although its sender was killed, frozen or gave up meanwhile, as long as
/// the plan is held by a transport or a test.
#[derive(Clone)]
pub struct Faulty<T> {
    inner: Arc<T>,
    network: Env,
    faults: Faults,
}

impl<T> Faulty<T> {
    /// Wraps `inner`. Tasks, delays and chance are those of `network`.
    pub fn new(inner: T, network: Env) -> Self {
        Self {
            inner: Arc::new(inner),
            network,
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
        Box::pin(async move {
            let target = request
                .headers()
                .get("x-amz-target")
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned();
            let (fault, latencies) = self.faults.next(&target, &self.network);
            let (sender, receiver) = oneshot::channel();
            let (inner, network) = (self.inner.clone(), self.network.clone());
            self.faults.keep(self.network.spawn(async move {
                let result = exchange(&*inner, &network, &target, fault, latencies, request).await;
                // The caller may be gone; the exchange has happened all the same.
                let _gone = sender.send(result);
            }));
            receiver
                .await
                .unwrap_or_else(|_| Err(TransportError::broken("the network is gone")))
        })
    }
}

async fn exchange<T: Transport>(
    inner: &T,
    network: &Env,
    target: &str,
    fault: TransportFault,
    [there, back]: [Duration; 2],
    request: http::Request<Bytes>,
) -> Result<http::Response<Body>, TransportError> {
    pause(network, there).await;
    let result = match fault {
        TransportFault::Pass => inner.send(request).await,
        TransportFault::Throttle => Ok(throttled(target)),
        TransportFault::InternalFailure => Ok(answer(500, "InternalFailure")),
        TransportFault::Answer(status, code) => Ok(answer(status, code)),
        TransportFault::Refuse => Err(TransportError::connect("refused by a fault rule")),
        TransportFault::LoseRequest => Err(TransportError::broken("lost by a fault rule")),
        TransportFault::LoseResponse => {
            inner.send(request).await?;
            Err(TransportError::broken("answer lost by a fault rule"))
        }
        TransportFault::HangBefore => std::future::pending().await,
        TransportFault::HangAfter => {
            inner.send(request).await?;
            std::future::pending().await
        }
        TransportFault::Delay(delay) => {
            let response = inner.send(request).await;
            network.sleep(delay).await;
            response
        }
        TransportFault::DeliverLate(delay) => {
            network.sleep(delay).await;
            inner.send(request).await
        }
        TransportFault::TruncateBody => truncate(inner.send(request).await?).await,
    };
    pause(network, back).await;
    result
}

async fn pause(network: &Env, latency: Duration) {
    if !latency.is_zero() {
        network.sleep(latency).await;
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
    answer(400, code)
}

fn answer(status: u16, code: &str) -> http::Response<Body> {
    let body = format!(r#"{{"__type":"{code}","message":"by a fault rule"}}"#);
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
