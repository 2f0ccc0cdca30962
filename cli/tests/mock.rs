//! `shardwise mock` as a program: its ready line, its end, its complaints.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which may panic as tests do"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

fn shardwise() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardwise"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A mock on a free port, and the address of its ready line.
fn start() -> (Child, String) {
    let mut child = shardwise()
        .args(["mock", "--listen", "127.0.0.1:0"])
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line
        .trim_end()
        .strip_prefix("ready http://")
        .unwrap()
        .to_owned();
    (child, address)
}

#[test]
fn it_says_when_it_is_ready_and_sigterm_ends_it_with_code_0() {
    let (mut child, address) = start();
    std::net::TcpStream::connect(&address).unwrap();
    let killed = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_taken_port_is_one_line_and_exit_code_1() {
    let (mut first, address) = start();
    let second = shardwise()
        .args(["mock", "--listen", &address])
        .output()
        .unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(second.stdout.is_empty());
    let complaint = String::from_utf8(second.stderr).unwrap();
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    assert!(complaint.contains(&address), "{complaint}");
}

#[test]
fn a_wrong_flag_says_what_is_wrong_and_ends_with_another_code_than_0() {
    for (arguments, complaint) in [
        (&["mock", "--nonsense"][..], "--nonsense"),
        (&["mock", "--listen", "nowhere"][..], "nowhere"),
        (&["mock", "--create-stream", "orders"][..], "NAME:SHARDS"),
        (&["nonsense"][..], "nonsense"),
    ] {
        let output = shardwise().args(arguments).output().unwrap();
        assert_ne!(output.status.code(), Some(0), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(complaint), "{arguments:?}: {text}");
    }
}

#[test]
fn it_tells_its_version() {
    for arguments in [&["--version"][..], &["mock", "--version"][..]] {
        let output = shardwise().args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.contains(env!("CARGO_PKG_VERSION")),
            "{arguments:?}: {text}"
        );
    }
}
