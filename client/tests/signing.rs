//! Credentials and clocks that the service refuses, and secrets that must not be seen.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use shardwise_client::credential_types::Credentials;
use shardwise_client::credential_types::provider::{ProvideCredentials, future};
use shardwise_client::transport::{Body, BoxFuture, TransportError};
use shardwise_client::{Aws, ErrorKind, ShardFilter, Transport};
use shardwise_env::{Env, Simulation};

/// What a test answers to a request: status, headers, body.
type Reply = (u16, Vec<(&'static str, String)>, &'static str);

/// What is answered to the request with this number.
type Script = dyn Fn(usize, &http::Request<Bytes>) -> Reply + Send + Sync;

/// A service that answers as a test says, and keeps what it was asked.
#[derive(Clone)]
struct Scripted {
    asked: Arc<Mutex<Vec<http::Request<Bytes>>>>,
    script: Arc<Script>,
}

impl Scripted {
    fn new(reply: impl Fn(usize, &http::Request<Bytes>) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            asked: Arc::default(),
            script: Arc::new(reply),
        }
    }

    fn header(&self, index: usize, name: &str) -> String {
        let asked = self.asked.lock().unwrap();
        asked[index].headers()[name].to_str().unwrap().to_owned()
    }
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

impl Transport for Scripted {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>> {
        let mut asked = self.asked.lock().unwrap();
        let (status, headers, body) = (self.script)(asked.len(), &request);
        asked.push(request);
        let mut response = http::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        let response = response
            .body(Body::full(Bytes::from_static(body.as_bytes())))
            .unwrap();
        Box::pin(std::future::ready(Ok(response)))
    }
}

const NO_SHARDS: &str = r#"{"Shards":[]}"#;
const EXPIRED: &str = r#"{"__type":"ExpiredTokenException","message":"expired"}"#;
const BAD_SIGNATURE: &str =
    r#"{"__type":"com.amazon.coral.service#InvalidSignatureException","message":"too skewed"}"#;

/// Gives another key at each call.
#[derive(Debug, Default)]
struct Rotating(AtomicUsize);

impl ProvideCredentials for Rotating {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let id = format!("AKID{}", self.0.fetch_add(1, Ordering::Relaxed));
        future::ProvideCredentials::ready(Ok(Credentials::new(id, "secret", None, None, "test")))
    }
}

fn aws(transport: &Scripted, env: &Env) -> Aws {
    Aws::builder()
        .in_process_transport(transport.clone())
        .credentials(Rotating::default())
        .env(env.clone())
        .build()
        .unwrap()
}

async fn list(aws: &Aws) -> Result<(), shardwise_client::Error> {
    aws.kinesis()
        .list_shards(&"orders".parse().unwrap(), ShardFilter::All)
        .await
        .map(drop)
}

#[tokio::test(start_paused = true)]
async fn expired_credentials_are_fetched_afresh_once() {
    let env = Simulation::new(1).node("n", 1.0).env();
    let once = Scripted::new(|number, _| match number {
        0 => (400, vec![], EXPIRED),
        _ => (200, vec![], NO_SHARDS),
    });
    list(&aws(&once, &env)).await.unwrap();
    assert!(
        once.header(0, "authorization")
            .contains("Credential=AKID0/")
    );
    assert!(
        once.header(1, "authorization")
            .contains("Credential=AKID1/")
    );

    let always = Scripted::new(|_, _| (400, vec![], EXPIRED));
    let error = list(&aws(&always, &env)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::ExpiredCredentials, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_far_off_is_corrected_from_the_services_date() {
    let node = Simulation::new(1).node("n", 1.0);
    node.set_wall_offset_ms(3_600_000);
    let env = node.env();
    let truth = env.wall_now() - Duration::from_secs(3_600);
    let date = httpdate::fmt_http_date(truth);
    let day_and_hour = amz_date(truth);
    let service = Scripted::new(move |_, request| {
        let right = request.headers()["x-amz-date"]
            .to_str()
            .unwrap()
            .starts_with(&day_and_hour);
        let headers = vec![("date", date.clone())];
        if right {
            (200, headers, NO_SHARDS)
        } else {
            (403, headers, BAD_SIGNATURE)
        }
    });
    let aws = aws(&service, &env);
    list(&aws).await.unwrap();
    assert_eq!(service.asked.lock().unwrap().len(), 2);
    list(&aws).await.unwrap();
    assert_eq!(
        service.asked.lock().unwrap().len(),
        3,
        "what was learned is kept"
    );
}

/// `20260101T00` of a time in 2026-01-01: the simulation begins at midnight of that day.
fn amz_date(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    format!("20260101T{:02}", since / 3600 % 24)
}

#[tokio::test(start_paused = true)]
async fn a_refused_signature_with_a_true_clock_is_not_tried_again() {
    let env = Simulation::new(1).node("n", 1.0).env();
    let date = httpdate::fmt_http_date(env.wall_now());
    let service = Scripted::new(move |_, _| (403, vec![("date", date.clone())], BAD_SIGNATURE));
    let error = list(&aws(&service, &env)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::AccessDenied, 1)
    );
    assert_eq!(error.code(), Some("InvalidSignatureException"));
}

#[tokio::test(start_paused = true)]
async fn no_credentials_to_be_had_is_an_error_of_its_own() {
    #[derive(Debug)]
    struct Broken;
    impl ProvideCredentials for Broken {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            use shardwise_client::credential_types::provider::error::CredentialsError;
            future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("none here")))
        }
    }
    let service = Scripted::new(|_, _| (200, vec![], NO_SHARDS));
    let env = Simulation::new(1).node("n", 1.0).env();
    let aws = Aws::builder()
        .in_process_transport(service.clone())
        .credentials(Broken)
        .env(env)
        .build()
        .unwrap();
    let error = list(&aws).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(
        service.asked.lock().unwrap().is_empty(),
        "nothing was sent unsigned"
    );
}

#[tokio::test(start_paused = true)]
async fn every_request_carries_target_content_type_and_signature() {
    let env = Simulation::new(1).node("n", 1.0).env();
    let service = Scripted::new(|_, _| (200, vec![], NO_SHARDS));
    list(&aws(&service, &env)).await.unwrap();
    assert_eq!(
        service.header(0, "x-amz-target"),
        "Kinesis_20131202.ListShards"
    );
    assert_eq!(
        service.header(0, "content-type"),
        "application/x-amz-json-1.1"
    );
    let authorization = service.header(0, "authorization");
    assert!(
        authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKID0/20260101/us-east-1/kinesis/")
    );
    assert!(
        authorization.contains("SignedHeaders=content-type;host;"),
        "{authorization}"
    );
}

#[tokio::test(start_paused = true)]
async fn requests_go_to_the_path_of_the_endpoint() {
    let service = Scripted::new(|_, _| (200, vec![], NO_SHARDS));
    let aws = Aws::builder()
        .in_process_transport(service.clone())
        .endpoint_url("http://gateway.invalid:8080/aws/kinesis")
        .env(Simulation::new(1).node("n", 1.0).env())
        .build()
        .unwrap();
    list(&aws).await.unwrap();
    let uri = service.asked.lock().unwrap()[0].uri().to_string();
    assert_eq!(uri, "http://gateway.invalid:8080/aws/kinesis/");
}

#[test]
fn no_debug_text_shows_a_secret() {
    let credentials = Credentials::new(
        "AKID",
        "canary-secret",
        Some("canary-token".into()),
        None,
        "t",
    );
    let service = Scripted::new(|_, _| (200, vec![], NO_SHARDS));
    let builder = Aws::builder()
        .in_process_transport(service)
        .credentials(credentials);
    let before = format!("{builder:?}");
    let aws = builder.build().unwrap();
    for text in [before, format!("{aws:?}"), format!("{:?}", aws.kinesis())] {
        assert!(!text.contains("canary"), "{text}");
    }
}
