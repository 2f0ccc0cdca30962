//! The shell commands of the README, run one after the other as they stand there.
//!
//! The three that build this workspace are left to `.ci/run`. Ports are exchanged for free ones, so that
//! nothing else on the machine is in the way.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which may panic as tests do"
)]

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../../README.md");

/// Commands that `.ci/run` runs, since they build what this test is a part of.
const OF_CI: [&str; 3] = [
    "cargo run --release --example quickstart",
    "cargo test --workspace",
    "cargo install --path cli",
];

/// The blocks of shell commands, in order.
fn blocks() -> Vec<&'static str> {
    let blocks = README.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

fn is_installed(program: &str) -> bool {
    let version = Command::new(program).arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

#[test]
fn the_readmes_commands_run_as_they_stand() {
    let shardwise = Path::new(env!("CARGO_BIN_EXE_shardwise"));
    let folder = shardwise.parent().unwrap().display();
    // Whatever happens, nothing that was started stays behind.
    let mut script = format!(
        "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null' EXIT\nexport PATH='{folder}':$PATH\n"
    );
    let mut of_ci = Vec::new();
    for block in blocks() {
        if OF_CI.contains(&block.trim()) {
            of_ci.push(block.trim());
            continue;
        }
        if block.starts_with("aws ") && !is_installed("aws") {
            continue;
        }
        writeln!(script, "echo '== README' >&2\n{block}").unwrap();
        if block.contains("shardwise mock") {
            // A person takes longer to go on than the mock to begin.
            script.push_str("sleep 2\n");
        }
    }
    assert_eq!(of_ci, OF_CI, "these stand in the README, in this order");

    let listeners: Vec<_> = (0..3)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    for (listener, port) in listeners.iter().zip(["4567", "4568", "4569"]) {
        let free = listener.local_addr().unwrap().port().to_string();
        if port == "4567" {
            script.insert_str(
                0,
                &format!("export SHARDWISE_MOCK_LISTEN=127.0.0.1:{free}\n"),
            );
        }
        script = script.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{free}"));
    }
    drop(listeners);
    let mut command = Command::new("bash");
    command.args(["-c", &script]);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        if text.starts_with("AWS_") || text.starts_with("SHARDWISE_") || text.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{script}\n{output:?}");
    let printed = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("1000 records stored")),
        "{printed}"
    );
    for number in 1..=1_000 {
        assert!(
            lines.contains(&number.to_string().as_str()),
            "{number}: {printed}"
        );
    }
}
