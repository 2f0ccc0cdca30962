//! One stream: its status, its shards and where a hash key goes.
//!
//! A status changes lazily: a change is noted with the time at which it falls due, and
//! [`Stream::lock`] carries it out, as of that time, before anybody looks. So there are no timers,
//! and a change happens at the same moment whoever looks first. Beside it an on-demand stream may be
//! about to grow: [`super::growth`].

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shardwise_env::lock;

use super::attached::Attached;
use super::call_rates::Calls;
use super::consumer::{Consumer, ConsumerId};
use super::failure::Failure;
use super::growth::Growth;
use super::sequence::Sequence;
use super::shard::{Moment, Payload, Range, Shard, shard_id};
use super::shard_limits::ShardLimits;
use super::status::Status;
use super::stream_settings::{RecordDistributionStrategy, StreamSettings};
use crate::clock::{Now, millis};

/// What stays the same while the stream lives, and the rest under its lock.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) created_ms: u64,
    state: Mutex<State>,
}

/// A change of the shards, of the settings, or of the whole stream, that is under way.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Activate {
        shard_count: u32,
    },
    /// The upper child begins at this hash key.
    Split {
        parent: usize,
        at: u128,
    },
    Merge {
        lower: usize,
        upper: usize,
    },
    /// Other settings, and so many open shards of equal size if a number is named.
    Update {
        settings: Box<StreamSettings>,
        shard_count: Option<u32>,
    },
    Delete,
}

impl Change {
    /// Other settings and the same shards.
    pub(crate) fn settings(settings: StreamSettings) -> Self {
        Self::Update {
            settings: Box::new(settings),
            shard_count: None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) settings: StreamSettings,
    pub(crate) attached: Attached,
    /// By name.
    pub(crate) consumers: BTreeMap<String, Consumer>,
    pub(crate) status: Status,
    pending: Option<(Moment, Change)>,
    /// Every shard there ever was; the index is the number in the shard's id.
    shards: Vec<Shard>,
    /// The indexes of the open shards, in the order of their ranges, which tile all hash keys.
    open: Vec<usize>,
    /// How many shards count against the account's limit: those that are open, or soon will be.
    pub(super) reserved: u32,
    pub(super) growth: Growth,
    /// The uptime, in seconds, at which expired records were last dropped; none since the
    /// retention may have changed.
    trimmed_at: Option<u64>,
    /// How many records the service placed itself.
    placed: usize,
    limits: BTreeMap<u32, ShardLimits>,
    pub(super) calls: Calls,
    gone: bool,
}

impl Stream {
    pub(crate) fn new(
        name: &str,
        arn: String,
        id: String,
        account: &str,
        settings: StreamSettings,
        now: Now,
    ) -> Self {
        Self {
            name: name.to_owned(),
            arn,
            id,
            account: account.to_owned(),
            created_ms: now.wall_ms,
            state: Mutex::new(State {
                reserved: 0,
                growth: Growth::default(),
                settings,
                attached: Attached::default(),
                consumers: BTreeMap::new(),
                status: Status::Creating,
                pending: None,
                shards: Vec::new(),
                open: Vec::new(),
                trimmed_at: None,
                placed: 0,
                limits: BTreeMap::new(),
                calls: Calls::default(),
                gone: false,
            }),
        }
    }

    /// The state as it is now: due changes made, expired records dropped.
    pub(crate) fn lock(&self, now: Now) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        state.settle(now);
        state
    }

    /// `Stream NAME under account ACCOUNT`, as the service's texts begin.
    pub(crate) fn subject(&self) -> String {
        format!("Stream {} under account {}", self.name, self.account)
    }

    /// The error for a stream whose status forbids the call.
    pub(crate) fn not_active(&self, status: Status) -> Failure {
        Failure::in_use(format!(
            "{} not ACTIVE, instead in state {}",
            self.subject(),
            status.as_str()
        ))
    }

    /// Refuses a StreamCreationTimestamp that is another stream's of the same name.
    pub(crate) fn check_created(&self, asked_ms: Option<u64>) -> Result<(), Failure> {
        match asked_ms {
            Some(ms) if ms / 1000 != self.created_ms / 1000 => Err(self.not_found()),
            _ => Ok(()),
        }
    }

    pub(crate) fn not_found(&self) -> Failure {
        Failure::not_found(format!("{} not found.", self.subject()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        // They hold no stream, and see now that there is none.
        state.wake_subscriptions();
    }
}

impl State {
    /// Whether the stream has been deleted for good.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    pub(crate) fn reserved_shards(&self) -> u32 {
        self.reserved
    }

    /// Begins a change that takes `delay`.
    pub(crate) fn begin(&mut self, change: Change, now: Now, delay: Duration) {
        (self.status, self.reserved) = match change {
            Change::Activate { shard_count } => (Status::Creating, shard_count),
            Change::Update { shard_count, .. } => {
                (Status::Updating, shard_count.unwrap_or(self.reserved))
            }
            Change::Split { .. } => (Status::Updating, self.reserved + 1),
            Change::Merge { .. } => (Status::Updating, self.reserved - 1),
            Change::Delete => (Status::Deleting, 0),
        };
        let due = Moment {
            wall_ms: now.wall_ms + millis(delay),
            uptime: now.uptime + delay,
        };
        if let Change::Delete = change {
            self.growth = Growth::default();
            for consumer in self.consumers.values_mut() {
                consumer.deregister(now, delay);
            }
        }
        self.pending = Some((due, change));
        // Even if nothing falls due yet: they must know when it will.
        self.wake_subscriptions();
        self.settle(now);
    }

    /// The uptime at which what is under way falls due: a change, or growth.
    pub(crate) fn change_due(&self) -> Option<Duration> {
        let change = self.pending.as_ref().map(|(due, _)| due.uptime);
        change.into_iter().chain(self.growth.due()).min()
    }

    pub(crate) fn wake_subscriptions(&self) {
        self.shards.iter().for_each(Shard::wake_subscriptions);
    }

    /// That very consumer, not another one of its name.
    pub(crate) fn consumer(&mut self, id: &ConsumerId) -> Option<&mut Consumer> {
        let consumer = self.consumers.get_mut(&id.name)?;
        (consumer.created_seconds() == id.created_seconds).then_some(consumer)
    }

    fn settle(&mut self, now: Now) {
        let is_due = |(due, _): &mut (Moment, Change)| due.uptime <= now.uptime;
        if let Some((due, change)) = self.pending.take_if(is_due) {
            self.grow_until(due.uptime);
            self.status = Status::Active;
            match change {
                Change::Activate { shard_count } => self.create_shards(shard_count, due),
                Change::Split { parent, at } => {
                    self.split(parent, at, due);
                }
                Change::Merge { lower, upper } => self.merge(lower, upper, due),
                Change::Update {
                    settings,
                    shard_count,
                } => {
                    self.settings = *settings;
                    self.trimmed_at = None;
                    if let Some(count) = shard_count {
                        self.scale(count, due);
                    }
                }
                Change::Delete => {
                    self.gone = true;
                    self.status = Status::Deleting;
                    self.shards.clear();
                    self.open.clear();
                }
            }
        }
        self.grow_until(now.uptime);
        self.consumers.retain(|_, consumer| !consumer.is_gone(now));
        // Retention counts in whole seconds: once a second is enough, however many the requests.
        let second = now.uptime.as_secs();
        if self.trimmed_at != Some(second) {
            self.trimmed_at = Some(second);
            let retention = self.settings.retention;
            for shard in &mut self.shards {
                shard.trim(now, retention);
            }
        }
    }

    /// Grows as planned, if that falls due by then.
    fn grow_until(&mut self, uptime: Duration) {
        if let Some((shard_count, due)) = self.growth.take_due(uptime) {
            self.grow(shard_count, due);
        }
    }

    /// Splits the widest open shard in its middle, the lowest of equals, until there are so many.
    fn grow(&mut self, count: u32, moment: Moment) {
        let width = |range: Range| range.end - range.start;
        let open = u32::try_from(self.open_shard_count()).unwrap_or(u32::MAX);
        for _ in open..count {
            let widest = self
                .open_ranges()
                .max_by_key(|(_, range)| (width(*range), Reverse(range.start)));
            if let Some((index, range)) = widest {
                self.split(index, range.start + width(range) / 2 + 1, moment);
            }
        }
    }

    fn create_shards(&mut self, count: u32, at: Moment) {
        for number in 0..count {
            let range = even_range(number, count);
            self.shards
                .push(Shard::new(number, range, at, at.wall_ms / 1000));
        }
        self.open = (0..self.shards.len()).collect();
    }

    /// Closes a shard and puts two children in its place, the lower one first.
    pub(super) fn split(&mut self, parent: usize, at: u128, moment: Moment) -> [usize; 2] {
        let Range { start, end } = self.shards[parent].range;
        let place = self
            .open
            .partition_point(|&i| self.shards[i].range.start < start);
        let lower = Range { start, end: at - 1 };
        let upper = Range { start: at, end };
        let parents = (parent, None);
        let children = [lower, upper].map(|range| self.add_child(range, parents, moment));
        self.shards[parent].closed = Some(moment);
        self.open.splice(place..=place, children);
        children
    }

    /// Closes two neighbours and puts one child in their place.
    pub(super) fn merge(&mut self, lower: usize, upper: usize, moment: Moment) {
        let range = Range {
            start: self.shards[lower].range.start,
            end: self.shards[upper].range.end,
        };
        let place = self
            .open
            .partition_point(|&i| self.shards[i].range.start < range.start);
        let child = self.add_child(range, (lower, Some(upper)), moment);
        self.shards[lower].closed = Some(moment);
        self.shards[upper].closed = Some(moment);
        self.open.splice(place..=place + 1, [child]);
    }

    fn add_child(
        &mut self,
        range: Range,
        (parent, adjacent): (usize, Option<usize>),
        moment: Moment,
    ) -> usize {
        let index = self.shards.len();
        // A later second than any parent's, so that the child's numbers lie above the parents'.
        let parents = [Some(parent), adjacent].into_iter().flatten();
        let newest = parents.map(|i| self.shards[i].created_seconds()).max();
        let created = (moment.wall_ms / 1000 + 1).max(newest.unwrap_or_default() + 1);
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let mut child = Shard::new(number, range, moment, created);
        child.parent = Some(self.shards[parent].number);
        child.adjacent_parent = adjacent.map(|i| self.shards[i].number);
        self.shards.push(child);
        index
    }

    /// What the shard of that number has taken and given lately.
    pub(super) fn limits(&mut self, shard: u32) -> &mut ShardLimits {
        self.limits.entry(shard).or_default()
    }

    /// Whether records are taken.
    pub(crate) fn is_writable(&self) -> bool {
        matches!(self.status, Status::Active | Status::Updating)
    }

    /// The index of the open shard that owns the hash key.
    fn owner_index(&self, hash_key: u128) -> Option<usize> {
        let after = self
            .open
            .partition_point(|&index| self.shards[index].range.start <= hash_key);
        self.open.get(after.checked_sub(1)?).copied()
    }

    /// The shard that takes records with this hash key; none before the stream is active.
    pub(crate) fn owner(&self, hash_key: u128) -> Option<&Shard> {
        Some(&self.shards[self.owner_index(hash_key)?])
    }

    /// A hash key of the open shard whose turn it is: where the service places a record itself.
    pub(crate) fn next_in_turn(&mut self) -> u128 {
        let turn = self.placed.checked_rem(self.open.len()).unwrap_or_default();
        self.placed = self.placed.wrapping_add(1);
        let index = self.open.get(turn).copied();
        index.map_or(0, |index| self.shards[index].range.start)
    }

    pub(crate) fn distributes_itself(&self) -> bool {
        self.settings.distribution == RecordDistributionStrategy::Auto
    }

    /// Stores a record in the shard that owns the hash key.
    pub(crate) fn append(
        &mut self,
        hash_key: u128,
        payload: Payload,
        now: Now,
    ) -> Option<(u32, Sequence)> {
        let index = self.owner_index(hash_key)?;
        let is_encrypted = self.settings.key_id.is_some();
        let shard = &mut self.shards[index];
        Some((shard.number, shard.append(payload, is_encrypted, now)))
    }

    /// The shards that are still listed: all but those closed longer ago than the retention period.
    pub(crate) fn shards(&self, now: Now) -> impl Iterator<Item = &Shard> {
        let retention = self.settings.retention;
        self.shards
            .iter()
            .filter(move |shard| !shard.has_expired(now, retention))
    }

    /// The shard with that number, if it is still listed.
    pub(crate) fn shard(&self, number: u32, now: Now) -> Option<&Shard> {
        let shard = self.shards.get(usize::try_from(number).ok()?)?;
        (!shard.has_expired(now, self.settings.retention)).then_some(shard)
    }

    pub(crate) fn open_shard_count(&self) -> usize {
        self.open.len()
    }

    /// The indexes and ranges of the open shards, in the order of the ranges.
    pub(super) fn open_ranges(&self) -> impl Iterator<Item = (usize, Range)> {
        self.open
            .iter()
            .map(|&index| (index, self.shards[index].range))
    }

    /// The indexes of the open shards that lie in a range, in the order of their ranges.
    pub(super) fn open_within(&self, range: Range) -> Vec<usize> {
        let first = self
            .open
            .partition_point(|&index| self.shards[index].range.start < range.start);
        self.open[first..]
            .iter()
            .copied()
            .take_while(|&index| self.shards[index].range.end <= range.end)
            .collect()
    }

    /// The shards that came out of this one.
    pub(crate) fn children(&self, number: u32) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(move |shard| {
            shard.parent == Some(number) || shard.adjacent_parent == Some(number)
        })
    }

    /// Whether the stream, or an earlier one of its name, can have given that number to a record.
    pub(crate) fn may_have_issued(&self, sequence: Sequence, now: Now) -> bool {
        let index = usize::try_from(sequence.shard).unwrap_or(usize::MAX);
        let Some(shard) = self.shards.get(index) else {
            return sequence.created < self.created_seconds()
                && sequence.seconds <= self.latest_seconds(now);
        };
        match sequence.created.cmp(&shard.created_seconds()) {
            Ordering::Less => sequence.seconds <= self.latest_seconds(now),
            Ordering::Equal => {
                let is_there = sequence.index < shard.next_index() || !shard.is_open();
                is_there && sequence.seconds <= self.latest_seconds(now)
            }
            Ordering::Greater => false,
        }
    }

    /// The second of the stream's first shards.
    fn created_seconds(&self) -> u64 {
        self.shards.first().map_or(0, Shard::created_seconds)
    }

    /// The latest second that a sequence number of this stream can carry.
    fn latest_seconds(&self, now: Now) -> u64 {
        let created = self.shards.iter().map(Shard::created_seconds).max();
        created.unwrap_or_default().max(now.wall_seconds())
    }
}

/// The range of one of `count` equal shards: floor(2^128 / count) hash keys each, and the last one
/// goes on to the end.
pub(super) fn even_range(number: u32, count: u32) -> Range {
    let count = u128::from(count.max(1));
    let number = u128::from(number);
    // 2^128 itself does not fit: divide what does and correct for the one that is missing.
    // One shard's width is 2^128 and wraps to 0, which is never used.
    let width = (u128::MAX / count).wrapping_add(u128::from(u128::MAX % count == count - 1));
    Range {
        start: width.wrapping_mul(number),
        end: if number + 1 == count {
            u128::MAX
        } else {
            width * (number + 1) - 1
        },
    }
}

/// `Shard ID in stream NAME under account ACCOUNT does not exist`, of a shard or its stream.
pub(crate) fn shard_not_found(number: u32, stream: &str, account: &str) -> Failure {
    let shard = shard_id(number);
    Failure::not_found(format!(
        "Shard {shard} in stream {stream} under account {account} does not exist"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::sequence::LAST_INDEX;
    use crate::kinesis::stream_settings::Mode;

    #[test]
    fn children_are_created_a_second_after_the_split_and_after_their_parents() {
        let now = Now {
            wall_ms: 5_000,
            uptime: Duration::ZERO,
        };
        let settings = StreamSettings::new(Mode::Provisioned);
        let stream = Stream::new("s", String::new(), String::new(), "", settings, now);
        let mut state = stream.lock(now);
        state.begin(Change::Activate { shard_count: 1 }, now, Duration::ZERO);
        for (parent, at) in [(0, 1 << 100), (2, 1 << 101)] {
            state.begin(Change::Split { parent, at }, now, Duration::ZERO);
        }
        let created: Vec<u64> = state.shards.iter().map(Shard::created_seconds).collect();
        assert_eq!(created, [5, 6, 6, 7, 7]);

        let later = Now {
            wall_ms: 60_999,
            ..now
        };
        let (lower, upper) = (1, 3);
        state.begin(Change::Merge { lower, upper }, later, Duration::ZERO);
        assert_eq!(state.shards[5].created_seconds(), 61);
    }

    #[test]
    fn a_number_with_every_bit_set_was_never_issued() {
        let now = Now {
            wall_ms: 5_000,
            uptime: Duration::ZERO,
        };
        let settings = StreamSettings::new(Mode::Provisioned);
        let stream = Stream::new("s", String::new(), String::new(), "", settings, now);
        let mut state = stream.lock(now);
        state.begin(Change::Activate { shard_count: 1 }, now, Duration::ZERO);
        let payload = Payload::new("k", b"data").unwrap();
        let (_, issued) = state.append(0, payload, now).unwrap();
        assert!(state.may_have_issued(issued, now));
        let index = Sequence {
            index: LAST_INDEX,
            ..issued
        };
        let created = Sequence {
            created: u64::MAX,
            ..issued
        };
        let seconds = Sequence {
            seconds: u64::MAX,
            ..issued
        };
        let shard = Sequence {
            shard: u32::MAX,
            ..issued
        };
        for never in [index, created, seconds, shard] {
            assert!(!state.may_have_issued(never, now), "{never:?}");
        }
    }

    #[test]
    fn even_ranges_are_the_services() {
        let ends =
            |count: u32| -> Vec<u128> { (0..count).map(|n| even_range(n, count).end).collect() };
        assert_eq!(ends(1), [u128::MAX]);
        assert_eq!(
            ends(2)[0],
            170_141_183_460_469_231_731_687_303_715_884_105_727
        );
        assert_eq!(
            ends(3),
            [
                113_427_455_640_312_821_154_458_202_477_256_070_484,
                226_854_911_280_625_642_308_916_404_954_512_140_969,
                u128::MAX
            ]
        );
        for count in [1, 2, 3, 5, 7, 16, 1000] {
            let mut next = Some(0);
            for number in 0..count {
                let range = even_range(number, count);
                assert_eq!(Some(range.start), next);
                next = range.end.checked_add(1);
            }
            assert_eq!(next, None, "the last of {count} ends at the top");
        }
    }
}
