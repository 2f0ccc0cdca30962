//! Time to live, tags, continuous backups.

use super::*;

use shardwise_env::Simulation;

use crate::dynamodb::ttl::SWEEP_PERIOD;

const ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/leases";

fn leases_only() -> Value {
    json!({"TableName": "leases"})
}

fn ttl(enabled: bool, attribute: &str) -> Value {
    json!({
        "TableName": "leases",
        "TimeToLiveSpecification": {"Enabled": enabled, "AttributeName": attribute},
    })
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_gone_within_a_minute() {
    let env = Simulation::new(1).node("service", 1.0).env();
    let db = DynamoDb::new(env.clone(), "000000000000", "us-east-1", Duration::ZERO);
    ok(&db, "CreateTable", leases());
    ok(&db, "UpdateTable", tables::owner_index());
    ok(&db, "UpdateTimeToLive", ttl(true, "exp"));
    let now = env
        .wall_now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH);
    let now = now.expect("after the epoch").as_secs();
    let expiry =
        |seconds: u64| json!({"exp": {"N": seconds.to_string()}, "leaseOwner": {"S": "w"}});
    put(&db, "past", expiry(now - 10));
    put(&db, "soon", expiry(now + 30));
    put(&db, "later", expiry(now + 90));
    put(&db, "ancient", expiry(now - 6 * 365 * 24 * 3600));
    put(
        &db,
        "text",
        json!({"exp": {"S": now.to_string()}, "leaseOwner": {"S": "w"}}),
    );
    put(&db, "none", json!({"leaseOwner": {"S": "w"}}));
    let left = || {
        let all = ok(&db, "Query", tables::by_owner("w"));
        let mut keys = reads::keys(&all);
        keys.sort();
        keys
    };
    let all = ["ancient", "later", "none", "past", "soon", "text"];
    assert_eq!(left(), all, "what has expired is read until it is swept");
    env.sleep(SWEEP_PERIOD - Duration::from_millis(1)).await;
    assert_eq!(left(), all);
    env.sleep(Duration::from_millis(1)).await;
    assert_eq!(left(), ["ancient", "later", "none", "text"]);
    assert_eq!(get(&db, "soon"), None);
    // What is put after a sweep waits for the next.
    put(&db, "past", expiry(now));
    assert_eq!(left(), ["ancient", "later", "none", "past", "text"]);
    env.sleep(SWEEP_PERIOD).await;
    assert_eq!(left(), ["ancient", "none", "text"]);

    // A sweep that is made up for takes what had expired when it was due, not what has since.
    put(&db, "due", expiry(now + 170));
    put(&db, "since", expiry(now + 190));
    env.sleep(SWEEP_PERIOD + Duration::from_secs(15)).await;
    assert_eq!(left(), ["ancient", "none", "since", "text"]);
    ok(&db, "DeleteItem", update("since", json!({})));

    ok(&db, "UpdateTimeToLive", ttl(false, "exp"));
    put(&db, "past", expiry(now));
    env.sleep(SWEEP_PERIOD * 3).await;
    assert_eq!(left(), ["ancient", "none", "past", "text"]);
}

#[tokio::test(start_paused = true)]
async fn time_to_live_is_enabled_and_disabled_one_change_at_a_time() {
    let env = Simulation::new(1).node("service", 1.0).env();
    let delay = Duration::from_millis(500);
    let db = DynamoDb::new(env.clone(), "000000000000", "us-east-1", delay);
    ok(&db, "CreateTable", leases());
    env.sleep(delay).await;
    let describe = || ok(&db, "DescribeTimeToLive", leases_only())["TimeToLiveDescription"].clone();
    assert_eq!(describe(), json!({"TimeToLiveStatus": "DISABLED"}));
    assert_eq!(
        invalid(&db, "UpdateTimeToLive", ttl(false, "exp")),
        "TimeToLive is already disabled"
    );
    assert_eq!(
        ok(&db, "UpdateTimeToLive", ttl(true, "exp")),
        json!({"TimeToLiveSpecification": {"Enabled": true, "AttributeName": "exp"}})
    );
    assert_eq!(
        describe(),
        json!({"TimeToLiveStatus": "ENABLING", "AttributeName": "exp"})
    );
    assert_eq!(
        invalid(&db, "UpdateTimeToLive", ttl(false, "exp")),
        "Time to live has been modified multiple times within a fixed interval"
    );
    env.sleep(delay).await;
    assert_eq!(
        describe(),
        json!({"TimeToLiveStatus": "ENABLED", "AttributeName": "exp"})
    );
    assert_eq!(
        invalid(&db, "UpdateTimeToLive", ttl(true, "exp")),
        "TimeToLive is already enabled"
    );
    for enabled in [true, false] {
        assert_eq!(
            invalid(&db, "UpdateTimeToLive", ttl(enabled, "other")),
            "TimeToLive is active on a different AttributeName: current AttributeName is exp"
        );
    }
    ok(&db, "UpdateTimeToLive", ttl(false, "exp"));
    assert_eq!(describe()["TimeToLiveStatus"], "DISABLING");
    env.sleep(delay).await;
    assert_eq!(describe(), json!({"TimeToLiveStatus": "DISABLED"}));
    assert_eq!(
        fails(&db, "DescribeTimeToLive", json!({"TableName": "missing"})).0,
        "ResourceNotFoundException"
    );
    assert_eq!(
        invalid(
            &db,
            "UpdateTimeToLive",
            json!({
                "TableName": "leases", "TimeToLiveSpecification": {},
            })
        ),
        "2 validation errors detected: Value null at 'timeToLiveSpecification.enabled' failed to \
         satisfy constraint: Member must not be null; Value null at \
         'timeToLiveSpecification.attributeName' failed to satisfy constraint: Member must not be \
         null"
    );
}

#[test]
fn tags_are_kept_from_the_creation_of_a_table_on() {
    let db = service();
    ok(
        &db,
        "CreateTable",
        merge(leases(), json!({"Tags": [{"Key": "a", "Value": "1"}]})),
    );
    let tags = || ok(&db, "ListTagsOfResource", json!({"ResourceArn": ARN}))["Tags"].clone();
    assert_eq!(tags(), json!([{"Key": "a", "Value": "1"}]));
    let more = json!([{"Key": "b", "Value": ""}, {"Key": "a", "Value": "2"}]);
    assert_eq!(
        ok(
            &db,
            "TagResource",
            json!({"ResourceArn": ARN, "Tags": more})
        ),
        json!({})
    );
    assert_eq!(
        tags(),
        json!([{"Key": "a", "Value": "2"}, {"Key": "b", "Value": ""}])
    );
    ok(
        &db,
        "UntagResource",
        json!({"ResourceArn": ARN, "TagKeys": ["a", "absent"]}),
    );
    assert_eq!(tags(), json!([{"Key": "b", "Value": ""}]));

    let many = (0..50).map(|n| json!({"Key": format!("k{n}"), "Value": ""}));
    let many = json!({"ResourceArn": ARN, "Tags": many.collect::<Vec<_>>()});
    assert!(invalid(&db, "TagResource", many).contains("Too many tags"));
    assert_eq!(tags(), json!([{"Key": "b", "Value": ""}]));
}

#[test]
fn tags_of_what_is_no_table_are_refused() {
    let db = with_leases();
    for arn in [
        "a:b:c:d:e:f/g",
        "arn:aws:dynamodb:us-east-1:000000000000:table/ab",
        &format!("{ARN}/index/i"),
    ] {
        assert_eq!(
            invalid(&db, "ListTagsOfResource", json!({"ResourceArn": arn})),
            format!("Invalid TableArn: Invalid ResourceArn provided as input {arn}")
        );
    }
    let other = ARN.replace("leases", "other");
    assert_eq!(
        fails(&db, "ListTagsOfResource", json!({"ResourceArn": other})),
        (
            "ResourceNotFoundException".to_owned(),
            format!("Requested resource not found: ResourcArn: {other} not found")
        )
    );
    assert_eq!(
        invalid(&db, "TagResource", json!({"ResourceArn": ARN, "Tags": []})),
        "Atleast one Tag needs to be provided as Input."
    );
    assert_eq!(
        invalid(
            &db,
            "UntagResource",
            json!({"ResourceArn": ARN, "TagKeys": []})
        ),
        "Atleast one Tag Key needs to be provided as Input."
    );
    assert_eq!(
        invalid(&db, "UntagResource", json!({"ResourceArn": ARN})),
        "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: \
         Member must not be null"
    );
}

#[tokio::test(start_paused = true)]
async fn point_in_time_recovery_is_a_setting() {
    let env = Simulation::new(1).node("service", 1.0).env();
    let db = DynamoDb::new(env.clone(), "000000000000", "us-east-1", Duration::ZERO);
    ok(&db, "CreateTable", leases());
    let describe = || {
        let answer = ok(&db, "DescribeContinuousBackups", leases_only());
        assert_eq!(
            answer["ContinuousBackupsDescription"]["ContinuousBackupsStatus"],
            "ENABLED"
        );
        answer["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"].clone()
    };
    let recovery = |enabled: bool| {
        merge(
            leases_only(),
            json!({
                "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": enabled},
            }),
        )
    };
    assert_eq!(describe(), json!({"PointInTimeRecoveryStatus": "DISABLED"}));
    ok(&db, "UpdateContinuousBackups", recovery(true));
    env.sleep(Duration::from_secs(600)).await;
    ok(&db, "UpdateContinuousBackups", recovery(true));
    let enabled = describe();
    assert_eq!(enabled["PointInTimeRecoveryStatus"], "ENABLED");
    assert_eq!(enabled["RecoveryPeriodInDays"], 35);
    let (earliest, latest) = (
        &enabled["EarliestRestorableDateTime"],
        &enabled["LatestRestorableDateTime"],
    );
    assert_eq!(
        latest.as_f64().zip(earliest.as_f64()).map(|(l, e)| l - e),
        Some(300.0)
    );
    ok(&db, "UpdateContinuousBackups", recovery(false));
    assert_eq!(describe(), json!({"PointInTimeRecoveryStatus": "DISABLED"}));
    assert_eq!(
        fails(
            &db,
            "DescribeContinuousBackups",
            json!({"TableName": "missing"})
        ),
        (
            "TableNotFoundException".to_owned(),
            "Table not found: missing".to_owned()
        )
    );
}
