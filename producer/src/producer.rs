//! The handle: send, flush, close. The work is done by the [`Engine`].

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::Poll;
use std::time::Duration;

use shardwise_client::Aws;
use shardwise_env::Task;
use shardwise_types::StreamName;
use tracing::Instrument as _;

use crate::buffer::{Buffer, Phase, Refusal};
use crate::close_report::CloseReport;
use crate::delivery::{Delivery, Ledger};
use crate::engine::Engine;
use crate::error::{Closed, SendError, SendErrorKind};
use crate::record::{self, Record};
use crate::settings::{ProducerSettings, finite};
use crate::shared::{QueueGuard, Shared};
use crate::stats_handle::StatsHandle;
use crate::stream_cache::StreamCache;

/// Sends records to one stream.
///
/// Cheap to clone; clones share the buffer and the engine. See the [crate's page](crate) for an
/// example and for what is promised.
///
/// [`close`](Self::close) it when the work is done. When the last clone is dropped without, the
/// engine stops: records that are not settled end as
/// [`Stopped`](crate::DeliveryErrorKind::Stopped), and the log says how many.
#[derive(Clone)]
pub struct Producer(Arc<Owner>);

/// What all clones share. Dropping it ends the engine.
struct Owner {
    shared: Arc<Shared>,
    max_buffered: (usize, usize),
    _engine: Task<()>,
}

impl Producer {
    pub(crate) fn start(aws: &Aws, stream: StreamName, settings: ProducerSettings) -> Self {
        let max_buffered = (settings.max_buffered_bytes, settings.max_buffered_records);
        let ledger = Arc::new(Ledger {
            stream,
            unheeded: AtomicU64::new(0),
        });
        let shared = Arc::new(Shared::new(&settings, aws.env().clone(), ledger));
        let shared_stream = aws.extension::<StreamCache>().stream(&shared.ledger.stream);
        let engine = Engine::new(shared.clone(), shared_stream, aws.kinesis(), settings);
        let span = tracing::info_span!("producer", stream = %shared.ledger.stream);
        let task = aws.env().spawn(engine.run().instrument(span));
        Self(Arc::new(Owner {
            shared,
            max_buffered,
            _engine: task,
        }))
    }

    /// Accepts a record, once there is room for it.
    ///
    /// Returns when the record is in the producer's buffer; the [`Delivery`] is ready once it is
    /// stored. Who waits longer is let in first.
    ///
    /// # Errors
    /// [`TooLarge`](SendErrorKind::TooLarge) if no room would ever do,
    /// [`Closed`](SendErrorKind::Closed) if the producer is closed, before or meanwhile. The record
    /// comes back with either.
    ///
    /// # Cancel safety
    /// Safe: if dropped, nothing was accepted, and the place in the queue is given up. Keep a clone
    /// of the record, which is cheap, if it is to be sent again.
    pub async fn send(&self, record: Record) -> Result<Delivery, SendError> {
        let shared = &*self.0.shared;
        let record = record.into_user_record();
        let size = record::size(&record);
        let (ticket, wake_engine) = {
            let mut buffer = shared.lock();
            match buffer.enter(size) {
                Ok(()) => return Ok(shared.accept(buffer, record)),
                Err(Refusal::No(kind)) => {
                    drop(buffer);
                    return Err(shared.refuse(kind, record));
                }
                Err(Refusal::Full) => buffer.join_queue(size),
            }
        };
        if wake_engine {
            shared.wake.notify_one();
        }
        let mut queued = QueueGuard::new(shared, ticket);
        let mut record = Some(record);
        poll_fn(|cx| {
            let mut buffer = shared.lock();
            let closed = buffer.phase != Phase::Open;
            if !closed && buffer.room().poll(ticket, cx.waker()).is_pending() {
                return Poll::Pending;
            }
            let Some(record) = record.take() else {
                return Poll::Pending;
            };
            if closed {
                return Poll::Ready(Err(SendError::new(SendErrorKind::Closed, record)));
            }
            queued.disarm();
            Poll::Ready(Ok(shared.accept(buffer, record)))
        })
        .await
    }

    /// Accepts a record if there is room now.
    ///
    /// # Errors
    /// [`Full`](SendErrorKind::Full) if there is no room or others wait for it, and as
    /// [`send`](Self::send). The record comes back.
    pub fn try_send(&self, record: Record) -> Result<Delivery, SendError> {
        let shared = &*self.0.shared;
        let record = record.into_user_record();
        let mut buffer = shared.lock();
        match buffer.enter(record::size(&record)) {
            Ok(()) => Ok(shared.accept(buffer, record)),
            Err(Refusal::No(kind)) => {
                drop(buffer);
                Err(shared.refuse(kind, record))
            }
            Err(Refusal::Full) => Err(SendError::new(SendErrorKind::Full, record)),
        }
    }

    /// Sends now what lingers, and waits until every record that was accepted before this call is
    /// settled: stored or failed, as its [`Delivery`] says. Records that are accepted meanwhile
    /// are not waited for.
    ///
    /// # Errors
    /// [`Closed`] if the producer had been closed.
    ///
    /// # Cancel safety
    /// Safe: if dropped, the lingers are ended all the same.
    pub async fn flush(&self) -> Result<(), Closed> {
        let shared = &*self.0.shared;
        let mark = {
            let mut buffer = shared.lock();
            if buffer.phase != Phase::Open {
                return Err(Closed);
            }
            buffer.flush(shared.env.now())
        };
        shared.wake.notify_one();
        shared.wait_until(|buffer| buffer.flushed(mark)).await;
        Ok(())
    }

    /// Accepts no more records, sends those that are there, and stops. What is not settled within
    /// `deadline` is given back in the report, and its deliveries end as
    /// [`Stopped`](crate::DeliveryErrorKind::Stopped).
    ///
    /// Every clone is closed by it, and `send` calls that wait for room are refused. It may be
    /// called again, or by several at a time; a record is in one report only, and no report
    /// [is complete](CloseReport::is_complete) then.
    ///
    /// # Cancel safety
    /// Safe: if dropped, the producer is closed and goes on sending. Call it again to wait.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        let shared = &*self.0.shared;
        shared.begin_close(Phase::Draining);
        let ended = |buffer: &Buffer| buffer.phase == Phase::Ended;
        let drained = shared
            .env
            .timeout(finite(deadline), shared.wait_until(ended))
            .await;
        if drained.is_err() {
            shared.begin_close(Phase::Stopping);
            shared.wait_until(ended).await;
        }
        let mut buffer = shared.lock();
        CloseReport::new(std::mem::take(&mut buffer.unsent), buffer.unsent_total)
    }

    /// What the producer counts: a handle that outlives the producer.
    #[must_use]
    pub fn stats(&self) -> StatsHandle {
        StatsHandle::new(self.0.shared.clone())
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        &self.0.shared.ledger.stream
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, records) = self.0.max_buffered;
        f.debug_struct("Producer")
            .field("stream", self.stream())
            .field("max_buffered_bytes", &bytes)
            .field("max_buffered_records", &records)
            .finish_non_exhaustive()
    }
}
