//! Ctrl-c and SIGTERM: the first one asks for a clean end, the second one is obeyed at once.
//!
//! Whatever blocks, the first one ends the process as well, some time after the clean end should have
//! come: a pipe that is not read may block every thread that writes to it.

use std::io;
use std::pin::pin;
use std::sync::mpsc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// SIGTERM and SIGINT. From when it is made, they do not end the process by themselves any more.
pub(crate) struct EndSignals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl EndSignals {
    /// Runs `work`, which is to end within `grace` after `stop` is cancelled, by the first signal if
    /// by nothing else. `None` if a second signal came before it had ended.
    pub(crate) async fn run<T>(
        mut self,
        work: impl Future<Output = T>,
        stop: &CancellationToken,
        grace: Duration,
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
                    end_after(grace + BEYOND_GRACE);
                }
            }
        }
    }
}

/// How much longer than its grace the process may take to end by itself.
const BEYOND_GRACE: Duration = Duration::from_secs(5);

/// Ends the process after this time, from a thread that nothing else can block.
fn end_after(limit: Duration) {
    let waiting = std::thread::Builder::new()
        .name("end".to_owned())
        .spawn(move || {
            // Nothing is ever sent: it is the wait that counts.
            let (_sender, receiver) = mpsc::channel::<()>();
            let _elapsed = receiver.recv_timeout(limit);
            std::process::exit(1);
        });
    // Without a thread the process can still be killed.
    drop(waiting);
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
