//! What lets a client of AWS's own SDK ride on our transport, clock and credentials.
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
use http_body_util::BodyExt as _;
use shardwise_env::Env;

use crate::aws::{Aws, Timeouts};
use crate::error::BoxError;
use crate::transport::{Transport, TransportError};

impl Aws {
    /// Our transport, as an HTTP client of AWS's SDK.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        http_client(self.transport().clone(), self.env(), self.timeouts())
    }

    /// Our clock, as a time source of AWS's SDK.
    #[must_use]
    pub fn time_source(&self) -> SharedTimeSource {
        time_source(self.env())
    }

    /// Our sleep, as that of AWS's SDK.
    #[must_use]
    pub fn async_sleep(&self) -> SharedAsyncSleep {
        async_sleep(self.env())
    }

    /// Our credentials with their cache, as a provider for AWS's SDK; `None` if requests are not
    /// signed.
    #[must_use]
    pub fn credentials_provider(&self) -> Option<SharedCredentialsProvider> {
        let cached: Arc<dyn ProvideCredentials> = self.cached_credentials()?.clone();
        Some(SharedCredentialsProvider::new(cached))
    }
}

pub(crate) fn http_client(
    transport: Arc<dyn Transport>,
    env: &Env,
    timeouts: Timeouts,
) -> SharedHttpClient {
    let env = env.clone();
    SharedHttpClient::new(Connector {
        transport,
        env,
        timeouts,
    })
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
    /// Off an instance nobody answers at the address of its metadata, so that is asked with a limit
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
        HttpResponse::try_from(http::Response::from_parts(parts, SdkBody::from(body)))
            .map_err(|error| ConnectorError::other(error.into(), None))
    }
}

fn user_error(error: impl Into<BoxError>) -> ConnectorError {
    ConnectorError::user(error.into())
}

/// The SDK retries what it is told is I/O.
fn transport_error(error: TransportError) -> ConnectorError {
    ConnectorError::io(error.into())
}

#[cfg(test)]
mod tests {
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
        let connector = Connector {
            transport: Arc::new(Silent),
            env: env.clone(),
            timeouts: Timeouts::default(),
        };
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
}
