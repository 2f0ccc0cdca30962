//! Items and their values: GetItem, PutItem, UpdateItem, DeleteItem.

use super::*;

#[test]
fn an_item_comes_back_as_it_was_put() {
    let db = with_leases();
    let item = json!({
        "s": {"S": ""}, "n": {"N": "-12.5"}, "b": {"B": "AAEC/w=="}, "t": {"BOOL": true},
        "null": {"NULL": true}, "ss": {"SS": ["a", "b"]}, "ns": {"NS": ["-1", "2"]},
        "bs": {"BS": ["AA==", "AQ=="]},
        "l": {"L": [{"M": {"cv": {"S": "A"}, "mts": {"N": "1795388875258"}}}]},
        "m": {"M": {}},
    });
    put(&db, "shard", item.clone());
    assert_eq!(get(&db, "shard"), Some(item));
    assert_eq!(get(&db, "other"), None);
}

#[test]
fn a_put_replaces_the_whole_item_and_can_return_the_old_one() {
    let db = with_leases();
    put(&db, "shard", json!({"a": {"S": "1"}, "b": {"S": "2"}}));
    let request = json!({
        "TableName": "leases", "ReturnValues": "ALL_OLD",
        "Item": {"leaseKey": {"S": "shard"}, "c": {"S": "3"}},
    });
    let answer = ok(&db, "PutItem", request);
    assert_eq!(answer["Attributes"]["b"], json!({"S": "2"}));
    assert_eq!(get(&db, "shard"), Some(json!({"c": {"S": "3"}})));
}

#[test]
fn numbers_are_normalised() {
    let db = with_leases();
    for (given, kept) in [
        ("007", "7"),
        ("1.50", "1.5"),
        ("-0", "0"),
        ("+1", "1"),
        ("1e3", "1000"),
        ("12.5E-4", "0.00125"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1E125", &format!("1{}", "0".repeat(125))),
        ("1E-130", &format!("0.{}1", "0".repeat(129))),
        ("0e9999999999999999999999", "0"),
        (
            "99999999999999999999999999999999999999",
            "99999999999999999999999999999999999999",
        ),
    ] {
        put(&db, "shard", json!({"n": {"N": given}}));
        assert_eq!(
            get(&db, "shard"),
            Some(json!({"n": {"N": kept}})),
            "{given}"
        );
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let db = with_leases();
    let put = |number: &str| {
        let item = json!({"leaseKey": {"S": "shard"}, "n": {"N": number}});
        invalid(&db, "PutItem", json!({"TableName": "leases", "Item": item}))
    };
    assert!(put("1E126").starts_with("Number overflow."));
    assert!(put("1E-131").starts_with("Number underflow."));
    assert!(put("1e99999999999999999999999").starts_with("Number overflow."));
    assert!(put(&"1".repeat(39)).contains("more than 38 significant digits"));
    let not_numeric = "The parameter cannot be converted to a numeric value";
    assert_eq!(put(""), not_numeric);
    for text in [
        "x", "1x", "1e", "e1", ".", "--1", "1.2.3", " 1", "0x1", "NaN", "-",
    ] {
        assert_eq!(put(text), format!("{not_numeric}: {text}"));
    }
}

#[test]
fn values_that_are_no_values_are_refused() {
    let db = with_leases();
    let put = |value: Value| {
        let item = json!({"leaseKey": {"S": "shard"}, "v": value});
        fails(&db, "PutItem", json!({"TableName": "leases", "Item": item}))
    };
    let refused = |value, text: &str| {
        let (name, message) = put(value);
        assert_eq!(name, "ValidationException");
        assert!(message.contains(text), "{message}");
    };
    refused(
        json!({}),
        "must contain exactly one of the supported datatypes",
    );
    refused(
        json!({"X": "1"}),
        "must contain exactly one of the supported datatypes",
    );
    refused(json!({"S": "1", "N": "1"}), "more than one datatypes set");
    refused(json!({"NULL": false}), "must have the value of true");
    refused(json!({"SS": []}), "may not be empty");
    refused(json!({"NS": []}), "may not be empty");
    refused(json!({"BS": []}), "should not be empty");
    refused(
        json!({"SS": ["a", "a"]}),
        "Input collection [a, a] contains duplicates.",
    );
    refused(
        json!({"NS": ["1", "1.0"]}),
        "Input collection contains duplicates",
    );
    refused(json!({"L": [{"M": {"x": {"NS": []}}}]}), "may not be empty");
    let deep = (0..40).fold(json!({"S": "x"}), |inner, _| json!({"L": [inner]}));
    refused(deep, "Nesting Levels have exceeded supported limits");
    for value in [
        json!("x"),
        json!({"S": 1}),
        json!({"N": 1}),
        json!({"B": "%"}),
        json!({"L": 1}),
    ] {
        assert_eq!(put(value).0, "SerializationException");
    }
}

#[test]
fn keys_are_checked_against_the_schema() {
    let db = with_leases();
    let put = |item: Value| invalid(&db, "PutItem", json!({"TableName": "leases", "Item": item}));
    assert_eq!(
        put(json!({"x": {"S": "1"}})),
        "One or more parameter values were invalid: Missing the key leaseKey in the item"
    );
    assert_eq!(
        put(json!({"leaseKey": {"N": "1"}})),
        "One or more parameter values were invalid: Type mismatch for key leaseKey expected: S \
         actual: N"
    );
    assert!(put(json!({"leaseKey": {"S": ""}})).contains("cannot contain an empty string value"));
    assert!(put(json!({"leaseKey": {"S": "k".repeat(2049)}})).contains("of2048 bytes"));
    for key in [
        json!({}),
        json!({"leaseKey": {"N": "1"}}),
        json!({"other": {"S": "1"}}),
        json!({"leaseKey": {"S": "1"}, "other": {"S": "1"}}),
    ] {
        for operation in ["GetItem", "UpdateItem", "DeleteItem"] {
            assert_eq!(
                invalid(&db, operation, json!({"TableName": "leases", "Key": key})),
                "The provided key element does not match the schema"
            );
        }
    }
}

#[test]
fn an_item_has_at_most_400_kib() {
    let db = with_leases();
    let item = |len: usize| json!({"leaseKey": {"S": "k"}, "v": {"S": "x".repeat(len)}});
    let fitting = 400 * 1024 - "leaseKey".len() - "k".len() - "v".len();
    ok(
        &db,
        "PutItem",
        json!({"TableName": "leases", "Item": item(fitting)}),
    );
    assert_eq!(
        invalid(
            &db,
            "PutItem",
            json!({"TableName": "leases", "Item": item(fitting + 1)})
        ),
        "Item size has exceeded the maximum allowed size"
    );
    let grow = update(
        "k",
        json!({
            "UpdateExpression": "SET w = :one", "ExpressionAttributeValues": {":one": {"N": "1"}},
        }),
    );
    assert_eq!(
        invalid(&db, "UpdateItem", grow),
        "Item size to update has exceeded the maximum allowed size"
    );
    assert_eq!(get(&db, "k").unwrap().as_object().unwrap().len(), 1);
}

#[test]
fn a_failed_condition_changes_nothing_and_can_show_the_item() {
    let db = with_leases();
    put(&db, "shard", json!({"leaseCounter": {"N": "5"}}));
    let condition = json!({
        "ConditionExpression": "leaseCounter = :seen",
        "ExpressionAttributeValues": {":seen": {"N": "4"}},
    });
    let item = json!({"Item": {"leaseKey": {"S": "shard"}}, "TableName": "leases"});
    let change = json!({
        "UpdateExpression": "SET leaseCounter = :next, gone = :next REMOVE leaseOwner",
        "ExpressionAttributeValues": {":seen": {"N": "4"}, ":next": {"N": "9"}},
    });
    for (operation, request) in [
        ("PutItem", merge(item, condition.clone())),
        (
            "UpdateItem",
            update("shard", merge(condition.clone(), change)),
        ),
        ("DeleteItem", update("shard", condition)),
    ] {
        let failure = call(&db, operation, request.clone()).unwrap_err();
        assert_eq!(
            failure.body,
            json!({
                "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
                "message": "The conditional request failed",
            })
        );
        let show = json!({"ReturnValuesOnConditionCheckFailure": "ALL_OLD"});
        let failure = call(&db, operation, merge(request, show)).unwrap_err();
        assert_eq!(failure.body["Item"]["leaseCounter"], json!({"N": "5"}));
        assert_eq!(get(&db, "shard"), Some(json!({"leaseCounter": {"N": "5"}})));
    }
}

#[test]
fn a_failed_condition_on_a_missing_item_shows_none() {
    let db = with_leases();
    let request = update(
        "none",
        json!({
            "ConditionExpression": "attribute_exists(leaseKey)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }),
    );
    let failure = call(&db, "UpdateItem", request).unwrap_err();
    assert_eq!(failure.body.get("Item"), None);
    assert_eq!(get(&db, "none"), None);
}

#[test]
fn an_update_returns_what_was_asked_for() {
    let returned = |values: &str| {
        let db = with_leases();
        put(
            &db,
            "shard",
            json!({"a": {"N": "1"}, "b": {"S": "x"}, "c": {"S": "y"}}),
        );
        let request = update(
            "shard",
            json!({
                "UpdateExpression": "SET a = a + :one REMOVE b",
                "ExpressionAttributeValues": {":one": {"N": "1"}},
                "ReturnValues": values,
            }),
        );
        ok(&db, "UpdateItem", request).get("Attributes").cloned()
    };
    let key = json!({"leaseKey": {"S": "shard"}});
    let all = |attributes| Some(merge(key.clone(), attributes));
    assert_eq!(returned("NONE"), None);
    assert_eq!(
        returned("ALL_NEW"),
        all(json!({"a": {"N": "2"}, "c": {"S": "y"}}))
    );
    assert_eq!(
        returned("ALL_OLD"),
        all(json!({"a": {"N": "1"}, "b": {"S": "x"}, "c": {"S": "y"}}))
    );
    assert_eq!(returned("UPDATED_NEW"), Some(json!({"a": {"N": "2"}})));
    assert_eq!(
        returned("UPDATED_OLD"),
        Some(json!({"a": {"N": "1"}, "b": {"S": "x"}}))
    );
}

#[test]
fn put_and_delete_return_the_old_item_or_nothing() {
    let db = with_leases();
    put(&db, "shard", json!({"a": {"N": "1"}}));
    let delete = |more| update("shard", merge(json!({"ReturnValues": "ALL_OLD"}), more));
    let answer = ok(&db, "DeleteItem", delete(json!({})));
    assert_eq!(answer["Attributes"]["a"], json!({"N": "1"}));
    assert_eq!(ok(&db, "DeleteItem", delete(json!({}))), json!({}));
    assert_eq!(
        invalid(
            &db,
            "DeleteItem",
            delete(json!({"ReturnValues": "ALL_NEW"}))
        ),
        "ReturnValues can only be ALL_OLD or NONE"
    );
}

#[test]
fn an_update_of_a_missing_item_creates_it_unless_it_only_removes() {
    let db = with_leases();
    ok(&db, "UpdateItem", update("bare", json!({})));
    assert_eq!(get(&db, "bare"), Some(json!({})));
    ok(
        &db,
        "UpdateItem",
        update("removed", json!({"UpdateExpression": "REMOVE a, b"})),
    );
    assert_eq!(get(&db, "removed"), None);
    let add = json!({
        "UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": {"N": "1"}},
    });
    ok(&db, "UpdateItem", update("added", add));
    assert_eq!(get(&db, "added"), Some(json!({"n": {"N": "1"}})));
}

#[test]
fn key_attributes_cannot_be_updated() {
    let db = with_leases();
    let request = update(
        "shard",
        json!({
            "UpdateExpression": "SET leaseKey = :x", "ExpressionAttributeValues": {":x": {"S": "x"}},
        }),
    );
    assert_eq!(
        invalid(&db, "UpdateItem", request),
        "One or more parameter values were invalid: Cannot update attribute leaseKey. This \
         attribute is part of the key"
    );
}

#[test]
fn a_projection_cuts_the_item() {
    let db = with_leases();
    put(
        &db,
        "shard",
        json!({
            "a": {"M": {"b": {"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}]}, "c": {"S": "x"}}},
            "d": {"S": "y"},
        }),
    );
    let request = update(
        "shard",
        json!({
            "ProjectionExpression": "#a.b[2], #a.b[0], e, d.f",
            "ExpressionAttributeNames": {"#a": "a"},
        }),
    );
    assert_eq!(
        ok(&db, "GetItem", request)["Item"],
        json!({"a": {"M": {"b": {"L": [{"N": "0"}, {"N": "2"}]}}}})
    );
}

#[test]
fn members_that_are_not_implemented_are_refused_by_name() {
    let db = with_leases();
    let request = update("shard", json!({"AttributesToGet": ["a"]}));
    assert_eq!(
        invalid(&db, "GetItem", request),
        "shardwise-mock does not implement the member 'attributesToGet'"
    );
    let request = json!({"TableName": "leases", "ScanFilter": {}});
    assert!(invalid(&db, "Scan", request).contains("'scanFilter'"));
}

#[test]
fn requests_of_the_wrong_shape_are_refused() {
    let db = with_leases();
    for body in ["", "x", "[]", "1"] {
        let failure = db.call("GetItem", body.as_bytes()).unwrap_err();
        assert_eq!(
            failure.body["__type"],
            "com.amazon.coral.service#SerializationException"
        );
    }
    assert_eq!(
        invalid(&db, "GetItem", json!({"TableName": "leases"})),
        "1 validation error detected: Value null at 'key' failed to satisfy constraint: Member \
         must not be null"
    );
    assert_eq!(
        invalid(
            &db,
            "UpdateItem",
            update("shard", json!({"ReturnValues": "SOME"}))
        ),
        "1 validation error detected: Value 'SOME' at 'returnValues' failed to satisfy \
         constraint: Member must satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, \
         UPDATED_NEW]"
    );
    let failure = db.call("ExecuteStatement", b"{}").unwrap_err();
    assert_eq!(
        failure.body,
        json!({"__type": "com.amazon.coral.service#UnknownOperationException"})
    );
}

#[test]
fn capacity_is_answered_when_asked_for() {
    let db = with_leases();
    put(&db, "shard", json!({"v": {"S": "x".repeat(5000)}}));
    let get = |more| ok(&db, "GetItem", update("shard", more));
    let total = json!({"ReturnConsumedCapacity": "TOTAL"});
    assert_eq!(
        get(total.clone())["ConsumedCapacity"],
        json!({"TableName": "leases", "CapacityUnits": 1.0})
    );
    let consistent = merge(total, json!({"ConsistentRead": true}));
    assert_eq!(get(consistent)["ConsumedCapacity"]["CapacityUnits"], 2.0);
    let request = update("shard", json!({"ReturnConsumedCapacity": "INDEXES"}));
    assert_eq!(
        ok(&db, "DeleteItem", request)["ConsumedCapacity"],
        json!({"TableName": "leases", "CapacityUnits": 5.0, "Table": {"CapacityUnits": 5.0}})
    );
}

#[test]
fn keys_are_scalars() {
    let db = with_leases();
    let text = "Key attributes must be scalars; list random access '[]' and map lookup '.' are \
                not allowed: Key: leaseKey";
    for (operation, field) in [
        ("DeleteItem", "ConditionExpression"),
        ("GetItem", "ProjectionExpression"),
    ] {
        let expression = match field {
            "ProjectionExpression" => "leaseKey[0]",
            _ => "attribute_exists(leaseKey.x)",
        };
        let request = update("shard", json!({field: expression}));
        assert_eq!(invalid(&db, operation, request), text);
    }
    let request = json!({
        "TableName": "leases", "FilterExpression": "attribute_exists(leaseKey.x)",
    });
    assert_eq!(invalid(&db, "Scan", request), text);
}

#[test]
fn threads_do_not_lose_each_others_updates() {
    let db = with_leases();
    let add = json!({
        "UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": {"N": "1"}},
    });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..250 {
                    ok(&db, "UpdateItem", update("shard", add.clone()));
                }
            });
        }
    });
    assert_eq!(get(&db, "shard"), Some(json!({"n": {"N": "1000"}})));
}

#[test]
fn one_of_many_wins_a_condition() {
    let db = with_leases();
    let take = |owner: usize| {
        let request = update(
            "shard",
            json!({
                "UpdateExpression": "SET leaseOwner = :me",
                "ConditionExpression": "attribute_not_exists(leaseOwner)",
                "ExpressionAttributeValues": {":me": {"S": owner.to_string()}},
            }),
        );
        call(&db, "UpdateItem", request).is_ok()
    };
    let winners = std::thread::scope(|scope| {
        let threads = (0..8).map(|owner| scope.spawn(move || take(owner)));
        let threads = threads.collect::<Vec<_>>();
        let won = threads.into_iter().map(|thread| thread.join().unwrap());
        won.filter(|won| *won).count()
    });
    assert_eq!(winners, 1);
}
