//! What a handle costs that is built without a transport: `cargo bench -p shardwise-client`.
//!
//! The first one reads the platform's certificates; the others share them, and the connections.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends at the first error"
)]

use std::time::Duration;

use shardwise_client::credential_types::Credentials;
use shardwise_client::transport::Http;
use shardwise_client::{Aws, AwsBuilder, Env};

const HANDLES: u32 = 200;

fn builder() -> AwsBuilder {
    Aws::builder()
        .region("us-east-1")
        .credentials(Credentials::new("test", "test", None, None, "bench"))
}

/// The mean time of one handle.
fn mean(env: &Env, build: impl Fn() -> Aws) -> Duration {
    let begin = env.now();
    let handles: Vec<Aws> = (0..HANDLES).map(|_| build()).collect();
    let took = env.now() - begin;
    drop(handles);
    took / HANDLES
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let env = Env::system();
    let own = mean(&env, || {
        let http = Http::new(None).unwrap();
        builder().transport(http).build().unwrap()
    });
    let first = builder().build().unwrap();
    let shared = mean(&env, || builder().build().unwrap());
    drop(first);
    println!("a handle with connections of its own: {own:?}");
    println!("a handle that shares them:            {shared:?}");
}
