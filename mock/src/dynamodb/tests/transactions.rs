//! TransactWriteItems and TransactGetItems.

use super::*;

use shardwise_env::Simulation;

/// An action on an item of `leases`.
fn action(kind: &str, key: &str, more: Value) -> Value {
    let named = if kind == "Put" { "Item" } else { "Key" };
    json!({kind: merge(json!({"TableName": "leases", named: {"leaseKey": {"S": key}}}), more)})
}

fn put_action(key: &str, condition: Option<&str>) -> Value {
    action(
        "Put",
        key,
        condition.map_or_else(|| json!({}), |text| json!({"ConditionExpression": text})),
    )
}

fn write(actions: &[Value]) -> Value {
    json!({"TransactItems": actions})
}

/// The codes of a cancelled transaction, and its whole error.
#[track_caller]
fn cancelled(db: &DynamoDb, operation: &str, request: Value) -> (Vec<String>, Value) {
    let body = call(db, operation, request).expect_err("cancelled").body;
    assert_eq!(
        body["__type"], "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "{body}"
    );
    let reasons = body["CancellationReasons"].as_array().expect("reasons");
    let codes = reasons
        .iter()
        .map(|reason| reason["Code"].as_str().expect("a code").to_owned());
    (codes.collect(), body.clone())
}

#[test]
fn a_transaction_does_all_its_actions_in_several_tables() {
    let db = with_leases();
    ok(
        &db,
        "CreateTable",
        merge(leases(), json!({"TableName": "state"})),
    );
    put(&db, "checked", json!({"owner_": {"S": "w1"}}));
    put(&db, "updated", json!({"n": {"N": "1"}}));
    put(&db, "deleted", json!({}));
    let elsewhere = json!({"Put": {"TableName": "state", "Item": {"leaseKey": {"S": "moved"}}}});
    let answer = ok(
        &db,
        "TransactWriteItems",
        write(&[
            action(
                "ConditionCheck",
                "checked",
                json!({
                    "ConditionExpression": "owner_ = :me",
                    "ExpressionAttributeValues": {":me": {"S": "w1"}},
                }),
            ),
            put_action("new", Some("attribute_not_exists(leaseKey)")),
            action(
                "Update",
                "updated",
                json!({
                    "UpdateExpression": "SET n = n + :one",
                    "ExpressionAttributeValues": {":one": {"N": "1"}},
                }),
            ),
            action(
                "Delete",
                "deleted",
                json!({"ConditionExpression": "attribute_exists(leaseKey)"}),
            ),
            elsewhere,
        ]),
    );
    assert_eq!(answer, json!({}));
    assert_eq!(get(&db, "new"), Some(json!({})));
    assert_eq!(get(&db, "updated"), Some(json!({"n": {"N": "2"}})));
    assert_eq!(get(&db, "deleted"), None);
    let moved = json!({"TableName": "state", "Key": {"leaseKey": {"S": "moved"}}});
    assert!(ok(&db, "GetItem", moved).get("Item").is_some());
}

#[test]
fn a_transaction_that_fails_does_nothing_and_says_why_for_each_action() {
    let db = with_leases();
    put(&db, "old", json!({"owner_": {"S": "w1"}}));
    let (codes, body) = cancelled(
        &db,
        "TransactWriteItems",
        write(&[
            put_action("new", None),
            action(
                "Put",
                "old",
                json!({
                    "ConditionExpression": "attribute_not_exists(leaseKey)",
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                }),
            ),
            action(
                "ConditionCheck",
                "absent",
                json!({
                    "ConditionExpression": "attribute_exists(leaseKey)",
                }),
            ),
            action(
                "Update",
                "other",
                json!({
                    "UpdateExpression": "SET a = absent",
                }),
            ),
        ]),
    );
    assert_eq!(
        codes,
        [
            "None",
            "ConditionalCheckFailed",
            "ConditionalCheckFailed",
            "ValidationError"
        ]
    );
    assert_eq!(
        body["Message"],
        "Transaction cancelled, please refer cancellation reasons for specific reasons [None, \
         ConditionalCheckFailed, ConditionalCheckFailed, ValidationError]"
    );
    let failed = "The conditional request failed";
    assert_eq!(
        body["CancellationReasons"],
        json!([
            {"Code": "None"},
            {
                "Code": "ConditionalCheckFailed", "Message": failed,
                "Item": {"leaseKey": {"S": "old"}, "owner_": {"S": "w1"}},
            },
            {"Code": "ConditionalCheckFailed", "Message": failed},
            {
                "Code": "ValidationError",
                "Message": "The provided expression refers to an attribute that does not exist in \
                            the item",
            },
        ])
    );
    assert_eq!(get(&db, "new"), None);
    assert_eq!(get(&db, "other"), None);
}

#[test]
fn a_key_of_the_wrong_type_cancels_and_an_empty_one_refuses() {
    let db = with_leases();
    let put_key =
        |key: Value| write(&[json!({"Put": {"TableName": "leases", "Item": {"leaseKey": key}}})]);
    let delete_key =
        |key: Value| write(&[json!({"Delete": {"TableName": "leases", "Key": {"leaseKey": key}}})]);
    let (_, body) = cancelled(&db, "TransactWriteItems", put_key(json!({"N": "5"})));
    assert_eq!(
        body["CancellationReasons"][0]["Message"],
        "One or more parameter values were invalid: Type mismatch for key leaseKey expected: S \
         actual: N"
    );
    let (_, body) = cancelled(&db, "TransactWriteItems", delete_key(json!({"N": "5"})));
    assert_eq!(
        body["CancellationReasons"][0]["Message"],
        "The provided key element does not match the schema"
    );
    for request in [put_key(json!({"S": ""})), delete_key(json!({"S": ""}))] {
        assert_eq!(
            invalid(&db, "TransactWriteItems", request),
            "One or more parameter values are not valid. The AttributeValue for a key attribute \
             cannot contain an empty string value. Key: leaseKey"
        );
    }
}

#[test]
fn transactions_that_make_no_sense_are_refused_before_anything_is_done() {
    let db = with_leases();
    let refused = |request: Value, text: &str| {
        assert_eq!(invalid(&db, "TransactWriteItems", request), text);
    };
    refused(
        write(&[put_action("a", None), action("Delete", "a", json!({}))]),
        "Transaction request cannot include multiple operations on one item",
    );
    refused(
        write(&[]),
        "1 validation error detected: Value '[]' at 'transactItems' failed to satisfy \
         constraint: Member must have length greater than or equal to 1",
    );
    refused(
        write(&[json!({})]),
        "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request",
    );
    refused(
        write(&[merge(
            put_action("a", None),
            action("Delete", "b", json!({})),
        )]),
        "TransactItems can only contain one of Check, Put, Update or Delete",
    );
    // An expression is read before any table is looked up, whichever action has it.
    let elsewhere = json!({"Put": {"TableName": "missing", "Item": {"leaseKey": {"S": "a"}}}});
    refused(
        write(&[
            elsewhere.clone(),
            put_action("a", Some("attribute_not_exists(")),
        ]),
        "Invalid ConditionExpression: Syntax error; token: \"<EOF>\", near: \"(\"",
    );
    refused(
        write(&[
            elsewhere.clone(),
            action(
                "Put",
                "a",
                json!({
                    "ConditionExpression": "attribute_not_exists(leaseKey)",
                    "ExpressionAttributeValues": {":v": {"S": "x"}},
                }),
            ),
        ]),
        "Value provided in ExpressionAttributeValues unused in expressions: keys: {:v}",
    );
    assert_eq!(
        fails(
            &db,
            "TransactWriteItems",
            write(&[put_action("a", None), elsewhere])
        ),
        (
            "ResourceNotFoundException".to_owned(),
            "Requested resource not found".to_owned()
        )
    );
    let expected = action(
        "Put",
        "a",
        json!({"Expected": {"leaseKey": {"Exists": false}}}),
    );
    // Outside the model of a transaction's Put, and so ignored.
    ok(&db, "TransactWriteItems", write(&[expected]));
    assert_eq!(get(&db, "a"), Some(json!({})));
}

#[test]
fn a_transaction_has_at_most_100_actions_and_4_mebibytes() {
    let db = with_leases();
    let puts = |count: usize| {
        let keys = (0..count).map(|n| put_action(&n.to_string(), None));
        write(&keys.collect::<Vec<_>>())
    };
    let message = invalid(&db, "TransactWriteItems", puts(101));
    assert!(
        message.ends_with(
            "' at 'transactItems' failed to satisfy constraint: Member must have length less \
             than or equal to 100"
        ),
        "{message}"
    );
    assert_eq!(get(&db, "0"), None);
    ok(&db, "TransactWriteItems", puts(100));
    assert_eq!(get(&db, "99"), Some(json!({})));

    let large = |n: usize| {
        action(
            "Put",
            &n.to_string(),
            json!({
                "Item": {"leaseKey": {"S": n.to_string()}, "b": {"S": "x".repeat(390_000)}},
            }),
        )
    };
    let puts = |count: usize| write(&(0..count).map(large).collect::<Vec<_>>());
    ok(&db, "TransactWriteItems", puts(10));
    assert!(invalid(&db, "TransactWriteItems", puts(11)).contains("aggregate size"));
}

#[tokio::test(start_paused = true)]
async fn a_token_makes_a_transaction_repeatable_for_ten_minutes() {
    let env = Simulation::new(1).node("service", 1.0).env();
    let db = DynamoDb::new(env.clone(), "000000000000", "us-east-1", Duration::ZERO);
    ok(&db, "CreateTable", leases());
    let count = |by: &str, more: Value| {
        let action = action(
            "Update",
            "k",
            json!({
                "UpdateExpression": "ADD n :by", "ExpressionAttributeValues": {":by": {"N": by}},
            }),
        );
        merge(
            json!({"TransactItems": [action], "ClientRequestToken": "token"}),
            more,
        )
    };
    let n = || get(&db, "k").map(|item| item["n"]["N"].clone());
    ok(&db, "TransactWriteItems", count("1", json!({})));
    env.sleep(Duration::from_secs(599)).await;
    let again = ok(
        &db,
        "TransactWriteItems",
        count("1", json!({"ReturnConsumedCapacity": "TOTAL"})),
    );
    assert_eq!(
        again,
        json!({"ConsumedCapacity": [{
            "TableName": "leases", "CapacityUnits": 2.0, "ReadCapacityUnits": 2.0,
        }]})
    );
    assert_eq!(n(), Some(json!("1")));
    let (kind, _) = fails(&db, "TransactWriteItems", count("2", json!({})));
    assert_eq!(kind, "IdempotentParameterMismatchException");
    ok(
        &db,
        "TransactWriteItems",
        count("1", json!({"ClientRequestToken": "other"})),
    );
    assert_eq!(n(), Some(json!("2")));
    env.sleep(Duration::from_secs(1)).await;
    ok(&db, "TransactWriteItems", count("2", json!({})));
    assert_eq!(n(), Some(json!("4")));
}

#[test]
fn a_cancelled_transaction_leaves_its_token_free() {
    let db = with_leases();
    let request = merge(
        write(&[action(
            "Delete",
            "k",
            json!({"ConditionExpression": "attribute_exists(leaseKey)"}),
        )]),
        json!({"ClientRequestToken": "token"}),
    );
    cancelled(&db, "TransactWriteItems", request.clone());
    put(&db, "k", json!({}));
    ok(&db, "TransactWriteItems", request);
    assert_eq!(get(&db, "k"), None);
}

#[test]
fn a_transaction_reads_items_in_the_order_of_the_request() {
    let db = with_leases();
    put(&db, "a", json!({"n": {"N": "1"}, "m": {"N": "2"}}));
    put(&db, "b", json!({}));
    let read = |key: &str, more: Value| action("Get", key, more);
    let request = json!({
        "TransactItems": [
            read("b", json!({})),
            read("missing", json!({})),
            read("a", json!({"ProjectionExpression": "#n", "ExpressionAttributeNames": {"#n": "n"}})),
        ],
        "ReturnConsumedCapacity": "TOTAL",
    });
    assert_eq!(
        ok(&db, "TransactGetItems", request),
        json!({
            "Responses": [{"Item": {"leaseKey": {"S": "b"}}}, {}, {"Item": {"n": {"N": "1"}}}],
            "ConsumedCapacity": [{
                "TableName": "leases", "CapacityUnits": 6.0, "ReadCapacityUnits": 6.0,
            }],
        })
    );
    let twice = json!({"TransactItems": [read("a", json!({})), read("a", json!({}))]});
    assert_eq!(
        invalid(&db, "TransactGetItems", twice),
        "Transaction request cannot include multiple operations on one item"
    );
    let wrong = json!({"Get": {"TableName": "leases", "Key": {"leaseKey": {"N": "1"}}}});
    let request = json!({"TransactItems": [read("a", json!({})), wrong]});
    let (codes, _) = cancelled(&db, "TransactGetItems", request);
    assert_eq!(codes, ["None", "ValidationError"]);
    let missing = json!({"Get": {"TableName": "missing", "Key": {"leaseKey": {"S": "1"}}}});
    let (kind, _) = fails(&db, "TransactGetItems", json!({"TransactItems": [missing]}));
    assert_eq!(kind, "ResourceNotFoundException");
}
