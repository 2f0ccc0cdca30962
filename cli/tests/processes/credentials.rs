//! Where the commands find out who they are: files, processes and containers, as AWS's tools do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::thread;

use crate::support::{Folder, MockProcess, shardwise};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// A mock with the stream `orders` that takes what is signed with [`SECRET`] and nothing else.
fn mock() -> MockProcess {
    MockProcess::start_with(1, &["--verify-signatures", "--secret", SECRET])
}

/// `shardwise produce` with one record, and nothing that says as whom.
fn produce(folder: &Folder) -> Command {
    let lines = folder.path("lines");
    std::fs::write(&lines, "one\n").unwrap();
    let mut command = shardwise(&["produce", "--stream", "orders", lines.to_str().unwrap()]);
    for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        command.env_remove(name);
    }
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", folder.path("config"))
        .env("AWS_SHARED_CREDENTIALS_FILE", folder.path("credentials"));
    command
}

fn assert_stored(output: &Output) {
    let summary = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && summary.starts_with("1 records stored"),
        "{output:?}"
    );
}

#[test]
fn a_profile_has_credentials_a_region_and_endpoints() {
    let (mock, folder) = (mock(), Folder::new());
    let config = format!(
        "[profile work]\nregion = us-east-1\nservices = here\n\
         [services here]\nkinesis =\n  endpoint_url = {}\n",
        mock.url()
    );
    std::fs::write(folder.path("config"), config).unwrap();
    let credentials = |secret: &str| {
        let text =
            format!("[work]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = {secret}\n");
        std::fs::write(folder.path("credentials"), text).unwrap();
    };
    credentials(SECRET);
    let output = produce(&folder).env("AWS_PROFILE", "work").output();
    assert_stored(&output.unwrap());

    credentials("another");
    let output = produce(&folder).env("AWS_PROFILE", "work").output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn a_process_gives_credentials() {
    let (mock, folder) = (mock(), Folder::new());
    let credentials =
        format!(r#"{{"Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "{SECRET}"}}"#);
    std::fs::write(folder.path("answer"), credentials).unwrap();
    let config = format!(
        "[default]\nregion = us-east-1\ncredential_process = cat {}\n",
        folder.path("answer").display()
    );
    std::fs::write(folder.path("config"), config).unwrap();
    let output = produce(&folder)
        .env("AWS_ENDPOINT_URL", mock.url())
        .output();
    assert_stored(&output.unwrap());
}

/// Answers one request as the agent of a container does, if it bears the token.
fn container_agent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let reader = BufReader::new(socket.try_clone().unwrap());
        let head: Vec<String> = reader
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        let knows = head.iter().any(|line| line == "authorization: open sesame");
        let body = format!(
            r#"{{"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "{SECRET}", "Token": "token",
                "Expiration": "2100-01-01T00:00:00Z"}}"#
        );
        let (status, body) = if knows {
            (200, body)
        } else {
            (403, String::new())
        };
        let length = body.len();
        write!(
            socket,
            "HTTP/1.1 {status} -\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
    });
    address
}

#[test]
fn a_container_gives_credentials() {
    let (mock, folder) = (mock(), Folder::new());
    let url = format!("http://{}/credentials", container_agent());
    let output = produce(&folder)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ENDPOINT_URL", mock.url())
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "open sesame")
        .output();
    assert_stored(&output.unwrap());
}

#[test]
fn without_any_the_command_says_so_before_it_reads() {
    let folder = Folder::new();
    let output = produce(&folder).env("AWS_REGION", "us-east-1").output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said.starts_with("shardwise: no credentials: "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.len() < 300, "{said}");
    assert!(
        said.contains("AWS_ACCESS_KEY_ID") && said.trim_end().ends_with("AWS_PROFILE"),
        "{said}"
    );

    let output = produce(&folder).env("AWS_PROFILE", "nobody").output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said.starts_with("shardwise: no region: "), "{said}");
}
