//! How far it is: a bar on a terminal, a line now and then elsewhere. All on standard error.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use shardwise_env::{Env, Instant};

use crate::log::{LogFormat, say};

/// Elsewhere than on a terminal, a line is printed this often.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Shows progress.
#[derive(Debug)]
pub(super) struct Progress {
    env: Env,
    log_format: LogFormat,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Bar(ProgressBar),
    Lines { next: Instant },
    Quiet,
}

impl Progress {
    /// `bytes` is the length of the input, if that is known.
    pub(super) fn new(env: &Env, log_format: LogFormat, bytes: Option<u64>) -> Self {
        let kind = if io::stderr().is_terminal() && log_format == LogFormat::Text {
            Kind::Bar(bar(bytes))
        } else {
            Kind::Lines {
                next: env.now() + BETWEEN_LINES,
            }
        };
        Self {
            env: env.clone(),
            log_format,
            kind,
        }
    }

    /// Shows nothing but notes.
    pub(super) fn quiet(env: &Env, log_format: LogFormat) -> Self {
        Self {
            env: env.clone(),
            log_format,
            kind: Kind::Quiet,
        }
    }

    /// So many bytes of the input are dealt with, and so many records stored.
    pub(super) fn show(&mut self, bytes: u64, stored: u64) {
        match &mut self.kind {
            Kind::Bar(bar) => {
                bar.set_position(bytes);
                bar.set_message(format!("{stored} records stored"));
            }
            Kind::Lines { next } => {
                let now = self.env.now();
                if now >= *next {
                    *next = now + BETWEEN_LINES;
                    say(self.log_format, &format!("{stored} records stored"));
                }
            }
            Kind::Quiet => {}
        }
    }

    /// Says something on a line of its own.
    pub(super) fn note(&self, text: &str) {
        match &self.kind {
            Kind::Bar(bar) => bar.suspend(|| eprintln!("{text}")),
            Kind::Lines { .. } | Kind::Quiet => say(self.log_format, text),
        }
    }

    pub(super) fn finish(&self) {
        if let Kind::Bar(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }
}

fn bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (ProgressBar::new(bytes), "{bar:40} {percent:>3} %, {msg}"),
        None => (ProgressBar::no_length(), "{spinner} {msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
