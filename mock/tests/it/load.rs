//! Writers, pollers and subscribers on one stream at the same time, over sockets, while it is split
//! and merged: every call ends, and no reader steps over a record.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use shardwise_env::{Env, Task};
use shardwise_mock::Mock;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::{Client, Events, order, request};

const WRITERS: usize = 8;
const BATCHES: usize = 400;
const ENTRIES: usize = 5;
const RESHARDS: usize = 8;

/// A hang ends here. Far more than the load takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection of its own.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: Task<()>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        let driver = Env::system().spawn(async move {
            // How it ends shows in the request that was under way.
            let _ = connection.await;
        });
        Self {
            sender,
            _driver: driver,
        }
    }

    async fn send(&mut self, operation: &str, body: &Value) -> http::Response<Incoming> {
        let mut request = request(operation, body.to_string().into_bytes());
        let host = http::HeaderValue::from_static("localhost");
        request.headers_mut().insert("host", host);
        self.sender.send_request(request).await.unwrap()
    }

    async fn call(&mut self, operation: &str, body: &Value) -> Value {
        let response = self.send(operation, body).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(status, 200, "{operation}: {body:?}");
        serde_json::from_slice(&body).unwrap_or_default()
    }
}

/// What one reader has seen: every record once, each shard in order.
#[derive(Default)]
struct Seen {
    records: BTreeSet<String>,
    last: BTreeMap<String, String>,
    ended: BTreeSet<String>,
    begun: BTreeSet<String>,
}

impl Seen {
    fn records(&mut self, shard: &str, records: &Value) {
        for record in records.as_array().unwrap() {
            let number = record["SequenceNumber"].as_str().unwrap();
            let last = self.last.insert(shard.to_owned(), number.to_owned());
            assert!(
                last.is_none_or(|last| order(&last) < order(number)),
                "{shard}"
            );
            let data = STANDARD.decode(record["Data"].as_str().unwrap()).unwrap();
            let is_new = self.records.insert(String::from_utf8(data).unwrap());
            assert!(is_new, "once more: {record}");
        }
    }

    /// The shard has ended; which of its children may begin now?
    fn ended(&mut self, shard: &str, children: &Value) -> Vec<String> {
        self.ended.insert(shard.to_owned());
        let mut ready = Vec::new();
        for child in children.as_array().unwrap() {
            let id = child["ShardId"].as_str().unwrap();
            let parents = child["ParentShards"].as_array().unwrap();
            let done = |parent: &Value| self.ended.contains(parent.as_str().unwrap());
            if parents.iter().all(done) && self.begun.insert(id.to_owned()) {
                ready.push(id.to_owned());
            }
        }
        ready
    }
}

async fn write(address: SocketAddr, writer: usize) {
    let mut connection = Connection::open(address).await;
    for batch in 0..BATCHES {
        let entry = |entry: usize| {
            let data = format!("{writer}-{batch}-{entry}");
            json!({"PartitionKey": data, "Data": STANDARD.encode(&data)})
        };
        let records: Vec<Value> = (0..ENTRIES).map(entry).collect();
        let body = json!({"StreamName": "orders", "Records": records});
        let answer = connection.call("PutRecords", &body).await;
        assert_eq!(answer["FailedRecordCount"], 0);
    }
}

/// Follows all shards from the beginning by GetRecords.
async fn poll(address: SocketAddr, all: usize) -> Seen {
    let mut connection = Connection::open(address).await;
    let mut seen = Seen::default();
    let mut iterators = BTreeMap::new();
    let mut begin = vec!["shardId-000000000000".to_owned()];
    while seen.records.len() < all {
        for shard in begin.drain(..) {
            let body = json!({
                "StreamName": "orders",
                "ShardId": shard,
                "ShardIteratorType": "TRIM_HORIZON",
            });
            let answer = connection.call("GetShardIterator", &body).await;
            iterators.insert(shard, answer["ShardIterator"].clone());
        }
        for (shard, iterator) in std::mem::take(&mut iterators) {
            let body = json!({"ShardIterator": iterator});
            let answer = connection.call("GetRecords", &body).await;
            seen.records(&shard, &answer["Records"]);
            match answer.get("NextShardIterator") {
                Some(next) => {
                    iterators.insert(shard, next.clone());
                }
                None => begin.extend(seen.ended(&shard, &answer["ChildShards"])),
            }
        }
    }
    seen
}

/// Follows all shards from the beginning by SubscribeToShard, one connection for each.
async fn subscribe(address: SocketAddr, consumer: &str, all: usize) -> Seen {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (begin, mut begun) = mpsc::unbounded_channel::<Option<String>>();
    begin.send(Some("shardId-000000000000".to_owned())).unwrap();
    let mut readers = Vec::new();
    while let Some(Some(shard)) = begun.recv().await {
        let (seen, begin) = (seen.clone(), begin.clone());
        let body = json!({
            "ConsumerARN": consumer,
            "ShardId": shard,
            "StartingPosition": {"Type": "TRIM_HORIZON"},
        });
        readers.push(Env::system().spawn(async move {
            let mut connection = Connection::open(address).await;
            let response = connection.send("SubscribeToShard", &body).await;
            let mut events = Events::begin(response).await;
            loop {
                let event = events.event().await;
                let mut seen = seen.lock().unwrap();
                seen.records(&shard, &event["Records"]);
                if seen.records.len() == all {
                    begin.send(None).unwrap();
                }
                if let Some(children) = event.get("ChildShards") {
                    for child in seen.ended(&shard, children) {
                        begin.send(Some(child)).unwrap();
                    }
                    return;
                }
            }
        }));
    }
    drop(readers);
    std::mem::take(&mut *seen.lock().unwrap())
}

/// Splits the only shard, merges its children, and so on.
async fn reshard(address: SocketAddr) {
    let mut connection = Connection::open(address).await;
    let id = |number: usize| format!("shardId-{number:012}");
    for round in 0..RESHARDS {
        let only = 3 * round;
        let split = json!({
            "StreamName": "orders",
            "ShardToSplit": id(only),
            "NewStartingHashKey": (1_u128 << 127).to_string(),
        });
        connection.call("SplitShard", &split).await;
        let merge = json!({
            "StreamName": "orders",
            "ShardToMerge": id(only + 1),
            "AdjacentShardToMerge": id(only + 2),
        });
        // Something is written between the two: a round takes as long as some batches.
        for _ in 0..BATCHES / RESHARDS {
            let body = json!({"StreamName": "orders"});
            connection.call("DescribeStreamSummary", &body).await;
        }
        connection.call("MergeShards", &merge).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_simultaneous_load_nobody_hangs_and_no_reader_steps_over_a_record() {
    let mock = Mock::new();
    let server = mock.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = server.local_addr();
    let client = Client::new(&mock);
    client.create("orders", 1).await;
    let consumer = client.register("orders", "reader").await;
    let all = WRITERS * BATCHES * ENTRIES;
    let env = Env::system();
    let load = async {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| env.spawn(write(address, writer)))
            .collect();
        let resharding = env.spawn(reshard(address));
        let pollers: Vec<_> = (0..2).map(|_| env.spawn(poll(address, all))).collect();
        let subscriber = env.spawn(async move { subscribe(address, &consumer, all).await });
        for writer in writers {
            writer.await.unwrap();
        }
        resharding.await.unwrap();
        for poller in pollers {
            assert_eq!(poller.await.unwrap().records.len(), all);
        }
        assert_eq!(subscriber.await.unwrap().records.len(), all);
    };
    env.timeout(PATIENCE, load).await.expect("somebody hangs");
    server.shutdown().await;
}
