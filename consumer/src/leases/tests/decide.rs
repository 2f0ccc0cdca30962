//! Every intent and every kind of answer.

use crate::leases::decide::{Answer, Change, Intent, Verdict, Write, judge, next};
use crate::leases::end::LeaseEnd;
use crate::leases::lease::{Checkpoint, Identity, Lease};

use super::support::{at, claimed, epoch, free, identity, shards};

fn applied(write: &Write, seen: &Lease) -> Lease {
    let Write::Update {
        counter, changes, ..
    } = write
    else {
        panic!("{write:?} is no update");
    };
    assert_eq!(*counter, seen.counter, "conditional on the counter as seen");
    let mut lease = seen.clone();
    lease.counter += 1;
    changes.iter().for_each(|change| change.apply(&mut lease));
    lease
}

fn refused(row: Lease) -> Answer {
    Answer::Refused(Some(Box::new(row)))
}

fn checkpoint(number: u64) -> Intent {
    Intent::Checkpoint(at(number))
}

fn take() -> Intent {
    Intent::Take {
        started_at: epoch(100),
    }
}

fn writer() -> Identity {
    identity("a", "1")
}

#[test]
fn a_take_claims_the_whole_lease_in_one_write() {
    let mut seen = claimed(0, &identity("b", "2"), 5);
    seen.checkpoint_owner = Some("c".parse().unwrap());
    seen.owner_switches = 3;
    let lease = applied(&next(&seen, &writer(), &take()), &seen);
    assert!(lease.is_claimed_by(&writer()));
    assert_eq!((lease.counter, lease.owner_switches), (6, 4));
    assert_eq!((lease.checkpoint_owner, lease.started_at), (None, None));
}

#[test]
fn a_lease_taken_back_by_the_same_worker_is_no_change_of_owner() {
    let seen = claimed(0, &identity("a", "of the predecessor"), 5);
    let lease = applied(&next(&seen, &writer(), &take()), &seen);
    assert_eq!(lease.owner_switches, 0);
}

#[test]
fn a_take_dates_a_latest_that_is_not_dated_and_no_other() {
    let mut seen = free(0);
    let dated = |seen: &Lease| applied(&next(seen, &writer(), &take()), seen).started_at;
    assert_eq!(dated(&seen), None);
    seen.checkpoint = Checkpoint::Latest;
    assert_eq!(dated(&seen), Some(epoch(100)));
    seen.started_at = Some(epoch(50));
    assert_eq!(dated(&seen), Some(epoch(50)));
}

#[test]
fn a_checkpoint_is_a_heartbeat_and_voids_what_it_replaces() {
    let mut seen = claimed(0, &writer(), 5);
    seen.checkpoint = Checkpoint::Latest;
    seen.started_at = Some(epoch(50));
    seen.owner_switches = 3;
    let lease = applied(&next(&seen, &writer(), &checkpoint(9)), &seen);
    assert_eq!((lease.counter, lease.owner_switches), (6, 0));
    assert_eq!((lease.checkpoint, lease.started_at), (at(9), None));
}

#[test]
fn an_end_names_the_children() {
    let seen = claimed(0, &writer(), 5);
    let intent = Intent::End {
        children: shards([1, 2]),
    };
    let lease = applied(&next(&seen, &writer(), &intent), &seen);
    assert_eq!(lease.checkpoint, Checkpoint::ShardEnd);
    assert_eq!(lease.children, shards([1, 2]));
}

#[test]
fn a_release_leaves_an_unclaimed_lease() {
    let seen = claimed(0, &writer(), 5);
    let lease = applied(&next(&seen, &writer(), &Intent::Release), &seen);
    assert_eq!((lease.owner, lease.incarnation), (None, None));
    assert_eq!(lease.counter, 6);
}

#[test]
fn a_release_in_a_handover_completes_it() {
    let mut seen = claimed(0, &writer(), 5);
    seen.owner = Some("b".parse().unwrap());
    seen.checkpoint_owner = Some("a".parse().unwrap());
    let lease = applied(&next(&seen, &writer(), &Intent::Release), &seen);
    assert_eq!(lease.actual_owner().unwrap().as_str(), "b");
    assert_eq!((lease.checkpoint_owner, lease.incarnation), (None, None));
}

#[test]
fn a_delete_is_conditional_too() {
    let write = next(&claimed(0, &writer(), 5), &writer(), &Intent::Delete);
    assert!(matches!(write, Write::Delete { counter: 5, .. }));
}

#[test]
fn what_was_applied_is_done() {
    let seen = claimed(0, &writer(), 5);
    for intent in [take(), Intent::Renew, checkpoint(9)] {
        let row = Box::new(applied(&next(&seen, &writer(), &intent), &seen));
        let verdict = judge(&seen, &writer(), &intent, Answer::Applied(row.clone()));
        assert_eq!(verdict, Verdict::Done(row));
    }
}

#[test]
fn an_earlier_write_of_mine_is_adopted_whole() {
    let seen = claimed(0, &writer(), 5);
    let mut row = claimed(0, &writer(), 6);
    row.checkpoint = at(9);
    let verdict = |intent| judge(&seen, &writer(), &intent, refused(row.clone()));
    let whole = Box::new(row.clone());
    assert_eq!(verdict(Intent::Renew), Verdict::AlreadyDone(whole.clone()));
    assert_eq!(verdict(take()), Verdict::Again(whole.clone()));
    assert_eq!(verdict(Intent::Release), Verdict::Again(whole.clone()));
    assert_eq!(verdict(checkpoint(10)), Verdict::Again(whole.clone()));
    assert_eq!(verdict(checkpoint(9)), Verdict::AlreadyDone(whole.clone()));
    assert_eq!(verdict(checkpoint(8)), Verdict::AlreadyDone(whole));
}

#[test]
fn an_end_is_done_only_with_its_children() {
    let seen = claimed(0, &writer(), 5);
    let mut row = claimed(0, &writer(), 6);
    row.checkpoint = Checkpoint::ShardEnd;
    row.children = shards([1]);
    let verdict = |children| {
        let intent = Intent::End { children };
        judge(&seen, &writer(), &intent, refused(row.clone()))
    };
    assert!(matches!(verdict(shards([1])), Verdict::AlreadyDone(_)));
    assert!(matches!(verdict(shards([1, 2])), Verdict::Again(_)));
}

#[test]
fn a_handover_that_begins_meanwhile_does_not_take_the_lease_from_me() {
    let seen = claimed(0, &writer(), 5);
    let mut row = claimed(0, &writer(), 6);
    row.owner = Some("b".parse().unwrap());
    row.checkpoint_owner = Some("a".parse().unwrap());
    let verdict = judge(&seen, &writer(), &Intent::Renew, refused(row.clone()));
    assert_eq!(verdict, Verdict::AlreadyDone(Box::new(row)));
}

#[test]
fn whoever_else_wrote_has_the_lease() {
    let seen = claimed(0, &writer(), 5);
    let verdict = |row: Lease| judge(&seen, &writer(), &checkpoint(9), refused(row));
    let b = "b".parse().unwrap();
    assert_eq!(
        verdict(claimed(0, &identity("b", "2"), 6)),
        Verdict::Lost(LeaseEnd::TakenBy(b))
    );
    let a = "a".parse().unwrap();
    assert_eq!(
        verdict(claimed(0, &identity("a", "2"), 6)),
        Verdict::Lost(LeaseEnd::TakenByNamesake(a)),
        "the name is not enough"
    );
    let mut freed = free(0);
    freed.counter = 6;
    assert_eq!(verdict(freed), Verdict::Lost(LeaseEnd::Freed));
    assert_eq!(
        judge(&seen, &writer(), &checkpoint(9), Answer::Refused(None)),
        Verdict::Lost(LeaseEnd::RowGone)
    );
}

#[test]
fn a_row_that_moved_on_by_more_than_one_write_is_not_mine() {
    let seen = claimed(0, &writer(), 5);
    for counter in [0, 4, 5, 7] {
        let answer = refused(claimed(0, &writer(), counter));
        let verdict = judge(&seen, &writer(), &Intent::Renew, answer);
        assert!(
            matches!(verdict, Verdict::Lost(_)),
            "{counter}: {verdict:?}"
        );
    }
}

#[test]
fn a_row_that_another_hand_gave_away_without_the_counter_is_lost() {
    let seen = claimed(0, &writer(), 5);
    let row = claimed(0, &identity("b", "2"), 6);
    let verdict = judge(
        &seen,
        &writer(),
        &Intent::Renew,
        Answer::Applied(Box::new(row)),
    );
    assert!(matches!(verdict, Verdict::Lost(LeaseEnd::TakenBy(_))));
}

#[test]
fn what_is_gone_is_released_and_deleted() {
    let seen = claimed(0, &writer(), 5);
    for intent in [Intent::Release, Intent::Delete] {
        let verdict = judge(&seen, &writer(), &intent, Answer::Refused(None));
        assert!(matches!(verdict, Verdict::AlreadyDone(_)));
    }
    let mut freed = free(0);
    freed.counter = 6;
    let verdict = judge(&seen, &writer(), &Intent::Release, refused(freed));
    assert!(matches!(verdict, Verdict::AlreadyDone(_)));
}

#[test]
fn a_row_that_is_there_is_not_created_and_not_deleted_unseen() {
    let lease = claimed(0, &writer(), 0);
    let other = claimed(0, &identity("b", "2"), 3);
    for intent in [Intent::Create, Intent::Delete] {
        let verdict = judge(&lease, &writer(), &intent, refused(other.clone()));
        assert!(matches!(verdict, Verdict::Lost(LeaseEnd::TakenBy(_))));
    }
    // My own creation, whose answer was lost.
    let verdict = judge(&lease, &writer(), &Intent::Create, refused(lease.clone()));
    assert_eq!(verdict, Verdict::AlreadyDone(Box::new(lease)));
}

#[test]
fn changes_name_the_incarnation_that_claims() {
    let write = next(&free(0), &writer(), &take());
    let Write::Update { changes, .. } = write else {
        panic!("a take is an update");
    };
    assert!(changes.contains(&Change::Incarnation(Some(writer().incarnation))));
}
