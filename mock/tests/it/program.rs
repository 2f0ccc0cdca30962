//! The program: its flags, its one line, its exit codes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::tls;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardwise-mock"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, _) in std::env::vars() {
        if name.starts_with("SHARDWISE_MOCK_") {
            command.env_remove(name);
        }
    }
    command
}

/// A running mock that is stopped when the test ends.
struct Running {
    child: Child,
    address: String,
    /// Of the TLS port, if there is one.
    tls_address: Option<String>,
    /// Of the admin API, if there is one.
    admin: String,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let ready = line.strip_prefix("ready http://").expect(&line).trim();
        let (ready, admin) = ready.split_once(" admin http://").unwrap_or((ready, ""));
        let (address, tls_address) = match ready.split_once(" https://") {
            Some((address, tls_address)) => (address, Some(tls_address.to_owned())),
            None => (ready, None),
        };
        Self {
            address: address.to_owned(),
            tls_address,
            admin: admin.to_owned(),
            child,
        }
    }

    fn admin(&self, request: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.admin).unwrap();
        let length = body.len();
        let request = format!(
            "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: \
             {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn list_streams(&self) -> String {
        self.list_streams_as("a")
    }

    /// What a caller with that credential scope is answered.
    fn list_streams_as(&self, credential: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-amz-target: \
             Kinesis_20131202.ListStreams\r\ncontent-type: \
             application/x-amz-json-1.1\r\nx-amz-date: 0\r\nauthorization: a \
             Credential={credential}, SignedHeaders=b, Signature=c\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn end_with(mut self, signal: &str) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        Command::new("kill").args([signal, &id]).status().unwrap();
        let status = self.child.wait().unwrap();
        let mut rest = String::new();
        let stdout = self.child.stdout.as_mut().unwrap();
        stdout.read_to_string(&mut rest).unwrap();
        (status.code(), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_says_ready_once_and_ends_well_when_told_to() {
    for signal in ["-TERM", "-INT"] {
        let running = Running::start(program(&[
            "--listen",
            "127.0.0.1:0",
            "--create-stream",
            "a:1",
            "--create-stream",
            "b:2",
        ]));
        let answer = running.list_streams();
        assert!(answer.contains(r#""StreamNames":["a","b"]"#), "{answer}");
        assert!(answer.contains(r#""StreamStatus":"ACTIVE""#), "{answer}");
        assert_eq!(running.end_with(signal), (Some(0), String::new()));
    }
}

#[test]
fn it_begins_with_streams_of_several_regions() {
    let streams = ["--create-stream", "a:1,b:2:eu-west-1,a:3:eu-west-1"];
    let running = Running::start(program(
        &[&["--listen", "127.0.0.1:0"], &streams[..]].concat(),
    ));
    for (region, names) in [("us-east-1", r#"["a"]"#), ("eu-west-1", r#"["a","b"]"#)] {
        let answer = running.list_streams_as(&format!("a/20260101/{region}/kinesis/aws4_request"));
        assert!(
            answer.contains(&format!(r#""StreamNames":{names}"#)),
            "{answer}"
        );
        let arn = format!("arn:aws:kinesis:{region}:000000000000:stream/a");
        assert!(answer.contains(&arn), "{answer}");
    }
    let only = ["--region", "eu-west-1", "--create-stream"];
    let running = Running::start(program(
        &[&["--listen", "127.0.0.1:0"], &only[..], &["a:1:eu-west-1"]].concat(),
    ));
    let answer = running.list_streams();
    assert!(answer.contains(r#""StreamNames":["a"]"#), "{answer}");
    let (code, _, stderr) = failure(&[&only[..], &["a:1:us-east-1"]].concat());
    assert_eq!(code, Some(1));
    let told = "could not create stream a in us-east-1: the only region is eu-west-1";
    assert!(stderr.contains(told), "{stderr}");
}

#[test]
fn every_flag_is_a_variable_too() {
    let mut command = program(&[]);
    command
        .env("SHARDWISE_MOCK_LISTEN", "127.0.0.1:0")
        .env("SHARDWISE_MOCK_ACCOUNT", "123456789012")
        .env("SHARDWISE_MOCK_REGION", "eu-west-1")
        .env("SHARDWISE_MOCK_ADMIN_LISTEN", "127.0.0.1:0")
        .env("SHARDWISE_MOCK_SHARD_LIMIT", "9")
        .env("SHARDWISE_MOCK_STATE_DELAY", "0")
        .env("SHARDWISE_MOCK_LIMITS", "strict")
        .env("SHARDWISE_MOCK_CONTROL_PLANE_LIMITS", "true")
        .env("SHARDWISE_MOCK_SCALE_EVERY", "1000")
        .env("SHARDWISE_MOCK_SEED", "1")
        .env("SHARDWISE_MOCK_CLOCK", "scaled:60")
        .env("SHARDWISE_MOCK_MOTO_RESET", "true")
        .env("SHARDWISE_MOCK_ALLOW_REMOTE", "true")
        .env("SHARDWISE_MOCK_CREATE_STREAM", "a:1,b:2")
        .env("SHARDWISE_MOCK_TLS_LISTEN", "127.0.0.1:0");
    let running = Running::start(command);
    assert!(running.tls_address.is_some());
    let answer = running.list_streams();
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/b";
    assert!(answer.contains(arn), "{answer}");
    let answer = running.admin("GET /health", "");
    assert!(answer.contains(r#"{"status":"ok"}"#), "{answer}");
}

#[tokio::test]
async fn it_speaks_tls_under_the_certificate_that_it_writes_out() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mock.pem");
    let mut command = program(&["--listen", "127.0.0.1:0", "--create-stream", "a:1"]);
    command
        .args(["--tls-listen", "127.0.0.1:0", "--tls-certificate"])
        .arg(&path);
    let running = Running::start(command);
    let certificate = std::fs::read_to_string(&path).unwrap();
    let address = running.tls_address.as_deref().unwrap().parse().unwrap();
    let connection = tls::connect(address, &certificate, "localhost", &["h2"]).await;
    let answer = tls::ask(connection, "ListStreams", json!({})).await;
    assert_eq!(answer["StreamNames"], json!(["a"]));
    assert!(running.list_streams().contains(r#""StreamNames":["a"]"#));
    assert_eq!(running.end_with("-TERM"), (Some(0), String::new()));
}

#[test]
fn it_verifies_signatures_where_it_is_told_to() {
    let running = Running::start(program(&["--listen", "127.0.0.1:0", "--verify-signatures"]));
    let answer = running.list_streams();
    assert!(answer.contains("IncompleteSignatureException"), "{answer}");
}

#[test]
fn its_manual_clock_is_moved_over_the_admin_api_and_dates_its_answers() {
    let running = Running::start(program(&[
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--clock",
        "manual",
    ]));
    let date = |answer: &str| {
        let (_, rest) = answer.split_once("date: ").unwrap();
        rest.lines().next().unwrap().to_owned()
    };
    let before = date(&running.list_streams());
    assert_eq!(date(&running.list_streams()), before);
    let answer = running.admin("POST /clock/advance", r#"{"ms": 86400000}"#);
    assert!(answer.contains(r#""uptime_ms":86400000"#), "{answer}");
    let day = |date: &str| httpdate::parse_http_date(date).unwrap();
    let passed = day(&date(&running.list_streams())).duration_since(day(&before));
    assert_eq!(passed.unwrap().as_secs(), 86_400);
}

#[test]
fn its_faults_come_from_a_file() {
    let file = std::env::temp_dir().join(format!("shardwise-faults-{}", std::process::id()));
    let path = file.to_str().unwrap();
    std::fs::write(
        &file,
        r#"[{"operation": "ListStreams", "fault": "internal"}]"#,
    )
    .unwrap();
    let running = Running::start(program(&["--listen", "127.0.0.1:0", "--faults", path]));
    let answer = running.list_streams();
    assert!(answer.contains("InternalFailure"), "{answer}");
    std::fs::write(&file, "[{\"fault\":\n\"none\"}]").unwrap();
    let (code, _, stderr) = failure(&["--listen", "127.0.0.1:0", "--faults", path]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(code, Some(1));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for part in [path, "[0].fault", "line 2"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    let (code, _, stderr) = failure(&["--listen", "127.0.0.1:0", "--faults", path]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("could not read"), "{stderr}");
}

fn failure(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = program(arguments).output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_taken_port_is_one_line_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, stdout, stderr) = failure(&["--listen", &address]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(&address), "{stderr}");
}

#[test]
fn what_it_cannot_do_it_refuses_before_it_begins() {
    let (code, _, stderr) = failure(&["--listen", "0.0.0.0:0"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("--allow-remote"), "{stderr}");
    let (code, _, stderr) = failure(&["--listen", "127.0.0.1:0", "--tls-listen", "0.0.0.0:0"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("--allow-remote"), "{stderr}");
    let listen = ["--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"];
    let (code, stdout, stderr) = failure(&[&listen[..], &["--tls-certificate", "/"]].concat());
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.contains("could not write the certificate to /"),
        "{stderr}"
    );
    let (code, _, stderr) = failure(&["--listen", "127.0.0.1:0", "--admin-listen", "0.0.0.0:0"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("--allow-remote"), "{stderr}");
    let (code, _, stderr) = failure(&["--listen", "127.0.0.1:0", "--clock", "manual"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("--admin-listen"), "{stderr}");
    let (code, _, stderr) = failure(&["--shard-limit", "1", "--create-stream", "a:2"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("could not create stream a"), "{stderr}");
    for arguments in [
        ["--create-stream", "a"],
        ["--create-stream", "a:0"],
        ["--create-stream", "a b:1"],
        ["--create-stream", "a:1:"],
        ["--create-stream", "a:1:EU west"],
        ["--create-stream", "a:1:eu-west-1:2"],
        ["--tls-listen", "localhost"],
        ["--tls-certificate", "mock.pem"],
        ["--account", "1"],
        ["--admin-listen", "here"],
        ["--region", "EU west"],
        ["--limits", "some"],
        ["--scale-every", "soon"],
        ["--clock", "scaled:0"],
        ["--clock", "scaled:x"],
        ["--clock", "slow"],
    ] {
        assert_eq!(failure(&arguments).0, Some(2), "{arguments:?}");
    }
}

#[test]
fn it_knows_its_version() {
    let (code, stdout, _) = failure(&["--version"]);
    assert_eq!(code, Some(0));
    assert_eq!(
        stdout,
        format!("shardwise-mock {}\n", env!("CARGO_PKG_VERSION"))
    );
}
