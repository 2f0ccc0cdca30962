//! How an application learns what became of a record.
//!
//! A [`Delivery`] is a shared [`DeliveryGroup`] and a number. Records that were opened together
//! share one group, whatever becomes of them later; its slots are filled in by the engine, an
//! aggregate at a time, and its waiters woken together. So there is no channel and no allocation
//! per record.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use shardwise_env::{Instant, lock};
use shardwise_types::{SequenceNumber, ShardId, StreamName};

use crate::error::DeliveryError;

/// The outcome of one accepted record: a future that is ready once the record is stored, or is
/// known not to be.
///
/// Dropping it detaches: the record is still sent. If it then fails, that is logged and counted in
/// [`ProducerStats::failures_unheeded`](crate::ProducerStats::failures_unheeded).
///
/// # Errors
/// A [`DeliveryError`], which gives the record back and says whether it may have been written.
///
/// # Cancel safety
/// It may be polled from anywhere, in a `select!` by reference as well; once it has given its
/// result it stays pending.
#[must_use = "the failure of a dropped delivery is only logged; await it"]
pub struct Delivery {
    group: Arc<DeliveryGroup>,
    slot: u32,
    finished: bool,
}

/// Where a record was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The shard that took it.
    pub shard_id: ShardId,
    /// The number of the Kinesis record that holds it.
    pub sequence_number: SequenceNumber,
    /// Its place in that Kinesis record; 0 if it travelled alone.
    pub sub_sequence_number: u64,
    /// Whether it is a member of an aggregate.
    pub aggregated: bool,
    /// How often it was sent.
    pub attempts: u32,
    /// Whether an earlier attempt may have been stored as well, so that a consumer may see the
    /// record twice.
    pub maybe_duplicate: bool,
}

/// Where and how a Kinesis record was stored: what the receipts of its user records share.
#[derive(Debug, Clone)]
pub(crate) struct PutResult {
    pub(crate) shard_id: ShardId,
    pub(crate) sequence_number: SequenceNumber,
    pub(crate) aggregated: bool,
    pub(crate) attempts: u32,
    pub(crate) maybe_duplicate: bool,
}

/// What became of one record.
#[derive(Debug)]
pub(crate) enum RecordOutcome {
    Stored {
        put_result: Arc<PutResult>,
        sub_sequence_number: u32,
    },
    Failed(DeliveryError),
}

/// What all delivery groups of a producer have in common.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) stream: StreamName,
    /// Failures whose deliveries had been dropped.
    pub(crate) unheeded: AtomicU64,
}

/// Records that were opened together.
#[derive(Debug)]
pub(crate) struct DeliveryGroup {
    ledger: Arc<Ledger>,
    /// The flush epoch that its records belong to.
    pub(crate) epoch: u64,
    /// When its records expire: counted from the first, the others are younger by less than the
    /// linger.
    pub(crate) expires: Instant,
    /// Grows when a slot is first touched, so that sending does not lock it.
    slots: Mutex<Vec<Slot>>,
}

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Pending,
    Waiting(Waker),
    Detached,
    Settled(RecordOutcome),
    Taken,
}

impl DeliveryGroup {
    pub(crate) fn new(ledger: Arc<Ledger>, epoch: u64, expires: Instant) -> Arc<Self> {
        Arc::new(Self {
            ledger,
            epoch,
            expires,
            slots: Mutex::default(),
        })
    }

    pub(crate) fn delivery(self: &Arc<Self>, slot: u32) -> Delivery {
        Delivery {
            group: self.clone(),
            slot,
            finished: false,
        }
    }

    /// Fills in what became of some slots. The caller wakes `wakers` once its books are in order.
    /// Returns the number of failures whose deliveries were dropped.
    pub(crate) fn settle(
        &self,
        outcomes: impl Iterator<Item = (u32, RecordOutcome)>,
        wakers: &mut Vec<Waker>,
    ) -> u64 {
        let mut unheeded = 0;
        let mut slots = self.lock();
        for (index, outcome) in outcomes {
            let slot = slot(&mut slots, index);
            match std::mem::replace(slot, Slot::Settled(outcome)) {
                Slot::Pending => {}
                Slot::Waiting(waker) => {
                    // One task often waits for many records of a group.
                    if !wakers.last().is_some_and(|last| last.will_wake(&waker)) {
                        wakers.push(waker);
                    }
                }
                Slot::Detached => {
                    unheeded += u64::from(matches!(slot, Slot::Settled(RecordOutcome::Failed(_))));
                    *slot = Slot::Taken;
                }
                settled @ (Slot::Settled(_) | Slot::Taken) => {
                    debug_assert!(false, "a record has exactly one outcome");
                    *slot = settled;
                }
            }
        }
        drop(slots);
        self.ledger.unheeded.fetch_add(unheeded, Ordering::Relaxed);
        unheeded
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        lock(&self.slots)
    }
}

fn slot(slots: &mut Vec<Slot>, index: u32) -> &mut Slot {
    let index = index as usize;
    if slots.len() <= index {
        slots.resize_with(index + 1, Slot::default);
    }
    &mut slots[index]
}

impl RecordOutcome {
    fn into_result(self) -> Result<Receipt, DeliveryError> {
        match self {
            Self::Failed(error) => Err(error),
            Self::Stored {
                put_result,
                sub_sequence_number,
            } => Ok(Receipt {
                shard_id: put_result.shard_id.clone(),
                sequence_number: put_result.sequence_number.clone(),
                sub_sequence_number: u64::from(sub_sequence_number),
                aggregated: put_result.aggregated,
                attempts: put_result.attempts,
                maybe_duplicate: put_result.maybe_duplicate,
            }),
        }
    }
}

impl Future for Delivery {
    type Output = Result<Receipt, DeliveryError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.finished {
            return Poll::Pending;
        }
        let mut slots = self.group.lock();
        let slot = slot(&mut slots, self.slot);
        match slot {
            Slot::Settled(_) => {}
            Slot::Waiting(waker) => {
                waker.clone_from(cx.waker());
                return Poll::Pending;
            }
            Slot::Pending | Slot::Detached | Slot::Taken => {
                *slot = Slot::Waiting(cx.waker().clone());
                return Poll::Pending;
            }
        }
        let Slot::Settled(outcome) = std::mem::replace(slot, Slot::Taken) else {
            return Poll::Pending;
        };
        drop(slots);
        self.finished = true;
        Poll::Ready(outcome.into_result())
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let mut slots = self.group.lock();
        let slot = slot(&mut slots, self.slot);
        let outcome = match std::mem::replace(slot, Slot::Detached) {
            Slot::Settled(outcome) => outcome,
            Slot::Pending | Slot::Waiting(_) | Slot::Detached | Slot::Taken => return,
        };
        drop(slots);
        if let RecordOutcome::Failed(error) = outcome {
            let ledger = &self.group.ledger;
            ledger.unheeded.fetch_add(1, Ordering::Relaxed);
            warn_unheeded(&ledger.stream, 1, &error);
        }
    }
}

impl Receipt {
    /// The receipt of a record that was stored alone and at the first try; applications make one in
    /// their tests, and set the other fields as they need them.
    ///
    /// ```
    /// use shardwise_producer::{Receipt, ShardId};
    ///
    /// let mut receipt = Receipt::new(ShardId::from_number(3), "4957".parse()?);
    /// receipt.maybe_duplicate = true;
    /// assert_eq!(receipt.attempts, 1);
    /// # Ok::<(), shardwise_producer::Invalid>(())
    /// ```
    #[must_use]
    pub fn new(shard_id: ShardId, sequence_number: SequenceNumber) -> Self {
        Self {
            shard_id,
            sequence_number,
            sub_sequence_number: 0,
            aggregated: false,
            attempts: 1,
            maybe_duplicate: false,
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}

/// The last resort for failures whose deliveries were dropped.
pub(crate) fn warn_unheeded(stream: &StreamName, records: u64, error: &DeliveryError) {
    tracing::warn!(
        operation = "PutRecords",
        %stream,
        records,
        "records failed whose deliveries were dropped: {error}"
    );
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Wake;

    use shardwise_client::Written;
    use shardwise_env::Env;

    use super::*;
    use crate::error::DeliveryErrorKind;
    use crate::record::Record;

    fn group() -> Arc<DeliveryGroup> {
        let ledger = Arc::new(Ledger {
            stream: "orders".parse().unwrap(),
            unheeded: AtomicU64::new(0),
        });
        DeliveryGroup::new(ledger, 0, Env::system().now())
    }

    fn stored(sub_sequence_number: u32) -> RecordOutcome {
        let put_result = PutResult {
            shard_id: ShardId::from_number(1),
            sequence_number: "7".parse().unwrap(),
            aggregated: true,
            attempts: 1,
            maybe_duplicate: false,
        };
        RecordOutcome::Stored {
            put_result: Arc::new(put_result),
            sub_sequence_number,
        }
    }

    fn failed() -> RecordOutcome {
        let record = Record::new("k".parse().unwrap(), "data");
        RecordOutcome::Failed(DeliveryError::new(
            DeliveryErrorKind::Stopped,
            Written::No,
            0,
            record,
        ))
    }

    #[derive(Default)]
    struct Count(AtomicU64);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_that_waits_for_a_whole_group_is_woken_once() {
        let group = group();
        let mut deliveries: Vec<_> = (0..100).map(|slot| group.delivery(slot)).collect();
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        for delivery in &mut deliveries {
            let poll = Pin::new(delivery).poll(&mut Context::from_waker(&waker));
            assert!(poll.is_pending());
        }
        let mut wakers = Vec::new();
        group.settle((0..100).map(|slot| (slot, stored(slot))), &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_delivery_gives_its_result_once_and_is_pending_afterwards() {
        let group = group();
        let mut delivery = group.delivery(3);
        group.settle([(3, stored(3))].into_iter(), &mut Vec::new());
        assert_eq!((&mut delivery).await.unwrap().sub_sequence_number, 3);
        let again = poll_fn(|cx| Poll::Ready(Pin::new(&mut delivery).poll(cx).is_pending())).await;
        assert!(again);
    }

    #[test]
    fn a_failure_of_a_dropped_delivery_is_counted_once() {
        let group = group();
        drop(group.delivery(0));
        let late = group.delivery(1);
        let heard = group.delivery(2);
        let outcomes = (0..3).map(|slot| (slot, failed()));
        assert_eq!(group.settle(outcomes, &mut Vec::new()), 1);
        drop(late);
        let mut heard = heard;
        let poll = Pin::new(&mut heard).poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll.is_ready());
        drop(heard);
        assert_eq!(group.ledger.unheeded.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_success_of_a_dropped_delivery_is_no_failure() {
        let group = group();
        drop(group.delivery(0));
        let late = group.delivery(1);
        assert_eq!(
            group.settle((0..2).map(|slot| (slot, stored(slot))), &mut Vec::new()),
            0
        );
        drop(late);
        assert_eq!(group.ledger.unheeded.load(Ordering::Relaxed), 0);
    }
}
