//! What is known of a run: its shards, its lease rows and every user record.

use std::collections::BTreeMap;

use shardwise_env::Instant;
use shardwise_producer::Receipt;
use shardwise_types::{SequenceNumber, Shard, ShardId};

/// Where a user record lies in its shard: number, place in the aggregate.
pub(super) type Place = (SequenceNumber, u64);

/// A user record: its key and its number among the records of that key.
pub(super) type Id = (u64, u64);

/// A lease row as the table has it.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) owner: Option<String>,
    pub(super) incarnation: Option<String>,
    pub(super) checkpoint: Checkpoint,
}

/// A checkpoint, in the table's order.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Checkpoint {
    #[default]
    Beginning,
    Latest,
    At(SequenceNumber, u64),
    ShardEnd,
}

#[derive(Debug)]
pub(super) struct Lease {
    pub(super) row: Row,
    pub(super) written: Instant,
    /// The node that took it last, and when the one before it wrote last.
    pub(super) claimed: Option<(String, Instant)>,
    /// When the row was made with LATEST: what was stored before is not expected.
    pub(super) latest_from: Option<Instant>,
}

/// A stored user record that has not been delivered yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: Id,
    pub(super) since: Instant,
}

/// A shard of the stream.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) shard: Shard,
    /// How many splits and merges lie above it.
    pub(super) depth: usize,
    /// When its records were asked for last.
    pub(super) read: Instant,
    /// What lies in it, in range, and has not been delivered from anywhere.
    pub(super) waiting: BTreeMap<Place, Waiting>,
}

/// The records of one key.
#[derive(Debug, Default)]
pub(super) struct Key {
    /// By their number.
    pub(super) records: Vec<Sent>,
    /// The last first delivery: depth of its shard, place.
    pub(super) newest: Option<(usize, Place)>,
}

/// What is known of a user record.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) delivered: bool,
    pub(super) copies: Vec<Stored>,
}

/// Where a user record is stored.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) shard: ShardId,
    pub(super) place: Place,
    /// A stock KCL delivers it.
    pub(super) deliverable: bool,
}

impl Stored {
    /// Whether a receipt names it rightly.
    pub(super) fn is_meant_by(&self, receipt: &Receipt) -> bool {
        let (number, sub) = &self.place;
        self.deliverable
            && self.shard == receipt.shard_id
            && *number == receipt.sequence_number
            && *sub == receipt.sub_sequence_number
    }
}

impl Key {
    /// The record with this number, which nothing may be known of yet.
    pub(super) fn record(&mut self, number: u64) -> &mut Sent {
        let number = usize::try_from(number).unwrap();
        if self.records.len() <= number {
            self.records.resize_with(number + 1, Sent::default);
        }
        &mut self.records[number]
    }
}
