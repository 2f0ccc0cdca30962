//! Lines that were not stored, folded: one line of text for each reason.

use std::collections::BTreeMap;
use std::error::Error as StdError;

use shardwise_producer::{DeliveryError, DeliveryErrorKind, RequestError, SendErrorKind};
use shardwise_types::root_cause;

/// Reasons that are kept apart: a service that words each refusal differently must not fill memory.
const MOST_REASONS: usize = 50;

/// Stretches of line numbers that are named for one reason.
const MOST_STRETCHES: usize = 5;

/// What the reasons beyond are called.
const OTHER: &str = "other reasons";

/// Failures that are not said yet.
#[derive(Debug, Default)]
pub(super) struct Failures {
    by_reason: BTreeMap<String, Lines>,
}

/// Numbers of lines, in the order in which they failed.
#[derive(Debug, Default)]
struct Lines {
    count: u64,
    /// First and last of each, as many as are named.
    stretches: Vec<(u64, u64)>,
}

impl Failures {
    pub(super) fn add(&mut self, line: u64, reason: &str) {
        let known = self.by_reason.contains_key(reason);
        let reason = match known || self.by_reason.len() < MOST_REASONS {
            true => reason,
            false => OTHER,
        };
        if !self.by_reason.contains_key(reason) {
            self.by_reason.insert(reason.to_owned(), Lines::default());
        }
        if let Some(lines) = self.by_reason.get_mut(reason) {
            lines.add(line);
        }
    }

    /// One line of text for each reason, and nothing is left to say.
    pub(super) fn take(&mut self) -> Vec<String> {
        let by_reason = std::mem::take(&mut self.by_reason);
        let text = |(reason, lines): (String, Lines)| lines.text(&reason);
        by_reason.into_iter().map(text).collect()
    }
}

impl Lines {
    fn add(&mut self, line: u64) {
        self.count += 1;
        let room = self.stretches.len() < MOST_STRETCHES;
        let touching = self
            .stretches
            .iter_mut()
            .find(|(first, last)| line + 1 == *first || *last + 1 == line);
        match touching {
            Some((first, last)) => {
                *first = line.min(*first);
                *last = line.max(*last);
            }
            None if room => self.stretches.push((line, line)),
            None => {}
        }
    }

    fn text(mut self, reason: &str) -> String {
        if self.count == 1 {
            let line = self.stretches.first().map_or(0, |(first, _)| *first);
            return format!("line {line} was not stored: {reason}");
        }
        self.stretches.sort_unstable();
        // Outcomes come in any order: two stretches may have grown together.
        self.stretches.dedup_by(|next, before| {
            let joined = next.0 <= before.1 + 1;
            if joined {
                before.1 = before.1.max(next.1);
            }
            joined
        });
        let names: Vec<_> = self
            .stretches
            .iter()
            .map(|(first, last)| match first == last {
                true => first.to_string(),
                false => format!("{first} to {last}"),
            })
            .collect();
        let named: u64 = self
            .stretches
            .iter()
            .map(|(first, last)| last - first + 1)
            .sum();
        let more = match self.count.saturating_sub(named) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("lines {}{more} were not stored: {reason}", names.join(", "))
    }
}

/// Why a record was not stored, in words that are the same for all records that it happened to: without
/// request ids, sizes and numbers of attempts.
pub(super) fn reason(error: &DeliveryError) -> String {
    let cause = error.source().map(cause).unwrap_or_default();
    let kind = match error.kind() {
        DeliveryErrorKind::Rejected if !cause.is_empty() => return cause,
        DeliveryErrorKind::Rejected => "the service refused it",
        DeliveryErrorKind::Expired => "it could not be stored in time",
        DeliveryErrorKind::Stopped => "the producer stopped before",
        _ => "it failed",
    };
    match cause.is_empty() {
        true => kind.to_owned(),
        false => format!("{kind}: {cause}"),
    }
}

/// The same for a record that was not accepted.
pub(super) fn refusal(kind: SendErrorKind) -> String {
    match kind {
        SendErrorKind::TooLarge { limit, .. } => too_long(limit),
        other => other.to_string(),
    }
}

pub(super) fn too_long(limit: usize) -> String {
    format!("it is longer than the {limit} bytes that a record may have, with its partition key")
}

fn cause(error: &(dyn StdError + 'static)) -> String {
    if let Some(kind) = error.downcast_ref::<SendErrorKind>() {
        return refusal(*kind);
    }
    let Some(request) = error.downcast_ref::<RequestError>() else {
        return error.to_string();
    };
    match (request.code(), request.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => root_cause(request).unwrap_or(request).to_string(),
    }
}

/// Whether the service refuses the whole request for good, and would refuse any other: an unknown
/// stream, a missing permission, wrong credentials.
pub(super) fn refuses_all(error: &DeliveryError) -> bool {
    let request = error
        .source()
        .and_then(|source| source.downcast_ref::<RequestError>());
    error.kind() == DeliveryErrorKind::Rejected && request.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_one_reason_are_one_line_whatever_their_order() {
        let mut failures = Failures::default();
        for line in [3, 5, 4, 9] {
            failures.add(line, "no field 2");
        }
        failures.add(7, "too large");
        assert_eq!(
            failures.take(),
            [
                "lines 3 to 5, 9 were not stored: no field 2",
                "line 7 was not stored: too large"
            ]
        );
        assert!(failures.take().is_empty());
    }

    #[test]
    fn what_is_too_much_to_name_is_counted() {
        let mut failures = Failures::default();
        for line in (2..=40).step_by(2) {
            failures.add(line, "refused");
        }
        let text = failures.take().remove(0);
        assert_eq!(
            text,
            "lines 2, 4, 6, 8, 10 and 15 more were not stored: refused"
        );
        for line in 0..1_000 {
            failures.add(line, &format!("reason {line}"));
        }
        assert_eq!(failures.take().len(), MOST_REASONS + 1);
    }
}
