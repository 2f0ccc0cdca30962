//! What is said on standard error: log lines of the libraries, and lines of the command itself.

use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How standard error is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// The target of what the command itself says: not the beginning of any library's name, since a filter
/// takes a name for all that begin with it.
const COMMAND: &str = "command";

/// Warnings and errors, and what the command itself says. The shared AWS configuration warns of files and
/// variables that are not needed; what is missing in the end is an error of the command.
const DEFAULT_FILTER: &str = "warn,aws_config=error,aws_runtime=error,command=info";

/// Sets the log up: levels from `RUST_LOG`, colours on a terminal only.
pub(crate) fn init(format: LogFormat) {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(directives) if !directives.trim().is_empty() => {
            EnvFilter::builder().parse_lossy(directives)
        }
        _ => EnvFilter::new(DEFAULT_FILTER),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// Says something on a line of its own.
pub(crate) fn say(format: LogFormat, text: &str) {
    match format {
        LogFormat::Text => eprintln!("{text}"),
        LogFormat::Json => tracing::info!(target: COMMAND, "{text}"),
    }
}

/// Says why the command ends.
pub(crate) fn say_error(format: LogFormat, text: &str) {
    match format {
        LogFormat::Text => eprintln!("shardwise: {text}"),
        LogFormat::Json => tracing::error!(target: COMMAND, "{text}"),
    }
}
