//! The backend on a port: HTTP/1.1 and HTTP/2, in the clear (with prior knowledge) or over TLS (by
//! ALPN).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use shardwise_env::{Env, Task};
use shardwise_types::with_causes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
#[cfg(feature = "tls")]
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use crate::admin::AdminService;
use crate::body::{BrokenConnection, ResponseFuture};
use crate::service::MockService;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// Connections served at once; more wait to be accepted. Far above what a fleet on one machine
/// opens, and some seventy MiB if all of them are idle.
const MAX_CONNECTIONS: usize = 10_000;

/// How long a connection may take to send a request's head. It bounds what an idle or stalled
/// client can hold; clients keep idle connections for less.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);

#[cfg(feature = "tls")]
/// How long a TLS handshake may take: two round trips, and the arithmetic of a slow client.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a request's body an HTTP/2 client may send ahead, in bytes. HTTP/2's own 64 KiB
/// would make a PutRecords of ten MiB wait for two hundred round trips.
const HTTP2_WINDOW: u32 = 2 * 1024 * 1024;

/// How long a shutdown waits for requests that are being answered.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

/// How long accepting pauses after it failed, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The address could not be listened on, or its TLS could not be set up.
#[derive(thiserror::Error)]
#[error("could not listen on {address}")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

impl fmt::Debug for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_causes(self))
    }
}

impl ListenError {
    /// The address that was tried.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A listening [`Mock`](crate::Mock), or its admin API. Dropping it closes the port and every connection at once;
/// [`Server::shutdown`] lets requests under way finish.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// In PEM, if the port speaks TLS.
    #[cfg(feature = "tls")]
    certificate: Option<String>,
    stop: watch::Sender<bool>,
    accepting: Task<()>,
}

impl Server {
    /// Listens in the clear.
    pub(crate) async fn bind(
        service: MockService,
        address: SocketAddr,
    ) -> Result<Self, ListenError> {
        Self::start(service.on_sockets(), address, Protection::None).await
    }

    /// Listens with TLS.
    #[cfg(feature = "tls")]
    pub(crate) async fn bind_tls(
        service: MockService,
        address: SocketAddr,
    ) -> Result<Self, ListenError> {
        let tls = Tls::new(address.ip()).map_err(|source| ListenError { address, source })?;
        let protection = Protection::Tls(tls.acceptor);
        let server = Self::start(service.on_sockets(), address, protection).await?;
        Ok(Self {
            certificate: Some(tls.certificate),
            ..server
        })
    }

    /// Listens for the admin API.
    pub(crate) async fn bind_admin(
        service: AdminService,
        address: SocketAddr,
    ) -> Result<Self, ListenError> {
        Self::start(service, address, Protection::None).await
    }

    async fn start<S: Answering>(
        service: S,
        address: SocketAddr,
        protection: Protection,
    ) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, stopped) = watch::channel(false);
        // Sockets live in real time. By a clock that is moved by hours, or that stands still, their
        // time limits would cut off who is not late, or never end.
        let env = Env::system();
        let accepting = env.spawn(accept(env.clone(), listener, protection, service, stopped));
        Ok(Self {
            address,
            #[cfg(feature = "tls")]
            certificate: None,
            stop,
            accepting,
        })
    }

    /// The address it listens on, with the real port where 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of a TLS port, in PEM: what a client has to trust.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Stops listening, ends subscriptions, lets other requests under way finish (for a few seconds)
    /// and closes every connection.
    ///
    /// # Cancel safety
    /// Safe: a dropped shutdown closes everything at once.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        // Either way it has ended, which is all that is asked of it.
        let _ = self.accepting.await;
    }
}

/// What is served on a port: AWS's operations, or the admin API.
pub(crate) trait Answering: Clone + Send + 'static {
    fn answer(&self, request: hyper::Request<Incoming>) -> ResponseFuture;
}

impl Answering for MockService {
    fn answer(&self, request: hyper::Request<Incoming>) -> ResponseFuture {
        self.clone().call(request)
    }
}

impl Answering for AdminService {
    fn answer(&self, request: hyper::Request<Incoming>) -> ResponseFuture {
        self.clone().call(request)
    }
}

/// What a connection does before its first request.
#[derive(Clone)]
enum Protection {
    /// Nothing: HTTP in the clear.
    None,
    #[cfg(feature = "tls")]
    Tls(TlsAcceptor),
}

/// Accepts connections and owns the task of each.
async fn accept<S: Answering>(
    env: Env,
    listener: TcpListener,
    protection: Protection,
    service: S,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections: FuturesUnordered<Task<()>> = FuturesUnordered::new();
    loop {
        // Cancel safe, all three: `changed`, `next` and `accept` lose nothing when dropped.
        tokio::select! {
            biased;
            _ = stopped.changed() => break,
            Some(_) = connections.next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => connections.push(env.spawn(connect(
                    env.clone(),
                    stream,
                    protection.clone(),
                    service.clone(),
                    stopped.clone(),
                ))),
                Err(error) => {
                    tracing::warn!("a connection could not be accepted, trying again: {error}");
                    env.sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let finish = async { while connections.next().await.is_some() {} };
    let _ = env.timeout(SHUTDOWN_PATIENCE, finish).await;
}

/// Serves one connection, after its handshake if there is one.
async fn connect<S: Answering>(
    env: Env,
    stream: TcpStream,
    protection: Protection,
    service: S,
    stopped: watch::Receiver<bool>,
) {
    // Answers are written whole: waiting to fill a packet only adds latency.
    let _ = stream.set_nodelay(true);
    match protection {
        Protection::None => serve(env, stream, service, stopped).await,
        #[cfg(feature = "tls")]
        Protection::Tls(acceptor) => {
            let mut stopping = stopped.clone();
            let shaken = tokio::select! {
                biased;
                _ = stopping.changed() => return,
                shaken = env.timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)) => shaken,
            };
            match shaken {
                Ok(Ok(stream)) => serve(env, stream, service, stopped).await,
                Ok(Err(error)) => tracing::debug!("a TLS handshake failed: {error}"),
                Err(error) => tracing::debug!("a TLS handshake was given up: {error}"),
            }
        }
    }
}

/// Serves one connection until it closes, stalls or the server stops.
async fn serve<S: Answering>(
    env: Env,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    service: S,
    mut stopped: watch::Receiver<bool>,
) {
    let began = Arc::new(AtomicBool::new(false));
    let broken = Arc::new(Notify::new());
    let answer = service_fn({
        let (began, broken, stopped) = (began.clone(), broken.clone(), stopped.clone());
        move |request: hyper::Request<Incoming>| {
            began.store(true, Ordering::Relaxed);
            let answer = service.answer(request);
            let (broken, mut stopped) = (broken.clone(), stopped.clone());
            async move {
                let answer = answer.await.inspect_err(|_| broken.notify_one())?;
                let stop = async move {
                    // Either way the server stops.
                    let _ = stopped.wait_for(|stopped| *stopped).await;
                };
                Ok::<_, BrokenConnection>(answer.map(|body| body.ending_on(stop)))
            }
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(HTTP2_WINDOW)
        .initial_connection_window_size(HTTP2_WINDOW);
    let connection = builder.serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    // hyper times the heads of HTTP/1 only; this covers a client that never gets so far.
    let first_request = env.sleep(HEAD_TIMEOUT);
    tokio::pin!(first_request);
    let mut waiting = true;
    let mut stopping = false;
    loop {
        // Cancel safe: the pinned futures outlive the loop, `changed` and `notified` lose nothing.
        tokio::select! {
            biased;
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!("a connection ended: {error}");
                }
                return;
            }
            // hyper itself would end an HTTP/2 stream only; a fault breaks the connection.
            () = broken.notified() => return,
            _ = stopped.changed(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = first_request.as_mut(), if waiting => {
                if !began.load(Ordering::Relaxed) {
                    return;
                }
                waiting = false;
            }
        }
    }
}
