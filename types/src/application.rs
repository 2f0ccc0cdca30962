//! Names that a consumer application gives: its own, and those of its workers.

use std::str::FromStr;
use std::sync::Arc;

use crate::text::{check_name, text_newtype};
use crate::{Invalid, limits};

/// The name of a consumer application.
///
/// Workers with the same name share a stream's shards. The lease table in DynamoDB is named after
/// it, so a table's rule holds: 3 to 255 letters, digits, `_`, `.` and `-`.
/// <https://docs.aws.amazon.com/streams/latest/dev/kcl-concepts.html>
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationName(Arc<str>);

impl ApplicationName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ApplicationName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_name(
            "application name",
            text,
            limits::TABLE_NAME_MIN_CHARS,
            limits::TABLE_NAME_MAX_CHARS,
        )?;
        Ok(Self(text.into()))
    }
}

text_newtype!(ApplicationName);

/// The name of one worker of an application: 1 to 256 characters without control characters.
///
/// It is what a lease row's `leaseOwner` holds, so it must be unique among the application's live
/// workers. [`WorkerId::from_parts`] makes one that is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(Arc<str>);

impl WorkerId {
    /// A readable prefix (a host name, say) and a number that is unique to the process.
    ///
    /// Characters that a worker id may not hold are dropped from the prefix, and a long prefix is
    /// cut, so this cannot fail.
    #[must_use]
    pub fn from_parts(prefix: &str, unique: u128) -> Self {
        let prefix: String = prefix
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect();
        Self(format!("{prefix}:{unique:032x}").into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkerId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |reason: &str| Err(Invalid::new("worker id", text, reason));
        if text.is_empty() {
            return invalid("it is empty");
        }
        if text.chars().any(char::is_control) {
            return invalid("it holds a control character");
        }
        if text.chars().count() > 256 {
            return invalid("it has more than 256 characters");
        }
        Ok(Self(text.into()))
    }
}

text_newtype!(WorkerId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_name_must_do_as_a_table_name() {
        assert!("abc".parse::<ApplicationName>().is_ok());
        assert!("ab".parse::<ApplicationName>().is_err());
        assert!("".parse::<ApplicationName>().is_err());
        assert!("a b c".parse::<ApplicationName>().is_err());
        assert!("x".repeat(256).parse::<ApplicationName>().is_err());
    }

    #[test]
    fn a_worker_id_takes_what_java_workers_use() {
        let java = "ip-10-0-0-1.ec2.internal:5f0c1e3a-9a3b-4b7e-8f6a-0d9c2c1a7b11";
        assert_eq!(java.parse::<WorkerId>().unwrap().as_str(), java);
        assert!("".parse::<WorkerId>().is_err());
        assert!("a\nb".parse::<WorkerId>().is_err());
        let made = WorkerId::from_parts(&"h\n".repeat(500), 7);
        assert_eq!(made.as_str().parse::<WorkerId>().unwrap(), made);
    }
}
