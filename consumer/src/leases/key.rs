//! The key of a lease row: which shard of which stream.
//!
//! The forms are the KCL's. In a table of one stream a key is the bare shard id. In a table of many it
//! is `account:stream:creation epoch:shard id`; those are read and named, so that they are taken for
//! what they are, but no lease of them is worked on.
//! <https://docs.aws.amazon.com/streams/latest/dev/kcl-dynamoDB.html>

use std::fmt;
use std::str::FromStr;

use shardwise_types::{Invalid, ShardId, StreamName};

/// The key of a lease: a shard, and in a table of many streams the stream.
///
/// ```
/// use shardwise_consumer::{LeaseKey, ShardId};
///
/// let key: LeaseKey = "shardId-000000000007".parse()?;
/// assert_eq!(key, LeaseKey::from(ShardId::from_number(7)));
///
/// let text = "123456789012:orders:1700000000:shardId-000000000007";
/// let key: LeaseKey = text.parse()?;
/// assert_eq!(key.shard_id().number(), Some(7));
/// assert_eq!(key.stream().unwrap().name().as_str(), "orders");
/// assert_eq!(key.to_string(), text);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseKey {
    stream: Option<StreamKey>,
    shard_id: ShardId,
}

/// A stream in the key of a lease: its account, its name, and when it was created, since a stream
/// that is made again is another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    account: String,
    name: StreamName,
    creation_epoch: u64,
}

impl LeaseKey {
    /// The shard.
    #[must_use]
    pub fn shard_id(&self) -> &ShardId {
        &self.shard_id
    }

    /// The stream, in a table of many streams.
    #[must_use]
    pub fn stream(&self) -> Option<&StreamKey> {
        self.stream.as_ref()
    }

    /// The key of another shard of the same stream.
    pub(crate) fn beside(&self, shard_id: &ShardId) -> Self {
        Self {
            stream: self.stream.clone(),
            shard_id: shard_id.clone(),
        }
    }
}

impl StreamKey {
    /// The account that owns the stream, as digits.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The stream's name.
    #[must_use]
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// When the stream was created, in seconds since 1970.
    #[must_use]
    pub fn creation_epoch(&self) -> u64 {
        self.creation_epoch
    }
}

impl From<ShardId> for LeaseKey {
    fn from(shard_id: ShardId) -> Self {
        Self {
            stream: None,
            shard_id,
        }
    }
}

impl From<&ShardId> for LeaseKey {
    fn from(shard_id: &ShardId) -> Self {
        shard_id.clone().into()
    }
}

impl FromStr for LeaseKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // A shard id has no colon.
        let Some((stream, shard_id)) = text.rsplit_once(':') else {
            return Ok(text.parse::<ShardId>()?.into());
        };
        Ok(Self {
            stream: Some(stream.parse()?),
            shard_id: shard_id.parse()?,
        })
    }
}

impl FromStr for StreamKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid::new(
                "lease key",
                text,
                "its stream is not of the form account:name:creation epoch",
            )
        };
        let mut parts = text.split(':');
        let (Some(account), Some(name), Some(epoch), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid());
        };
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(account) || !is_number(epoch) {
            return Err(invalid());
        }
        Ok(Self {
            account: account.to_owned(),
            name: name.parse()?,
            creation_epoch: epoch.parse().map_err(|_| invalid())?,
        })
    }
}

impl fmt::Display for LeaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(stream) = &self.stream {
            write!(f, "{stream}:")?;
        }
        fmt::Display::fmt(&self.shard_id, f)
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            account,
            name,
            creation_epoch,
        } = self;
        write!(f, "{account}:{name}:{creation_epoch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text() {
        for text in [
            "shardId-000000000000",
            "000000000000:orders:0:shardId-000000000001",
            "123456789012:a.b-c_d:1700000000:shardId-000000000012",
        ] {
            assert_eq!(text.parse::<LeaseKey>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in [
            "",
            ":",
            "orders:shardId-000000000000",
            "orders:1:shardId-000000000000",
            "123456789012:orders:1:",
            "123456789012::1:shardId-000000000000",
            "123456789012:orders:soon:shardId-000000000000",
            "123456789012:orders:-1:shardId-000000000000",
            "12345678901x:orders:1:shardId-000000000000",
            "1:123456789012:orders:1:shardId-000000000000",
            "123456789012:orders:99999999999999999999:shardId-000000000000",
        ] {
            assert!(text.parse::<LeaseKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_neighbour_is_of_the_same_stream() {
        let key: LeaseKey = "1:orders:2:shardId-000000000003".parse().unwrap();
        let beside = key.beside(&ShardId::from_number(4));
        assert_eq!(beside.to_string(), "1:orders:2:shardId-000000000004");
    }
}
