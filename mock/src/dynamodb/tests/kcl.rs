//! What the Java KCL does with its tables, version by version, as its traffic and source show it.
//!
//! The life of one lease is in `legacy`; here are the tables around it.

use super::*;

/// An item of a table with the key `key`.
fn state_item(key: &str, more: Value) -> Value {
    merge(json!({"key": {"S": key}}), more)
}

fn create(db: &DynamoDb, table: &str, key: &str) {
    let request = json!({
        "TableName": table,
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": false,
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
    });
    ok(db, "CreateTable", request);
}

#[test]
fn a_provisioned_table_of_kcl_1_gets_the_index_of_kcl_3() {
    let db = service();
    let units = json!({"ReadCapacityUnits": 10, "WriteCapacityUnits": 10});
    let request = json!({
        "TableName": "app",
        "ProvisionedThroughput": units,
        "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
    });
    ok(&db, "CreateTable", request);
    let lease = json!({
        "leaseKey": {"S": "shardId-000000000000"}, "leaseCounter": {"N": "0"},
        "checkpoint": {"S": "TRIM_HORIZON"}, "parentShardId": {"SS": ["p2", "p1"]},
        "leaseOwner": {"S": "w1"},
    });
    let put = json!({
        "TableName": "app", "Item": lease, "Expected": {"leaseKey": {"Exists": false}},
    });
    ok(&db, "PutItem", put.clone());
    assert_eq!(
        fails(&db, "PutItem", put).0,
        "ConditionalCheckFailedException"
    );
    let index = json!({
        "IndexName": "LeaseOwnerToLeaseKeyIndex",
        "KeySchema": [
            {"AttributeName": "leaseOwner", "KeyType": "HASH"},
            {"AttributeName": "leaseKey", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
        "ProvisionedThroughput": units,
    });
    let request = json!({
        "TableName": "app",
        "AttributeDefinitions": [
            {"AttributeName": "leaseOwner", "AttributeType": "S"},
            {"AttributeName": "leaseKey", "AttributeType": "S"},
        ],
        "GlobalSecondaryIndexUpdates": [{"Create": index}],
    });
    ok(&db, "UpdateTable", request);
    let table = ok(&db, "DescribeTable", json!({"TableName": "app"}))["Table"].clone();
    let index = &table["GlobalSecondaryIndexes"][0];
    assert_eq!(index["IndexStatus"], "ACTIVE");
    assert_eq!(index["ProvisionedThroughput"]["WriteCapacityUnits"], 10);
    let query = json!({
        "TableName": "app", "IndexName": "LeaseOwnerToLeaseKeyIndex",
        "KeyConditionExpression": "leaseOwner = :leaseOwner",
        "ExpressionAttributeValues": {":leaseOwner": {"S": "w1"}},
    });
    assert_eq!(
        ok(&db, "Query", query)["Items"],
        json!([{"leaseKey": {"S": "shardId-000000000000"}, "leaseOwner": {"S": "w1"}}])
    );
}

#[test]
fn the_leader_lock_of_kcl_3_is_acquired_kept_and_released() {
    let db = service();
    create(&db, "app-CoordinatorState", "key");
    let names = json!({
        "#pk": "key", "#rvn": "recordVersionNumber", "#on": "ownerName", "#ir": "isReleased",
    });
    let some_names = |wanted: &[&str]| {
        let mut names = names.clone();
        names
            .as_object_mut()
            .expect("names")
            .retain(|name, _| wanted.contains(&name.as_str()));
        names
    };
    let acquire = |owner: &str, version: &str, condition: &str, used: &[&str], values: Value| {
        let lock = json!({
            "ownerName": {"S": owner}, "recordVersionNumber": {"S": version},
            "leaseDuration": {"S": "120000"},
        });
        let mut request = json!({
            "TableName": "app-CoordinatorState", "Item": state_item("Leader", lock),
            "ConditionExpression": condition, "ExpressionAttributeNames": some_names(used),
        });
        if values != json!({}) {
            request["ExpressionAttributeValues"] = values;
        }
        call(&db, "PutItem", request)
    };
    let absent = "attribute_not_exists(#pk)";
    acquire("w1", "v1", absent, &["#pk"], json!({})).expect("the lock is free");
    let raced = acquire("w2", "x", absent, &["#pk"], json!({})).expect_err("the lock is held");
    assert_eq!(raced.body["message"], "The conditional request failed");
    let mine = |owner: &str, from: &str, set: &str, to: Value| {
        json!({
            "TableName": "app-CoordinatorState", "Key": {"key": {"S": "Leader"}},
            "UpdateExpression": format!("SET {set} = :new"),
            "ConditionExpression": "attribute_exists(#pk) AND #rvn = :rvn AND #on = :on",
            "ExpressionAttributeNames": some_names(&["#pk", "#rvn", "#on", set]),
            "ExpressionAttributeValues": {":new": to, ":rvn": {"S": from}, ":on": {"S": owner}},
        })
    };
    ok(
        &db,
        "UpdateItem",
        mine("w1", "v1", "#rvn", json!({"S": "v2"})),
    );
    let late = fails(
        &db,
        "UpdateItem",
        mine("w1", "v1", "#rvn", json!({"S": "v3"})),
    );
    assert_eq!(late.0, "ConditionalCheckFailedException");
    let released = "attribute_exists(#pk) AND #ir = :ir";
    let one = json!({":ir": {"S": "1"}});
    assert!(acquire("w2", "v4", released, &["#pk", "#ir"], one.clone()).is_err());
    ok(
        &db,
        "UpdateItem",
        mine("w1", "v2", "#ir", json!({"S": "1"})),
    );
    acquire("w2", "v4", released, &["#pk", "#ir"], one).expect("the lock is released");
}

#[test]
fn kcl_3_5_moves_rows_into_the_lease_table_only_as_the_leader() {
    let db = with_leases();
    create(&db, "app-CoordinatorState", "key");
    create(&db, "app-WorkerMetricStats", "wid");
    let leader = state_item("Leader", json!({"ownerName": {"S": "w1"}}));
    ok(
        &db,
        "PutItem",
        json!({"TableName": "app-CoordinatorState", "Item": leader}),
    );
    for worker in 0..24 {
        let metrics = json!({"wid": {"S": format!("w{worker}")}, "sts": {"M": {}}});
        ok(
            &db,
            "PutItem",
            json!({"TableName": "app-WorkerMetricStats", "Item": metrics}),
        );
    }
    let moves = |me: &str| {
        let mut actions = vec![json!({"ConditionCheck": {
            "TableName": "app-CoordinatorState", "Key": {"key": {"S": "Leader"}},
            "ConditionExpression": "ownerName = :me",
            "ExpressionAttributeValues": {":me": {"S": me}},
        }})];
        for worker in 0..24 {
            let id = format!("w{worker}");
            let moved = json!({
                "leaseKey": {"S": id}, "entityType": {"S": "WORKER_METRIC_STATS"}, "sts": {"M": {}},
            });
            actions.push(json!({"Put": {
                "TableName": "leases", "Item": moved,
                "ConditionExpression": "attribute_not_exists(leaseKey)",
            }}));
            actions.push(json!({"Delete": {
                "TableName": "app-WorkerMetricStats", "Key": {"wid": {"S": id}},
            }}));
        }
        json!({"TransactItems": actions})
    };
    let count = |table: &str| {
        let request = json!({"TableName": table, "Select": "COUNT", "ConsistentRead": true});
        ok(&db, "Scan", request)["Count"].clone()
    };
    let body = call(&db, "TransactWriteItems", moves("w2"))
        .expect_err("not the leader")
        .body;
    assert_eq!(
        body["CancellationReasons"][0]["Code"],
        "ConditionalCheckFailed"
    );
    assert_eq!(
        (count("leases"), count("app-WorkerMetricStats")),
        (json!(0), json!(24))
    );
    ok(&db, "TransactWriteItems", moves("w1"));
    assert_eq!(
        (count("leases"), count("app-WorkerMetricStats")),
        (json!(24), json!(0))
    );
    let metrics = json!({
        "TableName": "leases", "FilterExpression": "entityType = :e",
        "ExpressionAttributeValues": {":e": {"S": "WORKER_METRIC_STATS"}},
    });
    assert_eq!(ok(&db, "Scan", metrics)["Count"], 24);
}
