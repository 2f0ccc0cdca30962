//! One whole HTTP exchange: the trait, and why there is no response.
//!
//! It knows nothing of Kinesis, signing or retries.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use shardwise_types::{root_cause, with_causes};

use super::body::Body;
use crate::error::BoxError;

/// A boxed future, as the trait returns it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Sends one HTTP request and gives its response, body still streaming.
///
/// It neither retries nor times out: that is the caller's part, so attempts are counted in one
/// place.
pub trait Transport: Send + Sync + fmt::Debug + 'static {
    /// Sends the request.
    ///
    /// # Errors
    /// If no response came. [`TransportError::is_connect`] says whether anything was sent.
    ///
    /// # Cancel safety
    /// Dropping the future gives the exchange up; the request may still be served.
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>>;
}

/// Why there is no response.
pub struct TransportError {
    connect: bool,
    source: BoxError,
}

impl TransportError {
    /// No connection could be made: the request was certainly not sent.
    pub fn connect(source: impl Into<BoxError>) -> Self {
        Self {
            connect: true,
            source: source.into(),
        }
    }

    /// The connection broke: the request may have been served.
    pub fn broken(source: impl Into<BoxError>) -> Self {
        Self {
            connect: false,
            source: source.into(),
        }
    }

    /// Whether the failure came before anything was sent.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.connect
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.connect {
            "no connection could be made"
        } else {
            "the connection broke"
        })?;
        match root_cause(self) {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

/// The line that `Display` gives, and the causes that it does not name.
impl fmt::Debug for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_causes(self))
    }
}

impl StdError for TransportError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}
