//! AWS's own SDK on AWS's own HTTP client, and our client on ours, at one mock behind a real socket.

use aws_sdk_dynamodb as dynamodb;
use aws_sdk_kinesis as kinesis;
use aws_smithy_http_client::Builder;
use shardwise_client::credential_types::Credentials;
use shardwise_client::{Aws, Service};
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

/// Regions of each partition.
const REGIONS: [&str; 12] = [
    "us-east-1",
    "eu-west-1",
    "mx-central-1",
    "il-central-1",
    "us-gov-west-1",
    "cn-north-1",
    "eusc-de-east-1",
    "us-iso-east-1",
    "us-isob-east-1",
    "us-isof-south-1",
    "eu-isoe-west-1",
    "ap-southeast-7",
];

#[tokio::test]
async fn our_public_endpoints_are_those_of_the_official_rules() {
    use dynamodb::config::endpoint::ResolveEndpoint as _;
    use kinesis::config::endpoint::ResolveEndpoint as _;
    let of_kinesis = kinesis::config::endpoint::DefaultResolver::new();
    let of_dynamodb = dynamodb::config::endpoint::DefaultResolver::new();
    for region in REGIONS {
        for (fips, dual_stack) in [(false, false), (false, true), (true, false), (true, true)] {
            let aws = Aws::builder()
                .region(region)
                .credentials(credentials())
                .use_fips(fips)
                .use_dual_stack(dual_stack)
                .build()
                .unwrap();
            let params = kinesis::config::endpoint::Params::builder()
                .region(region)
                .use_fips(fips)
                .use_dual_stack(dual_stack)
                .build()
                .unwrap();
            let official = of_kinesis.resolve_endpoint(&params).await.unwrap();
            let ours = aws.endpoint(Service::Kinesis).to_string();
            assert_eq!(ours, format!("{}/", official.url()));

            let params = dynamodb::config::endpoint::Params::builder()
                .region(region)
                .use_fips(fips)
                .use_dual_stack(dual_stack)
                .build()
                .unwrap();
            let official = of_dynamodb.resolve_endpoint(&params).await.unwrap();
            let ours = aws.endpoint(Service::DynamoDb).to_string();
            assert_eq!(ours, format!("{}/", official.url()));
        }
    }
}
