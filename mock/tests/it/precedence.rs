//! Which of two mistakes in one request is answered: the one that the service looks for first.
//!
//! The order and the texts are those that kinesalite recorded from the service.

use ciborium::Value as Cbor;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use shardwise_mock::Mock;

use crate::support::{AUTHORIZATION, Client};

/// A request that is good until a mistake spoils it.
struct Draft {
    method: &'static str,
    content_type: &'static str,
    target: &'static str,
    authorization: Option<&'static str>,
    date: Option<&'static str>,
    query: &'static str,
    body: Value,
    spoil: fn(Vec<u8>) -> Vec<u8>,
}

struct Mistake {
    name: &'static str,
    make: fn(&mut Draft),
    status: u16,
    /// What the answer says, its type and its message, if it has one.
    says: &'static [&'static str],
}

/// In the order in which the service looks for them.
const MISTAKES: [Mistake; 11] = [
    Mistake {
        name: "not POST",
        make: |draft| draft.method = "PUT",
        status: 403,
        says: &[
            "AccessDeniedException",
            "Unable to determine service/operation name to be authorized",
        ],
    },
    Mistake {
        name: "no body",
        make: |draft| draft.spoil = |_| Vec::new(),
        status: 400,
        says: &["SerializationException"],
    },
    Mistake {
        name: "unknown content type",
        make: |draft| draft.content_type = "text/plain",
        status: 404,
        says: &["<UnknownOperationException/>"],
    },
    Mistake {
        name: "cut off body",
        make: |draft| {
            // Only a body that is not empty already.
            let spoil = draft.spoil;
            if spoil(vec![0]) == [0] {
                draft.spoil = |mut body| {
                    body.pop();
                    body
                };
            }
        },
        status: 400,
        says: &["SerializationException"],
    },
    Mistake {
        name: "unknown operation",
        make: |draft| draft.target = "Kinesis_20131202.Nonsense",
        status: 400,
        says: &["UnknownOperationException"],
    },
    Mistake {
        name: "signed in header and query",
        make: |draft| draft.query = "?X-Amz-Algorithm",
        status: 400,
        says: &[
            "InvalidSignatureException",
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
        ],
    },
    Mistake {
        name: "not signed",
        // With an algorithm in the query, the query is incomplete instead.
        make: |draft| {
            if draft.query.is_empty() {
                draft.authorization = None;
            }
        },
        status: 400,
        says: &[
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ],
    },
    Mistake {
        name: "half a signature",
        make: |draft| {
            draft.authorization = draft
                .authorization
                .map(|_| "AWS4- Signature=b,Credential=a");
            draft.date = None;
        },
        status: 400,
        says: &[
            "IncompleteSignatureException",
            "Authorization header requires 'SignedHeaders' parameter. Authorization header \
             requires existence of either a 'X-Amz-Date' or a 'Date' header. \
             Authorization=AWS4- Signature=b,Credential=a",
        ],
    },
    Mistake {
        name: "wrong type",
        make: |draft| draft.body["Limit"] = json!("x"),
        status: 400,
        says: &[
            "SerializationException",
            "class java.lang.String can not be converted to an Integer",
        ],
    },
    Mistake {
        name: "broken constraint",
        make: |draft| draft.body["ExclusiveStartShardId"] = json!(""),
        status: 400,
        says: &[
            "ValidationException",
            " at 'exclusiveStartShardId' failed to satisfy constraint: ",
        ],
    },
    Mistake {
        name: "no such stream",
        make: |draft| draft.body["StreamName"] = json!("nowhere"),
        status: 400,
        says: &[
            "ResourceNotFoundException",
            "Stream nowhere under account 000000000000 not found.",
        ],
    },
];

impl Draft {
    fn new(content_type: &'static str) -> Self {
        Self {
            method: "POST",
            content_type,
            target: "Kinesis_20131202.DescribeStream",
            authorization: Some(AUTHORIZATION),
            date: Some("20260101T000000Z"),
            query: "",
            body: json!({"StreamName": "s"}),
            spoil: |body| body,
        }
    }

    fn request(self, is_cbor: bool) -> Request<Full<bytes::Bytes>> {
        let body = if is_cbor {
            let mut bytes = Vec::new();
            let value = Cbor::serialized(&self.body).unwrap();
            ciborium::into_writer(&value, &mut bytes).unwrap();
            bytes
        } else {
            self.body.to_string().into_bytes()
        };
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("/{}", self.query))
            .header("content-type", self.content_type)
            .header("x-amz-target", self.target);
        for (name, value) in [
            ("authorization", self.authorization),
            ("x-amz-date", self.date),
        ] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        request.body(Full::new((self.spoil)(body).into())).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_mistakes_the_earlier_one_is_answered() {
    let mock = Mock::new();
    mock.create_stream(&"s".parse().unwrap(), 1).unwrap();
    let client = Client::new(&mock);
    for content_type in ["application/x-amz-json-1.1", "application/x-amz-cbor-1.1"] {
        let is_cbor = content_type.contains("cbor");
        let good = Draft::new(content_type).request(is_cbor);
        assert_eq!(client.send(good).await.0, 200);
        for (index, first) in MISTAKES.iter().enumerate() {
            for second in &MISTAKES[index..] {
                let mut draft = Draft::new(content_type);
                (first.make)(&mut draft);
                (second.make)(&mut draft);
                let (status, headers, body) = client.send(draft.request(is_cbor)).await;
                let answer = String::from_utf8_lossy(&body);
                let case = format!("{content_type}: {}, {}: {answer}", first.name, second.name);
                assert_eq!(status, first.status, "{case}");
                let says = match (first.name, second.name) {
                    // The service's one exception.
                    ("no body", "unknown operation") => &["UnknownOperationException"],
                    _ => first.says,
                };
                for text in says {
                    assert!(answer.contains(text), "{case}");
                }
                assert_eq!(
                    headers.get("content-type").is_some(),
                    !answer.starts_with('<')
                );
                if let Some(got) = headers.get("content-type") {
                    // Without a body the service takes what is not JSON for CBOR.
                    let expected = match second.name {
                        "unknown content type" => "application/x-amz-cbor-1.1",
                        _ => content_type,
                    };
                    assert_eq!(got, expected, "{case}");
                }
                assert!(headers.contains_key("x-amzn-requestid"), "{case}");
                assert!(headers.contains_key("x-amz-id-2"), "{case}");
                assert!(headers.contains_key("date"), "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_missing_part_of_a_signature_is_named() {
    let client = Client::new(&Mock::new());
    let unsigned = |query: &'static str| {
        let mut draft = Draft::new("application/x-amz-json-1.1");
        (draft.authorization, draft.query) = (None, query);
        draft.request(false)
    };
    for (query, message) in [
        (
            "?X-Amz-Algorithm",
            "AWS query-string parameters must include 'X-Amz-Algorithm'. AWS query-string \
             parameters must include 'X-Amz-Credential'. AWS query-string parameters must include \
             'X-Amz-Signature'. AWS query-string parameters must include 'X-Amz-SignedHeaders'. \
             AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string \
             parameters.",
        ),
        (
            "?X-Amz-Algorithm=a&X-Amz-Signature=b&X-Amz-SignedHeaders=c&X-Amz-Date=d",
            "AWS query-string parameters must include 'X-Amz-Credential'. Re-examine the \
             query-string parameters.",
        ),
        (
            "?X-Amz-Credential=a&X-Amz-Signature=b&X-Amz-SignedHeaders=c&X-Amz-Date=d",
            "Missing Authentication Token",
        ),
    ] {
        let (status, _, body) = client.send(unsigned(query)).await;
        assert_eq!(status, 400);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["message"], message);
    }
}

#[tokio::test(start_paused = true)]
async fn plain_json_goes_no_further_than_the_front_end() {
    let client = Client::new(&Mock::new());
    let cut: fn(Vec<u8>) -> Vec<u8> = |body| body[1..].to_vec();
    for (spoil, status, kind) in [
        (
            None,
            404,
            "com.amazon.coral.service#UnknownOperationException",
        ),
        (
            Some(cut),
            400,
            "com.amazon.coral.service#SerializationException",
        ),
    ] {
        let mut draft = Draft::new("application/json; charset=utf-8");
        draft.authorization = None;
        draft.spoil = spoil.unwrap_or(draft.spoil);
        let (got, headers, body) = client.send(draft.request(false)).await;
        assert_eq!(
            (got.as_u16(), &headers["content-type"]),
            (status, &"application/json".parse().unwrap())
        );
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body, json!({"Output": {"__type": kind}, "Version": "1.0"}));
    }
}

#[tokio::test(start_paused = true)]
async fn the_path_is_ignored() {
    let mock = Mock::new();
    mock.create_stream(&"s".parse().unwrap(), 1).unwrap();
    let mut sent = Draft::new("application/x-amz-json-1.1").request(false);
    *sent.uri_mut() = "/some/../where%2f?else".parse().unwrap();
    assert_eq!(Client::new(&mock).send(sent).await.0, 200);
}
