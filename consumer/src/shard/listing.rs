//! What ListShards says about one shard: whether it is open, closed, or not there. The listing is asked
//! where a read gave no iterator or found no shard; what follows from the answer is `fetch`'s part.

use shardwise_client::{ChildShard, Error, Kinesis, ShardFilter};
use shardwise_types::{Shard, ShardId, StreamName};

use crate::stream_check::{is_gone, may_be_gone};

/// What a listing says about a shard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ShardListing {
    Open,
    /// Closed, with these children.
    Closed(Vec<ChildShard>),
    /// Not listed, though there are others; these call it their parent.
    Absent(Vec<ChildShard>),
    StreamGone,
}

impl ShardListing {
    /// Lists the stream's shards.
    ///
    /// # Errors
    /// If the service gives no listing, and does not say that the stream is gone.
    pub(crate) async fn ask(
        kinesis: &Kinesis,
        stream: &StreamName,
        shard_id: &ShardId,
    ) -> Result<Self, Error> {
        match kinesis.list_shards(stream, ShardFilter::All).await {
            Ok(shards) => Ok(Self::of(shard_id, &shards)),
            Err(error) if may_be_gone(&error) => match is_gone(kinesis, stream).await? {
                true => Ok(Self::StreamGone),
                false => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    fn of(shard_id: &ShardId, shards: &[Shard]) -> Self {
        let children = || {
            shards
                .iter()
                .filter(|shard| shard.parents().any(|parent| parent == shard_id))
                .map(child)
                .collect()
        };
        match shards.iter().find(|shard| shard.shard_id == *shard_id) {
            Some(shard) if shard.is_open() => Self::Open,
            Some(_) => Self::Closed(children()),
            None => Self::Absent(children()),
        }
    }
}

fn child(shard: &Shard) -> ChildShard {
    let parents = shard.parents().cloned().collect();
    ChildShard::new(shard.shard_id.clone(), parents, shard.hash_key_range)
}

#[cfg(test)]
mod tests {
    use shardwise_types::HashKeyRange;

    use super::*;

    fn shard(number: u32, parents: &[u32], is_open: bool) -> Shard {
        let mut shard = Shard::new(
            ShardId::from_number(number),
            HashKeyRange::FULL,
            "1".parse().unwrap(),
        );
        let mut parents = parents.iter().map(|parent| ShardId::from_number(*parent));
        shard.parent_shard_id = parents.next();
        shard.adjacent_parent_shard_id = parents.next();
        shard.ending_sequence_number = (!is_open).then(|| "9".parse().unwrap());
        shard
    }

    fn children(listing: ShardListing) -> Vec<(u32, usize)> {
        let (ShardListing::Closed(children) | ShardListing::Absent(children)) = listing else {
            return Vec::new();
        };
        let child =
            |child: ChildShard| (child.shard_id.number().unwrap(), child.parent_shards.len());
        children.into_iter().map(child).collect()
    }

    #[test]
    fn the_listing_tells_an_open_shard_from_a_closed_and_a_forgotten_one() {
        let one = ShardId::from_number(1);
        let open = [shard(0, &[], true), shard(1, &[], true)];
        assert_eq!(ShardListing::of(&one, &open), ShardListing::Open);

        let merged = [
            shard(0, &[], false),
            shard(1, &[], false),
            shard(2, &[0, 1], true),
        ];
        assert_eq!(children(ShardListing::of(&one, &merged)), [(2, 2)]);

        let late = [shard(0, &[], false), shard(1, &[], false)];
        assert_eq!(
            ShardListing::of(&one, &late),
            ShardListing::Closed(Vec::new())
        );

        let forgotten = [shard(2, &[1], true), shard(3, &[1], true)];
        assert!(matches!(
            ShardListing::of(&one, &forgotten),
            ShardListing::Absent(_)
        ));
        assert_eq!(
            children(ShardListing::of(&one, &forgotten)),
            [(2, 1), (3, 1)]
        );
    }
}
