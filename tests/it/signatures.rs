//! Our signing under a check that shares nothing with it: the mock verifies on its own code what
//! `aws-sigv4` and the official SDK have signed.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use shardwise_client::credential_types::Credentials;
use shardwise_client::transport::{Body, BoxFuture, InProcess, TransportError};
use shardwise_client::{Aws, ErrorKind, PutRecordsEntry, ShardFilter, Transport};
use shardwise_consumer::{Batch, BoxError, Checkpointer, InitialPosition, RecordProcessor, Worker};
use shardwise_mock::{KeyPairs, Mock, MockService};
use shardwise_tests::unverified_signature::with_unverified_signature;
use shardwise_types::StreamName;
use tokio::sync::mpsc;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn credentials(secret: &str) -> Credentials {
    Credentials::new(
        "AKIDEXAMPLE",
        secret,
        Some("token".to_owned()),
        None,
        "test",
    )
}

struct Tell(mpsc::UnboundedSender<Bytes>);

impl RecordProcessor for Tell {
    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        for record in batch.records() {
            self.0.send(record.data.clone())?;
        }
        Ok(checkpointer.checkpoint(batch.end()).await?)
    }
}

/// A record from a put to a checkpoint: Kinesis by our client, the lease table by the SDK.
async fn from_put_to_checkpoint(aws: &Aws) {
    let stream: StreamName = "orders".parse().unwrap();
    let kinesis = aws.kinesis();
    kinesis.create_stream(&stream, 1).await.unwrap();
    let entry = PutRecordsEntry::new("schlüssel".parse().unwrap(), "paid".into());
    kinesis
        .put_records(&stream, std::slice::from_ref(&entry))
        .await
        .unwrap();
    let (sender, mut delivered) = mpsc::unbounded_channel();
    let worker = Worker::builder(aws)
        .application("billing")
        .stream(stream)
        .initial_position(InitialPosition::TrimHorizon)
        .build(move |_shard| Tell(sender.clone()))
        .unwrap();
    let mut data = None;
    worker
        .run_until(async { data = delivered.recv().await })
        .await
        .unwrap();
    assert_eq!(data.unwrap(), "paid");
}

#[tokio::test]
async fn every_request_is_signed_truly_in_process() {
    let mock = Mock::builder()
        .verify_signatures(KeyPairs::any_id(SECRET))
        .build();
    let aws = Aws::builder()
        .in_process(mock.service())
        .credentials(credentials(SECRET))
        .build()
        .unwrap();
    from_put_to_checkpoint(&aws).await;
}

#[tokio::test]
async fn every_request_is_signed_truly_over_a_socket() {
    let mock = Mock::builder()
        .verify_signatures(KeyPairs::any_id(SECRET))
        .build();
    let server = mock.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let aws = Aws::builder()
        .region("us-east-1")
        .credentials(credentials(SECRET))
        .endpoint_url(format!("http://{}", server.local_addr()))
        .build()
        .unwrap();
    from_put_to_checkpoint(&aws).await;
    server.shutdown().await;
}

async fn is_refused_once(aws: &Aws, code: &str) {
    let listing = aws
        .kinesis()
        .list_shards(&"orders".parse().unwrap(), ShardFilter::All)
        .await;
    let error = listing.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::AccessDenied, 1)
    );
    assert_eq!(error.code(), Some(code));
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_not_tried_again() {
    let mock = Mock::builder()
        .verify_signatures(KeyPairs::any_id(SECRET))
        .build();
    let aws = Aws::builder()
        .in_process(mock.service())
        .credentials(credentials("another"))
        .build()
        .unwrap();
    is_refused_once(&aws, "InvalidSignatureException").await;
}

/// An emulator that does not ask who calls; the mock, to whom this must be said for each call.
#[derive(Debug)]
struct AsksNobody(InProcess<MockService>);

impl Transport for AsksNobody {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>> {
        let signed = request.headers().get(AUTHORIZATION);
        assert_eq!(signed, None, "no request is signed");
        self.0.send(with_unverified_signature(request))
    }
}

#[tokio::test]
async fn without_credentials_nothing_is_signed_and_all_works() {
    let mock = Mock::builder().build();
    let aws = Aws::builder()
        .in_process_transport(AsksNobody(InProcess::new(mock.service())))
        .no_credentials()
        .build()
        .unwrap();
    from_put_to_checkpoint(&aws).await;
}

#[tokio::test]
async fn a_service_that_wants_a_signature_refuses_once_without() {
    let mock = Mock::builder().build();
    let aws = Aws::builder()
        .in_process(mock.service())
        .no_credentials()
        .build()
        .unwrap();
    is_refused_once(&aws, "MissingAuthenticationTokenException").await;
}
