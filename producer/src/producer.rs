//! The handle: send, flush, close. The work is done by the [`Engine`].

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use shardwise_aggregation_proto::UserRecord;
use shardwise_client::{Aws, Env, Written};
use shardwise_env::Task;
use shardwise_types::StreamName;
use tokio::sync::Notify;

use crate::config::{ProducerBuilder, Settings, finite};
use crate::core::{Core, Phase, Refusal};
use crate::delivery::{Delivery, Ledger};
use crate::engine::Engine;
use crate::error::{Closed, SendError, SendErrorKind};
use crate::record::{self, Record};
use crate::room::Ticket;
use crate::stats::Stats;

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

/// What the handle and the engine share.
#[derive(Debug)]
pub(crate) struct Shared {
    core: Mutex<Core>,
    /// The engine has something to do.
    pub(crate) wake: Notify,
    /// A flush or a close may be over.
    pub(crate) progress: Notify,
    pub(crate) env: Env,
    pub(crate) ledger: Arc<Ledger>,
}

impl Shared {
    pub(crate) fn new(settings: &Settings, env: Env, ledger: Arc<Ledger>) -> Self {
        Self {
            core: Mutex::new(Core::new(settings, ledger.clone())),
            wake: Notify::new(),
            progress: Notify::new(),
            env,
            ledger,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a record that has its room.
    fn accept(&self, mut core: MutexGuard<'_, Core>, record: UserRecord) -> Delivery {
        let accepted = core.accept(record, || self.env.now());
        drop(core);
        if accepted.wake_engine {
            self.wake.notify_one();
        }
        accepted.delivery
    }

    /// Waits until `done` of the core.
    async fn wait_until(&self, done: impl Fn(&Core) -> bool) {
        loop {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            // Registered before the state is looked at, so that no change is missed.
            progress.as_mut().enable();
            if done(&self.lock()) {
                return;
            }
            progress.await;
        }
    }
}

impl Producer {
    /// A builder for a producer of this stream, with the defaults of
    /// [`ProducerBuilder`]'s settings.
    pub fn builder(aws: &Aws, stream: StreamName) -> ProducerBuilder {
        ProducerBuilder::new(aws.clone(), stream)
    }

    pub(crate) fn start(aws: &Aws, stream: StreamName, settings: Settings) -> Self {
        let max_buffered = (settings.max_buffered_bytes, settings.max_buffered_records);
        let ledger = Arc::new(Ledger {
            stream,
            unheeded: AtomicU64::new(0),
        });
        let shared = Arc::new(Shared::new(&settings, aws.env().clone(), ledger));
        let engine = Engine::new(shared.clone(), aws.kinesis(), settings);
        let task = aws.env().spawn(engine.run());
        Self(Arc::new(Owner {
            shared,
            max_buffered,
            _engine: task,
        }))
    }

    /// Accepts a record, once there is room for it.
    ///
    /// Returns when the record is in the producer's buffer; the [`Delivery`] tells when it is
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
            let mut core = shared.lock();
            match core.enter(size) {
                Ok(()) => return Ok(shared.accept(core, record)),
                Err(Refusal::No(kind)) => return Err(SendError::new(kind, record)),
                Err(Refusal::Full) => core.join_queue(size),
            }
        };
        if wake_engine {
            shared.wake.notify_one();
        }
        let mut place = Place {
            shared,
            ticket: Some(ticket),
        };
        let mut record = Some(record);
        poll_fn(|cx| {
            let mut core = shared.lock();
            let closed = core.phase != Phase::Open;
            if !closed && core.room().poll(ticket, cx.waker()).is_pending() {
                return Poll::Pending;
            }
            let Some(record) = record.take() else {
                return Poll::Pending;
            };
            if closed {
                return Poll::Ready(Err(SendError::new(SendErrorKind::Closed, record)));
            }
            place.ticket = None;
            Poll::Ready(Ok(shared.accept(core, record)))
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
        let mut core = shared.lock();
        match core.enter(record::size(&record)) {
            Ok(()) => Ok(shared.accept(core, record)),
            Err(Refusal::No(kind)) => Err(SendError::new(kind, record)),
            Err(Refusal::Full) => Err(SendError::new(SendErrorKind::Full, record)),
        }
    }

    /// Sends now what lingers, and waits until every record that was accepted before this call is
    /// settled: stored or failed, as its [`Delivery`] tells. Records that are accepted meanwhile
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
            let mut core = shared.lock();
            if core.phase != Phase::Open {
                return Err(Closed);
            }
            core.flush(shared.env.now())
        };
        shared.wake.notify_one();
        shared.wait_until(|core| core.flushed(mark)).await;
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
        let ended = |core: &Core| core.phase == Phase::Ended;
        let drained = shared
            .env
            .timeout(finite(deadline), shared.wait_until(ended))
            .await;
        if drained.is_err() {
            shared.begin_close(Phase::Stopping);
            shared.wait_until(ended).await;
        }
        let mut core = shared.lock();
        CloseReport {
            unsent: std::mem::take(&mut core.unsent),
            unsent_total: core.unsent_total,
        }
    }

    /// What the producer has counted so far. Costs one short lock.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &*self.0.shared;
        let mut stats = shared.lock().stats();
        stats.failures_unheeded = shared.ledger.unheeded.load(Ordering::Relaxed);
        stats
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        &self.0.shared.ledger.stream
    }
}

impl Shared {
    /// Goes on to `phase`, never back.
    fn begin_close(&self, phase: Phase) {
        let dismissed = {
            let mut core = self.lock();
            if core.phase == Phase::Open {
                core.flush(self.env.now());
            }
            core.phase = core.phase.max(phase);
            core.room().dismiss()
        };
        dismissed.into_iter().for_each(Waker::wake);
        self.wake.notify_one();
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

/// A place in the queue for room; given up when dropped.
struct Place<'a> {
    shared: &'a Shared,
    ticket: Option<Ticket>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let admitted = self.shared.lock().room().leave(ticket);
            admitted.into_iter().for_each(Waker::wake);
        }
    }
}

/// What a [`close`](Producer::close) could not send within its deadline.
#[derive(Debug, Default)]
#[non_exhaustive]
#[must_use = "it holds the records that were not sent"]
pub struct CloseReport {
    /// The records, by and large oldest first; without those that the report of another `close`
    /// has.
    pub unsent: Vec<Unsent>,
    /// Including those of other reports.
    unsent_total: usize,
}

impl CloseReport {
    /// Whether the producer ended with every record settled. If not, this is false for every
    /// `close` of it, whichever has the records.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unsent_total == 0
    }
}

/// A record that was accepted and is not known to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsent {
    /// The record.
    pub record: Record,
    /// Whether it may be stored all the same.
    pub written: Written,
}

impl Unsent {
    pub(crate) fn new(record: Record, written: Written) -> Self {
        Self { record, written }
    }
}
