//! Settings of a handle, checked together before any I/O.
//!
//! What the environment variables say is read in `environment`, what AWS's tools share in
//! `shared_config`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use shardwise_env::Env;
use shardwise_types::{ConfigError, ConfigErrorKind};

use super::{Aws, Endpoints, Timeouts};
use crate::encoding::Encoding;
use crate::endpoint::{self, Service, Variant};
use crate::error::BoxError;
use crate::transport::{Http, InProcess, Transport};

/// The region of [`Aws::in_process`].
const IN_PROCESS_REGION: &str = "us-east-1";

/// A host that exists nowhere: an in-process transport looks at the headers only.
const IN_PROCESS_ENDPOINT: &str = "http://in-process.invalid/";

/// What [`Encoding::Auto`] is in this process: a transport in between can read the requests.
const IN_PROCESS_ENCODING: Encoding = Encoding::Json;

fn in_process_credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "in process")
}

impl Aws {
    /// A builder without any setting.
    pub fn builder() -> AwsBuilder {
        AwsBuilder::default()
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
}

/// Settings of an [`Aws`] handle, checked together by [`build`](Self::build).
#[derive(Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct AwsBuilder {
    pub(super) region: Option<String>,
    pub(super) endpoints: BTreeMap<Service, String>,
    pub(super) use_fips: Option<bool>,
    pub(super) use_dual_stack: Option<bool>,
    pub(super) provider: Option<SharedCredentialsProvider>,
    pub(super) unsigned: bool,
    pub(super) transport: Option<Arc<dyn Transport>>,
    pub(super) in_process: bool,
    pub(super) env: Option<Env>,
    pub(super) timeouts: Timeouts,
    pub(super) encoding: Encoding,
    pub(super) ca_bundle: Option<PathBuf>,
    /// A profile that was named and cannot be read here.
    pub(super) profile: Option<String>,
    /// What is wrong with the choice among AWS's own endpoints, if they are needed.
    pub(super) endpoint_problem: Option<ConfigError>,
    /// Why there are no credentials, if they are needed.
    pub(super) credentials_problem: Option<ConfigError>,
}

impl AwsBuilder {
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

    /// A transport in place of the one that handles share:
    /// [`Http::new`](crate::transport::Http::new) for connections of its own.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Puts something around the transport, to watch or to disturb what goes through it. The
    /// transport is HTTP unless another was given before.
    ///
    /// # Errors
    /// A [`ConfigError`] if the CA bundle or TLS cannot be set up.
    pub fn wrap_transport<T: Transport>(
        mut self,
        wrap: impl FnOnce(Arc<dyn Transport>) -> T,
    ) -> Result<Self, ConfigError> {
        let inner = self.open_transport()?;
        Ok(self.transport(wrap(inner)))
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
        let provider = self.provider.take();
        let provider = match (self.credentials_problem.take(), self.profile.take()) {
            _ if provider.is_some() || self.unsigned => provider,
            (Some(problem), _) => return Err(problem),
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
            None => match &self.endpoint_problem {
                Some(problem) => Err(problem.clone()),
                None => endpoint::parse(&service.public_endpoint(&region, variant)),
            },
        };
        let endpoints = Endpoints {
            kinesis: locate(Service::Kinesis)?,
            dynamodb: locate(Service::DynamoDb)?,
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
    pub(super) fn open_transport(&mut self) -> Result<Arc<dyn Transport>, ConfigError> {
        if let Some(transport) = &self.transport {
            return Ok(transport.clone());
        }
        let http = match self.open_http() {
            Err(error)
                if error.kind() == ConfigErrorKind::InvalidCaBundle && !self.may_need_tls() =>
            {
                tracing::warn!("the CA bundle is not used, and no endpoint needs it: {error}");
                Http::shared(None)
            }
            result => result,
        }?;
        let transport: Arc<dyn Transport> = Arc::new(http);
        self.transport = Some(transport.clone());
        Ok(transport)
    }

    fn open_http(&self) -> Result<Http, ConfigError> {
        let pem = self.ca_bundle.as_deref().map(read_ca_bundle).transpose()?;
        Http::shared(pem.as_deref())
    }

    /// Whether an endpoint is not known yet, or is one with TLS.
    fn may_need_tls(&self) -> bool {
        let is_plain = |url: &String| url.trim().starts_with("http://");
        !Service::ALL
            .iter()
            .all(|service| self.endpoints.get(service).is_some_and(is_plain))
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
