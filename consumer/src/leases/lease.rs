//! A lease: one row of the lease table, and the values in it.
//!
//! Plain data. How a row is stored: `row.rs`; what may be written to it, and when: `decide.rs`.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use shardwise_env::Env;
use shardwise_types::{HashKeyRange, Invalid, SequenceNumber, ShardId, WorkerId};

use super::key::LeaseKey;

/// Who owns a shard, and how far the application has come in it.
///
/// The meaning of the fields is the KCL's, whose workers may share the table, except for
/// `incarnation` and `started_at`, which are ours and which the KCL leaves alone.
/// <https://docs.aws.amazon.com/streams/latest/dev/kcl-dynamoDB.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The row's key: the shard.
    pub(crate) key: LeaseKey,
    /// The worker that owns it; none if it is free.
    pub(crate) owner: Option<WorkerId>,
    /// The previous owner while it hands the lease over in the KCL 3 manner. Until it is done, the
    /// lease is still its own, see [`Lease::actual_owner`].
    pub(crate) checkpoint_owner: Option<WorkerId>,
    /// Heartbeat and fence in one: every write of the holder and every change of the owner adds
    /// one, and every write is conditional on the value last seen.
    pub(crate) counter: u64,
    /// The process that claimed the lease; none if no worker of this toolkit did.
    pub(crate) incarnation: Option<Incarnation>,
    /// What is done.
    pub(crate) checkpoint: Checkpoint,
    /// What `LATEST` means, see [`Checkpoint::Latest`].
    pub(crate) started_at: Option<SystemTime>,
    /// Changes of the owner since the last checkpoint.
    pub(crate) owner_switches: u64,
    /// The shards that this one came from.
    pub(crate) parents: BTreeSet<ShardId>,
    /// The shards that follow this one, written when it ends.
    pub(crate) children: BTreeSet<ShardId>,
    /// The shard's hash keys; older KCL versions do not write them.
    pub(crate) hash_key_range: Option<HashKeyRange>,
}

impl Lease {
    /// A lease without an owner, not written yet.
    pub(crate) fn new(key: impl Into<LeaseKey>, checkpoint: Checkpoint) -> Self {
        Self {
            key: key.into(),
            owner: None,
            checkpoint_owner: None,
            counter: 0,
            incarnation: None,
            checkpoint,
            started_at: None,
            owner_switches: 0,
            parents: BTreeSet::new(),
            children: BTreeSet::new(),
            hash_key_range: None,
        }
    }

    /// The shard.
    pub(crate) fn shard_id(&self) -> &ShardId {
        self.key.shard_id()
    }

    /// The keys of the leases of its parents.
    pub(crate) fn parent_keys(&self) -> impl Iterator<Item = LeaseKey> {
        self.parents.iter().map(|parent| self.key.beside(parent))
    }

    /// The worker that may read and checkpoint: during a handover still the previous one.
    pub(crate) fn actual_owner(&self) -> Option<&WorkerId> {
        self.checkpoint_owner.as_ref().or(self.owner.as_ref())
    }

    /// Whether this process, and not another one of the same name, claimed the lease.
    pub(crate) fn is_claimed_by(&self, identity: &Identity) -> bool {
        self.is_named(identity) && self.incarnation.as_ref() == Some(&identity.incarnation)
    }

    /// Whether the lease bears this worker's name but another process claimed it: its predecessor, or a
    /// live process of the same name.
    pub(crate) fn is_of_namesake(&self, identity: &Identity) -> bool {
        self.is_named(identity) && !self.is_claimed_by(identity)
    }

    /// Whether the shard is done: every record up to its end is processed.
    pub(crate) fn is_ended(&self) -> bool {
        self.checkpoint == Checkpoint::ShardEnd
    }

    fn is_named(&self, identity: &Identity) -> bool {
        self.actual_owner() == Some(&identity.worker_id)
    }
}

/// One running worker: its name in the table, and what tells it from a namesake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) worker_id: WorkerId,
    pub(crate) incarnation: Incarnation,
}

impl Identity {
    /// A worker of this name with an incarnation that no other process has.
    pub(crate) fn new(worker_id: WorkerId, env: &Env) -> Self {
        Self {
            worker_id,
            incarnation: Incarnation::random(env),
        }
    }
}

/// What tells two processes of the same worker id apart: a random number, drawn once per worker.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Incarnation(Arc<str>);

impl Incarnation {
    /// The text that stands for "unclaimed", as the absence of the attribute does.
    const UNCLAIMED: &str = "0";

    /// A new one.
    pub(crate) fn random(env: &Env) -> Self {
        Self(format!("{:032x}", env.random_u128()).into())
    }

    /// What a row holds; `None` for "unclaimed".
    pub(crate) fn from_row(text: &str) -> Option<Self> {
        (!text.is_empty() && text != Self::UNCLAIMED).then(|| Self(text.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// How far an application has come in a shard.
///
/// The order of the variants is the KCL's order of checkpoints, strange as it looks: `AT_TIMESTAMP`
/// lies below `TRIM_HORIZON` and that below `LATEST`, so that any first checkpoint is an advance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Checkpoint {
    /// Nothing yet: begin at the time that the application is configured with. The row does not
    /// hold the time.
    AtTimestamp,
    /// Nothing yet: begin at the oldest record.
    TrimHorizon,
    /// Nothing yet: begin at what came after the lease was made. The KCL reads this as "now", at
    /// every start again, and so skips what came between two starts; our workers read from the
    /// row's `started_at`.
    Latest,
    /// This record and all before it are done.
    At {
        sequence_number: SequenceNumber,
        /// Place of the record in the aggregate that was stored under this number; 0 if it is none.
        sub_sequence: u64,
    },
    /// The shard is done.
    ShardEnd,
}

impl Checkpoint {
    const AT_TIMESTAMP: &str = "AT_TIMESTAMP";
    const TRIM_HORIZON: &str = "TRIM_HORIZON";
    const LATEST: &str = "LATEST";
    const SHARD_END: &str = "SHARD_END";

    /// From the two attributes of a row. The number counts only beside a sequence number: some
    /// writers keep other things there.
    pub(crate) fn from_row(text: &str, sub_sequence: u64) -> Result<Self, Invalid> {
        Ok(match text {
            Self::AT_TIMESTAMP => Self::AtTimestamp,
            Self::TRIM_HORIZON => Self::TrimHorizon,
            Self::LATEST => Self::Latest,
            Self::SHARD_END => Self::ShardEnd,
            number => Self::At {
                sequence_number: number.parse()?,
                sub_sequence,
            },
        })
    }

    /// The text in the row.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::AtTimestamp => Self::AT_TIMESTAMP,
            Self::TrimHorizon => Self::TRIM_HORIZON,
            Self::Latest => Self::LATEST,
            Self::At {
                sequence_number, ..
            } => sequence_number.as_str(),
            Self::ShardEnd => Self::SHARD_END,
        }
    }

    /// The number beside the text.
    pub(crate) fn sub_sequence(&self) -> u64 {
        match self {
            Self::At { sub_sequence, .. } => *sub_sequence,
            Self::AtTimestamp | Self::TrimHorizon | Self::Latest | Self::ShardEnd => 0,
        }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self.sub_sequence() {
            0 => Ok(()),
            sub_sequence => write!(f, "/{sub_sequence}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: &str, sub_sequence: u64) -> Checkpoint {
        Checkpoint::from_row(number, sub_sequence).unwrap()
    }

    /// Property 10: the order is total and is the KCL's, on the values of its own tests.
    #[test]
    fn checkpoints_are_ordered_as_the_kcl_orders_them() {
        let ascending = [
            at("AT_TIMESTAMP", 0),
            at("TRIM_HORIZON", 0),
            at("LATEST", 0),
            at("0", 0),
            at("9", 5),
            at("10", 0),
            at("10", 1),
            at("10", 11),
            at("100", 0),
            at(
                "49590338271490256608559692538361571095921575989136588898",
                0,
            ),
            at(
                "49590338271490256608559692540925702759324208523137515618",
                0,
            ),
            at(&"9".repeat(129), u64::MAX),
            at("SHARD_END", 0),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j), "{a} and {b}");
            }
        }
    }

    #[test]
    fn a_checkpoint_survives_its_text() {
        for (text, sub) in [("TRIM_HORIZON", 0), ("4959", 7), ("SHARD_END", 0)] {
            let checkpoint = at(text, sub);
            assert_eq!(checkpoint.as_str(), text);
            assert_eq!(checkpoint.sub_sequence(), sub);
        }
        assert!(Checkpoint::from_row("trim_horizon", 0).is_err());
        assert!(Checkpoint::from_row("", 0).is_err());
    }

    #[test]
    fn a_number_beside_a_sentinel_means_nothing() {
        assert_eq!(at("AT_TIMESTAMP", 1_700_000_000_000), at("AT_TIMESTAMP", 0));
    }

    #[test]
    fn an_absent_or_zero_incarnation_is_nobody() {
        assert_eq!(Incarnation::from_row("0"), None);
        assert_eq!(Incarnation::from_row(""), None);
        assert_eq!(Incarnation::from_row("7f").unwrap().as_str(), "7f");
    }

    #[test]
    fn during_a_handover_the_previous_owner_owns() {
        let mut lease = Lease::new(ShardId::from_number(0), Checkpoint::TrimHorizon);
        lease.owner = Some("new".parse().unwrap());
        lease.checkpoint_owner = Some("old".parse().unwrap());
        assert_eq!(lease.actual_owner().unwrap().as_str(), "old");
    }
}
