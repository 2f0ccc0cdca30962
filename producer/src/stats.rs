//! What a producer counts.

use std::fmt;

/// A snapshot of a producer's counters, from [`Producer::stats`](crate::Producer::stats).
///
/// Always on and of constant cost. A *user record* is one that was sent; a *Kinesis record* is one
/// entry of a PutRecords call, which may hold many user records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerStats {
    /// User records accepted (the KPL's `UserRecordsReceived`).
    pub user_records_accepted: u64,
    /// User records acknowledged (`UserRecordsPut`).
    pub user_records_acknowledged: u64,
    /// User records that ended in an error.
    pub user_records_failed: u64,
    /// Of those, the ones whose [`Delivery`](crate::Delivery) had been dropped: only the log and
    /// this counter say so.
    pub failures_unheeded: u64,
    /// Kinesis records stored (`KinesisRecordsPut`), those in the wrong shard included.
    pub kinesis_records_put: u64,
    /// Bytes of those, partition keys included (`KinesisRecordsDataPut`).
    pub bytes_put: u64,
    /// PutRecords calls begun.
    pub put_records_calls: u64,
    /// Kinesis records that were sent again because their call or their entry failed.
    pub kinesis_records_retried: u64,
    /// Aggregates sent again because a member fell outside the shard that took them.
    pub wrong_shard_resends: u64,
    /// Shard maps fetched.
    pub shard_map_refreshes: u64,
    /// User records accepted and not settled (the KPL's `getOutstandingRecordsCount`).
    pub outstanding_records: usize,
    /// Room that is taken: the bytes of those, partition keys included, and of records that have
    /// just been let in.
    pub outstanding_bytes: usize,
    /// Why records are not aggregated, if they are not.
    pub aggregation_off: Option<AggregationOff>,
}

impl ProducerStats {
    /// Adds what only ever grows.
    pub(crate) fn add(&mut self, more: &Self) {
        self.user_records_acknowledged += more.user_records_acknowledged;
        self.user_records_failed += more.user_records_failed;
        self.kinesis_records_put += more.kinesis_records_put;
        self.bytes_put += more.bytes_put;
        self.put_records_calls += more.put_records_calls;
        self.kinesis_records_retried += more.kinesis_records_retried;
        self.wrong_shard_resends += more.wrong_shard_resends;
        self.shard_map_refreshes += more.shard_map_refreshes;
    }
}

/// Why records are not aggregated. `Display` says it in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AggregationOff {
    /// The producer was built so.
    Disabled,
    /// The stream's record distribution strategy is `AUTO`: the service puts records on any shard,
    /// so consumers would drop aggregates.
    AutoDistribution,
    /// DescribeStreamSummary failed or is not permitted, so the stream may be `AUTO`. See
    /// [`assume_partition_key_distribution`](crate::ProducerBuilder::assume_partition_key_distribution).
    DistributionUnknown,
    /// ListShards failed or is not permitted, so nothing is known of the shards.
    ShardsUnknown,
}

impl fmt::Display for AggregationOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "the producer was built without aggregation",
            Self::AutoDistribution => "the stream distributes records itself (AUTO)",
            Self::DistributionUnknown => {
                "DescribeStreamSummary has not said how the stream distributes records"
            }
            Self::ShardsUnknown => "ListShards has not said which shards there are",
        })
    }
}
