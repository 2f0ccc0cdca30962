//! Scan and Query: pages, segments, keys, filters, indexes.

use super::*;

pub(super) fn keys(answer: &Value) -> Vec<String> {
    let items = answer["Items"].as_array().expect("items");
    let key = |item: &Value| item["leaseKey"]["S"].as_str().map(str::to_owned);
    items.iter().filter_map(key).collect()
}

/// Reads page after page until there is no further one; returns all answers.
fn pages(db: &DynamoDb, operation: &str, request: &Value) -> Vec<Value> {
    let mut answers = Vec::new();
    let mut start = Value::Null;
    loop {
        let next = merge(request.clone(), json!({"ExclusiveStartKey": start}));
        let answer = ok(db, operation, next);
        start = answer["LastEvaluatedKey"].clone();
        answers.push(answer);
        if start.is_null() {
            return answers;
        }
    }
}

fn fill(db: &DynamoDb, count: usize) -> Vec<String> {
    let names = (0..count).map(|index| format!("shardId-{index:012}"));
    let names = names.collect::<Vec<_>>();
    for name in &names {
        put(db, name, json!({}));
    }
    names
}

#[test]
fn a_scan_returns_every_item_once_whatever_the_pages() {
    let db = with_leases();
    let names = fill(&db, 20);
    for limit in [1, 3, 20, 21] {
        let answers = pages(&db, "Scan", &json!({"TableName": "leases", "Limit": limit}));
        let mut found = answers.iter().flat_map(keys).collect::<Vec<_>>();
        assert_ne!(found, names, "a scan is in the order of hashes");
        found.sort();
        assert_eq!(found, names, "limit {limit}");
    }
    let answer = ok(&db, "Scan", json!({"TableName": "leases", "Limit": 20}));
    assert!(
        answer.get("LastEvaluatedKey").is_some(),
        "the limit was reached"
    );
}

#[test]
fn segments_divide_a_scan() {
    let db = with_leases();
    let names = fill(&db, 50);
    let mut found = Vec::new();
    for segment in 0..3 {
        let request = json!({
            "TableName": "leases", "Segment": segment, "TotalSegments": 3, "Limit": 4,
        });
        let answers = pages(&db, "Scan", &request);
        let mine = answers.iter().flat_map(keys).collect::<Vec<_>>();
        assert!(mine.len() > 5, "a segment has its share");
        found.extend(mine);
    }
    found.sort();
    assert_eq!(found, names);
}

#[test]
fn a_segment_is_started_by_its_own_keys() {
    let db = with_leases();
    fill(&db, 20);
    let request = |segment: u8, start: &Value| {
        json!({
            "TableName": "leases", "Segment": segment, "TotalSegments": 2, "Limit": 1,
            "ExclusiveStartKey": start,
        })
    };
    let first = ok(&db, "Scan", request(0, &Value::Null));
    let message = invalid(&db, "Scan", request(1, &first["LastEvaluatedKey"]));
    assert_eq!(
        message,
        "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use \
         ExclusiveStartKey with correct Segment. TotalSegments: 2 Segment: 1"
    );
}

#[test]
fn a_scan_page_ends_at_one_mebibyte_of_what_was_read() {
    let db = with_leases();
    for index in 0..5 {
        put(
            &db,
            &format!("k{index}"),
            json!({"v": {"S": "x".repeat(300 * 1024)}}),
        );
    }
    let request = json!({
        "TableName": "leases",
        "FilterExpression": "v = :none",
        "ExpressionAttributeValues": {":none": {"S": "none"}},
    });
    let answers = pages(&db, "Scan", &request);
    let scanned = answers.iter().map(|answer| answer["ScannedCount"].as_u64());
    assert_eq!(scanned.collect::<Vec<_>>(), [Some(4), Some(1)]);
    assert_eq!(answers[0]["Count"], 0, "the filter comes after the page");
}

#[test]
fn a_filter_and_a_projection_apply_to_a_scan() {
    let db = with_leases();
    put(
        &db,
        "a",
        json!({"streamName": {"S": "s1"}, "more": {"N": "1"}}),
    );
    put(
        &db,
        "b",
        json!({"streamName": {"S": "s2"}, "more": {"N": "2"}}),
    );
    let request = json!({
        "TableName": "leases", "ConsistentRead": true,
        "FilterExpression": "streamName = :s",
        "ProjectionExpression": "more",
        "ExpressionAttributeValues": {":s": {"S": "s2"}},
    });
    assert_eq!(
        ok(&db, "Scan", request),
        json!({"Count": 1, "ScannedCount": 2, "Items": [{"more": {"N": "2"}}]})
    );
}

#[test]
fn a_selection_of_the_count_has_no_items() {
    let db = with_leases();
    fill(&db, 3);
    assert_eq!(
        ok(
            &db,
            "Scan",
            json!({"TableName": "leases", "Select": "COUNT"})
        ),
        json!({"Count": 3, "ScannedCount": 3})
    );
    let request = json!({"TableName": "leases", "Select": "SPECIFIC_ATTRIBUTES"});
    assert!(invalid(&db, "Scan", request).contains("Must specify"));
}

#[test]
fn parameters_of_segments_are_checked() {
    let db = with_leases();
    for (more, text) in [
        (json!({"Segment": 0}), "TotalSegments parameter is required"),
        (json!({"TotalSegments": 1}), "Segment parameter is required"),
        (
            json!({"Segment": 2, "TotalSegments": 2}),
            "Segment: 2 is not less than TotalSegments: 2",
        ),
        (
            json!({"Segment": -1, "TotalSegments": 2}),
            "greater than or equal to 0",
        ),
        (json!({"Limit": 0}), "greater than or equal to 1"),
        (
            json!({"ExclusiveStartKey": {"x": {"S": "1"}}}),
            "The provided starting key is invalid: The provided key element does not match",
        ),
    ] {
        let message = invalid(&db, "Scan", merge(json!({"TableName": "leases"}), more));
        assert!(message.contains(text), "{message}");
    }
}

/// Two streams with ten events each, numbered from -4 to 5.
fn with_ten_events() -> DynamoDb {
    let db = with_events();
    for stream in ["s1", "s2"] {
        for seq in -4..6 {
            let item = json!({
                "streamName": {"S": stream}, "seq": {"N": seq.to_string()},
                "even": {"BOOL": seq % 2 == 0},
            });
            ok(&db, "PutItem", json!({"TableName": "events", "Item": item}));
        }
    }
    db
}

/// A query of `events` with those of a few values that its expressions use.
fn query(condition: &str, more: Value) -> Value {
    let values = json!({
        ":s1": {"S": "s1"}, ":true": {"BOOL": true}, ":low": {"N": "-1.0"}, ":high": {"N": "2"},
    });
    let filter = more["FilterExpression"].as_str().unwrap_or_default();
    let used = values.as_object().unwrap().clone().into_iter();
    let used = used.filter(|(name, _)| condition.contains(name) || filter.contains(name));
    let mut request = json!({"TableName": "events", "KeyConditionExpression": condition});
    let used = used.collect::<serde_json::Map<_, _>>();
    if !used.is_empty() {
        request["ExpressionAttributeValues"] = used.into();
    }
    merge(request, more)
}

fn numbers(answer: &Value) -> Vec<i64> {
    let items = answer["Items"].as_array().expect("items");
    let number = |item: &Value| item["seq"]["N"].as_str()?.parse().ok();
    items.iter().filter_map(number).collect()
}

#[test]
fn a_query_is_in_the_order_of_the_range_key() {
    let db = with_ten_events();
    let forward = ok(&db, "Query", query("streamName = :s1", json!({})));
    assert_eq!(numbers(&forward), [-4, -3, -2, -1, 0, 1, 2, 3, 4, 5]);
    let backward = query("streamName = :s1", json!({"ScanIndexForward": false}));
    assert_eq!(
        numbers(&ok(&db, "Query", backward)),
        [5, 4, 3, 2, 1, 0, -1, -2, -3, -4]
    );
}

#[test]
fn a_query_goes_on_where_its_page_ended() {
    let db = with_ten_events();
    for forward in [true, false] {
        let more = json!({"ScanIndexForward": forward, "Limit": 3});
        let answers = pages(&db, "Query", &query("streamName = :s1", more));
        assert_eq!(answers.len(), 4);
        let found = answers.iter().flat_map(numbers).collect::<Vec<_>>();
        let mut expected = (-4..6).collect::<Vec<_>>();
        if !forward {
            expected.reverse();
        }
        assert_eq!(found, expected);
    }
}

#[test]
fn a_query_tests_the_range_key() {
    let db = with_ten_events();
    let found = |test: &str| {
        let condition = format!("streamName = :s1 AND {test}");
        numbers(&ok(&db, "Query", query(&condition, json!({}))))
    };
    assert_eq!(found("seq = :low"), [-1]);
    assert_eq!(found("seq < :low"), [-4, -3, -2]);
    assert_eq!(found(":low >= seq"), [-4, -3, -2, -1]);
    assert_eq!(found("(seq BETWEEN :low AND :high)"), [-1, 0, 1, 2]);
    assert_eq!(found("seq > :low"), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_query_by_prefix_needs_no_order() {
    let db = service();
    let schema = json!([
        {"AttributeName": "a", "KeyType": "HASH"}, {"AttributeName": "b", "KeyType": "RANGE"},
    ]);
    let definitions = json!([
        {"AttributeName": "a", "AttributeType": "B"}, {"AttributeName": "b", "AttributeType": "S"},
    ]);
    ok(
        &db,
        "CreateTable",
        merge(
            leases(),
            json!({
                "KeySchema": schema, "AttributeDefinitions": definitions,
            }),
        ),
    );
    for key in ["x", "xy", "y"] {
        let item = json!({"a": {"B": "AA=="}, "b": {"S": key}});
        ok(&db, "PutItem", json!({"TableName": "leases", "Item": item}));
    }
    let request = json!({
        "TableName": "leases",
        "KeyConditionExpression": "begins_with(b, :x) AND a = :a",
        "ExpressionAttributeValues": {":x": {"S": "x"}, ":a": {"B": "AA=="}},
    });
    assert_eq!(ok(&db, "Query", request)["Count"], 2);
}

#[test]
fn a_filter_applies_to_a_query_but_not_to_its_keys() {
    let db = with_ten_events();
    let filtered = |filter: &str| query("streamName = :s1", json!({"FilterExpression": filter}));
    let answer = ok(&db, "Query", filtered("even = :true"));
    assert_eq!(numbers(&answer), [-4, -2, 0, 2, 4]);
    assert_eq!(answer["ScannedCount"], 10);
    assert_eq!(
        invalid(
            &db,
            "Query",
            filtered("even = :true AND NOT size(seq) > :low")
        ),
        "Filter Expression can only contain non-primary key attributes: Primary key attribute: seq"
    );
}

#[test]
fn key_conditions_that_cannot_be_looked_up_are_refused() {
    let db = with_ten_events();
    let refused = |condition: &str, text: &str| {
        let message = invalid(&db, "Query", query(condition, json!({})));
        assert!(message.contains(text), "{condition}: {message}");
    };
    let seq = "streamName = :s1 AND seq = :low";
    refused("streamName > :s1", "Query key condition not supported");
    refused(
        "streamName = :low",
        "Condition parameter type does not match schema type",
    );
    refused(
        "streamName = :s1 AND x = :low",
        "Query condition missed key schema element: seq",
    );
    refused(
        "seq = :low",
        "Query condition missed key schema element: streamName",
    );
    refused(
        "streamName <> :s1",
        "Invalid operator used in KeyConditionExpression: <>",
    );
    refused(
        "streamName = :s1 OR seq = :low",
        "used in KeyConditionExpression: OR",
    );
    refused(
        "streamName = :s1 AND NOT seq = :low",
        "used in KeyConditionExpression: NOT",
    );
    refused(
        "streamName = :s1 AND seq IN (:low)",
        "used in KeyConditionExpression: IN",
    );
    refused(
        "attribute_exists(streamName)",
        "KeyConditionExpression: attribute_exists",
    );
    refused(&format!("{seq} AND seq > :high"), "one condition per key");
    refused(
        &format!("{seq} AND x = :high"),
        "Conditions can be of length 1 or 2 only",
    );
    refused(
        "size(x) = :low AND streamName = :s1",
        "cannot contain nested operations",
    );
    refused(
        "streamName = :s1 AND x.y = :low",
        "conditions on nested attributes",
    );
    refused(
        "streamName = x",
        "Multiple attribute names used in one condition",
    );
    assert_eq!(
        invalid(&db, "Query", json!({"TableName": "events"})),
        "Either the KeyConditions or KeyConditionExpression parameter must be specified in the \
         request."
    );
    let empty = json!({"ExpressionAttributeValues": {":s1": {"S": ""}}});
    let message = invalid(&db, "Query", query("streamName = :s1", empty));
    assert!(message.ends_with("cannot contain an empty string value. Key: streamName"));
    let start = json!({"ExclusiveStartKey": {"streamName": {"S": "s2"}, "seq": {"N": "1"}}});
    assert_eq!(
        invalid(&db, "Query", query("streamName = :s1", start.clone())),
        "The provided starting key is outside query boundaries based on provided conditions"
    );
    let start = json!({"ExclusiveStartKey": {"streamName": {"S": "s1"}, "seq": {"N": "1"}}});
    assert_eq!(
        invalid(&db, "Query", query(seq, start)),
        "The provided starting key does not match the range key predicate"
    );
    let request = query("streamName = :s1", json!({"IndexName": "none"}));
    assert!(invalid(&db, "Query", request).contains("does not have the specified index: none"));
}

#[test]
fn an_index_is_read_in_pages_too() {
    let db = with_leases();
    let request = json!({
        "TableName": "leases",
        "AttributeDefinitions": [{"AttributeName": "leaseOwner", "AttributeType": "S"}],
        "GlobalSecondaryIndexUpdates": [{"Create": {
            "IndexName": "owners",
            "KeySchema": [{"AttributeName": "leaseOwner", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }}],
    });
    ok(&db, "UpdateTable", request);
    let mut names = Vec::new();
    for index in 0..9 {
        names.push(format!("k{index}"));
        put(
            &db,
            &names[index],
            json!({"leaseOwner": {"S": "me"}, "more": {"S": "x"}}),
        );
        put(&db, &format!("free{index}"), json!({}));
    }
    let query = json!({
        "TableName": "leases", "IndexName": "owners", "Limit": 2,
        "KeyConditionExpression": "leaseOwner = :me",
        "ExpressionAttributeValues": {":me": {"S": "me"}},
    });
    let scan = json!({"TableName": "leases", "IndexName": "owners", "Limit": 2});
    for (operation, request) in [("Query", &query), ("Scan", &scan)] {
        let answers = pages(&db, operation, request);
        let mut found = answers.iter().flat_map(keys).collect::<Vec<_>>();
        found.sort();
        assert_eq!(found, names, "{operation}");
        assert_eq!(answers[0]["Items"][0]["more"], json!({"S": "x"}));
        let last = answers[0]["LastEvaluatedKey"].as_object().unwrap();
        assert_eq!(last.keys().collect::<Vec<_>>(), ["leaseKey", "leaseOwner"]);
    }
    let consistent = merge(query, json!({"ConsistentRead": true}));
    assert_eq!(
        invalid(&db, "Query", consistent),
        "Consistent reads are not supported on global secondary indexes"
    );
}

#[test]
fn a_read_of_an_index_costs_what_the_index_holds() {
    let db = with_leases();
    put(&db, "k", json!({"v": {"S": "x".repeat(9000)}}));
    let request = json!({"TableName": "leases", "ReturnConsumedCapacity": "TOTAL"});
    assert_eq!(
        ok(&db, "Scan", request)["ConsumedCapacity"]["CapacityUnits"],
        1.5
    );
}
