//! What the newtypes over text share: their text-like traits, and the rule of names.

use crate::Invalid;

/// The text-like traits of a newtype that has `as_str` and `FromStr`.
macro_rules! text_newtype {
    ($name:ident) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::Invalid;

            fn try_from(text: String) -> Result<Self, $crate::Invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl From<&$name> for String {
            fn from(name: &$name) -> Self {
                name.as_str().to_owned()
            }
        }
    };
}
pub(crate) use text_newtype;

/// The rule that the names of streams, shards, applications and tables share.
pub(crate) fn check_name(
    what: &'static str,
    text: &str,
    min: usize,
    max: usize,
) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new(what, text, "it is empty"));
    }
    if !text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    {
        return Err(Invalid::new(
            what,
            text,
            "only letters, digits, '_', '.' and '-' are allowed",
        ));
    }
    if text.len() < min || text.len() > max {
        return Err(Invalid::new(
            what,
            text,
            format!(
                "it has {} characters, {min} to {max} are allowed",
                text.len()
            ),
        ));
    }
    Ok(())
}
