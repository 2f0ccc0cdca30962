//! Shard iterators: a position in a shard, sealed together with the time of issue.

use shardwise_types::limits;

use super::Kinesis;
use super::failure::Failure;
use super::shard::Shard;
use super::token::Kind;
use crate::clock::{Now, millis};

/// What an iterator says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ShardIterator {
    pub(super) stream: String,
    pub(super) shard: u32,
    /// The second in the shard's sequence numbers: with the index it is a position that still
    /// means something after the stream was deleted and made again.
    created_seconds: u64,
    index: u64,
    issued_ms: u64,
}

impl ShardIterator {
    pub(super) fn new(stream: &str, shard: &Shard, index: u64, now: Now) -> Self {
        Self {
            stream: stream.to_owned(),
            shard: shard.number,
            created_seconds: shard.created_seconds(),
            index,
            issued_ms: now.uptime_ms(),
        }
    }

    /// The index in this shard at which reading goes on.
    pub(super) fn index_in(&self, shard: &Shard) -> u64 {
        if self.created_seconds < shard.created_seconds() {
            // From an earlier stream of this name: every number of this one is larger.
            0
        } else {
            self.index
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        Some(Self {
            issued_ms: parts.next()?.parse().ok()?,
            stream: parts.next()?.to_owned(),
            shard: parts.next()?.parse().ok()?,
            created_seconds: parts.next()?.parse().ok()?,
            index: parts.next()?.parse().ok()?,
        })
    }
}

impl Kinesis {
    pub(super) fn seal_iterator(&self, iterator: &ShardIterator) -> String {
        let ShardIterator {
            stream,
            shard,
            created_seconds,
            index,
            issued_ms,
        } = iterator;
        let text = format!("{issued_ms}/{stream}/{shard}/{created_seconds}/{index}");
        self.sealer.seal(Kind::ShardIterator, &text)
    }

    pub(super) fn open_iterator(&self, token: &str, now: Now) -> Result<ShardIterator, Failure> {
        let iterator = self
            .read_iterator(token)
            .ok_or_else(|| Failure::invalid_argument("Invalid ShardIterator."))?;
        let lifetime_ms = millis(limits::SHARD_ITERATOR_LIFETIME);
        if now.uptime_ms().saturating_sub(iterator.issued_ms) > lifetime_ms {
            return Err(Failure::new(
                "ExpiredIteratorException",
                format!(
                    "Iterator expired. The iterator was created at time {} while right now it is \
                     {} which is further in the future than the tolerated delay of {lifetime_ms} \
                     milliseconds.",
                    java_date(now.wall_ms_at(iterator.issued_ms)),
                    java_date(now.wall_ms)
                ),
            ));
        }
        Ok(iterator)
    }

    /// What an iterator says, expired or not.
    pub(super) fn read_iterator(&self, token: &str) -> Option<ShardIterator> {
        // Some clients quote the token; the service lets them.
        let token = token
            .strip_prefix('"')
            .and_then(|token| token.strip_suffix('"'))
            .unwrap_or(token);
        let text = self.sealer.open(Kind::ShardIterator, token)?;
        ShardIterator::from_text(&text)
    }
}

/// As Java prints a date: `Thu Jan 22 01:22:02 UTC 2015`.
fn java_date(wall_ms: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(wall_ms);
    // `Thu, 22 Jan 2015 01:22:02 GMT`
    let date = httpdate::fmt_http_date(time);
    let parts: Vec<&str> = date.split([' ', ',']).filter(|p| !p.is_empty()).collect();
    let [weekday, day, month, year, clock, _] = parts[..] else {
        return date;
    };
    format!("{weekday} {month} {day} {clock} UTC {year}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_look_as_java_prints_them() {
        assert_eq!(java_date(1_421_889_722_000), "Thu Jan 22 01:22:02 UTC 2015");
    }
}
