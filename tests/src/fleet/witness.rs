//! The transport at the service's door: every exchange passes here when the service has done it,
//! before the network can lose or delay the answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::Value;
use shardwise_aggregation_proto::{Decoded, decode};
use shardwise_client::transport::{Body, BoxFuture, InProcess, TransportError};
use shardwise_client::{Kinesis, ShardFilter, Transport};
use shardwise_mock::MockService;
use shardwise_types::{HashKey, ShardId, StreamName};

use super::app;
use super::oracle::{Checkpoint, Oracle, Row};

/// What all witnesses of a run share.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    pub(super) oracle: Oracle,
    /// To ask for shards that appear, past all faults.
    pub(super) kinesis: Kinesis,
    pub(super) stream: StreamName,
    /// Which shard an iterator belongs to.
    pub(super) iterators: Arc<Mutex<BTreeMap<String, ShardId>>>,
}

/// The service, as one node reaches it.
#[derive(Debug)]
pub(super) struct Witness {
    service: InProcess<MockService>,
    node: String,
    sight: Sight,
}

impl Witness {
    pub(super) fn new(service: MockService, node: &str, sight: Sight) -> Self {
        Self {
            service: InProcess::new(service),
            node: node.to_owned(),
            sight,
        }
    }
}

impl Transport for Witness {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>> {
        Box::pin(async move {
            let target = request.headers()["x-amz-target"]
                .to_str()
                .unwrap()
                .to_owned();
            let asked = request.body().clone();
            let (parts, body) = self.service.send(request).await?.into_parts();
            let answered = body
                .collect()
                .await
                .map_err(TransportError::broken)?
                .to_bytes();
            self.sight
                .oracle
                .exchanged(&self.node, &target, parts.status.as_u16());
            if parts.status.is_success() {
                self.sight.saw(&self.node, &target, &asked, &answered).await;
            }
            Ok(http::Response::from_parts(parts, Body::full(answered)))
        })
    }
}

impl Sight {
    async fn saw(&self, node: &str, target: &str, asked: &[u8], answered: &[u8]) {
        let json = |bytes: &[u8]| -> Value { serde_json::from_slice(bytes).unwrap_or_default() };
        match target.rsplit('.').next().unwrap_or_default() {
            "PutRecords" => self.put_records(&json(asked), &json(answered)).await,
            "GetShardIterator" => {
                let shard: ShardId = text(&json(asked)["ShardId"]).parse().unwrap();
                self.keep(&json(answered)["ShardIterator"], &shard);
            }
            "GetRecords" => self.get_records(&json(asked), &json(answered)),
            "UpdateItem" => {
                let shard = &json(asked)["Key"]["leaseKey"]["S"];
                self.row(node, text(shard), &json(answered)["Attributes"], false);
            }
            "PutItem" => {
                let item = &json(asked)["Item"];
                self.row(node, text(&item["leaseKey"]["S"]), item, true);
            }
            _ => {}
        }
    }

    async fn put_records(&self, asked: &Value, answered: &Value) {
        let (asked, answered) = (array(&asked["Records"]), array(&answered["Records"]));
        for (entry, result) in asked.iter().zip(answered) {
            let Some(shard) = result["ShardId"].as_str() else {
                continue;
            };
            let shard: ShardId = shard.parse().unwrap();
            let number = text(&result["SequenceNumber"]).parse().unwrap();
            if !self.oracle.knows(&shard) {
                self.list_shards().await;
            }
            let data = Bytes::from(STANDARD.decode(text(&entry["Data"])).unwrap());
            let members = match decode(data) {
                Decoded::Aggregated(aggregate) => aggregate
                    .iter()
                    .zip(aggregate.hash_keys())
                    .map(|(member, hash)| (app::parse(&member.data).unwrap(), hash))
                    .collect(),
                Decoded::Plain { data, .. } => {
                    let hash = match entry["ExplicitHashKey"].as_str() {
                        Some(hash) => hash.parse().unwrap(),
                        None => HashKey::of_partition_key(text(&entry["PartitionKey"])),
                    };
                    vec![(app::parse(&data).unwrap(), hash)]
                }
                Decoded::Corrupt { error, .. } => panic!("the producer sent this: {error}"),
            };
            self.oracle.stored(&shard, &number, &members);
        }
    }

    fn get_records(&self, asked: &Value, answered: &Value) {
        let iterator = text(&asked["ShardIterator"]);
        let shard = self
            .iterators
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(iterator)
            .cloned();
        if let Some(shard) = shard {
            self.oracle.read(&shard);
            self.keep(&answered["NextShardIterator"], &shard);
        }
    }

    fn keep(&self, iterator: &Value, shard: &ShardId) {
        if let Some(iterator) = iterator.as_str() {
            let mut iterators = self
                .iterators
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            iterators.insert(iterator.to_owned(), shard.clone());
        }
    }

    fn row(&self, node: &str, shard: &str, item: &Value, created: bool) {
        let Ok(shard) = shard.parse::<ShardId>() else {
            return;
        };
        let attribute = |name: &str, kind: &str| item[name][kind].as_str().map(str::to_owned);
        let sub = attribute("checkpointSubSequenceNumber", "N").unwrap_or_default();
        let checkpoint = match attribute("checkpoint", "S").unwrap_or_default().as_str() {
            "TRIM_HORIZON" | "AT_TIMESTAMP" => Checkpoint::Beginning,
            "LATEST" => Checkpoint::Latest,
            "SHARD_END" => Checkpoint::ShardEnd,
            number => Checkpoint::At(number.parse().unwrap(), sub.parse().unwrap()),
        };
        let owner = attribute("leaseOwner", "S");
        let incarnation = attribute("incarnation", "S").filter(|text| text != "0");
        self.oracle.row(
            node,
            &shard,
            &Row {
                owner,
                incarnation,
                checkpoint,
            },
            created,
        );
    }

    pub(super) async fn list_shards(&self) {
        let shards = self
            .kinesis
            .list_shards(&self.stream, ShardFilter::All)
            .await
            .unwrap();
        self.oracle.shards(&shards);
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
