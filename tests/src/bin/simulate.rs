//! Plays seeds of the fleet simulation: `simulate --seeds 100 --minutes 30`.
//!
//! The last line says how many seeds, simulated hours and violations there were; the exit code is 1
//! if there was any. Each violation comes with the command that replays it.

#![allow(clippy::unwrap_used, reason = "a broken lock is a broken run")]

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use shardwise_tests::fleet::{Outcome, Setup, Store, run};

/// Prints a line; a reader that went away ends the program.
macro_rules! say {
    ($($text:tt)*) => {
        if writeln!(std::io::stdout(), $($text)*).is_err() {
            std::process::exit(1);
        }
    };
}

/// Plays seeds of the fleet simulation
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// How many seeds to play
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// How many simulated minutes of faults each seed has
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Keep the leases in memory and sign nothing: five times as fast, and less is observed
    #[arg(long)]
    memory: bool,
    /// Stop at the first violation of this rule, and say in which seed it was
    #[arg(long)]
    until: Option<String>,
    /// Print the hash of each seed's trace
    #[arg(long)]
    hashes: bool,
    /// Threads to play on; by default one for each processor
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Debug, Default)]
struct Sums {
    violations: usize,
    simulated: Duration,
    acknowledged: usize,
    duplicates: usize,
    exchanges: u64,
    hashes: Vec<(u64, u64)>,
    /// The lowest seed that broke the rule of `--until`.
    broke: Option<u64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let bar = ProgressBar::new(args.seeds);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {eta} left") {
        bar.set_style(style);
    }
    let next = AtomicU64::new(args.from);
    let end = args.from + args.seeds;
    let sums = Mutex::new(Sums::default());
    std::thread::scope(|scope| {
        for _ in 0..args.threads.unwrap_or(processors) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let mut setup = Setup::new(seed, Duration::from_secs(60 * args.minutes));
                    if args.memory {
                        setup.store = Store::Memory;
                    }
                    let outcome = run(setup);
                    bar.suspend(|| report(&args, seed, &outcome));
                    let mut sums = sums.lock().unwrap();
                    add(&mut sums, seed, &outcome);
                    if args
                        .until
                        .as_ref()
                        .is_some_and(|rule| breaks(&outcome, rule))
                    {
                        sums.broke = Some(sums.broke.map_or(seed, |lower| lower.min(seed)));
                        next.store(end, Ordering::Relaxed);
                    }
                    drop(sums);
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut sums = sums.into_inner().unwrap();
    if args.hashes {
        sums.hashes.sort_unstable();
        for (seed, hash) in &sums.hashes {
            say!("seed {seed}: trace {hash:016x}");
        }
    }
    if let (Some(rule), Some(seed)) = (&args.until, sums.broke) {
        say!("until {rule} in seed {seed}");
    }
    say!(
        "{} user records acknowledged, {} delivered again, {} exchanges",
        sums.acknowledged,
        sums.duplicates,
        sums.exchanges
    );
    say!(
        "{} seeds, {:.1} simulated hours, {} violations",
        args.seeds,
        sums.simulated.as_secs_f64() / 3600.0,
        sums.violations
    );
    if sums.violations == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn breaks(outcome: &Outcome, rule: &str) -> bool {
    let mark = format!(" {rule}: ");
    outcome.violations.iter().any(|text| text.contains(&mark))
}

fn report(args: &Args, seed: u64, outcome: &Outcome) {
    if outcome.violations.is_empty() {
        return;
    }
    say!("seed {seed}: {} violations", outcome.violations.len());
    for violation in outcome.violations.iter().take(5) {
        say!("  {violation}");
    }
    say!("  the last events:");
    for event in &outcome.last_events {
        say!("  {event}");
    }
    say!(
        "  replay: cargo run --release -p shardwise-tests --bin simulate -- --from {seed} --seeds 1 \
         --minutes {}",
        args.minutes
    );
}

fn add(sums: &mut Sums, seed: u64, outcome: &Outcome) {
    sums.violations += outcome.violations.len();
    sums.simulated += outcome.simulated;
    sums.acknowledged += outcome.acknowledged;
    sums.duplicates += outcome.duplicates;
    sums.exchanges += outcome.exchanges;
    sums.hashes.push((seed, outcome.trace_hash));
}
