//! For each request type: throttled, refused by a failing service, lost, answered too late.

use std::sync::Arc;
use std::time::Duration;

use shardwise_client::Aws;
use shardwise_client::transport::{Faults, Faulty, InProcess, TransportFault};
use shardwise_env::Env;
use shardwise_mock::Mock;

use crate::leases::end::LeaseEnd;
use crate::leases::lease::Checkpoint;
use crate::leases::observe::Observations;
use crate::leases::state::LeaseError;
use crate::leases::store::{LeaseStore, MissingTable, StoreErrorKind};
use crate::leases::table::LeaseTable;

use super::support::{
    FAILOVER, Held, application, at, at_sub, child, dynamodb_on, free, key, table, take,
};

/// What can happen to one exchange. After each of them a second try must do.
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
        let worker = bench.worker("a");
        let mut seen = Observations::new(FAILOVER);
        let scan = bench.meets("Scan", fault, worker.look(&mut seen)).await;
        assert_eq!(scan.unwrap().leases, [free(0)]);
        let zero = key(0);
        let row = bench.meets("GetItem", fault, worker.read(&zero)).await;
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
        let row = bench.store.read(&key(1)).await.unwrap().unwrap();
        bench
            .meets("DeleteItem", fault, worker.delete(&row))
            .await
            .unwrap();
        assert_eq!(bench.store.read(&key(1)).await.unwrap(), None);
    }
}

/// The SDK's second try of a write that succeeded is refused by the first: never a lost lease.
#[tokio::test(start_paused = true)]
async fn no_hiccup_loses_a_lease() {
    for fault in HICCUPS {
        let bench = Bench::new().await;
        let worker = bench.worker("a");
        let seen = free(0);
        let mut held = bench
            .meets("UpdateItem", fault, take(&worker, &seen))
            .await
            .unwrap();
        assert_eq!(held.claimed().checkpoint, Checkpoint::TrimHorizon);
        assert!(held.claimed().is_claimed_by(worker.identity()));

        let (renewals, due) = (held.keep_renewed(), held.renew_at());
        let renewed = bench
            .env
            .sleep_until(due + FAILOVER / 3 - Duration::from_millis(50));
        bench.faults.on("UpdateItem", 1, fault);
        renewed.await;
        assert_eq!(bench.faults.left(), 0);
        let valid_until = held.state().valid_until();
        assert!(valid_until >= due + FAILOVER, "renewed since, {fault:?}");
        drop(renewals);

        let checkpoint = held.checkpoint(at_sub(7, 1));
        bench.meets("UpdateItem", fault, checkpoint).await.unwrap();
        let row = bench.store.read(&key(0)).await.unwrap().unwrap();
        assert_eq!(row.checkpoint.to_string(), "7/1");

        let released = bench.worker("b");
        released.create(&[free(5)]).await.unwrap();
        let other = take(&released, &free(5)).await.unwrap();
        let end = bench.meets("UpdateItem", fault, other.release()).await;
        assert_eq!(end, LeaseEnd::Released);
        let row = bench.store.read(&key(5)).await.unwrap().unwrap();
        assert_eq!((row.owner, row.incarnation), (None, None));

        let children = [child(1, &[0])];
        let end = held.end(&children);
        let children = bench.meets("UpdateItem", fault, end).await.unwrap();
        assert_eq!(children.len(), 1);
        let row = bench.store.read(&key(0)).await.unwrap().unwrap();
        assert!(row.is_ended());
    }
}

/// Another worker counts from when the write arrived, which was before the answer did.
#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_long_does_not_lengthen_the_lease() {
    let bench = Bench::new().await;
    let held = take(&bench.worker("a"), &free(0)).await.unwrap();
    let slow = TransportFault::Delay(Duration::from_millis(200));
    bench.env.sleep_until(held.renew_at()).await;
    let asked = bench.env.now();
    bench.meets("UpdateItem", slow, held.renew()).await.unwrap();
    assert_eq!(bench.env.now(), asked + Duration::from_millis(200));
    assert_eq!(held.state().valid_until(), asked + FAILOVER);

    let asked = bench.env.now();
    let checkpoint = held.checkpoint(at_sub(7, 1));
    bench.meets("UpdateItem", slow, checkpoint).await.unwrap();
    assert_eq!(held.state().valid_until(), asked + FAILOVER);
}

#[tokio::test(start_paused = true)]
async fn a_child_is_mine_whatever_befalls_its_creation() {
    for fault in HICCUPS {
        let bench = Bench::new().await;
        let worker = bench.worker("a");
        let mut held = take(&worker, &free(0)).await.unwrap();
        let children = [child(1, &[0])];
        let end = held.end(&children);
        let mut children = bench.meets("PutItem", fault, end).await.unwrap();
        let row = bench.store.read(&key(1)).await.unwrap().unwrap();
        assert!(row.is_claimed_by(worker.identity()), "{fault:?}");
        // An answer that was lost leaves the claim to the next look at the table.
        let child = match children.pop() {
            Some(child) => Held::new(&worker, child),
            None => take(&worker, &row).await.unwrap(),
        };
        assert!(child.is_valid(bench.env.now()));
        child.checkpoint(at(1)).await.unwrap();
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
        let held = take(&bench.worker("a"), &free(0)).await.unwrap();
        bench.faults.on("UpdateItem", 1_000, fault);
        let second = Duration::from_secs(1);
        let unknown = bench.env.timeout(second, held.checkpoint(at(9))).await;
        assert!(unknown.is_err(), "there is no answer");
        bench.faults.clear();
        let row = || async { bench.store.read(&key(0)).await.unwrap().unwrap() };
        assert_eq!(row().await.checkpoint == at(9), written);

        if written {
            // A renewal finds the lost write.
            bench.env.sleep_until(held.renew_at()).await;
            held.renew().await.unwrap();
        }
        held.checkpoint(at(5)).await.unwrap();
        assert_eq!(row().await.checkpoint, at(9));
        held.checkpoint(at(9)).await.unwrap();
        assert_eq!(row().await.checkpoint, at(9));
        held.checkpoint(at(11)).await.unwrap();
        assert_eq!(row().await.checkpoint, at(11));
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_is_tried_for_as_long_as_a_lease_is_good() {
    let bench = Bench::new().await;
    let held = take(&bench.worker("a"), &free(0)).await.unwrap();
    bench
        .faults
        .on("UpdateItem", 1_000, TransportFault::InternalFailure);
    let begin = bench.env.now();
    let error = held.checkpoint(at(9)).await.unwrap_err();
    assert!(matches!(
        error,
        LeaseError::Unavailable(_) | LeaseError::Expired
    ));
    let took = bench.env.now() - begin;
    assert!(took > FAILOVER * 4 / 5 && took <= FAILOVER, "{took:?}");
    let tries = 1_000 - bench.faults.left();
    assert!((8..80).contains(&tries), "{tries} tries in {took:?}");
}

#[tokio::test(start_paused = true)]
async fn renewals_that_fail_are_tried_again_with_growing_pauses() {
    let bench = Bench::new().await;
    let held = take(&bench.worker("a"), &free(0)).await.unwrap();
    let _renewals = held.keep_renewed();
    bench.env.sleep_until(held.renew_at()).await;
    bench
        .faults
        .on("UpdateItem", 10_000, TransportFault::InternalFailure);
    let last = held.state().valid_until() - Duration::from_millis(1);
    bench.env.sleep_until(last).await;
    let in_time = 10_000 - bench.faults.left();
    assert!((6..60).contains(&in_time), "{in_time} tries in time");
    // An outage that goes on is not made worse.
    let before = bench.faults.left();
    bench.env.sleep(Duration::from_secs(100)).await;
    let later = before - bench.faults.left();
    assert!((120..400).contains(&later), "{later} tries in 100 s");
    bench.faults.clear();
    bench.env.sleep(FAILOVER / 5).await;
    assert!(held.is_valid(bench.env.now()));
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_a_call_in_time_and_the_lease_when_it_is_due() {
    let bench = Bench::new().await;
    let held = take(&bench.worker("a"), &free(0)).await.unwrap();
    let taken = bench.env.now();
    bench
        .faults
        .on("UpdateItem", 1_000, TransportFault::HangBefore);
    let mut renewals = 0;
    while held.is_valid(bench.env.now()) {
        bench.env.sleep_until(held.renew_at()).await;
        let begin = bench.env.now();
        let error = held.renew().await.unwrap_err();
        assert!(matches!(error, LeaseError::Unavailable(_)), "{error:?}");
        assert!(bench.env.now() - begin <= FAILOVER / 3 + Duration::from_millis(1));
        renewals += 1;
    }
    assert!(renewals >= 2, "{renewals} tries to renew");
    assert!(held.state().valid_until() == taken + FAILOVER);
    bench.faults.clear();
    bench.env.sleep_until(held.renew_at()).await;
    held.renew().await.unwrap();
    assert!(
        held.is_valid(bench.env.now()),
        "no other worker has taken it meanwhile"
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
    assert!(matches!(error, LeaseError::Unavailable(_)), "{error:?}");
    let scan = worker.look(&mut Observations::new(FAILOVER)).await.unwrap();
    assert!(scan.leases[0].is_claimed_by(worker.identity()));
    worker.take(&scan.leases[0]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_release_without_an_answer_leaves_nothing_to_rely_on() {
    let bench = Bench::new().await;
    let held = take(&bench.worker("a"), &free(0)).await.unwrap();
    bench
        .faults
        .on("UpdateItem", 1_000, TransportFault::LoseResponse);
    assert_eq!(held.release().await, LeaseEnd::Abandoned);
    assert!(!held.is_valid(bench.env.now()), "the lease may be free");
    bench.faults.clear();
    assert_eq!(held.release().await, LeaseEnd::Released);
    assert_eq!(held.lost(), Some(LeaseEnd::Released));
}

/// Half an answer is none.
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
    let held = take(&bench.worker("a"), &free(0)).await.unwrap();
    bench.faults.on("Scan", 1, TransportFault::TruncateBody);
    let error = bench.store.scan().await.unwrap_err();
    assert!(error.is_retryable());
    bench
        .faults
        .on("UpdateItem", 1, TransportFault::TruncateBody);
    held.checkpoint(at(9)).await.unwrap();
    assert_eq!(bench.faults.left(), 0);
    assert_eq!(held.checkpointed(), at(9));
}

/// The SDK keeps one quota of retries for all clients of a process unless each is given its own.
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
    let (worker, mut seen) = (quiet.worker("a"), Observations::new(FAILOVER));
    let look = worker.look(&mut seen);
    let look = quiet.meets("Scan", TransportFault::InternalFailure, look);
    look.await.unwrap();
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
