//! Where a fault is injected: what becomes of a request that a rule strikes.
//!
//! `fault_rules` has chosen the fault; faults of single PutRecords entries are injected by the
//! operation itself (`kinesis/put_records.rs`).

use std::borrow::Cow;

use crate::backend::Backend;
use crate::body::BrokenConnection;
use crate::fault::Fault;
use crate::http_answer::HttpAnswer;
use crate::kinesis::Failure;

/// How a service refuses what a fault rule strikes.
pub(crate) struct Refusals<A> {
    pub(crate) throttled: Failure,
    pub(crate) internal: Failure,
    /// The service's form of an error.
    pub(crate) answer: A,
}

/// What becomes of a request that a fault strikes as a whole.
pub(crate) async fn strike(
    backend: &Backend,
    fault: Fault,
    refusals: Refusals<impl Fn(&Failure) -> HttpAnswer>,
    perform: impl Fn() -> HttpAnswer,
) -> Result<HttpAnswer, BrokenConnection> {
    let refuse = refusals.answer;
    Ok(match fault {
        Fault::Throttle => refuse(&refusals.throttled),
        Fault::Internal => refuse(&refusals.internal),
        Fault::LoseAnswer => {
            perform();
            refuse(&refusals.internal)
        }
        Fault::LoseResponse => {
            perform();
            return Err(BrokenConnection);
        }
        Fault::LoseRequest => return Err(BrokenConnection),
        Fault::Delay(time) => {
            backend.env().sleep(time).await;
            perform()
        }
        Fault::TruncateBody(bytes) => perform().with_body(|body| body.truncated(bytes)),
        Fault::SlowBody { bytes, every } => {
            perform().with_body(|body| body.dribbling(bytes, every, backend.env().clone()))
        }
        // Only tables can be read as they were.
        Fault::StaleRead(_) => perform(),
        Fault::Unavailable => refuse(&Failure {
            status: 503,
            ..Failure::new(
                "ServiceUnavailable",
                "Service is unable to handle the request.",
            )
        }),
        Fault::Error {
            status,
            kind,
            message,
        } => refuse(&Failure {
            status,
            kind: Cow::Owned(kind),
            message: Some(message),
        }),
    })
}
