//! The settings of a mock, with their defaults and what each means.

use std::time::Duration;

use shardwise_env::{Env, ManualClock};

use crate::accounts::Accounts;
use crate::auth::{KeyPairs, Verifier};
use crate::backend::Backend;
use crate::call_counts::CallCounts;
use crate::clock::Clock;
use crate::fault_rules::FaultRules;
use crate::settings::{
    BackendSettings, DEFAULT_ACCOUNT, DEFAULT_SCALE_EVERY, DEFAULT_SHARD_LIMIT, LimitsMode,
};

/// Settings for a [`Mock`](crate::Mock); [`build`](Self::build) makes it.
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
    limits: LimitsMode,
    control_plane_limits: bool,
    scale_every: Duration,
    state_delay: Duration,
    table_delay: Option<Duration>,
    seed: Option<u64>,
    stale_reads: Duration,
    keys: Option<KeyPairs>,
    moto_reset: bool,
}

impl MockBuilder {
    /// The defaults.
    pub(crate) fn new() -> Self {
        Self {
            env: None,
            manual_clock: None,
            account: DEFAULT_ACCOUNT.to_owned(),
            region: None,
            shard_limit: DEFAULT_SHARD_LIMIT,
            limits: LimitsMode::Relaxed,
            control_plane_limits: false,
            scale_every: DEFAULT_SCALE_EVERY,
            state_delay: Duration::ZERO,
            table_delay: None,
            seed: None,
            stale_reads: Duration::ZERO,
            keys: None,
            moto_reset: false,
        }
    }

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
    /// streams and tables are its own; [`DEFAULT_REGION`](crate::DEFAULT_REGION) if that is no region's name.
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

    /// Whether shards refuse what the service's would; [`LimitsMode::Relaxed`] by default.
    pub fn limits(self, limits: LimitsMode) -> Self {
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

    /// Whether `POST /moto-api/reset` resets the mock on the port of the services too, where test suites
    /// written for moto send it; otherwise only the admin API takes it. Like the admin API it asks
    /// for no signature.
    pub fn moto_reset(self, moto_reset: bool) -> Self {
        Self { moto_reset, ..self }
    }

    /// What the settings come to.
    pub(crate) fn into_backend(self) -> Backend {
        let env = self.env.unwrap_or_else(Env::system);
        let verifier = self
            .keys
            .map(|keys| Verifier::new(keys, self.region.clone()));
        let random = env.with_seed(self.seed.unwrap_or_else(|| env.random_u64()));
        Backend {
            clock: Clock::new(env.clone()),
            verifier,
            accounts: Accounts::new(BackendSettings {
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
                seed: random.random_u64(),
            }),
            calls: CallCounts::new(),
            rules: FaultRules::new(env.with_seed(random.random_u64())),
            manual_clock: self.manual_clock,
            moto_reset: self.moto_reset,
            random,
            env,
        }
    }
}
