//! What ARNs are made of: accounts, regions, and the partition that a region belongs to.

/// Whether an access key id is an account: twelve digits.
pub(crate) fn is_account(access_key_id: &str) -> bool {
    access_key_id.len() == 12 && access_key_id.bytes().all(|b| b.is_ascii_digit())
}

/// Whether the text can be a region's name; it becomes part of ARNs.
pub(crate) fn is_region(text: &str) -> bool {
    let is_fit = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(is_fit)
}

/// The ARN of a resource, in the partition that its region belongs to.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>
pub(crate) fn arn(service: &str, region: &str, account: &str, resource: &str) -> String {
    let partition = if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    };
    format!("arn:{partition}:{service}:{region}:{account}:{resource}")
}
