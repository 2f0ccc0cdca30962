//! Times as signatures write them: `20150830T123600Z`.

use std::time::UNIX_EPOCH;

const DAY: u64 = 24 * 60 * 60;

/// Seconds since the Unix epoch of a time in the basic format of ISO 8601.
pub(super) fn parse(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let date = [
        number(date, 0, 4)?,
        number(date, 4, 6)?,
        number(date, 6, 8)?,
    ];
    let time_of_day = [
        number(time, 0, 2)?,
        number(time, 2, 4)?,
        number(time, 4, 6)?,
    ];
    let [year, month, day] = date;
    let [hours, minutes, seconds] = time_of_day;
    if text.len() != 16 || year < 1970 || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let days = (1970..year).map(days_of_year).sum::<u64>()
        + (1..month)
            .map(|month| days_of_month(year, month))
            .sum::<u64>();
    if !(1..=12).contains(&month) || !(1..=days_of_month(year, month)).contains(&day) {
        return None;
    }
    Some((days + day - 1) * DAY + hours * 3600 + minutes * 60 + seconds)
}

/// Seconds since the Unix epoch of the `Date` header of HTTP.
pub(super) fn parse_http(text: &str) -> Option<u64> {
    let since = httpdate::parse_http_date(text)
        .ok()?
        .duration_since(UNIX_EPOCH);
    since.ok().map(|since| since.as_secs())
}

/// The time in the basic format of ISO 8601.
pub(super) fn format(seconds: u64) -> String {
    let (mut days, time) = (seconds / DAY, seconds % DAY);
    let mut year = 1970;
    while days >= days_of_year(year) {
        days -= days_of_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_of_month(year, month) {
        days -= days_of_month(year, month);
        month += 1;
    }
    format!(
        "{year:04}{month:02}{:02}T{:02}{:02}{:02}Z",
        days + 1,
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}

fn number(text: &str, from: usize, to: usize) -> Option<u64> {
    let digits = text.get(from..to)?;
    // `parse` alone would take a sign.
    let all_digits = digits.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of_year(year: u64) -> u64 {
    365 + u64::from(is_leap(year))
}

fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, seconds) in [
            ("19700101T000000Z", 0),
            ("20000229T000000Z", 951_782_400),
            ("20150830T123600Z", 1_440_938_160),
            ("20260101T000000Z", 1_767_225_600),
            ("21000301T000000Z", 4_107_542_400),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
            assert_eq!(format(seconds), text);
        }
        assert_eq!(
            parse_http("Sun, 30 Aug 2015 12:36:00 GMT"),
            Some(1_440_938_160)
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "0",
            "20150830",
            "20150830T123600",
            "20150830T123600ZZ",
            "2015-08-30T12:36:00Z",
            "20150832T123600Z",
            "20150229T123600Z",
            "20151330T123600Z",
            "20150830T243600Z",
            "20150830T126000Z",
            "20150830T1236 0Z",
            "+0150830T123600Z",
            "19690830T123600Z",
            "2015é830T12360Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse_http("yesterday"), None);
    }
}
