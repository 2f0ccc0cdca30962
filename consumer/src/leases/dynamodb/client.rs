//! The SDK's client on our transport, and what its errors mean.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_runtime::invocation_id::DefaultInvocationIdGenerator;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    Config, ConfigBag, Intercept, Region, RuntimeComponents, StalledStreamProtectionConfig,
};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_types::date_time::{DateTime, Format};
use shardwise_client::{Aws, Service};
use shardwise_env::{Env, Instant};
use shardwise_types::WorkerId;

use super::super::store::{StoreError, StoreErrorKind};

/// How often a call is tried. Two more tries outlast a hiccup; after an outage that is longer, the
/// caller is better asked again, with what it knows by then.
const ATTEMPTS: u32 = 3;

/// The quota of retries, as the SDK has it by default.
const RETRY_QUOTA: usize = 500;

/// How long a call may take, as a part of the failover time: the time of one renewal. Two renewals
/// that fail then still leave time for a third.
const CALL_PART: u32 = 3;

/// How long one try of a call may take, as a part of the failover time: DynamoDB answers within
/// milliseconds, so at the default of 10 s this is a thousand times what it needs.
const ATTEMPT_PART: u32 = 8;

/// The least time for one try, however short the failover time: a new connection with TLS takes a
/// tenth of a second.
const ATTEMPT_LEAST: Duration = Duration::from_millis(300);

/// A client for one worker.
pub(super) fn new(
    aws: &Aws,
    worker_id: &WorkerId,
    failover: Duration,
    clock: ServiceClock,
) -> Client {
    let env = aws.env();
    // The quota of retries is shared by all clients of a partition, by default all of the process:
    // another client's failures would then keep a renewal from being tried again.
    let partition = format!("shardwise-leases-{worker_id}-{:x}", env.random_u64());
    let partition = RetryPartition::custom(partition)
        .token_bucket(TokenBucket::new(RETRY_QUOTA))
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(failover / 100)
        .with_max_backoff(failover / 10);
    let call = failover / CALL_PART;
    let timeouts = TimeoutConfig::builder()
        .operation_timeout(call)
        .operation_attempt_timeout((failover / ATTEMPT_PART).max(ATTEMPT_LEAST).min(call))
        .build();
    let mut config = Config::builder()
        .behavior_version_latest()
        .region(Region::new(aws.region().to_owned()))
        .endpoint_url(aws.endpoint(Service::DynamoDb).to_string())
        .http_client(aws.http_client())
        .time_source(aws.time_source())
        .sleep_impl(aws.async_sleep())
        .retry_partition(partition)
        .retry_config(retries)
        .timeout_config(timeouts)
        .invocation_id_generator(DefaultInvocationIdGenerator::with_seed(env.random_u64()))
        // Answers are read whole, under a time limit of their own.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .interceptor(clock);
    config = match aws.credentials_provider() {
        Some(provider) => config.credentials_provider(provider),
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
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (time, heard) = last?;
        time.checked_add(self.env.now().saturating_duration_since(heard))
    }

    fn hear(&self, date: &str) {
        let Ok(date) = DateTime::from_str(date, Format::HttpDate) else {
            return;
        };
        if let Ok(time) = SystemTime::try_from(date) {
            let heard = Some((time, self.env.now()));
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = heard;
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
