//! The TLS port, with a client that trusts its certificate and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use shardwise_env::Env;
use shardwise_mock::{Mock, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::request;

const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A connection under a trusted name, with the protocol that both agreed on.
pub(crate) async fn connect(
    address: SocketAddr,
    certificate: &str,
    name: &str,
    offers: &[&str],
) -> (TlsStream<TcpStream>, Option<String>) {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = offers
        .iter()
        .map(|offer| offer.as_bytes().to_vec())
        .collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let tcp = TcpStream::connect(address).await.unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .unwrap();
    let agreed = stream.get_ref().1.alpn_protocol();
    let agreed = agreed.map(|protocol| String::from_utf8(protocol.to_vec()).unwrap());
    (stream, agreed)
}

/// What the mock answers on this connection, by HTTP/2 if that was agreed on.
pub(crate) async fn ask(
    (stream, protocol): (TlsStream<TcpStream>, Option<String>),
    operation: &str,
    body: Value,
) -> Value {
    let mut sent = request(operation, body.to_string().into_bytes());
    *sent.uri_mut() = "https://localhost/".parse().unwrap();
    sent.headers_mut()
        .insert("host", "localhost".parse().unwrap());
    let io = TokioIo::new(stream);
    let env = Env::system();
    let (response, connection) = if protocol.as_deref() == Some("h2") {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                .await
                .unwrap();
        let connection = env.spawn(async { drop(connection.await) });
        (sender.send_request(sent).await.unwrap(), connection)
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        let connection = env.spawn(async { drop(connection.await) });
        (sender.send_request(sent).await.unwrap(), connection)
    };
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    connection.await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

async fn started() -> (Server, String) {
    let mock = Mock::new();
    mock.create_stream(&"s".parse().unwrap(), 1).unwrap();
    let server = mock.listen_tls(LOOPBACK).await.unwrap();
    let certificate = server.certificate().unwrap().to_owned();
    (server, certificate)
}

#[tokio::test]
async fn each_name_of_this_machine_is_certified_and_alpn_is_followed() {
    let (server, certificate) = started().await;
    for (name, offers, agreed) in [
        ("localhost", &["h2", "http/1.1"][..], Some("h2")),
        ("127.0.0.1", &["http/1.1"], Some("http/1.1")),
        ("::1", &[], None),
    ] {
        let connection = connect(server.local_addr(), &certificate, name, offers).await;
        assert_eq!(connection.1.as_deref(), agreed);
        let answer = ask(connection, "ListStreams", json!({})).await;
        assert_eq!(answer["StreamNames"], json!(["s"]), "{name}");
    }
    assert_eq!(
        Mock::new().listen(LOOPBACK).await.unwrap().certificate(),
        None
    );
}

#[tokio::test]
async fn ten_mebibytes_of_records_pass() {
    let (server, certificate) = started().await;
    let data = STANDARD.encode(vec![7; 1024 * 1024 - 1]);
    let record = json!({"PartitionKey": "k", "Data": data});
    let body = json!({"StreamName": "s", "Records": vec![record; 10]});
    for offers in [&["h2"][..], &["http/1.1"]] {
        let connection = connect(server.local_addr(), &certificate, "localhost", offers).await;
        let answer = ask(connection, "PutRecords", body.clone()).await;
        assert_eq!(answer["FailedRecordCount"], 0);
        assert_eq!(answer["Records"].as_array().unwrap().len(), 10);
    }
}

#[tokio::test]
async fn who_does_not_finish_a_handshake_holds_up_nobody() {
    let (server, certificate) = started().await;
    let mut stalled = Vec::new();
    for beginning in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        stalled.push(stream);
    }
    let connection = connect(server.local_addr(), &certificate, "localhost", &["h2"]).await;
    ask(connection, "ListStreams", json!({})).await;
    server.shutdown().await;
    for mut stream in stalled {
        let mut rest = Vec::new();
        let closed = stream.read_to_end(&mut rest).await;
        assert!(closed.is_err() || rest.is_empty());
    }
}

/// The records of TLS by their first byte.
const ALERT: u8 = 0x15;
const HANDSHAKE: u8 = 0x16;

/// What comes back for these bytes, until the connection closes.
async fn answer_to(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// How a client begins.
fn client_hello() -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test]
async fn bytes_that_are_not_tls_get_a_closed_connection() {
    let (server, certificate) = started().await;
    let address = server.local_addr();
    for garbage in [
        &b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x80\x2e\x01\x00\x02",
        &[0; 1024],
        &[0xff; 1024],
    ] {
        let answer = answer_to(address, garbage).await;
        assert!(
            matches!(answer.first(), None | Some(&ALERT)),
            "{garbage:02x?}: {answer:02x?}"
        );
    }
    let hello = client_hello();
    assert_eq!(answer_to(address, &hello).await.first(), Some(&HANDSHAKE));
    for at in (0..hello.len()).step_by(5) {
        let mut spoiled = hello.clone();
        spoiled[at] ^= 0x55;
        for bytes in [&hello[..at], &spoiled] {
            let answer = answer_to(address, bytes).await;
            let first = answer.first();
            assert!(
                matches!(first, None | Some(&(ALERT | HANDSHAKE))),
                "{at}: {answer:02x?}"
            );
        }
    }
    let connection = connect(address, &certificate, "localhost", &["h2"]).await;
    ask(connection, "ListStreams", json!({})).await;
}
