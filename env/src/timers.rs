//! The timer queue of a clock that is moved by hand.
//!
//! The handle that moves it is in `manual`.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::lock::lock;

/// Where the clock stands and who waits for it.
#[derive(Debug)]
pub(crate) struct Timers {
    origin: Instant,
    epoch: SystemTime,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Since `origin` and `epoch`.
    elapsed: Duration,
    next_id: u64,
    /// By the time at which they are due, then in order of their coming.
    sleepers: BTreeMap<(Duration, u64), Waker>,
}

impl Timers {
    /// Stands at `origin` on the monotonic clock and at `epoch` on the wall clock.
    pub(crate) fn new(origin: Instant, epoch: SystemTime) -> Self {
        Self {
            origin,
            epoch,
            state: Mutex::default(),
        }
    }

    /// Moves on by `time` and wakes every sleeper that is then due, the earliest first.
    pub(crate) fn advance(&self, time: Duration) {
        let due = {
            let mut state = self.lock();
            state.elapsed = state.elapsed.saturating_add(time);
            let now = state.elapsed;
            let later = state.sleepers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut state.sleepers, later)
        };
        // Without the lock: waking runs code of the runtime, and may drop a sleep.
        due.into_values().for_each(Waker::wake);
    }

    /// How many wait.
    pub(crate) fn sleepers(&self) -> usize {
        self.lock().sleepers.len()
    }

    pub(crate) fn now(&self) -> Instant {
        self.origin + self.lock().elapsed
    }

    pub(crate) fn wall_now(&self) -> SystemTime {
        self.epoch + self.lock().elapsed
    }

    pub(crate) fn sleep_until(&self, deadline: Instant) -> Sleep<'_> {
        Sleep {
            timers: self,
            due: deadline.saturating_duration_since(self.origin),
            id: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Ready once the clock has reached the time; gone from the queue when it is dropped.
pub(crate) struct Sleep<'t> {
    timers: &'t Timers,
    due: Duration,
    /// Its place in the queue, once it has one.
    id: Option<u64>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let timers = self.timers;
        let mut state = timers.lock();
        if state.elapsed >= self.due {
            return Poll::Ready(());
        }
        let id = self.id.unwrap_or(state.next_id);
        if self.id.is_none() {
            state.next_id += 1;
            self.id = Some(id);
        }
        state.sleepers.insert((self.due, id), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.timers.lock().sleepers.remove(&(self.due, id));
        }
    }
}
