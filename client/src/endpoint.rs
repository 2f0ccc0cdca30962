//! Where the services are.

use http::Uri;

use crate::error::{ConfigError, ConfigErrorKind};

/// A service of AWS that Shardwise calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Service {
    /// Kinesis Data Streams.
    Kinesis,
    /// DynamoDB, which holds the lease tables.
    DynamoDb,
    /// CloudWatch, which takes metrics.
    CloudWatch,
}

impl Service {
    pub(crate) const ALL: [Self; 3] = [Self::Kinesis, Self::DynamoDb, Self::CloudWatch];

    /// The name in a host name and in a signature's scope.
    pub(crate) fn signing_name(self) -> &'static str {
        match self {
            Self::Kinesis => "kinesis",
            Self::DynamoDb => "dynamodb",
            Self::CloudWatch => "monitoring",
        }
    }

    /// The service id, by which profile files have settings for a service.
    /// <https://docs.aws.amazon.com/sdkref/latest/guide/ss-endpoints-table.html>
    #[cfg(feature = "aws-config")]
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Kinesis => "Kinesis",
            Self::DynamoDb => "DynamoDB",
            Self::CloudWatch => "CloudWatch",
        }
    }

    /// What stands behind `AWS_ENDPOINT_URL_`.
    pub(crate) fn variable_suffix(self) -> &'static str {
        match self {
            Self::Kinesis => "KINESIS",
            Self::DynamoDb => "DYNAMODB",
            Self::CloudWatch => "CLOUDWATCH",
        }
    }

    /// The public endpoint in a region.
    /// <https://docs.aws.amazon.com/general/latest/gr/ak.html>
    pub(crate) fn public_endpoint(self, region: &str) -> String {
        let suffix = if region.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        format!("https://{}.{region}.{suffix}", self.signing_name())
    }
}

/// Reads an endpoint URL; a path other than `/` or a query makes no sense for these services.
pub(crate) fn parse(text: &str) -> Result<Uri, ConfigError> {
    let invalid = |reason: &str| {
        ConfigError::new(
            ConfigErrorKind::InvalidEndpoint,
            format!("the endpoint {text:?} cannot be used: {reason}"),
        )
    };
    let uri: Uri = text
        .trim()
        .parse()
        .map_err(|error: http::uri::InvalidUri| invalid("it is not a URL").with_source(error))?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(_) => return Err(invalid("only http and https are spoken")),
        None => return Err(invalid("it does not begin with http:// or https://")),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(invalid("it names no host"));
    }
    if uri.path_and_query().is_some_and(|path| path != "/") {
        return Err(invalid("it has a path"));
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_endpoint_says_what_is_wrong_with_it() {
        for good in [
            "http://127.0.0.1:4567",
            "https://kinesis.eu-west-1.amazonaws.com/",
            "http://[::1]:1",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for (bad, reason) in [
            ("", "not a URL"),
            ("localhost:4567", "http://"),
            ("127.0.0.1", "http://"),
            ("ftp://host", "only http and https"),
            ("http://", "not a URL"),
            ("http://host/path", "has a path"),
            ("http://ho st", "not a URL"),
        ] {
            let error = parse(bad).unwrap_err();
            assert_eq!(error.kind(), ConfigErrorKind::InvalidEndpoint);
            assert!(error.to_string().contains(reason), "{bad:?}: {error}");
        }
    }

    #[test]
    fn public_endpoints_follow_the_partition() {
        assert_eq!(
            Service::DynamoDb.public_endpoint("eu-west-1"),
            "https://dynamodb.eu-west-1.amazonaws.com"
        );
        assert_eq!(
            Service::Kinesis.public_endpoint("cn-north-1"),
            "https://kinesis.cn-north-1.amazonaws.com.cn"
        );
    }
}
