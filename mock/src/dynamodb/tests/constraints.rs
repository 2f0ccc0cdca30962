//! The constraints of the API model, reported together.

use super::*;

const CAPACITY: &str = "Value 'BOGUS' at 'returnConsumedCapacity' failed to satisfy constraint: \
                        Member must satisfy enum value set: [INDEXES, TOTAL, NONE]";
const METRICS: &str = "Value 'BOGUS' at 'returnItemCollectionMetrics' failed to satisfy \
                       constraint: Member must satisfy enum value set: [SIZE, NONE]";
const RETURNS: &str = "Value 'BOGUS' at 'returnValues' failed to satisfy constraint: Member must \
                       satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]";
const NO_NAME: &str = "Value '' at 'tableName' failed to satisfy constraint: Member must have \
                       length greater than or equal to 1";
const NO_KEY: &str = "Value null at 'key' failed to satisfy constraint: Member must not be null";

#[test]
fn all_violations_are_listed_in_the_order_of_the_service() {
    let db = with_leases();
    let request = json!({
        "TableName": "", "ReturnValues": "BOGUS", "ReturnConsumedCapacity": "BOGUS",
        "UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": {"S": "x"}},
    });
    assert_eq!(
        invalid(&db, "UpdateItem", request),
        format!("4 validation errors detected: {CAPACITY}; {NO_NAME}; {RETURNS}; {NO_KEY}")
    );
    let request = json!({"TableName": "", "Item": {}, "ReturnValues": "BOGUS"});
    assert_eq!(
        invalid(&db, "PutItem", request),
        format!("2 validation errors detected: {RETURNS}; {NO_NAME}")
    );
    let bogus = json!({"ReturnConsumedCapacity": "BOGUS", "ReturnItemCollectionMetrics": "BOGUS"});
    let both = format!("2 validation errors detected: {CAPACITY}; {METRICS}");
    let put = json!({"PutRequest": {"Item": {"leaseKey": {"S": "a"}}}});
    let request = merge(json!({"RequestItems": {"missing": [put]}}), bogus.clone());
    assert_eq!(invalid(&db, "BatchWriteItem", request), both);
    let put = json!({"Put": {"TableName": "missing", "Item": {"leaseKey": {"S": "a"}}}});
    let request = merge(json!({"TransactItems": [put]}), bogus);
    assert_eq!(invalid(&db, "TransactWriteItems", request.clone()), both);
    let token = "x".repeat(37);
    let request = merge(request, json!({"ClientRequestToken": token}));
    assert_eq!(
        invalid(&db, "TransactWriteItems", request),
        format!(
            "3 validation errors detected: Value '{token}' at 'clientRequestToken' failed to \
             satisfy constraint: Member must have length less than or equal to 36; {CAPACITY}; \
             {METRICS}"
        )
    );
}

#[test]
fn at_most_ten_violations_are_listed_and_no_long_list_is_shown_whole() {
    let db = with_leases();
    let put = json!({"Put": {"TableName": "leases"}});
    let request = json!({"TransactItems": vec![put; 30]});
    let message = invalid(&db, "TransactWriteItems", request);
    assert!(
        message.starts_with("10 validation errors detected: "),
        "{message}"
    );
    assert_eq!(message.matches("put.item'").count(), 10);

    let request = json!({"TransactItems": vec![json!({}); 100_000]});
    let message = invalid(&db, "TransactWriteItems", request);
    assert!(
        message.ends_with("Member must have length less than or equal to 100"),
        "{message}"
    );
    assert!(message.len() < 10_000, "{}", message.len());
}

#[test]
fn violations_inside_lists_and_maps_have_their_paths() {
    let db = with_leases();
    let request = json!({"TransactItems": [
        {"Put": {"TableName": "leases", "Item": {"leaseKey": {"S": "a"}}}},
        {"Update": {"TableName": "a b", "Key": {"leaseKey": {"S": "b"}}}},
    ]});
    assert_eq!(
        invalid(&db, "TransactWriteItems", request),
        "2 validation errors detected: Value null at \
         'transactItems.2.member.update.updateExpression' failed to satisfy constraint: Member \
         must not be null; Value 'a b' at 'transactItems.2.member.update.tableName' failed to \
         satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
    );
    let request = update(
        "k",
        json!({
            "AttributeUpdates": {"n": {"Action": "SET", "Value": {"N": "1"}}},
            "Expected": {"m": {"ComparisonOperator": "IS"}},
        }),
    );
    let message = invalid(&db, "UpdateItem", request);
    assert!(
        message.starts_with(
            "2 validation errors detected: Value 'IS' at 'expected.m.member.comparisonOperator'"
        ),
        "{message}"
    );
    assert!(
        message.contains("; Value 'SET' at 'attributeUpdates.n.member.action'"),
        "{message}"
    );
}

#[test]
fn numbers_have_their_ranges() {
    let db = with_leases();
    let request =
        json!({"TableName": "leases", "Limit": 0, "TotalSegments": 1_000_001, "Segment": -1});
    assert_eq!(
        invalid(&db, "Scan", request),
        "3 validation errors detected: Value '0' at 'limit' failed to satisfy constraint: Member \
         must have value greater than or equal to 1; Value '1000001' at 'totalSegments' failed to \
         satisfy constraint: Member must have value less than or equal to 1000000; Value '-1' at \
         'segment' failed to satisfy constraint: Member must have value greater than or equal to 0"
    );
    assert_eq!(
        invalid(&db, "ListTables", json!({"Limit": 101})),
        "1 validation error detected: Value '101' at 'limit' failed to satisfy constraint: Member \
         must have value less than or equal to 100"
    );
}

#[test]
fn json_of_the_wrong_type_is_not_validated() {
    let db = with_leases();
    let request = json!({"TableName": "leases", "Select": "BOGUS", "Limit": "1"});
    let (name, _) = {
        let failure = call(&db, "Scan", request).unwrap_err();
        assert_eq!(failure.status, 400);
        let kind = failure.body["__type"].as_str().unwrap().to_owned();
        (kind, failure)
    };
    assert_eq!(name, "com.amazon.coral.service#SerializationException");
}

#[test]
fn expressions_have_at_most_300_operators_and_100_choices() {
    let db = with_leases();
    let condition = |text: &str| {
        let request = update(
            "k",
            json!({
                "ConditionExpression": text, "ExpressionAttributeValues": {":v": {"N": "1"}},
            }),
        );
        call(&db, "UpdateItem", request).map_err(|failure| failure.body["message"].clone())
    };
    // 150 comparisons and the 149 words between them are 299 operators.
    let terms = |count: usize| vec!["a<:v"; count].join(" or ");
    let unmet = Err(json!("The conditional request failed"));
    assert_eq!(condition(&terms(150)), unmet);
    assert_eq!(
        condition(&terms(151)),
        Err(json!(
            "Invalid ConditionExpression: The expression contains too many operators; operator \
             count: 301"
        ))
    );
    let choices = |count: usize| format!("a IN ({})", vec![":v"; count].join(","));
    assert_eq!(condition(&choices(100)), unmet);
    assert_eq!(
        condition(&choices(101)),
        Err(json!(
            "Invalid ConditionExpression: The IN operator is provided with too many operands; \
             number of operands: 101"
        ))
    );
}

#[test]
fn names_of_tables_in_batches_are_checked_with_their_map() {
    let db = with_leases();
    let keys = json!({"Keys": [{"pk": {"S": "a"}}]});
    let request = json!({
        "RequestItems": {"bad!name": keys}, "ReturnConsumedCapacity": "BOGUS",
    });
    let must = "Map keys must satisfy constraint: [Member must have length less than or equal to \
                255, Member must have length greater than or equal to 3, Member must satisfy \
                regular expression pattern: [a-zA-Z0-9_.-]+]";
    assert_eq!(
        invalid(&db, "BatchGetItem", request),
        format!(
            "2 validation errors detected: Value \
             '{{\"bad!name\":{{\"Keys\":[{{\"pk\":{{\"S\":\"a\"}}}}]}}}}' at 'requestItems' failed to \
             satisfy constraint: {must}; {CAPACITY}"
        )
    );
    let put = json!({"PutRequest": {"Item": {"leaseKey": {"S": "a"}}}});
    let request = json!({"RequestItems": {"ab": [put]}});
    let message = invalid(&db, "BatchWriteItem", request.clone());
    assert!(
        message.starts_with("1 validation error detected: Value '{"),
        "{message}"
    );
    assert!(message.ends_with(must), "{message}");
    let request = merge(request, json!({"ReturnConsumedCapacity": "BOGUS"}));
    assert_eq!(
        invalid(&db, "BatchWriteItem", request),
        format!("1 validation error detected: {CAPACITY}")
    );
}

#[test]
fn a_wrong_type_is_told_before_what_is_missing() {
    let db = with_leases();
    for (operation, request, text) in [
        (
            "GetItem",
            json!({"Key": "shard"}),
            "STRING_VALUE cannot be converted to Map",
        ),
        (
            "GetItem",
            json!({"Key": {"leaseKey": {"S": 1}}}),
            "NUMBER_VALUE cannot be converted to String",
        ),
        (
            "PutItem",
            json!({"Item": {"leaseKey": {"L": [{"B": 1}]}}}),
            "NUMBER_VALUE cannot be converted to Blob",
        ),
        (
            "PutItem",
            json!({"Expected": {"a": {"Value": "x"}}}),
            "Unexpected value type in payload",
        ),
        (
            "Query",
            json!({"ExpressionAttributeNames": {"#a": true}}),
            "TRUE_VALUE cannot be converted to String",
        ),
        (
            "Scan",
            json!({"AttributesToGet": "a"}),
            "STRING_VALUE cannot be converted to List",
        ),
        (
            "TransactWriteItems",
            json!({"TransactItems": [{"Put": {"Item": []}}]}),
            "Start of list found where not expected",
        ),
    ] {
        let failure = call(&db, operation, request).unwrap_err();
        assert_eq!(
            failure.body,
            json!({
                "__type": "com.amazon.coral.service#SerializationException",
                "Message": text,
            }),
            "{operation}"
        );
    }
}

#[test]
fn what_the_model_does_not_know_is_ignored_and_the_rest_is_not() {
    let db = with_leases();
    let item = json!({"leaseKey": {"S": "a", "X": 1}});
    let request = json!({"TableName": "leases", "Item": item, "Invented": {"a": 1}});
    ok(&db, "PutItem", request);
    assert_eq!(get(&db, "a"), Some(json!({})));
    for (operation, member, value) in [
        ("GetItem", "AttributesToGet", json!(["a"])),
        ("Scan", "ScanFilter", json!({})),
        ("Query", "QueryFilter", json!({})),
        ("Query", "KeyConditions", json!({})),
        ("UpdateTable", "WarmThroughput", json!({})),
        ("CreateTable", "ResourcePolicy", json!("{}")),
    ] {
        let base = match operation {
            "GetItem" => update("a", json!({})),
            "CreateTable" => merge(leases(), json!({"TableName": "other"})),
            "Query" => json!({
                "TableName": "leases", "KeyConditionExpression": "leaseKey = :k",
                "ExpressionAttributeValues": {":k": {"S": "a"}},
            }),
            "UpdateTable" => json!({"TableName": "leases", "DeletionProtectionEnabled": false}),
            _ => json!({"TableName": "leases"}),
        };
        let message = invalid(&db, operation, merge(base, json!({member: value})));
        let is_refused = message.contains("does not implement the member")
            || message.contains("Can not use both expression and non-expression parameters");
        assert!(is_refused, "{operation} {member}: {message}");
    }
}
