//! From shards to leases: which leases are missing, and when a shard may start. Pure.
//!
//! The rule is the KCL's, so that Rust and Java workers of one table agree:
//!
//! - An empty table gets one lease for each shard of a listing that is filtered by the initial
//!   position. Together they must cover the ring of hash keys, else records would be missed.
//! - In a table with leases, an open shard without one is either a descendant of shards that have
//!   leases or not. A descendant gets its lease when its parents are done, usually from the worker
//!   that reads them, so here only if that has failed; and those of its ancestors that no worker has
//!   read get theirs first. Any other shard begins at the initial position: `LATEST` with the shard
//!   itself, the others with its oldest ancestors that are still there.
//!
//! <https://docs.aws.amazon.com/streams/latest/dev/kcl-concepts.html>

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use shardwise_client::{ChildShard, ShardFilter};
use shardwise_types::{HashKey, Shard, ShardId};

use super::lease::{Checkpoint, Lease};
use super::store::Scan;

/// Where an application begins in a shard that it knows nothing of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    TrimHorizon,
    /// With what comes after this time, which the lease keeps.
    Latest {
        started_at: SystemTime,
    },
    /// With what came at this time or later. The lease does not keep the time.
    AtTimestamp(SystemTime),
}

/// A listing of shards that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SyncError {
    /// List them again; if it stays so, records of these hash keys would be missed.
    #[error("no shard of the listing takes the hash keys {start} to {end}")]
    Hole { start: HashKey, end: HashKey },
}

/// Which shards [`missing_leases`] needs to see.
pub(crate) fn listing(table: &Scan, start: Start) -> ShardFilter {
    if !is_empty(table) {
        return ShardFilter::All;
    }
    match start {
        Start::TrimHorizon => ShardFilter::AtTrimHorizon,
        Start::Latest { .. } => ShardFilter::AtLatest,
        Start::AtTimestamp(time) => ShardFilter::AtTimestamp(time),
    }
}

/// The leases that the table lacks, given the shards of [`listing`], in the order in which the
/// shards began. Once they are created, the answer is none.
///
/// # Errors
/// [`SyncError::Hole`], for an empty table only: a table with leases heals with the next sync.
pub(crate) fn missing_leases(
    shards: &[Shard],
    table: &Scan,
    start: Start,
) -> Result<Vec<Lease>, SyncError> {
    let lease = |(shard, start)| lease_of(shard, start);
    let mut missing: Vec<(&Shard, Start)> = if is_empty(table) {
        check_cover(shards)?;
        shards.iter().map(|shard| (shard, start)).collect()
    } else {
        // What is created may be what something else waits for.
        let (mut table, mut missing) = (table.clone(), Vec::new());
        loop {
            let more = Family::new(shards, &table).missing(start);
            if more.is_empty() {
                break missing;
            }
            table.leases.extend(more.iter().cloned().map(lease));
            missing.extend(more);
        }
    };
    sort_by_age(&mut missing);
    Ok(missing.into_iter().map(lease).collect())
}

/// The leases that must be there before the children of a shard that ends here get theirs: those of
/// their other parents, as far as they have none, and of what is to be read before these, in the order
/// in which the shards began. `ended` is the row of the ending shard as it was claimed; `shards` are all
/// that the stream lists.
///
/// Without them a child would start although no worker has read that parent, or ever would. They begin
/// where nothing is left out: a descendant of leased shards at its beginning, since all that is in it
/// came after the application began. Another shard, and what it descends from, begins at the
/// application's start. For `LATEST` that is the time that stands in the row of the ending shard, since
/// both were open then. It is never "now", when the parent is closed already; and if the time stands
/// there no more, since the shard has a checkpoint, it is the beginning.
pub(crate) fn missing_parents(
    children: &[ChildShard],
    ended: &Lease,
    shards: &[Shard],
    table: &Scan,
    start: Start,
) -> Vec<Lease> {
    let mut family = Family::new(shards, table);
    family.note_begin(ended);
    let parents = || children.iter().flat_map(|child| &child.parent_shards);
    let mut missing: Vec<(&Shard, Start)> = Vec::new();
    let mut met = BTreeSet::new();
    let mut wanted: Vec<(&ShardId, Option<Start>)> = parents().map(|id| (id, None)).collect();
    while let Some((shard_id, below)) = wanted.pop() {
        if family.leased.contains_key(shard_id) || !met.insert(shard_id) {
            continue;
        }
        let Some(shard) = family.shards.get(shard_id).copied() else {
            continue;
        };
        let is_descendant = family.descendants.contains(shard_id);
        let start = match (start, below) {
            (Start::Latest { .. }, _) if is_descendant => Start::TrimHorizon,
            (Start::Latest { .. }, Some(below)) => below,
            (Start::Latest { .. }, None) => family
                .began_beside(shard)
                .map_or(Start::TrimHorizon, |started_at| Start::Latest {
                    started_at,
                }),
            (start, _) => start,
        };
        missing.push((shard, start));
        let below = (!is_descendant).then_some(start);
        wanted.extend(shard.parents().map(|id| (id, below)));
    }
    sort_by_age(&mut missing);
    // A listing may lack a shard for a while. Whoever reads it finds out whether it is gone.
    let is_unlisted =
        |id: &&ShardId| !family.leased.contains_key(*id) && !family.shards.contains_key(*id);
    let unlisted: BTreeSet<&ShardId> = parents().filter(is_unlisted).collect();
    let unlisted = unlisted
        .into_iter()
        .map(|id| Lease::new(id.clone(), Checkpoint::TrimHorizon));
    let listed = missing
        .into_iter()
        .map(|(shard, start)| lease_of(shard, start));
    unlisted.chain(listed).collect()
}

/// Whether a shard may start, given the leases of its parents as far as they have one. A parent
/// without a lease is done and cleaned up, or older than the application.
pub(crate) fn may_start<'a>(parents: impl IntoIterator<Item = Option<&'a Lease>>) -> bool {
    parents
        .into_iter()
        .all(|parent| parent.is_none_or(Lease::is_ended))
}

/// A row that cannot be read is a row all the same.
fn is_empty(table: &Scan) -> bool {
    table.leases.is_empty() && table.unreadable.is_empty()
}

/// Overlaps are fine: a child waits for its parents.
fn check_cover(shards: &[Shard]) -> Result<(), SyncError> {
    let mut ranges: Vec<_> = shards.iter().map(|shard| shard.hash_key_range).collect();
    ranges.sort_by_key(|range| range.start());
    // The lowest hash key that no shard so far takes.
    let mut open = Some(HashKey::MIN);
    for range in ranges {
        let Some(lowest) = open else { break };
        if lowest < range.start() {
            return Err(SyncError::Hole {
                start: lowest,
                end: HashKey::new(range.start().get() - 1),
            });
        }
        if range.end() >= lowest {
            open = range.end().get().checked_add(1).map(HashKey::new);
        }
    }
    match open {
        None => Ok(()),
        Some(start) => Err(SyncError::Hole {
            start,
            end: HashKey::MAX,
        }),
    }
}

/// The shards of a stream by descent, and which of them have leases.
struct Family<'a> {
    shards: BTreeMap<&'a ShardId, &'a Shard>,
    leased: BTreeMap<ShardId, Leased>,
    /// When a `LATEST` began, of the leases that say so.
    began: BTreeMap<ShardId, SystemTime>,
    descendants: BTreeSet<&'a ShardId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leased {
    Ended,
    /// Or unreadable, which is as good as unfinished: no worker may go past it.
    Unfinished,
}

impl<'a> Family<'a> {
    fn new(shards: &'a [Shard], table: &Scan) -> Self {
        let unreadable = table
            .unreadable
            .iter()
            .filter_map(|row| row.key().parse().ok());
        let leased: BTreeMap<ShardId, Leased> = table
            .leases
            .iter()
            .map(|lease| {
                let state = match lease.is_ended() {
                    true => Leased::Ended,
                    false => Leased::Unfinished,
                };
                (lease.shard_id().clone(), state)
            })
            .chain(unreadable.map(|shard_id| (shard_id, Leased::Unfinished)))
            .collect();
        let descendants = descendants(shards, &leased);
        let shards = shards
            .iter()
            .map(|shard| (&shard.shard_id, shard))
            .collect();
        let mut family = Self {
            shards,
            leased,
            began: BTreeMap::new(),
            descendants,
        };
        for lease in &table.leases {
            family.note_begin(lease);
        }
        family
    }

    fn note_begin(&mut self, lease: &Lease) {
        if let (Checkpoint::Latest, Some(time)) = (&lease.checkpoint, lease.started_at) {
            self.began.insert(lease.shard_id().clone(), time);
        }
    }

    /// When a `LATEST` began in a shard that was merged with this one: they were open at the same time.
    fn began_beside(&self, shard: &Shard) -> Option<SystemTime> {
        let id = &shard.shard_id;
        self.shards
            .values()
            .filter(|child| child.parents().any(|parent| parent == id))
            .flat_map(|child| child.parents())
            .filter_map(|parent| self.began.get(parent).copied())
            .min()
    }

    fn missing(&self, start: Start) -> Vec<(&'a Shard, Start)> {
        let mut missing = Vec::new();
        let mut met = BTreeSet::new();
        let open = self.shards.values().filter(|shard| shard.is_open());
        let mut wanted: Vec<&Shard> = open.copied().collect();
        while let Some(shard) = wanted.pop() {
            if self.leased.contains_key(&shard.shard_id) || !met.insert(&shard.shard_id) {
                continue;
            }
            let is_descendant = self.descendants.contains(&shard.shard_id);
            let (mut unread, mut unfinished, mut forgotten) = (false, false, false);
            if is_descendant || !matches!(start, Start::Latest { .. }) {
                for parent in shard.parents() {
                    match (self.leased.get(parent), self.shards.get(parent)) {
                        (Some(Leased::Ended), _) => {}
                        (Some(Leased::Unfinished), _) => unfinished = true,
                        (None, Some(parent)) => {
                            wanted.push(parent);
                            unread = true;
                        }
                        // Older than the stream's memory.
                        (None, None) => forgotten = true,
                    }
                }
            }
            // Whoever reads the unfinished parent will make the lease, except that of a merged shard
            // whose other parent has none. If that one is forgotten, it will never have one.
            let waits = unread || (unfinished && !forgotten);
            if !waits {
                let start = match start {
                    // Between the application's last record and the first of a descendant nothing
                    // may be left out.
                    Start::Latest { .. } if is_descendant => Start::TrimHorizon,
                    Start::Latest { started_at } => Start::Latest {
                        started_at: self.began_beside(shard).unwrap_or(started_at),
                    },
                    start => start,
                };
                missing.push((shard, start));
            }
        }
        missing
    }
}

/// The shards below those that have leases.
fn descendants<'a>(
    shards: &'a [Shard],
    leased: &BTreeMap<ShardId, Leased>,
) -> BTreeSet<&'a ShardId> {
    let mut children: BTreeMap<&ShardId, Vec<&ShardId>> = BTreeMap::new();
    for shard in shards {
        for parent in shard.parents() {
            children.entry(parent).or_default().push(&shard.shard_id);
        }
    }
    let children = |parent: &ShardId| children.get(parent).into_iter().flatten().copied();
    let mut found = BTreeSet::new();
    let mut next: Vec<&ShardId> = leased.keys().flat_map(children).collect();
    while let Some(shard_id) = next.pop() {
        if found.insert(shard_id) {
            next.extend(children(shard_id));
        }
    }
    found
}

/// Parents before their children: so no child has a row while a parent still lacks its own.
fn sort_by_age(missing: &mut [(&Shard, Start)]) {
    missing.sort_by_key(|(shard, _)| (&shard.starting_sequence_number, &shard.shard_id));
}

fn lease_of(shard: &Shard, start: Start) -> Lease {
    let mut lease = Lease::new(shard.shard_id.clone(), start.checkpoint());
    lease.parents = shard.parents().cloned().collect();
    lease.hash_key_range = Some(shard.hash_key_range);
    if let Start::Latest { started_at } = start {
        lease.started_at = Some(started_at);
    }
    lease
}

impl Start {
    fn checkpoint(self) -> Checkpoint {
        match self {
            Self::TrimHorizon => Checkpoint::TrimHorizon,
            Self::Latest { .. } => Checkpoint::Latest,
            Self::AtTimestamp(_) => Checkpoint::AtTimestamp,
        }
    }
}
