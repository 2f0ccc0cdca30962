//! For each request type: throttled, refused by a failing service, lost, answered too late.

use std::sync::Arc;
use std::time::Duration;

use shardwise_client::Aws;
use shardwise_client::transport::{Faults, Faulty, InProcess, TransportFault};
use shardwise_env::Env;
use shardwise_mock::Mock;

use crate::leases::decide::Loss;
use crate::leases::holder::HoldError;
use crate::leases::lease::Checkpoint;
use crate::leases::observe::Observations;
use crate::leases::store::{LeaseStore, MissingTable, StoreErrorKind};
use crate::leases::table::LeaseTable;

use super::support::{FAILOVER, application, at, child, dynamodb_on, free, shard, table};

/// What can befall one exchange. After each of them a second try must do.
const HICCUPS: [TransportFault; 8] = [
    TransportFault::Throttle,
    TransportFault::InternalFailure,
    TransportFault::Refuse,
    TransportFault::LoseRequest,
    TransportFault::LoseResponse,
    TransportFault::HangBefore,
    TransportFault::HangAfter,
    TransportFault::Delay(Duration::from_secs(2)),
];

struct Bench {
    faults: Faults,
    store: Arc<dyn LeaseStore>,
    env: Env,
}

impl Bench {
    /// No table yet.
    fn bare() -> Self {
        let env = Env::system();
        let transport = Faulty::new(InProcess::new(Mock::new().service()), env.clone());
        let faults = transport.faults();
        let aws = Aws::builder()
            .in_process_transport(transport)
            .build()
            .unwrap();
        let store = Arc::new(dynamodb_on(&aws));
        Self { faults, store, env }
    }

    /// A table with one free lease.
    async fn new() -> Self {
        let bench = Self::bare();
        bench
            .store
            .ensure_table(MissingTable::Create)
            .await
            .unwrap();
        bench.worker("setup").create(&[free(0)]).await.unwrap();
        bench
    }

    fn worker(&self, name: &str) -> LeaseTable {
        table(&self.store, name)
    }

    /// Runs a call that meets one fault, and checks that it met it and was quick enough.
    async fn meets<T>(
        &self,
        operation: &str,
        fault: TransportFault,
        call: impl Future<Output = T>,
    ) -> T {
        self.faults.on(operation, 1, fault);
        let begin = self.env.now();
        let output = call.await;
        assert_eq!(self.faults.left(), 0, "{operation} was not called");
        let took = self.env.now() - begin;
        assert!(
            took < FAILOVER / 3,
            "{operation} took {took:?} after {fault:?}"
        );
        output
    }
}

#[tokio::test(start_paused = true)]
async fn the_table_comes_to_be_in_spite_of_a_hiccup() {
    for fault in HICCUPS {
        for operation in ["DescribeTable", "CreateTable"] {
            let bench = Bench::bare();
            bench.faults.on(operation, 1, fault);
            bench
                .store
                .ensure_table(MissingTable::Create)
                .await
                .unwrap();
            assert_eq!(bench.faults.left(), 0);
            assert!(bench.store.scan().await.unwrap().leases.is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_not_answered_for_is_waited_for() {
    let bench = Bench::bare();
    bench
        .faults
        .on("DescribeTable", 20, TransportFault::InternalFailure);
    bench
        .store
        .ensure_table(MissingTable::Create)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn reads_survive_a_hiccup() {
    for fault in HICCUPS {
        let bench = Bench::new().await;
        let scan = bench.meets("Scan", fault, bench.store.scan()).await;
        assert_eq!(scan.unwrap().leases, [free(0)]);
        let zero = shard(0);
        let row = bench.meets("GetItem", fault, bench.store.read(&zero)).await;
        assert_eq!(row.unwrap(), Some(free(0)));
    }
}

#[tokio::test(start_paused = true)]
async fn creations_and_deletions_survive_a_hiccup() {
    for fault in HICCUPS {
        let bench = Bench::new().await;
        let worker = bench.worker("a");
        let leases = [free(1)];
        let create = worker.create(&leases);
        bench.meets("PutItem", fault, create).await.unwrap();
        let row = bench.store.read(&shard(1)).await.unwrap().unwrap();
        bench
            .meets("DeleteItem", fault, worker.delete(&row))
            .await
            .unwrap();
        assert_eq!(bench.store.read(&shard(1)).await.unwrap(), None);
    }
}

/// The SDK's second try of a write that succeeded is refused by the first: never a lost lease.
#[tokio::test(start_paused = true)]
async fn no_hiccup_loses_a_lease() {
    for fault in HICCUPS {
        let bench = Bench::new().await;
        let worker = bench.worker("a");
        let seen = free(0);
        let held = bench
            .meets("UpdateItem", fault, worker.take(&seen))
            .await
            .unwrap();
        assert_eq!(held.claimed().checkpoint, Checkpoint::TrimHorizon);
        assert!(held.claimed().is_claimed_by(worker.me()));

        bench.env.sleep_until(held.renew_at()).await;
        let due = bench.env.now();
        bench
            .meets("UpdateItem", fault, held.renew())
            .await
            .unwrap();
        assert!(
            held.valid_until() >= due + FAILOVER,
            "renewed since, {fault:?}"
        );

        let checkpoint = held.checkpoint("7".parse().unwrap(), 1);
        bench.meets("UpdateItem", fault, checkpoint).await.unwrap();
        let row = bench.store.read(&shard(0)).await.unwrap().unwrap();
        assert_eq!(row.checkpoint.to_string(), "7/1");

        let released = bench.worker("b");
        released.create(&[free(5)]).await.unwrap();
        let other = released.take(&free(5)).await.unwrap();
        bench
            .meets("UpdateItem", fault, other.release())
            .await
            .unwrap();
        let row = bench.store.read(&shard(5)).await.unwrap().unwrap();
        assert_eq!((row.owner, row.incarnation), (None, None));

        let children = [child(1, &[0])];
        let end = held.end(&children);
        let children = bench.meets("UpdateItem", fault, end).await.unwrap();
        assert_eq!(children.len(), 1);
        let row = bench.store.read(&shard(0)).await.unwrap().unwrap();
        assert!(row.is_ended());
    }
}

/// Another worker counts from when the write arrived, which was before the answer did.
#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_long_does_not_lengthen_the_lease() {
    let bench = Bench::new().await;
    let held = bench.worker("a").take(&free(0)).await.unwrap();
    let slow = TransportFault::Delay(Duration::from_millis(200));
    bench.env.sleep_until(held.renew_at()).await;
    let asked = bench.env.now();
    bench.meets("UpdateItem", slow, held.renew()).await.unwrap();
    assert_eq!(bench.env.now(), asked + Duration::from_millis(200));
    assert_eq!(held.valid_until(), asked + FAILOVER);

    let asked = bench.env.now();
    let checkpoint = held.checkpoint("7".parse().unwrap(), 1);
    bench.meets("UpdateItem", slow, checkpoint).await.unwrap();
    assert_eq!(held.valid_until(), asked + FAILOVER);
}

#[tokio::test(start_paused = true)]
async fn a_child_is_mine_whatever_befalls_its_creation() {
    for fault in HICCUPS {
        let bench = Bench::new().await;
        let worker = bench.worker("a");
        let held = worker.take(&free(0)).await.unwrap();
        let children = [child(1, &[0])];
        let end = held.end(&children);
        let mut children = bench.meets("PutItem", fault, end).await.unwrap();
        let row = bench.store.read(&shard(1)).await.unwrap().unwrap();
        assert!(row.is_claimed_by(worker.me()), "{fault:?}");
        // An answer that was lost leaves the claim to the next look at the table.
        let child = match children.pop() {
            Some(child) => child,
            None => worker.take(&row).await.unwrap(),
        };
        assert!(child.is_valid(bench.env.now()));
        child.checkpoint("1".parse().unwrap(), 0).await.unwrap();
    }
}

/// Rule 3: what may be written is not undercut.
#[tokio::test(start_paused = true)]
async fn after_an_unknown_checkpoint_no_lower_one_is_written() {
    for (fault, written) in [
        (TransportFault::LoseResponse, true),
        (TransportFault::LoseRequest, false),
    ] {
        let bench = Bench::new().await;
        let held = bench.worker("a").take(&free(0)).await.unwrap();
        bench.faults.on("UpdateItem", 3, fault);
        let error = held.checkpoint("9".parse().unwrap(), 0).await.unwrap_err();
        assert!(matches!(error, HoldError::Unavailable(_)), "{error:?}");
        assert_eq!(bench.faults.left(), 0);
        let row = bench.store.read(&shard(0)).await.unwrap().unwrap();
        assert_eq!(row.checkpoint == at(9), written);

        let error = held.checkpoint("5".parse().unwrap(), 0).await.unwrap_err();
        assert!(matches!(error, HoldError::BelowFloor { .. }), "{error:?}");
        bench.env.sleep_until(held.renew_at()).await;
        held.renew().await.unwrap();
        let error = held.checkpoint("5".parse().unwrap(), 0).await.unwrap_err();
        assert!(matches!(error, HoldError::BelowFloor { .. }), "{error:?}");
        held.checkpoint("9".parse().unwrap(), 0).await.unwrap();
        let row = bench.store.read(&shard(0)).await.unwrap().unwrap();
        assert_eq!(row.checkpoint, at(9));
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_a_call_in_time_and_the_lease_when_it_is_due() {
    let bench = Bench::new().await;
    let held = bench.worker("a").take(&free(0)).await.unwrap();
    let taken = bench.env.now();
    bench
        .faults
        .on("UpdateItem", 1_000, TransportFault::HangBefore);
    let mut renewals = 0;
    while held.is_valid(bench.env.now()) {
        bench.env.sleep_until(held.renew_at()).await;
        let begin = bench.env.now();
        let error = held.renew().await.unwrap_err();
        assert!(matches!(error, HoldError::Unavailable(_)), "{error:?}");
        assert!(bench.env.now() - begin <= FAILOVER / 3 + Duration::from_millis(1));
        renewals += 1;
    }
    assert!(renewals >= 2, "{renewals} tries to renew");
    assert!(held.valid_until() == taken + FAILOVER);
    bench.faults.clear();
    bench.env.sleep_until(held.renew_at()).await;
    held.renew().await.unwrap();
    assert!(
        held.is_valid(bench.env.now()),
        "nobody has taken it meanwhile"
    );
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_never_answered_is_found_and_taken_again() {
    let bench = Bench::new().await;
    let worker = bench.worker("a");
    bench
        .faults
        .on("UpdateItem", 3, TransportFault::LoseResponse);
    let error = worker.take(&free(0)).await.unwrap_err();
    assert!(matches!(error, HoldError::Unavailable(_)), "{error:?}");
    let scan = worker.look(&mut Observations::new(FAILOVER)).await.unwrap();
    assert!(scan.leases[0].is_claimed_by(worker.me()));
    worker.take(&scan.leases[0]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_release_without_an_answer_leaves_nothing_to_rely_on() {
    let bench = Bench::new().await;
    let held = bench.worker("a").take(&free(0)).await.unwrap();
    bench
        .faults
        .on("UpdateItem", 3, TransportFault::LoseResponse);
    held.release().await.unwrap_err();
    assert!(!held.is_valid(bench.env.now()), "the lease may be free");
    held.release().await.unwrap();
    assert_eq!(held.loss(), Some(Loss::Released));
}

/// The SDK does not try again after half an answer; the caller does.
#[tokio::test(start_paused = true)]
async fn half_an_answer_does_not_lose_a_lease() {
    let bench = Bench::bare();
    bench
        .faults
        .on("DescribeTable", 1, TransportFault::TruncateBody);
    bench
        .store
        .ensure_table(MissingTable::Create)
        .await
        .unwrap();
    bench.worker("setup").create(&[free(0)]).await.unwrap();
    let held = bench.worker("a").take(&free(0)).await.unwrap();
    bench
        .faults
        .on("UpdateItem", 1, TransportFault::TruncateBody);
    let error = held.checkpoint("9".parse().unwrap(), 0).await.unwrap_err();
    let HoldError::Unavailable(error) = error else {
        panic!("{error:?}")
    };
    assert!(error.is_retryable());
    held.checkpoint("9".parse().unwrap(), 0).await.unwrap();
    assert_eq!(held.checkpointed(), at(9));
}

/// The SDK keeps one quota of retries for all clients of a process unless told otherwise.
#[tokio::test(start_paused = true)]
async fn one_workers_failures_do_not_use_up_anothers_retries() {
    let noisy = Bench::new().await;
    noisy
        .faults
        .on("Scan", 1_000, TransportFault::InternalFailure);
    for _ in 0..200 {
        noisy.store.scan().await.unwrap_err();
    }
    let quiet = Bench::new().await;
    let scan = quiet.meets("Scan", TransportFault::InternalFailure, quiet.store.scan());
    scan.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn errors_say_what_kind_they_are() {
    let bench = Bench::bare();
    let error = bench.store.scan().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NoTable);
    let error = bench
        .store
        .ensure_table(MissingTable::Refuse)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NoTable);
    assert!(
        error.to_string().contains(application().as_str()),
        "{error}"
    );
    assert!(!error.is_retryable());

    bench
        .store
        .ensure_table(MissingTable::Create)
        .await
        .unwrap();
    for (fault, kind) in [
        (TransportFault::Throttle, StoreErrorKind::Throttled),
        (TransportFault::InternalFailure, StoreErrorKind::Unavailable),
        (TransportFault::LoseRequest, StoreErrorKind::Unavailable),
        (TransportFault::HangBefore, StoreErrorKind::Unavailable),
    ] {
        bench.faults.on("Scan", 3, fault);
        let error = bench.store.scan().await.unwrap_err();
        bench.faults.clear();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.is_retryable());
    }
}
