//! The configuration that AWS's tools share, by the crate `aws-config`: profile files, SSO, processes,
//! web identity, the roles of containers and of instances.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>

use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_types::service_config::ServiceConfigKey;
use shardwise_env::Env;
use shardwise_types::ConfigError;

use super::Aws;
use super::builder::AwsBuilder;
use crate::endpoint::Service;
use crate::smithy;

impl Aws {
    /// Everything that AWS's own tools look at: the environment variables, as
    /// [`from_env`](Self::from_env) reads them, and then what [`AwsBuilder::load`] finds.
    ///
    /// With the feature `aws-config`.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), shardwise_client::ConfigError> {
    /// use shardwise_client::Aws;
    ///
    /// // AWS_PROFILE=work, say, or the role of this instance.
    /// let aws = Aws::load().await?;
    /// # let _ = aws;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A [`ConfigError`] that names the setting that is missing or wrong. Whether there are
    /// credentials shows at the first call, with the kind
    /// [`Credentials`](crate::ErrorKind::Credentials).
    ///
    /// # Cancel safety
    /// Safe: nothing is kept.
    pub async fn load() -> Result<Self, ConfigError> {
        Self::builder().from_env().load().await?.build()
    }
}

impl AwsBuilder {
    /// Adds what is not set yet from what AWS's tools share: region, endpoints and credentials of the
    /// profile that `AWS_PROFILE` names (`~/.aws/config` and `~/.aws/credentials`, with SSO, assumed
    /// roles and `credential_process`), of web identity, and of the role of the container or the
    /// instance. Their services are called through this builder's transport.
    ///
    /// The instance is asked for the region if nothing else names one; the credentials are looked for
    /// at the first call. With the feature `aws-config`.
    ///
    /// # Errors
    /// A [`ConfigError`] if the CA bundle or TLS cannot be set up.
    ///
    /// # Cancel safety
    /// Safe: nothing is kept.
    pub async fn load(mut self) -> Result<Self, ConfigError> {
        let env = self.env.get_or_insert_with(Env::system).clone();
        let transport = self.open_transport()?;
        let http_client = smithy::http_client(transport, &env, self.timeouts);
        let (time_source, sleep) = (smithy::time_source(&env), smithy::async_sleep(&env));
        let providers = ProviderConfig::without_region()
            .with_http_client(http_client.clone())
            .with_time_source(time_source.clone())
            .with_sleep_impl(sleep.clone());
        let mut profile_region = ProfileFileRegionProvider::builder().configure(&providers);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client)
            .time_source(time_source)
            .sleep_impl(sleep)
            // The loader would panic at a value of AWS_MAX_ATTEMPTS, AWS_RETRY_MODE or the profile
            // that it does not like. The retries here are not those of the SDK.
            .retry_config(RetryConfig::standard());
        if is_empty_variable("AWS_PROFILE") {
            loader = loader.profile_name(DEFAULT_PROFILE);
            profile_region = profile_region.profile_name(DEFAULT_PROFILE);
        }
        let region = match &self.region {
            Some(region) => Some(region.clone()),
            None => variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")),
        };
        let instance_region = ImdsRegionProvider::builder().configure(&providers).build();
        loader = loader.region(
            RegionProviderChain::first_try(region.map(Region::new))
                .or_else(profile_region.build())
                .or_else(instance_region),
        );
        let config = loader.load().await;
        Ok(self.sdk_config(&config))
    }

    /// Adds what is not set yet from a configuration that was loaded elsewhere: region, endpoints and
    /// credentials. Its HTTP client, retries and time limits are not taken over. With the feature
    /// `aws-config`.
    pub fn sdk_config(mut self, config: &SdkConfig) -> Self {
        if self.region.is_none() {
            self.region = config.region().map(ToString::to_string);
        }
        for service in Service::ALL {
            if !self.endpoints.contains_key(&service)
                && let Some(url) = endpoint_of(service, config)
            {
                self.endpoints.insert(service, url);
            }
        }
        self.use_fips = self.use_fips.or_else(|| config.use_fips());
        self.use_dual_stack = self.use_dual_stack.or_else(|| config.use_dual_stack());
        // Half a pair of keys was meant to be used: another caller is not to take its place.
        if self.provider.is_none() && !self.unsigned && self.credentials_problem.is_none() {
            self.provider = config.credentials_provider();
        }
        self
    }
}

/// The profile that is read if none is named.
const DEFAULT_PROFILE: &str = "default";

/// A variable; an empty one counts as unset, which the loader does not know of all of them.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok()?;
    Some(value.trim().to_owned()).filter(|text| is_given(text))
}

fn is_empty_variable(name: &str) -> bool {
    std::env::var_os(name).is_some() && variable(name).is_none()
}

/// One that the program has set is for all services and goes before those that the environment or
/// the profile has for this one.
fn endpoint_of(service: Service, config: &SdkConfig) -> Option<String> {
    let of_all = config
        .endpoint_url()
        .map(ToOwned::to_owned)
        .filter(|text| is_given(text));
    if config.get_origin("endpoint_url").is_client_config() {
        return of_all;
    }
    // An empty variable would hide what the profile says.
    ["AWS_ENDPOINT_URL", NO_VARIABLE]
        .into_iter()
        .find_map(|variable| {
            let key = ServiceConfigKey::builder()
                .service_id(service.id())
                .env(variable)
                .profile("endpoint_url")
                .build()
                .ok()?;
            config
                .service_config()?
                .load_config(key)
                .filter(|text| is_given(text))
        })
        .or(of_all)
}

/// The name of a variable that does not exist: the profile alone is looked at.
const NO_VARIABLE: &str = "SHARDWISE_NO_VARIABLE";

fn is_given(text: &str) -> bool {
    !text.trim().is_empty()
}
