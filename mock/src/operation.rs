//! The operations that fault rules and call counts are keyed by.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which of the two services an operation belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Api {
    /// Kinesis Data Streams.
    Kinesis,
    /// DynamoDB.
    DynamoDb,
}

impl Api {
    /// Its name in fault rules and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kinesis => "kinesis",
            Self::DynamoDb => "dynamodb",
        }
    }
}

/// One listing gives the enum, the names on the wire and the list of all, so they cannot differ.
macro_rules! operations {
    ($($api:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)* })*) => {
        /// An operation of Kinesis or DynamoDB, spelled as AWS spells it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Operation {
            $($(
                #[doc = concat!("`", $name, "` of ", stringify!($api), ".")]
                #[doc = ""]
                $(#[$doc])* $variant,
            )*)*
        }

        impl Operation {
            /// Every operation that rules and counts know.
            pub const ALL: &[Self] = &[$($(Self::$variant,)*)*];

            /// The operation's name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$variant => $name,)*)* }
            }

            /// The service that it belongs to.
            #[must_use]
            pub const fn api(self) -> Api {
                match self { $($(Self::$variant => Api::$api,)*)* }
            }

            pub(crate) fn find(api: Api, name: &str) -> Option<Self> {
                match (api, name) {
                    $($((Api::$api, $name) => Some(Self::$variant),)*)*
                    _ => None,
                }
            }
        }
    };
}

operations! {
    Kinesis {
        AddTagsToStream = "AddTagsToStream",
        CreateChannel = "CreateChannel",
        CreateStream = "CreateStream",
        DecreaseStreamRetentionPeriod = "DecreaseStreamRetentionPeriod",
        DeleteChannel = "DeleteChannel",
        DeleteResourcePolicy = "DeleteResourcePolicy",
        DeleteStream = "DeleteStream",
        DeregisterStreamConsumer = "DeregisterStreamConsumer",
        DescribeAccountSettings = "DescribeAccountSettings",
        DescribeChannel = "DescribeChannel",
        DescribeLimits = "DescribeLimits",
        DescribeStream = "DescribeStream",
        DescribeStreamConsumer = "DescribeStreamConsumer",
        DescribeStreamSummary = "DescribeStreamSummary",
        DisableEnhancedMonitoring = "DisableEnhancedMonitoring",
        EnableEnhancedMonitoring = "EnableEnhancedMonitoring",
        GetRecords = "GetRecords",
        GetResourcePolicy = "GetResourcePolicy",
        GetShardIterator = "GetShardIterator",
        IncreaseStreamRetentionPeriod = "IncreaseStreamRetentionPeriod",
        ListChannels = "ListChannels",
        ListShards = "ListShards",
        ListStreamConsumers = "ListStreamConsumers",
        ListStreams = "ListStreams",
        ListTagsForResource = "ListTagsForResource",
        ListTagsForStream = "ListTagsForStream",
        MergeShards = "MergeShards",
        PutRecord = "PutRecord",
        PutRecords = "PutRecords",
        PutResourcePolicy = "PutResourcePolicy",
        RegisterStreamConsumer = "RegisterStreamConsumer",
        RemoveTagsFromStream = "RemoveTagsFromStream",
        SplitShard = "SplitShard",
        StartStreamEncryption = "StartStreamEncryption",
        StopStreamEncryption = "StopStreamEncryption",
        SubscribeToShard = "SubscribeToShard",
        TagResource = "TagResource",
        UntagResource = "UntagResource",
        UpdateAccountSettings = "UpdateAccountSettings",
        UpdateChannel = "UpdateChannel",
        UpdateMaxRecordSize = "UpdateMaxRecordSize",
        UpdateShardCount = "UpdateShardCount",
        UpdateStreamMode = "UpdateStreamMode",
        UpdateStreamRecordDistributionStrategy = "UpdateStreamRecordDistributionStrategy",
        UpdateStreamWarmThroughput = "UpdateStreamWarmThroughput",
    }
    DynamoDb {
        BatchGetItem = "BatchGetItem",
        BatchWriteItem = "BatchWriteItem",
        CreateTable = "CreateTable",
        DeleteItem = "DeleteItem",
        DeleteTable = "DeleteTable",
        DescribeContinuousBackups = "DescribeContinuousBackups",
        DescribeTable = "DescribeTable",
        DescribeTimeToLive = "DescribeTimeToLive",
        /// The prefix is there because Kinesis has an operation of the same name.
        DynamoDbTagResource = "TagResource",
        /// The prefix is there because Kinesis has an operation of the same name.
        DynamoDbUntagResource = "UntagResource",
        GetItem = "GetItem",
        ListTables = "ListTables",
        ListTagsOfResource = "ListTagsOfResource",
        PutItem = "PutItem",
        Query = "Query",
        Scan = "Scan",
        TransactGetItems = "TransactGetItems",
        TransactWriteItems = "TransactWriteItems",
        UpdateContinuousBackups = "UpdateContinuousBackups",
        UpdateItem = "UpdateItem",
        UpdateTable = "UpdateTable",
        UpdateTimeToLive = "UpdateTimeToLive",
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_found_by_its_name() {
        for &operation in Operation::ALL {
            let found = [Api::Kinesis, Api::DynamoDb]
                .map(|api| Operation::find(api, operation.name()))
                .into_iter()
                .flatten();
            assert_eq!(found.filter(|found| *found == operation).count(), 1);
        }
        assert_eq!(Operation::find(Api::Kinesis, "GetItem"), None);
        for (api, operation) in [
            (Api::Kinesis, Operation::TagResource),
            (Api::DynamoDb, Operation::DynamoDbTagResource),
        ] {
            assert_eq!(Operation::find(api, "TagResource"), Some(operation));
        }
    }
}
