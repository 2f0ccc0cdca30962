//! Iterators and GetRecords, also against a model: a plain vector.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Client, World, data, shard_id, virtual_time};

#[tokio::test(start_paused = true)]
async fn latest_is_fixed_when_the_iterator_is_issued() {
    let World { client, .. } = World::new();
    client.create("s", 1).await;
    client.put("s", "a", b"before").await;
    let latest = client.iterator("s", 0, "LATEST").await;
    client.put("s", "a", b"after").await;
    let records = client.drain(latest, 10).await;
    assert_eq!(records.len(), 1);
    assert_eq!(data(&records[0]), b"after");
}

#[tokio::test(start_paused = true)]
async fn an_iterator_lives_five_minutes_and_always_has_a_fresh_successor() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    let iterator = client.iterator("s", 0, "LATEST").await;
    world.advance(Duration::from_secs(300)).await;
    let answer = client
        .ok("GetRecords", json!({"ShardIterator": iterator}))
        .await;
    assert_eq!(answer["Records"], json!([]));
    assert_eq!(answer["MillisBehindLatest"], 0);
    let fresh = answer["NextShardIterator"].as_str().unwrap();
    assert_ne!(fresh, iterator);
    world.advance(Duration::from_millis(1)).await;
    let (kind, message) = client
        .refused("GetRecords", json!({"ShardIterator": iterator}))
        .await;
    assert_eq!(kind, "ExpiredIteratorException");
    assert_eq!(
        message,
        "Iterator expired. The iterator was created at time Thu Jan 01 00:00:00 UTC 2026 while \
         right now it is Thu Jan 01 00:05:00 UTC 2026 which is further in the future than the \
         tolerated delay of 300000 milliseconds."
    );
    client
        .ok("GetRecords", json!({"ShardIterator": fresh}))
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_iterator_is_opaque_and_of_the_services_form() {
    use base64::Engine as _;
    let World { client, .. } = World::new();
    let name = "n".repeat(128);
    client.create(&name, 1).await;
    let iterator = client.iterator(&name, 0, "TRIM_HORIZON").await;
    assert!(iterator.len() <= 512);
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(&iterator)
        .unwrap();
    assert_eq!(bytes[..8], [0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(bytes[8..].len() % 16, 0);
    client
        .ok(
            "GetRecords",
            json!({"ShardIterator": format!("\"{iterator}\"")}),
        )
        .await;
    for bad in ["AAAA", "x", &iterator[4..], &"A".repeat(512)] {
        let (kind, message) = client
            .refused("GetRecords", json!({"ShardIterator": bad}))
            .await;
        assert_eq!(kind, "InvalidArgumentException");
        assert_eq!(message, "Invalid ShardIterator.");
    }
}

#[tokio::test(start_paused = true)]
async fn an_iterator_outlives_its_stream_as_the_services_do() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 2).await;
    for _ in 0..5 {
        client.put("s", "a", b"old").await;
    }
    let first = client.iterator("s", 0, "LATEST").await;
    let second = client.iterator("s", 1, "LATEST").await;
    client.ok("DeleteStream", json!({"StreamName": "s"})).await;
    let gone = json!({"ShardIterator": first});
    let (kind, message) = client.refused("GetRecords", gone.clone()).await;
    assert_eq!(kind, "ResourceNotFoundException");
    assert_eq!(
        message,
        "Shard shardId-000000000000 in stream s under account 000000000000 does not exist"
    );
    world.advance(Duration::from_secs(2)).await;
    client.create("s", 1).await;
    client.put("s", "a", b"new").await;
    let answer = client.ok("GetRecords", gone).await;
    assert_eq!(answer["Records"].as_array().unwrap().len(), 1);
    let (kind, _) = client
        .refused("GetRecords", json!({"ShardIterator": second}))
        .await;
    assert_eq!(kind, "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn members_that_do_not_fit_the_type_are_refused() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 2).await;
    let (_, sequence) = client.put("s", "a", b"x").await;
    let get = |more: Value| {
        let mut body = json!({"StreamName": "s", "ShardId": "1"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let either = "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and \
                  StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no \
                  StartingSequenceNumber. Request specified";
    for (members, text) in [
        (
            json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER"}),
            format!("{either} AT_SEQUENCE_NUMBER and no StartingSequenceNumber."),
        ),
        (
            json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER"}),
            format!("{either} AFTER_SEQUENCE_NUMBER and no StartingSequenceNumber."),
        ),
        (
            json!({"ShardIteratorType": "LATEST", "StartingSequenceNumber": "5"}),
            format!("{either} LATEST and also a StartingSequenceNumber."),
        ),
        (
            json!({"ShardIteratorType": "TRIM_HORIZON", "StartingSequenceNumber": "5"}),
            format!("{either} TRIM_HORIZON and also a StartingSequenceNumber."),
        ),
        (
            json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "5"}),
            "Invalid StartingSequenceNumber. It encodes shardId-000000000005, while it was used \
             in a call to a shard with shardId-000000000001"
                .to_owned(),
        ),
        (
            json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "1"}),
            "StartingSequenceNumber 21267647932558653966460912964485513217 used in \
             GetShardIterator on shard shardId-000000000001 in stream s under account \
             000000000000 is invalid because it did not come from this stream."
                .to_owned(),
        ),
        (
            json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "9".repeat(60)}),
            format!(
                "StartingSequenceNumber {} used in GetShardIterator on shard \
                 shardId-000000000001 in stream s under account 000000000000 is invalid.",
                "9".repeat(60)
            ),
        ),
        (
            json!({"ShardIteratorType": "AT_TIMESTAMP"}),
            "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current \
             request has no timestamp parameter."
                .to_owned(),
        ),
    ] {
        let (kind, message) = client.refused("GetShardIterator", get(members)).await;
        assert_eq!(kind, "InvalidArgumentException");
        assert_eq!(message, text);
    }
    for members in [
        json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": world.wall_ms() / 1000 + 1}),
        json!({"ShardIteratorType": "LATEST", "Timestamp": 1}),
        json!({
            "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 1, "StartingSequenceNumber": sequence,
        }),
    ] {
        let (kind, _) = client.refused("GetShardIterator", get(members)).await;
        assert_eq!(kind, "InvalidArgumentException");
    }
    for (stream, shard, text) in [
        (
            "s",
            "7",
            "Shard shardId-000000000007 in stream s under account 000000000000 does not exist",
        ),
        (
            "t",
            "0",
            "Shard shardId-000000000000 in stream t under account 000000000000 does not exist",
        ),
        (
            "s",
            "2147483648",
            "Could not find shard 2147483648 in stream s under account 000000000000.",
        ),
        (
            "s",
            "2.14E4",
            "Could not find shard 2.14E4 in stream s under account 000000000000.",
        ),
    ] {
        let body = json!({"StreamName": stream, "ShardId": shard, "ShardIteratorType": "LATEST"});
        let (kind, message) = client.refused("GetShardIterator", body).await;
        assert_eq!(
            (kind.as_str(), message.as_str()),
            ("ResourceNotFoundException", text)
        );
    }
    for name in ["0", "shardId-0", "whatever-000000000000"] {
        client
            .ok(
                "GetShardIterator",
                json!({"StreamName": "s", "ShardId": name, "ShardIteratorType": "LATEST"}),
            )
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn millis_behind_latest_is_the_distance_to_the_tip() {
    let world = World::new();
    let client = &world.client;
    client.create("s", 1).await;
    for _ in 0..2 {
        client.put("s", "a", b"x").await;
        world.advance(Duration::from_millis(1500)).await;
    }
    let iterator = client.iterator("s", 0, "TRIM_HORIZON").await;
    let answer = client
        .ok("GetRecords", json!({"ShardIterator": iterator, "Limit": 1}))
        .await;
    assert_eq!(answer["MillisBehindLatest"], 3000);
    let next = &answer["NextShardIterator"];
    let answer = client
        .ok("GetRecords", json!({"ShardIterator": next}))
        .await;
    assert_eq!(answer["MillisBehindLatest"], 0);
}

/// What is kept of a record that was put.
#[derive(Debug, Clone)]
struct Put {
    sequence: String,
    arrived_ms: u64,
    data: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Step {
    Put {
        count: u8,
    },
    Wait {
        ms: u64,
    },
    /// Issue an iterator: its type, and which record or how long ago.
    Issue {
        kind: &'static str,
        pick: prop::sample::Index,
        back_ms: u64,
    },
    /// Read everything from an iterator issued earlier.
    Read {
        pick: prop::sample::Index,
        limit: u64,
    },
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kinds = prop::sample::select(vec![
        "TRIM_HORIZON",
        "LATEST",
        "AT_SEQUENCE_NUMBER",
        "AFTER_SEQUENCE_NUMBER",
        "AT_TIMESTAMP",
    ]);
    let step = prop_oneof![
        4 => (1..20_u8).prop_map(|count| Step::Put { count }),
        2 => (0..3_000_u64).prop_map(|ms| Step::Wait { ms }),
        4 => (kinds, any::<prop::sample::Index>(), 0..10_000_u64)
            .prop_map(|(kind, pick, back_ms)| Step::Issue { kind, pick, back_ms }),
        3 => (any::<prop::sample::Index>(), 1..12_u64)
            .prop_map(|(pick, limit)| Step::Read { pick, limit }),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 1..40)
}

async fn issue(client: &Client, kind: &str, sequence: Option<&str>, at_ms: Option<u64>) -> String {
    let mut body = json!({"StreamName": "s", "ShardId": shard_id(0), "ShardIteratorType": kind});
    if let Some(sequence) = sequence {
        body["StartingSequenceNumber"] = json!(sequence);
    }
    if let Some(ms) = at_ms {
        body["Timestamp"] = format!("{}.{:03}", ms / 1000, ms % 1000).parse().unwrap();
    }
    let answer = client.ok("GetShardIterator", body).await;
    answer["ShardIterator"].as_str().unwrap().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever is put, waited, issued and read: an iterator yields exactly the records that a
    /// vector holds from the iterator's position on.
    #[test]
    fn every_iterator_reads_what_a_vector_would(steps in steps()) {
        virtual_time(async {
            let world = World::new();
            let client = &world.client;
            client.create("s", 1).await;
            let mut model: Vec<Put> = Vec::new();
            let mut iterators: Vec<(String, usize)> = Vec::new();
            let mut open = true;
            for step in steps {
                match step {
                    Step::Put { count } if open => for _ in 0..count {
                        let payload = model.len().to_string().into_bytes();
                        let (_, sequence) = client.put("s", "k", &payload).await;
                        model.push(Put { sequence, arrived_ms: world.wall_ms(), data: payload });
                    },
                    Step::Wait { ms } => world.advance(Duration::from_millis(ms)).await,
                    Step::Issue { kind, pick, back_ms } => {
                        let chosen = (!model.is_empty()).then(|| pick.index(model.len()));
                        // Half of the times exactly when some record arrived.
                        let at = match chosen.filter(|_| back_ms % 2 == 0) {
                            Some(i) => model[i].arrived_ms,
                            None => world.wall_ms() - back_ms,
                        };
                        let (position, sequence, at_ms) = match (kind, chosen) {
                            ("TRIM_HORIZON", _) => (0, None, None),
                            ("LATEST", _) => (model.len(), None, None),
                            ("AT_TIMESTAMP", _) => {
                                let first = model.iter().position(|put| put.arrived_ms >= at);
                                (first.unwrap_or(model.len()), None, Some(at))
                            }
                            (_, None) => continue,
                            ("AT_SEQUENCE_NUMBER", Some(i)) => (i, Some(&model[i].sequence), None),
                            (_, Some(i)) => (i + 1, Some(&model[i].sequence), None),
                        };
                        let token = issue(client, kind, sequence.map(String::as_str), at_ms).await;
                        iterators.push((token, position));
                    }
                    Step::Read { pick, limit } if !iterators.is_empty() => {
                        let (token, position) = &iterators[pick.index(iterators.len())];
                        let read = client.drain(token.clone(), limit).await;
                        let expected = &model[*position..];
                        prop_assert_eq!(read.len(), expected.len());
                        for (record, put) in read.iter().zip(expected) {
                            prop_assert_eq!(&record["SequenceNumber"], &put.sequence);
                            prop_assert_eq!(data(record), put.data.clone());
                            let arrived = record["ApproximateArrivalTimestamp"].as_f64().unwrap();
                            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time")]
                            let arrived_ms = (arrived * 1000.0).round() as u64;
                            prop_assert_eq!(arrived_ms, put.arrived_ms);
                        }
                    }
                    Step::Close if open => {
                        open = false;
                        client.ok("SplitShard", json!({
                            "StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": "9",
                        })).await;
                    }
                    _ => {}
                }
            }
            Ok(())
        })?;
    }
}
