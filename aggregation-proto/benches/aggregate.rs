//! Encoding and decoding against prost and against the floor: what any implementation of the format
//! must do.
//!
//! `cargo bench -p shardwise-aggregation-proto` prints criterion's figures, and then the ratios from
//! a loop of its own that takes the candidates in turns, so that a noisy machine disturbs all of
//! them alike. Every record has a key of its own, 36 bytes long as a UUID is; that is the dearest
//! case.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group};
use md5::{Digest as _, Md5};
use prost::Message;
use shardwise_aggregation_proto::{Aggregator, Decoded, UserRecord, decode};
use shardwise_types::{HashKey, PartitionKey};

/// Payloads of the user records.
const PAYLOADS: [usize; 2] = [100, 1024];

/// The size of an aggregate: the KPL's default.
const AGGREGATE_BYTES: usize = 51_200;

/// How often the candidates take turns for the ratios.
const ROUNDS: usize = 2_000;

/// What goes into one aggregate, and what comes out.
struct Case {
    records: Records,
    aggregate: Bytes,
}

impl Case {
    fn new(payload: usize) -> Self {
        let mut aggregator = Aggregator::new(AGGREGATE_BYTES);
        let mut records = Vec::new();
        for number in 0..u32::MAX {
            let key = format!("{number:08x}-0000-4000-8000-0123456789ab");
            let Ok(key) = PartitionKey::try_from(key) else {
                break;
            };
            let data = Bytes::from(vec![number.to_le_bytes()[0]; payload]);
            let record = UserRecord::new(key.clone(), data.clone());
            if aggregator.try_push(record).is_err() {
                break;
            }
            records.push((key, data));
        }
        let aggregate = aggregator
            .finish()
            .map_or_else(Bytes::new, |encoded| encoded.data);
        Self { records, aggregate }
    }

    /// The protobuf message without its envelope.
    fn message(&self) -> &[u8] {
        &self.aggregate[4..self.aggregate.len() - 16]
    }
}

/// What an application sends.
type Records = Vec<(PartitionKey, Bytes)>;

/// What a candidate does. A writer may take the records, as a producer gets them.
type Work = fn(&Case, &mut Records) -> usize;

const ENCODE: [(&str, Work); 3] = [
    ("shardwise", encode_shardwise),
    ("prost", encode_prost),
    ("floor", encode_floor),
];

const DECODE: [(&str, Work); 3] = [
    ("shardwise", decode_shardwise),
    ("prost", decode_prost),
    ("floor", decode_floor),
];

fn encode_shardwise(_: &Case, records: &mut Records) -> usize {
    let mut aggregator = Aggregator::new(AGGREGATE_BYTES);
    for (key, data) in records.drain(..) {
        let pushed = aggregator.try_push(UserRecord::new(key, data));
        debug_assert!(pushed.is_ok());
    }
    aggregator.finish().map_or(0, |encoded| encoded.data.len())
}

/// Without deduplication of keys, which the format asks for.
fn encode_prost(_: &Case, records: &mut Records) -> usize {
    let mut message = AggregatedRecord::default();
    for (index, (key, data)) in (0..).zip(records.drain(..)) {
        black_box(HashKey::of_partition_key(key.as_str()));
        message.partition_key_table.push(key.to_string());
        message.records.push(Record {
            partition_key_index: Some(index),
            explicit_hash_key_index: None,
            data: Some(data),
        });
    }
    let mut out = Vec::with_capacity(20 + message.encoded_len());
    out.extend_from_slice(&[0xF3, 0x89, 0x9A, 0xC2]);
    message.encode_raw(&mut out);
    let digest = Md5::digest(&out[4..]);
    out.extend_from_slice(&digest);
    out.len()
}

/// The MD5 of each key, which decides the shard; one copy; the digest of the message.
fn encode_floor(case: &Case, _: &mut Records) -> usize {
    for (key, _) in &case.records {
        black_box(HashKey::of_partition_key(key.as_str()));
    }
    let copy = black_box(case.message().to_vec());
    black_box(Md5::digest(&copy));
    copy.len()
}

/// As a consumer does: every member, and the hash key of each to see whether it is the shard's.
fn decode_shardwise(case: &Case, _: &mut Records) -> usize {
    let Decoded::Aggregated(aggregate) = decode(case.aggregate.clone()) else {
        return 0;
    };
    for (member, hash_key) in aggregate.iter().zip(aggregate.hash_keys()) {
        black_box((member, hash_key));
    }
    aggregate.len()
}

fn decode_prost(case: &Case, _: &mut Records) -> usize {
    let message = case.aggregate.slice(4..case.aggregate.len() - 16);
    black_box(Md5::digest(&message));
    let message = AggregatedRecord::decode(message).unwrap_or_default();
    for key in &message.partition_key_table {
        black_box(HashKey::of_partition_key(key));
    }
    black_box(&message).records.len()
}

/// The digest of the message and the MD5 of each key. Nothing needs to be copied.
fn decode_floor(case: &Case, _: &mut Records) -> usize {
    black_box(Md5::digest(case.message()));
    for (key, _) in &case.records {
        black_box(HashKey::of_partition_key(key.as_str()));
    }
    case.records.len()
}

#[derive(Clone, PartialEq, Message)]
struct AggregatedRecord {
    #[prost(string, repeated, tag = "1")]
    partition_key_table: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_key_table: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Record>,
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(uint64, optional, tag = "1")]
    partition_key_index: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    data: Option<Bytes>,
}

fn benches(criterion: &mut Criterion) {
    for (name, candidates) in [("encode", ENCODE), ("decode", DECODE)] {
        let mut group = criterion.benchmark_group(name);
        for payload in PAYLOADS {
            let case = Case::new(payload);
            group.throughput(Throughput::Elements(case.records.len() as u64));
            for (candidate, work) in candidates {
                let id = BenchmarkId::new(candidate, payload);
                group.bench_with_input(id, &case, |bencher, case| {
                    bencher.iter_batched_ref(
                        || case.records.clone(),
                        |records| work(case, records),
                        BatchSize::SmallInput,
                    );
                });
            }
        }
        group.finish();
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn time(work: Work, case: &Case) -> Duration {
    let mut records = case.records.clone();
    let begin = std::time::Instant::now();
    black_box(work(black_box(case), &mut records));
    begin.elapsed()
}

/// Nanoseconds per record of each candidate: the median of many turns.
fn in_turns(candidates: [(&str, Work); 3], case: &Case) -> [f64; 3] {
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..ROUNDS {
        for (times, (_, work)) in times.iter_mut().zip(candidates) {
            times.push(time(work, case));
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2].as_secs_f64() * 1e9 / case.records.len() as f64
    })
}

#[expect(clippy::print_stdout, reason = "it is what the program is for")]
fn print_ratios() {
    println!("\nns per record, median of {ROUNDS} turns, and the ratio to the floor");
    for (name, candidates) in [("encode", ENCODE), ("decode", DECODE)] {
        for payload in PAYLOADS {
            let case = Case::new(payload);
            let [ours, prost, floor] = in_turns(candidates, &case);
            println!(
                "{name} {payload:>4} B x {:<3}  shardwise {ours:7.1} ({:.2})  prost {prost:7.1} \
                 ({:.2})  floor {floor:7.1}",
                case.records.len(),
                ours / floor,
                prost / floor,
            );
        }
    }
}

criterion_group!(group, benches);

fn main() {
    // cargo adds `--bench`. `ratios` alone takes seconds; criterion's figures take a minute, or a
    // filter that picks some of them.
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|it| it != "--bench")
        .collect();
    let only_ratios = arguments.iter().any(|it| it == "ratios");
    if !only_ratios {
        group();
    }
    if only_ratios || arguments.is_empty() {
        print_ratios();
    }
}
