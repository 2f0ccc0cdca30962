//! The members of each request and their constraints, as far as the mock takes them.
//!
//! Recorded from botocore's model of DynamoDB 2012-08-10. The order of members is that of the
//! service's error texts where those are known (ReturnConsumedCapacity, the table, what else has
//! few values, and what must be there last; for PutItem ReturnValues before the table), else that
//! of the model.

use super::{Member, Shape};

/// The members of an operation's request.
pub(super) fn of(operation: &str) -> Option<&'static [Member]> {
    Some(match operation {
        "BatchGetItem" => BATCH_GET,
        "BatchWriteItem" => BATCH_WRITE,
        "CreateTable" => CREATE_TABLE,
        "DeleteItem" => DELETE_ITEM,
        "DeleteTable" | "DescribeContinuousBackups" | "DescribeTable" | "DescribeTimeToLive" => {
            TABLE_ONLY
        }
        "GetItem" => GET_ITEM,
        "ListTables" => LIST_TABLES,
        "ListTagsOfResource" => LIST_TAGS,
        "PutItem" => PUT_ITEM,
        "Query" => QUERY,
        "Scan" => SCAN,
        "TagResource" => TAG,
        "TransactGetItems" => TRANSACT_GET,
        "TransactWriteItems" => TRANSACT_WRITE,
        "UntagResource" => UNTAG,
        "UpdateContinuousBackups" => UPDATE_BACKUPS,
        "UpdateItem" => UPDATE_ITEM,
        "UpdateTable" => UPDATE_TABLE,
        "UpdateTimeToLive" => UPDATE_TTL,
        _ => return None,
    })
}

const fn must(name: &'static str, shape: Shape) -> Member {
    Member {
        name,
        required: true,
        shape,
    }
}

const fn may(name: &'static str, shape: Shape) -> Member {
    Member {
        name,
        required: false,
        shape,
    }
}

/// No upper bound of a length.
const ANY: usize = usize::MAX;

const CAPACITY: Member = may(
    "ReturnConsumedCapacity",
    Shape::Choice(&["INDEXES", "TOTAL", "NONE"]),
);
const METRICS: Member = may(
    "ReturnItemCollectionMetrics",
    Shape::Choice(&["SIZE", "NONE"]),
);
const RETURNS: Member = may(
    "ReturnValues",
    Shape::Choice(&["ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"]),
);
const ON_FAILURE: Member = may(
    "ReturnValuesOnConditionCheckFailure",
    Shape::Choice(&["ALL_OLD", "NONE"]),
);
const OPERATOR: Member = may("ConditionalOperator", Shape::Choice(&["OR", "AND"]));
const SELECT: Member = may(
    "Select",
    Shape::Choice(&[
        "SPECIFIC_ATTRIBUTES",
        "COUNT",
        "ALL_ATTRIBUTES",
        "ALL_PROJECTED_ATTRIBUTES",
    ]),
);
const TABLE: Member = must("TableName", Shape::Name);
const KEY: Member = must("Key", Shape::Any);
const CONSISTENT: Member = may("ConsistentRead", Shape::Boolean);
const LIMIT: Member = may("Limit", Shape::Integer(1, i64::MAX));
const INDEX: Member = may("IndexName", Shape::Name);
const CONDITION: Member = may("ConditionExpression", Shape::Text(0, ANY));
const EXPECTED: Member = may("Expected", Shape::Map(&Shape::Structure(EXPECTED_MEMBERS)));
const EXPECTED_MEMBERS: &[Member] = &[
    may("Exists", Shape::Boolean),
    may(
        "ComparisonOperator",
        Shape::Choice(&[
            "IN",
            "NULL",
            "BETWEEN",
            "LT",
            "NOT_CONTAINS",
            "EQ",
            "GT",
            "NOT_NULL",
            "NE",
            "LE",
            "BEGINS_WITH",
            "GE",
            "CONTAINS",
        ]),
    ),
];

const TABLE_ONLY: &[Member] = &[TABLE];
const GET_ITEM: &[Member] = &[CAPACITY, TABLE, CONSISTENT, KEY];
const PUT_ITEM: &[Member] = &[
    CAPACITY,
    RETURNS,
    TABLE,
    METRICS,
    ON_FAILURE,
    OPERATOR,
    EXPECTED,
    CONDITION,
    must("Item", Shape::Any),
];
const DELETE_ITEM: &[Member] = &[
    CAPACITY, TABLE, METRICS, RETURNS, ON_FAILURE, OPERATOR, EXPECTED, CONDITION, KEY,
];
const UPDATE_ITEM: &[Member] = &[
    CAPACITY,
    TABLE,
    METRICS,
    RETURNS,
    ON_FAILURE,
    OPERATOR,
    EXPECTED,
    may(
        "AttributeUpdates",
        Shape::Map(&Shape::Structure(&[may(
            "Action",
            Shape::Choice(&["ADD", "PUT", "DELETE"]),
        )])),
    ),
    may("UpdateExpression", Shape::Text(0, ANY)),
    CONDITION,
    KEY,
];
const QUERY: &[Member] = &[
    CAPACITY,
    TABLE,
    INDEX,
    SELECT,
    LIMIT,
    CONSISTENT,
    may("ScanIndexForward", Shape::Boolean),
];
const SCAN: &[Member] = &[
    CAPACITY,
    TABLE,
    INDEX,
    SELECT,
    LIMIT,
    CONSISTENT,
    may("TotalSegments", Shape::Integer(1, 1_000_000)),
    may("Segment", Shape::Integer(0, 999_999)),
];

const BATCH_GET: &[Member] = &[
    must(
        "RequestItems",
        Shape::ReadsByTable(&Shape::Structure(&[must("Keys", Shape::Any), CONSISTENT])),
    ),
    CAPACITY,
];
const BATCH_WRITE: &[Member] = &[
    CAPACITY,
    METRICS,
    must(
        "RequestItems",
        Shape::WritesByTable(&Shape::Structure(&[
            may("PutRequest", Shape::Structure(&[must("Item", Shape::Any)])),
            may("DeleteRequest", Shape::Structure(&[KEY])),
        ])),
    ),
];

const TRANSACT_GET: &[Member] = &[
    CAPACITY,
    must(
        "TransactItems",
        Shape::List(
            1,
            100,
            &Shape::Structure(&[must("Get", Shape::Structure(&[KEY, TABLE]))]),
        ),
    ),
];
const TRANSACT_WRITE: &[Member] = &[
    may("ClientRequestToken", Shape::Text(1, 36)),
    CAPACITY,
    METRICS,
    must(
        "TransactItems",
        Shape::List(1, 100, &Shape::Structure(TRANSACT_ACTION)),
    ),
];
const TRANSACT_ACTION: &[Member] = &[
    may(
        "ConditionCheck",
        Shape::Structure(&[
            KEY,
            TABLE,
            must("ConditionExpression", Shape::Text(0, ANY)),
            ON_FAILURE,
        ]),
    ),
    may(
        "Put",
        Shape::Structure(&[must("Item", Shape::Any), TABLE, CONDITION, ON_FAILURE]),
    ),
    may(
        "Delete",
        Shape::Structure(&[KEY, TABLE, CONDITION, ON_FAILURE]),
    ),
    may(
        "Update",
        Shape::Structure(&[
            KEY,
            must("UpdateExpression", Shape::Text(0, ANY)),
            TABLE,
            CONDITION,
            ON_FAILURE,
        ]),
    ),
];

const DEFINITIONS: Shape = Shape::List(
    0,
    ANY,
    &Shape::Structure(&[
        must("AttributeName", Shape::Text(1, 255)),
        must("AttributeType", Shape::Choice(&["B", "N", "S"])),
    ]),
);
const KEY_SCHEMA: Member = must(
    "KeySchema",
    Shape::List(
        1,
        2,
        &Shape::Structure(&[
            must("AttributeName", Shape::Text(1, 255)),
            must("KeyType", Shape::Choice(&["HASH", "RANGE"])),
        ]),
    ),
);
const THROUGHPUT: Member = may(
    "ProvisionedThroughput",
    Shape::Structure(&[
        must("ReadCapacityUnits", Shape::Integer(1, i64::MAX)),
        must("WriteCapacityUnits", Shape::Integer(1, i64::MAX)),
    ]),
);
const BILLING: Member = may(
    "BillingMode",
    Shape::Choice(&["PROVISIONED", "PAY_PER_REQUEST"]),
);
const CLASS: Member = may(
    "TableClass",
    Shape::Choice(&["STANDARD", "STANDARD_INFREQUENT_ACCESS"]),
);
const PROTECTION: Member = may("DeletionProtectionEnabled", Shape::Boolean);
const INDEX_PROJECTION: Member = must(
    "Projection",
    Shape::Structure(&[
        may(
            "ProjectionType",
            Shape::Choice(&["ALL", "INCLUDE", "KEYS_ONLY"]),
        ),
        may("NonKeyAttributes", Shape::List(1, 20, &Shape::Text(1, 255))),
    ]),
);
const INDEX_MEMBERS: &[Member] = &[
    must("IndexName", Shape::Name),
    KEY_SCHEMA,
    INDEX_PROJECTION,
    THROUGHPUT,
];
const LOCAL_INDEX_MEMBERS: &[Member] =
    &[must("IndexName", Shape::Name), KEY_SCHEMA, INDEX_PROJECTION];
const TAGS: Shape = Shape::List(
    0,
    ANY,
    &Shape::Structure(&[
        must("Key", Shape::Text(1, 128)),
        must("Value", Shape::Text(0, 256)),
    ]),
);
const CREATE_TABLE: &[Member] = &[
    must("AttributeDefinitions", DEFINITIONS),
    TABLE,
    KEY_SCHEMA,
    may(
        "LocalSecondaryIndexes",
        Shape::List(0, ANY, &Shape::Structure(LOCAL_INDEX_MEMBERS)),
    ),
    may(
        "GlobalSecondaryIndexes",
        Shape::List(0, ANY, &Shape::Structure(INDEX_MEMBERS)),
    ),
    BILLING,
    THROUGHPUT,
    may(
        "StreamSpecification",
        Shape::Structure(&[must("StreamEnabled", Shape::Boolean)]),
    ),
    may(
        "SSESpecification",
        Shape::Structure(&[
            may("Enabled", Shape::Boolean),
            may("SSEType", Shape::Choice(&["AES256", "KMS"])),
        ]),
    ),
    may("Tags", TAGS),
    CLASS,
    PROTECTION,
];
const UPDATE_TABLE: &[Member] = &[
    may("AttributeDefinitions", DEFINITIONS),
    TABLE,
    BILLING,
    THROUGHPUT,
    may(
        "GlobalSecondaryIndexUpdates",
        Shape::List(
            0,
            ANY,
            &Shape::Structure(&[
                may("Create", Shape::Structure(INDEX_MEMBERS)),
                may(
                    "Delete",
                    Shape::Structure(&[must("IndexName", Shape::Name)]),
                ),
            ]),
        ),
    ),
    CLASS,
    PROTECTION,
];
const LIST_TABLES: &[Member] = &[
    may("ExclusiveStartTableName", Shape::Name),
    may("Limit", Shape::Integer(1, 100)),
];
const UPDATE_TTL: &[Member] = &[
    TABLE,
    must(
        "TimeToLiveSpecification",
        Shape::Structure(&[
            must("Enabled", Shape::Boolean),
            must("AttributeName", Shape::Text(1, 255)),
        ]),
    ),
];
const UPDATE_BACKUPS: &[Member] = &[
    TABLE,
    must(
        "PointInTimeRecoverySpecification",
        Shape::Structure(&[
            must("PointInTimeRecoveryEnabled", Shape::Boolean),
            may("RecoveryPeriodInDays", Shape::Integer(1, 35)),
        ]),
    ),
];
const RESOURCE: Member = must("ResourceArn", Shape::Text(1, 1283));
const TAG: &[Member] = &[RESOURCE, must("Tags", TAGS)];
const UNTAG: &[Member] = &[
    RESOURCE,
    must("TagKeys", Shape::List(0, ANY, &Shape::Text(1, 128))),
];
const LIST_TAGS: &[Member] = &[RESOURCE];
