//! Which failures are tried again.
//!
//! Three places retry, each its own kind of thing: here, whole requests; in the producer,
//! the entries of a PutRecords answer that failed one by one; in the consumer, the pace of
//! GetRecords. How long to wait is [`RetryPolicy`]'s.
//!
//! The budget bounds what this crate tries again by itself: all that a handle's calls may add to
//! the load of a service in trouble. The two others are calls that are made just once
//! ([`RetryPolicy::never`]) and touch no budget. What bounds them instead: the producer's by the
//! records' time to live, their backoff and the number of calls under way; the consumer's by the
//! pace of each shard, one read at a time, slower after each failure.

mod backoff;
mod budget;

use crate::error::{Error, ErrorKind};

pub use self::backoff::{Delays, RetryPolicy};
pub(crate) use self::budget::RetryBudget;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A later try may succeed.
    Retryable,
    /// A later try may succeed, and calling less helps.
    Throttling,
    /// The same call will fail the same way.
    Permanent,
}

impl Error {
    /// Whether the same call may succeed later without any change by the caller.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        class(self.kind()) != Class::Permanent
    }
}

/// The class of each kind of failure.
pub(crate) fn class(kind: ErrorKind) -> Class {
    match kind {
        ErrorKind::Throttled => Class::Throttling,
        ErrorKind::Service
        | ErrorKind::Connect
        | ErrorKind::Timeout
        | ErrorKind::Transport
        | ErrorKind::Response
        | ErrorKind::Credentials => Class::Retryable,
        // Expired credentials and iterators are cured by the caller, not by the same call again;
        // `call` does the former once.
        ErrorKind::ResourceNotFound
        | ErrorKind::ResourceInUse
        | ErrorKind::InvalidArgument
        | ErrorKind::AccessDenied
        | ErrorKind::ExpiredCredentials
        | ErrorKind::ExpiredIterator
        | ErrorKind::ExpiredNextToken
        | ErrorKind::Kms
        | ErrorKind::Other => Class::Permanent,
    }
}

/// The kind of failure that an AWS error code names.
///
/// Unknown codes are [`ErrorKind::Other`] below 500 and [`ErrorKind::Service`] from there on.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/CommonErrors.html>
pub(crate) fn kind_of_code(code: &str, status: u16) -> ErrorKind {
    match code {
        "ProvisionedThroughputExceededException"
        | "LimitExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "SlowDown"
        | "KMSThrottlingException" => ErrorKind::Throttled,
        "ResourceNotFoundException" => ErrorKind::ResourceNotFound,
        "ResourceInUseException" => ErrorKind::ResourceInUse,
        "InvalidArgumentException"
        | "ValidationException"
        | "ValidationError"
        | "SerializationException"
        | "MissingParameter"
        | "InvalidParameterValue"
        | "InvalidParameterCombination"
        | "UnknownOperationException"
        | "InvalidAction" => ErrorKind::InvalidArgument,
        "AccessDeniedException"
        | "AccessDenied"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken"
        | "OptInRequired"
        | "NotAuthorized" => ErrorKind::AccessDenied,
        "ExpiredTokenException" | "ExpiredToken" | "RequestExpired" => {
            ErrorKind::ExpiredCredentials
        }
        "ExpiredIteratorException" => ErrorKind::ExpiredIterator,
        "ExpiredNextTokenException" => ErrorKind::ExpiredNextToken,
        "KMSAccessDeniedException"
        | "KMSDisabledException"
        | "KMSInvalidStateException"
        | "KMSNotFoundException"
        | "KMSOptInRequired" => ErrorKind::Kms,
        "InternalFailure"
        | "InternalFailureException"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "InternalError"
        | "RequestTimeout"
        | "RequestTimeoutException" => ErrorKind::Service,
        _ if status >= 500 => ErrorKind::Service,
        _ if status == 429 => ErrorKind::Throttled,
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_fall_into_the_class_that_their_meaning_asks_for() {
        for (code, status, expected) in [
            (
                "ProvisionedThroughputExceededException",
                400,
                Class::Throttling,
            ),
            ("LimitExceededException", 400, Class::Throttling),
            ("KMSThrottlingException", 400, Class::Throttling),
            ("InternalFailure", 500, Class::Retryable),
            ("NeverHeardOf", 503, Class::Retryable),
            ("NeverHeardOf", 400, Class::Permanent),
            ("AccessDeniedException", 400, Class::Permanent),
            ("ResourceNotFoundException", 400, Class::Permanent),
            ("ValidationException", 400, Class::Permanent),
            ("KMSDisabledException", 400, Class::Permanent),
        ] {
            assert_eq!(
                class(kind_of_code(code, status)),
                expected,
                "{code} {status}"
            );
        }
    }
}
