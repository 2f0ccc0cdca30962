//! The lease table as one worker sees it: what happens before a lease is held.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use shardwise_client::ChildShard;
use shardwise_env::{Env, Instant};

use super::decide::{self, Intent, Verdict};
use super::key::LeaseKey;
use super::lease::{Checkpoint, Identity, Lease};
use super::missing::may_start;
use super::observe::{DuplicateWorkerId, Observations};
use super::retry::Tries;
use super::state::{Claim, LeaseError, Timing};
use super::store::{LeaseStore, MissingTable, Scan, StoreError, StoreErrorKind};

/// How far before "now" a `LATEST` begins: the service's clock is known to the second only, and a
/// record may bear a time that is a little older than the moment it can be read.
const LATEST_MARGIN: Duration = Duration::from_secs(2);

/// How often a claim is written because an earlier one of this worker came first.
const MAX_CLAIMS: usize = 3;

/// A store, and the worker that uses it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LeaseTable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn LeaseStore>,
    identity: Identity,
    env: Env,
    timing: Timing,
}

impl LeaseTable {
    /// The table in this store, for this worker.
    pub(crate) fn new(
        store: Arc<dyn LeaseStore>,
        identity: Identity,
        env: Env,
        failover: Duration,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            identity,
            env,
            timing: Timing { failover },
        }))
    }

    pub(super) fn store(&self) -> &dyn LeaseStore {
        &*self.0.store
    }

    /// The worker.
    pub(crate) fn identity(&self) -> &Identity {
        &self.0.identity
    }

    pub(crate) fn timing(&self) -> Timing {
        self.0.timing
    }

    pub(super) fn env(&self) -> &Env {
        &self.0.env
    }

    /// Makes sure that the table is there and is one of leases.
    ///
    /// # Errors
    /// A [`StoreError`] whose kind says whether waiting helps.
    pub(crate) async fn ensure(&self, missing: MissingTable) -> Result<(), StoreError> {
        self.store().ensure_table(missing).await
    }

    /// Reads all leases and notes which of them live.
    ///
    /// # Errors
    /// [`LookError::Duplicate`] if another live process has this worker's id: stop, loudly.
    pub(crate) async fn look(&self, seen: &mut Observations) -> Result<Scan, LookError> {
        let (scan, asked) = self.scan_when().await?;
        seen.observe(self.identity(), &scan.leases, asked, self.env().now())?;
        Ok(scan)
    }

    /// Reads all leases.
    ///
    /// # Errors
    /// As the store gives them.
    pub(crate) async fn scan(&self) -> Result<Scan, StoreError> {
        self.scan_when().await.map(|(scan, _)| scan)
    }

    /// All leases, and when the store was asked for them.
    async fn scan_when(&self) -> Result<(Scan, Instant), StoreError> {
        let mut tries = self.brief_tries();
        loop {
            let asked = self.env().now();
            match self.store().scan().await {
                Ok(scan) => return Ok((scan, asked)),
                Err(error) if error.is_retryable() && tries.again().await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads one lease as it is now.
    ///
    /// # Errors
    /// As the store gives them; also for a row that cannot be understood.
    pub(super) async fn read(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        let mut tries = self.brief_tries();
        loop {
            match self.store().read(key).await {
                Err(error) if error.is_retryable() && tries.again().await => {}
                result => return result,
            }
        }
    }

    /// Makes a lease this worker's, given the row as last seen.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] if another worker was faster, [`LeaseError::Unavailable`].
    ///
    /// # Cancel safety
    /// The claim may still succeed; the row then bears this worker's name, and is found by the next
    /// look at the table.
    pub(crate) async fn take(&self, seen: &Lease) -> Result<Claim, LeaseError> {
        let intent = Intent::Take {
            started_at: self.started_at(),
        };
        let mut seen = seen.clone();
        let mut tries = self.brief_tries();
        for _ in 0..MAX_CLAIMS {
            match self.attempt(&seen, &intent, &mut tries).await? {
                (Verdict::Done(row), sent) => return Ok(Claim { row: *row, sent }),
                (Verdict::Again(row) | Verdict::AlreadyDone(row), _) => seen = *row,
                (Verdict::Lost(end), _) => return Err(LeaseError::Lost(end)),
            }
        }
        Err(LeaseError::Unavailable(StoreError::unanswered()))
    }

    /// Creates leases for shards that have none; one that another worker created meanwhile is fine.
    /// Returns how many were created here.
    ///
    /// # Errors
    /// The first that the store gave; what was created until then stays.
    pub(crate) async fn create(&self, missing: &[Lease]) -> Result<usize, LeaseError> {
        let mut created = 0;
        for lease in missing {
            let mut tries = self.brief_tries();
            let verdict = self.attempt(lease, &Intent::Create, &mut tries).await?.0;
            created += usize::from(matches!(verdict, Verdict::Done(_)));
        }
        Ok(created)
    }

    /// Removes the row of a finished shard, unless it has changed since it was seen.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] if it has changed, [`LeaseError::Unavailable`].
    pub(crate) async fn delete(&self, seen: &Lease) -> Result<(), LeaseError> {
        let mut tries = self.brief_tries();
        match self.attempt(seen, &Intent::Delete, &mut tries).await? {
            (Verdict::Lost(end), _) => Err(LeaseError::Lost(end)),
            _ => Ok(()),
        }
    }

    /// Whether a shard's parent is done, or has no lease any more. Reads it as it is now: an old scan
    /// may not show a parent that still has records.
    ///
    /// # Errors
    /// As the store gives them; also for a row that cannot be understood.
    pub(crate) async fn is_done(&self, parent: &LeaseKey) -> Result<bool, StoreError> {
        let row = self.read(parent).await?;
        Ok(may_start([row.as_ref()]))
    }

    /// Whether all parents of a shard are done.
    #[cfg(test)]
    pub(super) async fn may_start(&self, lease: &Lease) -> Result<bool, StoreError> {
        for parent in lease.parent_keys() {
            if !self.is_done(&parent).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// When a `LATEST` that is made now begins: the service's time, less a margin.
    pub(crate) fn started_at(&self) -> SystemTime {
        let now = self
            .store()
            .service_time()
            .unwrap_or_else(|| self.env().wall_now());
        now.checked_sub(LATEST_MARGIN).unwrap_or(now)
    }

    /// Creates the lease of a child of `ended`, owned by this worker. None if it was there already. Tries once:
    /// before another try the holder of the parent has to ask whether that is still its own.
    pub(super) async fn create_child(
        &self,
        ended: &LeaseKey,
        child: &ChildShard,
    ) -> Result<Option<Claim>, LeaseError> {
        let mut lease = Lease::new(ended.beside(&child.shard_id), Checkpoint::TrimHorizon);
        lease.owner = Some(self.identity().worker_id.clone());
        lease.incarnation = Some(self.identity().incarnation.clone());
        lease.parents = child.parent_shards.iter().cloned().collect();
        lease.hash_key_range = Some(child.hash_key_range);
        match self.attempt_once(&lease, &Intent::Create).await? {
            (Verdict::Done(row), sent) => Ok(Some(Claim { row: *row, sent })),
            // Mine, by an earlier try or by the other parent of a merge, whose task may hold it by
            // now: a second claim would move the counter behind that one's back. If no task here
            // holds it, the next look at the table finds that out.
            (Verdict::AlreadyDone(_) | Verdict::Again(_), _) => Ok(None),
            (Verdict::Lost(_), _) => Ok(None),
        }
    }

    /// Whether children of `ended` lack a lease that another parent of theirs lacks, too. A child that
    /// has its own does not count: that was created when all parents were known.
    ///
    /// # Errors
    /// As the store gives them.
    ///
    /// # Cancel safety
    /// Safe: it only reads.
    pub(crate) async fn lacks_parents(
        &self,
        ended: &LeaseKey,
        children: &[ChildShard],
    ) -> Result<bool, StoreError> {
        for child in children {
            for parent in child
                .parent_shards
                .iter()
                .filter(|id| *id != ended.shard_id())
            {
                let (parent, child) = (ended.beside(parent), ended.beside(&child.shard_id));
                if !self.exists(&parent).await? && !self.exists(&child).await? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn exists(&self, key: &LeaseKey) -> Result<bool, StoreError> {
        match self.read(key).await {
            Ok(row) => Ok(row.is_some()),
            Err(error) if error.kind() == StoreErrorKind::Unreadable => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// A write and its verdict, tried again while there is no answer.
    async fn attempt(
        &self,
        seen: &Lease,
        intent: &Intent,
        tries: &mut Tries,
    ) -> Result<(Verdict, Instant), LeaseError> {
        loop {
            match self.attempt_once(seen, intent).await {
                Err(LeaseError::Unavailable(error))
                    if error.is_retryable() && tries.again().await => {}
                result => return result,
            }
        }
    }

    /// One write and its verdict, with the time at which it was sent.
    async fn attempt_once(
        &self,
        seen: &Lease,
        intent: &Intent,
    ) -> Result<(Verdict, Instant), LeaseError> {
        let write = decide::next(seen, self.identity(), intent);
        let sent = self.env().now();
        match self.store().write(&write).await {
            Ok(answer) => Ok((decide::judge(seen, self.identity(), intent, answer), sent)),
            Err(error) => Err(LeaseError::Unavailable(error)),
        }
    }

    fn brief_tries(&self) -> Tries {
        Tries::brief(self.env(), self.timing().failover)
    }
}

/// Why a look at the table failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    /// Another live process has this worker's id.
    #[error(transparent)]
    Duplicate(#[from] DuplicateWorkerId),
    /// The table did not answer.
    #[error("could not read the lease table")]
    Store(#[from] StoreError),
}
