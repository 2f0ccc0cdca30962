//! The production transport: reqwest on rustls.
//!
//! Reading the platform's certificates takes milliseconds, so handles with the same TLS settings
//! share them, and with them the connections.

use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use reqwest::redirect::Policy;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::BuilderVerifierExt as _;
use shardwise_env::lock;
use shardwise_types::{ConfigError, ConfigErrorKind};

use super::body::Body;
use super::exchange::{BoxFuture, Transport, TransportError};

/// A TCP and TLS handshake within a region takes milliseconds. Longer than this, another address
/// or another attempt is the better bet.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// AWS front ends close a connection that was idle for about a minute; a pooled connection that
/// dies under a request is a failure of unknown outcome, so pooled ones are dropped well before.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections that may wait idle for one host: as many PutRecords as a busy producer has in
/// flight. More in flight is possible, they are only not kept.
const POOL_MAX_IDLE_PER_HOST: usize = 64;

/// Finds dead peers (a lost NAT entry, a vanished host) under a long poll.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// An HTTP/2 connection from which nothing was read for this long, while an answer is due, is sent a
/// ping.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// A connection that leaves a ping unanswered for this long is dead: its calls fail, and the next ones
/// have a new connection. All calls of a process may be on it, so with [`PING_INTERVAL`] this is how
/// long a silent death can stop everything.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes of a request's body above which it has a connection of its own, by HTTP/1.1. On a narrow
/// uplink a ping would wait behind it, and the connection be taken for dead; and one that dies stops no
/// other call.
const LARGE_BODY: usize = 64 * 1024;

/// What TLS servers may choose from, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", HTTP_1];

const HTTP_1: &[u8] = b"http/1.1";

/// HTTP over TCP and TLS, by reqwest.
///
/// HTTP/1.1, or HTTP/2 where a TLS server chooses it; plain text and requests of more than 64 KiB are
/// always HTTP/1.1. TLS by rustls
/// with the platform's certificate verifier, its cryptography by ring, or by AWS-LC with the feature
/// `aws-lc-rs`. `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are honoured. Redirects are not followed
/// and nothing is tried again here. An HTTP/2 connection that dies silently is noticed within four
/// seconds.
#[derive(Clone)]
pub struct Http(Arc<Client>);

struct Client {
    http: reqwest::Client,
    /// For large requests: HTTP/1.1 only.
    large: reqwest::Client,
    tls: rustls::ClientConfig,
    /// The certificates that it trusts besides the platform's.
    ca_bundle: Option<Vec<u8>>,
    /// Where the tasks of its connections run: a connection of another runtime stands still as soon
    /// as that one is not driven.
    runtime: Option<tokio::runtime::Id>,
}

/// The clients that handles share, as long as there are such handles.
static SHARED: Mutex<Vec<Weak<Client>>> = Mutex::new(Vec::new());

impl Http {
    /// A client with a connection pool of its own; the handles that are built without a transport
    /// share one for each runtime. `ca_bundle` holds PEM certificates to trust besides the platform's.
    ///
    /// # Errors
    /// [`ConfigErrorKind::InvalidCaBundle`] if the bundle holds no certificate or a broken one,
    /// [`ConfigErrorKind::Tls`] if TLS cannot be set up.
    pub fn new(ca_bundle: Option<&[u8]>) -> Result<Self, ConfigError> {
        let client = Client::new(tls_config(ca_bundle)?, ca_bundle)?;
        Ok(Self(Arc::new(client)))
    }

    /// The client that handles of this runtime with these certificates share. It has the proxy
    /// settings of the first one.
    pub(crate) fn shared(ca_bundle: Option<&[u8]>) -> Result<Self, ConfigError> {
        let mut shared = lock(&SHARED);
        shared.retain(|client| client.strong_count() > 0);
        let alike: Vec<Arc<Client>> = shared
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|client| client.ca_bundle.as_deref() == ca_bundle)
            .collect();
        let runtime = current_runtime();
        if let Some(client) = alike.iter().find(|client| client.runtime == runtime) {
            return Ok(Self(client.clone()));
        }
        let tls = match alike.first() {
            Some(client) => client.tls.clone(),
            None => tls_config(ca_bundle)?,
        };
        let client = Arc::new(Client::new(tls, ca_bundle)?);
        shared.push(Arc::downgrade(&client));
        Ok(Self(client))
    }
}

impl Client {
    fn new(tls: rustls::ClientConfig, ca_bundle: Option<&[u8]>) -> Result<Self, ConfigError> {
        let mut http_1_tls = tls.clone();
        http_1_tls.alpn_protocols = vec![HTTP_1.to_vec()];
        let http = client_builder(tls.clone())
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT);
        let large = client_builder(http_1_tls).http1_only();
        let build = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| {
                ConfigError::new(ConfigErrorKind::Tls, "could not set up the HTTP client")
                    .with_source(error)
            })
        };
        Ok(Self {
            http: build(http)?,
            large: build(large)?,
            tls,
            ca_bundle: ca_bundle.map(<[u8]>::to_vec),
            runtime: current_runtime(),
        })
    }

    fn for_request(&self, request: &http::Request<Bytes>) -> &reqwest::Client {
        let is_encrypted = request.uri().scheme() == Some(&http::uri::Scheme::HTTPS);
        if is_encrypted && request.body().len() > LARGE_BODY {
            &self.large
        } else {
            &self.http
        }
    }
}

fn client_builder(tls: rustls::ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(POOL_MAX_IDLE_PER_HOST)
        .tcp_keepalive(TCP_KEEPALIVE)
        .tcp_nodelay(true)
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
}

fn current_runtime() -> Option<tokio::runtime::Id> {
    let handle = tokio::runtime::Handle::try_current().ok()?;
    Some(handle.id())
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl Transport for Http {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>> {
        Box::pin(async move {
            let client = self.0.for_request(&request);
            let request = reqwest::Request::try_from(request).map_err(TransportError::connect)?;
            let response = client.execute(request).await.map_err(|error| {
                if error.is_connect() || error.is_builder() {
                    TransportError::connect(error)
                } else {
                    TransportError::broken(error)
                }
            })?;
            Ok(http::Response::<reqwest::Body>::from(response).map(Body::new))
        })
    }
}

fn tls_config(ca_bundle: Option<&[u8]>) -> Result<rustls::ClientConfig, ConfigError> {
    let tls_error =
        |error| ConfigError::new(ConfigErrorKind::Tls, "could not set up TLS").with_source(error);
    let provider = Arc::new(cryptography());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(tls_error)?;
    let builder = match ca_bundle {
        None => builder.with_platform_verifier().map_err(tls_error)?,
        Some(pem) => {
            let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(
                certificates(pem)?,
                provider,
            )
            .map_err(|error| {
                ConfigError::new(
                    ConfigErrorKind::InvalidCaBundle,
                    "the CA bundle holds a certificate that cannot be a root",
                )
                .with_source(error)
            })?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let mut config = builder.with_no_client_auth();
    // reqwest adds nothing to a configuration that it is given ready-made.
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok(config)
}

fn cryptography() -> CryptoProvider {
    #[cfg(feature = "aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "aws-lc-rs"))]
    return rustls::crypto::ring::default_provider();
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let invalid = |message| ConfigError::new(ConfigErrorKind::InvalidCaBundle, message);
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| invalid("the CA bundle is not PEM").with_source(error))?;
    if certificates.is_empty() {
        return Err(invalid("the CA bundle holds no certificate"));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_ca_bundle_is_refused_before_any_io() {
        for pem in [
            "",
            "no pem",
            "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
        ] {
            let error = Http::new(Some(pem.as_bytes())).unwrap_err();
            assert_eq!(error.kind(), ConfigErrorKind::InvalidCaBundle, "{pem:?}");
        }
    }
    #[tokio::test]
    async fn handles_share_a_client_unless_certificates_or_runtimes_differ() {
        let first = Http::shared(None).unwrap();
        assert!(Arc::ptr_eq(&first.0, &Http::shared(None).unwrap().0));
        assert!(!Arc::ptr_eq(&first.0, &Http::new(None).unwrap().0));
        let elsewhere = std::thread::spawn(|| Http::shared(None).unwrap());
        assert!(!Arc::ptr_eq(&first.0, &elsewhere.join().unwrap().0));
    }
}
