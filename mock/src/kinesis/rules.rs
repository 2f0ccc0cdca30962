//! The constraints of the API model, once for each kind of member.
//!
//! Source: the service's API model of 2013-12-02, as botocore ships it.

use shardwise_types::limits;

/// An allowed count of characters or items, both ends included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    pub(crate) min: usize,
    pub(crate) max: usize,
}

impl Count {
    pub(crate) const fn new(min: usize, max: usize) -> Self {
        Self { min, max }
    }

    /// Whether a text has as many characters as allowed.
    pub(crate) fn fits(self, text: &str) -> bool {
        (self.min..=self.max).contains(&text.chars().count())
    }

    /// Both bounds, as the service tells them of the items of a list or map.
    pub(crate) fn both(self) -> String {
        format!(
            "[Member must have length less than or equal to {}, Member must have length greater \
             than or equal to {}]",
            self.max, self.min
        )
    }
}

/// A regular expression of the model: its text for the message, and the same test as code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pattern {
    pub(crate) text: &'static str,
    pub(crate) matches: fn(&str) -> bool,
}

/// What a string member must satisfy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    pub(crate) length: Count,
    pub(crate) pattern: Option<Pattern>,
    /// The values of an enum, in the order in which the service lists them; empty if any will do.
    pub(crate) one_of: &'static [&'static str],
}

impl Text {
    const fn any() -> Self {
        Self {
            length: Count::new(0, usize::MAX),
            pattern: None,
            one_of: &[],
        }
    }

    pub(super) const fn length(min: usize, max: usize) -> Self {
        Self {
            length: Count::new(min, max),
            ..Self::any()
        }
    }

    pub(super) const fn pattern(self, text: &'static str, matches: fn(&str) -> bool) -> Self {
        Self {
            pattern: Some(Pattern { text, matches }),
            ..self
        }
    }

    pub(super) const fn one_of(values: &'static [&'static str]) -> Self {
        Self {
            one_of: values,
            ..Self::any()
        }
    }

    /// Whether a text is one of the values, where only some will do.
    pub(crate) fn lists(&self, text: &str) -> bool {
        self.one_of.is_empty() || self.one_of.contains(&text)
    }

    /// What the service says of a text that is not.
    pub(crate) fn must_be_listed(&self) -> String {
        format!("satisfy enum value set: [{}]", self.one_of.join(", "))
    }

    /// Whether an item of a list is as it must be. Items have a length or values, never a pattern.
    pub(crate) fn fits(&self, text: &str) -> bool {
        self.length.fits(text) && self.lists(text)
    }

    /// What the service tells of the items of a list, all together.
    pub(crate) fn of_items(&self) -> String {
        if self.one_of.is_empty() {
            self.length.both()
        } else {
            format!("[Member must {}]", self.must_be_listed())
        }
    }
}

pub(super) const NAME: &str = "[a-zA-Z0-9_.-]+";

pub(crate) const STREAM_NAME: Text =
    Text::length(1, limits::STREAM_NAME_MAX_CHARS).pattern(NAME, is_name);
pub(crate) const STREAM_ARN: Text =
    Text::length(1, 2048).pattern(r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+", is_stream_arn);
pub(crate) const STREAM_ID: Text =
    Text::length(1, 24).pattern("[a-z0-9]{20}-[a-z0-9]{3}", is_stream_id);
pub(crate) const CONSUMER_NAME: Text = Text::length(1, 128).pattern(NAME, is_name);
pub(crate) const CONSUMER_ARN: Text = Text::length(1, 2048).pattern(
    r"^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+",
    is_consumer_arn,
);
/// The text is the one that the service had before there were channels.
pub(crate) const RESOURCE_ARN: Text =
    Text::length(1, 2048).pattern(r"arn:aws.*:kinesis:.*:\d{12}:.*stream/\S+", is_resource_arn);
pub(crate) const POLICY: Text = Text::any();
pub(crate) const SHARD_ID: Text =
    Text::length(1, limits::SHARD_ID_MAX_CHARS).pattern(NAME, is_name);
pub(crate) const HASH_KEY: Text =
    Text::any().pattern(r"0|([1-9]\d{0,38})", |text| is_number(text, 39));
pub(crate) const SEQUENCE_NUMBER: Text = Text::any().pattern(r"0|([1-9]\d{0,128})", |text| {
    is_number(text, limits::SEQUENCE_NUMBER_MAX_DIGITS)
});
pub(crate) const PARTITION_KEY: Text = Text::length(1, limits::PARTITION_KEY_MAX_CHARS);
pub(crate) const SHARD_ITERATOR: Text = Text::length(1, 512);
pub(crate) const NEXT_TOKEN: Text = Text::length(1, 1_048_576);
pub(crate) const STREAM_MODE: Text = Text::one_of(&["PROVISIONED", "ON_DEMAND"]);
pub(crate) const SHARD_ITERATOR_TYPE: Text = Text::one_of(&[
    "AFTER_SEQUENCE_NUMBER",
    "LATEST",
    "AT_TIMESTAMP",
    "AT_SEQUENCE_NUMBER",
    "TRIM_HORIZON",
]);
pub(crate) const SHARD_FILTER_TYPE: Text = Text::one_of(&[
    "AFTER_SHARD_ID",
    "AT_TRIM_HORIZON",
    "FROM_TRIM_HORIZON",
    "AT_LATEST",
    "AT_TIMESTAMP",
    "FROM_TIMESTAMP",
]);

pub(crate) const SCALING_TYPE: Text = Text::one_of(&["UNIFORM_SCALING"]);
pub(crate) const ENCRYPTION_TYPE: Text = Text::one_of(&["NONE", "KMS"]);
pub(crate) const KEY_ID: Text = Text::length(1, 2048);
pub(crate) const METRIC: Text = Text::one_of(&[
    "IncomingBytes",
    "IncomingRecords",
    "OutgoingBytes",
    "OutgoingRecords",
    "WriteProvisionedThroughputExceeded",
    "ReadProvisionedThroughputExceeded",
    "IteratorAgeMilliseconds",
    "ALL",
]);
pub(crate) const COMMITMENT_STATUS: Text = Text::one_of(&["ENABLED", "DISABLED"]);
pub(crate) const RECORD_DISTRIBUTION_STRATEGY: Text = Text::one_of(&["AUTO", "USER_PARTITION_KEY"]);

/// Tags of one call; the limit per stream is lower and is checked against the stream.
pub(crate) const TAGS: Count = Count::new(1, 200);
pub(crate) const TAG_KEY: Count = Count::new(1, 128);
pub(crate) const TAG_KEY_TEXT: Text = Text::length(1, 128);
pub(crate) const TAG_VALUE: Count = Count::new(0, 256);

pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_number(text: &str, max_digits: usize) -> bool {
    text == "0"
        || (!text.starts_with('0')
            && !text.is_empty()
            && text.len() <= max_digits
            && text.bytes().all(|b| b.is_ascii_digit()))
}

fn is_stream_id(text: &str) -> bool {
    let word = |part: &str, length| {
        part.len() == length
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    text.split_once('-')
        .is_some_and(|(left, right)| word(left, 20) && word(right, 3))
}

/// What stands behind the account in an ARN of Kinesis.
pub(super) fn resource_of(arn: &str) -> Option<&str> {
    let (_, rest) = arn.strip_prefix("arn:aws")?.split_once(":kinesis:")?;
    let mut parts = rest.splitn(3, ':');
    let (_region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    is_digits(account, 12).then_some(resource)
}

fn is_resource_arn(text: &str) -> bool {
    resource_of(text)
        .and_then(|resource| match resource.strip_prefix("channel/") {
            Some(name) => Some(name),
            None => resource.split_once("stream/").map(|(_, name)| name),
        })
        .is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace))
}

/// Whether it is so many digits.
pub(super) fn is_digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_consumer_arn(text: &str) -> bool {
    let is_consumer = |consumer: &str| {
        consumer.rsplit_once(':').is_some_and(|(name, seconds)| {
            is_name(name) && !seconds.is_empty() && seconds.bytes().all(|b| b.is_ascii_digit())
        })
    };
    resource_of(text)
        .and_then(|resource| resource.split_once("stream/"))
        .and_then(|(_, name)| name.split_once("/consumer/"))
        .is_some_and(|(stream, consumer)| is_name(stream) && is_consumer(consumer))
}

fn is_stream_arn(text: &str) -> bool {
    let Some((_, rest)) = text
        .strip_prefix("arn:aws")
        .and_then(|rest| rest.split_once(":kinesis:"))
    else {
        return false;
    };
    let Some((before, name)) = rest.split_once(":stream/") else {
        return false;
    };
    let account = before.rsplit(':').next().unwrap_or_default();
    before.contains(':')
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && !name.is_empty()
        && !name.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(rule: &Text, text: &str) -> bool {
        rule.pattern.is_none_or(|pattern| (pattern.matches)(text))
    }

    #[test]
    fn patterns_do_what_their_text_says() {
        for good in ["0", "1", "10", &"9".repeat(39)] {
            assert!(fits(&HASH_KEY, good), "{good}");
        }
        for bad in ["", "00", "01", "-1", "1a", &"9".repeat(40)] {
            assert!(!fits(&HASH_KEY, bad), "{bad}");
        }
        assert!(fits(&SEQUENCE_NUMBER, &"9".repeat(129)));
        assert!(!fits(&SEQUENCE_NUMBER, &"9".repeat(130)));
        assert!(fits(&STREAM_ID, "abcdefghij0123456789-x1z"));
        assert!(!fits(&STREAM_ID, "abcdefghij0123456789-X1z"));
        for good in [
            "arn:aws:kinesis:us-east-1:000000000000:stream/s",
            "arn:aws-cn:kinesis::123456789012:stream/a/b",
        ] {
            assert!(fits(&STREAM_ARN, good), "{good}");
        }
        for bad in [
            "arn:aws:kinesis:us-east-1:00000000000:stream/s",
            "arn:aws:kinesis:000000000000:stream/s",
            "arn:aws:sqs:us-east-1:000000000000:stream/s",
            "arn:aws:kinesis:us-east-1:000000000000:stream/",
            "arn:aws:kinesis:us-east-1:000000000000:stream/a b",
        ] {
            assert!(!fits(&STREAM_ARN, bad), "{bad}");
        }
        let consumer = "arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c:1700000000";
        assert!(fits(&CONSUMER_ARN, consumer));
        assert!(fits(&RESOURCE_ARN, consumer));
        assert!(fits(
            &RESOURCE_ARN,
            "arn:aws:kinesis:us-east-1:000000000000:stream/s"
        ));
        for bad in [
            "arn:aws:kinesis:us-east-1:000000000000:stream/s",
            "arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c",
            "arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c:1x",
            "arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/:1",
        ] {
            assert!(!fits(&CONSUMER_ARN, bad), "{bad}");
        }
        assert!(!fits(
            &RESOURCE_ARN,
            "arn:aws:kinesis:us-east-1:000000000000:table/s"
        ));
    }
}
