//! What time it is for one request.
//!
//! Two clocks, as on any host. Wall time is what the service shows: arrival timestamps, `Date`,
//! creation times. Monotonic time is what it measures with: status delays, the age of iterators,
//! retention. So a test that moves only tokio's clock still sees them pass.

use std::time::{Duration, SystemTime};

use shardwise_env::{Env, Instant};

/// The two clocks, read once per request so that one answer never shows two times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Milliseconds since the Unix epoch.
    pub(crate) wall_ms: u64,
    /// Time since the mock was built.
    pub(crate) uptime: Duration,
}

impl Now {
    /// Whole seconds since the Unix epoch.
    pub(crate) fn wall_seconds(self) -> u64 {
        self.wall_ms / 1000
    }

    /// Milliseconds since the mock was built.
    pub(crate) fn uptime_ms(self) -> u64 {
        millis(self.uptime)
    }

    /// Milliseconds between that time of the wall clock and now.
    pub(crate) fn since_ms(self, wall_ms: u64) -> u64 {
        self.wall_ms.saturating_sub(wall_ms)
    }

    /// What the wall clock showed at that uptime.
    pub(crate) fn wall_ms_at(self, uptime_ms: u64) -> u64 {
        self.wall_ms
            .saturating_sub(self.uptime_ms().saturating_sub(uptime_ms))
    }
}

/// Reads an [`Env`]'s clocks.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    env: Env,
    origin: Instant,
}

impl Clock {
    pub(crate) fn new(env: Env) -> Self {
        let origin = env.now();
        Self { env, origin }
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            wall_ms: since_epoch_ms(self.env.wall_now()),
            uptime: self.env.now().saturating_duration_since(self.origin),
        }
    }

    /// Sleeps until the mock has been up for so long.
    pub(crate) async fn sleep_until(&self, uptime: Duration) {
        self.env.sleep_until(self.origin + uptime).await;
    }
}

fn since_epoch_ms(time: SystemTime) -> u64 {
    millis(
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

/// The duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
