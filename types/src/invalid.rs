//! The one validation error of this crate.

use std::fmt;

/// How much of a refused value an [`Invalid`] keeps, in characters: enough to recognise it in a
/// log, not enough to flood the log.
const KEPT_CHARS: usize = 64;

/// A value that broke the rule of its type.
///
/// It says which type refused, what was tried (shortened) and why.
///
/// ```
/// use shardwise_types::StreamName;
///
/// let error = "a/b".parse::<StreamName>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "invalid stream name \"a/b\": only letters, digits, '_', '.' and '-' are allowed"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {value}: {reason}")]
pub struct Invalid {
    what: &'static str,
    value: Shown,
    reason: String,
}

impl Invalid {
    /// An error for `what` ("stream name"), the refused `value` and the `reason`.
    pub fn new(what: &'static str, value: &str, reason: impl Into<String>) -> Self {
        Self {
            what,
            value: Shown::new(value),
            reason: reason.into(),
        }
    }

    /// What kind of value was refused, for example `"stream name"`.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// Why it was refused.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// The refused value, quoted and shortened.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown(String);

impl Shown {
    fn new(value: &str) -> Self {
        let mut kept: String = value.chars().take(KEPT_CHARS).collect();
        if kept.len() < value.len() {
            kept.push('…');
        }
        Self(kept)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_shortened() {
        let error = Invalid::new("thing", &"x".repeat(1000), "too long");
        assert!(error.to_string().len() < 120, "{error}");
        assert!(error.to_string().ends_with("…\": too long"));
    }
}
