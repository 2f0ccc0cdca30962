//! The one handle that starts everything.
//!
//! How it is set up: [`builder`], by environment variables `environment`, by everything that AWS's
//! tools share `shared_config`. The operations are in [`crate::kinesis`].

pub(crate) mod builder;
mod environment;
#[cfg(feature = "aws-config")]
mod shared_config;

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use http::Uri;
use shardwise_env::{Env, lock};

use crate::clock_skew::ClockSkew;
use crate::credentials::CredentialsCache;
use crate::encoding::{Encoding, EndpointEncoding};
use crate::endpoint::Service;
use crate::retry::RetryBudget;
use crate::transport::Transport;

/// Region, credentials, endpoints, transport and environment: what every part starts from.
///
/// Cheap to clone; clones share the connections, the credentials cache and the retry budget.
///
/// `Aws::load`, with the feature `aws-config`, looks everywhere that AWS's own tools look;
/// [`Aws::from_env`](Self::from_env) at environment variables only.
///
/// ```
/// use shardwise_client::Aws;
/// use shardwise_mock::Mock;
///
/// let mock = Mock::new();
/// let aws = Aws::in_process(mock.service());
/// assert_eq!(aws.region(), "us-east-1");
/// ```
#[derive(Clone)]
pub struct Aws(Arc<Inner>);

struct Inner {
    region: String,
    endpoints: Endpoints,
    /// Absent: requests are not signed.
    credentials: Option<Arc<CredentialsCache>>,
    transport: Arc<dyn Transport>,
    env: Env,
    timeouts: Timeouts,
    encoding: EndpointEncoding,
    budget: RetryBudget,
    skew: ClockSkew,
    extensions: Extensions,
}

/// What the parts that use one handle share, by type.
type Extensions = Mutex<BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>>;

#[derive(Debug)]
pub(crate) struct Endpoints {
    pub(crate) kinesis: Uri,
    pub(crate) dynamodb: Uri,
}

impl Endpoints {
    pub(crate) fn all(uri: Uri) -> Self {
        Self {
            kinesis: uri.clone(),
            dynamodb: uri,
        }
    }

    fn of(&self, service: Service) -> &Uri {
        match service {
            Service::Kinesis => &self.kinesis,
            Service::DynamoDb => &self.dynamodb,
        }
    }
}

/// How long to wait for the parts of an answer.
///
/// The time for a connection is the transport's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// From sending a request to its answer's first byte: 10 s. The service answers within
    /// milliseconds; when it does not, a second try on another connection usually does.
    pub first_byte: Duration,
    /// Between two pieces of an answer's body: 5 s.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            idle: Duration::from_secs(5),
        }
    }
}

impl Aws {
    pub(crate) fn assemble(
        region: String,
        endpoints: Endpoints,
        provider: Option<SharedCredentialsProvider>,
        transport: Arc<dyn Transport>,
        env: Env,
        timeouts: Timeouts,
        encoding: Encoding,
    ) -> Self {
        let credentials =
            provider.map(|provider| Arc::new(CredentialsCache::new(provider, env.clone())));
        let (budget, skew) = (RetryBudget::default(), ClockSkew::default());
        let encoding = EndpointEncoding::new(encoding, &endpoints.kinesis);
        let inner = Inner {
            region,
            endpoints,
            credentials,
            transport,
            env,
            timeouts,
            encoding,
            budget,
            skew,
            extensions: Extensions::default(),
        };
        Self(Arc::new(inner))
    }

    /// The one value of this type that all clones of this handle share, made when it is first asked
    /// for: how parts that know more than this crate, such as the producers of a process, share what
    /// they know of the account behind the handle.
    ///
    /// It lives as long as the handle: it should not hold the handle, which would then never be
    /// dropped.
    #[must_use]
    pub fn extension<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let mut extensions = lock(&self.0.extensions);
        let made = extensions
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Arc::new(T::default()))
            .clone();
        // What stands under a type's id is of that type.
        made.downcast().unwrap_or_default()
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.0.region
    }

    /// Where a service is called.
    #[must_use]
    pub fn endpoint(&self, service: Service) -> &Uri {
        self.0.endpoints.of(service)
    }

    /// Time, tasks and randomness.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.0.env
    }

    /// The door to the outside.
    #[must_use]
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.0.transport
    }

    /// The time limits of a call.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        self.0.timeouts
    }

    pub(crate) fn credentials_cache(&self) -> Option<&Arc<CredentialsCache>> {
        self.0.credentials.as_ref()
    }

    pub(crate) fn encoding(&self) -> &EndpointEncoding {
        &self.0.encoding
    }

    pub(crate) fn retry_budget(&self) -> &RetryBudget {
        &self.0.budget
    }

    pub(crate) fn clock_skew(&self) -> &ClockSkew {
        &self.0.skew
    }
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws")
            .field("region", &self.0.region)
            .field("endpoints", &self.0.endpoints)
            .field("transport", &self.0.transport)
            .finish_non_exhaustive()
    }
}
