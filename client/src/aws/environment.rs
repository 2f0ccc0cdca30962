//! The environment variables that AWS tools share.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html>

use aws_credential_types::Credentials;
use shardwise_types::{ConfigError, ConfigErrorKind};

use super::Aws;
use super::builder::AwsBuilder;
use crate::endpoint::Service;

impl Aws {
    /// What the environment variables say, and nothing else: `AWS_REGION`, `AWS_DEFAULT_REGION`,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_ENDPOINT_URL` and
    /// its `_KINESIS` and `_DYNAMODB` forms, `AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT`,
    /// `AWS_CA_BUNDLE`; the proxy variables are read by the HTTP client.
    ///
    /// It does not look at profile files, SSO, `credential_process`, web identity or the roles of
    /// containers and instances: `Aws::load`, with the feature `aws-config`, does. Where
    /// `AWS_PROFILE` is set and no keys are, it says so.
    ///
    /// Use [`AwsBuilder::from_env`] to add to it, for example another provider of credentials.
    ///
    /// ```
    /// use shardwise_client::Aws;
    ///
    /// // Nothing is called yet.
    /// match Aws::from_env() {
    ///     Ok(aws) => println!("region {}", aws.region()),
    ///     Err(error) => println!("not set up: {error}"),
    /// }
    /// ```
    ///
    /// # Errors
    /// A [`ConfigError`] that names the setting that is missing or wrong.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::builder().from_env().build()
    }
}

impl AwsBuilder {
    /// Adds what the environment variables say, see [`Aws::from_env`].
    ///
    /// A variable that is wrong is an error of [`build`](Self::build), if its value is needed then.
    pub fn from_env(self) -> Self {
        apply(self, |name| std::env::var(name).ok())
    }
}

/// Applies the variables to a builder. An empty variable counts as unset, as in AWS's own tools; what
/// is wrong with one is an error only where its value is needed.
fn apply(mut builder: AwsBuilder, variable: impl Fn(&str) -> Option<String>) -> AwsBuilder {
    let variable = |name: &str| {
        let value = variable(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    };
    if let Some(region) = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")) {
        builder = builder.region(region);
    }
    let ignores_endpoints = variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    for service in Service::ALL {
        let own = format!("AWS_ENDPOINT_URL_{}", service.variable_suffix());
        if let Some(url) = variable(&own).or_else(|| variable("AWS_ENDPOINT_URL"))
            && !ignores_endpoints
        {
            builder = builder.endpoint(service, url);
        }
    }
    for (name, choice) in [
        ("AWS_USE_FIPS_ENDPOINT", &mut builder.use_fips),
        ("AWS_USE_DUALSTACK_ENDPOINT", &mut builder.use_dual_stack),
    ] {
        match variable(name) {
            None => {}
            Some(value) if value.eq_ignore_ascii_case("true") => *choice = Some(true),
            Some(value) if value.eq_ignore_ascii_case("false") => *choice = Some(false),
            // Another kind of endpoint than the one that was meant must not be taken silently.
            Some(value) => {
                builder.endpoint_problem = Some(ConfigError::new(
                    ConfigErrorKind::InvalidEndpoint,
                    format!("{name} is {value:?}, and neither true nor false"),
                ));
            }
        }
    }
    if let Some(path) = variable("AWS_CA_BUNDLE") {
        builder = builder.ca_bundle_file(path);
    }
    let half_a_pair = |is_set: &str, is_not: &str| {
        ConfigError::new(
            ConfigErrorKind::MissingCredentials,
            format!("{is_set} is set, but {is_not} is not"),
        )
    };
    match (variable(KEY_ID), variable(SECRET)) {
        (Some(id), Some(secret)) => {
            let token = variable("AWS_SESSION_TOKEN");
            builder = builder.credentials(Credentials::new(id, secret, token, None, "environment"));
        }
        (Some(_), None) => builder.credentials_problem = Some(half_a_pair(KEY_ID, SECRET)),
        (None, Some(_)) => builder.credentials_problem = Some(half_a_pair(SECRET, KEY_ID)),
        (None, None) => builder.profile = variable("AWS_PROFILE"),
    }
    builder
}

const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Aws, ConfigError> {
        let lookup = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        apply(Aws::builder(), lookup).build()
    }

    const KEYS: [(&str, &str); 2] = [
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ];

    #[test]
    fn a_missing_region_is_a_typed_error_that_says_what_was_tried() {
        let error = from(&KEYS).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::MissingRegion);
        assert!(error.to_string().contains("AWS_REGION"), "{error}");
        assert!(error.to_string().contains("AWS_DEFAULT_REGION"), "{error}");
    }

    #[test]
    fn missing_credentials_are_a_typed_error_that_says_what_was_tried() {
        for variables in [
            vec![("AWS_REGION", "eu-west-1")],
            vec![("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "AKID")],
            vec![("AWS_REGION", "eu-west-1"), ("AWS_SECRET_ACCESS_KEY", "s")],
            vec![
                ("AWS_REGION", "eu-west-1"),
                ("AWS_ACCESS_KEY_ID", " "),
                ("AWS_SECRET_ACCESS_KEY", ""),
            ],
        ] {
            let error = from(&variables).unwrap_err();
            assert_eq!(error.kind(), ConfigErrorKind::MissingCredentials);
            assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
        }
    }

    #[test]
    fn a_profile_alone_is_refused_by_name() {
        let error = from(&[("AWS_REGION", "eu-west-1"), ("AWS_PROFILE", "work")]).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::ProfileUnsupported);
        assert!(error.to_string().contains("work"), "{error}");
    }

    #[test]
    fn the_variables_make_a_handle() {
        let mut variables = KEYS.to_vec();
        variables.extend([
            ("AWS_DEFAULT_REGION", "us-west-2"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:4567"),
            ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:8000"),
        ]);
        let aws = from(&variables).unwrap();
        assert_eq!(aws.region(), "eu-central-1");
        assert_eq!(
            aws.endpoint(Service::Kinesis).to_string(),
            "http://127.0.0.1:4567/"
        );
        assert_eq!(
            aws.endpoint(Service::DynamoDb).to_string(),
            "http://127.0.0.1:8000/"
        );
    }

    #[test]
    fn the_variables_choose_among_the_public_endpoints() {
        let mut variables = KEYS.to_vec();
        variables.extend([
            ("AWS_REGION", "eu-west-1"),
            ("AWS_USE_FIPS_ENDPOINT", "True"),
            ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
        ]);
        let aws = from(&variables).unwrap();
        let endpoint = aws.endpoint(Service::Kinesis).to_string();
        assert_eq!(endpoint, "https://kinesis-fips.eu-west-1.api.aws/");

        variables.push(("AWS_ENDPOINT_URL", "http://127.0.0.1:4567"));
        let aws = from(&variables).unwrap();
        let endpoint = aws.endpoint(Service::Kinesis).to_string();
        assert_eq!(endpoint, "http://127.0.0.1:4567/");

        variables.pop();
        variables.splice(3..4, [("AWS_USE_FIPS_ENDPOINT", "yes")]);
        let error = from(&variables).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::InvalidEndpoint);
        assert!(
            error.to_string().contains("AWS_USE_FIPS_ENDPOINT"),
            "{error}"
        );
    }

    #[test]
    fn a_malformed_endpoint_variable_is_a_typed_error() {
        let mut variables = KEYS.to_vec();
        variables.extend([
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL_KINESIS", "localhost"),
        ]);
        assert_eq!(
            from(&variables).unwrap_err().kind(),
            ConfigErrorKind::InvalidEndpoint
        );
    }

    #[test]
    fn an_unreadable_ca_bundle_is_a_typed_error_that_names_the_file() {
        let mut variables = KEYS.to_vec();
        variables.extend([
            ("AWS_REGION", "eu-west-1"),
            ("AWS_CA_BUNDLE", "/nowhere/ca.pem"),
        ]);
        let error = from(&variables).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::InvalidCaBundle);
        assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    }
    #[test]
    fn what_is_wrong_with_a_variable_matters_only_where_it_is_needed() {
        let half_a_pair = [
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_USE_FIPS_ENDPOINT", "yes"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:4567"),
        ];
        let lookup = |name: &str| {
            let found = half_a_pair.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let given = Credentials::new("AKID", "s", None, None, "test");
        let builder = || apply(Aws::builder(), lookup);
        assert!(builder().credentials(given).build().is_ok());
        assert!(builder().no_credentials().build().is_ok());
        let error = builder().build().unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::MissingCredentials);
    }

    #[test]
    fn empty_variables_count_as_unset_and_spaces_around_a_value_do_not() {
        for (name, value) in [
            ("AWS_ENDPOINT_URL", ""),
            ("AWS_ENDPOINT_URL_KINESIS", " "),
            ("AWS_USE_FIPS_ENDPOINT", ""),
            ("AWS_CA_BUNDLE", ""),
            ("AWS_PROFILE", ""),
            ("AWS_SESSION_TOKEN", ""),
            ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", ""),
        ] {
            let mut variables = KEYS.to_vec();
            variables.extend([("AWS_REGION", " eu-west-1\n"), (name, value)]);
            let aws = from(&variables).unwrap();
            assert_eq!(aws.region(), "eu-west-1");
            let endpoint = aws.endpoint(Service::Kinesis).to_string();
            assert_eq!(endpoint, "https://kinesis.eu-west-1.amazonaws.com/");
        }
    }
}
