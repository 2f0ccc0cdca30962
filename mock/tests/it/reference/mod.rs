//! Random operations on streams, against a small model that knows nothing of the mock's insides.
//!
//! The model says what a stream is: shards with hash ranges, records in order, times. It predicts
//! where a record goes, what a reader gets from any starting position, which shards a filter lists,
//! and which requests are refused and how. Sequence numbers it takes from the answers and only
//! demands that they grow along each shard and from parent to child.

mod steps;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use md5::{Digest as _, Md5};
use proptest::prelude::*;
use serde_json::{Value, json};
use shardwise_env::ManualClock;
use shardwise_mock::Mock;

use self::steps::{Filter, From, Step, steps};
use crate::support::{Client, data, order, shard_id};

const BEGIN_SECONDS: u64 = 1_767_225_600;
const RETENTION_MS: u64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Clone, PartialEq)]
struct Record {
    key: String,
    data: Vec<u8>,
    arrived_ms: u64,
    sequence: String,
}

#[derive(Debug)]
struct Shard {
    range: (u128, u128),
    parents: Vec<usize>,
    created_ms: u64,
    closed_ms: Option<u64>,
    records: Vec<Record>,
}

impl Shard {
    fn new(range: (u128, u128), parents: Vec<usize>, created_ms: u64) -> Self {
        Self {
            range,
            parents,
            created_ms,
            closed_ms: None,
            records: Vec::new(),
        }
    }

    /// What retention has left. Whole seconds, as retention counts.
    fn kept(&self, now_ms: u64) -> impl Iterator<Item = &Record> {
        self.records
            .iter()
            .filter(move |record| now_ms / 1000 - record.arrived_ms / 1000 <= RETENTION_MS / 1000)
    }

    fn is_told(&self, now_ms: u64) -> bool {
        self.closed_ms
            .is_none_or(|closed| closed + RETENTION_MS >= now_ms)
    }

    fn was_open_at(&self, ms: u64) -> bool {
        self.created_ms <= ms && self.closed_ms.is_none_or(|closed| closed >= ms)
    }
}

/// The stream, if there is one, and the mock beside it.
struct Bench {
    client: Client,
    clock: ManualClock,
    now_ms: u64,
    shards: Option<Vec<Shard>>,
    puts: u64,
}

const NAME: &str = "orders";

impl Bench {
    fn new() -> Self {
        let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(BEGIN_SECONDS);
        let clock = ManualClock::at(begin, 1);
        let mock = Mock::builder().env(clock.env()).seed(1).build();
        Self {
            client: Client::new(&mock),
            clock,
            now_ms: BEGIN_SECONDS * 1000,
            shards: None,
            puts: 0,
        }
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Advance(ms) => {
                self.clock.advance(Duration::from_millis(*ms));
                self.now_ms += ms;
            }
            Step::Create(count) => self.create(*count).await,
            Step::Delete => self.delete().await,
            Step::Put { key, hash } => self.put(key, *hash).await,
            Step::PutMany(keys) => self.put_many(keys).await,
            Step::Split { shard, eighths } => self.split(*shard, *eighths).await,
            Step::Merge { lower, upper } => self.merge(*lower, *upper).await,
            Step::Read { shard, from, limit } => self.read(*shard, from, *limit).await,
            Step::List(filter) => self.list(filter).await,
        }
    }

    async fn refused(&self, operation: &str, body: Value, kind: &str) {
        assert_eq!(self.client.refused(operation, body).await.0, kind);
    }

    async fn create(&mut self, count: u32) {
        let body = json!({"StreamName": NAME, "ShardCount": count});
        if self.shards.is_some() {
            return self
                .refused("CreateStream", body, "ResourceInUseException")
                .await;
        }
        self.client.ok("CreateStream", body).await;
        // floor(2^128 / count) keys each; the last one has the rest.
        let width = match count {
            1 => 0,
            2 => 1 << 127,
            _ => u128::MAX / u128::from(count),
        };
        let start = |number: u32| width.wrapping_mul(u128::from(number));
        let end = |number: u32| match number + 1 == count {
            true => u128::MAX,
            false => start(number + 1) - 1,
        };
        let shards = (0..count)
            .map(|number| Shard::new((start(number), end(number)), vec![], self.now_ms))
            .collect();
        self.shards = Some(shards);
    }

    async fn delete(&mut self) {
        let body = json!({"StreamName": NAME});
        match self.shards.take() {
            Some(_) => assert_eq!(self.client.ok("DeleteStream", body).await, Value::Null),
            None => {
                self.refused("DeleteStream", body, "ResourceNotFoundException")
                    .await
            }
        }
    }

    fn next_data(&mut self) -> (Vec<u8>, Value) {
        use base64::Engine as _;
        self.puts += 1;
        let bytes = self.puts.to_be_bytes().to_vec();
        let text = base64::engine::general_purpose::STANDARD.encode(&bytes);
        (bytes, text.into())
    }

    async fn put(&mut self, key: &str, hash: Option<u128>) {
        let (bytes, text) = self.next_data();
        let mut body = json!({"StreamName": NAME, "PartitionKey": key, "Data": text});
        if let Some(hash) = hash {
            body["ExplicitHashKey"] = hash.to_string().into();
        }
        if self.shards.is_none() {
            return self
                .refused("PutRecord", body, "ResourceNotFoundException")
                .await;
        }
        let answer = self.client.ok("PutRecord", body).await;
        self.stored(key, hash.unwrap_or_else(|| hash_of(key)), bytes, &answer);
    }

    async fn put_many(&mut self, keys: &[String]) {
        let mut entries = Vec::new();
        let mut sent = Vec::new();
        for key in keys {
            let (bytes, text) = self.next_data();
            entries.push(json!({"PartitionKey": key, "Data": text}));
            sent.push((key, bytes));
        }
        let body = json!({"StreamName": NAME, "Records": entries});
        if self.shards.is_none() {
            return self
                .refused("PutRecords", body, "ResourceNotFoundException")
                .await;
        }
        let answer = self.client.ok("PutRecords", body).await;
        assert_eq!(answer["FailedRecordCount"], 0);
        let results = answer["Records"].as_array().unwrap();
        assert_eq!(results.len(), sent.len());
        for ((key, bytes), result) in sent.into_iter().zip(results) {
            self.stored(key, hash_of(key), bytes, result);
        }
    }

    /// The record went to the open shard that owns its hash key, behind all that is there.
    fn stored(&mut self, key: &str, hash: u128, data: Vec<u8>, answer: &Value) {
        let arrived_ms = self.now_ms;
        let shards = self.shards.as_mut().unwrap();
        let owner = shards
            .iter()
            .position(|shard| {
                shard.closed_ms.is_none() && (shard.range.0..=shard.range.1).contains(&hash)
            })
            .unwrap();
        assert_eq!(answer["ShardId"], shard_id(u32::try_from(owner).unwrap()));
        let sequence = answer["SequenceNumber"].as_str().unwrap().to_owned();
        let mut earlier = vec![owner];
        while let Some(number) = earlier.pop() {
            if let Some(last) = shards[number].records.last() {
                assert!(order(&last.sequence) < order(&sequence));
            }
            earlier.extend(&shards[number].parents);
        }
        shards[owner].records.push(Record {
            key: key.to_owned(),
            data,
            arrived_ms,
            sequence,
        });
    }

    /// The shard of an index that may be one too high, if it is there.
    fn told(&self, index: usize) -> (usize, Option<&Shard>) {
        let shards = self.shards.as_deref().unwrap_or_default();
        let number = index % (shards.len() + 1);
        let shard = shards
            .get(number)
            .filter(|shard| shard.is_told(self.now_ms));
        (number, shard)
    }

    async fn split(&mut self, index: usize, eighths: u128) {
        let (number, shard) = self.told(index);
        let range = shard.map_or((0, 800), |shard| shard.range);
        let at = range.0 + (range.1 - range.0) / 8 * eighths;
        let body = json!({
            "StreamName": NAME,
            "ShardToSplit": shard_id(u32::try_from(number).unwrap()),
            "NewStartingHashKey": at.to_string(),
        });
        let expected = match shard {
            None => Some("ResourceNotFoundException"),
            Some(shard) if shard.closed_ms.is_some() => Some("InvalidArgumentException"),
            Some(_) if at <= range.0 + 1 || at >= range.1 => Some("InvalidArgumentException"),
            Some(_) => None,
        };
        if let Some(kind) = expected {
            return self.refused("SplitShard", body, kind).await;
        }
        self.client.ok("SplitShard", body).await;
        let now_ms = self.now_ms;
        let shards = self.shards.as_mut().unwrap();
        shards[number].closed_ms = Some(now_ms);
        for half in [(range.0, at - 1), (at, range.1)] {
            shards.push(Shard::new(half, vec![number], now_ms));
        }
    }

    async fn merge(&mut self, lower: usize, upper: usize) {
        let (first, lower) = self.told(lower);
        let (second, upper) = self.told(upper);
        let id = |number: usize| shard_id(u32::try_from(number).unwrap());
        let body = json!({
            "StreamName": NAME,
            "ShardToMerge": id(first),
            "AdjacentShardToMerge": id(second),
        });
        let (Some(lower), Some(upper)) = (lower, upper) else {
            return self
                .refused("MergeShards", body, "ResourceNotFoundException")
                .await;
        };
        let are_open = lower.closed_ms.is_none() && upper.closed_ms.is_none();
        if !are_open || lower.range.1.checked_add(1) != Some(upper.range.0) {
            return self
                .refused("MergeShards", body, "InvalidArgumentException")
                .await;
        }
        let range = (lower.range.0, upper.range.1);
        self.client.ok("MergeShards", body).await;
        let now_ms = self.now_ms;
        let shards = self.shards.as_mut().unwrap();
        for parent in [first, second] {
            shards[parent].closed_ms = Some(now_ms);
        }
        shards.push(Shard::new(range, vec![first, second], now_ms));
    }

    async fn read(&self, index: usize, from: &From, limit: usize) {
        let (number, shard) = self.told(index);
        let id = shard_id(u32::try_from(number).unwrap());
        let mut body = json!({"StreamName": NAME, "ShardId": id});
        let Some(shard) = shard else {
            body["ShardIteratorType"] = "TRIM_HORIZON".into();
            return self
                .refused("GetShardIterator", body, "ResourceNotFoundException")
                .await;
        };
        let kept: Vec<&Record> = shard.kept(self.now_ms).collect();
        let named = |index: usize| kept.get(index % kept.len().max(1)).copied();
        let (kind, expected): (&str, Vec<&Record>) = match from {
            From::TrimHorizon => ("TRIM_HORIZON", kept.clone()),
            From::Latest => ("LATEST", vec![]),
            From::At(index) => {
                let Some(record) = named(*index) else { return };
                body["StartingSequenceNumber"] = record.sequence.clone().into();
                let behind = |other: &&Record| order(&other.sequence) >= order(&record.sequence);
                (
                    "AT_SEQUENCE_NUMBER",
                    kept.iter().copied().filter(behind).collect(),
                )
            }
            From::After(index) => {
                let Some(record) = named(*index) else { return };
                body["StartingSequenceNumber"] = record.sequence.clone().into();
                let behind = |other: &&Record| order(&other.sequence) > order(&record.sequence);
                (
                    "AFTER_SEQUENCE_NUMBER",
                    kept.iter().copied().filter(behind).collect(),
                )
            }
            From::Ago(ms) => {
                let at = self.now_ms - ms;
                body["Timestamp"] = seconds(at);
                let later = |record: &&Record| record.arrived_ms >= at;
                ("AT_TIMESTAMP", kept.iter().copied().filter(later).collect())
            }
        };
        body["ShardIteratorType"] = kind.into();
        let mut iterator = self.client.ok("GetShardIterator", body).await["ShardIterator"].clone();
        // Page by page to the end of what is there.
        let mut rest = expected.as_slice();
        loop {
            let body = json!({"ShardIterator": iterator, "Limit": limit});
            let answer = self.client.ok("GetRecords", body).await;
            let (page, behind) = rest.split_at(limit.min(rest.len()));
            rest = behind;
            let got: Vec<Record> = answer["Records"]
                .as_array()
                .unwrap()
                .iter()
                .map(read)
                .collect();
            assert_eq!(got.iter().collect::<Vec<_>>(), page);
            let lag = match page.last() {
                Some(last) if !rest.is_empty() => (self.now_ms - last.arrived_ms).max(1),
                _ => 0,
            };
            assert_eq!(answer["MillisBehindLatest"], lag);
            let is_over = rest.is_empty() && shard.closed_ms.is_some();
            assert_eq!(answer.get("NextShardIterator").is_none(), is_over);
            assert_eq!(answer.get("ChildShards").is_some(), is_over);
            if is_over {
                self.check_children(number, &answer["ChildShards"]);
            }
            if rest.is_empty() {
                return;
            }
            iterator = answer["NextShardIterator"].clone();
        }
    }

    fn check_children(&self, parent: usize, told: &Value) {
        let id = |number: usize| shard_id(u32::try_from(number).unwrap());
        let children: Vec<Value> = self
            .shards
            .iter()
            .flatten()
            .enumerate()
            .filter(|(_, shard)| shard.parents.contains(&parent))
            .map(|(number, shard)| {
                json!({
                    "ShardId": id(number),
                    "ParentShards": shard.parents.iter().copied().map(id).collect::<Vec<_>>(),
                    "HashKeyRange": range(shard.range),
                })
            })
            .collect();
        assert_eq!(*told, Value::Array(children));
    }

    async fn list(&self, filter: &Filter) {
        let mut body = json!({"StreamName": NAME, "MaxResults": 2});
        let Some(shards) = &self.shards else {
            return self
                .refused("ListShards", body, "ResourceNotFoundException")
                .await;
        };
        // The model keeps shards that are no longer listed.
        let oldest_ms = shards.iter().filter(|shard| shard.is_told(self.now_ms));
        let oldest_ms = oldest_ms
            .map(|shard| shard.created_ms)
            .min()
            .unwrap_or_default();
        let horizon_ms = (self.now_ms - RETENTION_MS).max(oldest_ms);
        let ago = |ms: u64| json!(seconds(self.now_ms - ms));
        type Admits = Box<dyn Fn(usize, &Shard) -> bool>;
        let now_ms = self.now_ms;
        let (json, admits): (Value, Admits) = match *filter {
            Filter::None => (Value::Null, Box::new(|_, _| true)),
            Filter::AtLatest => (
                json!({"Type": "AT_LATEST"}),
                Box::new(|_, shard| shard.closed_ms.is_none()),
            ),
            Filter::FromTrimHorizon => {
                (json!({"Type": "FROM_TRIM_HORIZON"}), Box::new(|_, _| true))
            }
            Filter::AtTrimHorizon => (
                json!({"Type": "AT_TRIM_HORIZON"}),
                Box::new(move |_, shard| shard.was_open_at(horizon_ms)),
            ),
            Filter::After(index) => {
                let after = index % shards.len();
                let id = shard_id(u32::try_from(after).unwrap());
                (
                    json!({"Type": "AFTER_SHARD_ID", "ShardId": id}),
                    Box::new(move |number, _| number > after),
                )
            }
            Filter::AtAgo(ms) => (
                json!({"Type": "AT_TIMESTAMP", "Timestamp": ago(ms)}),
                // A time before the horizon means the horizon.
                Box::new(move |_, shard| shard.was_open_at((now_ms - ms).max(horizon_ms))),
            ),
            Filter::FromAgo(ms) => (
                json!({"Type": "FROM_TIMESTAMP", "Timestamp": ago(ms)}),
                Box::new(move |_, shard| {
                    shard.closed_ms.is_none_or(|closed| closed >= now_ms - ms)
                }),
            ),
        };
        if !json.is_null() {
            body["ShardFilter"] = json;
        }
        let mut told = Vec::new();
        loop {
            let answer = self.client.ok("ListShards", body).await;
            told.extend(answer["Shards"].as_array().unwrap().clone());
            match answer.get("NextToken") {
                Some(token) => body = json!({"NextToken": token, "MaxResults": 2}),
                None => break,
            }
        }
        let expected: Vec<(usize, &Shard)> = shards
            .iter()
            .enumerate()
            .filter(|(number, shard)| shard.is_told(self.now_ms) && admits(*number, shard))
            .collect();
        let ids = |shards: &[(usize, &Shard)]| -> Vec<String> {
            let numbers = shards
                .iter()
                .map(|(number, _)| u32::try_from(*number).unwrap());
            numbers.map(shard_id).collect()
        };
        let names: Vec<&str> = told
            .iter()
            .map(|s| s["ShardId"].as_str().unwrap())
            .collect();
        assert_eq!(names, ids(&expected));
        for (told, (_, shard)) in told.iter().zip(expected) {
            assert_eq!(told["HashKeyRange"], range(shard.range));
            let end = &told["SequenceNumberRange"]["EndingSequenceNumber"];
            assert_eq!(end.is_null(), shard.closed_ms.is_none());
            if let (Some(last), Some(end)) = (shard.records.last(), end.as_str()) {
                assert!(order(&last.sequence) < order(end));
            }
        }
    }
}

fn hash_of(key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(key).into())
}

fn range((start, end): (u128, u128)) -> Value {
    json!({"StartingHashKey": start.to_string(), "EndingHashKey": end.to_string()})
}

fn seconds(ms: u64) -> Value {
    // Exact: milliseconds of this century fit into an f64.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    let ms = ms as f64;
    json!(ms / 1000.0)
}

fn read(record: &Value) -> Record {
    let text = |member: &str| record[member].as_str().unwrap().to_owned();
    let arrived = record["ApproximateArrivalTimestamp"].as_f64().unwrap();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time"
    )]
    let arrived_ms = (arrived * 1000.0).round() as u64;
    Record {
        key: text("PartitionKey"),
        data: data(record),
        arrived_ms,
        sequence: text("SequenceNumber"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_operations_are_answered_as_the_model_says(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(async {
            let mut bench = Bench::new();
            for step in &steps {
                bench.step(step).await;
            }
        });
    }
}

/// The model's own bookkeeping is used: a run that reads what it wrote, through a split.
#[tokio::test]
async fn the_model_follows_a_stream_through_its_life() {
    let mut bench = Bench::new();
    let keys = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    for step in [
        Step::Create(2),
        Step::PutMany(keys.clone()),
        Step::Split {
            shard: 0,
            eighths: 4,
        },
        Step::Advance(2_000),
        Step::PutMany(keys),
        Step::Read {
            shard: 0,
            from: From::TrimHorizon,
            limit: 1,
        },
        Step::Merge { lower: 2, upper: 3 },
        Step::List(Filter::AtLatest),
    ] {
        bench.step(&step).await;
    }
    let shards = bench.shards.unwrap();
    let records: BTreeMap<usize, usize> = shards
        .iter()
        .map(|shard| shard.records.len())
        .enumerate()
        .collect();
    assert_eq!(records.values().sum::<usize>(), 8);
    assert_eq!(shards.len(), 5);
}
