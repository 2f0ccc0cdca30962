//! One PutRecords call: starting it, and what its answer means for each parcel.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use shardwise_client::{
    Error, ErrorKind, Kinesis, PutFailure, PutRecordsEntry, PutSuccess, Written,
};
use shardwise_env::{Elapsed, Instant, Task};
use shardwise_types::StreamName;

use crate::aggregate::Parcel;
use crate::error::{Cause, EntryError};

/// How long a call may take, whatever comes of its answer meanwhile: the client bounds only the
/// time between two pieces of it. The largest call passes within it at 4 Mbit/s.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// What the client returns.
pub(crate) type Answer = Result<Vec<Result<PutSuccess, PutFailure>>, Error>;

/// A call under way: a task of its own, so that encoding and signing may use another core.
#[derive(Debug)]
pub(crate) struct Call {
    id: u64,
    task: Task<Result<Answer, Elapsed>>,
}

/// The parcels of a call under way. Those that expire meanwhile leave it, and the answer for them
/// is ignored; their bytes stay with the call until it ends, though their room is free.
#[derive(Debug)]
pub(crate) struct Sent {
    /// In the order of the call's entries.
    parcels: Vec<Option<Parcel>>,
    /// When the first of them expires.
    next_expiry: Option<Instant>,
}

impl Sent {
    pub(crate) fn new(parcels: Vec<Parcel>) -> Self {
        Self {
            next_expiry: parcels.iter().map(Parcel::expires).min(),
            parcels: parcels.into_iter().map(Some).collect(),
        }
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry
    }

    /// Takes the parcels whose time is over. What becomes of them nobody will know.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Vec<Parcel> {
        if self.next_expiry.is_none_or(|expiry| now < expiry) {
            return Vec::new();
        }
        let expired = self.parcels.iter_mut();
        let expired = expired
            .filter_map(|place| place.take_if(|parcel| parcel.expires() <= now))
            .map(unknown)
            .collect();
        self.next_expiry = self.parcels.iter().flatten().map(Parcel::expires).min();
        expired
    }

    /// Takes everything: the answer is not waited for.
    pub(crate) fn give_up(self) -> impl Iterator<Item = Parcel> {
        self.parcels.into_iter().flatten().map(unknown)
    }
}

fn unknown(mut parcel: Parcel) -> Parcel {
    parcel.written = Written::Unknown;
    parcel
}

impl Call {
    /// Starts a call, which ends when the last of its parcels expires at the latest. The parcels
    /// stay with the caller, who gets them judged by [`split`].
    pub(crate) fn start(
        id: u64,
        kinesis: &Kinesis,
        stream: &StreamName,
        parcels: &[Parcel],
    ) -> Self {
        let (client, stream, env) = (kinesis.clone(), stream.clone(), kinesis.env().clone());
        let last = parcels.iter().map(Parcel::expires).max();
        let limit = last.map_or(CALL_LIMIT, |last| {
            CALL_LIMIT.min(last.saturating_duration_since(env.now()))
        });
        let entries: Vec<PutRecordsEntry> =
            parcels.iter().map(|parcel| parcel.entry.clone()).collect();
        let task = kinesis.env().spawn(async move {
            env.timeout(limit, client.put_records(&stream, &entries))
                .await
        });
        Self { id, task }
    }
}

impl Future for Call {
    type Output = (u64, Result<Answer, Cause>);

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

/// What a call has made of its parcels.
#[derive(Debug)]
pub(crate) enum Split {
    /// Each has its own fate.
    Each(Vec<(Parcel, Fate)>),
    /// The call was refused, perhaps for one of them: two calls will tell.
    Halves(Vec<Parcel>, Vec<Parcel>),
}

/// What a call has made of one parcel.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It is stored. Whether consumers can read it depends on where.
    Landed(PutSuccess),
    /// Another try may succeed.
    Retry(Cause, Written),
    /// Another try would fail the same way.
    Rejected(Cause),
}

/// Splits a call's answer; the cause tells why there is none.
pub(crate) fn split(sent: Sent, answer: Result<Answer, Cause>) -> Split {
    let all = |parcels: Vec<Parcel>, fate: &dyn Fn() -> Fate| {
        Split::Each(parcels.into_iter().map(|parcel| (parcel, fate())).collect())
    };
    let entries = sent.parcels.len();
    let error = match answer {
        // The client has checked that there is one result for each entry.
        Ok(Ok(results)) => {
            return Split::Each(
                sent.parcels
                    .into_iter()
                    .zip(results)
                    .filter_map(|(parcel, result)| Some((parcel?, fate(result))))
                    .collect(),
            );
        }
        Ok(Err(error)) => error,
        Err(cause) => {
            let parcels = sent.parcels.into_iter().flatten().collect();
            return all(parcels, &|| Fate::Retry(cause.clone(), Written::Unknown));
        }
    };
    let mut parcels: Vec<Parcel> = sent.parcels.into_iter().flatten().collect();
    // It may have been one that has left since.
    if error.kind() == ErrorKind::InvalidArgument && entries > 1 {
        let rest = parcels.split_off(parcels.len() / 2);
        return Split::Halves(parcels, rest);
    }
    // A stream that is being made or changed will be ready.
    let retry = error.is_retryable() || error.kind() == ErrorKind::ResourceInUse;
    let written = error.written();
    let cause = Cause::Request(Arc::new(error));
    if retry {
        all(parcels, &|| Fate::Retry(cause.clone(), written))
    } else {
        all(parcels, &|| Fate::Rejected(cause.clone()))
    }
}

fn fate(result: Result<PutSuccess, PutFailure>) -> Fate {
    match result {
        Ok(landing) => Fate::Landed(landing),
        Err(failure) => {
            // The service documents two codes, both worth another try. One that fails inside may
            // have failed late.
            let written = if failure.code == "ProvisionedThroughputExceededException" {
                Written::No
            } else {
                Written::Unknown
            };
            let error = EntryError::new(failure.code, failure.message);
            Fate::Retry(Cause::Entry(Arc::new(error)), written)
        }
    }
}
