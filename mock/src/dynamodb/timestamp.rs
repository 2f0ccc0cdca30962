//! Times as the answers show them.

use std::time::SystemTime;

/// A time as JSON 1.0 has it: seconds, with milliseconds behind the point.
pub(super) fn epoch_seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds are exact in an f64 for 285,000 years"
    )]
    let millis = millis as f64;
    millis / 1000.0
}
