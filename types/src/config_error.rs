//! What is wrong with a configuration, found before any I/O.
//!
//! The one error of every `build()` in the workspace. What goes wrong in a call is the client's
//! `Error`.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::{Invalid, with_causes};

/// A setting that is missing, out of range or in contradiction to another one.
///
/// The message names the setting and what was tried.
///
/// ```
/// use shardwise_types::{ConfigError, ConfigErrorKind};
///
/// let error = ConfigError::new(ConfigErrorKind::MissingRegion, "no region: set AWS_REGION");
/// assert_eq!(error.kind(), ConfigErrorKind::MissingRegion);
/// assert_eq!(error.to_string(), "no region: set AWS_REGION");
/// ```
#[derive(Clone)]
pub struct ConfigError {
    kind: ConfigErrorKind,
    message: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// Which setting a [`ConfigError`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// No region was given.
    MissingRegion,
    /// No credentials were given.
    MissingCredentials,
    /// An endpoint is not an `http` or `https` URL of a host.
    InvalidEndpoint,
    /// `AWS_PROFILE` is set, which needs a provider that reads profile files.
    ProfileUnsupported,
    /// The certificate bundle of `AWS_CA_BUNDLE` cannot be read.
    InvalidCaBundle,
    /// TLS could not be set up.
    Tls,
    /// A setting is out of its range or contradicts another one.
    InvalidSetting,
    /// The name of a stream, an application or a worker is missing or breaks its rule; if it breaks
    /// its rule, the source is the [`Invalid`].
    InvalidName,
    /// There is no tokio runtime to run on.
    NoRuntime,
}

impl ConfigError {
    /// An error about this kind of setting; `message` names the setting and says what was tried.
    pub fn new(kind: ConfigErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// The same error with a cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Which setting it is about.
    #[must_use]
    pub fn kind(&self) -> ConfigErrorKind {
        self.kind
    }
}

/// A name that breaks its rule.
impl From<Invalid> for ConfigError {
    fn from(invalid: Invalid) -> Self {
        Self::new(ConfigErrorKind::InvalidName, invalid.to_string()).with_source(invalid)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The message and its causes in one line.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_causes(self))
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StreamName;

    #[test]
    fn its_debug_text_is_one_line_that_names_each_cause_once() {
        let invalid = "a/b".parse::<StreamName>().unwrap_err();
        let error = ConfigError::from(invalid.clone());
        assert_eq!(error.kind(), ConfigErrorKind::InvalidName);
        assert_eq!(format!("{error:?}"), invalid.to_string());
        let outer = ConfigError::new(ConfigErrorKind::InvalidSetting, "no").with_source(error);
        assert_eq!(format!("{outer:?}"), format!("no: {invalid}"));
        assert!(Error::source(&outer.clone()).is_some());
    }
}
