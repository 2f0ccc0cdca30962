//! What is called: a service in this process, on a thread of its own, or one behind an endpoint.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::ValueEnum;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use shardwise_client::Aws;
use shardwise_client::credential_types::Credentials;
use shardwise_client::transport::BoxError;
use shardwise_mock::Mock;
use tokio::sync::{mpsc, oneshot};
use tower_service::Service;

use crate::null::{Null, Served};
use crate::{Common, cpu};

/// Requests that wait for the service's thread: more than a producer has under way.
const QUEUE: usize = 256;

/// Against what to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Where {
    /// A service in this process that answers and does nothing else.
    Null,
    /// The mock, in this process.
    Mock,
    /// What `--endpoint` names, over HTTP.
    Endpoint,
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Mock => "the mock",
            Self::Endpoint => "the endpoint",
        })
    }
}

/// A service that can be called, and whose CPU time is known.
pub(crate) struct Backend {
    pub(crate) aws: Aws,
    pub(crate) place: Where,
    server: Server,
}

#[derive(Clone, Copy)]
enum Server {
    Thread(u32),
    Process(u32),
    Unknown,
}

impl Backend {
    pub(crate) async fn start(
        place: Where,
        common: &Common,
        served: Served,
    ) -> anyhow::Result<Self> {
        let (aws, server) = match place {
            Where::Null => on_a_thread(Null::new(common.shards, &served)?).await?,
            Where::Mock => {
                let mock = Mock::new();
                mock.create_stream(&common.stream, common.shards)?;
                on_a_thread(mock.service()).await?
            }
            Where::Endpoint => (
                over_http(common)?,
                common.server_pid.map_or(Server::Unknown, Server::Process),
            ),
        };
        Ok(Self { aws, place, server })
    }

    /// The CPU time of the measured part and that of the service, as far as it is known.
    pub(crate) fn cpu(&self) -> anyhow::Result<(Duration, Duration)> {
        let whole = cpu::of_this_process()?;
        Ok(match self.server {
            Server::Thread(thread) => {
                let served = cpu::of_thread(thread)?;
                (whole.saturating_sub(served), served)
            }
            Server::Process(pid) => (whole, cpu::of_process(pid)?),
            Server::Unknown => (whole, Duration::ZERO),
        })
    }
}

fn over_http(common: &Common) -> anyhow::Result<Aws> {
    let endpoint = common.endpoint.as_ref().context("no --endpoint")?;
    let builder = Aws::builder()
        .region("us-east-1")
        .credentials(Credentials::new("test", "test", None, None, "bench"))
        .endpoint_url(endpoint);
    let builder = match &common.ca_bundle {
        Some(path) => builder.ca_bundle_file(path),
        None => builder,
    };
    Ok(builder.build()?)
}

/// Runs the service on a thread of its own, so that its CPU time is counted apart from the caller's.
async fn on_a_thread<S, B>(service: S) -> anyhow::Result<(Aws, Server)>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (calls, mut queue) = mpsc::channel::<Call>(QUEUE);
    let (started, thread) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("service".to_owned())
        .spawn(move || {
            // Whoever waits for it is gone only if the program ends.
            let _ = started.send(cpu::this_thread());
            runtime.block_on(async move {
                // One at a time: it never waits.
                while let Some((request, answer)) = queue.recv().await {
                    let _ = answer.send(exchange(service.clone(), request).await);
                }
            });
        })?;
    let thread = thread.await.context("the service's thread ended")??;
    Ok((Aws::in_process(Caller(calls)), Server::Thread(thread)))
}

async fn exchange<S, B>(mut service: S, request: Request<Full<Bytes>>) -> Answer
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (head, body) = service
        .call(request)
        .await
        .map_err(Into::into)?
        .into_parts();
    let body = body.collect().await.map_err(Into::into)?.to_bytes();
    Ok(Response::from_parts(head, Full::new(body)))
}

type Answer = Result<Response<Full<Bytes>>, BoxError>;
type Call = (Request<Full<Bytes>>, oneshot::Sender<Answer>);

/// The caller's end of the thread.
#[derive(Clone)]
struct Caller(mpsc::Sender<Call>);

impl Service<Request<Full<Bytes>>> for Caller {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let calls = self.0.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            calls.send((request, answer)).await?;
            answered.await?
        })
    }
}
