//! What an application sends.

use std::fmt;

use bytes::Bytes;
use shardwise_aggregation_proto::UserRecord;
use shardwise_types::{HashKey, PartitionKey};

/// One record: a partition key, which decides the shard, and data.
///
/// Cloning shares the bytes, so it costs next to nothing to keep one until it is delivered; but an
/// error gives the record back anyway.
///
/// ```
/// use shardwise_producer::Record;
///
/// let record = Record::new("user-42".parse()?, "hello");
/// assert_eq!(record.size(), 12);
/// # Ok::<(), shardwise_producer::Invalid>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    partition_key: PartitionKey,
    explicit_hash_key: Option<HashKey>,
    data: Bytes,
}

impl Record {
    /// A record that goes to the shard of its partition key.
    #[must_use]
    pub fn new(partition_key: PartitionKey, data: impl Into<Bytes>) -> Self {
        Self {
            partition_key,
            explicit_hash_key: None,
            data: data.into(),
        }
    }

    /// The same record, bound for the shard of this hash key whatever its partition key.
    #[must_use]
    pub fn with_explicit_hash_key(mut self, hash_key: HashKey) -> Self {
        self.explicit_hash_key = Some(hash_key);
        self
    }

    /// The partition key.
    #[must_use]
    pub fn partition_key(&self) -> &PartitionKey {
        &self.partition_key
    }

    /// The hash key that decides the shard in place of the partition key's, if one was given.
    #[must_use]
    pub fn explicit_hash_key(&self) -> Option<HashKey> {
        self.explicit_hash_key
    }

    /// The data.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The bytes that count against the service's limits and the producer's room: data and
    /// partition key.
    #[must_use]
    pub fn size(&self) -> usize {
        self.data.len() + self.partition_key.as_str().len()
    }

    /// Works out the hash key, once for the record's whole life in the producer.
    pub(crate) fn into_user_record(self) -> UserRecord {
        match self.explicit_hash_key {
            Some(hash_key) => {
                UserRecord::with_explicit_hash_key(self.partition_key, hash_key, self.data)
            }
            None => UserRecord::new(self.partition_key, self.data),
        }
    }
}

impl From<UserRecord> for Record {
    fn from(record: UserRecord) -> Self {
        Self {
            partition_key: record.partition_key().clone(),
            explicit_hash_key: record.explicit_hash_key(),
            data: record.data().clone(),
        }
    }
}

/// Shows the length of the data and not the data: payloads do not belong in logs.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("partition_key", &self.partition_key)
            .field("explicit_hash_key", &self.explicit_hash_key)
            .field("data_len", &self.data.len())
            .finish()
    }
}

/// The bytes of a record that count against limits and room.
pub(crate) fn size(record: &UserRecord) -> usize {
    record.data().len() + record.partition_key().as_str().len()
}
