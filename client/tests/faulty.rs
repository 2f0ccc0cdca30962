//! The network's own promises: what it loses is lost, what it carries arrives.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::time::Duration;

use shardwise_client::transport::{Conditions, Faults, Faulty, InProcess, TransportFault};
use shardwise_client::{Aws, PutRecordsEntry};
use shardwise_env::{Env, Node, Simulation};
use shardwise_mock::{Mock, Operation};
use shardwise_types::StreamName;

struct World {
    simulation: Simulation,
    network: Env,
    mock: Mock,
}

impl World {
    async fn new() -> Self {
        let simulation = Simulation::new(11);
        let network = simulation.node("network", 1.0).env();
        let mock = Mock::builder().env(network.clone()).build();
        let world = Self {
            simulation,
            network,
            mock,
        };
        let (aws, _) = world.aws(&world.simulation.node("setup", 1.0));
        aws.kinesis().create_stream(&stream(), 1).await.unwrap();
        world
    }

    fn aws(&self, node: &Node) -> (Aws, Faults) {
        let transport = Faulty::new(InProcess::new(self.mock.service()), self.network.clone());
        let faults = transport.faults();
        (
            Aws::builder()
                .in_process_transport(transport)
                .env(node.env())
                .build()
                .unwrap(),
            faults,
        )
    }

    fn puts(&self) -> u64 {
        self.mock.calls(Operation::PutRecord)
    }
}

fn stream() -> StreamName {
    "orders".parse().unwrap()
}

fn entry() -> PutRecordsEntry {
    PutRecordsEntry::new("key".parse().unwrap(), "data".into())
}

#[tokio::test(start_paused = true)]
async fn a_request_under_way_outlives_its_sender() {
    let world = World::new().await;
    let node = world.simulation.node("sender", 1.0);
    let (aws, faults) = world.aws(&node);
    faults.on(
        "PutRecord",
        1,
        TransportFault::DeliverLate(Duration::from_secs(60)),
    );
    let task = node.env().spawn(async move {
        let _answer = aws.kinesis().put_record(&stream(), &entry()).await;
    });
    world.network.sleep(Duration::from_secs(1)).await;
    node.kill();
    assert!(task.await.is_err());
    assert_eq!(world.puts(), 0);
    world.network.sleep(Duration::from_secs(60)).await;
    assert_eq!(world.puts(), 1, "the zombie arrived");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_reaches_nobody_until_it_is_connected_again() {
    let world = World::new().await;
    let (aws, faults) = world.aws(&world.simulation.node("sender", 1.0));
    faults.cut_off(true);
    assert!(aws.kinesis().put_record(&stream(), &entry()).await.is_err());
    assert_eq!(world.puts(), 0);
    faults.cut_off(false);
    aws.kinesis().put_record(&stream(), &entry()).await.unwrap();
    assert_eq!(world.puts(), 1);
}

#[tokio::test(start_paused = true)]
async fn conditions_strike_as_often_as_they_say() {
    let world = World::new().await;
    let (aws, faults) = world.aws(&world.simulation.node("sender", 1.0));
    let kinesis = aws
        .kinesis()
        .with_data_path_retries(shardwise_client::retry::RetryPolicy::never());
    let mut conditions = Conditions::CALM;
    conditions.lose_request = 0.2;
    conditions.throttle = 0.1;
    conditions.latency = Duration::from_millis(10);
    faults.set_conditions(conditions);
    let mut failed = 0;
    for _ in 0..1_000 {
        failed += u64::from(kinesis.put_record(&stream(), &entry()).await.is_err());
    }
    assert!((250..=350).contains(&failed), "{failed} of 1,000 at 30 %");
    assert_eq!(world.puts(), 1_000 - failed);
}
