//! Accounts by access key ids of twelve digits, regions by the credential scope.

use std::time::Duration;

use serde_json::{Value, json};
use shardwise_env::ManualClock;
use shardwise_mock::{Fault, Mock, Operation};

use crate::support::{Client, request};

const OTHER: &str = "111122223333";

/// Somebody who signs.
#[derive(Clone, Copy)]
struct Caller<'c> {
    client: &'c Client,
    key: &'c str,
    region: &'c str,
}

impl Caller<'_> {
    async fn call(&self, operation: &str, body: Value) -> (u16, Value) {
        self.send(&format!("Kinesis_20131202.{operation}"), "1.1", body)
            .await
    }

    async fn table(&self, operation: &str, body: Value) -> (u16, Value) {
        self.send(&format!("DynamoDB_20120810.{operation}"), "1.0", body)
            .await
    }

    async fn send(&self, target: &str, json: &str, body: Value) -> (u16, Value) {
        let mut request = request("", body.to_string().into_bytes());
        let Self { key, region, .. } = self;
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={key}/20260101/{region}/kinesis/aws4_request, \
             SignedHeaders=host, Signature=0"
        );
        for (name, value) in [
            ("x-amz-target", target),
            ("content-type", &format!("application/x-amz-json-{json}")),
            ("authorization", &authorization),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let (status, _, body) = self.client.send(request).await;
        let body = serde_json::from_slice(&body).unwrap_or_default();
        (status.as_u16(), body)
    }

    async fn create(&self, name: &str) {
        let (status, answer) = self
            .call("CreateStream", json!({"StreamName": name, "ShardCount": 1}))
            .await;
        assert_eq!(status, 200, "{answer}");
    }

    async fn streams(&self) -> Vec<String> {
        let (status, answer) = self.call("ListStreams", json!({})).await;
        assert_eq!(status, 200, "{answer}");
        serde_json::from_value(answer["StreamNames"].clone()).unwrap()
    }

    async fn summary(&self, name: &str) -> Value {
        let body = json!({"StreamName": name});
        let (status, answer) = self.call("DescribeStreamSummary", body).await;
        assert_eq!(status, 200, "{answer}");
        answer["StreamDescriptionSummary"].clone()
    }
}

fn callers(client: &Client) -> [Caller<'_>; 4] {
    [
        ("AKIAIOSFODNN7EXAMPLE", "us-east-1"),
        ("AKIAIOSFODNN7EXAMPLE", "eu-west-1"),
        (OTHER, "us-east-1"),
        (OTHER, "eu-west-1"),
    ]
    .map(|(key, region)| Caller {
        client,
        key,
        region,
    })
}

fn table() -> Value {
    json!({
        "TableName": "leases",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
    })
}

#[tokio::test]
async fn streams_and_tables_of_one_account_and_region_are_no_others() {
    let mock = Mock::new();
    let client = Client::new(&mock);
    let arns = [
        "us-east-1:000000000000",
        "eu-west-1:000000000000",
        "us-east-1:111122223333",
        "eu-west-1:111122223333",
    ];
    for (number, (caller, arn)) in callers(&client).iter().zip(arns).enumerate() {
        assert_eq!(caller.streams().await, [""; 0]);
        caller.create("s").await;
        caller.create(&format!("s{number}")).await;
        assert_eq!(
            caller.streams().await,
            ["s".to_owned(), format!("s{number}")]
        );
        let told = caller.summary("s").await["StreamARN"].clone();
        assert_eq!(told, format!("arn:aws:kinesis:{arn}:stream/s"));
        let (status, answer) = caller.table("CreateTable", table()).await;
        assert_eq!(status, 200, "{answer}");
        let told = &answer["TableDescription"]["TableArn"];
        assert_eq!(told, &format!("arn:aws:dynamodb:{arn}:table/leases"));
    }
    let [home, away, other, _] = callers(&client);
    home.call("DeleteStream", json!({"StreamName": "s"})).await;
    assert_eq!(home.streams().await, ["s0"]);
    assert_eq!(away.streams().await, ["s", "s1"]);
    let (_, answer) = other
        .call("DescribeStream", json!({"StreamName": "s0"}))
        .await;
    assert_eq!(
        answer["message"],
        "Stream s0 under account 111122223333 not found."
    );
}

#[tokio::test]
async fn an_arn_is_in_the_partition_of_its_region() {
    let client = Client::new(&Mock::new());
    for (region, partition) in [
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("us-west-1", "aws"),
    ] {
        let caller = Caller {
            client: &client,
            key: OTHER,
            region,
        };
        caller.create("s").await;
        let arn = format!("arn:{partition}:kinesis:{region}:{OTHER}:stream/s");
        assert_eq!(caller.summary("s").await["StreamARN"], arn);
        let (status, _) = caller.call("ListShards", json!({"StreamARN": arn})).await;
        assert_eq!(status, 200);
        let (_, answer) = caller.table("CreateTable", table()).await;
        assert_eq!(
            answer["TableDescription"]["TableArn"],
            format!("arn:{partition}:dynamodb:{region}:{OTHER}:table/leases")
        );
    }
}

#[tokio::test]
async fn an_iterator_is_for_its_own_account_only() {
    let mock = Mock::new();
    let client = Client::new(&mock);
    let [home, _, other, _] = callers(&client);
    let mut iterators = Vec::new();
    for caller in [home, other] {
        caller.create("s").await;
        let body = json!({
            "StreamName": "s", "ShardId": "0", "ShardIteratorType": "TRIM_HORIZON",
        });
        let (_, answer) = caller.call("GetShardIterator", body).await;
        iterators.push(json!({"ShardIterator": answer["ShardIterator"]}));
    }
    assert_eq!(home.call("GetRecords", iterators[0].clone()).await.0, 200);
    let (status, answer) = home.call("GetRecords", iterators[1].clone()).await;
    assert_eq!(
        (status, &answer["message"]),
        (400, &json!("Invalid ShardIterator."))
    );
}

#[tokio::test]
async fn a_mock_that_was_given_a_region_knows_no_other() {
    let mock = Mock::builder().region("eu-west-1").build();
    mock.create_stream(&"s".parse().unwrap(), 1).unwrap();
    let client = Client::new(&mock);
    let [home, away, ..] = callers(&client);
    assert_eq!(home.streams().await, ["s"]);
    assert_eq!(away.streams().await, ["s"]);
}

#[tokio::test]
async fn what_is_no_account_and_no_region_means_the_mocks_own() {
    let mock = Mock::builder().account(OTHER).build();
    mock.create_stream(&"s".parse().unwrap(), 1).unwrap();
    let client = Client::new(&mock);
    for key in ["a", "11112222333", "1111222233334", "11112222333x", OTHER] {
        for region in ["us-east-1", "", "EU", "eu:west", "a\u{e9}"] {
            let client = &client;
            let caller = Caller {
                client,
                key,
                region,
            };
            assert_eq!(caller.streams().await, ["s"], "{key} {region}");
        }
    }
}

#[tokio::test]
async fn a_stale_read_reaches_accounts_that_come_after_the_rule() {
    let clock = ManualClock::new();
    let mock = Mock::builder().env(clock.env()).build();
    let rule = mock.on(Operation::GetItem);
    rule.reply(Fault::StaleRead(Duration::from_secs(2)));
    let client = Client::new(&mock);
    let [.., other, _] = callers(&client);
    other.table("CreateTable", table()).await;
    for owner in ["a", "b"] {
        clock.advance(Duration::from_secs(1));
        let item = json!({"TableName": "leases", "Item": {"k": {"S": "k"}, "owner": {"S": owner}}});
        other.table("PutItem", item).await;
    }
    clock.advance(Duration::from_millis(1500));
    let key = json!({"TableName": "leases", "Key": {"k": {"S": "k"}}});
    let (_, answer) = other.table("GetItem", key).await;
    assert_eq!(answer["Item"]["owner"]["S"], "a");
}

#[tokio::test]
async fn a_stream_that_comes_again_to_a_forgotten_account_has_another_id() {
    let clock = ManualClock::new();
    let mock = Mock::builder().env(clock.env()).build();
    let client = Client::new(&mock);
    let [.., other, _] = callers(&client);
    other.create("s").await;
    let first = other.summary("s").await["StreamId"].clone();
    other.call("DeleteStream", json!({"StreamName": "s"})).await;
    strangers_come(other).await;
    clock.advance(Duration::from_secs(1));
    other.create("s").await;
    assert_ne!(other.summary("s").await["StreamId"], first);
}

#[tokio::test]
async fn an_account_with_settings_is_not_forgotten() {
    let client = Client::new(&Mock::new());
    let [.., other, _] = callers(&client);
    let commitment = json!({"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}});
    let (_, set) = other.call("UpdateAccountSettings", commitment).await;
    strangers_come(other).await;
    let (_, told) = other.call("DescribeAccountSettings", json!({})).await;
    assert_eq!(told, set);
    assert_eq!(
        told["MinimumThroughputBillingCommitment"]["Status"],
        "ENABLED"
    );
}

/// As many as make the mock look for accounts that have nothing.
async fn strangers_come(caller: Caller<'_>) {
    for number in 0..200_u64 {
        let key = format!("9{number:011}");
        let stranger = Caller {
            key: &key,
            ..caller
        };
        let (status, _) = stranger
            .call("CreateStream", json!({"StreamName": "s", "ShardCount": 0}))
            .await;
        assert_eq!(status, 400, "refused, so nothing is kept of it");
    }
}

#[tokio::test]
async fn tables_have_a_delay_of_their_own() {
    let clock = ManualClock::new();
    let second = Duration::from_secs(1);
    for (builder, status) in [
        (Mock::builder().state_delay(second), "CREATING"),
        (
            Mock::builder()
                .state_delay(second)
                .table_delay(Duration::ZERO),
            "ACTIVE",
        ),
    ] {
        let client = Client::new(&builder.env(clock.env()).build());
        let [caller, ..] = callers(&client);
        caller.create("s").await;
        assert_eq!(caller.summary("s").await["StreamStatus"], "CREATING");
        let (_, created) = caller.table("CreateTable", table()).await;
        assert_eq!(created["TableDescription"]["TableStatus"], "CREATING");
        let name = json!({"TableName": "leases"});
        let (_, described) = caller.table("DescribeTable", name).await;
        assert_eq!(described["Table"]["TableStatus"], status);
    }
}
