//! What is known of the service's clock, by which requests are signed.
//!
//! A request that is signed by a clock that is minutes off is refused. The right time stands in the
//! refusal's `Date` header. Sending is [`crate::call`]'s.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// The service refuses signatures that are 5 minutes off; a clock further off than this is learned
/// from the service's `Date` header.
const SKEW_TO_LEARN: Duration = Duration::from_secs(240);

/// How far, in seconds, the service's clock is ahead of this node's, as the calls of one handle have
/// learned it.
#[derive(Debug, Default)]
pub(crate) struct ClockSkew(AtomicI64);

impl ClockSkew {
    pub(crate) fn apply(&self, now: SystemTime) -> SystemTime {
        let seconds = self.0.load(Ordering::Relaxed);
        let distance = Duration::from_secs(seconds.unsigned_abs());
        if seconds >= 0 {
            now + distance
        } else {
            now - distance
        }
    }

    /// Whether the signing time was off by so much that signing again may help; if so, remembers.
    pub(crate) fn learn(
        &self,
        signed_at: SystemTime,
        now: SystemTime,
        service_time: SystemTime,
    ) -> bool {
        let off = service_time
            .duration_since(signed_at)
            .unwrap_or_else(|earlier| earlier.duration());
        if off < SKEW_TO_LEARN {
            return false;
        }
        let ahead = match service_time.duration_since(now) {
            Ok(ahead) => i64::try_from(ahead.as_secs()).unwrap_or(0),
            Err(behind) => -i64::try_from(behind.duration().as_secs()).unwrap_or(0),
        };
        self.0.store(ahead, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_is_minutes_off_is_corrected() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        for (off, is_learned) in [(0, false), (239, false), (240, true), (7_200, true)] {
            for service_time in [
                now + Duration::from_secs(off),
                now - Duration::from_secs(off),
            ] {
                let skew = ClockSkew::default();
                assert_eq!(skew.apply(now), now);
                assert_eq!(skew.learn(now, now, service_time), is_learned, "{off}");
                let signed_at = if is_learned { service_time } else { now };
                assert_eq!(skew.apply(now), signed_at, "{off}");
            }
        }
    }
}
