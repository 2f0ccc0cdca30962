//! Channels: their life and their descriptions.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{World, stream_arn};

const SECOND: Duration = Duration::from_secs(1);
const ROLE: &str = "arn:aws:iam::000000000000:role/delivery";
const BUCKET: &str = "arn:aws:s3:::bucket";
const OWNER: &str = "000000000000";

fn arn(name: &str) -> String {
    format!("arn:aws:kinesis:us-east-1:000000000000:channel/{name}")
}

fn to_bucket(name: &str, stream: &str) -> Value {
    json!({
        "ChannelName": name,
        "ServiceExecutionRoleARN": ROLE,
        "StreamConfigurationList": [{
            "StreamARN": stream_arn(stream),
            "RecordConfiguration": {"RecordFormatType": "JSON"},
        }],
        "S3DestinationConfiguration": {"StorageConfiguration": {
            "BucketARN": BUCKET, "ExpectedBucketOwner": OWNER, "CompressionType": "GZIP",
        }},
    })
}

fn to_table(name: &str, stream: &str) -> Value {
    json!({
        "ChannelName": name,
        "ServiceExecutionRoleARN": ROLE,
        "StreamConfigurationList": [{
            "StreamARN": stream_arn(stream),
            "RecordConfiguration": {
                "RecordFormatType": "GSR_JSON",
                "GSRSchemaARN": "arn:aws:glue:us-east-1:000000000000:schema/registry/name",
            },
        }],
        "S3TablesDestinationConfiguration": {
            "DataFreshnessInSeconds": 60,
            "DeadLetterQueueS3Configuration": {"BucketARN": BUCKET, "ExpectedBucketOwner": OWNER},
            "S3TablesConfigurationList": [{
                "TableBucketARN": "arn:aws:s3tables:us-east-1:000000000000:bucket/tables",
                "Namespace": "space",
                "TableName": "table",
                "CompressionType": "ZSTD",
                "PartitionSpec": {"PartitionFields": [
                    {"Transform": "TIME_HOUR", "SourceName": "at"},
                ]},
            }],
        },
        "EncryptionConfiguration": {"EncryptionType": "KMS", "KeyId": "alias/mine"},
        "LoggingConfiguration": {"CloudWatchLogs": {"Enabled": true}},
        "Tags": {"a": "1"},
    })
}

async fn create_on_demand(world: &World, name: &str) {
    let mode = json!({"StreamName": name, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}});
    world.client.ok("CreateStream", mode).await;
}

/// A world of slow changes with the on-demand stream `s`.
async fn slow_world() -> World {
    let world = World::with(|builder| builder.state_delay(SECOND));
    create_on_demand(&world, "s").await;
    world.advance(SECOND).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_creating_active_updating_active_deleting_and_gone() {
    let world = slow_world().await;
    let client = &world.client;
    let created = client.ok("CreateChannel", to_bucket("c", "s")).await;
    let channel = &created["ChannelDescription"];
    let id = channel["ChannelId"].as_str().unwrap();
    assert_eq!(id.len(), 20);
    let storage = json!({
        "BucketARN": BUCKET,
        "ExpectedBucketOwner": OWNER,
        "StorageClass": "STANDARD",
        "CompressionType": "GZIP",
    });
    assert_eq!(
        *channel,
        json!({
            "ChannelName": "c",
            "ChannelARN": arn("c"),
            "ChannelId": id,
            "ChannelStatus": "CREATING",
            "ChannelCreationTimestamp": 1_767_225_601,
            "ServiceExecutionRoleARN": ROLE,
            "StreamConfigurationList": [{
                "StreamARN": stream_arn("s"),
                "StreamCreationTimestamp": 1_767_225_600,
                "RecordConfiguration": {"RecordFormatType": "JSON"},
            }],
            "S3DestinationConfiguration": {
                "DataFreshnessInSeconds": 300,
                "DeadLetterQueueS3Configuration": {
                    "BucketARN": BUCKET,
                    "ExpectedBucketOwner": OWNER,
                    "ErrorOutputPrefix": "errors/",
                },
                "StorageConfiguration": storage,
            },
            "LoggingConfiguration": {"CloudWatchLogs": {"Enabled": false}},
        })
    );
    let named = json!({"ChannelARN": arn("c")});
    let describe = || client.ok("DescribeChannel", named.clone());
    let status = |answer: &Value| answer["ChannelDescription"]["ChannelStatus"].clone();
    let update = json!({
        "ChannelARN": arn("c"),
        "S3DestinationConfiguration": {"DataFreshnessInSeconds": 900},
        "LoggingConfiguration": {"CloudWatchLogs": {"Enabled": true, "LogStreamName": "mine"}},
    });
    assert_eq!(describe().await, created);
    let (kind, message) = client.refused("UpdateChannel", update.clone()).await;
    assert_eq!(kind, "ResourceInUseException");
    assert_eq!(
        message,
        "Channel c under account 000000000000 not ACTIVE, instead in state CREATING"
    );
    world.advance(SECOND).await;
    assert_eq!(status(&describe().await), "ACTIVE");

    let updated = client.ok("UpdateChannel", update).await;
    assert_eq!(status(&updated), "UPDATING");
    assert_eq!(status(&describe().await), "UPDATING");
    world.advance(SECOND).await;
    let described = describe().await;
    assert_eq!(status(&described), "ACTIVE");
    let channel = &described["ChannelDescription"];
    let destination = &channel["S3DestinationConfiguration"];
    assert_eq!(destination["DataFreshnessInSeconds"], 900);
    assert_eq!(destination["StorageConfiguration"], storage);
    assert_eq!(
        channel["LoggingConfiguration"],
        json!({"CloudWatchLogs": {
            "Enabled": true,
            "LogGroupName": format!("/aws/kinesis/c/{id}"),
            "LogStreamName": "mine",
        }})
    );

    client.ok("DeleteChannel", named.clone()).await;
    assert_eq!(status(&describe().await), "DELETING");
    world.advance(SECOND).await;
    for operation in ["DescribeChannel", "DeleteChannel", "UpdateChannel"] {
        let (kind, message) = client.refused(operation, named.clone()).await;
        assert_eq!(kind, "ResourceNotFoundException");
        assert_eq!(message, "Channel c under account 000000000000 not found.");
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_to_a_table_is_told_as_it_was_made() {
    let world = World::new();
    let client = &world.client;
    create_on_demand(&world, "s").await;
    let body = to_table("c", "s");
    let answer = client.ok("CreateChannel", body.clone()).await;
    let channel = &answer["ChannelDescription"];
    for member in [
        "S3TablesDestinationConfiguration",
        "EncryptionConfiguration",
    ] {
        assert_eq!(channel[member], body[member]);
    }
    assert_eq!(
        channel["StreamConfigurationList"][0]["RecordConfiguration"],
        body["StreamConfigurationList"][0]["RecordConfiguration"]
    );
    let logs = &channel["LoggingConfiguration"]["CloudWatchLogs"];
    assert_eq!(logs["LogStreamName"], "DestinationDelivery");
    let tags = json!({"ResourceARN": arn("c"), "Tags": {"b": "2"}});
    client.ok("TagResource", tags).await;
    let answer = client
        .ok("ListTagsForResource", json!({"ResourceARN": arn("c")}))
        .await;
    assert_eq!(
        answer["Tags"],
        json!([{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    );
    let (kind, message) = client
        .refused(
            "UpdateChannel",
            json!({
                "ChannelARN": arn("c"),
                "S3DestinationConfiguration": {"DataFreshnessInSeconds": 900},
            }),
        )
        .await;
    assert_eq!(kind, "InvalidArgumentException");
    assert_eq!(
        message,
        "Channel c under account 000000000000 has no destination of type S3."
    );
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_makes_no_sense_is_refused() {
    let world = World::new();
    let client = &world.client;
    create_on_demand(&world, "s").await;
    client.create("provisioned", 1).await;
    let with = |mut body: Value, pointer: &str, member: &str, value: Value| {
        body.pointer_mut(pointer).unwrap()[member] = value;
        body
    };
    let records = "/StreamConfigurationList/0/RecordConfiguration";
    let bucket = || to_bucket("c", "s");
    let table = || to_table("c", "s");
    let either = "Either S3DestinationConfiguration or S3TablesDestinationConfiguration should be \
                  provided, but not both.";
    let two_streams = {
        let mut body = bucket();
        let stream = body["StreamConfigurationList"][0].clone();
        body["StreamConfigurationList"] = json!([stream, stream]);
        body
    };
    for (body, kind, message) in [
        (
            with(bucket(), "", "S3DestinationConfiguration", Value::Null),
            "InvalidArgumentException",
            either,
        ),
        (
            with(
                bucket(),
                "",
                "S3TablesDestinationConfiguration",
                table()["S3TablesDestinationConfiguration"].clone(),
            ),
            "InvalidArgumentException",
            either,
        ),
        (
            with(bucket(), records, "RecordFormatType", "GSR_JSON".into()),
            "InvalidArgumentException",
            "RecordFormatType GSR_JSON is not supported for destinations of type S3.",
        ),
        (
            with(table(), records, "RecordFormatType", "STRING".into()),
            "InvalidArgumentException",
            "RecordFormatType STRING is not supported for destinations of type S3_TABLES.",
        ),
        (
            with(table(), records, "GSRSchemaARN", Value::Null),
            "InvalidArgumentException",
            "GSRSchemaARN should be provided for destinations of type S3_TABLES.",
        ),
        (
            with(
                table(),
                "/EncryptionConfiguration",
                "KeyId",
                "alias/aws/kinesis".into(),
            ),
            "InvalidArgumentException",
            "The key alias/aws/kinesis cannot be used for a channel.",
        ),
        (
            two_streams,
            "InvalidArgumentException",
            "StreamConfigurationList cannot have more than 1 element.",
        ),
        (
            to_bucket("c", "provisioned"),
            "ValidationException",
            "This operation is only supported for streams in ON_DEMAND mode.",
        ),
        (
            to_bucket("c", "none"),
            "ResourceNotFoundException",
            "Stream none under account 000000000000 not found.",
        ),
    ] {
        let refusal = client.refused("CreateChannel", body).await;
        assert_eq!(refusal, (kind.to_owned(), message.to_owned()));
    }
    client.ok("CreateChannel", bucket()).await;
    let (kind, message) = client.refused("CreateChannel", table()).await;
    assert_eq!(kind, "ResourceInUseException");
    assert_eq!(
        message,
        "Channel c under account 000000000000 already exists."
    );
}

#[tokio::test(start_paused = true)]
async fn channels_are_listed_in_pages_and_by_stream() {
    let world = World::new();
    let client = &world.client;
    for stream in ["s", "t"] {
        create_on_demand(&world, stream).await;
    }
    for (name, stream) in [("c", "s"), ("b", "t"), ("a", "s")] {
        client.ok("CreateChannel", to_bucket(name, stream)).await;
    }
    let mut body = json!({"MaxResults": 2});
    let mut names = Vec::new();
    loop {
        let answer = client.ok("ListChannels", body.clone()).await;
        let page = answer["ChannelSummaries"].as_array().unwrap().iter();
        names.extend(page.map(|channel| channel["ChannelName"].clone()));
        match answer.get("NextToken") {
            Some(token) => body["NextToken"] = token.clone(),
            None => break,
        }
    }
    assert_eq!(names, ["a", "b", "c"]);
    world.advance(SECOND * 301).await;
    let (kind, _) = client.refused("ListChannels", body).await;
    assert_eq!(kind, "ExpiredNextTokenException");

    let only_t = json!({"StreamFilter": [{"StreamARN": stream_arn("t")}]});
    let answer = client.ok("ListChannels", only_t).await;
    let summaries = answer["ChannelSummaries"].as_array().unwrap();
    let [summary] = &summaries[..] else {
        panic!("one channel: {answer}");
    };
    assert_eq!(summary["ChannelName"], "b");
    assert_eq!(summary["ChannelDestinationType"], "S3");
    assert_eq!(
        summary["Streams"],
        json!([{"StreamARN": stream_arn("t"), "StreamCreationTimestamp": 1_767_225_600}])
    );
    let earlier = json!({"StreamFilter": [
        {"StreamARN": stream_arn("t"), "StreamCreationTimestamp": 1_767_225_599},
    ]});
    let answer = client.ok("ListChannels", earlier).await;
    assert_eq!(answer["ChannelSummaries"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_stream_counts_its_channels_and_is_not_deleted_before_them() {
    let world = World::new();
    let client = &world.client;
    for stream in ["s", "t"] {
        create_on_demand(&world, stream).await;
    }
    client.ok("CreateChannel", to_bucket("c", "s")).await;
    for (stream, count) in [("s", 1), ("t", 0)] {
        let answer = client
            .ok("DescribeStreamSummary", json!({"StreamName": stream}))
            .await;
        assert_eq!(answer["StreamDescriptionSummary"]["ChannelCount"], count);
    }
    let limits = client.ok("DescribeLimits", json!({})).await;
    assert_eq!(limits["ChannelCount"], 1);
    let delete = json!({"StreamName": "s"});
    let (kind, message) = client.refused("DeleteStream", delete.clone()).await;
    assert_eq!(kind, "ResourceInUseException");
    assert_eq!(
        message,
        "Stream s under account 000000000000 cannot be deleted because there are channels \
         associated with it."
    );
    client
        .ok("DeleteChannel", json!({"ChannelARN": arn("c")}))
        .await;
    client.ok("DeleteStream", delete).await;
}
