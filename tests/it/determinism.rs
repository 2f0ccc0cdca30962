//! The same seeds in two processes give the same traces.

use std::process::Command;

fn hashes() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_simulate"))
        .args(["--seeds", "20", "--minutes", "1", "--hashes"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn twenty_seeds_give_equal_traces_in_two_processes() {
    let first = hashes();
    assert_eq!(
        first.lines().filter(|line| line.contains("trace")).count(),
        20,
        "{first}"
    );
    assert_eq!(first, hashes());
}
