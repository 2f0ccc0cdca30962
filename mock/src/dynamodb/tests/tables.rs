//! Tables and indexes: their states, their descriptions, what is refused.

use super::*;

use shardwise_env::Simulation;

#[tokio::test(start_paused = true)]
async fn a_table_is_there_after_the_state_delay() {
    let env = Simulation::new(1).node("service", 1.0).env();
    let delay = Duration::from_millis(500);
    let db = DynamoDb::new(env.clone(), "000000000000", "us-east-1", delay);
    let describe = || call(&db, "DescribeTable", json!({"TableName": "leases"}));
    let status = || describe().map(|answer| answer["Table"]["TableStatus"].clone());

    let created = ok(&db, "CreateTable", leases());
    assert_eq!(created["TableDescription"]["TableStatus"], "CREATING");
    env.sleep(Duration::from_millis(499)).await;
    assert_eq!(status(), Ok(json!("CREATING")));
    let item = json!({"TableName": "leases", "Item": {"leaseKey": {"S": "shard"}}});
    assert_eq!(
        fails(&db, "PutItem", item.clone()),
        (
            "ResourceNotFoundException".to_owned(),
            "Requested resource not found".to_owned()
        )
    );
    assert_eq!(
        fails(&db, "DeleteTable", json!({"TableName": "leases"})),
        (
            "ResourceInUseException".to_owned(),
            "Attempt to change a resource which is still in use: Table is being created: leases"
                .to_owned()
        )
    );
    env.sleep(Duration::from_millis(1)).await;
    assert_eq!(status(), Ok(json!("ACTIVE")));
    ok(&db, "PutItem", item);

    let deleted = ok(&db, "DeleteTable", json!({"TableName": "leases"}));
    assert_eq!(deleted["TableDescription"]["TableStatus"], "DELETING");
    assert_eq!(status(), Ok(json!("DELETING")));
    env.sleep(delay).await;
    assert_eq!(
        describe().unwrap_err().body,
        json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
            "message": "Requested resource not found: Table: leases not found",
        })
    );
    ok(&db, "CreateTable", leases());
}

#[tokio::test(start_paused = true)]
async fn an_index_is_there_after_the_state_delay() {
    let env = Simulation::new(1).node("service", 1.0).env();
    let delay = Duration::from_millis(500);
    let db = DynamoDb::new(env.clone(), "000000000000", "us-east-1", delay);
    ok(&db, "CreateTable", leases());
    env.sleep(delay).await;
    put(&db, "shard", json!({"leaseOwner": {"S": "w1"}}));

    let updated = ok(&db, "UpdateTable", owner_index());
    assert_eq!(updated["TableDescription"]["TableStatus"], "UPDATING");
    let describe = || ok(&db, "DescribeTable", json!({"TableName": "leases"}))["Table"].clone();
    let index = describe()["GlobalSecondaryIndexes"][0].clone();
    assert_eq!(index["IndexStatus"], "CREATING");
    assert_eq!(index["Backfilling"], true);
    assert_eq!(
        invalid(&db, "Query", by_owner("w1")),
        "Cannot read from backfilling global secondary index: owners"
    );
    assert_eq!(
        fails(&db, "UpdateTable", owner_index()).0,
        "ResourceInUseException"
    );
    put(&db, "other", json!({"leaseOwner": {"S": "w1"}}));
    env.sleep(delay).await;
    assert_eq!(describe()["TableStatus"], "ACTIVE");
    assert_eq!(
        describe()["GlobalSecondaryIndexes"][0]["IndexStatus"],
        "ACTIVE"
    );
    assert_eq!(ok(&db, "Query", by_owner("w1"))["Count"], 2);
}

#[test]
fn a_table_is_described_as_it_was_created() {
    let db = service();
    let request = merge(
        leases(),
        json!({
            "DeletionProtectionEnabled": true,
            "TableClass": "STANDARD_INFREQUENT_ACCESS",
            "SSESpecification": {"Enabled": true, "SSEType": "KMS", "KMSMasterKeyId": "alias/mine"},
            "Tags": [{"Key": "a", "Value": "b"}],
        }),
    );
    ok(&db, "CreateTable", request);
    put(&db, "shard", json!({}));
    let table = &ok(&db, "DescribeTable", json!({"TableName": "leases"}))["Table"];
    for (member, value) in [
        ("TableName", json!("leases")),
        (
            "TableArn",
            json!("arn:aws:dynamodb:us-east-1:000000000000:table/leases"),
        ),
        ("TableStatus", json!("ACTIVE")),
        ("ItemCount", json!(1)),
        ("TableSizeBytes", json!(13)),
        ("DeletionProtectionEnabled", json!(true)),
        (
            "TableClassSummary",
            json!({"TableClass": "STANDARD_INFREQUENT_ACCESS"}),
        ),
        (
            "KeySchema",
            json!([{"AttributeName": "leaseKey", "KeyType": "HASH"}]),
        ),
        (
            "AttributeDefinitions",
            json!([{"AttributeName": "leaseKey", "AttributeType": "S"}]),
        ),
        (
            "ProvisionedThroughput",
            json!({"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 0, "WriteCapacityUnits": 0}),
        ),
        (
            "SSEDescription",
            json!({
                "Status": "ENABLED", "SSEType": "KMS",
                "KMSMasterKeyArn": "arn:aws:kms:us-east-1:000000000000:alias/mine",
            }),
        ),
    ] {
        assert_eq!(table[member], value, "{member}");
    }
    assert_eq!(
        table["BillingModeSummary"]["BillingMode"],
        "PAY_PER_REQUEST"
    );
    assert_eq!(table["TableId"].as_str().unwrap().len(), 36);
    assert!(table["CreationDateTime"].is_f64());
}

#[test]
fn a_table_is_found_by_its_arn() {
    let db = with_leases();
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/leases";
    ok(&db, "Scan", json!({"TableName": arn}));
    let arn = "arn:aws:dynamodb:eu-west-1:000000000000:table/leases";
    assert_eq!(
        fails(&db, "Scan", json!({"TableName": arn})).0,
        "ResourceNotFoundException"
    );
}

#[test]
fn a_table_cannot_be_created_twice() {
    let db = with_leases();
    assert_eq!(
        fails(&db, "CreateTable", leases()),
        (
            "ResourceInUseException".to_owned(),
            "Table already exists: leases".to_owned()
        )
    );
}

#[test]
fn a_protected_table_cannot_be_deleted() {
    let db = with_leases();
    let protect = |on: bool| {
        let request = json!({"TableName": "leases", "DeletionProtectionEnabled": on});
        ok(&db, "UpdateTable", request)
    };
    protect(true);
    assert_eq!(
        invalid(&db, "DeleteTable", json!({"TableName": "leases"})),
        "Resource cannot be deleted as it is currently protected against deletion. Disable \
         deletion protection first."
    );
    protect(false);
    ok(&db, "DeleteTable", json!({"TableName": "leases"}));
    assert_eq!(
        fails(&db, "Scan", json!({"TableName": "leases"})).0,
        "ResourceNotFoundException"
    );
}

#[test]
fn tables_that_make_no_sense_are_refused() {
    let db = service();
    let refused = |more: Value, text: &str| {
        let message = invalid(&db, "CreateTable", merge(leases(), more));
        assert!(message.contains(text), "{message}");
    };
    let key = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
    let attribute = |name: &str, kind: &str| json!({"AttributeName": name, "AttributeType": kind});
    refused(json!({"TableName": "ab"}), "at least 3 characters long");
    refused(
        json!({"TableName": "a b c"}),
        "regular expression pattern: [a-zA-Z0-9_.-]+",
    );
    refused(json!({"TableName": null}), "Value null at 'tableName'");
    refused(
        json!({"KeySchema": [key("leaseKey", "RANGE")]}),
        "is not a HASH key type",
    );
    refused(
        json!({"KeySchema": [key("other", "HASH")]}),
        "Invalid KeySchema: Some index key attribute have no definition",
    );
    refused(
        json!({"KeySchema": []}),
        "length greater than or equal to 1",
    );
    refused(
        json!({"AttributeDefinitions": [attribute("leaseKey", "S"), attribute("x", "S")]}),
        "Number of attributes in KeySchema does not exactly match",
    );
    refused(
        json!({"AttributeDefinitions": [attribute("leaseKey", "SS")]}),
        "'attributeDefinitions.1.member.attributeType' failed to satisfy constraint: Member must \
         satisfy enum value set: [B, N, S]",
    );
    refused(
        json!({"BillingMode": "PROVISIONED"}),
        "must both be specified",
    );
    refused(
        json!({"ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}),
        "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified",
    );
    refused(
        json!({"StreamSpecification": {"StreamEnabled": true}}),
        "does not implement",
    );
    refused(
        json!({"GlobalSecondaryIndexes": []}),
        "List of GlobalSecondaryIndexes is empty",
    );
    ok(
        &db,
        "CreateTable",
        merge(
            leases(),
            json!({
                "StreamSpecification": {"StreamEnabled": false},
            }),
        ),
    );
}

#[test]
fn provisioned_tables_keep_their_throughput_and_can_go_on_demand() {
    let db = service();
    let units = json!({"ReadCapacityUnits": 10, "WriteCapacityUnits": 5});
    ok(
        &db,
        "CreateTable",
        merge(
            leases(),
            json!({
                "BillingMode": "PROVISIONED", "ProvisionedThroughput": units,
            }),
        ),
    );
    let describe = || ok(&db, "DescribeTable", json!({"TableName": "leases"}))["Table"].clone();
    assert_eq!(describe()["ProvisionedThroughput"]["ReadCapacityUnits"], 10);
    assert_eq!(describe().get("BillingModeSummary"), None);
    let request = json!({"TableName": "leases", "BillingMode": "PAY_PER_REQUEST"});
    ok(&db, "UpdateTable", request);
    assert_eq!(
        describe()["BillingModeSummary"]["BillingMode"],
        "PAY_PER_REQUEST"
    );
    assert_eq!(describe()["ProvisionedThroughput"]["ReadCapacityUnits"], 0);
}

#[tokio::test(start_paused = true)]
async fn changes_of_throughput_are_dated_and_decreases_counted_by_day() {
    let env = Simulation::new(1).node("service", 1.0).env();
    let db = DynamoDb::new(env.clone(), "000000000000", "us-east-1", Duration::ZERO);
    let units =
        |read: i64, write: i64| json!({"ReadCapacityUnits": read, "WriteCapacityUnits": write});
    let request = json!({"BillingMode": "PROVISIONED", "ProvisionedThroughput": units(10, 10)});
    ok(&db, "CreateTable", merge(leases(), request));
    let update = |read, write| {
        let request = json!({"TableName": "leases", "ProvisionedThroughput": units(read, write)});
        ok(&db, "UpdateTable", request);
        let table = ok(&db, "DescribeTable", json!({"TableName": "leases"}));
        table["Table"]["ProvisionedThroughput"].clone()
    };
    // Every simulation begins with 2026.
    let start = 1_767_225_600.0;
    env.sleep(Duration::from_secs(60)).await;
    let raised = update(20, 10);
    assert_eq!(raised["LastIncreaseDateTime"], start + 60.0);
    assert_eq!(raised["NumberOfDecreasesToday"], 0);
    assert_eq!(raised.get("LastDecreaseDateTime"), None);
    env.sleep(Duration::from_secs(60)).await;
    let mixed = update(5, 20);
    assert_eq!(mixed["LastIncreaseDateTime"], start + 120.0);
    assert_eq!(mixed["LastDecreaseDateTime"], start + 120.0);
    assert_eq!(mixed["NumberOfDecreasesToday"], 1);
    assert_eq!(update(4, 20)["NumberOfDecreasesToday"], 2);
    env.sleep(Duration::from_secs(24 * 60 * 60)).await;
    let table = ok(&db, "DescribeTable", json!({"TableName": "leases"}));
    let described = &table["Table"]["ProvisionedThroughput"];
    assert_eq!(described["NumberOfDecreasesToday"], 0);
    assert_eq!(update(3, 20)["NumberOfDecreasesToday"], 1);
}

#[test]
fn a_key_attribute_without_a_definition_is_refused() {
    let db = service();
    let key = |name: &str| json!([{"AttributeName": name, "KeyType": "HASH"}]);
    let request = |more: Value| merge(leases(), merge(json!({"KeySchema": key("other")}), more));
    assert_eq!(
        invalid(&db, "CreateTable", request(json!({}))),
        "Invalid KeySchema: Some index key attribute have no definition"
    );
    let index = json!({
        "IndexName": "index", "KeySchema": key("leaseKey"),
        "Projection": {"ProjectionType": "ALL"},
    });
    assert_eq!(
        invalid(
            &db,
            "CreateTable",
            request(json!({"GlobalSecondaryIndexes": [index]}))
        ),
        "One or more parameter values were invalid: Some index key attributes are not defined in \
         AttributeDefinitions. Keys: [other], AttributeDefinitions: [leaseKey]"
    );
}

#[test]
fn the_keys_of_an_index_are_as_short_as_a_tables() {
    let db = with_leases();
    ok(&db, "UpdateTable", owner_index());
    let put = |owner: String| {
        let item = json!({"leaseKey": {"S": "s"}, "leaseOwner": {"S": owner}});
        json!({"TableName": "leases", "Item": item})
    };
    ok(&db, "PutItem", put("x".repeat(2048)));
    let text = "One or more parameter values were invalid: Size of hashkey has exceeded the \
                maximum size limit of2048 bytes";
    assert_eq!(invalid(&db, "PutItem", put("x".repeat(2049))), text);
    let set = json!({
        "UpdateExpression": "SET leaseOwner = :o",
        "ExpressionAttributeValues": {":o": {"S": "x".repeat(2049)}},
    });
    assert_eq!(invalid(&db, "UpdateItem", update("s", set)), text);
}

#[test]
fn tables_are_listed_in_pages() {
    let db = service();
    for name in ["ccc", "aaa", "bbb"] {
        ok(
            &db,
            "CreateTable",
            merge(leases(), json!({"TableName": name})),
        );
    }
    assert_eq!(
        ok(&db, "ListTables", json!({})),
        json!({"TableNames": ["aaa", "bbb", "ccc"]})
    );
    assert_eq!(
        ok(&db, "ListTables", json!({"Limit": 2})),
        json!({"TableNames": ["aaa", "bbb"], "LastEvaluatedTableName": "bbb"})
    );
    assert_eq!(
        ok(
            &db,
            "ListTables",
            json!({"ExclusiveStartTableName": "bbb", "Limit": 1})
        ),
        json!({"TableNames": ["ccc"]})
    );
}

#[test]
fn an_index_follows_its_table() {
    let db = with_leases();
    put(
        &db,
        "s1",
        json!({"leaseOwner": {"S": "w1"}, "more": {"S": "x"}}),
    );
    ok(&db, "UpdateTable", owner_index());
    put(&db, "s2", json!({"leaseOwner": {"S": "w1"}}));
    put(&db, "s3", json!({}));
    let keys = |owner: &str| {
        let answer = ok(&db, "Query", by_owner(owner));
        let items = answer["Items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["leaseKey"]["S"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(keys("w1"), ["s1", "s2"]);
    let answer = ok(&db, "Query", by_owner("w1"));
    assert_eq!(
        answer["Items"][0],
        json!({"leaseKey": {"S": "s1"}, "leaseOwner": {"S": "w1"}}),
        "an index of keys holds no other attributes"
    );
    let take = json!({
        "UpdateExpression": "SET leaseOwner = :me",
        "ExpressionAttributeValues": {":me": {"S": "w2"}},
    });
    ok(&db, "UpdateItem", update("s1", take));
    assert_eq!((keys("w1").len(), keys("w2").len()), (1, 1));
    ok(
        &db,
        "UpdateItem",
        update("s1", json!({"UpdateExpression": "REMOVE leaseOwner"})),
    );
    assert_eq!(keys("w2").len(), 0);
    ok(&db, "DeleteItem", update("s2", json!({})));
    assert_eq!(keys("w1").len(), 0);
}

#[test]
fn an_attribute_that_is_an_index_key_has_the_type_of_the_index() {
    let db = with_leases();
    ok(&db, "UpdateTable", owner_index());
    let request = json!({
        "TableName": "leases", "Item": {"leaseKey": {"S": "s"}, "leaseOwner": {"N": "1"}},
    });
    assert_eq!(
        invalid(&db, "PutItem", request),
        "One or more parameter values were invalid: Type mismatch for Index Key leaseOwner \
         Expected: S Actual: N IndexName: owners"
    );
    let request = update(
        "s",
        json!({
            "UpdateExpression": "SET leaseOwner = :n", "ExpressionAttributeValues": {":n": {"S": ""}},
        }),
    );
    assert!(invalid(&db, "UpdateItem", request).contains("empty string value. IndexName: owners"));
    assert_eq!(get(&db, "s"), None);
}

#[test]
fn an_index_can_be_made_with_the_table_and_deleted() {
    let db = service();
    let create = &owner_index()["GlobalSecondaryIndexUpdates"][0]["Create"];
    let request = merge(
        owner_index(),
        json!({
            "GlobalSecondaryIndexUpdates": null,
            "GlobalSecondaryIndexes": [merge(create.clone(), json!({
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["checkpoint"]},
            }))],
        }),
    );
    ok(&db, "CreateTable", merge(leases(), request));
    put(
        &db,
        "s1",
        json!({
            "leaseOwner": {"S": "w1"}, "checkpoint": {"S": "LATEST"}, "more": {"S": "x"},
        }),
    );
    let item = &ok(&db, "Query", by_owner("w1"))["Items"][0];
    assert_eq!(item["checkpoint"], json!({"S": "LATEST"}));
    assert_eq!(item.get("more"), None);
    let delete = json!({
        "TableName": "leases",
        "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "owners"}}],
    });
    ok(&db, "UpdateTable", delete.clone());
    assert_eq!(
        invalid(&db, "Query", by_owner("w1")),
        "The table does not have the specified index: owners"
    );
    assert_eq!(
        fails(&db, "UpdateTable", delete).0,
        "ResourceNotFoundException"
    );
    let table = &ok(&db, "DescribeTable", json!({"TableName": "leases"}))["Table"];
    assert_eq!(table["AttributeDefinitions"].as_array().unwrap().len(), 1);
}

#[test]
fn an_update_of_a_table_happens_whole_or_not_at_all() {
    let db = with_leases();
    ok(&db, "UpdateTable", owner_index());
    let request = merge(owner_index(), json!({"DeletionProtectionEnabled": true}));
    assert_eq!(
        invalid(&db, "UpdateTable", request),
        "Attempting to create an index which already exists"
    );
    ok(&db, "DeleteTable", json!({"TableName": "leases"}));
    let nothing = json!({"TableName": "leases"});
    assert!(invalid(&db, "UpdateTable", nothing).starts_with("At least one of"));
}

/// Adds the index of the lease table by owner.
pub(super) fn owner_index() -> Value {
    json!({
        "TableName": "leases",
        "AttributeDefinitions": [
            {"AttributeName": "leaseOwner", "AttributeType": "S"},
            {"AttributeName": "leaseKey", "AttributeType": "S"},
        ],
        "GlobalSecondaryIndexUpdates": [{"Create": {
            "IndexName": "owners",
            "KeySchema": [
                {"AttributeName": "leaseOwner", "KeyType": "HASH"},
                {"AttributeName": "leaseKey", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }}],
    })
}

pub(super) fn by_owner(owner: &str) -> Value {
    json!({
        "TableName": "leases", "IndexName": "owners",
        "KeyConditionExpression": "leaseOwner = :o",
        "ExpressionAttributeValues": {":o": {"S": owner}},
    })
}
