//! The buffer's limit in bytes and records, and the queue of the `send` calls that wait for room.
//!
//! Fair: calls are let in in the order in which they came, and a queue is never passed. A call that
//! is let in *holds* the room from that moment, so one that is slow to wake delays no other, and
//! one that is dropped gives the room to the next. What a record may have is checked before, by
//! [`Buffer`](crate::buffer::Buffer), which keeps this under its lock. Pure.

use std::collections::BTreeMap;
use std::task::{Poll, Waker};

/// How much room is left, and which calls wait for some.
#[derive(Debug)]
pub(crate) struct BufferLimit {
    bytes: usize,
    bytes_left: usize,
    records_left: usize,
    next_ticket: u64,
    /// Bounded by the number of `send` calls that the application has under way.
    waiting: BTreeMap<Ticket, Waiting>,
    /// Room that is held for waiters that have not woken yet: bytes of one record each.
    granted: BTreeMap<Ticket, usize>,
}

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

#[derive(Debug)]
struct Waiting {
    bytes: usize,
    /// Absent until the waiter is first polled.
    waker: Option<Waker>,
}

impl BufferLimit {
    pub(crate) fn new(bytes: usize, records: usize) -> Self {
        Self {
            bytes,
            bytes_left: bytes,
            records_left: records,
            next_ticket: 0,
            waiting: BTreeMap::new(),
            granted: BTreeMap::new(),
        }
    }

    /// Takes the room of one record, unless there is too little or others wait.
    pub(crate) fn try_take(&mut self, bytes: usize) -> bool {
        !self.is_wanted() && self.take(bytes)
    }

    /// Joins the queue.
    pub(crate) fn join(&mut self, bytes: usize) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let waiting = Waiting { bytes, waker: None };
        self.waiting.insert(ticket, waiting);
        ticket
    }

    /// Bytes that are taken, those included that are held for waiters.
    pub(crate) fn bytes_taken(&self) -> usize {
        self.bytes - self.bytes_left
    }

    /// Whether a call waits.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Ready once the ticket's room is held; the room is the caller's then, and the ticket void.
    pub(crate) fn poll(&mut self, ticket: Ticket, waker: &Waker) -> Poll<()> {
        if self.granted.remove(&ticket).is_some() {
            return Poll::Ready(());
        }
        if let Some(waiting) = self.waiting.get_mut(&ticket) {
            waiting.waker = Some(waker.clone());
        }
        Poll::Pending
    }

    /// The holder of the ticket gives up. Returns the calls to wake.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Vec<Waker> {
        match self.granted.remove(&ticket) {
            Some(bytes) => self.give_back(bytes, 1),
            None => {
                // It may have been the large one at the head that kept the others out.
                self.waiting.remove(&ticket);
                self.grant()
            }
        }
    }

    /// Gives room back and lets in the calls that fit. Returns those to wake.
    pub(crate) fn give_back(&mut self, bytes: usize, records: usize) -> Vec<Waker> {
        self.bytes_left += bytes;
        self.records_left += records;
        self.grant()
    }

    /// Turns all waiting calls away. Returns those to wake.
    pub(crate) fn dismiss(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.waiting)
            .into_values()
            .filter_map(|waiting| waiting.waker)
            .collect()
    }

    fn grant(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while let Some(head) = self.waiting.first_entry() {
            let (ticket, bytes) = (*head.key(), head.get().bytes);
            if !self.take(bytes) {
                break;
            }
            let waker = self.waiting.remove(&ticket).and_then(|it| it.waker);
            self.granted.insert(ticket, bytes);
            wakers.extend(waker);
        }
        wakers
    }

    fn take(&mut self, bytes: usize) -> bool {
        if self.records_left == 0 || self.bytes_left < bytes {
            return false;
        }
        self.records_left -= 1;
        self.bytes_left -= bytes;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_queue_is_never_passed_and_who_leaves_lets_others_in() {
        let mut limit = BufferLimit::new(10, 10);
        assert!(limit.try_take(8));
        let large = limit.join(5);
        let small = limit.join(1);
        assert!(!limit.try_take(1), "there is limit, but others wait");
        assert!(limit.poll(small, Waker::noop()).is_pending());
        assert_eq!(limit.leave(large).len(), 1);
        assert!(limit.poll(small, Waker::noop()).is_ready());
        assert!(limit.try_take(1));
    }

    #[test]
    fn room_that_was_granted_to_a_dropped_waiter_goes_to_the_next() {
        let mut limit = BufferLimit::new(4, 1);
        assert!(limit.try_take(4));
        let (first, second) = (limit.join(4), limit.join(4));
        assert!(limit.poll(first, Waker::noop()).is_pending());
        assert!(limit.poll(second, Waker::noop()).is_pending());
        assert_eq!(limit.give_back(4, 1).len(), 1);
        assert_eq!(limit.leave(first).len(), 1);
        assert!(limit.poll(second, Waker::noop()).is_ready());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Take(usize),
        Join(usize),
        Poll(usize),
        Leave(usize),
        GiveBack(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..20_usize).prop_map(Step::Take),
            (0..20_usize).prop_map(Step::Join),
            (0..8_usize).prop_map(Step::Poll),
            (0..8_usize).prop_map(Step::Leave),
            (0..8_usize).prop_map(Step::GiveBack),
        ]
    }

    proptest! {
        /// Whatever happens, what is left and what is held add up to the whole.
        #[test]
        fn room_is_never_negative_and_never_leaks(steps in prop::collection::vec(step(), 0..200)) {
            const BYTES: usize = 64;
            const RECORDS: usize = 6;
            let mut limit = BufferLimit::new(BYTES, RECORDS);
            let mut held: Vec<usize> = Vec::new();
            let mut queue: Vec<(Ticket, usize)> = Vec::new();
            let mut last_let_in = None;
            for step in steps {
                match step {
                    Step::Take(bytes) => {
                        if limit.try_take(bytes) {
                            held.push(bytes);
                        }
                    }
                    Step::Join(bytes) => queue.push((limit.join(bytes), bytes)),
                    Step::Poll(index) if index < queue.len() => {
                        let (ticket, bytes) = queue[index];
                        if limit.poll(ticket, Waker::noop()).is_ready() {
                            queue.remove(index);
                            held.push(bytes);
                            last_let_in = last_let_in.max(Some(ticket));
                        }
                    }
                    Step::Leave(index) if index < queue.len() => {
                        limit.leave(queue.remove(index).0);
                    }
                    Step::GiveBack(index) if index < held.len() => {
                        limit.give_back(held.remove(index), 1);
                    }
                    Step::Poll(_) | Step::Leave(_) | Step::GiveBack(_) => {}
                }
                let granted: usize = limit.granted.values().sum();
                prop_assert_eq!(limit.bytes_left + granted + held.iter().sum::<usize>(), BYTES);
                prop_assert_eq!(limit.records_left + limit.granted.len() + held.len(), RECORDS);
                // Fair: no call that waits came before one that was let in.
                let head = limit.waiting.keys().next().copied();
                let let_in = last_let_in.max(limit.granted.keys().next_back().copied());
                prop_assert!(head.is_none() || let_in.is_none() || let_in < head);
            }
            for bytes in held {
                limit.give_back(bytes, 1);
            }
            for (ticket, _) in queue {
                limit.leave(ticket);
            }
            prop_assert_eq!((limit.bytes_left, limit.records_left), (BYTES, RECORDS));
        }
    }
}
