//! Settling: every record that ends, ends here.
//!
//! Outcomes are gathered while the engine works and booked together: slots first, then the room and
//! the counters under one lock, then the waiters are woken. So whoever returns from a flush finds
//! the deliveries before it ready.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use shardwise_client::{PutSuccess, Written};

use crate::aggregate::Parcel;
use crate::core::{Core, Phase};
use crate::delivery::{Landing, Outcome, warn_unheeded};
use crate::error::{Cause, DeliveryError, DeliveryErrorKind};
use crate::producer::Shared;
use crate::stats::Stats;

/// Outcomes that are not booked yet.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    wakers: Vec<Waker>,
    /// Records and bytes by flush epoch.
    released: BTreeMap<u64, (usize, usize)>,
    /// What the counters grow by.
    pub(crate) counts: Stats,
    /// Failures that nobody waits for, and one of them as an example.
    unheeded: Option<(u64, DeliveryError)>,
}

impl Settlement {
    /// The parcel is stored where consumers can read it.
    pub(crate) fn stored(&mut self, parcel: &Parcel, success: PutSuccess) {
        let landing = Arc::new(Landing {
            shard_id: success.shard_id,
            sequence_number: success.sequence_number,
            aggregated: parcel.is_aggregate(),
            attempts: parcel.attempts,
            maybe_duplicate: parcel.written != Written::No,
        });
        let outcomes = parcel
            .slots
            .iter()
            .zip(0..)
            .map(|(slot, sub_sequence_number)| {
                let landing = landing.clone();
                let stored = Outcome::Stored {
                    landing,
                    sub_sequence_number,
                };
                (slot, stored)
            });
        parcel.batch.settle(outcomes, &mut self.wakers);
        self.counts.user_records_acknowledged += parcel.records.len() as u64;
        self.release(parcel);
    }

    /// The parcel's records end in errors, which give them back.
    pub(crate) fn failed(&mut self, parcel: &Parcel, kind: DeliveryErrorKind) {
        let error = |record: &_| {
            DeliveryError::new(
                kind,
                parcel.written,
                parcel.attempts,
                parcel.cause.clone(),
                crate::Record::from(shardwise_aggregation_proto::UserRecord::clone(record)),
            )
        };
        let outcomes = parcel
            .slots
            .iter()
            .zip(&parcel.records)
            .map(|(slot, record)| (slot, Outcome::Failed(error(record))));
        let unheeded = parcel.batch.settle(outcomes, &mut self.wakers);
        if unheeded > 0
            && let Some(record) = parcel.records.first()
        {
            let (count, _) = self.unheeded.get_or_insert_with(|| (0, error(record)));
            *count += unheeded;
        }
        self.counts.user_records_failed += parcel.records.len() as u64;
        self.release(parcel);
    }

    /// The parcel's records end because `cause` befell it.
    pub(crate) fn failed_by(&mut self, mut parcel: Parcel, kind: DeliveryErrorKind, cause: Cause) {
        parcel.cause = Some(cause);
        self.failed(&parcel, kind);
    }

    fn release(&mut self, parcel: &Parcel) {
        let (records, bytes) = self.released.entry(parcel.batch.epoch).or_default();
        *records += parcel.records.len();
        *bytes += parcel.room();
    }

    /// Records and bytes whose room is to be given back.
    #[cfg(test)]
    pub(crate) fn released(&self) -> (usize, usize) {
        let released = self.released.values();
        released.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Books what was gathered.
    pub(crate) fn book(&mut self, shared: &Shared) {
        self.book_and(shared, |_| {});
    }

    /// Books what was gathered, and does `more` under the same lock, before anybody is woken.
    pub(crate) fn book_and(&mut self, shared: &Shared, more: impl FnOnce(&mut Core)) {
        let gathered = std::mem::take(self);
        let mut wakers = gathered.wakers;
        let mut over = false;
        {
            let mut core = shared.lock();
            core.stats.add(&gathered.counts);
            for (epoch, (records, bytes)) in gathered.released {
                let (admitted, done) = core.release(epoch, records, bytes);
                wakers.extend(admitted);
                over |= done;
            }
            more(&mut core);
            over |= core.phase == Phase::Ended;
        }
        if over {
            shared.progress.notify_waiters();
        }
        wakers.into_iter().for_each(Waker::wake);
        if let Some((records, error)) = gathered.unheeded
            && error.kind() != DeliveryErrorKind::Stopped
        {
            // A stop is logged once, with its count, by the engine.
            warn_unheeded(&shared.ledger.stream, records, &error);
        }
    }
}
