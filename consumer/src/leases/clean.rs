//! Which rows are done with: leases of finished shards that are not needed any more. Pure.
//!
//! A row goes once its shard is finished, every child has a lease and has been read from, and no
//! parent has a row. So rows go from the oldest on, a child that waits for its parents finds them,
//! and a sync never makes a row again that was removed: it stops at the children's.

use std::collections::{BTreeMap, BTreeSet};

use shardwise_types::{Shard, ShardId};

use super::lease::{Checkpoint, Lease};
use super::store::Scan;

/// The leases to delete, given all leases and all shards of the stream.
pub(crate) fn finished<'a>(table: &'a Scan, shards: &[Shard]) -> Vec<&'a Lease> {
    let rows: BTreeMap<&str, Option<&Lease>> = table
        .leases
        .iter()
        .map(|lease| (lease.shard_id().as_str(), Some(lease)))
        .chain(table.unreadable.iter().map(|row| (row.key(), None)))
        .collect();
    let children = children(table, shards);
    let listed: BTreeSet<&ShardId> = shards.iter().map(|shard| &shard.shard_id).collect();
    let is_finished = |lease: &&Lease| {
        let children = children.get(lease.shard_id());
        let is_followed = match children {
            Some(children) => children.iter().all(|child| {
                let row = rows.get(child.as_str()).copied().flatten();
                row.is_some_and(has_begun)
            }),
            // No child is known. If the stream has forgotten the shard, none will be.
            None => !listed.contains(lease.shard_id()),
        };
        let is_oldest = !lease
            .parents
            .iter()
            .any(|id| rows.contains_key(id.as_str()));
        lease.is_ended() && is_followed && is_oldest
    };
    table.leases.iter().filter(is_finished).collect()
}

/// Children by parent, from whoever knows of them: an older KCL does not write them to the parent's
/// row, and the stream forgets them at last.
fn children<'a>(
    table: &'a Scan,
    shards: &'a [Shard],
) -> BTreeMap<&'a ShardId, BTreeSet<&'a ShardId>> {
    let mut children: BTreeMap<&ShardId, BTreeSet<&ShardId>> = BTreeMap::new();
    let mut add = |parent: &'a ShardId, child: &'a ShardId| {
        children.entry(parent).or_default().insert(child);
    };
    for lease in &table.leases {
        lease
            .children
            .iter()
            .for_each(|child| add(lease.shard_id(), child));
        lease
            .parents
            .iter()
            .for_each(|parent| add(parent, lease.shard_id()));
    }
    for shard in shards {
        shard
            .parents()
            .for_each(|parent| add(parent, &shard.shard_id));
    }
    children
}

/// A checkpoint was written since the lease was made, so its parents are behind it.
fn has_begun(lease: &Lease) -> bool {
    match lease.checkpoint {
        Checkpoint::At { .. } | Checkpoint::ShardEnd => true,
        Checkpoint::AtTimestamp | Checkpoint::TrimHorizon | Checkpoint::Latest => false,
    }
}
