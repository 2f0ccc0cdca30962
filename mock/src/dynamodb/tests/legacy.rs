//! `Expected` and `AttributeUpdates`, as the Java KCL writes with them.

use super::*;

fn expected(conditions: &Value) -> Value {
    update("shard", json!({"Expected": conditions}))
}

/// Whether conditions hold for an item with `n` 5, `s` "text" and `ss` {a, b}.
fn holds(more: Value) -> bool {
    let db = with_leases();
    put(
        &db,
        "shard",
        json!({
            "n": {"N": "5"}, "s": {"S": "text"}, "ss": {"SS": ["a", "b"]},
        }),
    );
    match call(&db, "UpdateItem", update("shard", more)) {
        Ok(_) => true,
        Err(failure) => {
            let kind = failure.body["__type"].as_str().unwrap();
            assert!(
                kind.ends_with("ConditionalCheckFailedException"),
                "{failure:?}"
            );
            false
        }
    }
}

#[test]
fn expected_knows_existence_and_values() {
    for (conditions, expected) in [
        (json!({"n": {"Value": {"N": "5.0"}}}), true),
        (json!({"n": {"Value": {"N": "5"}, "Exists": true}}), true),
        (json!({"n": {"Value": {"N": "6"}}}), false),
        (json!({"n": {"Value": {"S": "5"}}}), false),
        (json!({"x": {"Value": {"N": "5"}}}), false),
        (json!({"x": {"Exists": false}}), true),
        (json!({"n": {"Exists": false}}), false),
        (json!({"ss": {"Value": {"SS": ["b", "a"]}}}), true),
        (
            json!({"n": {"Value": {"N": "5"}}, "x": {"Exists": false}}),
            true,
        ),
        (
            json!({"n": {"Value": {"N": "5"}}, "s": {"Exists": false}}),
            false,
        ),
    ] {
        assert_eq!(
            holds(json!({"Expected": conditions})),
            expected,
            "{conditions}"
        );
    }
}

#[test]
fn expected_knows_comparison_operators() {
    for (attribute, operator, values, expected) in [
        ("n", "EQ", json!([{"N": "5"}]), true),
        ("n", "NE", json!([{"N": "5"}]), false),
        ("x", "NE", json!([{"N": "5"}]), true),
        ("n", "LT", json!([{"N": "6"}]), true),
        ("n", "LE", json!([{"N": "5"}]), true),
        ("n", "GT", json!([{"N": "5"}]), false),
        ("n", "GE", json!([{"N": "5"}]), true),
        ("x", "GE", json!([{"N": "5"}]), false),
        ("x", "NULL", json!(null), true),
        ("n", "NULL", json!(null), false),
        ("n", "NOT_NULL", json!(null), true),
        ("n", "BETWEEN", json!([{"N": "1"}, {"N": "5"}]), true),
        ("n", "IN", json!([{"N": "1"}, {"N": "5"}]), true),
        ("s", "BEGINS_WITH", json!([{"S": "te"}]), true),
        ("s", "CONTAINS", json!([{"S": "ex"}]), true),
        ("ss", "CONTAINS", json!([{"S": "a"}]), true),
        ("ss", "NOT_CONTAINS", json!([{"S": "a"}]), false),
        ("ss", "NOT_CONTAINS", json!([{"S": "c"}]), true),
        ("x", "NOT_CONTAINS", json!([{"S": "c"}]), false),
    ] {
        let condition = json!({"ComparisonOperator": operator, "AttributeValueList": values});
        let request = json!({"Expected": {attribute: condition}});
        assert_eq!(holds(request.clone()), expected, "{request}");
    }
}

#[test]
fn the_conditional_operator_joins_conditions() {
    let conditions = json!({"n": {"Value": {"N": "5"}}, "s": {"Exists": false}});
    assert!(holds(
        json!({"Expected": conditions, "ConditionalOperator": "OR"})
    ));
    assert!(!holds(
        json!({"Expected": conditions, "ConditionalOperator": "AND"})
    ));
}

#[test]
fn expected_that_makes_no_sense_is_refused() {
    let db = with_leases();
    for (condition, text) in [
        (
            json!({}),
            "Value must be provided when Exists is null for Attribute: n",
        ),
        (
            json!({"Exists": true}),
            "Value must be provided when Exists is true",
        ),
        (
            json!({"Exists": false, "Value": {"N": "1"}}),
            "Value cannot be used when Exists is false",
        ),
        (
            json!({"Exists": false, "ComparisonOperator": "NULL"}),
            "Exists and ComparisonOperator cannot be used together",
        ),
        (
            json!({"AttributeValueList": []}),
            "can only be used with a ComparisonOperator",
        ),
        (
            json!({"ComparisonOperator": "EQ"}),
            "Value or AttributeValueList must be used",
        ),
        (
            json!({"ComparisonOperator": "EQ", "AttributeValueList": []}),
            "Invalid number of argument(s) for the EQ ComparisonOperator",
        ),
        (
            json!({"ComparisonOperator": "BETWEEN", "AttributeValueList": [{"N": "2"}, {"N": "1"}]}),
            "lower bound is greater than the upper bound",
        ),
        (
            json!({"ComparisonOperator": "LT", "Value": {"BOOL": true}}),
            "ComparisonOperator LT is not valid for BOOL AttributeValue type",
        ),
        (
            json!({"ComparisonOperator": "LIKE"}),
            "failed to satisfy constraint",
        ),
    ] {
        let message = invalid(&db, "UpdateItem", expected(&json!({"n": condition})));
        assert!(message.contains(text), "{message}");
    }
    let mixed = merge(
        expected(&json!({"n": {"Exists": false}})),
        json!({"ConditionExpression": "attribute_exists(n)"}),
    );
    assert_eq!(
        invalid(&db, "UpdateItem", mixed),
        "Can not use both expression and non-expression parameters in the same request: \
         Non-expression parameters: {Expected} Expression parameters: {ConditionExpression}"
    );
}

#[test]
fn attribute_updates_put_add_and_delete() {
    let db = with_leases();
    put(
        &db,
        "shard",
        json!({
            "n": {"N": "5"}, "s": {"S": "text"}, "ss": {"SS": ["a", "b"]}, "l": {"L": [{"N": "1"}]},
        }),
    );
    let request = update(
        "shard",
        json!({
            "ReturnValues": "ALL_NEW",
            "AttributeUpdates": {
                "n": {"Action": "ADD", "Value": {"N": "-1.5"}},
                "m": {"Action": "ADD", "Value": {"N": "2"}},
                "s": {"Action": "DELETE"},
                "ss": {"Action": "DELETE", "Value": {"SS": ["a", "c"]}},
                "l": {"Action": "ADD", "Value": {"L": [{"N": "2"}]}},
                "name with spaces": {"Value": {"S": "put by default"}},
                "gone": {"Action": "DELETE"},
            },
        }),
    );
    assert_eq!(
        ok(&db, "UpdateItem", request)["Attributes"],
        json!({
            "leaseKey": {"S": "shard"}, "n": {"N": "3.5"}, "m": {"N": "2"}, "ss": {"SS": ["b"]},
            "l": {"L": [{"N": "1"}, {"N": "2"}]}, "name with spaces": {"S": "put by default"},
        })
    );
}

#[test]
fn attribute_updates_that_do_not_fit_are_refused() {
    let db = with_leases();
    put(&db, "shard", json!({"s": {"S": "text"}}));
    for (change, text) in [
        (
            json!({"Action": "ADD", "Value": {"N": "1"}}),
            "Type mismatch for attribute to update",
        ),
        (
            json!({"Action": "DELETE", "Value": {"SS": ["a"]}}),
            "Type mismatch for attribute to update",
        ),
        (json!({"Action": "PUT"}), "Only DELETE action is allowed"),
        (
            json!({"Action": "ADD", "Value": {"S": "a"}}),
            "ADD action is not supported for the type S",
        ),
        (
            json!({"Action": "DELETE", "Value": {"S": "a"}}),
            "DELETE action with value is not supported for the type S",
        ),
        (json!({"Action": "SET"}), "enum value set"),
    ] {
        let request = update("shard", json!({"AttributeUpdates": {"s": change}}));
        let message = invalid(&db, "UpdateItem", request);
        assert!(message.contains(text), "{message}");
    }
    assert_eq!(get(&db, "shard"), Some(json!({"s": {"S": "text"}})));
}

/// The calls that the KCL makes on a lease, one after the other.
#[test]
fn a_lease_goes_through_its_life() {
    let db = with_leases();
    let create = json!({
        "TableName": "leases",
        "Item": {"leaseKey": {"S": "shard"}, "leaseCounter": {"N": "0"}},
        "Expected": {"leaseKey": {"Exists": false}},
    });
    ok(&db, "PutItem", create.clone());
    assert_eq!(
        fails(&db, "PutItem", create).0,
        "ConditionalCheckFailedException"
    );

    let take = update(
        "shard",
        json!({
            "AttributeUpdates": {
                "leaseOwner": {"Value": {"S": "w1"}, "Action": "PUT"},
                "leaseCounter": {"Value": {"N": "1"}, "Action": "ADD"},
                "checkpointOwner": {"Action": "DELETE"},
            },
            "Expected": {
                "leaseOwner": {"Exists": false},
                "checkpointOwner": {"Exists": false},
                "leaseKey": {"Value": {"S": "shard"}, "Exists": true},
            },
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }),
    );
    let taken = json!({
        "leaseKey": {"S": "shard"}, "leaseOwner": {"S": "w1"}, "leaseCounter": {"N": "1"},
    });
    assert_eq!(ok(&db, "UpdateItem", take.clone())["Attributes"], taken);
    let raced = call(&db, "UpdateItem", take).unwrap_err();
    assert_eq!(raced.body["Item"], taken);

    let renew = update(
        "shard",
        json!({
            "AttributeUpdates": {"leaseCounter": {"Value": {"N": "2"}, "Action": "PUT"}},
            "Expected": {"leaseCounter": {"Value": {"N": "1"}}},
        }),
    );
    ok(&db, "UpdateItem", renew.clone());
    assert_eq!(
        fails(&db, "UpdateItem", renew).0,
        "ConditionalCheckFailedException"
    );

    let missing = update(
        "other",
        json!({
            "AttributeUpdates": {"childShardIds": {"Value": {"SS": ["a"]}}},
            "Expected": {"leaseKey": {"Value": {"S": "other"}, "Exists": true}},
        }),
    );
    assert_eq!(
        fails(&db, "UpdateItem", missing).0,
        "ConditionalCheckFailedException"
    );
    assert_eq!(get(&db, "other"), None);
}
