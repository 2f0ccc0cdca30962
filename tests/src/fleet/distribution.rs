//! A stream whose records the service distributes itself (AUTO), or does for a while.
//!
//! The client has no such calls, so these go to the mock as they are.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use shardwise_client::Transport as _;
use shardwise_client::transport::InProcess;
use shardwise_mock::{DEFAULT_ACCOUNT, DEFAULT_REGION};

use super::world::World;
use crate::unverified_signature::with_unverified_signature;

impl World {
    /// Creates the stream, on demand and with AUTO.
    pub(super) async fn create_auto_stream(&self) {
        let body = json!({
            "StreamName": self.stream.as_str(),
            "StreamModeDetails": { "StreamMode": "ON_DEMAND" },
            "RecordDistributionStrategy": "AUTO",
        });
        self.call("CreateStream", &body).await;
    }

    /// From AUTO to the partition key, or back. The producer has to find out by itself.
    pub(super) async fn switch_distribution(&mut self) {
        self.is_auto = !self.is_auto;
        let strategy = if self.is_auto {
            "AUTO"
        } else {
            "USER_PARTITION_KEY"
        };
        self.note(&format!("records are distributed by {strategy}"));
        let stream = &self.stream;
        let body = json!({
            "StreamARN": format!("arn:aws:kinesis:{DEFAULT_REGION}:{DEFAULT_ACCOUNT}:stream/{stream}"),
            "RecordDistributionStrategy": strategy,
        });
        self.call("UpdateStreamRecordDistributionStrategy", &body)
            .await;
    }

    async fn call(&self, operation: &str, body: &Value) {
        let request = http::Request::post("http://kinesis/")
            .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
            .header(CONTENT_TYPE, "application/x-amz-json-1.1")
            .body(Bytes::from(body.to_string()))
            .unwrap();
        let service = InProcess::new(self.mock.service());
        let answer = service.send(with_unverified_signature(request)).await;
        let status = answer.unwrap().status();
        assert!(status.is_success(), "{operation}: {status}");
    }
}
