//! The life of a shard at this worker, and when its processor has failed too often. Pure.
//!
//! ```text
//! WaitingForParents → Starting → Processing → Ending → (gone)
//!                        └───────────┴──────────┴────→ Stopping → (gone)
//! ```

use crate::position::Position;

/// What a worker does with a shard whose lease it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ShardState {
    /// It is renewed and nothing else: a parent is not checkpointed at its end.
    WaitingForParents,
    /// Its processor is being started.
    Starting,
    /// Its records are read and processed.
    Processing,
    /// All its records are processed; its end is to be checkpointed.
    Ending,
    /// No more is read; the processor says good-bye and the lease is released.
    Stopping,
}

/// Counts failures of a processor that come in a row without progress.
///
/// Progress is a batch that ends behind the place of the last failure. After a panic everything
/// behind the checkpoint comes again: that the batches *before* the one that fails are accepted is no
/// progress, or a poison record would be tried without end. No batch lies behind a failure at the end of
/// the shard.
#[derive(Debug)]
pub(crate) struct Failures {
    allowed: u32,
    count: u32,
    /// The farthest place of a failure since the last progress.
    at: FailedAt,
}

/// Where in its shard a processor failed, in the order of the shard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd)]
pub(crate) enum FailedAt {
    /// Before the first batch.
    Start,
    /// With the batch that ends here.
    Batch(Position),
    /// Behind the last batch.
    End,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    /// Try again, after a pause. The number of the next try, counted from one.
    Again(u32),
    /// Release the lease.
    GiveUp,
}

impl Failures {
    /// Gives up at the failure of try number `allowed`.
    pub(crate) fn new(allowed: u32) -> Self {
        Self {
            allowed,
            count: 0,
            at: FailedAt::Start,
        }
    }

    /// A call failed at this place.
    pub(crate) fn failed(&mut self, at: FailedAt) -> AfterFailure {
        self.count += 1;
        if at > self.at {
            self.at = at;
        }
        if self.count >= self.allowed {
            AfterFailure::GiveUp
        } else {
            AfterFailure::Again(self.count + 1)
        }
    }

    /// The batch that ends at `end` was accepted. Whether the count starts anew.
    pub(crate) fn accepted(&mut self, end: &Position) -> bool {
        let is_behind = match &self.at {
            FailedAt::Start => true,
            FailedAt::Batch(at) => end >= at,
            FailedAt::End => false,
        };
        if self.count == 0 || !is_behind {
            return false;
        }
        self.count = 0;
        self.at = FailedAt::Start;
        true
    }

    /// The number of the try that is next for a batch, counted from one.
    pub(crate) fn next_attempt(&self) -> u32 {
        self.count + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u32) -> Position {
        let shard_id = shardwise_types::ShardId::from_number(0);
        Position::new(shard_id, number.to_string().parse().unwrap(), 0)
    }

    #[test]
    fn the_last_allowed_failure_gives_up() {
        let mut failures = Failures::new(3);
        assert_eq!(
            failures.failed(FailedAt::Batch(at(5))),
            AfterFailure::Again(2)
        );
        assert_eq!(
            failures.failed(FailedAt::Batch(at(5))),
            AfterFailure::Again(3)
        );
        assert_eq!(
            failures.failed(FailedAt::Batch(at(5))),
            AfterFailure::GiveUp
        );
        assert_eq!(
            Failures::new(1).failed(FailedAt::Start),
            AfterFailure::GiveUp
        );
    }

    #[test]
    fn only_progress_behind_the_failure_starts_the_count_anew() {
        let mut failures = Failures::new(3);
        failures.failed(FailedAt::Batch(at(5)));
        // A new processor goes on from the checkpoint.
        assert!(!failures.accepted(&at(2)));
        assert!(!failures.accepted(&at(4)));
        assert_eq!(failures.next_attempt(), 2);
        failures.failed(FailedAt::Batch(at(5)));
        assert!(!failures.accepted(&at(4)));
        assert!(failures.accepted(&at(5)));
        assert_eq!(failures.next_attempt(), 1);
        assert!(!failures.accepted(&at(6)), "nothing to start anew");
    }

    #[test]
    fn a_start_that_failed_is_forgotten_with_the_first_batch() {
        let mut failures = Failures::new(3);
        failures.failed(FailedAt::Start);
        assert!(failures.accepted(&at(1)));
        assert_eq!(failures.next_attempt(), 1);
    }

    #[test]
    fn no_batch_is_progress_behind_a_failure_at_the_end() {
        let mut failures = Failures::new(3);
        for attempt in [2, 3] {
            assert_eq!(failures.failed(FailedAt::End), AfterFailure::Again(attempt));
            assert!(!failures.accepted(&at(8)));
            assert!(!failures.accepted(&at(9)));
        }
        assert_eq!(failures.failed(FailedAt::End), AfterFailure::GiveUp);
    }

    #[test]
    fn an_earlier_failure_does_not_hide_a_later_one() {
        let mut failures = Failures::new(5);
        failures.failed(FailedAt::Batch(at(9)));
        failures.failed(FailedAt::Batch(at(3)));
        assert!(!failures.accepted(&at(4)));
        assert!(failures.accepted(&at(9)));
    }
}
