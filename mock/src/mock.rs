//! The handle: what a test holds.

use std::net::SocketAddr;
use std::sync::Arc;

use shardwise_types::StreamName;

use crate::admin::AdminService;
use crate::backend::{Backend, CreateStreamError};
use crate::builder::MockBuilder;
use crate::fault_builder::Rule;
use crate::fault_rules::RuleHandle;
use crate::fault_text::FaultsError;
use crate::operation::Operation;
use crate::server::{ListenError, Server};
use crate::service::MockService;

/// Kinesis and DynamoDB in this process.
///
/// Cheap to clone; clones are the same backend. [`Mock::service`] answers requests without a
/// socket, [`Mock::listen`] puts the same backend on a port. Dropping the last handle, service and
/// server drops everything stored.
///
/// ```
/// use shardwise_mock::{Fault, Mock, Operation};
///
/// let mock = Mock::new();
/// mock.on(Operation::PutRecords).times(2).reply(Fault::Throttle);
/// assert_eq!(mock.calls(Operation::PutRecords), 0);
/// ```
#[derive(Debug, Clone)]
pub struct Mock(Arc<Backend>);

impl Mock {
    /// A backend with [`Env::system`](shardwise_env::Env::system) and the defaults of
    /// [`Mock::builder`].
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Settings for a backend.
    pub fn builder() -> MockBuilder {
        MockBuilder::new()
    }

    /// The backend as a service of HTTP requests: the way in for everything in this process.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http_body_util::{BodyExt as _, Full};
    /// use shardwise_mock::Mock;
    /// use tower_service::Service as _;
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// # runtime.block_on(async {
    /// let request = http::Request::post("/")
    ///     .header("x-amz-target", "Kinesis_20131202.ListStreams")
    ///     .header("content-type", "application/x-amz-json-1.1")
    ///     .header("x-amz-date", "20260101T000000Z")
    ///     .header("authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=0")
    ///     .body(Full::new(Bytes::from_static(b"{}")))?;
    /// let response = Mock::new().service().call(request).await?;
    /// assert_eq!(response.status(), 200);
    /// let body = response.into_body().collect().await?.to_bytes();
    /// assert_eq!(body, r#"{"StreamNames":[],"HasMoreStreams":false,"StreamSummaries":[]}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn service(&self) -> MockService {
        MockService::new(self.0.clone())
    }

    /// Answers HTTP/1.1 and HTTP/2 with prior knowledge on that address until the [`Server`] is
    /// shut down or dropped. Port 0 picks a free one.
    ///
    /// # Errors
    /// If the address cannot be bound.
    ///
    /// # Cancel safety
    /// Safe: nothing listens unless a [`Server`] was returned.
    pub async fn listen(&self, address: SocketAddr) -> Result<Server, ListenError> {
        Server::bind(self.service(), address).await
    }

    /// The admin API as a service of HTTP requests: health, metrics, fault rules, the clock, reset.
    #[must_use]
    pub fn admin_service(&self) -> AdminService {
        AdminService::new(self.0.clone())
    }

    /// Answers the admin API on that address, for everybody who can reach it, until the [`Server`]
    /// is shut down or dropped. Port 0 picks a free one.
    ///
    /// # Errors
    /// If the address cannot be bound.
    ///
    /// # Cancel safety
    /// Safe: nothing listens unless a [`Server`] was returned.
    pub async fn listen_admin(&self, address: SocketAddr) -> Result<Server, ListenError> {
        Server::bind_admin(self.admin_service(), address).await
    }

    /// Drops all streams and tables of all accounts, all fault rules and the counts of calls. The
    /// clock goes on.
    pub fn reset(&self) {
        self.0.reset();
    }

    /// Like [`listen`](Self::listen), with TLS: HTTP/2 or HTTP/1.1 by ALPN, under a certificate that
    /// is made for this port and that [`Server::certificate`] gives to whoever is to trust it.
    ///
    /// # Errors
    /// If the address cannot be bound.
    ///
    /// # Cancel safety
    /// Safe: nothing listens unless a [`Server`] was returned.
    ///
    /// ```
    /// use shardwise_mock::Mock;
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    /// # runtime.block_on(async {
    /// let server = Mock::new().listen_tls(([127, 0, 0, 1], 0).into()).await?;
    /// let pem = server.certificate().unwrap_or_default();
    /// assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "tls")]
    pub async fn listen_tls(&self, address: SocketAddr) -> Result<Server, ListenError> {
        Server::bind_tls(self.service(), address).await
    }

    /// Creates a provisioned stream that is ACTIVE at once, whatever the state delay, in the mock's
    /// own account and region.
    ///
    /// # Errors
    /// Where CreateStream would refuse it: the stream exists, or the account's shard limit is
    /// reached.
    ///
    /// ```
    /// use shardwise_mock::Mock;
    ///
    /// let mock = Mock::new();
    /// mock.create_stream(&"orders".parse()?, 4)?;
    /// assert!(mock.create_stream(&"orders".parse()?, 4).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_stream(&self, name: &StreamName, shards: u32) -> Result<(), CreateStreamError> {
        let home = self.0.accounts().home();
        self.0.create_stream(&home, name, shards)
    }

    /// Begins a fault rule for an operation.
    ///
    /// Rules apply in the order in which they were made, each until its
    /// [`times`](Rule::times) are used up; one request meets one rule.
    pub fn on(&self, operation: Operation) -> Rule<'_> {
        Rule::new(&self.0, Some(operation))
    }

    /// Begins a fault rule for every operation; [`Rule::service`] narrows it to those of one
    /// service.
    pub fn on_every_operation(&self) -> Rule<'_> {
        Rule::new(&self.0, None)
    }

    /// Adds fault rules from text, which is what `--faults` reads from its file: a JSON array of
    /// objects. All members but `fault` may be left out, and what is left out fits every request.
    ///
    /// | member | |
    /// |---|---|
    /// | `service`, `operation` | `kinesis` or `dynamodb`; the operation as AWS spells it |
    /// | `stream`, `table`, `shard` | by name; a shard by its id |
    /// | `caller` | an access key id |
    /// | `rate` | the probability, from 0 to 1 |
    /// | `times` | the rule is over after so many requests |
    /// | `after_ms`, `for_ms` | when it begins, counted from now, and how long it holds |
    /// | `fault` | `"throttle"`, `"internal"`, `"unavailable"`, `"lose_request"`, `"lose_answer"`, `"lose_response"`, `{"delay_ms": N}`, `{"stale_read_ms": N}`, `{"truncate_body": BYTES}`, `{"slow_body": {"bytes": N, "every_ms": N}}`, `{"error": {"status": N, "type": "T", "message": "M"}}`; for PutRecords also `{"throttle_entries": {"every": N}}` and `{"fail_entries": {"every": N}}` |
    ///
    /// # Errors
    /// If the text is not that; then no rule is added, and the error names the line and the member.
    ///
    /// ```
    /// use shardwise_mock::Mock;
    ///
    /// let mock = Mock::new();
    /// let rules = mock.add_faults(
    ///     r#"[{"operation": "GetRecords", "after_ms": 30000, "for_ms": 10000, "fault": "throttle"}]"#,
    /// )?;
    /// assert_eq!(rules[0].struck(), 0);
    /// let error = mock.add_faults(r#"[{"fault": "throttle", "rate": 2}]"#).unwrap_err();
    /// assert_eq!(error.to_string(), "[0].rate: a rate is from 0 to 1 at line 1 column 33");
    /// # Ok::<(), shardwise_mock::FaultsError>(())
    /// ```
    pub fn add_faults(&self, text: &str) -> Result<Vec<RuleHandle>, FaultsError> {
        let rules = self.0.add_rules(text)?;
        Ok(rules.into_iter().map(|(_, handle)| handle).collect())
    }

    /// Drops every fault rule.
    pub fn clear_faults(&self) {
        self.0.rules().clear();
    }

    /// How many requests named this operation so far, those that a fault rule met included.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> u64 {
        self.0.calls().of(operation)
    }

    /// What the handle holds.
    #[cfg(feature = "cli")]
    pub(crate) fn backend(&self) -> &Backend {
        &self.0
    }
}

impl MockBuilder {
    /// The backend.
    #[must_use]
    pub fn build(self) -> Mock {
        Mock(Arc::new(self.into_backend()))
    }
}

impl Default for Mock {
    fn default() -> Self {
        Self::new()
    }
}
