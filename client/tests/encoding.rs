//! JSON and CBOR: which is chosen, what is sent, and answers that are neither.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use shardwise_client::credential_types::Credentials;
use shardwise_client::retry::RetryPolicy;
use shardwise_client::transport::{Body, BoxFuture, InProcess, TransportError};
use shardwise_client::{
    Aws, Encoding, Error, ErrorKind, GetRecordsOutput, IteratorPosition, Kinesis, PutFailure,
    PutRecordsEntry, PutSuccess, Transport, Written,
};
use shardwise_mock::{Mock, MockService};
use shardwise_types::{ShardId, StreamName};

const JSON: &str = "application/x-amz-json-1.1";
const CBOR: &str = "application/x-amz-cbor-1.1";

/// What an endpoint answers.
#[derive(Clone)]
enum Answers {
    /// As the mock does, and saying so or not.
    Mock {
        service: InProcess<MockService>,
        is_named: bool,
    },
    /// Always the same: status, content type, body.
    Fixed(u16, &'static str, Bytes),
}

/// An endpoint that keeps what it was asked: operation and content type.
#[derive(Clone)]
struct Endpoint {
    answers: Answers,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Endpoint {
    fn new(answers: Answers) -> Self {
        Self {
            answers,
            asked: Arc::default(),
        }
    }

    fn mock(mock: &Mock, is_named: bool) -> Self {
        let service = InProcess::new(mock.service());
        Self::new(Answers::Mock { service, is_named })
    }

    fn fixed(status: u16, content_type: &'static str, body: &'static [u8]) -> Self {
        Self::new(Answers::Fixed(
            status,
            content_type,
            Bytes::from_static(body),
        ))
    }

    /// A handle for this endpoint under that URL, without retries.
    fn kinesis(&self, url: &str, encoding: Encoding) -> Kinesis {
        let aws = Aws::builder()
            .region("us-east-1")
            .credentials(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(url)
            .transport(self.clone())
            .encoding(encoding)
            .build()
            .unwrap();
        aws.kinesis()
            .with_data_path_retries(RetryPolicy::never())
            .with_control_plane_retries(RetryPolicy::never())
    }

    fn asked(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Endpoint")
    }
}

impl Transport for Endpoint {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>> {
        let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        let operation = header("x-amz-target").split_once('.').unwrap().1.to_owned();
        let content_type = header("content-type");
        self.asked.lock().unwrap().push((operation, content_type));
        Box::pin(async move {
            match &self.answers {
                Answers::Mock { service, is_named } => {
                    let mut response = service.send(request).await?;
                    if !is_named {
                        response.headers_mut().remove("x-shardwise-mock");
                    }
                    Ok(response)
                }
                Answers::Fixed(status, content_type, body) => Ok(http::Response::builder()
                    .status(*status)
                    .header("content-type", *content_type)
                    .body(Body::full(body.clone()))
                    .unwrap()),
            }
        })
    }
}

fn stream() -> StreamName {
    "orders".parse().unwrap()
}

fn mock() -> Mock {
    let mock = Mock::new();
    mock.create_stream(&stream(), 1).unwrap();
    mock
}

async fn put(kinesis: &Kinesis) -> Result<Vec<Result<PutSuccess, PutFailure>>, Error> {
    let entry = PutRecordsEntry::new("k".parse().unwrap(), Bytes::from_static(b"\0\xff"));
    kinesis.put_records(&stream(), &[entry]).await
}

async fn read(kinesis: &Kinesis) -> Result<GetRecordsOutput, Error> {
    let position = IteratorPosition::TrimHorizon;
    let iterator = kinesis
        .get_shard_iterator(&stream(), &ShardId::from_number(0), &position)
        .await?;
    kinesis.get_records(&iterator, None).await
}

#[tokio::test]
async fn the_service_gets_cbor_the_mock_too_once_it_is_known_and_others_json() {
    const SERVICE: &str = "https://kinesis.us-east-1.amazonaws.com";
    const ELSEWHERE: &str = "http://localhost:4567";
    for (url, encoding, is_named, expected) in [
        (SERVICE, Encoding::Auto, false, [CBOR, CBOR]),
        (SERVICE, Encoding::Json, false, [JSON, JSON]),
        (ELSEWHERE, Encoding::Auto, true, [JSON, CBOR]),
        (ELSEWHERE, Encoding::Auto, false, [JSON, JSON]),
        (ELSEWHERE, Encoding::Json, true, [JSON, JSON]),
        (ELSEWHERE, Encoding::Cbor, false, [CBOR, CBOR]),
    ] {
        let endpoint = Endpoint::mock(&mock(), is_named);
        let kinesis = endpoint.kinesis(url, encoding);
        for content_type in expected {
            put(&kinesis).await.unwrap()[0].as_ref().unwrap();
            let asked = ("PutRecords".to_owned(), content_type.to_owned());
            assert_eq!(endpoint.asked(), [asked], "{url} {encoding:?} {is_named}");
        }
        let records = read(&kinesis).await.unwrap().records;
        assert!(records.iter().all(|record| record.data[..] == *b"\0\xff"));
        assert_eq!(records.len(), 2);
    }
}

#[tokio::test]
async fn a_service_of_this_process_gets_json_unless_it_is_to_get_cbor() {
    for (encoding, expected) in [(Encoding::Auto, JSON), (Encoding::Cbor, CBOR)] {
        let endpoint = Endpoint::mock(&mock(), true);
        let aws = Aws::builder()
            .in_process_transport(endpoint.clone())
            .encoding(encoding)
            .build()
            .unwrap();
        for _ in 0..2 {
            put(&aws.kinesis()).await.unwrap();
        }
        assert!(
            endpoint
                .asked()
                .iter()
                .all(|(_, content_type)| content_type == expected)
        );
    }
}

#[tokio::test]
async fn both_encodings_read_the_same_records_and_refusals() {
    let mock = mock();
    let endpoint = Endpoint::mock(&mock, true);
    let json = endpoint.kinesis("http://localhost", Encoding::Json);
    let cbor = endpoint.kinesis("http://localhost", Encoding::Cbor);
    put(&json).await.unwrap();
    put(&cbor).await.unwrap();
    let records = read(&json).await.unwrap().records;
    assert_eq!(records, read(&cbor).await.unwrap().records);
    assert!(records[0].approximate_arrival_timestamp.is_some());
    let later = IteratorPosition::AtTimestamp(records[0].approximate_arrival_timestamp.unwrap());
    for kinesis in [&json, &cbor] {
        let summary = kinesis.describe_stream_summary(&stream()).await.unwrap();
        assert!(summary.created.unwrap() <= records[0].approximate_arrival_timestamp.unwrap());
        let shard = ShardId::from_number(0);
        let iterator = kinesis
            .get_shard_iterator(&stream(), &shard, &later)
            .await
            .unwrap();
        let output = kinesis.get_records(&iterator, None).await.unwrap();
        assert_eq!(output.records, records);
        let missing = kinesis
            .delete_stream(&"missing".parse().unwrap())
            .await
            .unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::ResourceNotFound);
        assert!(
            missing.to_string().contains("Stream missing under account"),
            "{missing}"
        );
    }
}

#[tokio::test]
async fn an_answer_is_read_as_what_it_says_it_is() {
    let json = Endpoint::fixed(
        400,
        JSON,
        br#"{"__type":"ResourceNotFoundException","message":"no"}"#,
    );
    let long = Endpoint::fixed(
        400,
        CBOR,
        b"\xbf\x66__type\x78\x19ResourceNotFoundException\x67message\x7f\x61n\x61o\xff\xff",
    );
    for endpoint in [json, long] {
        let kinesis = endpoint.kinesis("http://localhost", Encoding::Cbor);
        let error = put(&kinesis).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceNotFound);
        assert_eq!(error.written(), Written::No);
    }
}

#[tokio::test]
async fn a_hostile_answer_is_an_error_that_says_so() {
    for body in [
        &b""[..],
        b"\xff",
        b"\xa0",
        b"{}",
        b"\xa1\x67Records\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x67Records\x80",
        b"\xa1\x67Records\x81\xa0",
        b"\xa1\x67Records\x81\xa1\x67ShardId\x7b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x67Records\x81\xa2\x67ShardId\x41\xff\x6eSequenceNumber\x61\x31",
        b"\xa1\x67Records\x81\xa1\x69ErrorCode\x61x\0",
        b"\xa1\x67Records\x81\xa1\x69ErrorCode",
    ] {
        let endpoint = Endpoint::fixed(200, CBOR, body);
        let kinesis = endpoint.kinesis("http://localhost", Encoding::Cbor);
        let error = put(&kinesis).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Response, "{body:02x?}");
        assert_eq!(error.written(), Written::Unknown, "{body:02x?}");
    }
    let endpoint = Endpoint::fixed(500, CBOR, b"\xbf\x66__type");
    let error = put(&endpoint.kinesis("http://localhost", Encoding::Cbor))
        .await
        .unwrap_err();
    assert_eq!(error.written(), Written::Unknown);
}
