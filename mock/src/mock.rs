//! The handle: what a test holds.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use shardwise_env::{Env, ManualClock};
use shardwise_types::StreamName;

use crate::accounts::{Account, Accounts, Settings};
use crate::admin::AdminService;
use crate::auth::{KeyPairs, Verifier};
use crate::clock::{Clock, Now};
use crate::control::{ActiveRule, Control, Effect};
use crate::fault::{Fault, Rule, RuleHandle};
use crate::fault_text::{self, FaultsError, NewRule};
use crate::ids::Ids;
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
pub struct Mock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    env: Env,
    manual_clock: Option<ManualClock>,
    clock: Clock,
    ids: Ids,
    control: Control,
    verifier: Option<Verifier>,
    accounts: Accounts,
}

impl Mock {
    /// A backend with [`Env::system`] and the defaults of [`Mock::builder`].
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Settings for a backend.
    pub fn builder() -> MockBuilder {
        MockBuilder {
            env: None,
            manual_clock: None,
            account: DEFAULT_ACCOUNT.to_owned(),
            region: None,
            shard_limit: DEFAULT_SHARD_LIMIT,
            limits: Limits::Relaxed,
            control_plane_limits: false,
            scale_every: DEFAULT_SCALE_EVERY,
            state_delay: Duration::ZERO,
            table_delay: None,
            seed: None,
            stale_reads: Duration::ZERO,
            keys: None,
        }
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
        MockService::new(self.clone())
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
        Server::bind(self, address).await
    }

    /// The admin API as a service of HTTP requests: health, metrics, fault rules, the clock, reset.
    #[must_use]
    pub fn admin_service(&self) -> AdminService {
        AdminService(self.clone())
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
        Server::bind_admin(self, address).await
    }

    /// Drops all streams and tables of all accounts, all fault rules and the counts of calls. The
    /// clock goes on.
    pub fn reset(&self) {
        self.accounts().reset(self.now());
        self.control().reset();
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
    pub async fn listen_tls(&self, address: SocketAddr) -> Result<Server, ListenError> {
        Server::bind_tls(self, address).await
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
        self.create_stream_in(&self.accounts().home(), name, shards)
    }

    /// Like [`create_stream`](Self::create_stream), in that account and region.
    pub(crate) fn create_stream_in(
        &self,
        account: &Account,
        name: &StreamName,
        shards: u32,
    ) -> Result<(), CreateStreamError> {
        account
            .kinesis
            .create_active_stream(name.as_str(), shards, self.now())
            .map_err(|failure| CreateStreamError {
                stream: name.clone(),
                kind: failure.kind,
                message: failure.message.unwrap_or_default(),
            })
    }

    /// Begins a fault rule for an operation.
    ///
    /// Rules apply in the order in which they were made, each until its
    /// [`times`](Rule::times) are used up; one request meets one rule.
    pub fn on(&self, operation: Operation) -> Rule<'_> {
        Rule::new(self, Some(operation))
    }

    /// Begins a fault rule for every operation; [`Rule::service`] narrows it to those of one
    /// service.
    pub fn on_every_operation(&self) -> Rule<'_> {
        Rule::new(self, None)
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
        let rules = self.add_rules(text)?;
        Ok(rules.into_iter().map(|(_, handle)| handle).collect())
    }

    /// Adds the rules of a text, and tells the id of each.
    pub(crate) fn add_rules(&self, text: &str) -> Result<Vec<(u64, RuleHandle)>, FaultsError> {
        let uptime = self.now().uptime;
        let add = |rule: NewRule| {
            let rule = rule.begin(uptime);
            let struck = rule.struck.clone();
            (self.add_rule(rule), RuleHandle { struck })
        };
        Ok(fault_text::read(text)?.into_iter().map(add).collect())
    }

    pub(crate) fn add_rule(&self, rule: ActiveRule) -> u64 {
        if let Effect::Whole(Fault::StaleRead(age)) = rule.effect {
            self.accounts().keep_past(age);
        }
        self.control().add(rule)
    }

    /// Drops every fault rule.
    pub fn clear_faults(&self) {
        self.control().clear();
    }

    /// How many requests named this operation so far, those that a fault rule met included.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> u64 {
        self.control().calls(operation)
    }

    pub(crate) fn env(&self) -> &Env {
        &self.0.env
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The clock, if somebody moves it.
    pub(crate) fn manual_clock(&self) -> Option<&ManualClock> {
        self.0.manual_clock.as_ref()
    }

    pub(crate) fn now(&self) -> Now {
        self.0.clock.now()
    }

    pub(crate) fn ids(&self) -> &Ids {
        &self.0.ids
    }

    pub(crate) fn control(&self) -> &Control {
        &self.0.control
    }

    /// What signatures are checked against, if they are.
    pub(crate) fn verifier(&self) -> Option<&Verifier> {
        self.0.verifier.as_ref()
    }

    pub(crate) fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }
}

impl Default for Mock {
    fn default() -> Self {
        Self::new()
    }
}

/// A stream that [`Mock::create_stream`] was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not create stream {stream}: {kind}: {message}")]
pub struct CreateStreamError {
    stream: StreamName,
    kind: Cow<'static, str>,
    message: String,
}

/// How much one shard takes and gives.
///
/// <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[non_exhaustive]
pub enum Limits {
    /// Whatever comes.
    Relaxed,
    /// What the service's shards do: 1,000 records and 1 MiB written per second, 5 reads and 2 MiB
    /// read, 5 iterators, and 2 MiB for each subscription. What is beyond gets
    /// ProvisionedThroughputExceededException; of a PutRecords only the entries beyond it.
    Strict,
}

/// Settings for a [`Mock`].
///
/// ```
/// use std::time::Duration;
/// use shardwise_mock::Mock;
///
/// let mock = Mock::builder()
///     .account("123456789012")
///     .state_delay(Duration::from_millis(500))
///     .seed(7)
///     .build();
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct MockBuilder {
    env: Option<Env>,
    manual_clock: Option<ManualClock>,
    account: String,
    region: Option<String>,
    shard_limit: u32,
    limits: Limits,
    control_plane_limits: bool,
    scale_every: Duration,
    state_delay: Duration,
    table_delay: Option<Duration>,
    seed: Option<u64>,
    stale_reads: Duration,
    keys: Option<KeyPairs>,
}

impl MockBuilder {
    /// Time, tasks and randomness; [`Env::system`] by default.
    ///
    /// With a [`ManualClock`] the mock's time moves when the test says
    /// so, on sockets too; with [`Env::scaled`] it runs faster.
    pub fn env(self, env: Env) -> Self {
        Self {
            env: Some(env),
            ..self
        }
    }

    /// Time by this clock, like [`env`](Self::env) with the clock's own; the admin API can move it.
    pub fn manual_clock(self, clock: ManualClock) -> Self {
        Self {
            env: Some(clock.env()),
            manual_clock: Some(clock),
            ..self
        }
    }

    /// The mock's own account, of 12 digits, for ARNs and error texts; [`DEFAULT_ACCOUNT`] by
    /// default. Requests that are signed with an access key id of 12 digits are for the account of
    /// that number instead: its streams and tables are its own.
    pub fn account(self, account: impl Into<String>) -> Self {
        Self {
            account: account.into(),
            ..self
        }
    }

    /// The only region. Without it each request is for the region that it is signed for, whose
    /// streams and tables are its own; [`DEFAULT_REGION`] if that is no region's name.
    ///
    /// A mock that was given a region is that region whatever a request is signed for, and where
    /// [signatures are verified](Self::verify_signatures) it refuses signatures for another.
    pub fn region(self, region: impl Into<String>) -> Self {
        Self {
            region: Some(region.into()),
            ..self
        }
    }

    /// How many open shards the account may have; [`DEFAULT_SHARD_LIMIT`] by default.
    pub fn shard_limit(self, shard_limit: u32) -> Self {
        Self {
            shard_limit,
            ..self
        }
    }

    /// Whether shards refuse what the service's would; [`Limits::Relaxed`] by default.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Whether the operations that manage streams have the service's call rates, quotas of 24 hours
    /// and numbers of streams; not by default.
    pub fn control_plane_limits(self, control_plane_limits: bool) -> Self {
        Self {
            control_plane_limits,
            ..self
        }
    }

    /// How long after a new peak of writes an on-demand stream grows, at most to twice its shards, and
    /// so how long it is at least from one doubling to the next; [`DEFAULT_SCALE_EVERY`] by default.
    /// With no time at all it never grows.
    ///
    /// A peak is a second that takes more than half of what the open shards take: 1 MiB or 1,000
    /// records each. The stream is then made for twice that second, as far as the shard limit goes.
    pub fn scale_every(self, scale_every: Duration) -> Self {
        Self {
            scale_every,
            ..self
        }
    }

    /// How long a stream or table stays CREATING, UPDATING or DELETING; by default no time at all.
    /// [`table_delay`](Self::table_delay) sets tables apart.
    pub fn state_delay(self, state_delay: Duration) -> Self {
        Self {
            state_delay,
            ..self
        }
    }

    /// How long a table, its index or its time to live is on the way to another status; by default
    /// as long as a stream.
    pub fn table_delay(self, table_delay: Duration) -> Self {
        Self {
            table_delay: Some(table_delay),
            ..self
        }
    }

    /// Makes request ids, stream ids and tokens repeatable: equal seeds, equal clocks and equal
    /// requests give equal answers. By default the seed is drawn from the [`Env`].
    pub fn seed(self, seed: u64) -> Self {
        Self {
            seed: Some(seed),
            ..self
        }
    }

    /// Lets DynamoDB's eventually consistent reads (without `ConsistentRead`, or of an index) see
    /// items as they were up to that long ago; by default every read is up to date.
    pub fn stale_reads(self, up_to: Duration) -> Self {
        Self {
            stale_reads: up_to,
            ..self
        }
    }

    /// Verifies the signature of every request, in its header or in its query, with these keys;
    /// by default a signature must only be there.
    ///
    /// Refused, as the service refuses them: an unknown access key id, a wrong secret, a request
    /// that was changed after it was signed, and one that was signed more than fifteen minutes from
    /// now by the mock's clock.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http_body_util::{BodyExt as _, Full};
    /// use shardwise_mock::{KeyPairs, Mock};
    /// use tower_service::Service as _;
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// # runtime.block_on(async {
    /// let mock = Mock::builder()
    ///     .verify_signatures(KeyPairs::any_id("test"))
    ///     .build();
    /// let request = http::Request::post("/")
    ///     .header("x-amz-target", "Kinesis_20131202.ListStreams")
    ///     .header("content-type", "application/x-amz-json-1.1")
    ///     .header("x-amz-date", "20260101T000000Z")
    ///     .header("authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=0")
    ///     .body(Full::new(Bytes::from_static(b"{}")))?;
    /// let response = mock.service().call(request).await?;
    /// assert_eq!(response.status(), 400);
    /// let body = response.into_body().collect().await?.to_bytes();
    /// assert!(body.starts_with(br#"{"__type":"IncompleteSignatureException""#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify_signatures(self, keys: KeyPairs) -> Self {
        Self {
            keys: Some(keys),
            ..self
        }
    }

    /// The backend.
    #[must_use]
    pub fn build(self) -> Mock {
        let env = self.env.unwrap_or_else(Env::system);
        let verifier = self
            .keys
            .map(|keys| Verifier::new(keys, self.region.clone()));
        let seeds = Ids::new(self.seed.unwrap_or_else(|| env.random_u64()));
        Mock(Arc::new(Inner {
            clock: Clock::new(env.clone()),
            ids: Ids::new(seeds.draw()),
            verifier,
            accounts: Accounts::new(Settings {
                env: env.clone(),
                account: self.account,
                region: self.region,
                shard_limit: self.shard_limit,
                limits: self.limits,
                control_plane_limits: self.control_plane_limits,
                scale_every: self.scale_every,
                state_delay: self.state_delay,
                table_delay: self.table_delay.unwrap_or(self.state_delay),
                stale_reads: self.stale_reads,
                seed: seeds.draw(),
            }),
            control: Control::new(seeds.draw()),
            manual_clock: self.manual_clock,
            env,
        }))
    }
}

/// The own account of a [`Mock`] that is given none.
pub const DEFAULT_ACCOUNT: &str = "000000000000";

/// The region of [`Mock::create_stream`], and of requests that name none, in a [`Mock`] that is given
/// none.
pub const DEFAULT_REGION: &str = "us-east-1";

/// The account's shard limit of a [`Mock`] that is given none: the service's default in its three
/// largest regions. <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>
pub const DEFAULT_SHARD_LIMIT: u32 = 20_000;

/// How long on-demand streams of a [`Mock`] that is told nothing else take to grow: as long as the
/// service's, which throttles whoever doubles his peak sooner.
/// <https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html>
pub const DEFAULT_SCALE_EVERY: Duration = Duration::from_secs(15 * 60);
