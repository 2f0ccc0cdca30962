//! Random requests, against simpler ways to get the same answer.

use proptest::prelude::*;

use super::*;

/// Sets `r` to the result of an expression over `:a` and `:b`; the number, or the error's text.
fn arithmetic(expression: &str, a: &str, b: &str) -> Result<String, String> {
    let db = with_leases();
    let request = update(
        "k",
        json!({
            "UpdateExpression": format!("SET r = {expression}"),
            "ExpressionAttributeValues": {":a": {"N": a}, ":b": {"N": b}},
            "ReturnValues": "UPDATED_NEW",
        }),
    );
    match call(&db, "UpdateItem", request) {
        Ok(answer) => Ok(answer["Attributes"]["r"]["N"].as_str().unwrap().to_owned()),
        Err(failure) => Err(failure.body["message"].as_str().unwrap().to_owned()),
    }
}

/// A number of `units` hundred-millionths, as people write it: with zeros that mean nothing.
fn decimal(units: i128) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let absolute = units.unsigned_abs();
    format!(
        "{sign}{}.{:08}",
        absolute / 100_000_000,
        absolute % 100_000_000
    )
}

fn normal(units: i128) -> String {
    let text = decimal(units);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

proptest! {
    #[test]
    fn sums_and_differences_are_exact(
        a in -10_i128.pow(36)..10_i128.pow(36),
        b in -10_i128.pow(36)..10_i128.pow(36),
        shift in 0_u32..30,
    ) {
        let b = b / 10_i128.pow(shift);
        prop_assert_eq!(arithmetic(":a + :b", &decimal(a), &decimal(b)), Ok(normal(a + b)));
        prop_assert_eq!(arithmetic(":a - :b", &decimal(a), &decimal(b)), Ok(normal(a - b)));
    }

    #[test]
    fn what_is_added_can_be_taken_away(
        a in "-?[1-9][0-9]{0,18}",
        b in "-?[1-9][0-9]{0,18}",
        exponent in -110_i32..100,
    ) {
        let (a, b) = (format!("{a}e{exponent}"), format!("{b}e{exponent}"));
        let sum = arithmetic(":a + :b", &a, &b).unwrap();
        let back = arithmetic(":a - :b", &sum, &b).unwrap();
        let zero = arithmetic(":a - :b", &back, &a);
        prop_assert_eq!(zero, Ok("0".to_owned()));
    }

    #[test]
    fn a_sum_that_needs_more_digits_is_refused(high in 38_u32..120, low in 0_i32..130) {
        let result = arithmetic(":a + :b", &format!("1e{high}"), &format!("1e-{low}"));
        prop_assert!(result.unwrap_err().contains("more than 38 significant digits"));
    }

    #[test]
    fn numbers_have_the_order_of_numbers(
        a in -10_i128.pow(18)..10_i128.pow(18),
        b in -10_i128.pow(18)..10_i128.pow(18),
        scale in 0_u32..20,
    ) {
        let b = b / 10_i128.pow(scale);
        let db = with_leases();
        put(&db, "k", json!({"n": {"N": decimal(a)}}));
        for (comparator, expected) in [("<", a < b), ("=", a == b), (">", a > b)] {
            let request = update("k", json!({
                "ConditionExpression": format!("n {comparator} :b"),
                "ExpressionAttributeValues": {":b": {"N": decimal(b)}},
            }));
            prop_assert_eq!(call(&db, "UpdateItem", request).is_ok(), expected);
        }
    }

    #[test]
    fn no_expression_breaks_the_parser(text in ".{0,60}") {
        try_everywhere(&text);
    }

    #[test]
    fn no_expression_of_known_words_breaks_the_parser(
        words in prop::collection::vec(prop::sample::select(WORDS), 0..24),
    ) {
        try_everywhere(&words.join(" "));
        try_everywhere(&words.concat());
    }

    #[test]
    fn a_condition_holds_as_it_does_to_a_simple_mind(
        item in items(),
        condition in conditions(),
    ) {
        let db = with_leases();
        put(&db, "k", item_json(&item));
        // Every value is used once more, in terms that hold anyway.
        let text = format!("({}) AND :0 <> :1 AND :2 <> :3", condition.text(false));
        let request = update("k", json!({
            "ConditionExpression": text,
            "ExpressionAttributeValues": {
                ":0": {"N": "0"}, ":1": {"N": "1.0"}, ":2": {"N": "2"}, ":3": {"N": "3"},
            },
        }));
        let result = call(&db, "UpdateItem", request);
        if let Err(failure) = &result {
            let kind = failure.body["__type"].as_str().unwrap();
            prop_assert!(kind.ends_with("ConditionalCheckFailedException"), "{text}: {failure:?}");
        }
        prop_assert_eq!(result.is_ok(), condition.holds(&item), "{}", text);
    }

    #[test]
    fn an_update_is_whole_or_not_at_all(
        counter in 0_u8..4,
        seen in 0_u8..4,
        // Some of these fail while they are applied, after others could have been.
        actions in prop::sample::subsequence(ACTIONS, 1..ACTIONS.len()),
    ) {
        let db = with_leases();
        put(&db, "k", json!({"counter_": {"N": counter.to_string()}, "s": {"S": "x"}}));
        let before = get(&db, "k");
        let request = update("k", json!({
            "UpdateExpression": format!("SET {}", actions.join(", ")),
            "ConditionExpression": "counter_ = :seen",
            "ExpressionAttributeValues": {":seen": {"N": seen.to_string()}},
        }));
        let result = call(&db, "UpdateItem", request);
        let fails = actions.iter().any(|action| action.contains("absent") || action.contains("s +"));
        prop_assert_eq!(result.is_ok(), counter == seen && !fails);
        if result.is_err() {
            prop_assert_eq!(get(&db, "k"), before);
        } else {
            prop_assert_ne!(get(&db, "k"), before);
        }
    }

    #[test]
    fn an_index_holds_what_a_scan_finds(
        steps in prop::collection::vec((0_u8..6, prop::option::of(0_u8..3)), 0..40),
    ) {
        let db = with_leases();
        ok(&db, "UpdateTable", json!({
            "TableName": "leases",
            "AttributeDefinitions": [{"AttributeName": "leaseOwner", "AttributeType": "S"}],
            "GlobalSecondaryIndexUpdates": [{"Create": {
                "IndexName": "owners",
                "KeySchema": [{"AttributeName": "leaseOwner", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }}],
        }));
        for (key, owner) in steps {
            match owner {
                Some(0) => drop(ok(&db, "DeleteItem", update(&key.to_string(), json!({})))),
                Some(owner) => {
                    let owner = json!({"leaseOwner": {"S": owner.to_string()}});
                    put(&db, &key.to_string(), owner);
                }
                None => put(&db, &key.to_string(), json!({})),
            }
        }
        for owner in ["1", "2"] {
            let values = json!({":o": {"S": owner}});
            let by_index = ok(&db, "Query", json!({
                "TableName": "leases", "IndexName": "owners",
                "KeyConditionExpression": "leaseOwner = :o", "ExpressionAttributeValues": values,
            }));
            let by_scan = ok(&db, "Scan", json!({
                "TableName": "leases",
                "FilterExpression": "leaseOwner = :o", "ExpressionAttributeValues": values,
            }));
            prop_assert_eq!(sorted(&by_index), sorted(&by_scan));
        }
    }
}

/// The items of an answer, in an order that does not depend on how they were found.
fn sorted(answer: &Value) -> Vec<String> {
    let items = answer["Items"].as_array().expect("items");
    let mut texts = items.iter().map(Value::to_string).collect::<Vec<_>>();
    texts.sort();
    texts
}

/// Uses a text as every kind of expression; the answer does not matter, that there is one does.
fn try_everywhere(text: &str) {
    let db = with_leases();
    let values = json!({":v": {"N": "1"}});
    for (operation, field) in [
        ("UpdateItem", "ConditionExpression"),
        ("UpdateItem", "UpdateExpression"),
        ("GetItem", "ProjectionExpression"),
    ] {
        let _ = call(&db, operation, update("k", json!({field: text})));
        let more = json!({field: text, "ExpressionAttributeValues": values});
        let _ = call(&db, operation, update("k", more));
    }
    let query = json!({
        "TableName": "leases",
        "KeyConditionExpression": text,
        "ExpressionAttributeValues": values,
    });
    let _ = call(&db, "Query", query);
}

const WORDS: &[&str] = &[
    "a",
    "b.c",
    "l[0]",
    "#n",
    ":v",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    "=",
    "<>",
    "<",
    "<=",
    ">",
    ">=",
    "+",
    "-",
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "SET",
    "REMOVE",
    "ADD",
    "DELETE",
    "size",
    "contains",
    "begins_with",
    "attribute_exists",
    "if_not_exists",
    "list_append",
    "é",
    "🦀",
    "1",
];

const ACTIONS: &[&str] = &[
    "a = :seen",
    "b = :seen + counter_",
    "c = absent",
    "d = s + :seen",
    "e = s",
];

const COMPARATORS: &[&str] = &["=", "<>", "<", "<=", ">", ">="];

/// Attributes `n0` to `n2`, each a small number or not there.
type SmallItem = [Option<u8>; 3];

fn items() -> impl Strategy<Value = SmallItem> {
    prop::array::uniform3(prop::option::of(0_u8..4))
}

fn item_json(item: &SmallItem) -> Value {
    let present = item.iter().enumerate().filter_map(|(index, value)| {
        Some((format!("n{index}"), json!({"N": (*value)?.to_string()})))
    });
    Value::Object(present.collect())
}

/// A condition as a simple mind has it.
#[derive(Debug, Clone)]
enum Simple {
    Compare(usize, &'static str, u8),
    Between(usize, u8, u8),
    In(usize, Vec<u8>),
    Exists(usize),
    NotExists(usize),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

fn conditions() -> impl Strategy<Value = Simple> {
    let attribute = 0_usize..3;
    let leaf = prop_oneof![
        (
            attribute.clone(),
            prop::sample::select(COMPARATORS),
            0_u8..4
        )
            .prop_map(|(attribute, comparator, value)| Simple::Compare(
                attribute, comparator, value
            )),
        (attribute.clone(), 0_u8..4, 0_u8..4).prop_map(|(attribute, a, b)| Simple::Between(
            attribute,
            a.min(b),
            a.max(b)
        )),
        (attribute.clone(), prop::collection::vec(0_u8..4, 1..4))
            .prop_map(|(attribute, values)| Simple::In(attribute, values)),
        attribute.clone().prop_map(Simple::Exists),
        attribute.prop_map(Simple::NotExists),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            inner.prop_map(|inner| Simple::Not(Box::new(inner))),
            pair.clone()
                .prop_map(|(a, b)| Simple::And(Box::new(a), Box::new(b))),
            pair.prop_map(|(a, b)| Simple::Or(Box::new(a), Box::new(b))),
        ]
    })
}

impl Simple {
    fn holds(&self, item: &SmallItem) -> bool {
        match self {
            Self::Compare(attribute, comparator, value) => match (item[*attribute], *comparator) {
                (None, comparator) => comparator == "<>",
                (Some(found), "=") => found == *value,
                (Some(found), "<>") => found != *value,
                (Some(found), "<") => found < *value,
                (Some(found), "<=") => found <= *value,
                (Some(found), ">") => found > *value,
                (Some(found), _) => found >= *value,
            },
            Self::Between(attribute, low, high) => {
                item[*attribute].is_some_and(|found| (*low..=*high).contains(&found))
            }
            Self::In(attribute, values) => {
                item[*attribute].is_some_and(|found| values.contains(&found))
            }
            Self::Exists(attribute) => item[*attribute].is_some(),
            Self::NotExists(attribute) => item[*attribute].is_none(),
            Self::Not(inner) => !inner.holds(item),
            Self::And(a, b) => a.holds(item) && b.holds(item),
            Self::Or(a, b) => a.holds(item) || b.holds(item),
        }
    }

    /// The expression, with parentheses only where the precedence of operators needs them.
    fn text(&self, inside: bool) -> String {
        let text = match self {
            Self::Compare(attribute, comparator, value) => {
                return format!("n{attribute} {comparator} :{value}");
            }
            Self::Between(attribute, low, high) => {
                return format!("n{attribute} BETWEEN :{low} AND :{high}");
            }
            Self::In(attribute, values) => {
                let values = values.iter().map(|value| format!(":{value}"));
                return format!("n{attribute} IN ({})", values.collect::<Vec<_>>().join(","));
            }
            Self::Exists(attribute) => return format!("attribute_exists(n{attribute})"),
            Self::NotExists(attribute) => return format!("attribute_not_exists(n{attribute})"),
            Self::Not(inner) => format!("NOT {}", inner.text(true)),
            Self::And(a, b) => {
                let side = |side: &Self| side.text(matches!(side, Self::Or(..)));
                format!("{} AND {}", side(a), side(b))
            }
            Self::Or(a, b) => format!("{} OR {}", a.text(false), b.text(false)),
        };
        if inside { format!("({text})") } else { text }
    }
}
