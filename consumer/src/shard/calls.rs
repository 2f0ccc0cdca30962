//! Calls of the user's processor, one at a time, each in a task of its own so that a panic ends the
//! call and not the shard.

use std::sync::Arc;

use shardwise_env::{Env, Task, TaskError};
use tracing::Instrument as _;

use crate::checkpoint::{Checkpointer, EndAcked, ShardEnd};
use crate::error::BoxError;
use crate::position::Position;
use crate::processor::{RecordProcessor, ShardInfo};
use crate::record::Batch;

/// Makes a processor for a shard.
pub(crate) type Factory<P> = Arc<dyn Fn(&ShardInfo) -> P + Send + Sync>;

/// The processor of one shard. There is none before [`start`](Self::start) and after a panic.
pub(crate) struct Calls<P> {
    env: Env,
    checkpointer: Checkpointer,
    processor: Option<P>,
}

/// Why a call did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The processor returned an error, and can be called again.
    #[error("it returned an error")]
    Failed(#[source] BoxError),
    /// The processor panicked. It is gone.
    #[error("it panicked: {0}")]
    Panicked(String),
    /// The task was ended from outside: the runtime or the simulated host stops.
    #[error("its task was aborted")]
    Aborted,
}

impl<P: RecordProcessor> Calls<P> {
    pub(crate) fn new(env: Env, checkpointer: Checkpointer) -> Self {
        Self {
            env,
            checkpointer,
            processor: None,
        }
    }

    /// Whether there is a processor.
    pub(crate) fn is_started(&self) -> bool {
        self.processor.is_some()
    }

    /// Makes the processor and starts it. If it fails there is none.
    pub(crate) async fn start(
        &mut self,
        factory: &Factory<P>,
        info: &ShardInfo,
        from: Option<Position>,
    ) -> Result<(), CallError> {
        let (factory, info) = (factory.clone(), info.clone());
        let call = async move {
            let mut processor = factory(&info);
            let result = processor.started(from.as_ref()).await;
            (processor, result)
        };
        let task = self.env.spawn(call.in_current_span());
        let (processor, result) = joined(task).await?;
        result.map_err(CallError::Failed)?;
        self.processor = Some(processor);
        Ok(())
    }

    pub(crate) async fn process(&mut self, batch: Batch) -> Result<(), CallError> {
        let checkpointer = self.checkpointer.clone();
        self.call(|mut processor| async move {
            let result = processor.process(batch, &checkpointer).await;
            (processor, result)
        })
        .await
    }

    pub(crate) async fn shard_ended(&mut self, end: ShardEnd) -> Result<EndAcked, CallError> {
        self.call(|mut processor| async move {
            let result = processor.shard_ended(end).await;
            (processor, result)
        })
        .await
    }

    pub(crate) async fn shutting_down(&mut self) -> Result<(), CallError> {
        let checkpointer = self.checkpointer.clone();
        self.call(|mut processor| async move {
            let result = processor.shutting_down(&checkpointer).await;
            (processor, result)
        })
        .await
    }

    pub(crate) async fn lease_lost(&mut self) -> Result<(), CallError> {
        self.call(|mut processor| async move {
            processor.lease_lost().await;
            (processor, Ok(()))
        })
        .await
    }

    /// Lends the processor to a task, and takes it back unless it panicked.
    async fn call<T, F>(&mut self, call: impl FnOnce(P) -> F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: Future<Output = (P, Result<T, BoxError>)> + Send + 'static,
    {
        let Some(processor) = self.processor.take() else {
            return Err(CallError::Aborted);
        };
        let (processor, result) = joined(self.env.spawn(call(processor).in_current_span())).await?;
        self.processor = Some(processor);
        result.map_err(CallError::Failed)
    }
}

async fn joined<T>(task: Task<T>) -> Result<T, CallError> {
    task.await.map_err(|error| match error {
        TaskError::Panicked(message) => CallError::Panicked(message),
        _ => CallError::Aborted,
    })
}
