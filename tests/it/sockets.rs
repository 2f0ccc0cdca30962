//! What happens on real sockets: connections that are kept, broken, silent or encrypted.
//!
//! The servers are written by hand, so that each does just the one thing that a test is about.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use shardwise_client::retry::RetryPolicy;
use shardwise_client::transport::Http;
use shardwise_client::{
    Aws, AwsBuilder, Error, ErrorKind, Kinesis, PutRecordsEntry, PutSuccess, ShardFilter, Timeouts,
    Written,
};
use shardwise_env::{Env, Task};
use shardwise_mock::{Mock, Operation};
use shardwise_types::Shard;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use crate::official::{credentials, stream};

/// How long our client waits for an answer where a test is about waiting.
const LIMIT: Duration = Duration::from_millis(100);

/// Answers to ListShards and PutRecord.
const NO_SHARDS: &str = r#"{"Shards":[]}"#;
const STORED: &str = r#"{"ShardId":"shardId-000000000000","SequenceNumber":"1"}"#;

/// A server that hands each connection, with its number, to a function. It ends when dropped.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _accepting: Task<()>,
}

impl Server {
    async fn start<F, S>(serve: F) -> Self
    where
        F: Fn(usize, Connection) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        Self::listen(move |number, stream| serve(number, Connection(BufReader::new(stream)))).await
    }

    async fn listen<F, S>(serve: F) -> Self
    where
        F: Fn(usize, TcpStream) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        let env = Env::system();
        let spawner = env.clone();
        let accepting = env.spawn(async move {
            let mut serving = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                serving.push(spawner.spawn(serve(number, stream)));
            }
        });
        Self {
            address,
            connections,
            _accepting: accepting,
        }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn aws(&self) -> AwsBuilder {
        handle(&format!("http://{}", self.address))
    }

    fn kinesis(&self) -> Kinesis {
        self.aws().build().unwrap().kinesis()
    }
}

/// One connection of a server, seen from its end.
struct Connection(BufReader<TcpStream>);

impl Connection {
    /// The next request's first line, once the request is here as a whole; nothing at the end.
    async fn request(&mut self) -> Option<String> {
        let mut first = String::new();
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let text = line.trim_end().to_ascii_lowercase();
            if first.is_empty() {
                line.trim_end().clone_into(&mut first);
            } else if let Some(value) = text.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            } else if text.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.ok()?;
        Some(first)
    }

    async fn write(&mut self, text: &str) {
        // The client may have gone, which is then what the test is about.
        let _ = self.0.get_mut().write_all(text.as_bytes()).await;
        let _ = self.0.get_mut().flush().await;
    }

    async fn answer(&mut self, body: &str) {
        self.write(&head(body.len())).await;
        self.write(body).await;
    }

    /// Answers every request.
    async fn answer_all(mut self, body: &'static str) {
        while self.request().await.is_some() {
            self.answer(body).await;
        }
    }

    /// Closes with a reset instead of an orderly end.
    fn reset(self) {
        self.0.get_ref().set_zero_linger().unwrap();
    }

    /// Stays open until the client closes.
    async fn wait_for_close(mut self) {
        let _ = self.0.read_to_end(&mut Vec::new()).await;
    }
}

fn head(length: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\n\
         content-length: {length}\r\n\r\n"
    )
}

fn handle(url: &str) -> AwsBuilder {
    Aws::builder()
        .region("us-east-1")
        .credentials(credentials())
        .endpoint_url(url)
}

fn limits(first_byte: Duration, idle: Duration) -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.first_byte = first_byte;
    timeouts.idle = idle;
    timeouts
}

fn without_retries(kinesis: Kinesis) -> Kinesis {
    kinesis
        .with_control_plane_retries(RetryPolicy::never())
        .with_data_path_retries(RetryPolicy::never())
}

fn with_quick_retries(kinesis: Kinesis) -> Kinesis {
    let short = Duration::from_millis(1);
    let policy = RetryPolicy::never().attempts(3).schedule(short, short);
    kinesis
        .with_control_plane_retries(policy)
        .with_data_path_retries(policy)
}

async fn read(kinesis: &Kinesis) -> Result<Vec<Shard>, Error> {
    kinesis.list_shards(&stream(), ShardFilter::All).await
}

async fn put(kinesis: &Kinesis) -> Result<PutSuccess, Error> {
    let entry = PutRecordsEntry::new("key".parse().unwrap(), "data".into());
    kinesis.put_record(&stream(), &entry).await
}

#[tokio::test]
async fn calls_one_after_another_share_one_connection_and_speak_http_1_1() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let seen = lines.clone();
    let server = Server::start(move |_, mut connection| {
        let seen = seen.clone();
        async move {
            while let Some(line) = connection.request().await {
                seen.lock().unwrap().push(line);
                connection.answer(NO_SHARDS).await;
            }
        }
    })
    .await;
    let kinesis = without_retries(server.kinesis());
    for _ in 0..20 {
        assert_eq!(read(&kinesis).await.unwrap(), []);
    }
    assert_eq!(server.connections(), 1);
    // HTTP/2 would begin with its preface, "PRI * HTTP/2.0".
    assert_eq!(*lines.lock().unwrap(), ["POST / HTTP/1.1"; 20]);
}

#[tokio::test]
async fn handles_share_connections_unless_they_have_a_client_of_their_own() {
    let server = Server::start(|_, connection| connection.answer_all(NO_SHARDS)).await;
    let aws = server.aws().build().unwrap();
    read(&aws.kinesis()).await.unwrap();
    read(&aws.clone().kinesis()).await.unwrap();
    read(&server.kinesis()).await.unwrap();
    assert_eq!(server.connections(), 1);
    let own = server.aws().transport(Http::new(None).unwrap());
    read(&own.build().unwrap().kinesis()).await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_chunked_answer_is_put_together() {
    let server = Server::start(|_, mut connection| async move {
        while connection.request().await.is_some() {
            connection
                .write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                .await;
            // Cut in the middle of a word, and each piece on its way before the next.
            for piece in [r#"{"Shar"#, r#"ds":["#, "]}"] {
                let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
                connection.write(&chunk).await;
            }
            connection.write("0\r\n\r\n").await;
        }
    })
    .await;
    let kinesis = without_retries(server.kinesis());
    for _ in 0..3 {
        assert_eq!(read(&kinesis).await.unwrap(), []);
    }
    assert_eq!(server.connections(), 1);
}

/// Resets the first connection in the middle of its answer and serves the others.
async fn reset_once(number: usize, mut connection: Connection, body: &'static str) {
    if number > 0 {
        return connection.answer_all(body).await;
    }
    connection.request().await;
    connection.write(&head(body.len())).await;
    connection.write(&body[..body.len() / 2]).await;
    connection.reset();
}

#[tokio::test]
async fn a_reset_in_the_middle_of_an_answer_is_a_transport_error() {
    let server = Server::start(|_, connection| reset_once(0, connection, NO_SHARDS)).await;
    let error = read(&without_retries(server.kinesis())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert_eq!(error.written(), Written::No);
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_read_whose_answer_was_cut_off_is_sent_again() {
    let server = Server::start(|number, it| reset_once(number, it, NO_SHARDS)).await;
    let kinesis = with_quick_retries(server.kinesis());
    assert_eq!(read(&kinesis).await.unwrap(), []);
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_put_whose_answer_was_cut_off_may_have_written() {
    let server = Server::start(|number, it| reset_once(number, it, STORED)).await;
    let error = put(&without_retries(server.kinesis())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert_eq!(error.written(), Written::Unknown);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_put_that_is_refused_after_a_cut_off_answer_still_may_have_written() {
    let server = Server::start(|number, mut connection| async move {
        if number == 0 {
            return reset_once(0, connection, STORED).await;
        }
        connection.request().await;
        let body = r#"{"__type":"ResourceNotFoundException"}"#;
        let head = head(body.len()).replace("200 OK", "400 Bad Request");
        connection.write(&(head + body)).await;
        connection.wait_for_close().await;
    })
    .await;
    let error = put(&with_quick_retries(server.kinesis()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceNotFound);
    assert_eq!(error.written(), Written::Unknown);
}

#[tokio::test]
async fn a_server_that_never_answers_is_a_timeout_within_the_limit() {
    let server = Server::start(|_, mut connection| async move {
        connection.request().await;
        connection.wait_for_close().await;
    })
    .await;
    let aws = server.aws().timeouts(limits(LIMIT, LIMIT)).build().unwrap();
    let kinesis = without_retries(aws.kinesis());
    let begin = aws.env().now();
    let read = read(&kinesis).await.unwrap_err();
    let put = put(&kinesis).await.unwrap_err();
    let took = aws.env().now().duration_since(begin);
    assert_eq!(
        (read.kind(), read.written()),
        (ErrorKind::Timeout, Written::No)
    );
    assert_eq!(
        (put.kind(), put.written()),
        (ErrorKind::Timeout, Written::Unknown)
    );
    assert!(took >= 2 * LIMIT && took < 10 * LIMIT, "{took:?}");
}

#[tokio::test]
async fn an_answer_that_stops_half_way_is_a_timeout_within_the_limit() {
    let server = Server::start(|_, mut connection| async move {
        connection.request().await;
        connection.write(&head(NO_SHARDS.len())).await;
        connection.write(&NO_SHARDS[..4]).await;
        connection.wait_for_close().await;
    })
    .await;
    let patient = Duration::from_secs(60);
    let aws = server
        .aws()
        .timeouts(limits(patient, LIMIT))
        .build()
        .unwrap();
    let begin = aws.env().now();
    let error = read(&without_retries(aws.kinesis())).await.unwrap_err();
    let took = aws.env().now().duration_since(begin);
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(took >= LIMIT && took < 10 * LIMIT, "{took:?}");
}

#[tokio::test]
async fn a_connection_that_timed_out_is_not_used_again() {
    let server = Server::start(|number, mut connection| async move {
        if number > 0 {
            return connection.answer_all(NO_SHARDS).await;
        }
        connection.request().await;
        connection.wait_for_close().await;
    })
    .await;
    let aws = server.aws().timeouts(limits(LIMIT, LIMIT)).build().unwrap();
    assert_eq!(read(&with_quick_retries(aws.kinesis())).await.unwrap(), []);
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn reads_do_not_notice_a_server_that_closes_idle_connections() {
    let server = Server::start(|_, mut connection| async move {
        connection.request().await;
        // Kept alive, by its head; closed all the same.
        connection.answer(NO_SHARDS).await;
    })
    .await;
    let kinesis = with_quick_retries(server.kinesis());
    for _ in 0..5 {
        assert_eq!(read(&kinesis).await.unwrap(), []);
    }
    assert_eq!(server.connections(), 5);
}

/// Answers one request and closes when the next one comes, as when an idle connection is closed
/// while a request is on its way.
async fn close_under_the_second(mut connection: Connection, body: &'static str) {
    connection.request().await;
    connection.answer(body).await;
    connection.request().await;
}

#[tokio::test]
async fn reads_do_not_notice_a_connection_that_closes_under_a_request() {
    let server = Server::start(|_, it| close_under_the_second(it, NO_SHARDS)).await;
    let kinesis = with_quick_retries(server.kinesis());
    for _ in 0..4 {
        assert_eq!(read(&kinesis).await.unwrap(), []);
    }
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn a_put_whose_connection_closes_under_it_may_have_written() {
    let server = Server::start(|_, it| close_under_the_second(it, STORED)).await;
    let kinesis = without_retries(server.kinesis());
    put(&kinesis).await.unwrap();
    let error = put(&kinesis).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert_eq!(error.written(), Written::Unknown);
    // Not tried again below our retries, where it would not be counted.
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_written() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let kinesis = without_retries(handle(&url).build().unwrap().kinesis());
    let error = put(&kinesis).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert_eq!(error.written(), Written::No);
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_a_transport_error() {
    let server = Server::start(|_, mut connection| async move {
        connection.request().await;
        connection.write("SSH-2.0-OpenSSH_9.6\r\n\r\n").await;
    })
    .await;
    let error = put(&without_retries(server.kinesis())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert_eq!(error.written(), Written::Unknown);
}

/// The mock behind TLS, with a certificate that only its own file vouches for.
struct Encrypted {
    server: Server,
    mock: Mock,
    /// What each connection agreed on.
    protocols: Arc<Mutex<Vec<Option<Vec<u8>>>>>,
    certificate: PathBuf,
}

impl Encrypted {
    /// `name` makes the certificate's file this test's own; `offers` are the server's protocols.
    async fn start(name: &str, offers: &[&str]) -> Self {
        let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pem"));
        std::fs::write(&certificate, key.cert.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let private = PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.into()], PrivateKeyDer::Pkcs8(private))
            .unwrap();
        config.alpn_protocols = offers.iter().map(|it| it.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let mock = Mock::new();
        mock.create_stream(&stream(), 1).unwrap();
        let service = mock.service();
        let protocols = Arc::new(Mutex::new(Vec::new()));
        let agreed = protocols.clone();
        let server = Server::listen(move |_, tcp| {
            let (acceptor, service) = (acceptor.clone(), service.clone());
            let agreed = agreed.clone();
            async move {
                // A client that does not trust the certificate ends the handshake.
                let Ok(tls) = acceptor.accept(tcp).await else {
                    return;
                };
                let protocol = tls.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
                agreed.lock().unwrap().push(protocol);
                let service = service_fn(|request| service.clone().call(request));
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(tls), service)
                    .await;
            }
        })
        .await;
        Self {
            server,
            mock,
            protocols,
            certificate,
        }
    }

    fn url(&self) -> String {
        format!("https://{}", self.server.address)
    }

    /// A client that trusts the server's certificate.
    fn kinesis(&self) -> Kinesis {
        let aws = handle(&self.url()).ca_bundle_file(&self.certificate);
        without_retries(aws.build().unwrap().kinesis())
    }

    fn protocols(&self) -> Vec<Option<Vec<u8>>> {
        self.protocols.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn http_2_is_spoken_to_a_server_that_offers_it() {
    let server = Encrypted::start("h2", &["h2", "http/1.1"]).await;
    let kinesis = server.kinesis();
    put(&kinesis).await.unwrap();
    assert_eq!(read(&kinesis).await.unwrap().len(), 1);
    assert_eq!(server.protocols(), [Some(b"h2".to_vec())]);
    assert_eq!(server.mock.calls(Operation::PutRecord), 1);
}

#[tokio::test]
async fn http_1_1_is_spoken_to_a_server_that_offers_no_other() {
    let server = Encrypted::start("http-1-1", &["http/1.1"]).await;
    let kinesis = server.kinesis();
    put(&kinesis).await.unwrap();
    assert_eq!(read(&kinesis).await.unwrap().len(), 1);
    assert_eq!(server.protocols(), [Some(b"http/1.1".to_vec())]);
}

#[tokio::test]
async fn http_1_1_is_spoken_to_a_server_that_does_not_negotiate() {
    let server = Encrypted::start("no-alpn", &[]).await;
    let kinesis = server.kinesis();
    put(&kinesis).await.unwrap();
    assert_eq!(read(&kinesis).await.unwrap().len(), 1);
    assert_eq!(server.protocols(), [None]);
}

#[tokio::test]
async fn a_certificate_without_a_known_issuer_is_refused_before_any_request() {
    let server = Encrypted::start("untrusted", &["h2", "http/1.1"]).await;
    let kinesis = without_retries(handle(&server.url()).build().unwrap().kinesis());
    let error = put(&kinesis).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert_eq!(error.written(), Written::No);
    assert_eq!(server.mock.calls(Operation::PutRecord), 0);
}

#[tokio::test]
async fn a_certificate_for_another_server_is_refused_though_its_file_is_trusted() {
    let server = Encrypted::start("trusted", &["h2"]).await;
    let other = Encrypted::start("other", &["h2"]).await;
    let aws = handle(&server.url()).ca_bundle_file(&other.certificate);
    let kinesis = without_retries(aws.build().unwrap().kinesis());
    let error = read(&kinesis).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
}
