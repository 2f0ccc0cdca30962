//! Which shard takes which hash key, and when to ask again. Pure: [`fetch`](crate::fetch) makes the
//! calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shardwise_env::Instant;
use shardwise_types::{HashKey, HashKeyRange, Shard, ShardId};

/// Between two fetches at least: a landing on an unknown shard asks for a new map at once, and a
/// call in flight may bring dozens of them.
const FETCH_SPACING: Duration = Duration::from_millis(200);

/// An open shard as records are bound for it.
///
/// A range of its own besides the id: a stream that was deleted and made again has the same ids
/// with other ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) shard_id: ShardId,
    pub(crate) range: HashKeyRange,
}

/// The shards of a stream at one time. It never changes; a new listing makes a new one.
#[derive(Debug)]
pub(crate) struct ShardMap {
    /// The open shards by the end of their range.
    open: Vec<Arc<Target>>,
    /// The range of every shard of the listing, closed ones included: where a record landed.
    ranges: BTreeMap<ShardId, HashKeyRange>,
}

impl ShardMap {
    pub(crate) fn new(shards: Vec<Shard>) -> Self {
        let ranges = shards
            .iter()
            .map(|shard| (shard.shard_id.clone(), shard.hash_key_range))
            .collect();
        let mut open: Vec<_> = shards
            .into_iter()
            .filter(Shard::is_open)
            .map(|shard| {
                Arc::new(Target {
                    shard_id: shard.shard_id,
                    range: shard.hash_key_range,
                })
            })
            .collect();
        open.sort_by_key(|target| target.range.end());
        Self { open, ranges }
    }

    /// The open shards, by the end of their range.
    pub(crate) fn open(&self) -> &[Arc<Target>] {
        &self.open
    }

    /// The open shard that takes this hash key, by its index among the open ones. `None` in a hole
    /// of the listing: such a record travels alone, which is always right.
    pub(crate) fn route(&self, hash_key: HashKey) -> Option<usize> {
        let index = self
            .open
            .partition_point(|target| target.range.end() < hash_key);
        let target = self.open.get(index)?;
        target.range.contains(hash_key).then_some(index)
    }

    /// Whether the shard is still open, with this range.
    pub(crate) fn is_open(&self, target: &Target) -> bool {
        self.route(target.range.end())
            .is_some_and(|index| *self.open[index] == *target)
    }

    /// The hash keys that a shard owns or owned, if the listing has it.
    pub(crate) fn range(&self, shard_id: &ShardId) -> Option<HashKeyRange> {
        self.ranges.get(shard_id).copied()
    }
}

/// Where records go, as far as that is known.
#[derive(Debug, Clone)]
pub(crate) enum Routing {
    /// Nothing is known yet: records are held.
    Unknown,
    /// Every record travels alone.
    Loose,
    /// Records for the same shard travel together.
    Aggregate(Arc<ShardMap>),
}

impl Routing {
    /// Whether records that were put together for this shard may still be sent together.
    pub(crate) fn serves(&self, target: &Target) -> bool {
        match self {
            Self::Unknown | Self::Loose => false,
            Self::Aggregate(map) => map.is_open(target),
        }
    }
}

/// When to fetch the map: at the start, when a record is stored where the map did not say, and when
/// the map has grown old. While no record is under way none is needed: that the caller decides.
#[derive(Debug)]
pub(crate) struct Refresh {
    max_age: Duration,
    due: Option<Instant>,
    /// Set while a fetch runs: whether another must follow, since it began before it was needed.
    running: Option<Again>,
    /// No fetch begins before.
    not_before: Option<Instant>,
    fetched_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    No,
    Yes,
}

impl Refresh {
    /// A fetch is due at once.
    pub(crate) fn new(max_age: Duration, now: Instant) -> Self {
        Self {
            max_age,
            due: Some(now),
            running: None,
            not_before: None,
            fetched_at: None,
        }
    }

    /// Something happened that a map fetched before now cannot explain.
    pub(crate) fn need(&mut self, now: Instant) {
        if let Some(again) = &mut self.running {
            *again = Again::Yes;
            return;
        }
        let earliest = self.not_before.map_or(now, |limit| limit.max(now));
        self.due = Some(self.due.map_or(earliest, |due| due.min(earliest)));
    }

    /// Whether a fetch is to begin now; if so it counts as begun.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        if self.running.is_some() {
            return false;
        }
        if self.fetched_at.is_some_and(|at| at + self.max_age <= now) {
            self.need(now);
        }
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            self.due = None;
            self.running = Some(Again::No);
        }
        due
    }

    /// The fetch succeeded.
    pub(crate) fn succeeded(&mut self, now: Instant) {
        let again = self.running.take();
        self.fetched_at = Some(now);
        self.not_before = Some(now + FETCH_SPACING);
        if again == Some(Again::Yes) {
            self.need(now);
        }
    }

    /// The fetch failed, or was of no use: once more after `delay`.
    pub(crate) fn failed(&mut self, now: Instant, delay: Duration) {
        self.running = None;
        let next = now + delay;
        self.not_before = Some(next);
        self.due = Some(next);
    }

    /// When the next fetch is to begin, for those who use the map; `None` while one runs.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.running.is_some() {
            return None;
        }
        let old = self.fetched_at.map(|at| at + self.max_age);
        let old = old.map(|at| self.not_before.map_or(at, |limit| limit.max(at)));
        self.due.into_iter().chain(old).min()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use shardwise_env::Env;

    use super::*;

    /// A stream that is split and merged, as the service does it.
    #[derive(Debug, Default)]
    pub(crate) struct Stream {
        pub(crate) shards: Vec<Shard>,
    }

    impl Stream {
        pub(crate) fn new(shards: u32) -> Self {
            let width = u128::MAX / u128::from(shards);
            let mut stream = Self::default();
            for index in 0..u128::from(shards) {
                let end = if index + 1 == u128::from(shards) {
                    u128::MAX
                } else {
                    (index + 1) * width - 1
                };
                stream.add(index * width, end);
            }
            stream
        }

        fn add(&mut self, start: u128, end: u128) {
            let range = HashKeyRange::new(HashKey::new(start), HashKey::new(end)).unwrap();
            let id = ShardId::from_number(u32::try_from(self.shards.len()).unwrap());
            self.shards
                .push(Shard::new(id, range, "1".parse().unwrap()));
        }

        fn open(&self) -> Vec<usize> {
            let mut open: Vec<_> = (0..self.shards.len())
                .filter(|&index| self.shards[index].is_open())
                .collect();
            open.sort_by_key(|&index| self.shards[index].hash_key_range.start());
            open
        }

        fn close(&mut self, index: usize) -> (u128, u128) {
            let shard = &mut self.shards[index];
            shard.ending_sequence_number = Some("2".parse().unwrap());
            let range = shard.hash_key_range;
            (range.start().get(), range.end().get())
        }

        pub(crate) fn split(&mut self, choice: usize, at: u128) {
            let open = self.open();
            let index = open[choice % open.len()];
            let range = self.shards[index].hash_key_range;
            if range.start() == range.end() {
                return;
            }
            let (start, end) = self.close(index);
            let at = start + 1 + at % (end - start);
            self.add(start, at - 1);
            self.add(at, end);
        }

        pub(crate) fn merge(&mut self, choice: usize) {
            let open = self.open();
            if open.len() < 2 {
                return;
            }
            let left = choice % (open.len() - 1);
            let (start, _) = self.close(open[left]);
            let (_, end) = self.close(open[left + 1]);
            self.add(start, end);
        }

        pub(crate) fn map(&self) -> ShardMap {
            ShardMap::new(self.shards.clone())
        }
    }

    proptest! {
        #[test]
        fn every_hash_key_goes_to_exactly_one_open_shard_after_any_reshards(
            shards in 1..5_u32,
            changes in prop::collection::vec((any::<bool>(), any::<usize>(), any::<u128>()), 0..30),
            keys in prop::collection::vec(any::<u128>(), 1..20),
        ) {
            let mut stream = Stream::new(shards);
            for (split, choice, at) in changes {
                if split { stream.split(choice, at) } else { stream.merge(choice) }
            }
            let map = stream.map();
            let edges = map.open().iter().flat_map(|target| {
                [target.range.start().get(), target.range.end().get()]
            });
            for key in keys.into_iter().chain(edges).chain([0, u128::MAX]) {
                let key = HashKey::new(key);
                let owners: Vec<_> = stream.shards.iter()
                    .filter(|shard| shard.is_open() && shard.hash_key_range.contains(key))
                    .collect();
                prop_assert_eq!(owners.len(), 1);
                let target = &map.open()[map.route(key).unwrap()];
                prop_assert_eq!(&target.shard_id, &owners[0].shard_id);
                prop_assert!(map.is_open(target));
            }
            for shard in &stream.shards {
                prop_assert_eq!(map.range(&shard.shard_id), Some(shard.hash_key_range));
                let target = Target {
                    shard_id: shard.shard_id.clone(),
                    range: shard.hash_key_range,
                };
                prop_assert_eq!(map.is_open(&target), shard.is_open());
            }
        }
    }

    #[test]
    fn a_hole_in_a_listing_is_no_shard() {
        let mut stream = Stream::new(3);
        stream.shards.remove(1);
        let map = stream.map();
        assert_eq!(map.route(HashKey::new(u128::MAX / 2)), None);
        assert!(map.route(HashKey::MIN).is_some());
        assert!(ShardMap::new(Vec::new()).route(HashKey::MIN).is_none());
    }

    #[test]
    fn a_shard_of_the_same_name_with_another_range_is_another_shard() {
        let old = Stream::new(2).map();
        let new = Stream::new(3).map();
        assert!(old.open().iter().all(|target| !new.is_open(target)));
    }

    #[test]
    fn a_map_is_fetched_once_for_many_needs_and_again_for_a_later_one() {
        let now = Env::system().now();
        let mut refresh = Refresh::new(Duration::from_secs(60), now);
        assert!(refresh.begin(now));
        assert!(!refresh.begin(now));
        refresh.succeeded(now);
        assert_eq!(refresh.due(), Some(now + Duration::from_secs(60)));

        refresh.need(now);
        refresh.need(now);
        assert!(!refresh.begin(now), "not so soon again");
        let later = now + FETCH_SPACING;
        assert!(refresh.begin(later));
        refresh.need(later);
        refresh.succeeded(later);
        assert_eq!(refresh.due(), Some(later + FETCH_SPACING));
    }

    #[test]
    fn a_map_is_fetched_again_when_it_has_grown_old() {
        let now = Env::system().now();
        let mut refresh = Refresh::new(Duration::from_secs(60), now);
        assert!(refresh.begin(now));
        refresh.succeeded(now);
        assert!(!refresh.begin(now + Duration::from_secs(59)));
        let old = now + Duration::from_secs(60);
        assert_eq!(refresh.due(), Some(old));
        assert!(refresh.begin(old));
        assert_eq!(refresh.due(), None);
        refresh.failed(old, Duration::from_secs(1));
        assert_eq!(refresh.due(), Some(old + Duration::from_secs(1)));
        assert!(!refresh.begin(old));
    }
}
