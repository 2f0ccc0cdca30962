//! The production transport: reqwest on rustls.

use std::time::Duration;

use bytes::Bytes;
use reqwest::redirect::Policy;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::BuilderVerifierExt as _;
use shardwise_types::{ConfigError, ConfigErrorKind};

use super::{Body, BoxFuture, Transport, TransportError};

/// A TCP and TLS handshake within a region takes milliseconds. Longer than this, another address
/// or another attempt is the better bet.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// AWS front ends close a connection that was idle for about a minute; a pooled connection that
/// dies under a request is a failure of unknown outcome, so ours are dropped well before.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections that may wait idle for one host: as many PutRecords as a busy producer has in
/// flight. More in flight is possible, they are only not kept.
const POOL_MAX_IDLE_PER_HOST: usize = 64;

/// Finds dead peers (a lost NAT entry, a vanished host) under a long poll.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// What TLS servers may choose from, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// HTTP over TCP and TLS, by reqwest.
///
/// HTTP/1.1, or HTTP/2 where a TLS server chooses it; plain text is always HTTP/1.1. TLS by rustls
/// with the platform's certificate verifier, its cryptography by ring, or by AWS-LC with the feature
/// `aws-lc-rs`. `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are
/// honoured. Redirects are not followed and nothing is tried again here.
#[derive(Debug, Clone)]
pub struct Http(reqwest::Client);

impl Http {
    /// A client with a connection pool of its own. `ca_bundle` holds PEM certificates to trust
    /// besides the platform's.
    ///
    /// # Errors
    /// [`ConfigErrorKind::InvalidCaBundle`] if the bundle holds no certificate or a broken one,
    /// [`ConfigErrorKind::Tls`] if TLS cannot be set up.
    pub fn new(ca_bundle: Option<&[u8]>) -> Result<Self, ConfigError> {
        let tls = tls_config(ca_bundle)?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_MAX_IDLE_PER_HOST)
            .tcp_keepalive(TCP_KEEPALIVE)
            .tcp_nodelay(true)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| {
                ConfigError::new(ConfigErrorKind::Tls, "could not set up the HTTP client")
                    .with_source(error)
            })?;
        Ok(Self(client))
    }
}

impl Transport for Http {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>> {
        Box::pin(async move {
            let request = reqwest::Request::try_from(request).map_err(TransportError::connect)?;
            let response = self.0.execute(request).await.map_err(|error| {
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
    let provider = std::sync::Arc::new(cryptography());
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
                .with_custom_certificate_verifier(std::sync::Arc::new(verifier))
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
}
