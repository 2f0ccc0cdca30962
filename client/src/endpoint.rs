//! Where the services are.

use http::Uri;
use shardwise_types::{ConfigError, ConfigErrorKind};

/// A service of AWS that Shardwise calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Service {
    /// Kinesis Data Streams.
    Kinesis,
    /// DynamoDB, which holds the lease tables.
    DynamoDb,
}

impl Service {
    pub(crate) const ALL: [Self; 2] = [Self::Kinesis, Self::DynamoDb];

    /// The name in a host name and in a signature's scope.
    pub(crate) fn signing_name(self) -> &'static str {
        match self {
            Self::Kinesis => "kinesis",
            Self::DynamoDb => "dynamodb",
        }
    }

    /// The service id, by which profile files have settings for a service.
    /// <https://docs.aws.amazon.com/sdkref/latest/guide/ss-endpoints-table.html>
    #[cfg(feature = "aws-config")]
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Kinesis => "Kinesis",
            Self::DynamoDb => "DynamoDB",
        }
    }

    /// What stands behind `AWS_ENDPOINT_URL_`.
    pub(crate) fn variable_suffix(self) -> &'static str {
        match self {
            Self::Kinesis => "KINESIS",
            Self::DynamoDb => "DYNAMODB",
        }
    }

    /// The public endpoint in a region.
    /// <https://docs.aws.amazon.com/general/latest/gr/ak.html>
    pub(crate) fn public_endpoint(
        self,
        region: &str,
        Variant { fips, dual_stack }: Variant,
    ) -> String {
        let partition = PARTITIONS
            .iter()
            .find(|partition| region.starts_with(partition.regions))
            .unwrap_or(&AWS);
        let suffix = if dual_stack {
            partition.dual_stack_suffix
        } else {
            partition.suffix
        };
        // The plain names of GovCloud are FIPS endpoints already.
        let is_plain_fips = region.starts_with("us-gov-") && !dual_stack;
        let marker = if fips && !is_plain_fips { "-fips" } else { "" };
        format!("https://{}{marker}.{region}.{suffix}", self.signing_name())
    }
}

/// Which of a service's public endpoints.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Variant {
    /// With cryptography that is validated by FIPS 140.
    pub(crate) fips: bool,
    /// By IPv6 and IPv4.
    pub(crate) dual_stack: bool,
}

/// A group of regions whose endpoints end in the same domain.
/// <https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html>
#[derive(Debug)]
struct Partition {
    /// How the regions begin.
    regions: &'static str,
    suffix: &'static str,
    dual_stack_suffix: &'static str,
}

impl Partition {
    const fn new(
        regions: &'static str,
        suffix: &'static str,
        dual_stack_suffix: &'static str,
    ) -> Self {
        Self {
            regions,
            suffix,
            dual_stack_suffix,
        }
    }
}

/// All regions that no other partition has.
const AWS: Partition = Partition::new("", "amazonaws.com", "api.aws");

const PARTITIONS: [Partition; 7] = [
    Partition::new("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    Partition::new("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    Partition::new("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    Partition::new("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    Partition::new("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    Partition::new("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    AWS,
];

/// A host name without the domain that the endpoints of a partition end in; `None` if it is not
/// AWS's.
pub(crate) fn without_suffix(host: &str) -> Option<&str> {
    PARTITIONS.iter().find_map(|partition| {
        [partition.suffix, partition.dual_stack_suffix]
            .iter()
            .find_map(|suffix| host.strip_suffix(suffix)?.strip_suffix('.'))
    })
}

/// Reads an endpoint URL. It may have a path, as behind a gateway, to which requests are sent; a query
/// makes no sense.
pub(crate) fn parse(text: &str) -> Result<Uri, ConfigError> {
    let invalid = |reason: &str| {
        ConfigError::new(
            ConfigErrorKind::InvalidEndpoint,
            format!("the endpoint {text:?} cannot be used: {reason}"),
        )
    };
    let not_a_url = "it is not a URL";
    let uri: Uri = text
        .trim()
        .parse()
        .map_err(|error: http::uri::InvalidUri| invalid(not_a_url).with_source(error))?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(_) => return Err(invalid("only http and https are spoken")),
        None => return Err(invalid("it does not begin with http:// or https://")),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(invalid("it names no host"));
    }
    if uri.query().is_some() {
        return Err(invalid("it has a query"));
    }
    // Every operation is called at `/`, which AWS's SDKs append to the path.
    let path = format!("{}/", uri.path().trim_end_matches('/'));
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(
        path.parse()
            .map_err(|error: http::uri::InvalidUri| invalid(not_a_url).with_source(error))?,
    );
    Uri::from_parts(parts).map_err(|error| invalid(not_a_url).with_source(error))
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
        for (text, expected) in [
            ("http://host", "http://host/"),
            ("http://host:1/a/kinesis", "http://host:1/a/kinesis/"),
            ("https://host/a/kinesis//", "https://host/a/kinesis/"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), expected);
        }
        for (bad, reason) in [
            ("", "not a URL"),
            ("localhost:4567", "http://"),
            ("127.0.0.1", "http://"),
            ("ftp://host", "only http and https"),
            ("http://", "not a URL"),
            ("http://host/path?query", "has a query"),
            ("http://ho st", "not a URL"),
        ] {
            let error = parse(bad).unwrap_err();
            assert_eq!(error.kind(), ConfigErrorKind::InvalidEndpoint);
            assert!(error.to_string().contains(reason), "{bad:?}: {error}");
        }
    }
}
