//! BatchWriteItem and BatchGetItem.

use super::*;

fn put_request(key: &str) -> Value {
    json!({"PutRequest": {"Item": {"leaseKey": {"S": key}}}})
}

fn delete_request(key: &str) -> Value {
    json!({"DeleteRequest": {"Key": {"leaseKey": {"S": key}}}})
}

fn write(requests: &[Value]) -> Value {
    json!({"RequestItems": {"leases": requests}})
}

fn read<S: AsRef<str>>(keys: &[S], more: Value) -> Value {
    let keys = keys
        .iter()
        .map(|key| json!({"leaseKey": {"S": key.as_ref()}}));
    let table = merge(json!({"Keys": keys.collect::<Vec<_>>()}), more);
    json!({"RequestItems": {"leases": table}})
}

#[test]
fn a_batch_writes_and_deletes_in_several_tables() {
    let db = with_leases();
    ok(
        &db,
        "CreateTable",
        merge(leases(), json!({"TableName": "state"})),
    );
    put(&db, "old", json!({}));
    let request = json!({
        "RequestItems": {
            "leases": [put_request("new"), delete_request("old"), delete_request("absent")],
            "arn:aws:dynamodb:us-east-1:000000000000:table/state": [put_request("new")],
        },
        "ReturnConsumedCapacity": "TOTAL",
    });
    assert_eq!(
        ok(&db, "BatchWriteItem", request),
        json!({
            "UnprocessedItems": {},
            "ConsumedCapacity": [
                {"TableName": "leases", "CapacityUnits": 3.0},
                {"TableName": "state", "CapacityUnits": 1.0},
            ],
        })
    );
    assert_eq!(get(&db, "new"), Some(json!({})));
    assert_eq!(get(&db, "old"), None);
    let request = json!({"RequestItems": {
        "leases": {"Keys": [{"leaseKey": {"S": "new"}}, {"leaseKey": {"S": "old"}}]},
        "state": {"Keys": [{"leaseKey": {"S": "new"}}], "ConsistentRead": true},
    }});
    assert_eq!(
        ok(&db, "BatchGetItem", request),
        json!({
            "Responses": {
                "leases": [{"leaseKey": {"S": "new"}}],
                "state": [{"leaseKey": {"S": "new"}}],
            },
            "UnprocessedKeys": {},
        })
    );
}

#[test]
fn a_batch_that_is_refused_writes_nothing() {
    let db = with_leases();
    let refused = |requests: &[Value], text: &str| {
        let mut all = vec![put_request("good")];
        all.extend_from_slice(requests);
        assert_eq!(invalid(&db, "BatchWriteItem", write(&all)), text);
        assert_eq!(get(&db, "good"), None);
    };
    let duplicates = "Provided list of item keys contains duplicates";
    refused(&[put_request("a"), delete_request("a")], duplicates);
    refused(&[put_request("good")], duplicates);
    let misfit = "The provided key element does not match the schema";
    refused(
        &[json!({"PutRequest": {"Item": {"leaseKey": {"N": "5"}}}})],
        misfit,
    );
    refused(
        &[json!({"PutRequest": {"Item": {"other": {"S": "x"}}}})],
        misfit,
    );
    refused(
        &[json!({"DeleteRequest": {"Key": {"other": {"S": "x"}}}})],
        misfit,
    );
    refused(
        &[put_request("")],
        "One or more parameter values are not valid. The AttributeValue for a key attribute \
         cannot contain an empty string value. Key: leaseKey",
    );
    let neither = "Supplied AttributeValue has more than one datatypes set, must contain exactly \
                   one of the supported datatypes";
    refused(&[json!({})], neither);
    refused(&[merge(put_request("a"), delete_request("b"))], neither);
    let large = json!({"leaseKey": {"S": "a"}, "b": {"S": "x".repeat(410_000)}});
    refused(
        &[json!({"PutRequest": {"Item": large}})],
        "Item size has exceeded the maximum allowed size",
    );
    let request =
        json!({"RequestItems": {"leases": [put_request("good")], "missing": [put_request("a")]}});
    assert_eq!(
        fails(&db, "BatchWriteItem", request),
        (
            "ResourceNotFoundException".to_owned(),
            "Requested resource not found".to_owned()
        )
    );
    let conditional = json!({"PutRequest": {
        "Item": {"leaseKey": {"S": "a"}}, "Expected": {"leaseKey": {"Exists": false}},
    }});
    assert_eq!(get(&db, "good"), None);
    // Outside the model of a batch's PutRequest, and so ignored.
    ok(&db, "BatchWriteItem", write(&[conditional]));
    assert_eq!(get(&db, "a"), Some(json!({})));
}

#[test]
fn batches_have_their_lengths() {
    let db = with_leases();
    let puts = |count: usize| {
        (0..count)
            .map(|n| put_request(&n.to_string()))
            .collect::<Vec<_>>()
    };
    ok(&db, "BatchWriteItem", write(&puts(25)));
    let constraint = "at 'requestItems' failed to satisfy constraint: Map value must satisfy \
                      constraint: [Member must have length less than or equal to 25, Member must \
                      have length greater than or equal to 1]";
    let message = invalid(&db, "BatchWriteItem", write(&puts(26)));
    assert!(message.ends_with(constraint), "{message}");
    assert_eq!(
        invalid(&db, "BatchWriteItem", write(&[])),
        format!("1 validation error detected: Value '{{leases=[]}}' {constraint}")
    );
    ok(
        &db,
        "CreateTable",
        merge(leases(), json!({"TableName": "state"})),
    );
    let request = json!({"RequestItems": {"leases": puts(20), "state": puts(20)}});
    assert_eq!(
        invalid(&db, "BatchWriteItem", request),
        "Too many items requested for the BatchWriteItem call"
    );

    let keys = (0..101).map(|n| n.to_string()).collect::<Vec<_>>();
    let answer = ok(&db, "BatchGetItem", read(&keys[..100], json!({})));
    assert_eq!(
        answer["Responses"]["leases"].as_array().map(Vec::len),
        Some(25)
    );
    let at = "1 validation error detected: Value at 'RequestItems.leases.member.Keys' failed to \
              satisfy constraint: Member must have length";
    assert_eq!(
        invalid(&db, "BatchGetItem", read(&keys, json!({}))),
        format!("{at} less than or equal to 100")
    );
    assert_eq!(
        invalid(&db, "BatchGetItem", read(&keys[..0], json!({}))),
        format!("{at} greater than or equal to 1")
    );
    for operation in ["BatchGetItem", "BatchWriteItem"] {
        assert_eq!(
            invalid(&db, operation, json!({"RequestItems": {}})),
            "1 validation error detected: Value at 'RequestItems' failed to satisfy constraint: \
             Member must have length greater than or equal to 1"
        );
    }
    let keys = |range: std::ops::Range<usize>| {
        let keys = range.map(|n| json!({"leaseKey": {"S": n.to_string()}}));
        json!({"Keys": keys.collect::<Vec<_>>()})
    };
    let request = json!({"RequestItems": {"leases": keys(0..75), "state": keys(0..75)}});
    assert_eq!(
        invalid(&db, "BatchGetItem", request),
        "Too many items requested for the BatchGetItem call"
    );
}

#[test]
fn a_batch_of_reads_is_projected_and_refuses_duplicates() {
    let db = with_leases();
    put(&db, "a", json!({"n": {"N": "1"}, "m": {"N": "2"}}));
    let projected = read(
        &["a"],
        json!({
            "ProjectionExpression": "#n", "ExpressionAttributeNames": {"#n": "n"},
        }),
    );
    assert_eq!(
        ok(&db, "BatchGetItem", projected)["Responses"]["leases"],
        json!([{"n": {"N": "1"}}])
    );
    assert_eq!(
        invalid(&db, "BatchGetItem", read(&["a", "a"], json!({}))),
        "Provided list of item keys contains duplicates"
    );
    let both = read(
        &["a"],
        json!({"ProjectionExpression": "n", "AttributesToGet": ["n"]}),
    );
    assert_eq!(
        invalid(&db, "BatchGetItem", both),
        "Can not use both expression and non-expression parameters in the same request: \
         Non-expression parameters: {AttributesToGet} Expression parameters: \
         {ProjectionExpression}"
    );
    let missing = json!({"RequestItems": {"missing": {"Keys": [{"leaseKey": {"S": "a"}}]}}});
    assert_eq!(
        fails(&db, "BatchGetItem", missing).0,
        "ResourceNotFoundException"
    );
}

#[test]
fn an_answer_of_16_mebibytes_leaves_keys_for_the_next_request() {
    let db = with_leases();
    let keys = (0..60).map(|n| n.to_string()).collect::<Vec<_>>();
    for key in &keys {
        put(&db, key, json!({"b": {"S": "x".repeat(300_000)}}));
    }
    let mut request = read(&keys, json!({"ConsistentRead": true}));
    let mut lengths = Vec::new();
    loop {
        let answer = ok(&db, "BatchGetItem", request);
        lengths.push(answer["Responses"]["leases"].as_array().map_or(0, Vec::len));
        let left = answer["UnprocessedKeys"].clone();
        if left == json!({}) {
            break;
        }
        assert_eq!(left["leases"]["ConsistentRead"], true);
        request = json!({"RequestItems": left});
    }
    assert_eq!(lengths, [55, 5]);
}
