//! What lets a client of AWS's own SDK ride on the transport, clock and credentials of a handle.
//!
//! So every call, of whichever service, leaves by one door, and a simulated node's skew and freeze
//! reach the SDK too. Only the SDK's interfaces are needed here, not the SDK.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::{AsyncSleep, SharedAsyncSleep, Sleep};
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use shardwise_env::Env;

use crate::aws::{Aws, Timeouts};
use crate::credentials::CredentialsCache;
use crate::encoding::WireFormat;
use crate::error::{BoxError, ErrorKind as CallErrorKind};
use crate::retry::kind_of_code;
use crate::transport::{Transport, TransportError};

impl Aws {
    /// The transport, as an HTTP client of AWS's SDK.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        let mut connector = Connector::new(self.transport().clone(), self.env(), self.timeouts());
        connector.credentials = self.credentials_cache().cloned();
        SharedHttpClient::new(connector)
    }

    /// The clock, as a time source of AWS's SDK.
    #[must_use]
    pub fn time_source(&self) -> SharedTimeSource {
        time_source(self.env())
    }

    /// The sleep of that clock, as that of AWS's SDK.
    #[must_use]
    pub fn async_sleep(&self) -> SharedAsyncSleep {
        async_sleep(self.env())
    }

    /// The credentials with their cache, as a provider for AWS's SDK; `None` if requests are not
    /// signed. The SDK's own cache is best switched off (`IdentityCache::no_cache`): it would go on
    /// with credentials that were refused.
    #[must_use]
    pub fn credentials_provider(&self) -> Option<SharedCredentialsProvider> {
        let cached: Arc<dyn ProvideCredentials> = self.credentials_cache()?.clone();
        Some(SharedCredentialsProvider::new(cached))
    }
}

#[cfg(feature = "aws-config")]
pub(crate) fn http_client(
    transport: Arc<dyn Transport>,
    env: &Env,
    timeouts: Timeouts,
) -> SharedHttpClient {
    SharedHttpClient::new(Connector::new(transport, env, timeouts))
}

pub(crate) fn time_source(env: &Env) -> SharedTimeSource {
    SharedTimeSource::new(Clock(env.clone()))
}

pub(crate) fn async_sleep(env: &Env) -> SharedAsyncSleep {
    SharedAsyncSleep::new(Clock(env.clone()))
}

#[derive(Debug)]
struct Clock(Env);

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        self.0.wall_now()
    }
}

impl AsyncSleep for Clock {
    fn sleep(&self, duration: Duration) -> Sleep {
        let env = self.0.clone();
        Sleep::new(async move { env.sleep(duration).await })
    }
}

#[derive(Debug, Clone)]
struct Connector {
    transport: Arc<dyn Transport>,
    env: Env,
    timeouts: Timeouts,
    /// Whose credentials requests are signed with.
    credentials: Option<Arc<CredentialsCache>>,
}

impl HttpClient for Connector {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.with_limit(settings.read_timeout()))
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.clone();
        HttpConnectorFuture::new(async move { connector.exchange(request).await })
    }
}

impl Connector {
    fn new(transport: Arc<dyn Transport>, env: &Env, timeouts: Timeouts) -> Self {
        Self {
            transport,
            env: env.clone(),
            timeouts,
            credentials: None,
        }
    }

    /// The address of an instance's metadata leads nowhere elsewhere, so the SDK asks it with a limit
    /// of one second. The transport's own limit for a connection is part of it.
    fn with_limit(&self, limit: Option<Duration>) -> Self {
        let mut connector = self.clone();
        if let Some(limit) = limit {
            connector.timeouts.first_byte = limit.min(self.timeouts.first_byte);
        }
        connector
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let (parts, body) = request.try_into_http1x().map_err(user_error)?.into_parts();
        let body = body
            .collect()
            .await
            .map_err(ConnectorError::user)?
            .to_bytes();
        let signature = self
            .credentials
            .as_ref()
            .and_then(|_| Signature::of(&parts.headers));
        let request = http::Request::from_parts(parts, body);
        let response = self
            .env
            .timeout(self.timeouts.first_byte, self.transport.send(request))
            .await
            .map_err(|elapsed| ConnectorError::timeout(elapsed.into()))?
            .map_err(transport_error)?;
        let (parts, body) = response.into_parts();
        // Answers of DynamoDB are small and whole; a body that stalls is the call's failure.
        let body = self
            .env
            .timeout(self.timeouts.idle, body.collect())
            .await
            .map_err(|elapsed| ConnectorError::timeout(elapsed.into()))?
            .map_err(ConnectorError::io)?
            .to_bytes();
        if let (Some(credentials), Some(signature)) = (&self.credentials, signature)
            && parts.status.is_client_error()
            && is_expired(&body)
            && credentials.refused(&signature.access_key_id, signature.session_token.as_deref())
        {
            // The SDK does not try such a refusal again, but signs afresh for what is transient.
            let expired = "the credentials have expired";
            return Err(ConnectorError::other(
                expired.into(),
                Some(ErrorKind::TransientError),
            ));
        }
        HttpResponse::try_from(http::Response::from_parts(parts, SdkBody::from(body)))
            .map_err(|error| ConnectorError::other(error.into(), None))
    }
}

/// Whose signature a request carries.
struct Signature {
    access_key_id: String,
    session_token: Option<String>,
}

impl Signature {
    /// From `AWS4-HMAC-SHA256 Credential=AKID/20260101/..` and the header of the token.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let (_, scope) = text("authorization")?.split_once("Credential=")?;
        let (access_key_id, _) = scope.split_once('/')?;
        Some(Self {
            access_key_id: access_key_id.to_owned(),
            session_token: text("x-amz-security-token").map(ToOwned::to_owned),
        })
    }
}

/// Whether an error answer says that the credentials have expired.
fn is_expired(body: &[u8]) -> bool {
    let (code, _message) = WireFormat::Json.read_error(body);
    code.is_some_and(|code| kind_of_code(&code, 400) == CallErrorKind::ExpiredCredentials)
}

fn user_error(error: impl Into<BoxError>) -> ConnectorError {
    ConnectorError::user(error.into())
}

/// The SDK retries what is an I/O error.
fn transport_error(error: TransportError) -> ConnectorError {
    ConnectorError::io(error.into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_credential_types::Credentials;
    use aws_credential_types::provider::future::ProvideCredentials as ProvidedCredentials;
    use bytes::Bytes;
    use shardwise_env::Simulation;

    use super::*;
    use crate::transport::{Body, BoxFuture};

    #[derive(Debug)]
    struct Silent;

    impl Transport for Silent {
        fn send(
            &self,
            _: http::Request<Bytes>,
        ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_shorter_limit_ends_an_exchange() {
        let env = Simulation::new(1).node("n", 1.0).env();
        let connector = Connector::new(Arc::new(Silent), &env, Timeouts::default());
        let second = Duration::from_secs(1);
        for (limit, expected) in [
            (None, 10 * second),
            (Some(second), second),
            (Some(60 * second), 10 * second),
        ] {
            let begin = env.now();
            let request = HttpRequest::get("http://169.254.169.254/").unwrap();
            let error = connector.with_limit(limit).exchange(request).await;
            assert!(error.unwrap_err().is_timeout());
            assert_eq!(env.now() - begin, expected, "{limit:?}");
        }
    }
    /// Answers that the credentials have expired.
    #[derive(Debug)]
    struct Expired;

    impl Transport for Expired {
        fn send(
            &self,
            _: http::Request<Bytes>,
        ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>> {
            let body = r#"{"__type":"com.amazon.coral.service#ExpiredTokenException"}"#;
            let mut response = http::Response::new(Body::full(Bytes::from_static(body.as_bytes())));
            *response.status_mut() = http::StatusCode::BAD_REQUEST;
            Box::pin(std::future::ready(Ok(response)))
        }
    }

    /// Gives a new key at each call.
    #[derive(Debug, Default)]
    struct Rotating(AtomicUsize);

    impl ProvideCredentials for Rotating {
        fn provide_credentials<'a>(&'a self) -> ProvidedCredentials<'a>
        where
            Self: 'a,
        {
            let id = format!("AKID{}", self.0.fetch_add(1, Ordering::Relaxed));
            let token = Some("token".to_owned());
            ProvidedCredentials::ready(Ok(Credentials::new(id, "secret", token, None, "test")))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_as_expired_has_the_sdk_sign_again_with_fresh_credentials() {
        let aws = Aws::builder()
            .in_process_transport(Expired)
            .credentials(Rotating::default())
            .env(Simulation::new(1).node("n", 1.0).env())
            .build()
            .unwrap();
        let mut connector = Connector::new(Arc::new(Expired), aws.env(), aws.timeouts());
        connector.credentials = aws.credentials_cache().cloned();
        let provider = aws.credentials_provider().unwrap();
        for (key, is_tried_again) in [("AKID0", true), ("AKID1", false)] {
            let credentials = provider.provide_credentials().await.unwrap();
            assert_eq!(credentials.access_key_id(), key);
            let mut request = HttpRequest::get("http://dynamodb/").unwrap();
            let signature = format!("AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/x");
            let headers = request.headers_mut();
            headers.insert("authorization", signature);
            headers.insert("x-amz-security-token", "token");
            match connector.exchange(request).await {
                Err(error) => {
                    assert!(is_tried_again);
                    assert_eq!(error.as_other(), Some(ErrorKind::TransientError));
                }
                Ok(response) => {
                    assert!(!is_tried_again, "a second time, and soon after");
                    assert_eq!(response.status().as_u16(), 400);
                }
            }
        }
    }
}
