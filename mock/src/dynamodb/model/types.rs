//! The types of every member that the API model has, and which members those are.
//!
//! Parsing comes before everything else, as in the service: a value of a wrong type is an error
//! whatever else is wrong, and what the model does not know is dropped. Members that are modelled
//! and not built stay, so that they can be refused by name.
//!
//! Recorded from botocore 1.43.11's model of DynamoDB 2012-08-10, for the operations that are here.

use serde_json::{Map, Value};

use super::super::value::{ValueError, check_attribute, mismatch};

/// What the JSON of a member must be.
#[derive(Debug)]
enum Type {
    Text,
    Integer,
    Long,
    Boolean,
    /// An attribute value.
    Attribute,
    List(&'static Self),
    Map(&'static Self),
    Structure(Members),
    /// A part of what is not built; its own parts are not looked at.
    Unbuilt,
}

type Members = &'static [(&'static str, Type)];

/// Checks the types of a request and drops what the model does not know.
pub(super) fn check(operation: &str, request: &mut Map<String, Value>) -> Result<(), ValueError> {
    match members_of(operation) {
        Some(members) => structure(members, request),
        None => Ok(()),
    }
}

fn structure(members: Members, json: &mut Map<String, Value>) -> Result<(), ValueError> {
    let find = |name: &str| members.iter().find(|(known, _)| *known == name);
    json.retain(|name, value| !value.is_null() && find(name).is_some());
    for (name, value) in json {
        if let Some((_, wanted)) = find(name) {
            wanted.check(value)?;
        }
    }
    Ok(())
}

impl Type {
    fn check(&self, json: &mut Value) -> Result<(), ValueError> {
        match self {
            Self::Unbuilt => Ok(()),
            Self::Text => fits(json, json.is_string(), "String"),
            Self::Integer => fits(json, json.is_i64(), "Integer"),
            Self::Long => fits(json, json.is_i64(), "Long"),
            Self::Boolean => fits(json, json.is_boolean(), "Boolean"),
            Self::Attribute => check_attribute(json),
            Self::List(of) => match json {
                Value::Array(list) => list.iter_mut().try_for_each(|json| of.check(json)),
                other => Err(mismatch(other, "List")),
            },
            Self::Map(of) => match json {
                Value::Object(map) => map.values_mut().try_for_each(|json| of.check(json)),
                other => Err(mismatch(other, "Map")),
            },
            Self::Structure(members) => match json {
                Value::Object(json) => structure(members, json),
                other => Err(mismatch(other, "Structure")),
            },
        }
    }
}

fn fits(json: &Value, fits: bool, wanted: &str) -> Result<(), ValueError> {
    if fits {
        Ok(())
    } else {
        Err(mismatch(json, wanted))
    }
}

/// The members of an operation's request.
fn members_of(operation: &str) -> Option<Members> {
    Some(match operation {
        "BatchGetItem" => BATCH_GET_ITEM_INPUT,
        "BatchWriteItem" => BATCH_WRITE_ITEM_INPUT,
        "CreateTable" => CREATE_TABLE_INPUT,
        "DeleteItem" => DELETE_ITEM_INPUT,
        "DeleteTable" | "DescribeContinuousBackups" | "DescribeTable" | "DescribeTimeToLive" => {
            TABLE_ONLY
        }
        "GetItem" => GET_ITEM_INPUT,
        "ListTables" => LIST_TABLES_INPUT,
        "ListTagsOfResource" => LIST_TAGS_OF_RESOURCE_INPUT,
        "PutItem" => PUT_ITEM_INPUT,
        "Query" => QUERY_INPUT,
        "Scan" => SCAN_INPUT,
        "TagResource" => TAG_RESOURCE_INPUT,
        "TransactGetItems" => TRANSACT_GET_ITEMS_INPUT,
        "TransactWriteItems" => TRANSACT_WRITE_ITEMS_INPUT,
        "UntagResource" => UNTAG_RESOURCE_INPUT,
        "UpdateContinuousBackups" => UPDATE_CONTINUOUS_BACKUPS_INPUT,
        "UpdateItem" => UPDATE_ITEM_INPUT,
        "UpdateTable" => UPDATE_TABLE_INPUT,
        "UpdateTimeToLive" => UPDATE_TIME_TO_LIVE_INPUT,
        _ => return None,
    })
}

const TABLE_ONLY: Members = &[("TableName", Type::Text)];
const KEYS_AND_ATTRIBUTES: Members = &[
    ("Keys", Type::List(&Type::Map(&Type::Attribute))),
    ("AttributesToGet", Type::List(&Type::Text)),
    ("ConsistentRead", Type::Boolean),
    ("ProjectionExpression", Type::Text),
    ("ExpressionAttributeNames", Type::Map(&Type::Text)),
];
const BATCH_GET_ITEM_INPUT: Members = &[
    (
        "RequestItems",
        Type::Map(&Type::Structure(KEYS_AND_ATTRIBUTES)),
    ),
    ("ReturnConsumedCapacity", Type::Text),
];
const PUT_REQUEST: Members = &[("Item", Type::Map(&Type::Attribute))];
const DELETE_REQUEST: Members = &[("Key", Type::Map(&Type::Attribute))];
const WRITE_REQUEST: Members = &[
    ("PutRequest", Type::Structure(PUT_REQUEST)),
    ("DeleteRequest", Type::Structure(DELETE_REQUEST)),
];
const BATCH_WRITE_ITEM_INPUT: Members = &[
    (
        "RequestItems",
        Type::Map(&Type::List(&Type::Structure(WRITE_REQUEST))),
    ),
    ("ReturnConsumedCapacity", Type::Text),
    ("ReturnItemCollectionMetrics", Type::Text),
];
const ATTRIBUTE_DEFINITION: Members =
    &[("AttributeName", Type::Text), ("AttributeType", Type::Text)];
const KEY_SCHEMA_ELEMENT: Members = &[("AttributeName", Type::Text), ("KeyType", Type::Text)];
const PROJECTION: Members = &[
    ("ProjectionType", Type::Text),
    ("NonKeyAttributes", Type::List(&Type::Text)),
];
const LOCAL_SECONDARY_INDEX: Members = &[
    ("IndexName", Type::Text),
    (
        "KeySchema",
        Type::List(&Type::Structure(KEY_SCHEMA_ELEMENT)),
    ),
    ("Projection", Type::Structure(PROJECTION)),
];
const PROVISIONED_THROUGHPUT: Members = &[
    ("ReadCapacityUnits", Type::Long),
    ("WriteCapacityUnits", Type::Long),
];
const GLOBAL_SECONDARY_INDEX: Members = &[
    ("IndexName", Type::Text),
    (
        "KeySchema",
        Type::List(&Type::Structure(KEY_SCHEMA_ELEMENT)),
    ),
    ("Projection", Type::Structure(PROJECTION)),
    (
        "ProvisionedThroughput",
        Type::Structure(PROVISIONED_THROUGHPUT),
    ),
    ("OnDemandThroughput", Type::Unbuilt),
    ("WarmThroughput", Type::Unbuilt),
];
const STREAM_SPECIFICATION: Members = &[
    ("StreamEnabled", Type::Boolean),
    ("StreamViewType", Type::Text),
];
const SSE_SPECIFICATION: Members = &[
    ("Enabled", Type::Boolean),
    ("SSEType", Type::Text),
    ("KMSMasterKeyId", Type::Text),
];
const TAG: Members = &[("Key", Type::Text), ("Value", Type::Text)];
const CREATE_TABLE_INPUT: Members = &[
    (
        "AttributeDefinitions",
        Type::List(&Type::Structure(ATTRIBUTE_DEFINITION)),
    ),
    ("TableName", Type::Text),
    (
        "KeySchema",
        Type::List(&Type::Structure(KEY_SCHEMA_ELEMENT)),
    ),
    (
        "LocalSecondaryIndexes",
        Type::List(&Type::Structure(LOCAL_SECONDARY_INDEX)),
    ),
    (
        "GlobalSecondaryIndexes",
        Type::List(&Type::Structure(GLOBAL_SECONDARY_INDEX)),
    ),
    ("BillingMode", Type::Text),
    (
        "ProvisionedThroughput",
        Type::Structure(PROVISIONED_THROUGHPUT),
    ),
    ("StreamSpecification", Type::Structure(STREAM_SPECIFICATION)),
    ("SSESpecification", Type::Structure(SSE_SPECIFICATION)),
    ("Tags", Type::List(&Type::Structure(TAG))),
    ("TableClass", Type::Text),
    ("DeletionProtectionEnabled", Type::Boolean),
    ("WarmThroughput", Type::Unbuilt),
    ("ResourcePolicy", Type::Text),
    ("OnDemandThroughput", Type::Unbuilt),
    ("GlobalTableSourceArn", Type::Text),
    ("GlobalTableSettingsReplicationMode", Type::Text),
];
const EXPECTED_ATTRIBUTE_VALUE: Members = &[
    ("Value", Type::Attribute),
    ("Exists", Type::Boolean),
    ("ComparisonOperator", Type::Text),
    ("AttributeValueList", Type::List(&Type::Attribute)),
];
const DELETE_ITEM_INPUT: Members = &[
    ("TableName", Type::Text),
    ("Key", Type::Map(&Type::Attribute)),
    (
        "Expected",
        Type::Map(&Type::Structure(EXPECTED_ATTRIBUTE_VALUE)),
    ),
    ("ConditionalOperator", Type::Text),
    ("ReturnValues", Type::Text),
    ("ReturnConsumedCapacity", Type::Text),
    ("ReturnItemCollectionMetrics", Type::Text),
    ("ConditionExpression", Type::Text),
    ("ExpressionAttributeNames", Type::Map(&Type::Text)),
    ("ExpressionAttributeValues", Type::Map(&Type::Attribute)),
    ("ReturnValuesOnConditionCheckFailure", Type::Text),
];
const GET_ITEM_INPUT: Members = &[
    ("TableName", Type::Text),
    ("Key", Type::Map(&Type::Attribute)),
    ("AttributesToGet", Type::List(&Type::Text)),
    ("ConsistentRead", Type::Boolean),
    ("ReturnConsumedCapacity", Type::Text),
    ("ProjectionExpression", Type::Text),
    ("ExpressionAttributeNames", Type::Map(&Type::Text)),
];
const LIST_TABLES_INPUT: Members = &[
    ("ExclusiveStartTableName", Type::Text),
    ("Limit", Type::Integer),
];
const LIST_TAGS_OF_RESOURCE_INPUT: Members =
    &[("ResourceArn", Type::Text), ("NextToken", Type::Text)];
const PUT_ITEM_INPUT: Members = &[
    ("TableName", Type::Text),
    ("Item", Type::Map(&Type::Attribute)),
    (
        "Expected",
        Type::Map(&Type::Structure(EXPECTED_ATTRIBUTE_VALUE)),
    ),
    ("ReturnValues", Type::Text),
    ("ReturnConsumedCapacity", Type::Text),
    ("ReturnItemCollectionMetrics", Type::Text),
    ("ConditionalOperator", Type::Text),
    ("ConditionExpression", Type::Text),
    ("ExpressionAttributeNames", Type::Map(&Type::Text)),
    ("ExpressionAttributeValues", Type::Map(&Type::Attribute)),
    ("ReturnValuesOnConditionCheckFailure", Type::Text),
];
const CONDITION: Members = &[
    ("AttributeValueList", Type::List(&Type::Attribute)),
    ("ComparisonOperator", Type::Text),
];
const QUERY_INPUT: Members = &[
    ("TableName", Type::Text),
    ("IndexName", Type::Text),
    ("Select", Type::Text),
    ("AttributesToGet", Type::List(&Type::Text)),
    ("Limit", Type::Integer),
    ("ConsistentRead", Type::Boolean),
    ("KeyConditions", Type::Map(&Type::Structure(CONDITION))),
    ("QueryFilter", Type::Map(&Type::Structure(CONDITION))),
    ("ConditionalOperator", Type::Text),
    ("ScanIndexForward", Type::Boolean),
    ("ExclusiveStartKey", Type::Map(&Type::Attribute)),
    ("ReturnConsumedCapacity", Type::Text),
    ("ProjectionExpression", Type::Text),
    ("FilterExpression", Type::Text),
    ("KeyConditionExpression", Type::Text),
    ("ExpressionAttributeNames", Type::Map(&Type::Text)),
    ("ExpressionAttributeValues", Type::Map(&Type::Attribute)),
];
const SCAN_INPUT: Members = &[
    ("TableName", Type::Text),
    ("IndexName", Type::Text),
    ("AttributesToGet", Type::List(&Type::Text)),
    ("Limit", Type::Integer),
    ("Select", Type::Text),
    ("ScanFilter", Type::Map(&Type::Structure(CONDITION))),
    ("ConditionalOperator", Type::Text),
    ("ExclusiveStartKey", Type::Map(&Type::Attribute)),
    ("ReturnConsumedCapacity", Type::Text),
    ("TotalSegments", Type::Integer),
    ("Segment", Type::Integer),
    ("ProjectionExpression", Type::Text),
    ("FilterExpression", Type::Text),
    ("ExpressionAttributeNames", Type::Map(&Type::Text)),
    ("ExpressionAttributeValues", Type::Map(&Type::Attribute)),
    ("ConsistentRead", Type::Boolean),
];
const TAG_RESOURCE_INPUT: Members = &[
    ("ResourceArn", Type::Text),
    ("Tags", Type::List(&Type::Structure(TAG))),
];
const GET: Members = &[
    ("Key", Type::Map(&Type::Attribute)),
    ("TableName", Type::Text),
    ("ProjectionExpression", Type::Text),
    ("ExpressionAttributeNames", Type::Map(&Type::Text)),
];
const TRANSACT_GET_ITEM: Members = &[("Get", Type::Structure(GET))];
const TRANSACT_GET_ITEMS_INPUT: Members = &[
    (
        "TransactItems",
        Type::List(&Type::Structure(TRANSACT_GET_ITEM)),
    ),
    ("ReturnConsumedCapacity", Type::Text),
];
const CONDITION_CHECK: Members = &[
    ("Key", Type::Map(&Type::Attribute)),
    ("TableName", Type::Text),
    ("ConditionExpression", Type::Text),
    ("ExpressionAttributeNames", Type::Map(&Type::Text)),
    ("ExpressionAttributeValues", Type::Map(&Type::Attribute)),
    ("ReturnValuesOnConditionCheckFailure", Type::Text),
];
const PUT: Members = &[
    ("Item", Type::Map(&Type::Attribute)),
    ("TableName", Type::Text),
    ("ConditionExpression", Type::Text),
    ("ExpressionAttributeNames", Type::Map(&Type::Text)),
    ("ExpressionAttributeValues", Type::Map(&Type::Attribute)),
    ("ReturnValuesOnConditionCheckFailure", Type::Text),
];
const DELETE: Members = &[
    ("Key", Type::Map(&Type::Attribute)),
    ("TableName", Type::Text),
    ("ConditionExpression", Type::Text),
    ("ExpressionAttributeNames", Type::Map(&Type::Text)),
    ("ExpressionAttributeValues", Type::Map(&Type::Attribute)),
    ("ReturnValuesOnConditionCheckFailure", Type::Text),
];
const UPDATE: Members = &[
    ("Key", Type::Map(&Type::Attribute)),
    ("UpdateExpression", Type::Text),
    ("TableName", Type::Text),
    ("ConditionExpression", Type::Text),
    ("ExpressionAttributeNames", Type::Map(&Type::Text)),
    ("ExpressionAttributeValues", Type::Map(&Type::Attribute)),
    ("ReturnValuesOnConditionCheckFailure", Type::Text),
];
const TRANSACT_WRITE_ITEM: Members = &[
    ("ConditionCheck", Type::Structure(CONDITION_CHECK)),
    ("Put", Type::Structure(PUT)),
    ("Delete", Type::Structure(DELETE)),
    ("Update", Type::Structure(UPDATE)),
];
const TRANSACT_WRITE_ITEMS_INPUT: Members = &[
    (
        "TransactItems",
        Type::List(&Type::Structure(TRANSACT_WRITE_ITEM)),
    ),
    ("ReturnConsumedCapacity", Type::Text),
    ("ReturnItemCollectionMetrics", Type::Text),
    ("ClientRequestToken", Type::Text),
];
const UNTAG_RESOURCE_INPUT: Members = &[
    ("ResourceArn", Type::Text),
    ("TagKeys", Type::List(&Type::Text)),
];
const POINT_IN_TIME_RECOVERY_SPECIFICATION: Members = &[
    ("PointInTimeRecoveryEnabled", Type::Boolean),
    ("RecoveryPeriodInDays", Type::Integer),
];
const UPDATE_CONTINUOUS_BACKUPS_INPUT: Members = &[
    ("TableName", Type::Text),
    (
        "PointInTimeRecoverySpecification",
        Type::Structure(POINT_IN_TIME_RECOVERY_SPECIFICATION),
    ),
];
const ATTRIBUTE_VALUE_UPDATE: Members = &[("Value", Type::Attribute), ("Action", Type::Text)];
const UPDATE_ITEM_INPUT: Members = &[
    ("TableName", Type::Text),
    ("Key", Type::Map(&Type::Attribute)),
    (
        "AttributeUpdates",
        Type::Map(&Type::Structure(ATTRIBUTE_VALUE_UPDATE)),
    ),
    (
        "Expected",
        Type::Map(&Type::Structure(EXPECTED_ATTRIBUTE_VALUE)),
    ),
    ("ConditionalOperator", Type::Text),
    ("ReturnValues", Type::Text),
    ("ReturnConsumedCapacity", Type::Text),
    ("ReturnItemCollectionMetrics", Type::Text),
    ("UpdateExpression", Type::Text),
    ("ConditionExpression", Type::Text),
    ("ExpressionAttributeNames", Type::Map(&Type::Text)),
    ("ExpressionAttributeValues", Type::Map(&Type::Attribute)),
    ("ReturnValuesOnConditionCheckFailure", Type::Text),
];
const UPDATE_INDEX: Members = &[
    ("IndexName", Type::Text),
    (
        "ProvisionedThroughput",
        Type::Structure(PROVISIONED_THROUGHPUT),
    ),
    ("OnDemandThroughput", Type::Unbuilt),
    ("WarmThroughput", Type::Unbuilt),
];
const CREATE_INDEX: Members = &[
    ("IndexName", Type::Text),
    (
        "KeySchema",
        Type::List(&Type::Structure(KEY_SCHEMA_ELEMENT)),
    ),
    ("Projection", Type::Structure(PROJECTION)),
    (
        "ProvisionedThroughput",
        Type::Structure(PROVISIONED_THROUGHPUT),
    ),
    ("OnDemandThroughput", Type::Unbuilt),
    ("WarmThroughput", Type::Unbuilt),
];
const DELETE_INDEX: Members = &[("IndexName", Type::Text)];
const GLOBAL_SECONDARY_INDEX_UPDATE: Members = &[
    ("Update", Type::Structure(UPDATE_INDEX)),
    ("Create", Type::Structure(CREATE_INDEX)),
    ("Delete", Type::Structure(DELETE_INDEX)),
];
const UPDATE_TABLE_INPUT: Members = &[
    (
        "AttributeDefinitions",
        Type::List(&Type::Structure(ATTRIBUTE_DEFINITION)),
    ),
    ("TableName", Type::Text),
    ("BillingMode", Type::Text),
    (
        "ProvisionedThroughput",
        Type::Structure(PROVISIONED_THROUGHPUT),
    ),
    (
        "GlobalSecondaryIndexUpdates",
        Type::List(&Type::Structure(GLOBAL_SECONDARY_INDEX_UPDATE)),
    ),
    ("StreamSpecification", Type::Structure(STREAM_SPECIFICATION)),
    ("SSESpecification", Type::Structure(SSE_SPECIFICATION)),
    ("ReplicaUpdates", Type::Unbuilt),
    ("TableClass", Type::Text),
    ("DeletionProtectionEnabled", Type::Boolean),
    ("MultiRegionConsistency", Type::Text),
    ("GlobalTableWitnessUpdates", Type::Unbuilt),
    ("OnDemandThroughput", Type::Unbuilt),
    ("WarmThroughput", Type::Unbuilt),
    ("GlobalTableSettingsReplicationMode", Type::Text),
];
const TIME_TO_LIVE_SPECIFICATION: Members =
    &[("Enabled", Type::Boolean), ("AttributeName", Type::Text)];
const UPDATE_TIME_TO_LIVE_INPUT: Members = &[
    ("TableName", Type::Text),
    (
        "TimeToLiveSpecification",
        Type::Structure(TIME_TO_LIVE_SPECIFICATION),
    ),
];
