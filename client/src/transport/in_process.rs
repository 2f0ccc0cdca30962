//! A transport without a socket: the request is handed to a tower service in this process.

use std::fmt;

use bytes::Bytes;
use http_body_util::Full;
use tower_service::Service;

use super::body::Body;
use super::exchange::{BoxFuture, Transport, TransportError};
use crate::error::BoxError;

/// Hands every request to a service of this process, such as the mock's.
///
/// No socket and no kernel: it works under a paused clock.
#[derive(Clone)]
pub struct InProcess<S>(S);

impl<S> InProcess<S> {
    /// A transport to this service.
    pub fn new(service: S) -> Self {
        Self(service)
    }
}

impl<S> fmt::Debug for InProcess<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

impl<S, B> Transport for InProcess<S>
where
    S: Service<http::Request<Full<Bytes>>, Response = http::Response<B>>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>> {
        let mut service = self.0.clone();
        Box::pin(async move {
            std::future::poll_fn(|cx| service.poll_ready(cx))
                .await
                .map_err(TransportError::connect)?;
            let response = service
                .call(request.map(Full::new))
                .await
                .map_err(TransportError::broken)?;
            Ok(response.map(Body::new))
        })
    }
}
