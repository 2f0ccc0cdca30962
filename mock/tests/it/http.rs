//! The HTTP around an operation: headers, precedence of refusals, real sockets.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use shardwise_mock::Mock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{AUTHORIZATION, Client, World, request};

const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

#[tokio::test(start_paused = true)]
async fn every_answer_has_the_services_headers_and_the_mocks_own_clock() {
    let world = World::new();
    world.set_wall_offset_ms(3_600_000);
    let (status, headers, _) = world
        .client
        .send(request("ListStreams", b"{}".into()))
        .await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "application/x-amz-json-1.1");
    assert_eq!(headers["date"], "Thu, 01 Jan 2026 01:00:00 GMT");
    assert_eq!(headers["x-amzn-requestid"].len(), 36);
    assert_eq!(headers["x-amz-id-2"].len(), 96);
    assert_eq!(headers["x-shardwise-mock"], env!("CARGO_PKG_VERSION"));
    let (_, refused, _) = world
        .client
        .send(request("ListStreams", b"[]".into()))
        .await;
    assert_ne!(headers["x-amzn-requestid"], refused["x-amzn-requestid"]);
}

#[tokio::test(start_paused = true)]
async fn dynamodb_tells_the_checksum_of_its_answers() {
    let client = Client::new(&Mock::new());
    for body in ["{}", "["] {
        let mut sent = request("", body.into());
        for (name, value) in [
            ("x-amz-target", "DynamoDB_20120810.ListTables"),
            ("content-type", "application/x-amz-json-1.0"),
        ] {
            sent.headers_mut().insert(name, value.parse().unwrap());
        }
        let (_, headers, answer) = client.send(sent).await;
        let checksum = crc32fast::hash(&answer).to_string();
        assert_eq!(headers["x-amz-crc32"], checksum, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_come_in_the_services_order() {
    let client = Client::new(&Mock::new());
    let bare = |kind: &str| json!({ "__type": kind });
    // Each case: what differs from a good request, and the answer.
    for (header, value, body, status, answer) in [
        (
            "x-amz-target",
            "",
            "{}",
            400,
            bare("UnknownOperationException"),
        ),
        (
            "x-amz-target",
            "Kinesis_20131202.Nonsense",
            "{}",
            400,
            bare("UnknownOperationException"),
        ),
        (
            "x-amz-target",
            "Kinesis_20200101.ListStreams",
            "{}",
            400,
            bare("UnknownOperationException"),
        ),
        (
            "x-amz-target",
            "Kinesis_20131202.ListStreams",
            "",
            400,
            bare("SerializationException"),
        ),
        (
            "x-amz-target",
            "Kinesis_20131202.ListStreams",
            "hello",
            400,
            bare("SerializationException"),
        ),
        (
            "x-amz-target",
            "Kinesis_20131202.ListStreams",
            "[]",
            400,
            bare("SerializationException"),
        ),
        (
            "authorization",
            "X",
            "{}",
            400,
            json!({
                "__type": "IncompleteSignatureException",
                "message": "Authorization header requires 'Credential' parameter. Authorization \
                            header requires 'Signature' parameter. Authorization header requires \
                            'SignedHeaders' parameter. Authorization=X",
            }),
        ),
    ] {
        let mut sent = request("ListStreams", body.into());
        sent.headers_mut().insert(header, value.parse().unwrap());
        let (got, headers, got_body) = client.send(sent).await;
        assert_eq!(got, status, "{value} {body}");
        assert_eq!(headers["content-type"], "application/x-amz-json-1.1");
        let got_body: Value = serde_json::from_slice(&got_body).unwrap();
        assert_eq!(got_body, answer, "{value} {body}");
    }

    let mut unsigned = request("ListStreams", b"{}".into());
    unsigned.headers_mut().remove("authorization");
    let (_, _, body) = client.send(unsigned).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["__type"], "MissingAuthenticationTokenException");

    let mut both = request("ListStreams", b"{}".into());
    *both.uri_mut() = "/?X-Amz-Algorithm".parse().unwrap();
    let (_, _, body) = client.send(both).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["__type"], "InvalidSignatureException");

    let mut plain = request("ListStreams", b"{}".into());
    plain
        .headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    let (status, _, body) = client.send(plain).await;
    assert_eq!(
        (status.as_u16(), &body[..]),
        (404, &b"<UnknownOperationException/>\n"[..])
    );

    let mut get = request("ListStreams", Vec::new());
    *get.method_mut() = Method::GET;
    let (status, _, body) = client.send(get).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.starts_with(b"<AccessDeniedException>"));

    let mut cbor = request("ListStreams", Vec::new());
    cbor.headers_mut().remove("content-type");
    let (status, headers, body) = client.send(cbor).await;
    assert_eq!(status, 400);
    assert_eq!(headers["content-type"], "application/x-amz-cbor-1.1");
    assert_eq!(&body[..], b"\xbf\x66__type\x76SerializationException\xff");
}

#[tokio::test(start_paused = true)]
async fn a_signature_may_stand_in_the_query() {
    let client = Client::new(&Mock::new());
    let mut sent = request("ListStreams", b"{}".into());
    sent.headers_mut().remove("authorization");
    *sent.uri_mut() = "/?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c\
                       &X-Amz-SignedHeaders=d&X-Amz-Date=e"
        .parse()
        .unwrap();
    let (status, _, _) = client.send(sent).await;
    assert_eq!(status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_browser_is_let_in() {
    let client = Client::new(&Mock::new());
    let preflight = Request::options("/")
        .header("origin", "http://example.test")
        .header("access-control-request-headers", "a, b")
        .header("access-control-request-method", "POST")
        .body(Full::default())
        .unwrap();
    let (status, headers, body) = client.send(preflight).await;
    assert_eq!((status.as_u16(), body.len()), (200, 0));
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert_eq!(headers["access-control-allow-headers"], "a, b");
    assert_eq!(headers["access-control-allow-methods"], "POST");
    assert_eq!(headers["access-control-max-age"], "172800");
    assert!(!headers.contains_key("x-amz-id-2"));

    // What follows the preflight, refused or not.
    for (body, expected) in [("{}", 200), ("", 400)] {
        let mut sent = request("ListStreams", body.into());
        let origin = "http://example.test".parse().unwrap();
        sent.headers_mut().insert("origin", origin);
        let (status, headers, _) = client.send(sent).await;
        assert_eq!(status, expected);
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert_eq!(
            headers["access-control-expose-headers"],
            "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date"
        );
        assert!(headers.contains_key("x-amz-id-2"));
    }
    let (_, headers, _) = client.send(request("ListStreams", "{}".into())).await;
    assert!(!headers.contains_key("access-control-allow-origin"));
}

#[tokio::test(start_paused = true)]
async fn a_request_above_sixteen_mebibytes_is_too_large() {
    let client = Client::new(&Mock::new());
    let (status, _) = client
        .post("PutRecord", vec![b' '; 16 * 1024 * 1024 + 1])
        .await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

fn over_the_wire(address: SocketAddr) -> Request<Full<Bytes>> {
    let mut sent = request("ListStreams", b"{}".into());
    *sent.uri_mut() = format!("http://{address}/").parse().unwrap();
    sent.headers_mut()
        .insert("host", address.to_string().parse().unwrap());
    sent
}

#[tokio::test]
async fn one_port_answers_http_1_and_http_2_with_prior_knowledge() {
    let mock = Mock::new();
    mock.create_stream(&"s".parse().unwrap(), 1).unwrap();
    let server = mock.listen(LOOPBACK).await.unwrap();
    let address = server.local_addr();

    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut h1, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let h1_connection = mock_env().spawn(connection);
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let executor = TokioExecutor::new();
    let (mut h2, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    let h2_connection = mock_env().spawn(connection);

    for response in [
        h1.send_request(over_the_wire(address)).await.unwrap(),
        h2.send_request(over_the_wire(address)).await.unwrap(),
    ] {
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["StreamNames"], json!(["s"]));
    }
    assert_eq!(mock.calls(shardwise_mock::Operation::ListStreams), 2);

    server.shutdown().await;
    h1_connection.await.unwrap().unwrap();
    h2_connection.await.unwrap().unwrap();
    assert!(
        TcpStream::connect(address).await.is_err(),
        "the port is closed"
    );
}

fn mock_env() -> shardwise_env::Env {
    shardwise_env::Env::system()
}

#[tokio::test]
async fn a_dropped_server_closes_its_port_and_its_connections() {
    let server = Mock::new().listen(LOOPBACK).await.unwrap();
    let address = server.local_addr();
    let mut idle = TcpStream::connect(address).await.unwrap();
    let taken = Mock::new().listen(address).await.unwrap_err();
    assert_eq!(taken.address(), address);
    drop(server);
    let mut rest = Vec::new();
    let closed = idle.read_to_end(&mut rest).await;
    assert!(closed.is_err() || rest.is_empty());
}

#[tokio::test]
async fn bytes_that_are_not_http_get_a_refusal_or_a_closed_connection() {
    let server = Mock::new().listen(LOOPBACK).await.unwrap();
    for garbage in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage that is no frame",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 5"), "{garbage:?}");
    }
    let good = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-amz-target: \
         Kinesis_20131202.ListStreams\r\ncontent-type: application/x-amz-json-1.1\r\nx-amz-date: \
         0\r\nauthorization: {AUTHORIZATION}\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream.write_all(good.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK"),
        "it still answers: {answer}"
    );
}
