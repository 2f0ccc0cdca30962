//! Which service is spoken to, and as whom: the environment variables and files that AWS tools share,
//! and two options that go before them.

use anyhow::{anyhow, bail};
use shardwise_client::credential_types::provider::ProvideCredentials as _;
use shardwise_client::credential_types::provider::error::CredentialsError;
use shardwise_client::{Aws, ConfigErrorKind, Env};
use shardwise_env::Task;
use shardwise_types::root_cause;

use crate::log::LogFormat;
use crate::reach::{Hosts, Watched};

/// Where the service is.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct AwsArgs {
    /// Region, such as eu-west-1; without it AWS_REGION, AWS_DEFAULT_REGION, the profile's or the
    /// instance's
    #[arg(long, value_name = "REGION")]
    region: Option<String>,

    /// URL of all services, as the mock has one; without it AWS_ENDPOINT_URL and its forms for one
    /// service, or else AWS's own
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
}

/// A handle whose services are named when they cannot be reached.
pub(crate) struct Connection {
    pub(crate) aws: Aws,
    _telling: Task<()>,
}

impl AwsArgs {
    /// The handle that everything starts from. The services are not called yet.
    ///
    /// # Errors
    /// If something is missing or wrong. Where the library would name its own functions, what a
    /// user of the command can do is named instead.
    pub(crate) async fn connect(&self, log_format: LogFormat) -> anyhow::Result<Connection> {
        let mut builder = Aws::builder().from_env();
        if let Some(region) = &self.region {
            builder = builder.region(region);
        }
        if let Some(url) = &self.endpoint_url {
            builder = builder.endpoint_url(url);
        }
        let (env, hosts) = (Env::system(), Hosts::default());
        // Around what is loaded: where credentials are looked for, many a host is not there.
        let builder = builder
            .load()
            .await?
            .wrap_transport(|inner| Watched::new(inner, env.clone(), hosts.clone()))?;
        let aws = builder.build().map_err(|error| match error.kind() {
            ConfigErrorKind::MissingRegion => anyhow!(
                "no region: give --region, set AWS_REGION or AWS_DEFAULT_REGION, or name a profile \
                 that has one with AWS_PROFILE"
            ),
            _ => error.into(),
        })?;
        // Found out now, and not record by record.
        if let Some(provider) = aws.credentials_provider()
            && let Err(error) = provider.provide_credentials().await
        {
            bail!("{}", no_credentials(&error));
        }
        let telling = hosts.tell(&env, log_format);
        Ok(Connection {
            aws,
            _telling: telling,
        })
    }
}

/// Why there are none, in short, and what to do. The SDK's own text is a paragraph that names every
/// place it has looked at.
fn no_credentials(error: &CredentialsError) -> String {
    let why = match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            "none in the environment variables, in the profile, or from a role".to_owned()
        }
        CredentialsError::ProviderTimedOut(_) => "their provider gave no answer in time".to_owned(),
        _ => root_cause(error).unwrap_or(error).to_string(),
    };
    format!(
        "no credentials: {why}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (the mock takes any \
         words), or name a profile that has some with AWS_PROFILE"
    )
}

/// What every command that calls the service says at the end of its help.
pub(crate) const ENVIRONMENT_HELP: &str = "\
Environment:
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN   credentials (the mock takes any)
  AWS_PROFILE, AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE     profile: credentials, region, endpoint
  AWS_REGION, AWS_DEFAULT_REGION                                region
  AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_KINESIS, .._DYNAMODB       where the services are
  AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT             which of AWS's own
  AWS_CA_BUNDLE, HTTPS_PROXY, NO_PROXY                          the way to them
  RUST_LOG                                                      what is logged: info, say; else warn";
