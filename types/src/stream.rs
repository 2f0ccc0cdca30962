//! How a stream is named.

use std::str::FromStr;
use std::sync::Arc;

use crate::text::{check_name, text_newtype};
use crate::{Invalid, limits};

/// The name of a stream: 1 to 128 letters, digits, `_`, `.` and `-`.
///
/// Cheap to clone. <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html>
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_name("stream name", text, 1, limits::STREAM_NAME_MAX_CHARS)?;
        Ok(Self(text.into()))
    }
}

text_newtype!(StreamName);

/// The Amazon Resource Name of a stream:
/// `arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME`.
///
/// ```
/// use shardwise_types::StreamArn;
///
/// let arn: StreamArn = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders".parse()?;
/// assert_eq!(arn.region(), "eu-west-1");
/// assert_eq!(arn.account(), "123456789012");
/// assert_eq!(arn.stream_name().as_str(), "orders");
/// # Ok::<(), shardwise_types::Invalid>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamArn {
    text: Arc<str>,
    name: StreamName,
}

impl StreamArn {
    /// The ARN as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The region that holds the stream.
    #[must_use]
    pub fn region(&self) -> &str {
        self.part(3)
    }

    /// The 12-digit account that owns the stream.
    #[must_use]
    pub fn account(&self) -> &str {
        self.part(4)
    }

    /// The stream's name.
    #[must_use]
    pub fn stream_name(&self) -> &StreamName {
        &self.name
    }

    fn part(&self, index: usize) -> &str {
        self.text.split(':').nth(index).unwrap_or_default()
    }
}

impl FromStr for StreamArn {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |reason: &str| Invalid::new("stream ARN", text, reason);
        let parts: Vec<&str> = text.split(':').collect();
        let [arn, partition, service, region, account, resource] = parts[..] else {
            return Err(invalid(
                "expected arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME, six parts divided by colons",
            ));
        };
        if arn != "arn" || !partition.starts_with("aws") || service != "kinesis" {
            return Err(invalid(
                "it must begin with arn:aws:kinesis: (or another aws partition)",
            ));
        }
        if region.is_empty() {
            return Err(invalid("the region is empty"));
        }
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid("the account is not 12 digits"));
        }
        let Some(name) = resource.strip_prefix("stream/") else {
            return Err(invalid("the resource is not stream/NAME"));
        };
        Ok(Self {
            text: text.into(),
            name: name.parse()?,
        })
    }
}

text_newtype!(StreamArn);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_name_follows_the_services_rule() {
        for good in ["a", "Foo-bar_1.2", &"x".repeat(128)] {
            assert_eq!(good.parse::<StreamName>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "ä", "a/b", &"x".repeat(129)] {
            assert!(bad.parse::<StreamName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_arn_gives_its_parts_and_a_bad_one_says_which_part_is_wrong() {
        let arn: StreamArn = "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/s"
            .parse()
            .unwrap();
        assert_eq!(
            (arn.region(), arn.account(), arn.stream_name().as_str()),
            ("cn-north-1", "123456789012", "s")
        );
        for (bad, reason) in [
            ("orders", "six parts"),
            (
                "arn:aws:sqs:eu-west-1:123456789012:stream/s",
                "arn:aws:kinesis:",
            ),
            ("arn:aws:kinesis::123456789012:stream/s", "region"),
            ("arn:aws:kinesis:eu-west-1:123:stream/s", "12 digits"),
            ("arn:aws:kinesis:eu-west-1:123456789012:s", "stream/NAME"),
            ("arn:aws:kinesis:eu-west-1:123456789012:stream/", "empty"),
        ] {
            let error = bad.parse::<StreamArn>().unwrap_err();
            assert!(error.reason().contains(reason), "{bad}: {error}");
        }
    }
}
