//! Which shards wait for their parents, and which parents to ask about next. Pure.
//!
//! A parent is done once its lease is at its end, and stays so. Most of them are found by looks at
//! the table, or end at this very worker. Reads are for the rest: for a parent without a row, which an
//! old look may just not show, and for one that another worker reads, so that its child does not wait
//! for the next look. ParentGate are asked about, not children: those of a split share the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use crate::leases::{Lease, LeaseKey};

/// The time between two rounds of reads: a child is to start within a second of its last parent's
/// end, so a round and its answer take less.
pub(crate) const BETWEEN_ROUNDS: Duration = Duration::from_millis(500);

/// Reads of parents that are under way at the most, and that a round begins: a reshard of the whole
/// stream must not turn into a storm on the table (at most 32 reads a second and worker), and more
/// parents than this are found by the next look.
pub(crate) const READS_AT_ONCE: usize = 16;

/// Shards that wait, and what is known of their parents.
#[derive(Debug, Default)]
pub(crate) struct ParentGate {
    /// For each shard that waits its parents that are not known to be done.
    waiting: BTreeMap<LeaseKey, BTreeSet<LeaseKey>>,
    /// The same the other way round: for each such parent the shards that wait for it.
    awaited: BTreeMap<LeaseKey, BTreeSet<LeaseKey>>,
    /// ParentGate to ask about as soon as there is room: nothing is known of them.
    urgent: BTreeSet<LeaseKey>,
    /// ParentGate that are being asked about.
    asking: BTreeSet<LeaseKey>,
    /// Where the last round ended.
    last: Option<LeaseKey>,
}

impl ParentGate {
    /// A shard waits from now on.
    pub(crate) fn wait(&mut self, child: &LeaseKey, parents: impl IntoIterator<Item = LeaseKey>) {
        self.forget(child);
        let parents: BTreeSet<_> = parents.into_iter().collect();
        for parent in &parents {
            let children = self.awaited.entry(parent.clone()).or_default();
            children.insert(child.clone());
            self.urgent.insert(parent.clone());
        }
        self.waiting.insert(child.clone(), parents);
    }

    /// A shard waits no more.
    pub(crate) fn forget(&mut self, child: &LeaseKey) {
        for parent in self.waiting.remove(child).into_iter().flatten() {
            if let Some(children) = self.awaited.get_mut(&parent) {
                children.remove(child);
                if children.is_empty() {
                    self.awaited.remove(&parent);
                    self.urgent.remove(&parent);
                }
            }
        }
    }

    /// Whether any shard waits.
    pub(crate) fn are_awaited(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// A look at the table showed these leases, and rows of these names that could not be
    /// understood. Gives the shards that may start.
    pub(crate) fn seen<'a>(
        &mut self,
        leases: &[Lease],
        unreadable: impl IntoIterator<Item = &'a str>,
    ) -> Vec<LeaseKey> {
        if self.awaited.is_empty() {
            return Vec::new();
        }
        let unreadable: BTreeSet<_> = unreadable.into_iter().collect();
        let rows: BTreeMap<_, _> = leases
            .iter()
            .map(|lease| (&lease.key, lease.is_ended()))
            .collect();
        let mut ended = Vec::new();
        for parent in self.awaited.keys() {
            match rows.get(parent) {
                Some(true) => ended.push(parent.clone()),
                Some(false) => {}
                // The row may be younger than the look.
                None if !unreadable.contains(parent.to_string().as_str()) => {
                    self.urgent.insert(parent.clone());
                }
                None => {}
            }
        }
        ended.iter().flat_map(|parent| self.done(parent)).collect()
    }

    /// A parent is done. Gives the shards that may start.
    pub(crate) fn done(&mut self, parent: &LeaseKey) -> Vec<LeaseKey> {
        self.urgent.remove(parent);
        let mut ready = Vec::new();
        for child in self.awaited.remove(parent).into_iter().flatten() {
            if let Some(parents) = self.waiting.get_mut(&child) {
                parents.remove(parent);
                if parents.is_empty() {
                    self.waiting.remove(&child);
                    ready.push(child);
                }
            }
        }
        ready
    }

    /// There was an answer about this parent, or none.
    pub(crate) fn answered(&mut self, parent: &LeaseKey) {
        self.asking.remove(parent);
    }

    /// It is time for another round: parents of which nothing new is known take their turns.
    pub(crate) fn round(&mut self) {
        let room = READS_AT_ONCE.saturating_sub(self.urgent.len());
        let last = self.last.take();
        let (behind, before) = match &last {
            Some(last) => ((Bound::Excluded(last), Bound::Unbounded), Some(..=last)),
            None => ((Bound::Unbounded, Bound::Unbounded), None),
        };
        let behind = self.awaited.range::<LeaseKey, _>(behind);
        let before = before.map(|before| self.awaited.range::<LeaseKey, _>(before));
        let turns: Vec<_> = behind
            .chain(before.into_iter().flatten())
            .map(|(parent, _)| parent.clone())
            .take(room)
            .collect();
        self.last = turns.last().cloned().or(last);
        self.urgent.extend(turns);
    }

    /// The parents to ask about now, each by one read. To be called after anything else here.
    pub(crate) fn ask_now(&mut self) -> Vec<LeaseKey> {
        let room = READS_AT_ONCE.saturating_sub(self.asking.len());
        let now: Vec<_> = self
            .urgent
            .iter()
            .filter(|parent| !self.asking.contains(*parent))
            .take(room)
            .cloned()
            .collect();
        for parent in &now {
            self.urgent.remove(parent);
            self.asking.insert(parent.clone());
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use shardwise_types::ShardId;

    use super::*;
    use crate::leases::Checkpoint;

    fn id(number: u32) -> LeaseKey {
        ShardId::from_number(number).into()
    }

    fn ids(numbers: impl IntoIterator<Item = u32>) -> Vec<LeaseKey> {
        numbers.into_iter().map(id).collect()
    }

    fn lease(number: u32, checkpoint: Checkpoint) -> Lease {
        Lease::new(id(number), checkpoint)
    }

    /// Two children of each of so many parents, numbered from 1000.
    fn split(parents: u32) -> ParentGate {
        let mut all = ParentGate::default();
        for parent in 0..parents {
            all.wait(&id(1000 + 2 * parent), [id(parent)]);
            all.wait(&id(1001 + 2 * parent), [id(parent)]);
        }
        all
    }

    #[test]
    fn each_parent_is_asked_about_once_at_a_time_and_only_so_many() {
        let mut parents = split(100);
        let (mut asked, mut reads) = (BTreeSet::new(), 0);
        let mut under_way = parents.ask_now();
        assert_eq!(under_way.len(), READS_AT_ONCE);
        assert_eq!(parents.ask_now(), [], "no room");
        while let Some(parent) = under_way.pop() {
            reads += 1;
            assert!(asked.insert(parent.clone()), "{parent} twice");
            parents.answered(&parent);
            under_way.extend(parents.ask_now());
            assert!(under_way.len() <= READS_AT_ONCE);
        }
        assert_eq!(reads, 100, "one read for two children");
        parents.round();
        assert_eq!(parents.ask_now().len(), READS_AT_ONCE);
        parents.round();
        assert_eq!(parents.ask_now(), [], "the last round is not answered");
    }

    #[test]
    fn rounds_take_every_parent_in_turn() {
        let mut parents = split(40);
        parents.urgent.clear();
        let mut asked = Vec::new();
        for _ in 0..5 {
            parents.round();
            let now = parents.ask_now();
            now.iter().for_each(|parent| parents.answered(parent));
            asked.extend(now);
        }
        assert_eq!(asked.len(), 5 * READS_AT_ONCE);
        for parent in 0..40 {
            let times = asked.iter().filter(|asked| **asked == id(parent)).count();
            assert_eq!(times, 2, "{parent}");
        }
    }

    #[test]
    fn a_look_decides_what_it_shows_and_only_a_parent_without_a_row_is_read() {
        let mut parents = split(3);
        parents.wait(&id(2000), [id(3), id(4)]);
        parents.urgent.clear();
        let leases = [
            lease(0, Checkpoint::ShardEnd),
            lease(1, Checkpoint::TrimHorizon),
            lease(3, Checkpoint::ShardEnd),
        ];
        let broken = id(4).to_string();
        assert_eq!(parents.seen(&leases, [broken.as_str()]), ids([1000, 1001]));
        assert_eq!(parents.ask_now(), ids([2]), "no row");
        assert_eq!(parents.done(&id(2)), ids([1004, 1005]));
        assert_eq!(parents.done(&id(4)), ids([2000]));
        assert!(parents.are_awaited());
        parents.forget(&id(1002));
        parents.forget(&id(1003));
        assert!(!parents.are_awaited());
    }
}
