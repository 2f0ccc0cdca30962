//! The one handle that starts everything.

#[cfg(feature = "aws-config")]
mod shared_config;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use shardwise_env::Env;
use shardwise_types::{ConfigError, ConfigErrorKind};

use crate::call::Skew;
use crate::credentials::Cached;
use crate::encoding::{Choice, Encoding};
use crate::endpoint::{self, Service, Variant};
use crate::environment;
use crate::error::BoxError;
use crate::kinesis::Kinesis;
use crate::retry::Budget;
use crate::transport::{Http, InProcess, Transport};

/// Region, credentials, endpoints, transport and environment: what every part starts from.
///
/// Cheap to clone; clones share the connections, the credentials cache and the retry budget.
///
/// ```
/// use shardwise_client::Aws;
///
/// // AWS_REGION, AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and so on; nothing is called yet.
/// match Aws::from_env() {
///     Ok(aws) => println!("region {}", aws.region()),
///     Err(error) => println!("not set up: {error}"),
/// }
/// ```
#[derive(Clone)]
pub struct Aws(Arc<Inner>);

struct Inner {
    region: String,
    endpoints: Endpoints,
    /// Absent: requests are not signed.
    credentials: Option<Arc<Cached>>,
    transport: Arc<dyn Transport>,
    env: Env,
    timeouts: Timeouts,
    encoding: Choice,
    budget: Budget,
    skew: Skew,
}

/// The region of [`Aws::in_process`].
const IN_PROCESS_REGION: &str = "us-east-1";

/// A host that exists nowhere: an in-process transport looks at the headers only.
const IN_PROCESS_ENDPOINT: &str = "http://in-process.invalid/";

/// What [`Encoding::Auto`] is in this process: whoever puts a transport in between can read it.
const IN_PROCESS_ENCODING: Encoding = Encoding::Json;

fn in_process_credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "in process")
}

#[derive(Debug)]
struct Endpoints {
    kinesis: Uri,
    dynamodb: Uri,
    cloudwatch: Uri,
}

impl Endpoints {
    fn all(uri: Uri) -> Self {
        Self {
            kinesis: uri.clone(),
            dynamodb: uri.clone(),
            cloudwatch: uri,
        }
    }

    fn of(&self, service: Service) -> &Uri {
        match service {
            Service::Kinesis => &self.kinesis,
            Service::DynamoDb => &self.dynamodb,
            Service::CloudWatch => &self.cloudwatch,
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
    /// A builder without any setting.
    pub fn builder() -> AwsBuilder {
        AwsBuilder::default()
    }

    /// What the environment variables say: `AWS_REGION`, `AWS_DEFAULT_REGION`,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_ENDPOINT_URL` and
    /// its `_KINESIS`, `_DYNAMODB` and `_CLOUDWATCH` forms, `AWS_USE_FIPS_ENDPOINT`,
    /// `AWS_USE_DUALSTACK_ENDPOINT`, `AWS_CA_BUNDLE`; the proxy variables are read by the HTTP client.
    ///
    /// Use [`AwsBuilder::from_env`] to add to it, for example another provider of credentials.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the setting that is missing or wrong.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::builder().from_env()?.build()
    }

    /// A handle whose every call goes to a service of this process, such as the mock's.
    ///
    /// The region is `us-east-1` and the credentials are the words `test` and `test`. For another
    /// clock or other credentials use [`AwsBuilder::in_process`].
    pub fn in_process<S, B>(service: S) -> Self
    where
        S: tower_service::Service<http::Request<Full<Bytes>>, Response = http::Response<B>>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<BoxError>,
    {
        let provider = SharedCredentialsProvider::new(in_process_credentials());
        let transport = Arc::new(InProcess::new(service));
        let endpoints = Endpoints::all(Uri::from_static(IN_PROCESS_ENDPOINT));
        let region = IN_PROCESS_REGION.to_owned();
        Self::assemble(
            region,
            endpoints,
            Some(provider),
            transport,
            Env::system(),
            Timeouts::default(),
            IN_PROCESS_ENCODING,
        )
    }

    fn assemble(
        region: String,
        endpoints: Endpoints,
        provider: Option<SharedCredentialsProvider>,
        transport: Arc<dyn Transport>,
        env: Env,
        timeouts: Timeouts,
        encoding: Encoding,
    ) -> Self {
        let credentials = provider.map(|provider| Arc::new(Cached::new(provider, env.clone())));
        let (budget, skew) = (Budget::default(), Skew::default());
        let encoding = Choice::new(encoding, &endpoints.kinesis);
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
        };
        Self(Arc::new(inner))
    }

    /// The operations of Kinesis Data Streams.
    #[must_use]
    pub fn kinesis(&self) -> Kinesis {
        Kinesis::new(self.clone())
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

    pub(crate) fn cached_credentials(&self) -> Option<&Arc<Cached>> {
        self.0.credentials.as_ref()
    }

    pub(crate) fn encoding(&self) -> &Choice {
        &self.0.encoding
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.0.budget
    }

    pub(crate) fn skew(&self) -> &Skew {
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

/// Settings of an [`Aws`] handle, checked together by [`build`](Self::build).
#[derive(Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct AwsBuilder {
    region: Option<String>,
    endpoints: BTreeMap<Service, String>,
    use_fips: Option<bool>,
    use_dual_stack: Option<bool>,
    provider: Option<SharedCredentialsProvider>,
    unsigned: bool,
    transport: Option<Arc<dyn Transport>>,
    in_process: bool,
    env: Option<Env>,
    timeouts: Timeouts,
    encoding: Encoding,
    ca_bundle: Option<PathBuf>,
    profile: Option<String>,
}

impl AwsBuilder {
    /// Adds what the environment variables say, see [`Aws::from_env`].
    ///
    /// # Errors
    /// [`ConfigErrorKind::MissingCredentials`] if only half a key pair is set.
    pub fn from_env(self) -> Result<Self, ConfigError> {
        environment::apply(self, |name| std::env::var(name).ok())
    }

    /// The region, such as `eu-west-1`.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Credentials: fixed ones, or any provider. They are cached, and fetched again five minutes
    /// ahead of their expiry.
    pub fn credentials(mut self, provider: impl ProvideCredentials + 'static) -> Self {
        self.provider = Some(SharedCredentialsProvider::new(provider));
        self.unsigned = false;
        self
    }

    /// Requests are not signed, and no credentials are needed: for emulators that do not ask who
    /// calls. AWS refuses such requests as [`AccessDenied`](crate::ErrorKind::AccessDenied).
    pub fn no_credentials(mut self) -> Self {
        self.provider = None;
        self.unsigned = true;
        self
    }

    /// The URL of one service: `http://127.0.0.1:4567`, say.
    pub fn endpoint(mut self, service: Service, url: impl Into<String>) -> Self {
        self.endpoints.insert(service, url.into());
        self
    }

    /// One URL for all services, as the mock has it.
    pub fn endpoint_url(mut self, url: impl Into<String>) -> Self {
        let url = url.into();
        for service in Service::ALL {
            self.endpoints.insert(service, url.clone());
        }
        self
    }

    /// Whether AWS's own endpoints are those that use cryptography validated by FIPS 140; not if not
    /// given. An endpoint that was given stays. TLS on this side is another matter: see the feature
    /// `aws-lc-rs`. <https://docs.aws.amazon.com/sdkref/latest/guide/feature-endpoints.html>
    pub fn use_fips(mut self, use_fips: bool) -> Self {
        self.use_fips = Some(use_fips);
        self
    }

    /// Whether AWS's own endpoints are those that are reached by IPv6 as well; not if not given. An
    /// endpoint that was given stays.
    /// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-endpoints.html>
    pub fn use_dual_stack(mut self, use_dual_stack: bool) -> Self {
        self.use_dual_stack = Some(use_dual_stack);
        self
    }

    /// PEM certificates to trust besides the platform's, as `AWS_CA_BUNDLE` names them.
    pub fn ca_bundle_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_bundle = Some(path.into());
        self
    }

    /// A transport in place of HTTP.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Sends every call to a service of this process, such as the mock's. Region, endpoints and
    /// credentials need not be given then.
    pub fn in_process<S, B>(self, service: S) -> Self
    where
        S: tower_service::Service<http::Request<Full<Bytes>>, Response = http::Response<B>>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<BoxError>,
    {
        self.in_process_transport(InProcess::new(service))
    }

    /// Like [`in_process`](Self::in_process), for a transport that ends in this process but has
    /// something around it, such as [`Faulty`](crate::transport::Faulty).
    pub fn in_process_transport(mut self, transport: impl Transport) -> Self {
        self.in_process = true;
        self.transport(transport)
    }

    /// Time, tasks and randomness; [`Env::system`] if not given.
    pub fn env(mut self, env: Env) -> Self {
        self.env = Some(env);
        self
    }

    /// The time limits of a call.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// How calls of Kinesis are written; [`Encoding::Auto`] if not given.
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    pub(crate) fn unsupported_profile(mut self, profile: String) -> Self {
        self.profile = Some(profile);
        self
    }

    /// Checks the settings and makes the handle. No call is made.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the setting that is missing or wrong.
    pub fn build(mut self) -> Result<Aws, ConfigError> {
        if self.in_process {
            self.region
                .get_or_insert_with(|| IN_PROCESS_REGION.to_owned());
            if self.provider.is_none() && !self.unsigned {
                self = self.credentials(in_process_credentials());
            }
            if self.encoding == Encoding::Auto {
                self.encoding = IN_PROCESS_ENCODING;
            }
            if self.endpoints.is_empty() {
                self = self.endpoint_url(IN_PROCESS_ENDPOINT);
            }
        }
        let region = self
            .region
            .take()
            .filter(|region| !region.trim().is_empty())
            .ok_or_else(|| {
                ConfigError::new(
                    ConfigErrorKind::MissingRegion,
                    "no region: set AWS_REGION or AWS_DEFAULT_REGION, or call region(..)",
                )
            })?;
        let provider = match (self.provider.take(), self.profile.take()) {
            (Some(provider), _) => Some(provider),
            (None, _) if self.unsigned => None,
            (None, Some(profile)) => {
                return Err(ConfigError::new(
                    ConfigErrorKind::ProfileUnsupported,
                    format!(
                        "AWS_PROFILE names the profile {profile:?}, but profile files are not read \
                         here: call load() of the feature aws-config, or pass a provider to \
                         credentials(..)"
                    ),
                ));
            }
            (None, None) => {
                return Err(ConfigError::new(
                    ConfigErrorKind::MissingCredentials,
                    "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass a \
                     provider to credentials(..), or call no_credentials() for an emulator that \
                     wants none",
                ));
            }
        };
        let variant = Variant {
            fips: self.use_fips.unwrap_or(false),
            dual_stack: self.use_dual_stack.unwrap_or(false),
        };
        let locate = |service: Service| match self.endpoints.get(&service) {
            Some(url) => endpoint::parse(url),
            None => endpoint::parse(&service.public_endpoint(&region, variant)),
        };
        let endpoints = Endpoints {
            kinesis: locate(Service::Kinesis)?,
            dynamodb: locate(Service::DynamoDb)?,
            cloudwatch: locate(Service::CloudWatch)?,
        };
        let transport = self.open_transport()?;
        let env = self.env.unwrap_or_else(Env::system);
        Ok(Aws::assemble(
            region,
            endpoints,
            provider,
            transport,
            env,
            self.timeouts,
            self.encoding,
        ))
    }

    /// The transport, which is HTTP if no other was given.
    fn open_transport(&mut self) -> Result<Arc<dyn Transport>, ConfigError> {
        if let Some(transport) = &self.transport {
            return Ok(transport.clone());
        }
        let pem = self.ca_bundle.as_deref().map(read_ca_bundle).transpose()?;
        let transport: Arc<dyn Transport> = Arc::new(Http::new(pem.as_deref())?);
        self.transport = Some(transport.clone());
        Ok(transport)
    }
}

fn read_ca_bundle(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|error| {
        ConfigError::new(
            ConfigErrorKind::InvalidCaBundle,
            format!("could not read the CA bundle {}", path.display()),
        )
        .with_source(error)
    })
}

impl fmt::Debug for AwsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsBuilder")
            .field("region", &self.region)
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}
