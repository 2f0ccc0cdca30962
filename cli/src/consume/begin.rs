//! Where reading begins in a shard without a checkpoint: `--from`.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format as TimeFormat;
use shardwise_consumer::InitialPosition;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    TrimHorizon,
    Latest,
    At(SystemTime),
    Ago(Duration),
}

impl Begin {
    /// The position, counted from this time.
    pub(super) fn position(self, now: SystemTime) -> InitialPosition {
        match self {
            Self::TrimHorizon => InitialPosition::TrimHorizon,
            Self::Latest => InitialPosition::Latest,
            Self::At(time) => InitialPosition::AtTimestamp(time),
            // Before 1970 there is no record to be missed.
            Self::Ago(ago) => {
                InitialPosition::AtTimestamp(now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH))
            }
        }
    }
}

impl FromStr for Begin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "trim-horizon" => return Ok(Self::TrimHorizon),
            "latest" => return Ok(Self::Latest),
            _ => {}
        }
        if let Some(ago) = duration(text) {
            return Ok(Self::Ago(ago));
        }
        let time = DateTime::from_str(text, TimeFormat::DateTimeWithOffset).ok();
        time.and_then(|time| SystemTime::try_from(time).ok())
            .map(Self::At)
            .ok_or(
                "expected trim-horizon, latest, a time such as 2026-03-01T12:00:00Z, or how long \
                 ago: 90s, 10m, 2h, 1d",
            )
    }
}

/// A whole number and its unit.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    // `u64` would take a sign as well.
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| digits)?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_word_a_time_or_how_long_ago() {
        let at = |seconds| {
            Ok(Begin::At(
                SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            ))
        };
        for (text, expected) in [
            ("trim-horizon", Ok(Begin::TrimHorizon)),
            ("latest", Ok(Begin::Latest)),
            ("90s", Ok(Begin::Ago(Duration::from_secs(90)))),
            ("10m", Ok(Begin::Ago(Duration::from_secs(600)))),
            ("2h", Ok(Begin::Ago(Duration::from_secs(7_200)))),
            ("1d", Ok(Begin::Ago(Duration::from_secs(86_400)))),
            ("1970-01-01T00:01:00Z", at(60)),
            ("1970-01-01T01:01:00+01:00", at(60)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_examples() {
        for text in [
            "",
            "m",
            "+1m",
            "-1m",
            "1.5h",
            "10",
            "10w",
            "yesterday",
            "2026-03-01",
            "1€",
            "99999999999999999999d",
            "999999999999999999d",
        ] {
            let error = text.parse::<Begin>().unwrap_err();
            assert!(error.contains("10m"), "{text}");
        }
    }

    #[test]
    fn ago_is_counted_from_now() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let position = Begin::Ago(Duration::from_secs(10)).position(now);
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(990);
        assert_eq!(position, InitialPosition::AtTimestamp(expected));
        let position = Begin::Ago(Duration::MAX).position(now);
        assert_eq!(
            position,
            InitialPosition::AtTimestamp(SystemTime::UNIX_EPOCH)
        );
    }
}
