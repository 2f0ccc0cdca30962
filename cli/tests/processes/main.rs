//! Real processes on loopback: `shardwise mock`, workers by `shardwise consume`, records by the
//! producer library in this process. Workers die, freeze and are cut off.
//!
//! What must hold each time: every stored record is delivered; the first deliveries of each shard
//! are in its order; what was checkpointed before the fault is not delivered again; no checkpoint
//! ever moves backwards; whoever is told to stop releases its leases and ends with code 0.

mod commands;
mod fleet;
mod proxy;
mod support;

use std::time::Duration;

use shardwise_env::Env;

use crate::fleet::Fleet;
use crate::proxy::{Proxy, Way};
use crate::support::until;

/// How long the network is away: longer than four leases, and than the client waits for an answer.
const CUT: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_is_replaced_and_nothing_is_lost() {
    let mut fleet = Fleet::new();
    let address = fleet.mock.address.clone();
    let mut a = fleet.worker("a", &address);
    let b = fleet.worker("b", &address);
    fleet.until_shared_by(&["a", "b"]).await;
    fleet.begin();
    fleet.until_flowing().await;
    let before = fleet.checkpoints().await;
    // Right behind a write: printed, and perhaps not checkpointed yet.
    let printed = fleet.printed();
    until("something is printed", async || {
        (fleet.printed() > printed).then_some(())
    })
    .await;
    a.signal("KILL");
    a.ended().await;
    fleet.until_shared_by(&["b"]).await;
    fleet.until_caught_up().await;
    let c = fleet.worker("c", &address);
    fleet.until_shared_by(&["b", "c"]).await;
    fleet
        .finish("killed", &mut [("b", b), ("c", c)], &before)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_frozen_for_longer_than_its_lease_does_no_harm_when_it_thaws() {
    let mut fleet = Fleet::new();
    let address = fleet.mock.address.clone();
    let a = fleet.worker("a", &address);
    let b = fleet.worker("b", &address);
    fleet.until_shared_by(&["a", "b"]).await;
    fleet.begin();
    fleet.until_flowing().await;
    let before = fleet.checkpoints().await;
    for frozen in [&a, &b] {
        let other = if std::ptr::eq(frozen, &raw const a) {
            "b"
        } else {
            "a"
        };
        let printed = fleet.printed();
        until("something is printed", async || {
            (fleet.printed() > printed).then_some(())
        })
        .await;
        frozen.signal("STOP");
        fleet.until_shared_by(&[other]).await;
        fleet.until_caught_up().await;
        frozen.signal("CONT");
        fleet.until_shared_by(&["a", "b"]).await;
        fleet.until_caught_up().await;
    }
    fleet
        .finish("frozen", &mut [("a", a), ("b", b)], &before)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_whose_connections_are_refused_for_longer_than_a_lease_go_on_afterwards() {
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
    let address = proxy.address.to_string();
    let a = fleet.worker("a", &address);
    let b = fleet.worker("b", &address);
    fleet.until_shared_by(&["a", "b"]).await;
    fleet.begin();
    fleet.until_flowing().await;
    let before = fleet.checkpoints().await;
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
