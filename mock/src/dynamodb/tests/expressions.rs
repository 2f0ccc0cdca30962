//! Conditions and updates: what they do, what is refused and in which words.

use super::*;

/// An item with something of every type.
fn with_item() -> DynamoDb {
    let db = with_leases();
    put(
        &db,
        "shard",
        json!({
            "s": {"S": "text"}, "n": {"N": "5"}, "b": {"B": "AAEC"}, "t": {"BOOL": true},
            "nil": {"NULL": true}, "ss": {"SS": ["a", "b"]}, "ns": {"NS": ["1", "2"]},
            "bs": {"BS": ["AA=="]}, "l": {"L": [{"S": "x"}, {"M": {"y": {"N": "7"}}}]},
            "m": {"M": {"k": {"L": [{"N": "1"}]}, "n": {"N": "6"}}},
        }),
    );
    db
}

/// A request with an expression and those of these values that it uses.
fn request(field: &str, expression: &str) -> Value {
    let values = json!({
        ":text": {"S": "text"}, ":te": {"S": "te"}, ":a": {"S": "a"}, ":x": {"S": "x"},
        ":S": {"S": "S"}, ":one": {"N": "1"}, ":five": {"N": "5.0"}, ":six": {"N": "6"},
        ":bytes": {"B": "AAE="}, ":true": {"BOOL": true}, ":set": {"SS": ["b", "a"]},
        ":list": {"L": [{"S": "z"}]}, ":empty": {"S": ""}, ":zero": {"N": "0"},
    });
    let used = values
        .as_object()
        .unwrap()
        .clone()
        .into_iter()
        .filter(|(name, _)| {
            let mut words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != ':');
            words.any(|word| word == name)
        });
    let used = used.collect::<serde_json::Map<_, _>>();
    let mut request = update("shard", json!({field: expression}));
    if !used.is_empty() {
        request["ExpressionAttributeValues"] = used.into();
    }
    request
}

#[track_caller]
fn holds(db: &DynamoDb, condition: &str) -> bool {
    match call(db, "UpdateItem", request("ConditionExpression", condition)) {
        Ok(_) => true,
        Err(failure) => {
            let kind = failure.body["__type"].as_str().unwrap();
            assert!(
                kind.ends_with("ConditionalCheckFailedException"),
                "{condition}: {failure:?}"
            );
            false
        }
    }
}

#[test]
fn conditions_that_hold() {
    let db = with_item();
    for condition in [
        "n = :five",
        "n = :five AND s = :text",
        "n <> :one",
        "absent <> :one",
        "s <> n",
        "n > :one and n >= :five and n < :six and n <= :five",
        ":one < n",
        "n < m.n",
        "n BETWEEN :one AND :six",
        "s IN (:a, :text)",
        "NOT n = :one",
        "NOT (n = :one OR s = :a)",
        "attribute_exists(m.k[0])",
        "attribute_not_exists(m.k[1]) AND attribute_not_exists(s.x) AND attribute_not_exists(l.x)",
        "attribute_type(s, :S)",
        "begins_with(s, :te)",
        "begins_with(s, :empty)",
        "begins_with(b, :bytes)",
        "contains(s, :te)",
        "contains(ss, :a)",
        "contains(ns, :one)",
        "contains(l, :x)",
        "contains(b, :bytes)",
        "l[1].y > :six",
        "size(ss) > :one AND size(s) > :one AND size(l) > :one AND size(m) > :one",
        "size(b) < :six",
        "ss = :set",
        "t = :true",
        "n = :one OR n = :six OR n = :five",
        "n = :one AND s = :a OR n = :five",
        "n = :five OR n = :one AND s = :a",
        "(n) = (:five)",
        "((n = :one) OR n = :five) AND (s = :text)",
        "s = s2 OR s <> s2",
    ] {
        assert!(holds(&db, condition), "{condition}");
    }
}

#[test]
fn conditions_that_do_not_hold() {
    let db = with_item();
    for condition in [
        "n = :one",
        "s = :one",
        "absent = :one",
        "absent < :one",
        "absent > :one",
        "absent1 = absent2",
        "absent BETWEEN :one AND :six",
        "absent IN (:one)",
        "s < :one",
        "attribute_exists(absent)",
        "attribute_exists(l[2])",
        "attribute_not_exists(s)",
        "attribute_type(n, :S)",
        "attribute_type(absent, :S)",
        "begins_with(n, :te)",
        "contains(n, :one)",
        "contains(ss, :one)",
        "size(n) > :zero",
        "size(absent) < :six",
        "n = :five AND n = :one",
        "(n = :five OR s = :a) AND s = :a",
    ] {
        assert!(!holds(&db, condition), "{condition}");
    }
}

#[test]
fn expressions_that_are_refused_and_the_words_for_it() {
    let db = with_item();
    for (condition, text) in [
        ("", "The expression can not be empty;"),
        ("n = ", "Syntax error; token: \"<EOF>\", near: \"=\""),
        ("n == :one", "Syntax error; token: \"=\", near: \"== :one\""),
        ("n = :one s", "Syntax error; token: \"s\", near: \":one s\""),
        ("n", "Syntax error; token: \"<EOF>\", near: \"n\""),
        ("n AND s", "Syntax error; token: \"AND\", near: \"n AND s\""),
        ("_n = :one", "Syntax error; token: \"_\", near: \"_n\""),
        ("n = :one)", "Syntax error; token: \")\", near: \":one)\""),
        ("NOT NOT n = :one", "Syntax error; token: \"NOT\""),
        ("n = 5", "Syntax error; token: \"5\", near: \"= 5\""),
        ("a-b = :one", "Syntax error; token: \"-\", near: \"a-b\""),
        ("l[n] = :one", "Syntax error; token: \"n\", near: \"[n]\""),
        ("n BETWEEN :one, :six", "Syntax error; token: \",\""),
        ("n IN :one", "Syntax error; token: \":one\""),
        (
            "SET n = :one",
            "Syntax error; token: \"n\", near: \"SET n =\"",
        ),
        ("((n = :one))", "The expression has redundant parentheses;"),
        (
            "((n) = :one) AND ((n = :six))",
            "The expression has redundant parentheses;",
        ),
        ("((n)) = :one", "The expression has redundant parentheses;"),
        ("foo(n)", "Invalid function name; function: foo"),
        (
            "if_not_exists(n, :one) = :one",
            "Invalid function name; function: if_not_exists",
        ),
        (
            "size(n)",
            "The function is not allowed to be used this way in an expression; function: size",
        ),
        (
            "attribute_exists(n) = :true",
            "The function is not allowed to be used this way in an expression; function: \
             attribute_exists",
        ),
        (
            "key = :one",
            "Attribute name is a reserved keyword; reserved keyword: key",
        ),
        (
            "n.Status = :one",
            "Attribute name is a reserved keyword; reserved keyword: Status",
        ),
        (
            "n = :none",
            "An expression attribute value used in expression is not defined; attribute value: \
             :none",
        ),
        (
            "#n = :one",
            "An expression attribute name used in the document path is not defined; attribute \
             name: #n",
        ),
        (
            "contains(s)",
            "Incorrect number of operands for operator or function; operator or function: \
             contains, number of operands: 1",
        ),
        (
            "n = n",
            "The first operand must be distinct from the remaining operands for this operator or \
             function; operator: =, first operand: [n]",
        ),
        (
            "begins_with(s, :one)",
            "Incorrect operand type for operator or function; operator or function: begins_with, \
             operand type: N",
        ),
        (
            "n < :true",
            "Incorrect operand type for operator or function; operator or function: <, operand \
             type: BOOL",
        ),
        (
            "attribute_exists(:one)",
            "Operator or function requires a document path; operator or function: \
             attribute_exists",
        ),
        (
            "attribute_type(s, :text)",
            "Invalid attribute type name found; type: text, valid types: \
             {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
        ),
        (
            "n BETWEEN :six AND :one",
            "The BETWEEN operator requires upper bound to be greater than or equal to lower \
             bound; lower bound operand: AttributeValue: {N:6}, upper bound operand: \
             AttributeValue: {N:1}",
        ),
        (
            "n BETWEEN :one AND :text",
            "The BETWEEN operator requires same data type for lower and upper bounds; lower \
             bound operand: AttributeValue: {N:1}, upper bound operand: AttributeValue: {S:text}",
        ),
        (
            "attribute_exists(l[99999999999999999999])",
            "List index is not within the allowable range; index: [99999999999999999999]",
        ),
    ] {
        let message = invalid(&db, "UpdateItem", request("ConditionExpression", condition));
        let text = format!("Invalid ConditionExpression: {text}");
        assert!(message.starts_with(&text), "{condition}: {message}");
    }
    let long = format!("attribute_exists({})", "x".repeat(5000));
    assert_eq!(
        invalid(&db, "UpdateItem", request("ConditionExpression", &long)),
        "Invalid ConditionExpression: Expression size has exceeded the maximum allowed size; \
         expression size: 5018"
    );
    let deep = format!("{}n = :one", "(".repeat(2000));
    assert!(invalid(&db, "UpdateItem", request("ConditionExpression", &deep)).contains("deep"));
}

#[test]
fn names_and_values_must_be_used_and_well_formed() {
    let db = with_item();
    let refused = |more: Value, text: &str| {
        assert_eq!(invalid(&db, "UpdateItem", update("shard", more)), text);
    };
    refused(
        json!({
            "ConditionExpression": "n = :x",
            "ExpressionAttributeValues": {":x": {"N": "1"}, ":y": {"N": "1"}, ":z": {"N": "1"}},
        }),
        "Value provided in ExpressionAttributeValues unused in expressions: keys: {:y, :z}",
    );
    refused(
        json!({
            "ConditionExpression": "attribute_exists(n)",
            "ExpressionAttributeNames": {"#n": "n"},
        }),
        "Value provided in ExpressionAttributeNames unused in expressions: keys: {#n}",
    );
    refused(
        json!({"ConditionExpression": "attribute_exists(n)", "ExpressionAttributeNames": {}}),
        "ExpressionAttributeNames must not be empty",
    );
    refused(
        json!({
            "ConditionExpression": "n = :x", "ExpressionAttributeValues": {"x": {"N": "1"}},
        }),
        "ExpressionAttributeValues contains invalid key: Syntax error; key: \"x\"",
    );
    refused(
        json!({
            "ConditionExpression": "n = :x", "ExpressionAttributeValues": {":x": {"N": "y"}},
        }),
        "ExpressionAttributeValues contains invalid value: The parameter cannot be converted to \
         a numeric value: y for key :x",
    );
    refused(
        json!({"ExpressionAttributeNames": {"#n": "n"}}),
        "ExpressionAttributeNames can only be specified when using expressions",
    );
    refused(
        json!({"ExpressionAttributeValues": {":x": {"N": "1"}}}),
        "ExpressionAttributeValues can only be specified when using expressions: \
         UpdateExpression and ConditionExpression are null",
    );
}

#[test]
fn placeholders_name_what_cannot_be_written() {
    let db = with_leases();
    put(&db, "shard", json!({"a.b": {"M": {"status": {"S": "x"}}}}));
    let condition = json!({
        "ConditionExpression": "#ab.#status = :x",
        "ExpressionAttributeNames": {"#ab": "a.b", "#status": "status"},
        "ExpressionAttributeValues": {":x": {"S": "x"}},
    });
    ok(&db, "UpdateItem", update("shard", condition));
}

#[track_caller]
fn updated(expression: &str) -> Value {
    let db = with_item();
    ok(&db, "UpdateItem", request("UpdateExpression", expression));
    get(&db, "shard").unwrap()
}

#[test]
fn updates_do_what_they_say() {
    assert_eq!(updated("SET n = n + :one")["n"], json!({"N": "6"}));
    assert_eq!(updated("SET n = :one - n")["n"], json!({"N": "-4"}));
    assert_eq!(updated("set z = (n + m.n)")["z"], json!({"N": "11"}));
    assert_eq!(
        updated("SET z = if_not_exists(absent, :zero) + :one")["z"],
        json!({"N": "1"})
    );
    assert_eq!(
        updated("SET z = if_not_exists(n, :zero) + :one")["z"],
        json!({"N": "6"})
    );
    assert_eq!(
        updated("SET m.fresh = s")["m"]["M"]["fresh"],
        json!({"S": "text"})
    );
    assert_eq!(
        updated("SET z = list_append(:list, if_not_exists(absent, :list))")["z"],
        json!({"L": [{"S": "z"}, {"S": "z"}]})
    );
    assert_eq!(
        updated("SET s = n, n = s")["s"],
        json!({"N": "5"}),
        "all at once"
    );
    assert_eq!(
        updated("SET l[9] = :six, l[5] = :five")["l"]["L"]
            .as_array()
            .unwrap()[2..],
        [json!({"N": "5"}), json!({"N": "6"})]
    );
    assert_eq!(
        updated("REMOVE l[0] SET l[1].y = :one")["l"],
        json!({"L": [{"M": {"y": {"N": "1"}}}]}),
        "indexes are those before the update"
    );
    assert_eq!(updated("REMOVE l[0], l[1]")["l"], json!({"L": []}));
    assert_eq!(
        updated("REMOVE m.k, absent, l[7]")["m"],
        json!({"M": {"n": {"N": "6"}}})
    );
    assert_eq!(
        updated("ADD n :one, z :one, m.n :one")["m"]["M"]["n"],
        json!({"N": "7"})
    );
    assert_eq!(updated("ADD ss :set")["ss"], json!({"SS": ["a", "b"]}));
    assert_eq!(
        updated("ADD z :set DELETE ss :set").get("ss"),
        None,
        "no set is empty"
    );
    assert_eq!(updated("DELETE absent :set").get("absent"), None);
}

#[test]
fn updates_that_are_refused_change_nothing() {
    let db = with_item();
    let before = get(&db, "shard");
    let wrong_type = "An operand in the update expression has an incorrect data type";
    let wrong_path = "The document path provided in the update expression is invalid for update";
    for (expression, text) in [
        (
            "SET n = absent",
            "The provided expression refers to an attribute that does not exist",
        ),
        ("SET s = :a, n = s + :one", wrong_type),
        ("SET s = :a, l = list_append(s, :list)", wrong_type),
        ("SET n = :six ADD s :one", wrong_type),
        ("SET n = :six ADD ns :set", wrong_type),
        ("SET n = :six DELETE s :set", wrong_type),
        ("SET n = :six, absent.x = :one", wrong_path),
        ("SET n = :six, s.x = :one", wrong_path),
        ("SET n = :six, l.x = :one", wrong_path),
        ("SET n = :six, m[0] = :one", wrong_path),
        ("SET n = :six REMOVE absent.x", wrong_path),
        (
            "SET n = :one SET s = :a",
            "Invalid UpdateExpression: The \"SET\" section can only be used once",
        ),
        (
            "SET n = :one, n = :six",
            "Invalid UpdateExpression: Two document paths overlap",
        ),
        (
            "SET m.n = :one REMOVE m",
            "Invalid UpdateExpression: Two document paths overlap with each other; must remove \
             or rewrite one of these paths; path one: [m, n], path two: [m]",
        ),
        (
            "SET m.n = :one, m[0] = :one",
            "Invalid UpdateExpression: Two document paths conflict",
        ),
        (
            "SET n = :text + :one",
            "Invalid UpdateExpression: Incorrect operand type for operator or function; operator \
             or function: +, operand type: S",
        ),
        (
            "ADD n :text",
            "Invalid UpdateExpression: Incorrect operand type for operator or function; \
             operator: ADD, operand type: STRING",
        ),
        (
            "DELETE n :one",
            "Invalid UpdateExpression: Incorrect operand type for operator or function; \
             operator: DELETE, operand type: NUMBER",
        ),
        (
            "SET n = contains(s, :a)",
            "Invalid UpdateExpression: Invalid function name; function: contains",
        ),
        (
            "SET n = if_not_exists(:one, :six)",
            "Invalid UpdateExpression: Operator or function requires",
        ),
        (
            "SET n = n + n + n",
            "Invalid UpdateExpression: Syntax error; token: \"+\"",
        ),
        (
            "SET n := :one",
            "Invalid UpdateExpression: Syntax error; token: \":\"",
        ),
        (
            "n = :one",
            "Invalid UpdateExpression: Syntax error; token: \"n\", near: \"n =\"",
        ),
        (
            "SET",
            "Invalid UpdateExpression: Syntax error; token: \"<EOF>\", near: \"SET\"",
        ),
        (
            "SET n = :one,",
            "Invalid UpdateExpression: Syntax error; token: \"<EOF>\"",
        ),
        (
            "ADD n n",
            "Invalid UpdateExpression: Syntax error; token: \"n\"",
        ),
        (
            "",
            "Invalid UpdateExpression: The expression can not be empty;",
        ),
    ] {
        let message = invalid(&db, "UpdateItem", request("UpdateExpression", expression));
        assert!(message.starts_with(text), "{expression}: {message}");
        assert_eq!(get(&db, "shard"), before, "{expression}");
    }
}

#[test]
fn overlapping_projections_are_refused() {
    let db = with_item();
    for (projection, text) in [
        ("m, m.n", "Two document paths overlap"),
        ("m.n, m[0]", "Two document paths conflict"),
        ("n,", "Syntax error; token: \"<EOF>\", near: \",\""),
        (
            "date",
            "Attribute name is a reserved keyword; reserved keyword: date",
        ),
    ] {
        let message = invalid(&db, "GetItem", request("ProjectionExpression", projection));
        let text = format!("Invalid ProjectionExpression: {text}");
        assert!(message.starts_with(&text), "{message}");
    }
}
