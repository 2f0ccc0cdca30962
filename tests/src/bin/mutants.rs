//! Plays the mutants of `tests/mutants/`: `mutants` plays all, `mutants NAME...` those, and
//! `mutants --some 4 --turn N` four of them, others at each turn.
//!
//! Each patch is applied to a copy of the workspace below `target/mutants`, where all of them share
//! one target directory. A patch that does not apply, a mutant that does not build and one that is
//! not found are failures: the exit code is 1.

#![allow(
    clippy::expect_used,
    reason = "a copy that cannot be made ends the program"
)]

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;
use shardwise_env::Env;
use shardwise_tests::mutants::{self, Mutant};
use shardwise_tests::tree;

/// A mistake that survives so many seeds is not found.
const SEEDS: &str = "60";

/// Simulated minutes of faults in each seed.
const MINUTES: &str = "5";

/// Prints a line; a reader that went away ends the program.
macro_rules! say {
    ($($text:tt)*) => {
        if writeln!(io::stdout(), $($text)*).is_err() {
            std::process::exit(1);
        }
    };
}

/// Applies each mistake of tests/mutants/ to a copy of the workspace and demands that it is found
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Names of mutants to play; without any, all of them
    names: Vec<String>,
    /// Play only this many
    #[arg(long)]
    some: Option<usize>,
    /// Which ones `--some` takes: they follow each other from turn to turn
    #[arg(long, default_value_t = 0)]
    turn: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let all = match mutants::all() {
        Ok(all) => all,
        Err((name, error)) => {
            say!("{name}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let chosen = choose(&args, &all);
    if chosen.is_empty() {
        let names: Vec<&str> = all.iter().map(|mutant| mutant.name.as_str()).collect();
        say!("no such mutant; there are:\n  {}", names.join("\n  "));
        return ExitCode::from(2);
    }
    let scratch = Scratch::new();
    let mut missed = 0;
    for mutant in &chosen {
        let clock = Env::system();
        let begin = clock.now();
        let found = scratch.play(mutant);
        let seconds = (clock.now() - begin).as_secs();
        match found {
            Ok(finders) => say!(
                "found   {:<58} {seconds:>4} s  {}",
                mutant.name,
                finders.join(", ")
            ),
            Err(why) => {
                missed += 1;
                say!("MISSED  {:<58} {seconds:>4} s  {why}", mutant.name);
            }
        }
    }
    say!("{} mutants, {missed} missed", chosen.len());
    if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn choose<'a>(args: &Args, all: &'a [Mutant]) -> Vec<&'a Mutant> {
    let named: Vec<&Mutant> = all
        .iter()
        .filter(|mutant| args.names.is_empty() || args.names.contains(&mutant.name))
        .collect();
    match args.some {
        Some(some) => {
            let begin = args.turn.wrapping_mul(some) % named.len().max(1);
            let mut turned = named.iter().cycle().skip(begin).copied();
            let some = some.min(named.len());
            turned.by_ref().take(some).collect()
        }
        None => named,
    }
}

/// The copy of the workspace in which mutants are built.
struct Scratch {
    tree: PathBuf,
    target: PathBuf,
}

impl Scratch {
    fn new() -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let built = program.parent().expect("target/debug");
        let folder = built.parent().expect("target").join("mutants");
        let scratch = Self {
            tree: folder.join("tree"),
            target: folder.join("target"),
        };
        if !scratch.target.exists() {
            // The dependencies are built already, beside this program.
            for part in ["build", "deps", ".fingerprint"] {
                let into = scratch.target.join("debug").join(part);
                copy_dependencies(&built.join(part), &into).expect("a copy of the dependencies");
            }
        }
        scratch
    }

    /// Applies, builds and plays one mutant: by what it was found, or what went wrong.
    fn play(&self, mutant: &Mutant) -> Result<Vec<String>, String> {
        self.restore();
        mutant
            .apply(&self.tree)
            .map_err(|error| error.to_string())?;
        let mut finders = Vec::new();
        if let Some((rule, seed)) = &mutant.rule {
            finders.push(self.simulate(rule, *seed)?);
        }
        for test in &mutant.tests {
            finders.push(self.test(test)?);
        }
        Ok(finders)
    }

    /// Makes the copy equal to the workspace. Only files that differ are written: cargo goes by their
    /// times.
    fn restore(&self) {
        let from = tree::root();
        let wanted: Vec<PathBuf> = tree::files(&from, "")
            .into_iter()
            .map(|path| tree::name(&path).into())
            .collect();
        for path in &wanted {
            let bytes = fs::read(from.join(path)).expect("a file of the workspace");
            let copy = self.tree.join(path);
            if fs::read(&copy).is_ok_and(|there| there == bytes) {
                continue;
            }
            let folder = copy.parent().expect("a file lies in a folder");
            fs::create_dir_all(folder).expect("a folder of the copy");
            fs::write(&copy, bytes).expect("a file of the copy");
        }
        for path in tree::files(&self.tree, "") {
            let relative = path.strip_prefix(&self.tree).expect("it lies below");
            if !wanted.iter().any(|wanted| wanted == relative) {
                fs::remove_file(&path).expect("a file that has gone");
            }
        }
    }

    /// Plays seeds until the rule is broken: the seed in which it was.
    fn simulate(&self, rule: &str, seed: u64) -> Result<String, String> {
        self.build(&["build", "-p", "shardwise-tests", "--bin", "simulate"])?;
        for (from, seeds) in [(seed.to_string().as_str(), "1"), ("0", SEEDS)] {
            let output = Command::new(self.target.join("debug/simulate"))
                .args(["--from", from, "--seeds", seeds])
                .args(["--minutes", MINUTES, "--until", rule])
                .stderr(Stdio::null())
                .output()
                .map_err(|error| format!("the simulation did not start: {error}"))?;
            let text = String::from_utf8_lossy(&output.stdout);
            if let Some(line) = text.lines().find(|line| line.starts_with("until ")) {
                return Ok(line.trim_start_matches("until ").to_owned());
            }
            if !output.status.success() && output.status.code() != Some(1) {
                return Err(format!("the simulation ended with {}", output.status));
            }
        }
        Err(format!("{rule} holds in {SEEDS} seeds"))
    }

    /// Runs one test, which has to fail.
    fn test(&self, test: &str) -> Result<String, String> {
        let (file, name) = test.split_once("::").ok_or("a test is `file::test`")?;
        let package = tree::package(file);
        let mut folders = file.split('/').skip(1);
        let target: &[&str] = match (folders.next(), folders.next()) {
            (Some("src"), _) => &["--lib"],
            (Some("tests"), Some(target)) => &["--test", target.trim_end_matches(".rs")],
            // The crate of tests itself.
            (Some("it"), _) => &["--test", "workspace"],
            _ => return Err(format!("{file} is in no crate")),
        };
        // With the crate of tests, whose features are the workspace's: else the dependencies would be
        // built again.
        let packages = ["-p", "shardwise-tests", "-p", package.as_str()];
        let command = [&["test"], &packages[..], target].concat();
        self.build(&[&command[..], &["--no-run"]].concat())?;
        let output = self
            .cargo(&command)
            .args(["--no-fail-fast", name])
            .output()
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let fails = |line: &str| line.contains(name) && line.ends_with("... FAILED");
        if text.lines().any(fails) {
            Ok(name.to_owned())
        } else {
            Err(format!("{test} does not fail: {}", output.status))
        }
    }

    fn build(&self, arguments: &[&str]) -> Result<(), String> {
        let output = self
            .cargo(arguments)
            .arg("--quiet")
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let why = text.lines().find(|line| line.starts_with("error"));
        Err(format!("it does not build: {}", why.unwrap_or(&text)))
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args(arguments)
            .arg("--locked")
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }
}

/// Copies what cargo has built of other people's crates, with its times.
fn copy_dependencies(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, file_name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let name = file_name.to_string_lossy();
        let copy = to.join(&file_name);
        if name.contains("shardwise") {
            continue;
        }
        if path.is_dir() {
            copy_dependencies(&path, &copy)?;
        } else {
            let modified = fs::metadata(&path)?.modified()?;
            fs::copy(&path, &copy)?;
            File::open(&copy)?.set_modified(modified)?;
        }
    }
    Ok(())
}
