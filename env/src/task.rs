//! Tasks that have an owner, and that a simulated node can freeze and kill.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;

use crate::simulation::NodeTasks;

/// A running task and its owner's handle. Awaiting it yields the output; dropping it aborts the
/// task at its next await point.
#[must_use = "dropping a task aborts it"]
pub struct Task<T>(JoinHandle<T>);

impl<T> Task<T> {
    /// Ends the task at its next await point; awaiting it then yields [`TaskError::Aborted`].
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Whether the task has ended, in whatever way.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("finished", &self.is_finished())
            .finish()
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map_err(|error| match error.try_into_panic() {
                Ok(payload) => TaskError::Panicked(panic_message(&*payload)),
                Err(_) => TaskError::Aborted,
            })
    }
}

/// Why a task has no output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// It panicked, with this message.
    #[error("the task panicked: {0}")]
    Panicked(String),
    /// It was aborted, or the runtime or the simulated node stopped.
    #[error("the task was aborted")]
    Aborted,
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

pub(crate) fn spawn<F>(node: Option<Arc<NodeTasks>>, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match node {
        None => Task(tokio_spawn(future)),
        Some(node) => {
            let id = node.next_task_id();
            let task = Task(tokio_spawn(OnNode {
                future: Box::pin(future),
                guard: Guard {
                    node: node.clone(),
                    id,
                },
            }));
            node.add_task(id, task.0.abort_handle());
            task
        }
    }
}

/// A task of a simulated node: not polled while the node is frozen.
struct OnNode<F> {
    /// Boxed, since tokio moves what it is given half a dozen times, and a call has kilobytes.
    future: Pin<Box<F>>,
    guard: Guard,
}

struct Guard {
    node: Arc<NodeTasks>,
    id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.node.remove_task(self.id);
    }
}

impl<F: Future> Future for OnNode<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if self.guard.node.hold_if_frozen(self.guard.id, cx.waker()) {
            return Poll::Pending;
        }
        self.future.as_mut().poll(cx)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that spawns; Task owns the handle"
)]
fn tokio_spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Env;

    #[tokio::test(start_paused = true)]
    async fn dropping_a_task_aborts_it() {
        let env = Env::system();
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let task = env.spawn(async move {
            let _held = sender;
            std::future::pending::<()>().await;
        });
        env.sleep(Duration::from_millis(1)).await;
        drop(task);
        assert!(
            receiver.await.is_err(),
            "the sender was dropped with the task"
        );
    }

    #[tokio::test]
    async fn a_panic_comes_back_with_its_message() {
        let env = Env::system();
        let error = env
            .spawn(async { panic!("broken {}", 1) })
            .await
            .unwrap_err();
        assert_eq!(error, TaskError::Panicked("broken 1".to_owned()));
        let task = env.spawn(std::future::pending::<()>());
        task.abort();
        assert_eq!(task.await.unwrap_err(), TaskError::Aborted);
    }
}
