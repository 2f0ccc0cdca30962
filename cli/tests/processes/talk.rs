//! What the commands say: help, log, what they wait for, and how they end when they are not listened to.

use std::io::{BufRead as _, BufReader, Read as _};

use serde_json::Value;
use shardwise_client::Env;

use crate::support::{Folder, LIMIT, MockProcess, Process, shardwise};

fn help(arguments: &[&str]) -> String {
    let output = shardwise(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The first line that a process says on standard error with these words.
fn said(process: &mut Process, words: &str) -> String {
    let mut stderr = BufReader::new(process.child().stderr.take().unwrap());
    let mut line = String::new();
    while stderr.read_line(&mut line).unwrap() > 0 {
        if line.contains(words) {
            break;
        }
        line.clear();
    }
    process.child().stderr = Some(stderr.into_inner());
    line
}

#[test]
fn the_long_help_of_each_command_is_shown() {
    for (command, sentences) in [
        (
            "produce",
            ["Each line becomes one record", "--keep-going reads on"],
        ),
        (
            "consume",
            [
                "they divide the shards among them",
                "One application reads one stream",
            ],
        ),
    ] {
        // As wide as the terminal is said to be: sentences are not to be broken here.
        let text = help(&[command, "--help"]).replace('\n', " ");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for sentence in sentences {
            assert!(text.contains(sentence), "{command}: {sentence}: {text}");
        }
        let short = help(&[command, "-h"]);
        assert!(!short.contains(sentences[0]), "{short}");
    }
    let all = help(&["--help"]);
    for command in ["mock", "produce", "consume"] {
        let described = all.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(command) && words.next().is_some()
        });
        assert!(described, "{command}: {all}");
    }
}

#[test]
fn all_commands_take_a_log_format() {
    for command in ["mock", "produce", "consume"] {
        assert!(
            help(&[command, "--help"]).contains("--log-format"),
            "{command}"
        );
    }
}

#[test]
fn a_log_that_is_no_terminal_has_no_escapes_and_as_json_only_objects() {
    let mock = MockProcess::start(1);
    let folder = Folder::new();
    let file = folder.path("lines");
    std::fs::write(&file, "one\n").unwrap();
    let run = |format: &str, stream: &str| {
        let file = file.to_str().unwrap();
        let output = shardwise(&["produce", "--stream", stream, "--log-format", format, file])
            .env("AWS_ENDPOINT_URL", mock.url())
            .env("RUST_LOG", "trace")
            .output()
            .unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let text = run("text", "orders");
    assert!(text.contains("TRACE") || text.contains("DEBUG"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
    let objects: Vec<Value> = run("json", "nowhere")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = objects.last().unwrap();
    assert_eq!(last["level"], "ERROR");
    let message = last["fields"]["message"].as_str().unwrap();
    assert!(message.starts_with("nothing was stored"), "{message}");
}

#[test]
fn a_service_that_cannot_be_reached_is_named_within_two_seconds() {
    let folder = Folder::new();
    let file = folder.path("lines");
    std::fs::write(&file, "one\n").unwrap();
    let clock = Env::system();
    for arguments in [
        &["produce", "--stream", "orders", file.to_str().unwrap()][..],
        &["consume", "--stream", "orders", "--application", "printers"],
    ] {
        let begin = clock.now();
        let mut process =
            Process::start(shardwise(arguments).env("AWS_ENDPOINT_URL", "http://127.0.0.1:1"));
        let line = said(&mut process, "waiting for");
        let took = clock.now() - begin;
        assert_eq!(line, "waiting for 127.0.0.1:1: connection refused\n");
        // Two seconds, and as many again for a machine that is busy with other things.
        assert!(took.as_secs() < 4, "{took:?}");
    }
}

#[test]
fn a_worker_without_records_says_what_it_holds() {
    let mock = MockProcess::start(2);
    let arguments = ["consume", "--stream", "orders", "--application", "printers"];
    let mut worker = Process::start(shardwise(&arguments).env("AWS_ENDPOINT_URL", mock.url()));
    let line = said(&mut worker, "holds 2 shards");
    assert!(
        line.contains("shardId-000000000000, shardId-000000000001"),
        "{line}"
    );
}

#[tokio::test]
async fn a_worker_whose_output_is_not_read_ends_within_its_grace() {
    let mock = MockProcess::start(2);
    let folder = Folder::new();
    let file = folder.path("lines");
    // More than a pipe holds, in both shards.
    std::fs::write(&file, format!("{}\n", "x".repeat(1_000)).repeat(2_000)).unwrap();
    let output = mock.run(&["produce", "--stream", "orders", file.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let arguments = ["consume", "--stream", "orders", "--application", "printers"];
    let start = || Process::start(shardwise(&arguments).env("AWS_ENDPOINT_URL", mock.url()));
    let mut worker = start();
    // It has begun to print, and is not read on.
    let mut byte = [0];
    worker
        .child()
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut byte)
        .unwrap();
    let clock = Env::system();
    let begin = clock.now();
    worker.signal("TERM");
    let status = worker.ended().await;
    let took = clock.now() - begin;
    assert!(took.as_secs() < 20, "{took:?}");
    assert_eq!(status.code(), Some(1));
    let line = said(&mut worker, "standard output");
    assert!(line.contains("it took nothing for 5 s"), "{line}");

    // What was not printed comes again: its leases were released, and nothing else was checkpointed.
    let mut worker = start();
    let stdout = BufReader::new(worker.child().stdout.take().unwrap());
    let deadline = clock.now() + LIMIT;
    assert_eq!(stdout.lines().take(1_000).count(), 1_000);
    assert!(clock.now() < deadline);
}
