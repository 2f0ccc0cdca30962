//! Standard output: whole lines, written by a thread of its own, and one memory of its failure.
//!
//! A reader may stop reading at any time, and a write then never returns. Nothing but the thread waits
//! in it: leases are renewed, signals are heard, and the program ends.

use std::io::{self, Write as _};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use shardwise_env::Env;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object a line, for scripts
    Json,
}

/// Once the program is to end, a reader has this long to take what is being written. Less than the
/// time that a worker has to stop, so that its leases are released all the same.
const BLOCKED_AT_END: Duration = Duration::from_secs(5);

/// Writes that wait for the thread: each task waits for its own before it makes the next.
const WAITING: usize = 8;

/// Standard output, shared by the tasks that print.
#[derive(Debug)]
pub(crate) struct Output {
    env: Env,
    jobs: mpsc::Sender<Job>,
    failure: Arc<OnceLock<io::Error>>,
    failed: CancellationToken,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Job {
    lines: Vec<u8>,
    written: oneshot::Sender<Result<(), OutputFailed>>,
}

/// Standard output has failed, now or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutputFailed;

impl Output {
    /// `failed` is cancelled when a write fails, `stop` says that the program is to end.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(crate) fn new(
        env: &Env,
        failed: CancellationToken,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let (jobs, received) = mpsc::channel(WAITING);
        let failure = Arc::new(OnceLock::new());
        std::thread::Builder::new()
            .name("stdout".to_owned())
            .spawn({
                let (failure, failed) = (failure.clone(), failed.clone());
                move || write_all(received, &failure, &failed)
            })?;
        Ok(Self {
            env: env.clone(),
            jobs,
            failure,
            failed,
            stop,
        })
    }

    /// Prints whole lines, and flushes them. After a failure nothing is printed any more: behind
    /// half a line it would be taken for the line's other half.
    pub(crate) async fn write(&self, lines: Vec<u8>) -> Result<(), OutputFailed> {
        let (written, ack) = oneshot::channel();
        let write = async {
            let job = Job { lines, written };
            self.jobs.send(job).await.map_err(|_| OutputFailed)?;
            ack.await.unwrap_or(Err(OutputFailed))
        };
        let given_up = async {
            self.stop.cancelled().await;
            self.env.sleep(BLOCKED_AT_END).await;
        };
        // A write that is given up may still happen: the lines are then printed twice, not lost.
        tokio::select! {
            biased;
            result = write => result,
            () = given_up => {
                let blocked = format!("it took nothing for {} s", BLOCKED_AT_END.as_secs());
                let _first_failure_counts =
                    self.failure.set(io::Error::new(io::ErrorKind::TimedOut, blocked));
                self.failed.cancel();
                Err(OutputFailed)
            }
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Says what has failed, unless it is that the reader has gone: `| head` has seen enough,
    /// which is no error.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        match self.failure.get() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(anyhow::anyhow!("{error}")).context("could not write to standard output")
            }
            _ => Ok(()),
        }
    }
}

/// The thread's work: ends with the last [`Output`].
fn write_all(
    mut jobs: mpsc::Receiver<Job>,
    failure: &OnceLock<io::Error>,
    failed: &CancellationToken,
) {
    while let Some(Job { lines, written }) = jobs.blocking_recv() {
        let result = if failure.get().is_some() {
            Err(OutputFailed)
        } else {
            let mut stdout = io::stdout().lock();
            let result = stdout.write_all(&lines).and_then(|()| stdout.flush());
            result.map_err(|error| {
                let _first_failure_counts = failure.set(error);
                failed.cancel();
                OutputFailed
            })
        };
        // Whoever waited may have given up.
        let _given_up = written.send(result);
    }
}
