//! What the producer's handles and its engine share: the buffer behind its lock, and the wake-ups.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use shardwise_aggregation_proto::UserRecord;
use shardwise_client::Env;
use shardwise_env::lock;
use tokio::sync::Notify;

use crate::buffer::{Buffer, Phase};
use crate::buffer_limit::Ticket;
use crate::delivery::{Delivery, Ledger};
use crate::error::{SendError, SendErrorKind};
use crate::settings::ProducerSettings;

/// What the handle and the engine share.
#[derive(Debug)]
pub(crate) struct Shared {
    buffer: Mutex<Buffer>,
    /// The engine has something to do.
    pub(crate) wake: Notify,
    /// A flush or a close may be over.
    pub(crate) progress: Notify,
    pub(crate) env: Env,
    pub(crate) ledger: Arc<Ledger>,
}

impl Shared {
    pub(crate) fn new(settings: &ProducerSettings, env: Env, ledger: Arc<Ledger>) -> Self {
        Self {
            buffer: Mutex::new(Buffer::new(settings, ledger.clone())),
            wake: Notify::new(),
            progress: Notify::new(),
            env,
            ledger,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Buffer> {
        lock(&self.buffer)
    }

    /// Appends a record that has its room.
    pub(crate) fn accept(
        &self,
        mut buffer: MutexGuard<'_, Buffer>,
        record: UserRecord,
    ) -> Delivery {
        let accepted = buffer.accept(record, || self.env.now());
        drop(buffer);
        if accepted.wake_engine {
            self.wake.notify_one();
        }
        accepted.delivery
    }

    /// Gives a record back. The engine may have to ask whether the stream takes larger ones by now.
    pub(crate) fn refuse(&self, kind: SendErrorKind, record: UserRecord) -> SendError {
        if matches!(kind, SendErrorKind::TooLarge { .. }) {
            self.wake.notify_one();
        }
        SendError::new(kind, record)
    }

    /// Waits until `done` of the buffer.
    pub(crate) async fn wait_until(&self, done: impl Fn(&Buffer) -> bool) {
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

    /// Goes on to `phase`, never back.
    pub(crate) fn begin_close(&self, phase: Phase) {
        let dismissed = {
            let mut buffer = self.lock();
            if buffer.phase == Phase::Open {
                buffer.flush(self.env.now());
            }
            buffer.phase = buffer.phase.max(phase);
            buffer.room().dismiss()
        };
        dismissed.into_iter().for_each(Waker::wake);
        self.wake.notify_one();
    }
}

/// A ticket of the queue for room, given up when dropped.
pub(crate) struct QueueGuard<'a> {
    shared: &'a Shared,
    ticket: Option<Ticket>,
}

impl<'a> QueueGuard<'a> {
    pub(crate) fn new(shared: &'a Shared, ticket: Ticket) -> Self {
        let ticket = Some(ticket);
        Self { shared, ticket }
    }

    /// The ticket has been used: there is nothing to give up.
    pub(crate) fn disarm(&mut self) {
        self.ticket = None;
    }
}

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let admitted = self.shared.lock().room().leave(ticket);
            admitted.into_iter().for_each(Waker::wake);
        }
    }
}
