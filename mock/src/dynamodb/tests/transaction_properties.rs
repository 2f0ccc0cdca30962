//! Random transactions, against a map of numbers; and transactions from many threads.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const TABLES: [&str; 2] = ["leases", "state"];

/// An item by the number of its table and its key.
type Id = (usize, u8);

/// The items that there are; each holds one number.
type State = BTreeMap<Id, i64>;

#[derive(Debug, Clone, Copy)]
enum Test {
    Nothing,
    Exists,
    Absent,
    Equals(i64),
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Put(i64),
    Add(i64),
    /// Takes away an attribute that no item has: creates nothing.
    Remove,
    /// An update that cannot be applied to any item.
    Broken,
    Delete,
    Check,
}

#[derive(Debug, Clone, Copy)]
struct Action {
    id: Id,
    test: Test,
    change: Change,
}

impl Test {
    fn holds(self, item: Option<i64>) -> bool {
        match self {
            Self::Nothing => true,
            Self::Exists => item.is_some(),
            Self::Absent => item.is_none(),
            Self::Equals(n) => item == Some(n),
        }
    }
}

impl Action {
    /// What becomes of the item, or the code of the reason why not.
    fn outcome(self, item: Option<i64>) -> Result<Option<i64>, &'static str> {
        if !self.test.holds(item) {
            return Err("ConditionalCheckFailed");
        }
        match self.change {
            Change::Put(n) => Ok(Some(n)),
            Change::Add(n) => Ok(Some(item.unwrap_or(0) + n)),
            Change::Remove | Change::Check => Ok(item),
            Change::Broken => Err("ValidationError"),
            Change::Delete => Ok(None),
        }
    }

    fn to_json(self) -> Value {
        let (table, key) = self.id;
        let mut values = json!({});
        let condition = match self.test {
            // A check has no other form.
            Test::Nothing if matches!(self.change, Change::Check) => {
                Some("attribute_exists(leaseKey) OR attribute_not_exists(leaseKey)")
            }
            Test::Nothing => None,
            Test::Exists => Some("attribute_exists(leaseKey)"),
            Test::Absent => Some("attribute_not_exists(leaseKey)"),
            Test::Equals(n) => {
                values[":n"] = json!({"N": n.to_string()});
                Some("n = :n")
            }
        };
        let key = json!({"leaseKey": {"S": key.to_string()}});
        let (kind, mut request) = match self.change {
            Change::Put(n) => {
                let item = merge(key, json!({"n": {"N": n.to_string()}}));
                ("Put", json!({"Item": item}))
            }
            Change::Add(n) => {
                values[":by"] = json!({"N": n.to_string()});
                (
                    "Update",
                    json!({"Key": key, "UpdateExpression": "ADD n :by"}),
                )
            }
            Change::Remove => (
                "Update",
                json!({"Key": key, "UpdateExpression": "REMOVE x"}),
            ),
            Change::Broken => (
                "Update",
                json!({"Key": key, "UpdateExpression": "SET n = absent"}),
            ),
            Change::Delete => ("Delete", json!({"Key": key})),
            Change::Check => ("ConditionCheck", json!({"Key": key})),
        };
        request["TableName"] = TABLES[table].into();
        if let Some(condition) = condition {
            request["ConditionExpression"] = condition.into();
        }
        if values != json!({}) {
            request["ExpressionAttributeValues"] = values;
        }
        json!({kind: request})
    }
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let test = prop_oneof![
        3 => Just(Test::Nothing),
        2 => Just(Test::Exists),
        2 => Just(Test::Absent),
        1 => (0_i64..3).prop_map(Test::Equals),
    ];
    let change = prop_oneof![
        4 => (0_i64..3).prop_map(Change::Put),
        4 => (-2_i64..3).prop_map(Change::Add),
        1 => Just(Change::Remove),
        1 => Just(Change::Broken),
        2 => Just(Change::Delete),
        2 => Just(Change::Check),
    ];
    let action = ((0_usize..2, 0_u8..5), test, change);
    let action = action.prop_map(|(id, test, change)| Action { id, test, change });
    prop::collection::vec(action, 1..6)
}

fn with_both() -> DynamoDb {
    let db = with_leases();
    ok(
        &db,
        "CreateTable",
        merge(leases(), json!({"TableName": "state"})),
    );
    db
}

/// What a consistent scan of both tables finds.
fn state(db: &DynamoDb) -> State {
    let mut state = State::new();
    for (table, name) in TABLES.into_iter().enumerate() {
        let answer = ok(
            db,
            "Scan",
            json!({"TableName": name, "ConsistentRead": true}),
        );
        for item in answer["Items"].as_array().expect("items") {
            let number = |value: &Value| value.as_str().expect("a text").parse().expect("a number");
            let key = u8::try_from(number(&item["leaseKey"]["S"])).expect("a key");
            state.insert((table, key), number(&item["n"]["N"]));
        }
    }
    state
}

/// What a transaction must come to, and the codes if it is cancelled.
fn expected(before: &State, actions: &[Action]) -> Result<State, Vec<String>> {
    let outcomes = actions
        .iter()
        .map(|action| (action.id, action.outcome(before.get(&action.id).copied())));
    let outcomes = outcomes.collect::<Vec<_>>();
    if outcomes.iter().any(|(_, outcome)| outcome.is_err()) {
        let codes = outcomes
            .iter()
            .map(|(_, outcome)| outcome.err().unwrap_or("None").to_owned());
        return Err(codes.collect());
    }
    let mut after = before.clone();
    for (id, outcome) in outcomes {
        match outcome.ok().flatten() {
            Some(n) => after.insert(id, n),
            None => after.remove(&id),
        };
    }
    Ok(after)
}

proptest! {
    #[test]
    fn a_transaction_is_all_or_nothing_whatever_it_does(
        transactions in prop::collection::vec(actions(), 1..12),
    ) {
        let db = with_both();
        for actions in transactions {
            let before = state(&db);
            let request = actions.iter().map(|action| action.to_json()).collect::<Vec<_>>();
            let result = call(&db, "TransactWriteItems", json!({"TransactItems": request}));
            let after = state(&db);
            let distinct = actions.iter().map(|action| action.id).collect::<BTreeSet<_>>();
            if distinct.len() < actions.len() {
                let message = result.unwrap_err().body["message"].clone();
                prop_assert_eq!(
                    message,
                    "Transaction request cannot include multiple operations on one item"
                );
                prop_assert_eq!(after, before);
                continue;
            }
            match expected(&before, &actions) {
                Ok(expected) => {
                    prop_assert_eq!(result, Ok(json!({})));
                    prop_assert_eq!(after, expected);
                }
                Err(codes) => {
                    let body = result.unwrap_err().body;
                    let reasons = body["CancellationReasons"].as_array().cloned().unwrap_or_default();
                    let found = reasons.iter().map(|reason| reason["Code"].as_str().unwrap_or_default());
                    prop_assert_eq!(found.collect::<Vec<_>>(), codes);
                    prop_assert_eq!(after, before);
                }
            }
        }
    }

    #[test]
    fn a_batch_of_writes_equals_its_writes_one_by_one(
        writes in prop::collection::btree_map((0_usize..2, 0_u8..5), prop::option::of(0_i64..3), 1..10),
        present in prop::collection::btree_map((0_usize..2, 0_u8..5), 0_i64..3, 0..10),
    ) {
        let (batched, single) = (with_both(), with_both());
        let put = |(table, key): Id, n: i64| Action {
            id: (table, key), test: Test::Nothing, change: Change::Put(n),
        }.to_json()["Put"].clone();
        for db in [&batched, &single] {
            for (id, n) in &present {
                ok(db, "PutItem", put(*id, *n));
            }
        }
        let mut tables = json!({});
        for (id, n) in &writes {
            let table = TABLES[id.0];
            let key = json!({"leaseKey": {"S": id.1.to_string()}});
            let request = match n {
                Some(n) => json!({"PutRequest": {"Item": put(*id, *n)["Item"]}}),
                None => json!({"DeleteRequest": {"Key": key}}),
            };
            match tables[table].as_array_mut() {
                Some(list) => list.push(request),
                None => tables[table] = json!([request]),
            }
            match n {
                Some(n) => drop(ok(&single, "PutItem", put(*id, *n))),
                None => drop(ok(&single, "DeleteItem", json!({"TableName": table, "Key": key}))),
            }
        }
        ok(&batched, "BatchWriteItem", json!({"RequestItems": tables}));
        prop_assert_eq!(state(&batched), state(&single));
    }
}

#[test]
fn nobody_sees_a_part_of_a_transaction() {
    let db = with_both();
    let item = |table: usize, key: &str, n: i64| json!({"TableName": TABLES[table], "Item": {"leaseKey": {"S": key}, "n": {"N": n.to_string()}}});
    ok(&db, "PutItem", item(0, "1", 100));
    ok(&db, "PutItem", item(1, "1", 0));
    let add = |table: usize, by: i64| Action {
        id: (table, 1),
        test: Test::Exists,
        change: Change::Add(by),
    };
    let get = |table: usize| {
        json!({"Get": {
            "TableName": TABLES[table], "Key": {"leaseKey": {"S": "1"}},
        }})
    };
    std::thread::scope(|scope| {
        for by in 1..5 {
            let db = &db;
            scope.spawn(move || {
                for _ in 0..100 {
                    let actions = [add(0, -by).to_json(), add(1, by).to_json()];
                    ok(db, "TransactWriteItems", json!({"TransactItems": actions}));
                }
            });
        }
        for _ in 0..100 {
            let answer = ok(
                &db,
                "TransactGetItems",
                json!({"TransactItems": [get(0), get(1)]}),
            );
            let n = |index: usize| {
                let n = answer["Responses"][index]["Item"]["n"]["N"].as_str();
                n.and_then(|n| n.parse::<i64>().ok()).expect("a number")
            };
            assert_eq!(n(0) + n(1), 100);
        }
    });
    let total = (1..5).map(|by| by * 100).sum::<i64>();
    assert_eq!(
        state(&db),
        State::from([((0, 1), 100 - total), ((1, 1), total)])
    );
}
