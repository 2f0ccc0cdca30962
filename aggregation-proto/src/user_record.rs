//! What an application sends, before it is packed.

use std::fmt;

use bytes::Bytes;
use shardwise_types::{HashKey, PartitionKey};

/// One record of an application, with the hash key that decides its shard.
///
/// The hash key is worked out once, when the record is made, and kept: choosing a shard,
/// aggregating and aggregating anew after a failure all read it. Clones share the bytes.
///
/// ```
/// use bytes::Bytes;
/// use shardwise_aggregation_proto::UserRecord;
/// use shardwise_types::HashKey;
///
/// let record = UserRecord::new("user-42".parse()?, Bytes::from_static(b"hello"));
/// assert_eq!(record.hash_key(), HashKey::of_partition_key("user-42"));
/// assert_eq!(record.explicit_hash_key(), None);
/// # Ok::<(), shardwise_types::Invalid>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct UserRecord {
    partition_key: PartitionKey,
    data: Bytes,
    hash_key: HashKey,
    hash_key_is_explicit: bool,
}

impl UserRecord {
    /// A record whose shard follows from its partition key.
    #[must_use]
    pub fn new(partition_key: PartitionKey, data: Bytes) -> Self {
        Self {
            hash_key: HashKey::of_partition_key(partition_key.as_str()),
            hash_key_is_explicit: false,
            partition_key,
            data,
        }
    }

    /// A record whose shard follows from a hash key of the application's choice.
    #[must_use]
    pub fn with_explicit_hash_key(
        partition_key: PartitionKey,
        explicit_hash_key: HashKey,
        data: Bytes,
    ) -> Self {
        Self {
            hash_key: explicit_hash_key,
            hash_key_is_explicit: true,
            partition_key,
            data,
        }
    }

    /// The partition key.
    #[must_use]
    pub fn partition_key(&self) -> &PartitionKey {
        &self.partition_key
    }

    /// The hash key that the application chose, if it did.
    #[must_use]
    pub fn explicit_hash_key(&self) -> Option<HashKey> {
        self.hash_key_is_explicit.then_some(self.hash_key)
    }

    /// The hash key that decides the shard: the explicit one, else the partition key's. Costs
    /// nothing.
    #[must_use]
    pub fn hash_key(&self) -> HashKey {
        self.hash_key
    }

    /// The application's bytes.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.data
    }
}

/// Shows the length of the data and not the data: payloads do not belong in logs.
impl fmt::Debug for UserRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRecord")
            .field("partition_key", &self.partition_key)
            .field("explicit_hash_key", &self.explicit_hash_key())
            .field("data_len", &self.data.len())
            .finish()
    }
}
