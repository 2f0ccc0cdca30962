//! What can be set on a stream and on the account, and what it does.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, World, data, shard_id};

const HOUR: Duration = Duration::from_secs(3600);
const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/s";

async fn summary(client: &Client) -> Value {
    let mut answer = client
        .ok("DescribeStreamSummary", json!({"StreamName": "s"}))
        .await;
    answer["StreamDescriptionSummary"].take()
}

async fn create_on_demand(client: &Client) {
    client
        .ok(
            "CreateStream",
            json!({"StreamName": "s", "StreamModeDetails": {"StreamMode": "ON_DEMAND"}}),
        )
        .await;
}

/// Everything in the stream's first `shards` shards.
async fn read_all(client: &Client, shards: u32) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    for shard in 0..shards {
        let iterator = client.iterator("s", shard, "TRIM_HORIZON").await;
        all.push(client.drain(iterator, 1000).await);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn every_change_of_a_setting_makes_the_stream_updating_for_the_delay() {
    let world = World::with(|builder| builder.state_delay(Duration::from_millis(500)));
    let client = &world.client;
    client.create("s", 1).await;
    world.advance(Duration::from_millis(500)).await;
    let encryption = json!({
        "StreamName": "s", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis",
    });
    for (operation, body) in [
        (
            "IncreaseStreamRetentionPeriod",
            json!({"StreamName": "s", "RetentionPeriodHours": 48}),
        ),
        (
            "DecreaseStreamRetentionPeriod",
            json!({"StreamName": "s", "RetentionPeriodHours": 24}),
        ),
        (
            "EnableEnhancedMonitoring",
            json!({"StreamName": "s", "ShardLevelMetrics": ["ALL"]}),
        ),
        (
            "DisableEnhancedMonitoring",
            json!({"StreamName": "s", "ShardLevelMetrics": ["ALL"]}),
        ),
        ("StartStreamEncryption", encryption.clone()),
        ("StopStreamEncryption", encryption),
        (
            "UpdateMaxRecordSize",
            json!({"StreamARN": ARN, "MaxRecordSizeInKiB": 2048}),
        ),
        (
            "UpdateStreamMode",
            json!({"StreamARN": ARN, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}}),
        ),
        (
            "UpdateStreamWarmThroughput",
            json!({"StreamARN": ARN, "WarmThroughputMiBps": 3}),
        ),
    ] {
        client.ok(operation, body.clone()).await;
        assert_eq!(client.status("s").await, "UPDATING", "{operation}");
        let again = client.call(operation, body).await.unwrap_err();
        // Of a retention the direction is wrong only when the change is done.
        assert_eq!(again.kind, "ResourceInUseException", "{operation}");
        assert_eq!(
            again.message,
            "Stream s under account 000000000000 not ACTIVE, instead in state UPDATING"
        );
        client.put("s", "a", b"meanwhile").await;
        world.advance(Duration::from_millis(500)).await;
        assert_eq!(client.status("s").await, "ACTIVE", "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn retention_goes_up_and_down_and_never_the_wrong_way() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    let hours = |hours: i64| json!({"StreamName": "s", "RetentionPeriodHours": hours});
    let too_short = |hours: i64| {
        format!(
            "Minimum allowed retention period is 24 hours. Requested retention period ({hours} \
             hours) is too short."
        )
    };
    for (operation, asked, text) in [
        ("IncreaseStreamRetentionPeriod", 23, too_short(23)),
        ("DecreaseStreamRetentionPeriod", -1, too_short(-1)),
        (
            "IncreaseStreamRetentionPeriod",
            8761,
            "Maximum allowed retention period is 8760 hours. Requested retention period (8761 \
             hours) is too long."
                .to_owned(),
        ),
        (
            "DecreaseStreamRetentionPeriod",
            25,
            "Requested retention period (25 hours) for stream s can not be longer than existing \
             retention period (24 hours). Use IncreaseRetentionPeriod API."
                .to_owned(),
        ),
    ] {
        let refused = client.refused(operation, hours(asked)).await;
        assert_eq!(refused, ("InvalidArgumentException".to_owned(), text));
    }
    client
        .ok("IncreaseStreamRetentionPeriod", hours(8760))
        .await;
    assert_eq!(summary(&client).await["RetentionPeriodHours"], 8760);
    let (_, text) = client
        .refused("IncreaseStreamRetentionPeriod", hours(8759))
        .await;
    assert_eq!(
        text,
        "Requested retention period (8759 hours) for stream s can not be shorter than existing \
         retention period (8760 hours). Use DecreaseRetentionPeriod API."
    );
    client.ok("DecreaseStreamRetentionPeriod", hours(24)).await;
    assert_eq!(summary(&client).await["RetentionPeriodHours"], 24);
    for operation in [
        "IncreaseStreamRetentionPeriod",
        "DecreaseStreamRetentionPeriod",
    ] {
        client.ok(operation, hours(24)).await;
        assert_eq!(summary(&client).await["RetentionPeriodHours"], 24);
    }
}

#[tokio::test(start_paused = true)]
async fn records_live_as_long_as_the_retention_says_at_the_time() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    let hours = |hours: i64| json!({"StreamName": "s", "RetentionPeriodHours": hours});
    client.put("s", "a", b"0").await;
    client.ok("IncreaseStreamRetentionPeriod", hours(48)).await;
    world.advance(30 * HOUR).await;
    client.put("s", "a", b"30").await;
    assert_eq!(read_all(client, 1).await[0].len(), 2);
    client
        .ok(
            "SplitShard",
            json!({"StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": "1000"}),
        )
        .await;
    client.ok("DecreaseStreamRetentionPeriod", hours(24)).await;
    let records = &read_all(client, 1).await[0];
    assert_eq!(records.len(), 1, "in the very second of the change");
    assert_eq!(data(&records[0]), b"30");
    client.ok("IncreaseStreamRetentionPeriod", hours(72)).await;
    assert_eq!(read_all(client, 1).await[0].len(), 1, "gone is gone");
    world.advance(71 * HOUR).await;
    assert_eq!(client.shards("s").await.len(), 3);
    world.advance(2 * HOUR).await;
    assert_eq!(client.shards("s").await.len(), 2, "the parent has expired");
    client.ok("IncreaseStreamRetentionPeriod", hours(96)).await;
    assert_eq!(client.shards("s").await.len(), 2, "and does not come back");
}

#[tokio::test(start_paused = true)]
async fn metrics_are_switched_one_by_one_or_all_at_once() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    let all = json!([
        "IncomingBytes",
        "OutgoingRecords",
        "IteratorAgeMilliseconds",
        "IncomingRecords",
        "ReadProvisionedThroughputExceeded",
        "WriteProvisionedThroughputExceeded",
        "OutgoingBytes",
    ]);
    let some = json!(["IncomingBytes", "OutgoingBytes"]);
    for (operation, named, current, desired) in [
        (
            "EnableEnhancedMonitoring",
            json!(["OutgoingBytes", "IncomingBytes"]),
            json!([]),
            &some,
        ),
        (
            "EnableEnhancedMonitoring",
            json!(["ALL"]),
            some.clone(),
            &all,
        ),
        (
            "DisableEnhancedMonitoring",
            json!([
                "OutgoingRecords",
                "IteratorAgeMilliseconds",
                "IncomingRecords",
                "ReadProvisionedThroughputExceeded",
                "WriteProvisionedThroughputExceeded",
            ]),
            all.clone(),
            &some,
        ),
        (
            "DisableEnhancedMonitoring",
            json!(["ALL"]),
            some.clone(),
            &json!([]),
        ),
    ] {
        let body = json!({"StreamName": "s", "ShardLevelMetrics": named});
        let answer = client.ok(operation, body).await;
        assert_eq!(
            answer,
            json!({
                "StreamName": "s",
                "CurrentShardLevelMetrics": current,
                "DesiredShardLevelMetrics": desired,
                "StreamARN": ARN,
            })
        );
        let told = json!([{"ShardLevelMetrics": desired}]);
        assert_eq!(summary(&client).await["EnhancedMonitoring"], told);
        let description = client
            .ok("DescribeStream", json!({"StreamName": "s"}))
            .await;
        assert_eq!(description["StreamDescription"]["EnhancedMonitoring"], told);
    }
}

#[tokio::test(start_paused = true)]
async fn records_say_whether_the_stream_was_encrypted_when_they_came() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    let key = json!({"StreamName": "s", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"});
    let record = json!({"StreamName": "s", "PartitionKey": "a", "Data": ""});
    let records = json!({"StreamName": "s", "Records": [{"PartitionKey": "a", "Data": ""}]});
    for (operation, told) in [
        (None, None),
        (Some("StartStreamEncryption"), Some("KMS")),
        (Some("StopStreamEncryption"), None),
    ] {
        if let Some(operation) = operation {
            client.ok(operation, key.clone()).await;
        }
        let summary = summary(&client).await;
        assert_eq!(summary["EncryptionType"], told.unwrap_or("NONE"));
        let key_id = told.map(|_| "alias/aws/kinesis");
        assert_eq!(summary.get("KeyId").and_then(Value::as_str), key_id);
        for (operation, body) in [("PutRecord", &record), ("PutRecords", &records)] {
            let answer = client.ok(operation, body.clone()).await;
            let kind = answer.get("EncryptionType").and_then(Value::as_str);
            assert_eq!(kind, told, "{operation}");
        }
    }
    let read = &read_all(&client, 1).await[0];
    let kinds: Vec<_> = read
        .iter()
        .map(|record| record.get("EncryptionType").and_then(Value::as_str))
        .collect();
    let kms = Some("KMS");
    assert_eq!(kinds, [None, None, kms, kms, None, None]);

    let mut plain = key;
    plain["EncryptionType"] = json!("NONE");
    for operation in ["StartStreamEncryption", "StopStreamEncryption"] {
        let (kind, _) = client.refused(operation, plain.clone()).await;
        assert_eq!(kind, "InvalidArgumentException");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_keeps_its_shards_when_its_mode_changes() {
    let World { client, .. } = World::new();
    client.create("s", 2).await;
    let mode = |mode: &str| json!({"StreamARN": ARN, "StreamModeDetails": {"StreamMode": mode}});
    client.ok("UpdateStreamMode", mode("ON_DEMAND")).await;
    let told = summary(&client).await;
    assert_eq!(told["StreamModeDetails"]["StreamMode"], "ON_DEMAND");
    assert_eq!(told["OpenShardCount"], 2);
    let limits = client.ok("DescribeLimits", json!({})).await;
    assert_eq!(
        limits,
        json!({
            "ShardLimit": 20_000,
            "OpenShardCount": 2,
            "OnDemandStreamCount": 1,
            "OnDemandStreamCountLimit": 50,
            "ChannelCount": 0,
        })
    );
    let split = json!({"StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": "9"});
    let (kind, _) = client.refused("SplitShard", split.clone()).await;
    assert_eq!(kind, "ValidationException");
    client.ok("UpdateStreamMode", mode("PROVISIONED")).await;
    client.ok("SplitShard", split).await;
    let limits = client.ok("DescribeLimits", json!({})).await;
    assert_eq!(limits["OnDemandStreamCount"], 0);
    assert_eq!(limits["OpenShardCount"], 3);
}

#[tokio::test(start_paused = true)]
async fn warm_throughput_brings_the_shards_it_needs() {
    let world = World::with(|builder| {
        builder
            .shard_limit(9)
            .state_delay(Duration::from_millis(500))
    });
    let client = &world.client;
    create_on_demand(client).await;
    world.advance(Duration::from_millis(500)).await;
    let warm = |mibps: u32| json!({"StreamName": "s", "WarmThroughputMiBps": mibps});
    assert_eq!(summary(client).await.get("WarmThroughput"), None);
    let answer = client.ok("UpdateStreamWarmThroughput", warm(6)).await;
    let growing = json!({"TargetMiBps": 6, "CurrentMiBps": 4});
    assert_eq!(
        answer,
        json!({"StreamARN": ARN, "StreamName": "s", "WarmThroughput": growing})
    );
    assert_eq!(summary(client).await["WarmThroughput"], growing);
    world.advance(Duration::from_millis(500)).await;
    let grown = summary(client).await;
    assert_eq!(
        grown["WarmThroughput"],
        json!({"TargetMiBps": 6, "CurrentMiBps": 6})
    );
    assert_eq!(grown["OpenShardCount"], 6);
    for (mibps, message) in [(10, "shard limit for the account"), (10_241, "10240")] {
        let (kind, text) = client
            .refused("UpdateStreamWarmThroughput", warm(mibps))
            .await;
        assert_eq!(kind, "LimitExceededException");
        assert!(text.contains(message), "{text}");
    }
    let provisioned = json!({"StreamARN": ARN, "StreamModeDetails": {"StreamMode": "PROVISIONED"}});
    client.ok("UpdateStreamMode", provisioned.clone()).await;
    world.advance(Duration::from_millis(500)).await;
    assert_eq!(summary(client).await.get("WarmThroughput"), None);
    let (kind, _) = client.refused("UpdateStreamWarmThroughput", warm(1)).await;
    assert_eq!(kind, "ValidationException");
    let mut with_warmth = provisioned;
    with_warmth["WarmThroughputMiBps"] = json!(8);
    let (kind, _) = client
        .refused("UpdateStreamMode", with_warmth.clone())
        .await;
    assert_eq!(kind, "InvalidArgumentException");
    with_warmth["StreamModeDetails"]["StreamMode"] = json!("ON_DEMAND");
    client.ok("UpdateStreamMode", with_warmth).await;
    world.advance(Duration::from_millis(500)).await;
    assert_eq!(summary(client).await["OpenShardCount"], 8);
}

#[tokio::test(start_paused = true)]
async fn the_record_size_is_the_streams_own() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    let record = |kib: usize| json!({"StreamName": "s", "PartitionKey": "a", "Data": "AAAA".repeat(kib * 1024 / 3)});
    client.ok("PutRecord", record(1023)).await;
    let (kind, _) = client.refused("PutRecord", record(1030)).await;
    assert_eq!(kind, "ValidationException");
    let size = |kib: u32| json!({"StreamARN": ARN, "MaxRecordSizeInKiB": kib});
    client.ok("UpdateMaxRecordSize", size(10_240)).await;
    assert_eq!(summary(&client).await["MaxRecordSizeInKiB"], 10_240);
    client.ok("PutRecord", record(10_239)).await;
    client.ok("UpdateMaxRecordSize", size(1024)).await;
    let (kind, _) = client.refused("PutRecord", record(1030)).await;
    assert_eq!(kind, "ValidationException");
    assert_eq!(read_all(&client, 1).await[0].len(), 2);
    let (kind, _) = client
        .refused("UpdateMaxRecordSize", json!({"MaxRecordSizeInKiB": 1024}))
        .await;
    assert_eq!(kind, "InvalidArgumentException", "nothing names the stream");
}

#[tokio::test(start_paused = true)]
async fn on_auto_the_service_places_records_and_needs_no_key() {
    let World { client, .. } = World::new();
    create_on_demand(&client).await;
    let told = summary(&client).await;
    assert_eq!(told["RecordDistributionStrategy"], "USER_PARTITION_KEY");
    assert_eq!(told["ChannelCount"], 0);
    let without_key = json!({"StreamName": "s", "Data": "", "ExplicitHashKey": "0"});
    let entries = json!({"StreamName": "s", "Records": [{"Data": ""}, {"Data": ""}]});
    for (operation, body) in [("PutRecord", &without_key), ("PutRecords", &entries)] {
        let (kind, message) = client.refused(operation, body.clone()).await;
        assert_eq!(kind, "ValidationException");
        assert!(
            message.contains("artitionKey' failed to satisfy constraint: Member must not be null")
        );
    }
    let strategy = |name: &str| json!({"StreamARN": ARN, "RecordDistributionStrategy": name});
    let change = "UpdateStreamRecordDistributionStrategy";
    client.ok(change, strategy("AUTO")).await;
    assert_eq!(summary(&client).await["RecordDistributionStrategy"], "AUTO");

    for reference in [json!({"StreamName": "s"}), json!({"StreamARN": ARN})] {
        for key in [None, Some("k")] {
            let mut record = reference.clone();
            record["Data"] = json!("");
            // Above every shard's end, and ignored.
            record["ExplicitHashKey"] = json!("9".repeat(39));
            if let Some(key) = key {
                record["PartitionKey"] = json!(key);
            }
            client.ok("PutRecord", record).await;
        }
    }
    let answer = client.ok("PutRecords", entries.clone()).await;
    assert_eq!(answer["FailedRecordCount"], 0);
    let read = read_all(&client, 4).await;
    let counts: Vec<usize> = read.iter().map(Vec::len).collect();
    assert_eq!(counts, [2, 2, 1, 1], "in turn");
    let mut keys: Vec<Option<&str>> = read
        .iter()
        .flatten()
        .map(|record| record.get("PartitionKey").map(|key| key.as_str().unwrap()))
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, [None, None, None, None, Some("k"), Some("k")]);

    let ordered = json!({"StreamName": "s", "Data": "", "SequenceNumberForOrdering": "0"});
    let (kind, _) = client.refused("PutRecord", ordered).await;
    assert_eq!(kind, "InvalidArgumentException");
    client.ok(change, strategy("USER_PARTITION_KEY")).await;
    let (kind, _) = client.refused("PutRecords", entries).await;
    assert_eq!(kind, "ValidationException");
}

#[tokio::test(start_paused = true)]
async fn auto_is_for_on_demand_streams_only() {
    let World { client, .. } = World::new();
    let auto = json!({"StreamARN": ARN, "RecordDistributionStrategy": "AUTO"});
    let on_demand = json!({
        "StreamName": "s",
        "StreamModeDetails": {"StreamMode": "ON_DEMAND"},
        "RecordDistributionStrategy": "AUTO",
    });
    let provisioned =
        json!({"StreamName": "s", "ShardCount": 1, "RecordDistributionStrategy": "AUTO"});
    let (kind, _) = client.refused("CreateStream", provisioned).await;
    assert_eq!(kind, "InvalidArgumentException");
    client.ok("CreateStream", on_demand).await;
    assert_eq!(summary(&client).await["RecordDistributionStrategy"], "AUTO");
    client
        .ok(
            "UpdateStreamMode",
            json!({"StreamARN": ARN, "StreamModeDetails": {"StreamMode": "PROVISIONED"}}),
        )
        .await;
    let told = summary(&client).await;
    assert_eq!(told["RecordDistributionStrategy"], "USER_PARTITION_KEY");
    let (kind, _) = client
        .refused("UpdateStreamRecordDistributionStrategy", auto)
        .await;
    assert_eq!(kind, "InvalidArgumentException");
}

#[tokio::test(start_paused = true)]
async fn a_commitment_lasts_a_day_at_least() {
    let world = World::new();
    let client = &world.client;
    let set = |status: &str| json!({"MinimumThroughputBillingCommitment": {"Status": status}});
    let told = async || {
        let mut answer = client.ok("DescribeAccountSettings", json!({})).await;
        answer["MinimumThroughputBillingCommitment"].take()
    };
    assert_eq!(told().await, json!({"Status": "DISABLED"}));
    client.ok("UpdateAccountSettings", set("DISABLED")).await;
    assert_eq!(told().await, json!({"Status": "DISABLED"}));

    let seconds = || world.wall_ms() / 1000;
    let start = seconds();
    let day = 24 * 3600;
    let answer = client.ok("UpdateAccountSettings", set("ENABLED")).await;
    let enabled = json!({
        "Status": "ENABLED", "StartedAt": start, "EarliestAllowedEndAt": start + day,
    });
    assert_eq!(answer["MinimumThroughputBillingCommitment"], enabled);
    world.advance(HOUR).await;
    client.ok("UpdateAccountSettings", set("DISABLED")).await;
    assert_eq!(told().await["Status"], "ENABLED_UNTIL_EARLIEST_ALLOWED_END");
    client.ok("UpdateAccountSettings", set("ENABLED")).await;
    assert_eq!(told().await, enabled);
    client.ok("UpdateAccountSettings", set("DISABLED")).await;
    world.advance(23 * HOUR).await;
    assert_eq!(
        told().await,
        json!({
            "Status": "DISABLED", "StartedAt": start, "EndedAt": start + day,
            "EarliestAllowedEndAt": start + day,
        })
    );
    client.ok("UpdateAccountSettings", set("ENABLED")).await;
    assert_eq!(told().await["StartedAt"], seconds());
    world.advance(48 * HOUR).await;
    client.ok("UpdateAccountSettings", set("DISABLED")).await;
    assert_eq!(told().await["EndedAt"], seconds());
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_brings_its_tags_and_its_record_size_along() {
    let World { client, .. } = World::new();
    client
        .ok(
            "CreateStream",
            json!({
                "StreamName": "s",
                "ShardCount": 1,
                "Tags": {"team": "orders"},
                "MaxRecordSizeInKiB": 4096,
            }),
        )
        .await;
    assert_eq!(summary(&client).await["MaxRecordSizeInKiB"], 4096);
    let tags = client
        .ok("ListTagsForStream", json!({"StreamName": "s"}))
        .await;
    assert_eq!(tags["Tags"], json!([{"Key": "team", "Value": "orders"}]));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_is_checked_in_full_and_does_nothing() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    let iterator = client.iterator("s", 0, "TRIM_HORIZON").await;
    for (operation, body, wrong, kind) in [
        (
            "PutRecord",
            json!({"StreamName": "s", "PartitionKey": "a", "Data": "YQ=="}),
            json!({"ExplicitHashKey": "9".repeat(39)}),
            "InvalidArgumentException",
        ),
        (
            "PutRecords",
            json!({"StreamName": "s", "Records": [{"PartitionKey": "a", "Data": "YQ=="}]}),
            json!({"StreamName": "t"}),
            "ResourceNotFoundException",
        ),
        (
            "GetShardIterator",
            json!({"StreamName": "s", "ShardId": shard_id(0), "ShardIteratorType": "LATEST"}),
            json!({"ShardIteratorType": "AT_TIMESTAMP"}),
            "InvalidArgumentException",
        ),
        (
            "GetRecords",
            json!({"ShardIterator": iterator}),
            json!({"ShardIterator": "x"}),
            "InvalidArgumentException",
        ),
    ] {
        let mut body = body;
        body["DryRun"] = json!(true);
        let (got, _) = client.refused(operation, body.clone()).await;
        assert_eq!(got, "DryRunOperationException", "{operation}");
        let members = body.as_object_mut().unwrap();
        members.extend(wrong.as_object().unwrap().clone());
        let (got, _) = client.refused(operation, body).await;
        assert_eq!(got, kind, "{operation}");
    }
    assert_eq!(read_all(&client, 1).await[0].len(), 0);
}

#[tokio::test(start_paused = true)]
async fn queues_are_not_there() {
    let World { client, .. } = World::new();
    for operation in [
        "CreateQueue",
        "DescribeQueue",
        "UpdateQueue",
        "DeleteQueue",
        "ListQueues",
        "ReceiveQueueRecords",
        "AcknowledgeQueueRecords",
        "UpdateQueueRecordsVisibility",
        "ReceiveDeadLetterQueueRecords",
        "AcknowledgeDeadLetterQueueRecords",
        "RestoreDeadLetterQueueRecords",
        "UpdateDeadLetterQueueRecordsVisibility",
    ] {
        let (kind, _) = client.refused(operation, json!({})).await;
        assert_eq!(kind, "UnknownOperationException");
    }
}
