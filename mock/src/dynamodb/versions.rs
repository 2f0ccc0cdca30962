//! What items were until a moment ago, for reads that may be stale.
//!
//! A read without `ConsistentRead` is answered by the service from any of its replicas. Here it
//! sees each item as it was at some time up to [`Versions::new`]'s limit ago, drawn per item and
//! read. An index is the table's items by another key, so a read of an index is made stale by
//! making its table stale first. Transactions and conditions always see the present.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use shardwise_env::Instant;

use super::key::ItemKey;
use super::value::Item;

/// The past of a table's items, as far back as a stale read may look.
#[derive(Debug, Clone, Default)]
pub(super) struct Versions {
    keep: Duration,
    past: BTreeMap<ItemKey, VecDeque<Version>>,
    /// When all items were last looked through for versions too old to be read.
    pruned: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Version {
    /// None where there was no item.
    item: Option<Item>,
    /// When it was replaced.
    until: Instant,
}

impl Versions {
    /// Keeps what was replaced for that long; no time keeps nothing.
    pub(super) fn new(keep: Duration) -> Self {
        Self {
            keep,
            ..Self::default()
        }
    }

    /// Keeps what is replaced from now on for that long.
    pub(super) fn keep_for(&mut self, keep: Duration) {
        self.keep = keep;
    }

    /// Notes what an item was until now.
    pub(super) fn record(&mut self, key: &ItemKey, item: Option<Item>, now: Instant) {
        if self.keep.is_zero() {
            return;
        }
        if self.pruned.is_none_or(|pruned| now >= pruned + self.keep) {
            self.pruned = Some(now);
            let keep = self.keep;
            self.past.retain(|_, versions| {
                versions.retain(|version| version.until + keep > now);
                !versions.is_empty()
            });
        }
        let versions = self.past.entry(key.clone()).or_default();
        versions.push_back(Version { item, until: now });
    }

    /// The keys of the items that were something else.
    pub(super) fn keys(&self) -> impl Iterator<Item = &ItemKey> {
        self.past.keys()
    }

    /// What the item was that long ago, if that is not what it is now.
    pub(super) fn of_age(
        &self,
        key: &ItemKey,
        age: Duration,
        now: Instant,
    ) -> Option<Option<&Item>> {
        let versions = self.past.get(key)?;
        // Versions are in order of time: the first that ended later is the one of that time.
        let version = versions.iter().find(|version| version.until + age > now)?;
        Some(version.item.as_ref())
    }
}
