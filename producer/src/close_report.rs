//! What a [`close`](crate::Producer::close) could not send, given back.

use shardwise_client::Written;

use crate::record::Record;

/// What a [`close`](crate::Producer::close) could not send within its deadline.
#[derive(Debug, Default)]
#[non_exhaustive]
#[must_use = "it holds the records that were not sent"]
pub struct CloseReport {
    /// The records, by and large oldest first; without those that the report of another `close`
    /// has.
    pub unsent: Vec<Unsent>,
    /// Including those of other reports.
    unsent_total: usize,
}

impl CloseReport {
    pub(crate) fn new(unsent: Vec<Unsent>, unsent_total: usize) -> Self {
        Self {
            unsent,
            unsent_total,
        }
    }

    /// Whether the producer ended with every record settled. If not, this is false for every
    /// `close` of it, whichever has the records.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unsent_total == 0
    }
}

/// A record that was accepted and is not known to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsent {
    /// The record.
    pub record: Record,
    /// Whether it may be stored all the same.
    pub written: Written,
}

impl Unsent {
    pub(crate) fn new(record: Record, written: Written) -> Self {
        Self { record, written }
    }
}
