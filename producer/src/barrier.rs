//! What a flush waits for: all records accepted before it.
//!
//! Every record belongs to an epoch, and a flush begins a new one. It is over when no record of an
//! earlier epoch is left. Pure: [`Buffer`](crate::buffer::Buffer) keeps it under its lock.

use std::collections::BTreeMap;

/// Unsettled records by epoch.
#[derive(Debug, Default)]
pub(crate) struct Barrier {
    current: u64,
    in_current: usize,
    /// Earlier epochs that still have records: one for each flush that is not over, at most.
    earlier: BTreeMap<u64, usize>,
}

impl Barrier {
    /// The epoch of records that are accepted now.
    pub(crate) fn epoch(&self) -> u64 {
        self.current
    }

    pub(crate) fn accepted(&mut self) {
        self.in_current += 1;
    }

    /// Records of this epoch were settled. Returns whether a flush may be over by that.
    pub(crate) fn settled(&mut self, epoch: u64, records: usize) -> bool {
        if epoch == self.current {
            self.in_current = self.in_current.saturating_sub(records);
            return self.in_current == 0;
        }
        let Some(left) = self.earlier.get_mut(&epoch) else {
            debug_assert!(false, "an epoch with unsettled records is known");
            return true;
        };
        *left = left.saturating_sub(records);
        let over = *left == 0;
        if over {
            self.earlier.remove(&epoch);
        }
        over
    }

    /// Begins a new epoch; what [`reached`](Self::reached) takes.
    pub(crate) fn raise(&mut self) -> u64 {
        if self.in_current > 0 {
            self.earlier.insert(self.current, self.in_current);
            self.in_current = 0;
        }
        self.current += 1;
        self.current
    }

    /// Whether every record accepted before `mark` was raised is settled.
    pub(crate) fn reached(&self, mark: u64) -> bool {
        self.earlier
            .first_key_value()
            .is_none_or(|(&epoch, _)| epoch >= mark)
    }

    /// Records that are not settled.
    pub(crate) fn outstanding(&self) -> usize {
        self.in_current + self.earlier.values().sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_is_over_when_the_last_record_before_it_is_settled() {
        let mut barrier = Barrier::default();
        barrier.accepted();
        barrier.accepted();
        let first = barrier.raise();
        barrier.accepted();
        let second = barrier.raise();
        barrier.accepted();
        assert!(!barrier.settled(0, 1));
        assert!(barrier.settled(1, 1));
        assert!(!barrier.reached(first) && !barrier.reached(second));
        assert!(barrier.settled(0, 1));
        assert!(barrier.reached(first) && barrier.reached(second));
        assert_eq!(barrier.outstanding(), 1);
        assert!(barrier.settled(2, 1));
        assert_eq!(barrier.outstanding(), 0);
    }

    #[test]
    fn a_flush_of_nothing_is_over_at_once() {
        let mut barrier = Barrier::default();
        let mark = barrier.raise();
        barrier.accepted();
        assert!(barrier.reached(mark));
    }
}
