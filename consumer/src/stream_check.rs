//! Whether a stream is still there. Asked when something was not found, before anybody believes it.

use shardwise_client::{Error, ErrorKind, Kinesis, StreamStatus, StreamSummary};
use shardwise_types::StreamName;

/// Whether a failed call may have failed because the stream is gone.
pub(crate) fn may_be_gone(error: &Error) -> bool {
    // A stream that is being deleted is in use.
    matches!(
        error.kind(),
        ErrorKind::ResourceNotFound | ErrorKind::ResourceInUse
    )
}

/// Whether the stream is deleted, or being deleted.
///
/// # Errors
/// If the service does not say.
pub(crate) async fn is_gone(kinesis: &Kinesis, stream: &StreamName) -> Result<bool, Error> {
    says_gone(kinesis.describe_stream_summary(stream).await)
}

/// Whether this description says that the stream is deleted, or being deleted.
///
/// # Errors
/// If it is none.
pub(crate) fn says_gone(description: Result<StreamSummary, Error>) -> Result<bool, Error> {
    match description {
        Ok(summary) => Ok(summary.status == StreamStatus::Deleting),
        Err(error) if error.kind() == ErrorKind::ResourceNotFound => Ok(true),
        Err(error) => Err(error),
    }
}
