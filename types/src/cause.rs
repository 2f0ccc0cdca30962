//! What caused an error: in one line, and the innermost cause alone.

use std::error::Error;
use std::fmt::Write as _;

/// What an error says and then what its sources say, in one line.
///
/// A source that the text before it holds already is left out, so that an error whose `Display`
/// names its cause does not name it twice. The public errors of Shardwise print this as their
/// `Debug`, which is what `fn main() -> Result<(), Box<dyn Error>>` shows.
///
/// ```
/// use shardwise_types::{ConfigError, ConfigErrorKind, StreamName, with_causes};
///
/// let invalid = "a/b".parse::<StreamName>().unwrap_err();
/// let error = ConfigError::new(ConfigErrorKind::InvalidName, "the stream cannot be used")
///     .with_source(invalid);
/// assert!(with_causes(&error).starts_with("the stream cannot be used: invalid stream name"));
/// ```
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.contains(&text) {
            // Writing to a string cannot fail.
            let _written = write!(line, ": {text}");
        }
        source = cause.source();
    }
    line
}

/// The innermost source of an error; none if it has no source.
///
/// For errors whose outer layers say no more than that something below them failed.
#[must_use]
pub fn root_cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let mut cause = error.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Some(cause)
}
