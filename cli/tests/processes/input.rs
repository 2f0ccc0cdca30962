//! What `shardwise produce` makes of input that is not what one hopes for.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Folder, MockProcess, Process, shardwise};

/// The most memory that a process has had so far, in bytes.
#[cfg(target_os = "linux")]
fn peak_memory(process: &mut Process) -> u64 {
    let status = format!("/proc/{}/status", process.child().id());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

#[cfg(target_os = "linux")]
#[test]
fn a_line_without_end_is_named_by_number_and_not_held() {
    const MEBIBYTE: usize = 1 << 20;
    let mock = MockProcess::start(1);
    let mut command = shardwise(&["produce", "--stream", "orders", "--output", "json"]);
    command
        .env("AWS_ENDPOINT_URL", mock.url())
        .stdin(Stdio::piped());
    let mut process = Process::start(&mut command);
    let mut stdin = process.child().stdin.take().unwrap();
    stdin.write_all(b"one\n").unwrap();
    // The first is longer than any record may be, the second than this stream's.
    for mebibytes in [300, 2] {
        for _ in 0..mebibytes {
            stdin.write_all(&[b'x'; MEBIBYTE]).unwrap();
        }
        stdin.write_all(b"\n").unwrap();
    }
    stdin.write_all(b"last\n").unwrap();
    stdin.flush().unwrap();
    let mut stdout = BufReader::new(process.child().stdout.take().unwrap());
    let mut outcomes: Vec<(u64, bool)> = (0..4)
        .map(|_| {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            let outcome: Value = serde_json::from_str(&line).unwrap();
            (
                outcome["line"].as_u64().unwrap(),
                outcome["error"].is_null(),
            )
        })
        .collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [(1, true), (2, false), (3, false), (4, true)]);
    let peak = peak_memory(&mut process);
    assert!(peak < 150 << 20, "{peak} bytes");
    drop(stdin);
    let mut stderr = String::new();
    let mut errors = BufReader::new(process.child().stderr.take().unwrap());
    while errors.read_line(&mut stderr).unwrap() > 0 {}
    assert!(
        stderr.contains("line 2 was not stored: it is longer"),
        "{stderr}"
    );
    assert!(stderr.contains("line 3 was not stored: "), "{stderr}");
}

#[test]
fn a_wrong_stream_is_one_error_and_the_input_is_not_read_on() {
    const LINES: u64 = 2_000_000;
    let mock = MockProcess::start(1);
    let mut command = shardwise(&["produce", "--stream", "nowhere"]);
    command
        .env("AWS_ENDPOINT_URL", mock.url())
        .stdin(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let chunk = "a line\n".repeat(1_000);
    let written = (0..LINES / 1_000)
        .take_while(|_| stdin.write_all(chunk.as_bytes()).is_ok())
        .count() as u64;
    drop(stdin);
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("shardwise: nothing was stored"), "{said}");
    assert!(
        said.contains("nowhere") && said.contains("--keep-going"),
        "{said}"
    );
    assert!(!said.contains("request id"), "{said}");
    // The producer holds 100,000 records; the rest is the pipe's and the thread's that reads.
    assert!(written * 1_000 < LINES / 4, "{written} thousand lines");
}

#[test]
fn with_keep_going_all_lines_are_tried_and_their_failures_folded() {
    let mock = MockProcess::start(1);
    let folder = Folder::new();
    let file = folder.path("lines");
    std::fs::write(&file, "a line\n".repeat(1_000)).unwrap();
    let arguments = ["produce", "--stream", "nowhere", "--keep-going"];
    let output = mock.run(&[&arguments[..], &[file.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    let failures = "lines 1 to 1000 were not stored: ResourceNotFoundException";
    assert!(said.starts_with(failures), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(
        said.contains("1000 of 1000 lines were not stored"),
        "{said}"
    );
}

#[test]
fn wide_text_and_compressed_files_are_refused_before_anything_is_sent() {
    let folder = Folder::new();
    for (input, what) in [
        (&b"\xff\xfeo\0n\0e\0\n\0"[..], "UTF-16"),
        (b"\xfe\xff\0o\0n\0e\0\n", "UTF-16"),
        (b"\x1f\x8b\x08\0\0\n", "gzip"),
        (b"\x28\xb5\x2f\xfd\n", "zstd"),
        (b"PK\x03\x04\n", "zip"),
        (b"BZh91AY&SY\n", "bzip2"),
    ] {
        let file = folder.path("input");
        std::fs::write(&file, input).unwrap();
        // Were anything sent, it would be tried again and again.
        let output = shardwise(&["produce", "--stream", "orders", file.to_str().unwrap()])
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains(what) && said.contains("nothing was sent"),
            "{said}"
        );
    }
}

#[test]
fn the_mark_of_utf_8_is_not_sent() {
    let mock = MockProcess::start(1);
    let folder = Folder::new();
    let file = folder.path("lines");
    std::fs::write(&file, b"\xef\xbb\xbfkey,1\n").unwrap();
    let arguments = ["produce", "--stream", "orders", "--key-field", "1"];
    let output = mock.run(&[&arguments[..], &[file.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{output:?}");
    let mut worker = Process::start(
        shardwise(&["consume", "--stream", "orders", "--application", "printers"])
            .args(["--output", "json"])
            .env("AWS_ENDPOINT_URL", mock.url()),
    );
    let mut line = String::new();
    let mut stdout = BufReader::new(worker.child().stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let record: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(record["data"], "key,1");
    assert_eq!(record["partition_key"], "key");
}

#[test]
fn outcomes_in_json_come_as_they_are_known() {
    let folder = Folder::new();
    let faults = folder.path("faults");
    // The first shard takes nothing for some calls.
    let rule = r#"[{"operation": "PutRecords", "shard": "shardId-000000000000", "times": 5,
                    "fault": {"throttle_entries": {}}}]"#;
    std::fs::write(&faults, rule).unwrap();
    let mock = MockProcess::start_with(2, &["--faults", faults.to_str().unwrap()]);
    let file = folder.path("lines");
    // As keys, the first belongs to the first shard and the second to the second.
    std::fs::write(&file, "a\nb\n").unwrap();
    let arguments = [
        "produce",
        "--stream",
        "orders",
        "--key-field",
        "1",
        "--output",
        "json",
    ];
    let output = mock.run(&[&arguments[..], &[file.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<u64> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["line"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(lines, [2, 1]);
}

#[test]
fn what_is_typed_is_sent_line_by_line() {
    let mock = MockProcess::start(1);
    let mut command: Command = shardwise(&["produce", "--stream", "orders", "--output", "json"]);
    command
        .env("AWS_ENDPOINT_URL", mock.url())
        .stdin(Stdio::piped());
    let mut process = Process::start(&mut command);
    let mut stdin = process.child().stdin.take().unwrap();
    let mut stdout = BufReader::new(process.child().stdout.take().unwrap());
    for number in 1..=2 {
        // The first byte of a mark, and a whole line: nothing more is waited for.
        stdin.write_all(b"P\n").unwrap();
        stdin.flush().unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let outcome: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(outcome["line"], number);
    }
}
