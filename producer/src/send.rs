//! One PutRecords call: starting it, and what its answer means for each parcel.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use shardwise_client::{
    Error, ErrorKind, Kinesis, PutFailure, PutRecordsEntry, PutSuccess, Written,
};
use shardwise_env::{Task, TaskError};
use shardwise_types::StreamName;

use crate::aggregate::Parcel;
use crate::error::{Cause, EntryError};

/// What the client returns.
pub(crate) type Answer = Result<Vec<Result<PutSuccess, PutFailure>>, Error>;

/// A call under way: a task of its own, so that encoding and signing may use another core.
#[derive(Debug)]
pub(crate) struct Call {
    id: u64,
    task: Task<Answer>,
}

impl Call {
    /// Starts a call. The parcels stay with the caller, who gets them judged by [`split`].
    pub(crate) fn start(
        id: u64,
        kinesis: &Kinesis,
        stream: &StreamName,
        parcels: &[Parcel],
    ) -> Self {
        let (client, stream) = (kinesis.clone(), stream.clone());
        let entries: Vec<PutRecordsEntry> =
            parcels.iter().map(|parcel| parcel.entry.clone()).collect();
        let task = kinesis
            .env()
            .spawn(async move { client.put_records(&stream, &entries).await });
        Self { id, task }
    }
}

impl Future for Call {
    type Output = (u64, Result<Answer, TaskError>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let id = self.id;
        Pin::new(&mut self.task).poll(cx).map(|answer| (id, answer))
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

/// Splits a call's answer.
pub(crate) fn split(mut parcels: Vec<Parcel>, answer: Result<Answer, TaskError>) -> Split {
    let all = |parcels: Vec<Parcel>, fate: &dyn Fn() -> Fate| {
        Split::Each(parcels.into_iter().map(|parcel| (parcel, fate())).collect())
    };
    let error = match answer {
        // The client has checked that there is one result for each entry.
        Ok(Ok(results)) => {
            return Split::Each(
                parcels
                    .into_iter()
                    .zip(results.into_iter().map(fate))
                    .collect(),
            );
        }
        Ok(Err(error)) => error,
        Err(error) => {
            return all(parcels, &|| {
                Fate::Retry(Cause::Lost(error.clone()), Written::Unknown)
            });
        }
    };
    if error.kind() == ErrorKind::InvalidArgument && parcels.len() > 1 {
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
