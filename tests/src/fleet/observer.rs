//! The transport at the service's door: every exchange passes here when the service has done it,
//! before the network can lose or delay the answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::Value;
use shardwise_aggregation_proto::{Decoded, decode};
use shardwise_client::transport::{Body, BoxFuture, InProcess, TransportError};
use shardwise_client::{Kinesis, ShardFilter, Transport};
use shardwise_env::lock;
use shardwise_mock::MockService;
use shardwise_types::{HashKey, ShardId, StreamName};

use super::ledger::{Checkpoint, Row};
use super::oracle::Oracle;
use super::workload;
use crate::unverified_signature::with_unverified_signature;

/// What the observed services of all nodes share.
#[derive(Debug, Clone)]
pub(super) struct Observer {
    pub(super) oracle: Oracle,
    /// To ask for shards that appear, past all faults.
    pub(super) kinesis: Kinesis,
    pub(super) stream: StreamName,
    /// Which shard an iterator belongs to.
    pub(super) iterators: Arc<Mutex<BTreeMap<String, ShardId>>>,
}

/// The service, as one node reaches it.
#[derive(Debug)]
pub(super) struct ObservedService {
    service: InProcess<MockService>,
    node: String,
    /// Whether the node has credentials.
    signs: bool,
    observer: Observer,
}

impl ObservedService {
    pub(super) fn new(service: MockService, node: &str, signs: bool, observer: Observer) -> Self {
        Self {
            service: InProcess::new(service),
            node: node.to_owned(),
            signs,
            observer,
        }
    }
}

impl Transport for ObservedService {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>> {
        Box::pin(async move {
            let request = if self.signs {
                request
            } else {
                with_unverified_signature(request)
            };
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
            self.observer
                .oracle
                .exchanged(&self.node, &target, parts.status.as_u16());
            if parts.status.is_success() {
                self.observer
                    .saw(&self.node, &target, &asked, &answered)
                    .await;
            }
            Ok(http::Response::from_parts(parts, Body::full(answered)))
        })
    }
}

impl Observer {
    async fn saw(&self, node: &str, target: &str, asked: &[u8], answered: &[u8]) {
        match target.rsplit('.').next().unwrap_or_default() {
            "PutRecords" => self.put_records(&read(asked), &read(answered)).await,
            "GetShardIterator" => self.get_shard_iterator(&read(asked), &read(answered)),
            "GetRecords" => self.get_records(&read(asked), &read(answered)),
            "UpdateItem" => {
                let (asked, answered): (Value, Value) = (read(asked), read(answered));
                let shard = text(&asked["Key"]["leaseKey"]["S"]);
                self.row(node, shard, &answered["Attributes"], false);
            }
            "PutItem" => {
                let asked: Value = read(asked);
                let item = &asked["Item"];
                self.row(node, text(&item["leaseKey"]["S"]), item, true);
            }
            _ => {}
        }
    }

    async fn put_records(&self, asked: &PutRecords<'_>, answered: &PutRecordsResults<'_>) {
        for (entry, result) in asked.records.iter().zip(&answered.records) {
            let (Some(shard), Some(number)) = (result.shard_id, result.sequence_number) else {
                continue;
            };
            let shard: ShardId = shard.parse().unwrap();
            if !self.oracle.knows(&shard) {
                self.list_shards().await;
            }
            let data = Bytes::from(STANDARD.decode(entry.data).unwrap());
            let decoded = decode(data);
            let aggregated = matches!(decoded, Decoded::Aggregated(_));
            let members: Vec<_> = match decoded {
                Decoded::Aggregated(aggregate) => aggregate
                    .iter()
                    .zip(aggregate.hash_keys())
                    .map(|(member, hash)| (workload::parse(&member.data).unwrap(), hash))
                    .collect(),
                Decoded::Plain { data, .. } => {
                    let hash = match entry.explicit_hash_key {
                        Some(hash) => hash.parse().unwrap(),
                        None => HashKey::of_partition_key(entry.partition_key),
                    };
                    vec![(workload::parse(&data).unwrap(), hash)]
                }
                Decoded::Corrupt { error, .. } => panic!("the producer sent this: {error}"),
            };
            self.oracle
                .stored(&shard, &number.parse().unwrap(), &members, aggregated);
        }
    }

    fn get_shard_iterator(&self, asked: &ShardIteratorOf<'_>, answered: &ShardIterator<'_>) {
        let shard: ShardId = asked.shard_id.parse().unwrap();
        self.iterators()
            .insert(answered.shard_iterator.to_owned(), shard);
    }

    fn get_records(&self, asked: &ShardIterator<'_>, answered: &NextShardIterator<'_>) {
        let shard = self.iterators().get(asked.shard_iterator).cloned();
        if let Some(shard) = shard {
            self.oracle.read(&shard);
            if let Some(next) = answered.next_shard_iterator {
                self.iterators().insert(next.to_owned(), shard);
            }
        }
    }

    fn iterators(&self) -> MutexGuard<'_, BTreeMap<String, ShardId>> {
        lock(&self.iterators)
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

// Of requests and answers, what the oracle wants to know. No text in them has an escape.

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecords<'a> {
    #[serde(borrow)]
    records: Vec<PutEntry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutEntry<'a> {
    data: &'a str,
    partition_key: &'a str,
    explicit_hash_key: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordsResults<'a> {
    #[serde(borrow)]
    records: Vec<EntryResult<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EntryResult<'a> {
    shard_id: Option<&'a str>,
    sequence_number: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ShardIteratorOf<'a> {
    shard_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ShardIterator<'a> {
    shard_iterator: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NextShardIterator<'a> {
    next_shard_iterator: Option<&'a str>,
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> T {
    serde_json::from_slice(body).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
