//! Real processes on loopback: `shardwise mock`, workers by `shardwise consume`, records by the
//! producer library in this process. Workers die, freeze and are cut off.
//!
//! What must hold each time: every stored record is delivered; the first deliveries of each shard
//! are in its order; what was checkpointed before the fault is not delivered again; no checkpoint
//! ever moves backwards; a worker that is asked to stop releases its leases and ends with code 0.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests, which may panic and print as tests do"
)]

mod commands;
mod credentials;
mod fleet;
mod input;
mod support;
mod talk;
mod variables;

use std::time::Duration;

use shardwise_env::Env;
use shardwise_tests::proxy::{Proxy, Way};

use crate::fleet::Fleet;

/// How long the network is away: longer than four leases, and than the client waits for an answer.
const CUT: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_is_replaced_and_nothing_is_lost() {
    let mut fleet = Fleet::new();
    let address = fleet.mock.address.clone();
    let proxy = Proxy::start(address.clone()).await;
    let mut a = fleet.worker("a", &proxy.address().to_string());
    let b = fleet.worker("b", &address);
    fleet.until_shared_by(&["a", "b"]).await;
    fleet.begin();
    let before = fleet.before().await;
    fleet
        .until_between_print_and_checkpoint("a", &["a", "b"], &proxy)
        .await;
    a.signal("KILL");
    a.ended().await;
    fleet.until_shared_by(&["b"]).await;
    // The dead worker's last writes arrive.
    proxy.set(Way::Open);
    fleet.until_caught_up().await;
    let c = fleet.worker("c", &address);
    fleet.until_shared_by(&["b", "c"]).await;
    let repeated = fleet
        .finish("killed", &mut [("b", b), ("c", c)], &before)
        .await;
    assert!(repeated > 0, "what was not checkpointed comes again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_frozen_for_longer_than_its_lease_does_no_harm_when_it_thaws() {
    let mut fleet = Fleet::new();
    let proxies = [
        Proxy::start(fleet.mock.address.clone()).await,
        Proxy::start(fleet.mock.address.clone()).await,
    ];
    let a = fleet.worker("a", &proxies[0].address().to_string());
    let b = fleet.worker("b", &proxies[1].address().to_string());
    let both = ["a", "b"];
    fleet.until_shared_by(&both).await;
    fleet.begin();
    let before = fleet.before().await;
    for (frozen, name, other, proxy) in [(&a, "a", "b", &proxies[0]), (&b, "b", "a", &proxies[1])] {
        fleet
            .until_between_print_and_checkpoint(name, &both, proxy)
            .await;
        frozen.signal("STOP");
        fleet.until_shared_by(&[other]).await;
        fleet.until_caught_up().await;
        // Its checkpoints and renewals arrive only now, and it goes on where it stood.
        proxy.set(Way::Open);
        frozen.signal("CONT");
        fleet.until_shared_by(&both).await;
        fleet.until_caught_up().await;
    }
    let repeated = fleet
        .finish("frozen", &mut [("a", a), ("b", b)], &before)
        .await;
    assert!(repeated > 0, "what was not checkpointed comes again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_cut_off_for_longer_than_a_lease_go_on_afterwards() {
    cut_off(Way::Refuse, "refused").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_whose_packets_vanish_for_longer_than_a_lease_go_on_afterwards() {
    cut_off(Way::Swallow, "swallowed").await;
}

/// Both workers lose the mock; records go on coming.
async fn cut_off(way: Way, what: &str) {
    let mut fleet = Fleet::new();
    let proxy = Proxy::start(fleet.mock.address.clone()).await;
    let address = proxy.address().to_string();
    let a = fleet.worker("a", &address);
    let b = fleet.worker("b", &address);
    fleet.until_shared_by(&["a", "b"]).await;
    fleet.begin();
    let before = fleet.before().await;
    proxy.set(way);
    let printed = fleet.printed();
    // The fault itself: nothing that could be waited for happens while it lasts.
    Env::system().sleep(CUT).await;
    let meanwhile = fleet.checkpoints().await;
    proxy.set(Way::Open);
    fleet.until_caught_up().await;
    assert!(fleet.printed() > printed);
    assert!(meanwhile != fleet.checkpoints().await);
    fleet.finish(what, &mut [("a", a), ("b", b)], &before).await;
}
