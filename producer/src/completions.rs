//! Completions: every record that ends, stored or failed, ends here.
//!
//! Outcomes are gathered while the engine works and booked together: slots first, then the buffer's
//! room and the counters under one lock, then the waiters are woken. So whoever returns from a
//! flush finds the deliveries before it ready.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use shardwise_aggregation_proto::UserRecord;
use shardwise_client::{PutSuccess, Written};

use crate::buffer::{Buffer, Phase};
use crate::delivery::{PutResult, RecordOutcome, warn_unheeded};
use crate::error::{Cause, DeliveryError, DeliveryErrorKind};
use crate::kinesis_record::KinesisRecord;
use crate::shared::Shared;
use crate::stats::ProducerStats;

/// Outcomes that are not booked yet.
#[derive(Debug, Default)]
pub(crate) struct Completions {
    wakers: Vec<Waker>,
    /// Records and bytes by flush epoch.
    released: BTreeMap<u64, (usize, usize)>,
    /// What the counters grow by.
    pub(crate) counts: ProducerStats,
    /// Failures of dropped deliveries, and one of them as an example.
    unheeded: Option<(u64, DeliveryError)>,
}

impl Completions {
    /// The Kinesis record is stored where consumers can read it.
    pub(crate) fn stored(&mut self, kinesis_record: &KinesisRecord, success: PutSuccess) {
        let put_result = Arc::new(PutResult {
            shard_id: success.shard_id,
            sequence_number: success.sequence_number,
            aggregated: kinesis_record.is_aggregate(),
            attempts: kinesis_record.attempts,
            maybe_duplicate: kinesis_record.written != Written::No,
        });
        let outcomes = kinesis_record
            .slots
            .iter()
            .zip(0..)
            .map(|(slot, sub_sequence_number)| {
                let put_result = put_result.clone();
                let stored = RecordOutcome::Stored {
                    put_result,
                    sub_sequence_number,
                };
                (slot, stored)
            });
        kinesis_record.group.settle(outcomes, &mut self.wakers);
        self.counts.user_records_acknowledged += kinesis_record.records.len() as u64;
        self.release(kinesis_record);
    }

    /// The Kinesis record's user records end in errors, which give them back.
    pub(crate) fn failed(&mut self, kinesis_record: &KinesisRecord, kind: DeliveryErrorKind) {
        let error = |record: &_| {
            DeliveryError::new(
                kind,
                kinesis_record.written,
                kinesis_record.attempts,
                UserRecord::clone(record),
            )
            .with_cause(kinesis_record.cause.clone())
        };
        let outcomes = kinesis_record
            .slots
            .iter()
            .zip(&kinesis_record.records)
            .map(|(slot, record)| (slot, RecordOutcome::Failed(error(record))));
        let unheeded = kinesis_record.group.settle(outcomes, &mut self.wakers);
        if unheeded > 0
            && let Some(record) = kinesis_record.records.first()
        {
            let (count, _) = self.unheeded.get_or_insert_with(|| (0, error(record)));
            *count += unheeded;
        }
        self.counts.user_records_failed += kinesis_record.records.len() as u64;
        self.release(kinesis_record);
    }

    /// The Kinesis record's user records end in errors with this cause.
    pub(crate) fn failed_by(
        &mut self,
        mut kinesis_record: KinesisRecord,
        kind: DeliveryErrorKind,
        cause: Cause,
    ) {
        kinesis_record.cause = Some(cause);
        self.failed(&kinesis_record, kind);
    }

    fn release(&mut self, kinesis_record: &KinesisRecord) {
        let (records, bytes) = self.released.entry(kinesis_record.group.epoch).or_default();
        *records += kinesis_record.records.len();
        *bytes += kinesis_record.user_bytes();
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
    pub(crate) fn book_and(&mut self, shared: &Shared, more: impl FnOnce(&mut Buffer)) {
        let gathered = std::mem::take(self);
        let mut wakers = gathered.wakers;
        let mut over = false;
        {
            let mut buffer = shared.lock();
            buffer.stats.add(&gathered.counts);
            for (epoch, (records, bytes)) in gathered.released {
                let (admitted, done) = buffer.release(epoch, records, bytes);
                wakers.extend(admitted);
                over |= done;
            }
            more(&mut buffer);
            over |= buffer.phase == Phase::Ended;
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
