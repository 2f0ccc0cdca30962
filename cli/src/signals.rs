//! Ctrl-c and SIGTERM: the first one asks for a clean end, the second one is obeyed at once.

use std::io;
use std::pin::pin;

use tokio_util::sync::CancellationToken;

/// SIGTERM and SIGINT. From when it is made, they do not end the process by themselves any more.
pub(crate) struct EndSignals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl EndSignals {
    /// Runs `work`, which is to end soon after `stop` is cancelled, by the first signal if by
    /// nothing else. `None` if a second signal came before it had ended.
    pub(crate) async fn run<T>(
        mut self,
        work: impl Future<Output = T>,
        stop: &CancellationToken,
    ) -> Option<T> {
        let mut work = pin!(work);
        let mut asked = false;
        loop {
            // Cancel safe: a signal that is not received now is received next time.
            tokio::select! {
                biased;
                result = &mut work => return Some(result),
                () = self.next() => {
                    if asked {
                        return None;
                    }
                    asked = true;
                    stop.cancel();
                }
            }
        }
    }
}

#[cfg(unix)]
impl EndSignals {
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl EndSignals {
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere it may fail")]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
