//! Standard output: whole lines, and one memory of its failure.

use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use clap::ValueEnum;
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

/// Standard output, shared by the tasks that print.
#[derive(Debug)]
pub(crate) struct Output {
    failure: Mutex<Option<io::Error>>,
    failed: CancellationToken,
}

/// Standard output has failed, now or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutputFailed;

impl Output {
    /// `failed` is cancelled when a write fails.
    pub(crate) fn new(failed: CancellationToken) -> Self {
        Self {
            failure: Mutex::default(),
            failed,
        }
    }

    /// Prints whole lines, and flushes them. After a failure nothing is printed any more: behind
    /// half a line it would be taken for the line's other half.
    pub(crate) fn write(&self, lines: &[u8]) -> Result<(), OutputFailed> {
        let mut failure = self.lock();
        if failure.is_some() {
            return Err(OutputFailed);
        }
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(lines)
            .and_then(|()| stdout.flush())
            .map_err(|error| {
                *failure = Some(error);
                self.failed.cancel();
                OutputFailed
            })
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.lock().is_some()
    }

    /// Tells what has failed, unless it is that the reader has gone: `| head` has seen enough,
    /// which is no error.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let failure = self
            .lock()
            .take_if(|error| error.kind() != io::ErrorKind::BrokenPipe);
        match failure {
            Some(error) => Err(error).context("could not write to standard output"),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<io::Error>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
