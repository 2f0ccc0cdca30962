//! A node's two clocks, both derived from tokio's, which may be paused, or moved by hand.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::timers::Timers;

/// The finest step of tokio's timers.
const TICK: Duration = Duration::from_millis(1);

/// Monotonic and wall clock of one node.
pub(crate) enum Clock {
    /// Tokio's clock and the operating system's wall clock.
    System,
    /// Both clocks run at `rate` from a fixed start.
    Simulated(SimulatedClock),
    /// Both clocks stand still until they are moved.
    Manual(Arc<Timers>),
}

pub(crate) struct SimulatedClock {
    /// Where the simulation began, on tokio's clock.
    pub(crate) origin: Instant,
    /// The wall clock at `origin`, before the offset.
    pub(crate) epoch: SystemTime,
    /// How fast this node's clocks run against tokio's: 1.005 gains 5 ms a second.
    pub(crate) rate: f64,
    /// What this node's wall clock is ahead, in milliseconds.
    pub(crate) wall_offset_ms: AtomicI64,
}

impl Clock {
    pub(crate) fn system() -> Self {
        Self::System
    }

    /// Both clocks begin at the present and run so many times as fast.
    pub(crate) fn scaled(rate: NonZeroU32) -> Self {
        Self::Simulated(SimulatedClock {
            origin: tokio_now(),
            epoch: system_now(),
            rate: f64::from(rate.get()),
            wall_offset_ms: AtomicI64::new(0),
        })
    }

    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::System => tokio_now(),
            Self::Simulated(clock) => clock.local(tokio_now()),
            Self::Manual(timers) => timers.now(),
        }
    }

    pub(crate) fn wall_now(&self) -> SystemTime {
        match self {
            Self::System => system_now(),
            Self::Simulated(clock) => {
                let wall = clock.epoch + clock.local(tokio_now()).duration_since(clock.origin);
                let offset = clock.wall_offset_ms.load(Ordering::Relaxed);
                let distance = Duration::from_millis(offset.unsigned_abs());
                if offset >= 0 {
                    wall + distance
                } else {
                    wall - distance
                }
            }
            Self::Manual(timers) => timers.wall_now(),
        }
    }

    pub(crate) async fn sleep_until(&self, deadline: Instant) {
        match self {
            Self::System => tokio_sleep_until(deadline).await,
            Self::Simulated(clock) => {
                let mut wake = clock.global(deadline);
                tokio_sleep_until(wake).await;
                // The conversion rounds: a caller that finds its deadline not yet reached would
                // sleep again for no time at all, without end, on a clock that only moves in sleep.
                while clock.local(tokio_now()) < deadline {
                    wake += TICK;
                    tokio_sleep_until(wake).await;
                }
            }
            Self::Manual(timers) => timers.sleep_until(deadline).await,
        }
    }
}

impl SimulatedClock {
    /// Whether this clock runs as tokio's does: then there is nothing to convert.
    #[expect(
        clippy::float_cmp,
        reason = "a rate that was given as 1.0 is exactly that"
    )]
    fn is_true(&self) -> bool {
        self.rate == 1.0
    }

    /// Tokio's time as this node's clock shows it.
    fn local(&self, global: Instant) -> Instant {
        if self.is_true() {
            return global;
        }
        self.origin
            + global
                .saturating_duration_since(self.origin)
                .mul_f64(self.rate)
    }

    /// When, on tokio's clock, this node's clock shows `local`.
    fn global(&self, local: Instant) -> Instant {
        if self.is_true() {
            return local;
        }
        self.origin
            + local
                .saturating_duration_since(self.origin)
                .div_f64(self.rate)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads tokio's clock"
)]
fn tokio_now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
fn system_now() -> SystemTime {
    SystemTime::now()
}

#[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
async fn tokio_sleep_until(deadline: Instant) {
    tokio::time::sleep_until(deadline).await;
}
