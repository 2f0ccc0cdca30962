//! Checkpoints kept in memory: where those of a recording [`Checkpointer`](crate::Checkpointer) go,
//! so that a processor can be tested, or used, without a worker and a lease table.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use shardwise_env::lock;
use shardwise_types::ShardId;

use crate::error::{CheckpointError, CheckpointErrorKind};
use crate::position::Position;

/// What was checkpointed in one shard, from
/// [`Checkpointer::recording`](crate::Checkpointer::recording).
///
/// It keeps to the rules of the lease table: a checkpoint never moves backwards, and none follows the
/// shard's end. Cheap to clone: all clones show the same shard.
#[derive(Clone)]
pub struct Recorded {
    shard_id: ShardId,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    positions: Vec<Position>,
    is_ended: bool,
    refusal: Option<CheckpointErrorKind>,
}

impl Recorded {
    pub(crate) fn new(shard_id: ShardId) -> Self {
        Self {
            shard_id,
            state: Arc::default(),
        }
    }

    /// The shard.
    #[must_use]
    pub fn shard_id(&self) -> &ShardId {
        &self.shard_id
    }

    /// Every checkpoint that was written, in order. One that was done with already wrote nothing.
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        self.lock().positions.clone()
    }

    /// The last checkpoint that was written.
    #[must_use]
    pub fn last(&self) -> Option<Position> {
        self.lock().positions.last().cloned()
    }

    /// Whether the shard is checkpointed at its end.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.lock().is_ended
    }

    /// Lets every checkpoint from now on fail with this kind, and write nothing: to see what a
    /// processor does when it has lost its lease, or when the lease table cannot be reached.
    pub fn refuse(&self, kind: CheckpointErrorKind) {
        self.lock().refusal = Some(kind);
    }

    /// Lets checkpoints succeed again.
    pub fn accept(&self) {
        self.lock().refusal = None;
    }

    pub(crate) fn checkpoint(&self, position: &Position) -> Result<(), CheckpointError> {
        let mut state = self.lock();
        state.check()?;
        let is_behind = state.positions.last().is_none_or(|last| position > last);
        if is_behind && !state.is_ended {
            state.positions.push(position.clone());
        }
        Ok(())
    }

    pub(crate) fn end(&self) -> Result<(), CheckpointError> {
        let mut state = self.lock();
        state.check()?;
        state.is_ended = true;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn check(&self) -> Result<(), CheckpointError> {
        match self.refusal {
            None => Ok(()),
            Some(kind) => Err(CheckpointError::new(kind)),
        }
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Recorded")
            .field("shard_id", &self.shard_id)
            .field("last", &state.positions.last())
            .field("is_ended", &state.is_ended)
            .finish_non_exhaustive()
    }
}
