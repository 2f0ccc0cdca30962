//! The environment variables that AWS tools share.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html>

use aws_credential_types::Credentials;
use shardwise_types::{ConfigError, ConfigErrorKind};

use crate::aws::AwsBuilder;
use crate::endpoint::Service;

/// Applies the variables to a builder. An empty variable counts as absent, as in AWS's own tools.
pub(crate) fn apply(
    builder: AwsBuilder,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<AwsBuilder, ConfigError> {
    let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let boolean = |name: &str| {
        let Some(value) = variable(name) else {
            return Ok(None);
        };
        let value = value.trim();
        if value.eq_ignore_ascii_case("true") {
            Ok(Some(true))
        } else if value.eq_ignore_ascii_case("false") {
            Ok(Some(false))
        } else {
            // An endpoint of the wrong kind must not be taken without a word.
            Err(ConfigError::new(
                ConfigErrorKind::InvalidEndpoint,
                format!("{name} is {value:?}, and neither true nor false"),
            ))
        }
    };
    let mut builder = builder;
    if let Some(region) = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")) {
        builder = builder.region(region);
    }
    for service in Service::ALL {
        let own = format!("AWS_ENDPOINT_URL_{}", service.variable_suffix());
        if let Some(url) = variable(&own).or_else(|| variable("AWS_ENDPOINT_URL")) {
            builder = builder.endpoint(service, url);
        }
    }
    if let Some(use_fips) = boolean("AWS_USE_FIPS_ENDPOINT")? {
        builder = builder.use_fips(use_fips);
    }
    if let Some(use_dual_stack) = boolean("AWS_USE_DUALSTACK_ENDPOINT")? {
        builder = builder.use_dual_stack(use_dual_stack);
    }
    if let Some(path) = variable("AWS_CA_BUNDLE") {
        builder = builder.ca_bundle_file(path);
    }
    match (
        variable("AWS_ACCESS_KEY_ID"),
        variable("AWS_SECRET_ACCESS_KEY"),
    ) {
        (Some(id), Some(secret)) => {
            let token = variable("AWS_SESSION_TOKEN");
            builder = builder.credentials(Credentials::new(id, secret, token, None, "environment"));
        }
        (Some(_), None) => {
            return Err(ConfigError::new(
                ConfigErrorKind::MissingCredentials,
                "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not",
            ));
        }
        (None, Some(_)) => {
            return Err(ConfigError::new(
                ConfigErrorKind::MissingCredentials,
                "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not",
            ));
        }
        (None, None) => {
            if let Some(profile) = variable("AWS_PROFILE") {
                builder = builder.unsupported_profile(profile);
            }
        }
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Aws;

    fn from(variables: &[(&str, &str)]) -> Result<Aws, ConfigError> {
        let lookup = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        apply(Aws::builder(), lookup)?.build()
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
}
