//! A mock, a way to it that can fail, and an oracle: what a stock KCL would read of the stream.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use shardwise_aggregation_proto::{Decoded, decode};
use shardwise_client::transport::{
    Body, BoxFuture, Faults, Faulty, InProcess, Transport, TransportError,
};
use shardwise_client::{Env, IteratorPosition, Kinesis, ShardFilter};
use shardwise_mock::{Mock, MockService};
use shardwise_producer::{
    Aws, Delivery, HashKey, Producer, ProducerBuilder, Receipt, Record, StreamName,
};

/// A generous limit: what the promises say will end does end.
pub(crate) const SOON: Duration = Duration::from_secs(5);

pub(crate) struct World {
    pub(crate) mock: Mock,
    /// A way to the mock that can fail.
    pub(crate) aws: Aws,
    pub(crate) faults: Faults,
    pub(crate) tamper: Tamper,
    pub(crate) env: Env,
    pub(crate) stream: StreamName,
    /// A way to the mock that never fails.
    pub(crate) kinesis: Kinesis,
}

impl World {
    /// A world without a stream.
    pub(crate) fn empty() -> Self {
        Self::with_env(Env::system())
    }

    pub(crate) fn with_env(env: Env) -> Self {
        let mock = Mock::builder().env(env.clone()).build();
        let tamper = Tamper::new(InProcess::new(mock.service()));
        let faulty = Faulty::new(tamper.clone(), env.clone());
        let faults = faulty.faults();
        let aws = Aws::builder()
            .in_process_transport(faulty)
            .env(env.clone())
            .build()
            .unwrap();
        Self {
            kinesis: Aws::in_process(mock.service()).kinesis(),
            stream: "orders".parse().unwrap(),
            mock,
            aws,
            faults,
            tamper,
            env,
        }
    }

    /// A world whose stream has this many shards.
    pub(crate) fn new(shards: u32) -> Self {
        let world = Self::empty();
        world.create(shards);
        world
    }

    pub(crate) fn create(&self, shards: u32) {
        self.mock.create_stream(&self.stream, shards).unwrap();
    }

    pub(crate) fn builder(&self) -> ProducerBuilder {
        Producer::builder(&self.aws).stream(&self.stream)
    }

    pub(crate) fn producer(&self) -> Producer {
        self.builder().build().unwrap()
    }

    /// A producer that knows its stream already.
    pub(crate) async fn ready(&self, builder: ProducerBuilder) -> Producer {
        let producer = builder.build().unwrap();
        self.until(|| producer.stats().snapshot().shard_map_refreshes > 0)
            .await;
        producer
    }

    pub(crate) async fn sleep_ms(&self, ms: u64) {
        self.env.sleep(Duration::from_millis(ms)).await;
    }

    /// Waits, on the paused clock, until it holds.
    pub(crate) async fn until(&self, holds: impl Fn() -> bool) {
        for _ in 0..10_000 {
            if holds() {
                return;
            }
            self.sleep_ms(1).await;
        }
        panic!("it never held");
    }

    /// Splits the shard that owns the middle of the ring, or of its own range.
    pub(crate) async fn split(&self, shard: u32) {
        let shards = self
            .kinesis
            .list_shards(&self.stream, ShardFilter::All)
            .await
            .unwrap();
        let shard = shards
            .into_iter()
            .find(|it| it.shard_id.number() == Some(shard))
            .unwrap();
        let (start, end) = (
            shard.hash_key_range.start().get(),
            shard.hash_key_range.end().get(),
        );
        let middle = HashKey::new(start + (end - start) / 2 + 1);
        self.kinesis
            .split_shard(&self.stream, &shard.shard_id, middle)
            .await
            .unwrap();
    }

    pub(crate) async fn merge(&self, left: u32, right: u32) {
        let id = shardwise_producer::ShardId::from_number;
        self.kinesis
            .merge_shards(&self.stream, &id(left), &id(right))
            .await
            .unwrap();
    }

    /// All Kinesis records of the stream, shard by shard.
    pub(crate) async fn stored(&self) -> Vec<Stored> {
        let mut stored = Vec::new();
        let shards = self
            .kinesis
            .list_shards(&self.stream, ShardFilter::All)
            .await
            .unwrap();
        for shard in shards {
            let position = IteratorPosition::TrimHorizon;
            let mut next = Some(
                self.kinesis
                    .get_shard_iterator(&self.stream, &shard.shard_id, &position)
                    .await
                    .unwrap(),
            );
            while let Some(iterator) = next {
                let output = self.kinesis.get_records(&iterator, None).await.unwrap();
                let end = output.records.is_empty();
                for record in output.records {
                    let users = match decode(record.data.clone()) {
                        Decoded::Aggregated(aggregate) => aggregate
                            .iter()
                            .map(|it| (it.partition_key.to_string(), it.data.clone()))
                            .zip(aggregate.hash_keys())
                            .map(|((key, data), hash)| User { key, data, hash })
                            .collect(),
                        Decoded::Plain { data, .. } => {
                            let key = record.partition_key.unwrap().to_string();
                            let hash = HashKey::of_partition_key(&key);
                            vec![User { key, data, hash }]
                        }
                        Decoded::Corrupt { error, .. } => panic!("corrupt: {error}"),
                    };
                    let aggregated = decode_is_aggregate(&record.data);
                    stored.push(Stored {
                        shard_id: shard.shard_id.to_string(),
                        sequence_number: record.sequence_number.to_string(),
                        // The KCL drops an aggregate as soon as one member is out of range.
                        readable: !aggregated
                            || users
                                .iter()
                                .all(|it| shard.hash_key_range.contains(it.hash)),
                        aggregated,
                        users,
                    });
                }
                next = output.next_shard_iterator.filter(|_| !end);
            }
        }
        stored
    }

    /// Checks that a stock KCL reads the record where its receipt says.
    pub(crate) fn assert_readable(stored: &[Stored], receipt: &Receipt, data: &[u8]) {
        let home = stored
            .iter()
            .find(|it| {
                it.shard_id == receipt.shard_id.as_str()
                    && it.sequence_number == receipt.sequence_number.as_str()
            })
            .unwrap_or_else(|| panic!("not stored: {receipt:?}"));
        assert!(home.readable, "a KCL drops it: {receipt:?}");
        assert_eq!(home.aggregated, receipt.aggregated);
        let index = usize::try_from(receipt.sub_sequence_number).unwrap();
        assert_eq!(home.users[index].data, data, "{receipt:?}");
    }
}

fn decode_is_aggregate(data: &Bytes) -> bool {
    matches!(decode(data.clone()), Decoded::Aggregated(_))
}

/// One Kinesis record as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) shard_id: String,
    pub(crate) sequence_number: String,
    pub(crate) readable: bool,
    pub(crate) aggregated: bool,
    pub(crate) users: Vec<User>,
}

#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) key: String,
    pub(crate) data: Bytes,
    pub(crate) hash: HashKey,
}

/// Record number `n`: keys spread over the whole ring.
pub(crate) fn record(n: usize) -> Record {
    Record::new(format!("key-{n}").parse().unwrap(), payload(n))
}

pub(crate) fn payload(n: usize) -> String {
    format!("payload {n}")
}

pub(crate) async fn send_all(
    producer: &Producer,
    numbers: impl IntoIterator<Item = usize>,
) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for n in numbers {
        deliveries.push(producer.send(record(n)).await.unwrap());
    }
    deliveries
}

/// Awaits the deliveries and checks that a KCL reads every record.
pub(crate) async fn assert_all_readable(
    world: &World,
    deliveries: Vec<Delivery>,
    first: usize,
) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for delivery in deliveries {
        receipts.push(delivery.await.unwrap());
    }
    let stored = world.stored().await;
    for (n, receipt) in (first..).zip(&receipts) {
        World::assert_readable(&stored, receipt, payload(n).as_bytes());
    }
    receipts
}

/// A transport that changes what passes: answers in place of the service, or another request.
#[derive(Debug, Clone)]
pub(crate) struct Tamper {
    inner: InProcess<MockService>,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Default)]
struct Plan {
    answers: Vec<(String, Answerer)>,
    rewrites: Vec<(String, Rewriter)>,
    /// Answers to PutRecords that are to come byte by byte.
    trickles: usize,
    puts: Vec<serde_json::Value>,
}

type Answerer = Box<dyn FnMut(&serde_json::Value) -> Option<(u16, serde_json::Value)> + Send>;
type Rewriter = Box<dyn FnMut(&mut serde_json::Value) + Send>;

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plan")
    }
}

impl Tamper {
    fn new(inner: InProcess<MockService>) -> Self {
        Self {
            inner,
            plan: Arc::default(),
        }
    }

    /// Answers calls of this operation in place of the mock, unless `answer` says `None`.
    pub(crate) fn answer(
        &self,
        operation: &str,
        answer: impl FnMut(&serde_json::Value) -> Option<(u16, serde_json::Value)> + Send + 'static,
    ) {
        let mut plan = self.plan.lock().unwrap();
        plan.answers.push((operation.to_owned(), Box::new(answer)));
    }

    /// Changes requests of this operation.
    pub(crate) fn rewrite(
        &self,
        operation: &str,
        rewrite: impl FnMut(&mut serde_json::Value) + Send + 'static,
    ) {
        let mut plan = self.plan.lock().unwrap();
        plan.rewrites
            .push((operation.to_owned(), Box::new(rewrite)));
    }

    /// Answers the next PutRecords calls byte by byte, each just before the client would give up.
    pub(crate) fn trickle(&self, times: usize) {
        self.plan.lock().unwrap().trickles = times;
    }

    pub(crate) fn clear(&self) {
        let mut plan = self.plan.lock().unwrap();
        plan.answers.clear();
        plan.rewrites.clear();
    }

    /// The bodies of all PutRecords requests so far.
    pub(crate) fn puts(&self) -> Vec<serde_json::Value> {
        self.plan.lock().unwrap().puts.clone()
    }

    /// The number of records in each PutRecords request so far.
    pub(crate) fn put_sizes(&self) -> Vec<usize> {
        let count = |put: &serde_json::Value| put["Records"].as_array().unwrap().len();
        self.puts().iter().map(count).collect()
    }

    /// What DescribeStreamSummary says from now on.
    pub(crate) fn describe(&self, more: serde_json::Value) {
        self.answer("DescribeStreamSummary", move |_| {
            let mut summary = serde_json::json!({ "StreamStatus": "ACTIVE" });
            for (name, value) in more.as_object().unwrap() {
                summary[name] = value.clone();
            }
            Some((
                200,
                serde_json::json!({ "StreamDescriptionSummary": summary }),
            ))
        });
    }

    /// Refuses every call of an operation.
    pub(crate) fn refuse(&self, operation: &str, code: &'static str) {
        self.answer(operation, move |_| Some(refusal(code)));
    }
}

pub(crate) fn refusal(code: &str) -> (u16, serde_json::Value) {
    (400, serde_json::json!({ "__type": code, "message": "no" }))
}

impl Transport for Tamper {
    fn send(
        &self,
        mut request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>> {
        let target = request.headers()["x-amz-target"].to_str().unwrap();
        let operation = target.rsplit('.').next().unwrap().to_owned();
        let mut body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
        let answer = {
            let mut plan = self.plan.lock().unwrap();
            for (name, rewrite) in &mut plan.rewrites {
                if *name == operation {
                    rewrite(&mut body);
                    *request.body_mut() = serde_json::to_vec(&body).unwrap().into();
                }
            }
            if operation == "PutRecords" {
                plan.puts.push(body.clone());
                if let Some(left) = plan.trickles.checked_sub(1) {
                    plan.trickles = left;
                    let response = http::Response::new(Body::new(Trickle::default()));
                    return Box::pin(std::future::ready(Ok(response)));
                }
            }
            // The newest rule counts.
            let answers = plan.answers.iter_mut().rev();
            answers
                .filter(|(name, _)| *name == operation)
                .find_map(|(_, answer)| answer(&body))
        };
        Box::pin(async move {
            let Some((status, body)) = answer else {
                return self.inner.send(request).await;
            };
            let body = Bytes::from(serde_json::to_vec(&body).unwrap());
            let mut response = http::Response::new(Body::full(body));
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            Ok(response)
        })
    }
}

/// A body without an end.
#[derive(Default)]
struct Trickle(Mutex<Option<BoxFuture<'static, ()>>>);

impl http_body::Body for Trickle {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut wait = self.0.lock().unwrap();
        let pause = Duration::from_millis(4_900);
        let ready = wait
            .get_or_insert_with(|| Box::pin(async move { Env::system().sleep(pause).await }))
            .as_mut()
            .poll(cx);
        ready.map(|()| {
            *wait = None;
            Some(Ok(Frame::data(Bytes::from_static(b" "))))
        })
    }
}
