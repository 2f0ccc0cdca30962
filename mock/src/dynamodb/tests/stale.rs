//! Reads that may be answered from the past.

use std::collections::BTreeSet;

use super::*;

use shardwise_env::Simulation;

const LIMIT: Duration = Duration::from_secs(2);

/// A service with stale reads and the table `leases` with the index `owners`.
fn stale_service(seed: u64) -> (Env, DynamoDb) {
    let env = Simulation::new(seed).node("service", 1.0).env();
    let db = DynamoDb::new(env.clone(), "000000000000", "us-east-1", Duration::ZERO);
    let db = db.stale_reads(LIMIT);
    ok(&db, "CreateTable", leases());
    ok(&db, "UpdateTable", tables::owner_index());
    (env, db)
}

/// All answers that many reads give to a question, each as text.
fn answers(mut ask: impl FnMut() -> Value) -> BTreeSet<String> {
    (0..200).map(|_| ask().to_string()).collect()
}

fn texts<const N: usize>(values: [&Value; N]) -> BTreeSet<String> {
    values.into_iter().map(Value::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn eventual_reads_see_the_past_and_consistent_reads_do_not() {
    let (env, db) = stale_service(1);
    let read = |consistent: bool| {
        let request = update("k", json!({"ConsistentRead": consistent}));
        ok(&db, "GetItem", request)["Item"]["n"].clone()
    };
    put(&db, "k", json!({"n": {"N": "1"}}));
    env.sleep(Duration::from_secs(1)).await;
    put(&db, "k", json!({"n": {"N": "2"}}));
    env.sleep(Duration::from_millis(500)).await;
    let (none, one, two) = (Value::Null, json!({"N": "1"}), json!({"N": "2"}));
    assert_eq!(answers(|| read(false)), texts([&none, &one, &two]));
    assert_eq!(answers(|| read(true)), texts([&two]));
    // The creation is more than two seconds ago, the change is not.
    env.sleep(Duration::from_millis(600)).await;
    assert_eq!(answers(|| read(false)), texts([&one, &two]));
    env.sleep(LIMIT).await;
    assert_eq!(answers(|| read(false)), texts([&two]));
}

#[tokio::test(start_paused = true)]
async fn scans_queries_and_batches_are_stale_and_indexes_always_are() {
    let (env, db) = stale_service(2);
    put(&db, "k", json!({"leaseOwner": {"S": "w1"}}));
    env.sleep(LIMIT).await;
    put(&db, "k", json!({"leaseOwner": {"S": "w2"}}));
    env.sleep(Duration::from_secs(1)).await;
    let (w1, w2) = (json!({"S": "w1"}), json!({"S": "w2"}));
    let scan = |consistent: bool| {
        let request = json!({"TableName": "leases", "ConsistentRead": consistent});
        ok(&db, "Scan", request)["Items"][0]["leaseOwner"].clone()
    };
    assert_eq!(answers(|| scan(false)), texts([&w1, &w2]));
    assert_eq!(answers(|| scan(true)), texts([&w2]));
    let batch = |consistent: bool| {
        let request = json!({"RequestItems": {"leases": {
            "Keys": [{"leaseKey": {"S": "k"}}], "ConsistentRead": consistent,
        }}});
        ok(&db, "BatchGetItem", request)["Responses"]["leases"][0]["leaseOwner"].clone()
    };
    assert_eq!(answers(|| batch(false)), texts([&w1, &w2]));
    assert_eq!(answers(|| batch(true)), texts([&w2]));
    let query = |consistent: bool| {
        let request = json!({
            "TableName": "leases", "ConsistentRead": consistent,
            "KeyConditionExpression": "leaseKey = :k", "ExpressionAttributeValues": {":k": {"S": "k"}},
        });
        ok(&db, "Query", request)["Items"][0]["leaseOwner"].clone()
    };
    assert_eq!(answers(|| query(false)), texts([&w1, &w2]));
    assert_eq!(answers(|| query(true)), texts([&w2]));
    let counts =
        |owner: &str| answers(|| ok(&db, "Query", tables::by_owner(owner))["Count"].clone());
    assert_eq!(counts("w1"), texts([&json!(0), &json!(1)]));
    assert_eq!(counts("w2"), texts([&json!(0), &json!(1)]));
    let get = json!({"TransactItems": [{"Get": {"TableName": "leases", "Key": {"leaseKey": {"S": "k"}}}}]});
    let transact = || {
        let answer = ok(&db, "TransactGetItems", get.clone());
        answer["Responses"][0]["Item"]["leaseOwner"].clone()
    };
    assert_eq!(answers(transact), texts([&w2]));
    let request = merge(tables::by_owner("w2"), json!({"ConsistentRead": true}));
    assert_eq!(
        invalid(&db, "Query", request),
        "Consistent reads are not supported on global secondary indexes"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deleted_item_may_still_be_read_but_never_met_by_a_condition() {
    let (env, db) = stale_service(3);
    put(&db, "k", json!({}));
    env.sleep(LIMIT).await;
    ok(&db, "DeleteItem", update("k", json!({})));
    env.sleep(Duration::from_secs(1)).await;
    let scan = || ok(&db, "Scan", json!({"TableName": "leases"}))["Count"].clone();
    assert_eq!(answers(scan), texts([&json!(0), &json!(1)]));
    for _ in 0..50 {
        let request = update(
            "k",
            json!({"ConditionExpression": "attribute_exists(leaseKey)"}),
        );
        assert_eq!(
            fails(&db, "DeleteItem", request).0,
            "ConditionalCheckFailedException"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn equal_seeds_are_equally_stale() {
    let mut runs = Vec::new();
    for seed in [4, 4, 5] {
        let (env, db) = stale_service(seed);
        put(&db, "k", json!({}));
        env.sleep(Duration::from_secs(1)).await;
        let scan = || ok(&db, "Scan", json!({"TableName": "leases"}))["Count"].clone();
        runs.push((0..100).map(|_| scan()).collect::<Vec<_>>());
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[test]
fn reads_are_of_the_present_by_default() {
    let db = with_leases();
    for n in 0..100 {
        put(&db, "k", json!({"n": {"N": n.to_string()}}));
        assert_eq!(get(&db, "k"), Some(json!({"n": {"N": n.to_string()}})));
    }
}
