//! Local secondary indexes: made with the table, read consistently, and whole items fetched.

use super::*;

/// A table of threads by forum and subject, with the index `by_time` that holds only keys.
fn threads(projection: &Value) -> Value {
    let attribute = |name: &str, kind: &str| json!({"AttributeName": name, "AttributeType": kind});
    json!({
        "TableName": "threads",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            attribute("forum", "S"), attribute("subject", "S"), attribute("posted", "N"),
        ],
        "KeySchema": [key("forum", "HASH"), key("subject", "RANGE")],
        "LocalSecondaryIndexes": [{
            "IndexName": "by_time",
            "KeySchema": [key("forum", "HASH"), key("posted", "RANGE")],
            "Projection": projection,
        }],
    })
}

fn key(name: &str, kind: &str) -> Value {
    json!({"AttributeName": name, "KeyType": kind})
}

fn keys_only() -> Value {
    json!({"ProjectionType": "KEYS_ONLY"})
}

fn with_threads(projection: &Value) -> DynamoDb {
    let db = service();
    ok(&db, "CreateTable", threads(projection));
    for (forum, subject, posted) in [
        ("a", "s1", Some(30)),
        ("a", "s2", Some(10)),
        ("a", "s3", None),
        ("a", "s4", Some(20)),
        ("b", "s1", Some(10)),
    ] {
        let mut item = json!({
            "forum": {"S": forum}, "subject": {"S": subject}, "text": {"S": format!("of {subject}")},
        });
        if let Some(posted) = posted {
            item["posted"] = json!({"N": posted.to_string()});
        }
        ok(
            &db,
            "PutItem",
            json!({"TableName": "threads", "Item": item}),
        );
    }
    db
}

fn query(more: Value) -> Value {
    merge(
        json!({
            "TableName": "threads", "IndexName": "by_time",
            "KeyConditionExpression": "forum = :f",
            "ExpressionAttributeValues": {":f": {"S": "a"}},
        }),
        more,
    )
}

fn subjects(answer: &Value) -> Vec<&str> {
    let items = answer["Items"].as_array().unwrap().iter();
    items
        .map(|item| item["subject"]["S"].as_str().unwrap())
        .collect()
}

#[test]
fn a_local_index_is_described_with_its_table() {
    let db = with_threads(&keys_only());
    let table = &ok(&db, "DescribeTable", json!({"TableName": "threads"}))["Table"];
    assert_eq!(table.get("GlobalSecondaryIndexes"), None);
    let index = &table["LocalSecondaryIndexes"][0];
    assert_eq!(
        *index,
        json!({
            "IndexName": "by_time",
            "IndexArn": "arn:aws:dynamodb:us-east-1:000000000000:table/threads/index/by_time",
            "KeySchema": [key("forum", "HASH"), key("posted", "RANGE")],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
            "ItemCount": 4,
            "IndexSizeBytes": index["IndexSizeBytes"],
        })
    );
    let delete = json!({
        "TableName": "threads",
        "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "by_time"}}],
    });
    assert_eq!(
        fails(&db, "UpdateTable", delete).0,
        "ResourceNotFoundException",
        "only a global index can be deleted"
    );
}

#[test]
fn a_query_of_a_local_index_goes_by_its_range_key() {
    let db = with_threads(&keys_only());
    let answer = ok(&db, "Query", query(json!({"ConsistentRead": true})));
    assert_eq!(subjects(&answer), ["s2", "s4", "s1"]);
    assert_eq!(
        answer["Items"][0],
        json!({"forum": {"S": "a"}, "subject": {"S": "s2"}, "posted": {"N": "10"}})
    );
    let from = query(json!({
        "KeyConditionExpression": "forum = :f AND posted > :p", "ScanIndexForward": false,
        "ExpressionAttributeValues": {":f": {"S": "a"}, ":p": {"N": "10"}},
    }));
    assert_eq!(subjects(&ok(&db, "Query", from)), ["s1", "s4"]);

    let page = ok(&db, "Query", query(json!({"Limit": 2})));
    assert_eq!(subjects(&page), ["s2", "s4"]);
    let last = page["LastEvaluatedKey"].clone();
    assert_eq!(
        last,
        json!({"forum": {"S": "a"}, "subject": {"S": "s4"}, "posted": {"N": "20"}})
    );
    let rest = ok(&db, "Query", query(json!({"ExclusiveStartKey": last})));
    assert_eq!(subjects(&rest), ["s1"]);

    let scan = json!({"TableName": "threads", "IndexName": "by_time", "ConsistentRead": true});
    assert_eq!(ok(&db, "Scan", scan)["Count"], 4);
}

#[test]
fn what_a_local_index_does_not_hold_is_fetched_from_the_table() {
    let db = with_threads(&keys_only());
    let all = query(json!({"Select": "ALL_ATTRIBUTES", "ReturnConsumedCapacity": "INDEXES"}));
    let answer = ok(&db, "Query", all);
    assert_eq!(answer["Items"][0]["text"], json!({"S": "of s2"}));
    assert_eq!(
        answer["ConsumedCapacity"],
        json!({
            "TableName": "threads", "CapacityUnits": 2.0, "Table": {"CapacityUnits": 1.5},
            "LocalSecondaryIndexes": {"by_time": {"CapacityUnits": 0.5}},
        })
    );
    let projected = query(json!({
        "ProjectionExpression": "#t", "ExpressionAttributeNames": {"#t": "text"},
    }));
    let answer = ok(&db, "Query", projected);
    assert_eq!(answer["Items"][0], json!({"text": {"S": "of s2"}}));
    let filtered = query(json!({
        "FilterExpression": "#t = :t", "ExpressionAttributeNames": {"#t": "text"},
        "ExpressionAttributeValues": {":f": {"S": "a"}, ":t": {"S": "of s4"}},
    }));
    let answer = ok(&db, "Query", filtered);
    assert_eq!(
        (subjects(&answer), &answer["ScannedCount"]),
        (vec!["s4"], &json!(3))
    );
    assert_eq!(
        answer["Items"][0].get("text"),
        None,
        "only what is projected"
    );

    let included = with_threads(&json!({
        "ProjectionType": "INCLUDE", "NonKeyAttributes": ["text"],
    }));
    let costs = query(json!({"ReturnConsumedCapacity": "TOTAL"}));
    let answer = ok(&included, "Query", costs);
    assert_eq!(answer["Items"][0]["text"], json!({"S": "of s2"}));
    assert_eq!(answer["ConsumedCapacity"]["CapacityUnits"], 0.5);
}

#[test]
fn a_write_follows_into_the_local_index_and_tells_its_collection() {
    let db = with_threads(&keys_only());
    let update = json!({
        "TableName": "threads", "Key": {"forum": {"S": "a"}, "subject": {"S": "s3"}},
        "UpdateExpression": "SET posted = :p",
        "ExpressionAttributeValues": {":p": {"N": "5"}},
        "ReturnItemCollectionMetrics": "SIZE", "ReturnConsumedCapacity": "INDEXES",
    });
    let answer = ok(&db, "UpdateItem", update.clone());
    let collection = json!({
        "ItemCollectionKey": {"forum": {"S": "a"}}, "SizeEstimateRangeGB": [0.0, 1.0],
    });
    assert_eq!(answer["ItemCollectionMetrics"], collection);
    assert_eq!(
        answer["ConsumedCapacity"]["LocalSecondaryIndexes"],
        json!({"by_time": {"CapacityUnits": 1.0}})
    );
    assert_eq!(
        subjects(&ok(&db, "Query", query(json!({})))),
        ["s3", "s2", "s4", "s1"]
    );
    let wrong = merge(
        update,
        json!({"ExpressionAttributeValues": {":p": {"S": "x"}}}),
    );
    assert_eq!(
        invalid(&db, "UpdateItem", wrong),
        "One or more parameter values were invalid: Type mismatch for Index Key posted Expected: \
         N Actual: S IndexName: by_time"
    );
    let delete = |subject: &str| json!({"DeleteRequest": {"Key": {"forum": {"S": "a"}, "subject": {"S": subject}}}});
    let batch = json!({
        "RequestItems": {"threads": [delete("s1"), delete("s3")]},
        "ReturnItemCollectionMetrics": "SIZE",
    });
    let answer = ok(&db, "BatchWriteItem", batch);
    assert_eq!(
        answer["ItemCollectionMetrics"],
        json!({"threads": [collection]})
    );
    let action = json!({"Delete": {
        "TableName": "threads", "Key": {"forum": {"S": "a"}, "subject": {"S": "s2"}},
    }});
    let transaction = json!({
        "TransactItems": [action], "ReturnItemCollectionMetrics": "SIZE",
        "ReturnConsumedCapacity": "INDEXES",
    });
    let answer = ok(&db, "TransactWriteItems", transaction);
    assert_eq!(
        answer["ItemCollectionMetrics"],
        json!({"threads": [collection]})
    );
    let units = |units: f64| json!({"CapacityUnits": units, "WriteCapacityUnits": units});
    assert_eq!(
        answer["ConsumedCapacity"],
        json!([merge(
            units(4.0),
            json!({
                "TableName": "threads", "Table": units(2.0),
                "LocalSecondaryIndexes": {"by_time": units(2.0)},
            })
        )])
    );
    assert_eq!(subjects(&ok(&db, "Query", query(json!({})))), ["s4"]);
}

#[test]
fn local_indexes_that_make_no_sense_are_refused() {
    let db = service();
    let refused = |more: Value, text: &str| {
        let message = invalid(&db, "CreateTable", merge(threads(&keys_only()), more));
        let expected = format!("One or more parameter values were invalid: {text}");
        assert_eq!(message, expected);
    };
    let index = |name: &str, keys: Value| json!({"IndexName": name, "KeySchema": keys, "Projection": {"ProjectionType": "ALL"}});
    let by = |hash: &str, range: &str| json!([key(hash, "HASH"), key(range, "RANGE")]);
    let local = |indexes: Vec<Value>| json!({"LocalSecondaryIndexes": indexes});
    refused(local(vec![]), "List of LocalSecondaryIndexes is empty");
    refused(
        json!({"KeySchema": [key("forum", "HASH")]}),
        "Table KeySchema does not have a range key, which is required when specifying a \
         LocalSecondaryIndex",
    );
    refused(
        local(vec![index("i-1", json!([key("forum", "HASH")]))]),
        "Index KeySchema does not have a range key for index: i-1",
    );
    refused(
        local(vec![index("i-1", by("subject", "posted"))]),
        "Index KeySchema does not have the same leading hash key as table KeySchema for index: \
         i-1. index hash key: subject, table hash key: forum",
    );
    refused(
        local(vec![index("i-1", by("forum", "other"))]),
        "Some index key attributes are not defined in AttributeDefinitions. Keys: [forum, other], \
         AttributeDefinitions: [forum, subject, posted]",
    );
    let six = (0..6).map(|number| index(&format!("i-{number}"), by("forum", "posted")));
    refused(
        local(six.collect()),
        "Number of LocalSecondaryIndexes exceeds per-table limit of 5",
    );
    let global = json!({"GlobalSecondaryIndexes": [index("by_time", by("subject", "posted"))]});
    refused(global, "Duplicate index name: by_time");
}
