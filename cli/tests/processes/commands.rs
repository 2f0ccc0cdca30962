//! `shardwise produce` and `shardwise consume` as a script sees them: what they print, where, and
//! their exit codes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::support::{Folder, MockProcess, Process, shardwise};

/// A worker of the application `printers` that prints into a pipe.
fn consume(mock: &MockProcess, more: &[&str]) -> Process {
    let mut arguments = vec!["consume", "--stream", "orders", "--application", "printers"];
    arguments.extend(more);
    Process::start(shardwise(&arguments).env("AWS_ENDPOINT_URL", mock.url()))
}

/// The next lines of a process's standard output.
fn lines(process: &mut Process, count: usize) -> Vec<Vec<u8>> {
    let stdout = process.child().stdout.take().unwrap();
    let mut stdout = BufReader::new(stdout);
    let lines = (0..count).map(|_| {
        let mut line = Vec::new();
        stdout.read_until(b'\n', &mut line).unwrap();
        assert_eq!(line.pop(), Some(b'\n'));
        line
    });
    let lines = lines.collect();
    // Put back, so that the pipe stays open.
    process.child().stdout = Some(stdout.into_inner());
    lines
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What produce has printed of each line, in the order of the lines: it comes in any order.
fn outcomes(stdout: &[u8]) -> Vec<Value> {
    let lines = text(stdout).lines();
    let mut outcomes: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    outcomes.sort_by_key(|outcome| outcome["line"].as_u64());
    outcomes
}

#[tokio::test]
async fn what_produce_sends_consume_prints_and_the_next_run_goes_on_behind_it() {
    let mock = MockProcess::start(2);
    let folder = Folder::new();
    let file = folder.path("lines");
    std::fs::write(&file, b"one\ntwo\r\n\xff\xfe\n\nlast").unwrap();
    let output = mock.run(&["produce", "--stream", "orders", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let summary = text(&output.stdout);
    assert!(
        summary.starts_with("5 records stored, 0 not stored"),
        "{summary}"
    );

    let mut worker = consume(&mock, &[]);
    let printed: BTreeSet<Vec<u8>> = lines(&mut worker, 5).into_iter().collect();
    let expected = [&b"one"[..], b"two", b"\xff\xfe", b"", b"last"];
    assert_eq!(printed, expected.iter().map(|line| line.to_vec()).collect());
    worker.signal("TERM");
    assert_eq!(worker.ended().await.code(), Some(0));

    let output = mock.run(&[
        "produce",
        "--stream",
        "orders",
        "--partition-key",
        "k",
        "--output",
        "json",
        file.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let receipts = outcomes(&output.stdout);
    assert_eq!(receipts.len(), 5);
    let mut worker = consume(&mock, &["--output", "json"]);
    let records: Vec<Value> = lines(&mut worker, 5)
        .iter()
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    worker.signal("INT");
    assert_eq!(worker.ended().await.code(), Some(0));
    let place = |value: &Value| {
        let of = |name: &str| value[name].to_string();
        [
            of("shard_id"),
            of("sequence_number"),
            of("sub_sequence_number"),
        ]
    };
    let data: BTreeMap<_, _> = records
        .iter()
        .map(|record| (place(record), record))
        .collect();
    for (receipt, sent) in receipts.iter().zip(expected) {
        let record = data[&place(receipt)];
        assert_eq!(record["partition_key"], "k");
        assert!(record["arrival"].as_str().unwrap().ends_with('Z'));
        let data = record["data"].as_str().unwrap();
        match record["encoding"].as_str().unwrap() {
            "utf-8" => assert_eq!(data.as_bytes(), sent),
            encoding => {
                assert_eq!(encoding, "base64");
                assert_eq!(BASE64_STANDARD.decode(data).unwrap(), sent);
            }
        }
    }
}

#[tokio::test]
async fn lines_that_are_not_stored_are_named_and_the_rest_is_stored() {
    let mock = MockProcess::start(1);
    let mut command = shardwise(&[
        "produce",
        "--stream",
        "orders",
        "--key-field",
        "2",
        "--output",
        "json",
    ]);
    command
        .env("AWS_ENDPOINT_URL", mock.url())
        .stdin(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process
        .stdin
        .take()
        .unwrap()
        .write_all(b"a,b\nc\nd\ne,f\n")
        .unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = text(&output.stderr);
    assert!(
        complaint.contains("lines 2 to 3 were not stored: it has no field 2"),
        "{complaint}"
    );
    assert!(
        complaint.contains("2 of 4 lines were not stored"),
        "{complaint}"
    );
    let outcomes = outcomes(&output.stdout);
    let stored: Vec<bool> = outcomes
        .iter()
        .map(|value| value["error"].is_null())
        .collect();
    assert_eq!(stored, [true, false, false, true]);
    assert_eq!(outcomes[2]["line"], 3);
    assert_eq!(outcomes[2]["maybe_stored"], false);
}

#[test]
fn a_stream_that_is_not_there_is_an_error_that_names_it() {
    let mock = MockProcess::start(1);
    let folder = Folder::new();
    let file = folder.path("lines");
    std::fs::write(&file, "one\ntwo\n").unwrap();
    let output = mock.run(&["produce", "--stream", "nowhere", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let complaint = text(&output.stderr);
    assert!(complaint.contains("nothing was stored"), "{complaint}");
    assert!(complaint.contains("nowhere"), "{complaint}");

    let output = mock.run(&[
        "consume",
        "--stream",
        "nowhere",
        "--application",
        "printers",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(
        text(&output.stderr).contains("there is no stream nowhere"),
        "{output:?}"
    );
}

#[test]
fn what_is_missing_is_said_before_anything_is_called() {
    for command in ["produce", "consume"] {
        let application: &[&str] = match command {
            "consume" => &["--application", "printers"],
            _ => &[],
        };
        let run = |remove: &str, more: &[&str]| {
            let mut arguments = vec![command, "--stream", "orders"];
            arguments.extend(application);
            arguments.extend(more);
            let output = shardwise(&arguments).env_remove(remove).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert!(output.stdout.is_empty());
            text(&output.stderr).to_owned()
        };
        assert!(run("AWS_REGION", &[]).contains("--region"));
        assert!(run("AWS_SECRET_ACCESS_KEY", &[]).contains("AWS_SECRET_ACCESS_KEY"));
        assert!(run("NOTHING", &["--endpoint-url", "nowhere"]).contains("nowhere"));
    }
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_ends_the_worker_and_loses_nothing() {
    let mock = MockProcess::start(1);
    let folder = Folder::new();
    let file = folder.path("lines");
    let send = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let output = mock.run(&["produce", "--stream", "orders", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    };
    send("one\n");
    let mut worker = consume(&mock, &[]);
    assert_eq!(lines(&mut worker, 1), [b"one"]);
    drop(worker.child().stdout.take());
    send("two\n");
    assert_eq!(worker.ended().await.code(), Some(0));
    let mut worker = consume(&mock, &[]);
    assert_eq!(lines(&mut worker, 1), [b"two"]);
}

#[test]
fn help_tells_about_every_option_and_the_environment() {
    for (command, options) in [
        (
            "produce",
            &["--stream", "--partition-key", "--key-field", "--delimiter"][..],
        ),
        (
            "consume",
            &[
                "--stream",
                "--application",
                "--worker-id",
                "--from",
                "--failover",
            ][..],
        ),
    ] {
        let output = shardwise(&[command, "--help"]).output().unwrap();
        let help = text(&output.stdout);
        let common = [
            "--output",
            "--region",
            "--endpoint-url",
            "AWS_ACCESS_KEY_ID",
        ];
        for word in options.iter().chain(&common) {
            assert!(help.contains(word), "{command} --help lacks {word}: {help}");
        }
    }
}
