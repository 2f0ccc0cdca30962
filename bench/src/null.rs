//! A service that answers what producer and consumer ask, as cheaply as it can: it stores nothing,
//! refuses nothing, and serves the same records without end.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde::Deserialize;
use shardwise_aggregation_proto::{Aggregator, UserRecord};
use shardwise_env::Env;
use shardwise_types::{HashKey, PartitionKey};
use tower_service::Service;

use crate::load;

/// Different Kinesis records in each shard; the pages repeat them.
const DISTINCT: usize = 200;

/// Answers so many bytes of data at most, as the service does.
const PAGE_BYTES: usize = 5 * 1024 * 1024;

/// Kinesis records of an answer, as the service does.
const PAGE_RECORDS: usize = 10_000;

/// Bytes of an aggregate: the KPL's default.
const AGGREGATE_BYTES: usize = 51_200;

/// Digits of a sequence number behind its prefix.
const DIGITS: usize = 52;

/// What lies in the shards.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Served {
    Nothing,
    /// Records of this many bytes.
    Plain(usize),
    /// The same, in aggregates.
    Aggregated(usize),
}

/// The service.
#[derive(Clone)]
pub(crate) struct Null(Arc<Inner>);

struct Inner {
    shards: u32,
    /// By shard, what follows the sequence number of each record.
    tails: Vec<Vec<String>>,
    page_records: usize,
}

impl Null {
    pub(crate) fn new(shards: u32, served: &Served) -> anyhow::Result<Self> {
        let (tails, page_records) = match *served {
            Served::Nothing => (Vec::new(), 0),
            Served::Plain(bytes) => fill(shards, bytes, 1)?,
            Served::Aggregated(bytes) => fill(shards, bytes, usize::MAX)?,
        };
        Ok(Self(Arc::new(Inner {
            shards,
            tails,
            page_records,
        })))
    }
}

/// Fills the shards with random records, each in the shard of its key.
fn fill(shards: u32, bytes: usize, members: usize) -> anyhow::Result<(Vec<Vec<String>>, usize)> {
    let env = Env::system();
    let open = || Aggregator::new(AGGREGATE_BYTES).with_max_records(members);
    let mut aggregators: Vec<_> = (0..shards).map(|_| open()).collect();
    let mut tails = vec![Vec::new(); shards as usize];
    let mut data_len = 1;
    while tails.iter().any(|tails| tails.len() < DISTINCT) {
        let data: Bytes = std::iter::repeat_with(|| env.random_u64().to_le_bytes())
            .take(bytes.div_ceil(8))
            .flatten()
            .take(bytes)
            .collect();
        let record = UserRecord::new(PartitionKey::try_from(load::key(&env))?, data);
        let shard = route(record.hash_key(), shards);
        let aggregator = &mut aggregators[shard];
        let Err(full) = aggregator.try_push(record) else {
            continue;
        };
        if let Some(encoded) = aggregator.finish()
            && tails[shard].len() < DISTINCT
        {
            data_len = encoded.data.len();
            tails[shard].push(format!(
                r#"","ApproximateArrivalTimestamp":1767225600.123,"Data":"{}","PartitionKey":"{}"}}"#,
                STANDARD.encode(&encoded.data),
                encoded.partition_key,
            ));
        }
        aggregator.try_push(full.0)?;
    }
    Ok((tails, (PAGE_BYTES / data_len).clamp(1, PAGE_RECORDS)))
}

/// The width of a shard's range; the last one has the rest as well.
fn width(shards: u32) -> u128 {
    u128::MAX / u128::from(shards)
}

fn route(hash_key: HashKey, shards: u32) -> usize {
    let shard = hash_key.get() / width(shards);
    usize::try_from(shard).unwrap_or(0).min(shards as usize - 1)
}

impl Inner {
    fn answer(&self, target: &str, body: &[u8]) -> anyhow::Result<String> {
        match target.rsplit('.').next().unwrap_or_default() {
            "PutRecords" => self.put_records(body),
            "GetRecords" => self.get_records(body),
            "GetShardIterator" => get_shard_iterator(body),
            "ListShards" => Ok(self.list_shards()),
            "DescribeStreamSummary" => Ok(self.describe_stream_summary()),
            other => anyhow::bail!("{other} is not answered here"),
        }
    }

    /// An aggregate must land in its shard, or it is sent again.
    fn put_records(&self, body: &[u8]) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Input<'a> {
            #[serde(borrow)]
            records: Vec<Entry<'a>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Entry<'a> {
            explicit_hash_key: Option<&'a str>,
        }
        let input: Input<'_> = serde_json::from_slice(body)?;
        let mut out = String::from(r#"{"FailedRecordCount":0,"Records":["#);
        for (number, entry) in input.records.iter().enumerate() {
            let hash_key = entry
                .explicit_hash_key
                .map_or(Ok(HashKey::MIN), str::parse)?;
            let shard = route(hash_key, self.shards);
            if number > 0 {
                out.push(',');
            }
            write!(
                out,
                r#"{{"SequenceNumber":"4964{number:0DIGITS$}","ShardId":"shardId-{shard:012}"}}"#
            )?;
        }
        out.push_str("]}");
        Ok(out)
    }

    fn get_records(&self, body: &[u8]) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Input<'a> {
            shard_iterator: &'a str,
        }
        let input: Input<'_> = serde_json::from_slice(body)?;
        let (shard, from) = input
            .shard_iterator
            .split_once('.')
            .context("an iterator")?;
        let from: usize = from.parse()?;
        let tails = self.tails.get(shard.parse::<usize>()?);
        let tails = tails.context("nothing is served")?;
        let mut out = String::from(r#"{"Records":["#);
        for number in from..from + self.page_records {
            if number > from {
                out.push(',');
            }
            write!(out, r#"{{"SequenceNumber":"4964{number:0DIGITS$}"#)?;
            out.push_str(&tails[number % tails.len()]);
        }
        let next = from + self.page_records;
        write!(
            out,
            r#"],"NextShardIterator":"{shard}.{next}","MillisBehindLatest":1000}}"#
        )?;
        Ok(out)
    }

    fn list_shards(&self) -> String {
        let shards: Vec<String> = (0..self.shards)
            .map(|shard| {
                let start = width(self.shards) * u128::from(shard);
                let end = match shard + 1 {
                    last if last == self.shards => u128::MAX,
                    _ => start + width(self.shards) - 1,
                };
                format!(
                    r#"{{"ShardId":"shardId-{shard:012}",
                    "HashKeyRange":{{"StartingHashKey":"{start}","EndingHashKey":"{end}"}},
                    "SequenceNumberRange":{{"StartingSequenceNumber":"4964{:0DIGITS$}"}}}}"#,
                    0
                )
            })
            .collect();
        format!(r#"{{"Shards":[{}]}}"#, shards.join(","))
    }

    fn describe_stream_summary(&self) -> String {
        format!(
            r#"{{"StreamDescriptionSummary":{{"StreamName":"bench",
            "StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/bench",
            "StreamStatus":"ACTIVE","RetentionPeriodHours":24,
            "StreamCreationTimestamp":1767225600,"EnhancedMonitoring":[{{"ShardLevelMetrics":[]}}],
            "EncryptionType":"NONE","OpenShardCount":{},"ConsumerCount":0}}}}"#,
            self.shards
        )
    }
}

/// An iterator is a shard's number and that of its next record.
fn get_shard_iterator(body: &[u8]) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input<'a> {
        shard_id: &'a str,
    }
    let input: Input<'_> = serde_json::from_slice(body)?;
    let number = input.shard_id.trim_start_matches("shardId-");
    Ok(format!(
        r#"{{"ShardIterator":"{}.1"}}"#,
        number.parse::<u32>()?
    ))
}

impl Service<Request<Full<Bytes>>> for Null {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let (head, body) = request.into_parts();
        let target = head.headers.get("x-amz-target");
        let target = target.and_then(|target| target.to_str().ok());
        let body = whole(body);
        let answer = self.0.answer(target.unwrap_or_default(), &body);
        let (status, answer) = match answer {
            Ok(answer) => (StatusCode::OK, answer),
            Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}")),
        };
        let mut response = Response::new(Full::new(Bytes::from(answer)));
        *response.status_mut() = status;
        ready(Ok(response))
    }
}

/// The bytes of a body that is whole already.
fn whole(body: Full<Bytes>) -> Bytes {
    let collected = futures_util::FutureExt::now_or_never(body.collect());
    match collected {
        Some(Ok(body)) => body.to_bytes(),
        None => Bytes::new(),
    }
}
