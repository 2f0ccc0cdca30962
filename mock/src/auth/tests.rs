//! Signatures that hold, and every way in which one does not.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use proptest::prelude::*;
use serde_json::Value;
use shardwise_env::{Env, Simulation};
use tower_service::Service as _;

use super::*;
use crate::mock::Mock;
use crate::operation::Api;

const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2026-01-01T00:00:00Z, when simulations begin.
const NOW: u64 = 1_767_225_600;

/// How a request is signed; each field can be wrong.
struct Signer {
    id: &'static str,
    secret: &'static str,
    at: u64,
    region: &'static str,
    service: &'static str,
    token: Option<&'static str>,
}

impl Default for Signer {
    fn default() -> Self {
        Self {
            id: ID,
            secret: SECRET,
            at: NOW,
            region: "us-east-1",
            service: "kinesis",
            token: None,
        }
    }
}

impl Signer {
    fn scope(&self, time: &str) -> String {
        let date = &time[..8];
        format!("{date}/{}/{}/aws4_request", self.region, self.service)
    }

    fn signature(&self, head: &Parts, signed: &str, body: &[u8], time: &str) -> String {
        let request = canonical::request(head, signed, &canonical::hash(body));
        let string = canonical::string_to_sign(time, &self.scope(time), &request);
        let scope = [&time[..8], self.region, self.service];
        canonical::signature(self.secret, scope, &string)
    }

    /// A request that is signed in its header.
    fn header(&self, target: &str, body: &str) -> Request<Full<Bytes>> {
        let time = timestamp::format(self.at);
        let (mut head, ()) = unsigned(target, "/").into_parts();
        let value = HeaderValue::try_from(&time).unwrap();
        head.headers.insert("x-amz-date", value);
        let mut signed = "content-type;host;x-amz-date;x-amz-target".to_owned();
        if let Some(token) = self.token {
            let value = HeaderValue::from_static(token);
            head.headers.insert("x-amz-security-token", value);
            signed = signed.replace("x-amz-target", "x-amz-security-token;x-amz-target");
        }
        let signature = self.signature(&head, &signed, body.as_bytes(), &time);
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={signed}, Signature={signature}",
            self.id,
            self.scope(&time)
        );
        let value = HeaderValue::try_from(value).unwrap();
        head.headers.insert("authorization", value);
        Request::from_parts(head, Full::new(body.to_owned().into()))
    }

    /// A request that is signed in its query.
    fn query(&self, target: &str, body: &str, expires: &str) -> Request<Full<Bytes>> {
        let time = timestamp::format(self.at);
        let signed = "content-type;host;x-amz-target";
        let uri = format!(
            "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F{}&X-Amz-Date={time}{expires}\
             &X-Amz-SignedHeaders={}",
            self.id,
            self.scope(&time).replace('/', "%2F"),
            signed.replace(';', "%3B")
        );
        let (head, ()) = unsigned(target, &uri).into_parts();
        let signature = self.signature(&head, signed, body.as_bytes(), &time);
        let (head, ()) =
            unsigned(target, &format!("{uri}&X-Amz-Signature={signature}")).into_parts();
        Request::from_parts(head, Full::new(body.to_owned().into()))
    }
}

fn unsigned(target: &str, uri: &str) -> Request<()> {
    let version = if target.starts_with("Dynamo") { 0 } else { 1 };
    Request::post(uri)
        .header("host", "localhost:4567")
        .header(
            "content-type",
            format!("application/x-amz-json-1.{version}"),
        )
        .header("x-amz-target", target)
        .body(())
        .unwrap()
}

fn mock() -> Mock {
    mock_on(Simulation::new(1).node("mock", 1.0).env())
}

fn mock_on(env: Env) -> Mock {
    let keys = KeyPairs::fixed([(ID, SECRET)]).expired_token("old");
    let builder = Mock::builder().env(env).verify_signatures(keys);
    builder.region("us-east-1").build()
}

/// Status, error type and message.
async fn answer(mock: &Mock, request: Request<Full<Bytes>>) -> (u16, String, String) {
    let response = mock.service().call(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (status, text("__type"), text("message"))
}

const LIST_STREAMS: &str = "Kinesis_20131202.ListStreams";
const LIST_TABLES: &str = "DynamoDB_20120810.ListTables";

#[tokio::test(start_paused = true)]
async fn a_true_signature_is_taken_by_header_and_by_query_and_by_both_services() {
    let mock = mock();
    for (service, target) in [("kinesis", LIST_STREAMS), ("dynamodb", LIST_TABLES)] {
        for token in [None, Some("fresh")] {
            let signer = Signer {
                service,
                token,
                ..Signer::default()
            };
            assert_eq!(answer(&mock, signer.header(target, "{}")).await.0, 200);
        }
        let signer = Signer {
            service,
            ..Signer::default()
        };
        for expires in ["", "&X-Amz-Expires=60"] {
            let request = signer.query(target, "{}", expires);
            assert_eq!(answer(&mock, request).await.0, 200);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_wrong_signature_has_the_services_own_error() {
    let mock = mock();
    let right = Signer::default;
    let invalid = "InvalidSignatureException";
    for (signer, kind, message) in [
        (
            Signer {
                secret: "test",
                ..right()
            },
            invalid,
            "The request signature we calculated does not match the signature you provided. \
             Check your AWS Secret Access Key and signing method. Consult the service \
             documentation for details.\n\nThe Canonical String",
        ),
        (
            Signer {
                id: "AKIDUNKNOWN",
                ..right()
            },
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        (
            Signer {
                token: Some("old"),
                ..right()
            },
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ),
        (
            Signer {
                service: "dynamodb",
                ..right()
            },
            invalid,
            "Credential should be scoped to correct service: 'kinesis'. ",
        ),
        (
            Signer {
                region: "eu-west-1",
                ..right()
            },
            invalid,
            "Credential should be scoped to a valid region, not 'eu-west-1'. ",
        ),
        (
            Signer {
                at: NOW - 901,
                ..right()
            },
            invalid,
            "Signature expired: 20251231T234459Z is now earlier than 20251231T234500Z \
             (20260101T000000Z - 15 min.)",
        ),
        (
            Signer {
                at: NOW + 901,
                ..right()
            },
            invalid,
            "Signature not yet current: 20260101T001501Z is still later than 20260101T001500Z \
             (20260101T000000Z + 15 min.)",
        ),
    ] {
        let (status, got_kind, got) = answer(&mock, signer.header(LIST_STREAMS, "{}")).await;
        assert_eq!((status, got_kind.as_str()), (400, kind), "{got}");
        assert!(got.starts_with(message), "{got}");
    }
    let wrong = Signer {
        secret: "test",
        service: "dynamodb",
        ..right()
    };
    let (_, kind, _) = answer(&mock, wrong.header(LIST_TABLES, "{}")).await;
    assert_eq!(kind, "com.amazon.coral.service#InvalidSignatureException");
}

#[tokio::test(start_paused = true)]
async fn what_stands_wrongly_in_a_header_is_named() {
    let mock = mock();
    for (from, to, kind, message) in [
        (
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA1",
            "Incomplete",
            "Unsupported AWS 'algorithm'",
        ),
        (
            "/aws4_request",
            "",
            "Incomplete",
            "Credential must have exactly 5 slash-delimited",
        ),
        (
            "/aws4_request",
            "/aws4_request/x",
            "Incomplete",
            "Credential must have exactly 5",
        ),
        (
            "/aws4_request",
            "/x",
            "Invalid",
            "Credential should be scoped with a valid terminator",
        ),
        (
            "/20260101/",
            "/20260102/",
            "Invalid",
            "Date in Credential scope does not match",
        ),
        (
            "/20260101/",
            "/2026/",
            "Invalid",
            "Date in Credential scope does not match",
        ),
        (
            "host;",
            "",
            "Invalid",
            "'Host' or ':authority' must be a 'SignedHeader'",
        ),
        (
            ";x-amz-target",
            "",
            "Invalid",
            "'x-amz-target' must be a 'SignedHeader'",
        ),
    ] {
        let mut request = Signer::default().header(LIST_STREAMS, "{}");
        let value = request.headers()["authorization"].to_str().unwrap();
        let value = HeaderValue::try_from(value.replace(from, to)).unwrap();
        request.headers_mut().insert("authorization", value);
        let (_, got_kind, got) = answer(&mock, request).await;
        assert_eq!(
            got_kind,
            format!("{kind}SignatureException"),
            "{from} {to}: {got}"
        );
        assert!(got.starts_with(message), "{got}");
    }
    let mut request = Signer::default().header(LIST_STREAMS, "{}");
    let value = HeaderValue::from_static("yesterday");
    request.headers_mut().insert("x-amz-date", value);
    let (_, kind, message) = answer(&mock, request).await;
    assert_eq!(kind, "IncompleteSignatureException");
    assert!(message.starts_with("Date must be in ISO-8601 'basic format'. Got 'yesterday'."));
}

#[tokio::test(start_paused = true)]
async fn a_signature_ages_by_the_mocks_clock_and_a_query_says_how_long_it_holds() {
    let env = Simulation::new(1).node("mock", 1.0).env();
    let mock = mock_on(env.clone());
    let signer = Signer::default();
    env.sleep(Duration::from_secs(61)).await;
    let expiring =
        |seconds: &str| signer.query(LIST_STREAMS, "{}", &format!("&X-Amz-Expires={seconds}"));
    let (_, kind, message) = answer(&mock, expiring("60")).await;
    assert_eq!(kind, "InvalidSignatureException");
    assert!(
        message.ends_with("(20260101T000101Z - 1 min.)"),
        "{message}"
    );
    for wrong in ["x", "-1", "604801"] {
        let (_, _, message) = answer(&mock, expiring(wrong)).await;
        assert!(message.starts_with("X-Amz-Expires must be"), "{message}");
    }
    env.sleep(Duration::from_secs(900)).await;
    let (status, ..) = answer(&mock, signer.header(LIST_STREAMS, "{}")).await;
    assert_eq!(status, 400);
    assert_eq!(answer(&mock, expiring("3600")).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_mock_without_a_region_takes_any_and_a_program_any_id() {
    let env = Simulation::new(1).node("mock", 1.0).env();
    let builder = Mock::builder().env(env);
    let mock = builder.verify_signatures(KeyPairs::any_id("test")).build();
    for region in ["us-east-1", "eu-west-1"] {
        let signer = Signer {
            region,
            secret: "test",
            id: "anybody",
            ..Signer::default()
        };
        assert_eq!(
            answer(&mock, signer.header(LIST_STREAMS, "{}")).await.0,
            200
        );
    }
    let wrong = Signer::default().header(LIST_STREAMS, "{}");
    assert_eq!(answer(&mock, wrong).await.0, 400);
}

/// What is changed after a request was signed.
#[derive(Debug, Clone, Copy)]
enum Change {
    Header(&'static str),
    Query,
    Body,
    Secret,
}

fn changes() -> impl Strategy<Value = Change> {
    prop::sample::select(vec![
        Change::Header("host"),
        Change::Header("content-type"),
        Change::Header("x-amz-date"),
        Change::Header("x-amz-target"),
        Change::Header("authorization"),
        Change::Query,
        Change::Body,
        Change::Secret,
    ])
}

/// The bytes with one of them changed to something that may stand in any of the places.
fn changed(bytes: &[u8], at: prop::sample::Index, to: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = at.index(bytes.len());
    let byte = &mut bytes[at];
    *byte = if *byte == to { to ^ 1 } else { to };
    bytes
}

proptest! {
    #[test]
    fn a_request_changed_by_one_byte_is_refused(
        body in "[ -~]{1,64}",
        change in changes(),
        by_query: bool,
        at: prop::sample::Index,
        to in b'0'..=b'z',
    ) {
        let by_query = by_query || matches!(change, Change::Query);
        let signer = Signer::default();
        let request = if by_query {
            signer.query(LIST_STREAMS, &body, "")
        } else {
            signer.header(LIST_STREAMS, &body)
        };
        let (mut head, _) = request.into_parts();
        let refused = |head: &Parts, body: &[u8], secret: &str| {
            let verifier = Verifier::new(KeyPairs::fixed([(ID, secret)]), None);
            match Claim::read(head) {
                Ok(claim) => verifier.verify(&claim, head, body, Api::Kinesis, NOW).is_err(),
                Err(_) => true,
            }
        };
        prop_assert!(!refused(&head, body.as_bytes(), SECRET));
        let (mut sent, mut secret) = (body.clone().into_bytes(), SECRET.to_owned());
        match change {
            Change::Header(name) => {
                let Some(value) = head.headers.get(name) else {
                    return Ok(());
                };
                let value = HeaderValue::from_bytes(&changed(value.as_bytes(), at, to)).unwrap();
                head.headers.insert(name, value);
            }
            Change::Query => {
                let uri = changed(head.uri.to_string().as_bytes(), at, to);
                let Ok(uri) = http::Uri::try_from(uri) else {
                    return Ok(());
                };
                // `%2f` and `%2F` are the same byte, and so the same request.
                let (before, after) = (head.uri.to_string(), uri.to_string());
                prop_assume!(!before.eq_ignore_ascii_case(&after));
                head.uri = uri;
            }
            Change::Body => sent = changed(&sent, at, to),
            Change::Secret => secret = String::from_utf8(changed(secret.as_bytes(), at, to)).unwrap(),
        }
        prop_assert!(refused(&head, &sent, &secret), "{:?} {:?}", change, head);
    }
}
