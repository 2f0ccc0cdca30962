//! Which shard takes which hash key, and so where records go. Pure: [`fetch`](crate::fetch) makes
//! the calls, [`refresh`](crate::refresh) says when.

use std::collections::BTreeMap;
use std::sync::Arc;

use shardwise_types::{HashKey, HashKeyRange, SequenceNumber, Shard, ShardId};

/// A shard as records are bound for it.
///
/// A stream that was deleted and created again has the same ids: the range and the first sequence
/// number tell its shards from those of before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) shard_id: ShardId,
    pub(crate) range: HashKeyRange,
    pub(crate) first: SequenceNumber,
}

/// The shards of a stream at one time. It never changes; a new listing makes a new one.
#[derive(Debug)]
pub(crate) struct ShardMap {
    /// The open shards by the end of their range.
    open: Vec<Arc<Target>>,
    /// Every shard of the listing, closed ones included: where a record was stored.
    shards: BTreeMap<ShardId, Arc<Target>>,
}

impl ShardMap {
    pub(crate) fn new(listed: Vec<Shard>) -> Self {
        let mut open = Vec::new();
        let mut shards = BTreeMap::new();
        for shard in listed {
            let is_open = shard.is_open();
            let target = Arc::new(Target {
                shard_id: shard.shard_id,
                range: shard.hash_key_range,
                first: shard.starting_sequence_number,
            });
            if is_open {
                open.push(target.clone());
            }
            shards.insert(target.shard_id.clone(), target);
        }
        open.sort_by_key(|target| target.range.end());
        Self { open, shards }
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

    /// A shard that is open or was, if the listing has it.
    pub(crate) fn shard(&self, shard_id: &ShardId) -> Option<&Arc<Target>> {
        self.shards.get(shard_id)
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

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

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
                let target = map.shard(&shard.shard_id).unwrap();
                prop_assert_eq!(target.range, shard.hash_key_range);
                prop_assert_eq!(map.is_open(target), shard.is_open());
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
}
