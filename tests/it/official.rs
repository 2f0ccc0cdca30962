//! AWS's own SDK on AWS's own HTTP client, and our client on ours, at one mock behind a real socket.

use aws_sdk_dynamodb as dynamodb;
use aws_sdk_kinesis as kinesis;
use aws_smithy_http_client::Builder;
use shardwise_client::Aws;
use shardwise_client::credential_types::Credentials;
use shardwise_mock::{KeyPairs, Mock, Server};
use shardwise_types::StreamName;

pub(crate) const STREAM: &str = "orders";

/// A mock on a port of its own.
pub(crate) struct Backend {
    pub(crate) mock: Mock,
    server: Server,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let mock = Mock::builder()
            .verify_signatures(KeyPairs::any_id("test"))
            .build();
        let server = mock.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        Self { mock, server }
    }

    /// With an active stream.
    pub(crate) async fn with_stream(shards: u32) -> Self {
        let backend = Self::start().await;
        backend.mock.create_stream(&stream(), shards).unwrap();
        backend
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.local_addr())
    }

    /// The official client, without retries: each answer is seen as it is.
    pub(crate) fn kinesis(&self) -> kinesis::Client {
        let config = kinesis::Config::builder()
            .behavior_version(kinesis::config::BehaviorVersion::latest())
            .region(kinesis::config::Region::new("us-east-1"))
            .credentials_provider(credentials())
            .endpoint_url(self.url())
            .http_client(Builder::new().build_http())
            .retry_config(kinesis::config::retry::RetryConfig::disabled());
        kinesis::Client::from_conf(config.build())
    }

    /// The official client, without retries.
    pub(crate) fn dynamodb(&self) -> dynamodb::Client {
        let config = dynamodb::Config::builder()
            .behavior_version(dynamodb::config::BehaviorVersion::latest())
            .region(dynamodb::config::Region::new("us-east-1"))
            .credentials_provider(credentials())
            .endpoint_url(self.url())
            .http_client(Builder::new().build_http())
            .retry_config(dynamodb::config::retry::RetryConfig::disabled());
        dynamodb::Client::from_conf(config.build())
    }

    /// Our handle, over sockets as well.
    pub(crate) fn aws(&self) -> Aws {
        Aws::builder()
            .region("us-east-1")
            .credentials(credentials())
            .endpoint_url(self.url())
            .build()
            .unwrap()
    }
}

pub(crate) fn stream() -> StreamName {
    STREAM.parse().unwrap()
}

pub(crate) fn credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "test")
}
