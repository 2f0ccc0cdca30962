//! A client that knows nothing but JSON over HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use shardwise_env::{Env, Node, Simulation};
use shardwise_mock::{Mock, MockBuilder, MockService, ResponseBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower_service::Service as _;

pub(crate) const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 \
    Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/kinesis/aws4_request, \
    SignedHeaders=host, Signature=0";

/// A mock on a virtual clock, and the clock.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) mock: Mock,
    node: Node,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub(crate) fn with(configure: impl FnOnce(MockBuilder) -> MockBuilder) -> Self {
        let node = Simulation::new(1).node("mock", 1.0);
        let mock = configure(Mock::builder().env(node.env()).seed(1)).build();
        Self {
            client: Client::new(&mock),
            mock,
            node,
        }
    }

    pub(crate) fn env(&self) -> Env {
        self.node.env()
    }

    pub(crate) fn set_wall_offset_ms(&self, offset: i64) {
        self.node.set_wall_offset_ms(offset);
    }

    pub(crate) async fn advance(&self, time: Duration) {
        self.env().sleep(time).await;
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        let since = self.env().wall_now().duration_since(std::time::UNIX_EPOCH);
        u64::try_from(since.unwrap().as_millis()).unwrap()
    }
}

/// What was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) message: String,
}

pub(crate) struct Client {
    service: MockService,
}

impl Client {
    pub(crate) fn new(mock: &Mock) -> Self {
        Self {
            service: mock.service(),
        }
    }

    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> (StatusCode, HeaderMap, Bytes) {
        let response = self.service.clone().call(request).await.unwrap();
        let (head, body) = response.into_parts();
        (
            head.status,
            head.headers,
            body.collect().await.unwrap().to_bytes(),
        )
    }

    /// Subscribes, and reads on as far as the first event.
    pub(crate) async fn subscribe(&self, body: Value) -> Events<ResponseBody> {
        let request = request("SubscribeToShard", body.to_string().into());
        let response = self.service.clone().call(request).await.unwrap();
        Events::begin(response).await
    }

    /// Registers a consumer of the stream and returns its ARN.
    pub(crate) async fn register(&self, stream: &str, name: &str) -> String {
        let body = json!({"StreamARN": stream_arn(stream), "ConsumerName": name});
        let answer = self.ok("RegisterStreamConsumer", body).await;
        let arn = answer["Consumer"]["ConsumerARN"].as_str();
        arn.unwrap().to_owned()
    }

    pub(crate) async fn post(&self, operation: &str, body: Vec<u8>) -> (StatusCode, Bytes) {
        let (status, _, body) = self.send(request(operation, body)).await;
        (status, body)
    }

    pub(crate) async fn call(&self, operation: &str, body: Value) -> Result<Value, Refusal> {
        let (status, body) = self.post(operation, body.to_string().into_bytes()).await;
        if status == StatusCode::OK {
            return Ok(if body.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&body).unwrap()
            });
        }
        let body: Value = serde_json::from_slice(&body).unwrap();
        let message = body.get("message").or_else(|| body.get("Message"));
        Err(Refusal {
            status: status.as_u16(),
            kind: body["__type"].as_str().unwrap().to_owned(),
            message: message
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
        })
    }

    /// An answer that must be a success.
    pub(crate) async fn ok(&self, operation: &str, body: Value) -> Value {
        match self.call(operation, body.clone()).await {
            Ok(answer) => answer,
            Err(refusal) => panic!("{operation} {body}: {refusal:?}"),
        }
    }

    /// An answer that must be a refusal with status 400.
    pub(crate) async fn refused(&self, operation: &str, body: Value) -> (String, String) {
        match self.call(operation, body.clone()).await {
            Ok(answer) => panic!("{operation} {body}: {answer}"),
            Err(refusal) => {
                assert_eq!(refusal.status, 400, "{operation} {body}: {refusal:?}");
                (refusal.kind, refusal.message)
            }
        }
    }

    pub(crate) async fn create(&self, name: &str, shards: u32) {
        self.ok(
            "CreateStream",
            json!({"StreamName": name, "ShardCount": shards}),
        )
        .await;
    }

    pub(crate) async fn status(&self, name: &str) -> String {
        let answer = self
            .ok("DescribeStreamSummary", json!({"StreamName": name}))
            .await;
        let status = &answer["StreamDescriptionSummary"]["StreamStatus"];
        status.as_str().unwrap().to_owned()
    }

    pub(crate) async fn shards(&self, name: &str) -> Vec<Value> {
        let answer = self.ok("ListShards", json!({"StreamName": name})).await;
        answer["Shards"].as_array().unwrap().clone()
    }

    /// Puts one record and returns its shard and its sequence number.
    pub(crate) async fn put(&self, name: &str, key: &str, data: &[u8]) -> (String, String) {
        let body = json!({"StreamName": name, "PartitionKey": key, "Data": STANDARD.encode(data)});
        let answer = self.ok("PutRecord", body).await;
        (
            answer["ShardId"].as_str().unwrap().to_owned(),
            answer["SequenceNumber"].as_str().unwrap().to_owned(),
        )
    }

    /// An iterator of a type that needs no further member.
    pub(crate) async fn iterator(&self, name: &str, shard: u32, kind: &str) -> String {
        let body = json!({
            "StreamName": name,
            "ShardId": shard_id(shard),
            "ShardIteratorType": kind,
        });
        let answer = self.ok("GetShardIterator", body).await;
        answer["ShardIterator"].as_str().unwrap().to_owned()
    }

    /// Everything from an iterator to the tip or the end.
    pub(crate) async fn drain(&self, mut iterator: String, limit: u64) -> Vec<Value> {
        let mut records = Vec::new();
        loop {
            let body = json!({"ShardIterator": iterator, "Limit": limit});
            let answer = self.ok("GetRecords", body).await;
            let page = answer["Records"].as_array().unwrap();
            records.extend(page.iter().cloned());
            match answer.get("NextShardIterator") {
                Some(next) if answer["MillisBehindLatest"] != 0 => {
                    iterator = next.as_str().unwrap().to_owned();
                }
                _ => return records,
            }
        }
    }
}

/// One message of `application/vnd.amazon.eventstream`.
#[derive(Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) payload: Value,
}

impl Message {
    /// The first message in the bytes and how long it is, once it is there as a whole.
    fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let number = |at: usize| {
            let digits = bytes.get(at..at + 4)?;
            Some(u32::from_be_bytes(digits.try_into().unwrap()))
        };
        let length = usize::try_from(number(0)?).unwrap();
        let message = bytes.get(..length)?;
        let head_end = 12 + usize::try_from(number(4)?).unwrap();
        assert_eq!(number(8), Some(crc32fast::hash(&bytes[..8])));
        assert_eq!(
            number(length - 4),
            Some(crc32fast::hash(&bytes[..length - 4]))
        );
        let mut headers = BTreeMap::new();
        let mut head = &message[12..head_end];
        while let Some((&name_length, rest)) = head.split_first() {
            let (name, rest) = rest.split_at(usize::from(name_length));
            let [string, high, low, rest @ ..] = rest else {
                panic!("a header without a value");
            };
            assert_eq!(*string, 7);
            let (value, rest) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            headers.insert(text(name), text(value));
            head = rest;
        }
        let payload = serde_json::from_slice(&message[head_end..length - 4]).unwrap();
        Some((Self { headers, payload }, length))
    }
}

/// An answer of SubscribeToShard, read message by message.
pub(crate) struct Events<B> {
    body: B,
    unread: Vec<u8>,
}

impl<B> Events<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    pub(crate) async fn begin(response: http::Response<B>) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        let headers = response.headers();
        assert_eq!(
            headers["content-type"],
            "application/vnd.amazon.eventstream"
        );
        assert_eq!(headers.get("content-length"), None);
        let mut events = Self {
            body: response.into_body(),
            unread: Vec::new(),
        };
        let initial = events.message().await.unwrap();
        assert_eq!(initial.headers[":message-type"], "event");
        assert_eq!(initial.headers[":event-type"], "initial-response");
        assert_eq!(initial.payload, json!({}));
        events
    }

    /// The next message, or `None` if there is none any more.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        loop {
            if let Some((message, length)) = Message::read(&self.unread) {
                self.unread.drain(..length);
                return Some(message);
            }
            let Some(frame) = self.body.frame().await else {
                assert!(self.unread.is_empty(), "the stream ends within a message");
                return None;
            };
            self.unread.extend(frame.unwrap().into_data().unwrap());
        }
    }

    /// The payload of the next message, which must be an event.
    pub(crate) async fn event(&mut self) -> Value {
        let message = self.message().await.expect("the stream goes on");
        assert_eq!(
            message.headers[":event-type"], "SubscribeToShardEvent",
            "{message:?}"
        );
        assert_eq!(message.headers[":message-type"], "event");
        assert_eq!(
            message.headers[":content-type"],
            "application/x-amz-json-1.1"
        );
        message.payload
    }

    /// Type and text of the next message, which must be an exception and the last one.
    pub(crate) async fn exception(&mut self) -> (String, String) {
        let message = self.message().await.expect("the stream goes on");
        assert_eq!(message.headers[":message-type"], "exception", "{message:?}");
        assert_eq!(self.message().await, None);
        let text = message.payload["message"].as_str().unwrap().to_owned();
        (message.headers[":exception-type"].clone(), text)
    }
}

/// What comes back from a socket until the other side closes it.
pub(crate) async fn answer_on_socket(address: SocketAddr, operation: &str, body: &Value) -> String {
    let body = body.to_string();
    let text = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-amz-target: \
         Kinesis_20131202.{operation}\r\ncontent-type: application/x-amz-json-1.1\r\nx-amz-date: \
         0\r\nauthorization: {AUTHORIZATION}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Closed or reset: either way that was all.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// A signed request to Kinesis.
pub(crate) fn request(operation: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    Request::post("/")
        .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-date", "20260101T000000Z")
        .header("authorization", AUTHORIZATION)
        .body(Full::new(body.into()))
        .unwrap()
}

pub(crate) fn shard_id(number: u32) -> String {
    format!("shardId-{number:012}")
}

pub(crate) fn stream_arn(name: &str) -> String {
    format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}")
}

pub(crate) fn data(record: &Value) -> Vec<u8> {
    STANDARD.decode(record["Data"].as_str().unwrap()).unwrap()
}

/// A runtime whose clock moves only when everybody waits.
pub(crate) fn virtual_time<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

/// The order of sequence numbers.
pub(crate) fn order(sequence: &str) -> (usize, &str) {
    (sequence.len(), sequence)
}
