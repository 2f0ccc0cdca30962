//! One PutRecords call: starting it, and what its answer means for each Kinesis record.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use shardwise_client::{
    Error, ErrorKind, Kinesis, PutFailure, PutRecordsEntry, PutSuccess, Written,
};
use shardwise_env::{Elapsed, Instant, Task};
use shardwise_types::StreamName;
use tracing::Instrument as _;

use crate::error::{Cause, EntryError, is_passing};
use crate::kinesis_record::KinesisRecord;

/// How long a call may take, whatever comes of its answer meanwhile: the client bounds only the
/// time between two pieces of it. The largest call passes within it at 4 Mbit/s.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// What the client returns.
pub(crate) type PutResponse = Result<Vec<Result<PutSuccess, PutFailure>>, Error>;

/// A call under way: a task of its own, so that encoding and signing may use another core.
#[derive(Debug)]
pub(crate) struct PutCall {
    id: u64,
    task: Task<Result<PutResponse, Elapsed>>,
}

/// The Kinesis records of a call under way. Those that expire meanwhile leave it, and the answer
/// for them is ignored; their bytes stay with the call until it ends, though their room is free.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// In the order of the call's entries.
    kinesis_records: Vec<Option<KinesisRecord>>,
    /// When the first of them expires.
    next_expiry: Option<Instant>,
}

impl InFlight {
    pub(crate) fn new(kinesis_records: Vec<KinesisRecord>) -> Self {
        Self {
            next_expiry: kinesis_records.iter().map(KinesisRecord::expires).min(),
            kinesis_records: kinesis_records.into_iter().map(Some).collect(),
        }
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry
    }

    /// Takes the Kinesis records whose time is over. What became of them is not known.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Vec<KinesisRecord> {
        if self.next_expiry.is_none_or(|expiry| now < expiry) {
            return Vec::new();
        }
        let expired = self.kinesis_records.iter_mut();
        let expired = expired
            .filter_map(|entry| entry.take_if(|it| it.expires() <= now))
            .map(unknown)
            .collect();
        self.next_expiry = self
            .kinesis_records
            .iter()
            .flatten()
            .map(KinesisRecord::expires)
            .min();
        expired
    }

    /// Takes everything: the answer is not waited for.
    pub(crate) fn give_up(self) -> impl Iterator<Item = KinesisRecord> {
        self.kinesis_records.into_iter().flatten().map(unknown)
    }
}

fn unknown(mut kinesis_record: KinesisRecord) -> KinesisRecord {
    kinesis_record.written = Written::Unknown;
    kinesis_record
}

impl PutCall {
    /// Starts a call, which ends when the last of its Kinesis records expires at the latest. The
    /// Kinesis records stay with the caller, who learns what became of them by [`call_outcome`].
    pub(crate) fn start(
        id: u64,
        kinesis: &Kinesis,
        stream: &StreamName,
        kinesis_records: &[KinesisRecord],
    ) -> Self {
        let (client, stream, env) = (kinesis.clone(), stream.clone(), kinesis.env().clone());
        let last = kinesis_records.iter().map(KinesisRecord::expires).max();
        let limit = last.map_or(CALL_LIMIT, |last| {
            CALL_LIMIT.min(last.saturating_duration_since(env.now()))
        });
        let entries: Vec<PutRecordsEntry> = kinesis_records
            .iter()
            .map(|kinesis_record| kinesis_record.entry.clone())
            .collect();
        let call = async move {
            env.timeout(limit, client.put_records(&stream, &entries))
                .await
        };
        let task = kinesis.env().spawn(call.in_current_span());
        Self { id, task }
    }
}

impl Future for PutCall {
    type Output = (u64, Result<PutResponse, Cause>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let id = self.id;
        Pin::new(&mut self.task).poll(cx).map(|ended| {
            let answer = match ended {
                Ok(answer) => answer.map_err(Cause::Elapsed),
                Err(error) => Err(Cause::Lost(error)),
            };
            (id, answer)
        })
    }
}

/// What a call has made of its Kinesis records.
#[derive(Debug)]
pub(crate) enum CallOutcome {
    /// Each has an outcome of its own.
    Each(Vec<(KinesisRecord, EntryOutcome)>),
    /// The call was refused, perhaps for one of them: two calls will show which.
    Halves(Vec<KinesisRecord>, Vec<KinesisRecord>),
}

/// What a call has made of one Kinesis record.
#[derive(Debug)]
pub(crate) enum EntryOutcome {
    /// It is stored. Whether consumers can read it depends on where.
    Stored(PutSuccess),
    /// Another try may succeed.
    Retry(Cause, Written),
    /// Another try would fail the same way.
    Rejected(Cause),
}

/// What a call's answer means for each of its Kinesis records. Without an answer there is the
/// cause.
pub(crate) fn call_outcome(sent: InFlight, answer: Result<PutResponse, Cause>) -> CallOutcome {
    let all = |kinesis_records: Vec<KinesisRecord>, outcome: &dyn Fn() -> EntryOutcome| {
        CallOutcome::Each(
            kinesis_records
                .into_iter()
                .map(|kinesis_record| (kinesis_record, outcome()))
                .collect(),
        )
    };
    let entries = sent.kinesis_records.len();
    let error = match answer {
        // The client has checked that there is one result for each entry.
        Ok(Ok(results)) => {
            return CallOutcome::Each(
                sent.kinesis_records
                    .into_iter()
                    .zip(results)
                    .filter_map(|(kinesis_record, result)| Some((kinesis_record?, outcome(result))))
                    .collect(),
            );
        }
        Ok(Err(error)) => error,
        Err(cause) => {
            let kinesis_records = sent.kinesis_records.into_iter().flatten().collect();
            return all(kinesis_records, &|| {
                EntryOutcome::Retry(cause.clone(), Written::Unknown)
            });
        }
    };
    let mut kinesis_records: Vec<KinesisRecord> =
        sent.kinesis_records.into_iter().flatten().collect();
    // It may have been one that has left since.
    if error.kind() == ErrorKind::InvalidArgument && entries > 1 {
        let rest = kinesis_records.split_off(kinesis_records.len() / 2);
        return CallOutcome::Halves(kinesis_records, rest);
    }
    let retry = is_passing(&error);
    let written = error.written();
    let cause = Cause::Request(error);
    if retry {
        all(kinesis_records, &|| {
            EntryOutcome::Retry(cause.clone(), written)
        })
    } else {
        all(kinesis_records, &|| EntryOutcome::Rejected(cause.clone()))
    }
}

fn outcome(result: Result<PutSuccess, PutFailure>) -> EntryOutcome {
    match result {
        Ok(put_result) => EntryOutcome::Stored(put_result),
        Err(failure) => {
            // The service documents two codes, both worth another try. One that fails inside may
            // have failed late.
            let written = if failure.code == "ProvisionedThroughputExceededException" {
                Written::No
            } else {
                Written::Unknown
            };
            let error = EntryError::new(failure.code, failure.message);
            EntryOutcome::Retry(Cause::Entry(Arc::new(error)), written)
        }
    }
}
