//! The SDK's client on our transport, and what its errors mean.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_runtime::invocation_id::DefaultInvocationIdGenerator;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    Config, ConfigBag, IdentityCache, Intercept, Region, RuntimeComponents,
    StalledStreamProtectionConfig,
};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_types::date_time::{DateTime, Format};
use shardwise_client::{Aws, Service};
use shardwise_env::{Env, Instant, lock};

use super::super::store::{StoreError, StoreErrorKind};

/// How long a call may take, as a part of the failover time: DynamoDB answers within milliseconds,
/// so at the default of 10 s this is a thousand times what it needs.
const CALL_PART: u32 = 8;

/// The least time for a call, however short the failover time: a new connection with TLS takes a
/// tenth of a second.
const CALL_LEAST: Duration = Duration::from_millis(300);

/// The most time for a call, as a part of the failover time: that of one renewal.
const CALL_MOST_PART: u32 = 3;

/// A client for one worker.
pub(super) fn new(aws: &Aws, failover: Duration, clock: ServiceClock) -> Client {
    let timeout = (failover / CALL_PART)
        .max(CALL_LEAST)
        .min(failover / CALL_MOST_PART);
    let timeouts = TimeoutConfig::builder().operation_timeout(timeout).build();
    let invocation_ids = DefaultInvocationIdGenerator::with_seed(aws.env().random_u64());
    let mut config = Config::builder()
        .behavior_version_latest()
        .region(Region::new(aws.region().to_owned()))
        .endpoint_url(aws.endpoint(Service::DynamoDb).to_string())
        .http_client(aws.http_client())
        .time_source(aws.time_source())
        .sleep_impl(aws.async_sleep())
        // Who calls tries again: what a try without an answer means is the protocol's to say. And the
        // SDK's own quota of retries is shared by all clients of a process, so that a failing
        // neighbour would keep a renewal from being tried again.
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .invocation_id_generator(invocation_ids)
        // Answers are read whole, under a time limit of their own.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .interceptor(clock);
    config = match aws.credentials_provider() {
        // The provider has a cache of its own, which forgets what the service has refused.
        Some(provider) => config
            .credentials_provider(provider)
            .identity_cache(IdentityCache::no_cache()),
        None => config.allow_no_auth(),
    };
    Client::from_conf(config.build())
}

/// The service's clock, from the `Date` of its last answer.
#[derive(Clone)]
pub(super) struct ServiceClock {
    env: Env,
    last: Arc<Mutex<Option<(SystemTime, Instant)>>>,
}

impl ServiceClock {
    pub(super) fn new(env: Env) -> Self {
        Self {
            env,
            last: Arc::default(),
        }
    }

    /// The service's time now, once it has answered.
    pub(super) fn now(&self) -> Option<SystemTime> {
        let last = *lock(&self.last);
        let (time, heard) = last?;
        time.checked_add(self.env.now().saturating_duration_since(heard))
    }

    fn hear(&self, date: &str) {
        let Ok(date) = DateTime::from_str(date, Format::HttpDate) else {
            return;
        };
        if let Ok(time) = SystemTime::try_from(date) {
            let heard = Some((time, self.env.now()));
            *lock(&self.last) = heard;
        }
    }
}

impl fmt::Debug for ServiceClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceClock").field(&self.now()).finish()
    }
}

impl Intercept for ServiceClock {
    fn name(&self) -> &'static str {
        "ServiceClock"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), aws_sdk_dynamodb::error::BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.hear(date);
        }
        Ok(())
    }
}

/// A call that has failed for good, in our words.
pub(super) fn failed<E>(what: &str, table: &str, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let kind = match &error {
        SdkError::ServiceError(failure) => kind_of(
            failure.err().code(),
            failure.raw().status().is_server_error(),
        ),
        error if lacks_credentials(error) => StoreErrorKind::AccessDenied,
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind, format!("could not {what} the lease table {table}")).with_source(error)
}

/// There are none, in contrast to a provider that fails now and may succeed later.
fn lacks_credentials(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref() {
            Some(
                CredentialsError::CredentialsNotLoaded(_)
                | CredentialsError::InvalidConfiguration(_),
            ) => return true,
            _ => cause = error.source(),
        }
    }
    false
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
fn kind_of(code: Option<&str>, server_error: bool) -> StoreErrorKind {
    let Some(code) = code else {
        // Not even an error that can be read: the answer was cut off.
        return StoreErrorKind::Unavailable;
    };
    match code {
        "ThrottlingException"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "LimitExceededException" => StoreErrorKind::Throttled,
        "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignatureException"
        | "ExpiredTokenException"
        | "InvalidClientTokenId" => StoreErrorKind::AccessDenied,
        "ResourceNotFoundException" => StoreErrorKind::NoTable,
        "InternalServerError" | "InternalFailure" | "ServiceUnavailable" => {
            StoreErrorKind::Unavailable
        }
        _ if server_error => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Refused,
    }
}
