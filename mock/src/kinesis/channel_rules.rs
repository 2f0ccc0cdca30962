//! The constraints of the API model on the members of channels; the others are in
//! [`super::rules`].
//!
//! Source: the service's API model of 2013-12-02, as botocore ships it since version 1.44.

use super::rules::{Count, NAME, Text, is_digits, is_name, resource_of};

pub(super) const CHANNEL_NAME: Text = Text::length(1, 128).pattern(NAME, is_name);
pub(super) const CHANNEL_ARN: Text = Text::length(1, 2048)
    .pattern(r"arn:aws.*:kinesis:.*:\d{12}:channel/\S+", |text| {
        resource_of(text).is_some_and(is_channel)
    });
pub(super) const ROLE_ARN: Text = Text::length(1, 512).pattern(
    r"arn:aws[-a-z0-9]*:iam::\d{12}:role/[a-zA-Z_0-9+=,.@\-_/]+",
    |text| {
        arn(text, "iam").is_some_and(|(region, account, role)| {
            region.is_empty()
                && is_digits(account, 12)
                && (role.strip_prefix("role/")).is_some_and(|name| only(name, "+=,.@-_/"))
        })
    },
);
pub(super) const RECORD_FORMAT_TYPE: Text =
    Text::one_of(&["GSR_JSON", "JSON", "STRING", "BYTE_ARRAY"]);
pub(super) const GSR_SCHEMA_ARN: Text = Text::length(1, 512).pattern(
    r"arn:aws[-a-z0-9]*:glue:[-a-z0-9]+:\d{12}:schema/[-a-zA-Z0-9_$#.]+/[-a-zA-Z0-9_$#.]+",
    |text| {
        arn(text, "glue").is_some_and(|(region, account, schema)| {
            let names = schema.strip_prefix("schema/");
            only_lower(region, "-")
                && is_digits(account, 12)
                && (names.and_then(|names| names.split_once('/')))
                    .is_some_and(|(a, b)| only(a, "-_$#.") && only(b, "-_$#."))
        })
    },
);
pub(super) const BUCKET_ARN: Text =
    Text::length(1, 2048).pattern(r"arn:aws[-a-z0-9]*:s3:::[a-z0-9._-]{3,63}", |text| {
        arn(text, "s3").is_some_and(|(region, account, bucket)| {
            region.is_empty()
                && account.is_empty()
                && (3..=63).contains(&bucket.len())
                && only_lower(bucket, "._-")
        })
    });
pub(super) const EXPECTED_BUCKET_OWNER: Text =
    Text::length(12, 12).pattern(r"\d{12}", |text| is_digits(text, 12));
pub(super) const ERROR_OUTPUT_PREFIX: Text =
    Text::length(1, 512).pattern(r"[0-9A-Za-z!\-_'.*()\/]+", |text| only(text, "!-_'.*()/"));
pub(super) const OUTPUT_KEY_TEMPLATE: Text = Text::length(1, 1024)
    .pattern(r"[0-9A-Za-z!\-_'.*()\/=:{}]+", |text| {
        only(text, "!-_'.*()/=:{}")
    });
pub(super) const STORAGE_CLASS: Text =
    Text::one_of(&["STANDARD", "INTELLIGENT_TIERING", "GLACIER_IR"]);
pub(super) const S3_COMPRESSION_TYPE: Text = Text::one_of(&["NONE", "GZIP", "ZSTD"]);
pub(super) const TABLE_BUCKET_ARN: Text = Text::length(1, 2048).pattern(
    r"arn:aws[-a-z0-9]*:s3tables:[-a-z0-9]+:\d{12}:bucket/[a-z0-9_-]{3,63}",
    |text| {
        arn(text, "s3tables").is_some_and(|(region, account, bucket)| {
            only_lower(region, "-")
                && is_digits(account, 12)
                && (bucket.strip_prefix("bucket/"))
                    .is_some_and(|name| (3..=63).contains(&name.len()) && only_lower(name, "_-"))
        })
    },
);
/// Of a namespace, and of a table.
pub(super) const TABLE_NAME: Text =
    Text::length(1, 255).pattern("[0-9a-z_]+", |text| only_lower(text, "_"));
pub(super) const S3_TABLES_COMPRESSION_TYPE: Text = Text::one_of(&["NONE", "ZSTD", "SNAPPY"]);
pub(super) const PARTITION_TRANSFORM: Text = Text::one_of(&["TIME_HOUR"]);
pub(super) const PARTITION_SOURCE_NAME: Text =
    Text::length(1, 255).pattern(r"[a-zA-Z0-9\.\_]+", |text| only(text, "._"));
pub(super) const ENCRYPTION_TYPE: Text = Text::one_of(&["KMS"]);
pub(super) const KEY_ID: Text = Text::length(1, 2048);
pub(super) const LOG_GROUP_NAME: Text =
    Text::length(1, 512).pattern(r"[\.\-_/#A-Za-z0-9]+", |text| only(text, ".-_/#"));
pub(super) const LOG_STREAM_NAME: Text =
    Text::length(1, 512).pattern("[^:*]*", |text| !text.contains([':', '*']));

/// Streams, tables, filters: whatever a request lists of channels.
pub(super) const LIST: Count = Count::new(1, 10_000);
pub(super) const PARTITION_FIELDS: Count = Count::new(1, 10);

fn is_channel(resource: &str) -> bool {
    resource
        .strip_prefix("channel/")
        .is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace))
}

/// Region, account and resource of an ARN of that service.
fn arn<'t>(text: &'t str, service: &str) -> Option<(&'t str, &'t str, &'t str)> {
    let mut parts = text.strip_prefix("arn:aws")?.splitn(5, ':');
    let partition = parts.next()?;
    let is_partition = partition.is_empty() || only_lower(partition, "-");
    if !is_partition || parts.next()? != service {
        return None;
    }
    Some((parts.next()?, parts.next()?, parts.next()?))
}

/// Whether it is letters, digits and these characters, at least one.
fn only(text: &str, others: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

/// As [`only`], without capital letters.
fn only_lower(text: &str, others: &str) -> bool {
    only(text, others) && !text.bytes().any(|b| b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_do_what_their_text_says() {
        for (rule, good, bad) in [
            (
                CHANNEL_ARN,
                "arn:aws:kinesis:us-east-1:000000000000:channel/c",
                "arn:aws:kinesis:us-east-1:000000000000:stream/c",
            ),
            (
                ROLE_ARN,
                "arn:aws-cn:iam::000000000000:role/path/Name",
                "arn:aws:iam:us-east-1:000000000000:role/name",
            ),
            (
                GSR_SCHEMA_ARN,
                "arn:aws:glue:us-east-1:000000000000:schema/registry/name",
                "arn:aws:glue:us-east-1:000000000000:schema/registry",
            ),
            (BUCKET_ARN, "arn:aws:s3:::my.bucket-1", "arn:aws:s3:::My"),
            (EXPECTED_BUCKET_OWNER, "012345678901", "01234567890x"),
            (ERROR_OUTPUT_PREFIX, "errors/!a'(b)*", "errors:"),
            (OUTPUT_KEY_TEMPLATE, "{year}/k=v:1", "a b"),
            (
                TABLE_BUCKET_ARN,
                "arn:aws:s3tables:us-east-1:000000000000:bucket/abc",
                "arn:aws:s3tables:us-east-1:000000000000:bucket/ab",
            ),
            (TABLE_NAME, "my_table1", "Table"),
            (PARTITION_SOURCE_NAME, "a.b_C", "a-b"),
            (LOG_GROUP_NAME, "/aws/kinesis/#1", "a b"),
            (LOG_STREAM_NAME, "a b", "a:b"),
        ] {
            let pattern = rule.pattern.unwrap();
            assert!((pattern.matches)(good), "{} {good}", pattern.text);
            assert!(!(pattern.matches)(bad), "{} {bad}", pattern.text);
        }
    }
}
