//! What can be broken in an aggregate whose digest fits. Found by [`decode()`](crate::decode()).

use crate::wire::Malformed;

/// What is broken in an aggregate whose digest fits.
///
/// User records are counted from zero, as sub-sequence numbers are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Corrupt {
    /// The bytes are not a protobuf message of this type.
    #[error("the protobuf message is broken at byte {offset} of the record: {what}")]
    Malformed {
        /// Where, counted from the first byte of the Kinesis record.
        offset: usize,
        /// How.
        what: &'static str,
    },
    /// A field is absent that the format requires.
    #[error("user record {record} lacks the required field {field}")]
    MissingField {
        /// Which user record.
        record: usize,
        /// The name of the field in the `.proto` file.
        field: &'static str,
    },
    /// A user record names a partition key that the table does not have.
    #[error("user record {record} has partition key {index} of {table_len}")]
    NoSuchPartitionKey {
        /// Which user record.
        record: usize,
        /// The index it gives, counted from zero.
        index: u64,
        /// How many keys the table has.
        table_len: usize,
    },
    /// A user record names an explicit hash key that the table does not have.
    #[error("user record {record} has explicit hash key {index} of {table_len}")]
    NoSuchExplicitHashKey {
        /// Which user record.
        record: usize,
        /// The index it gives, counted from zero.
        index: u64,
        /// How many keys the table has.
        table_len: usize,
    },
    /// A user record's explicit hash key is not a decimal number from 0 to 2^128 - 1.
    ///
    /// As in the KCL, a plus sign and leading zeros are let pass, and so is an entry of the table
    /// that no user record names.
    #[error("user record {record} has an explicit hash key that is no number from 0 to 2^128 - 1")]
    BadExplicitHashKey {
        /// Which user record.
        record: usize,
    },
    /// There is no user record in it.
    ///
    /// No writer makes such a record. To the KCL it is nothing; but bytes that were sent had a
    /// meaning to their sender, perhaps in fields that this version does not know.
    #[error("it holds no user record")]
    NoRecords,
}

impl From<Malformed> for Corrupt {
    fn from(Malformed { offset, what }: Malformed) -> Self {
        Self::Malformed { offset, what }
    }
}
