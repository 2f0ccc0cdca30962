//! Variables and files of AWS's tools that are empty, wrong or broken, and not needed.
//!
//! A command that has been given what it needs must neither panic nor fail for the rest.

use std::process::Command;

use crate::support::{Folder, MockProcess, Process, shardwise, until};

/// What other tools tolerate.
const TOLERATED: [(&str, &str); 39] = [
    ("AWS_MAX_ATTEMPTS", ""),
    ("AWS_MAX_ATTEMPTS", "0"),
    ("AWS_MAX_ATTEMPTS", "many"),
    ("AWS_RETRY_MODE", ""),
    ("AWS_RETRY_MODE", "legacy"),
    ("AWS_RETRY_MODE", "sometimes"),
    ("AWS_ENDPOINT_URL_KINESIS", ""),
    ("AWS_ENDPOINT_URL_DYNAMODB", " "),
    ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", ""),
    ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "maybe"),
    ("AWS_DEFAULT_REGION", ""),
    ("AWS_PROFILE", ""),
    ("AWS_PROFILE", "nowhere"),
    ("AWS_SESSION_TOKEN", ""),
    ("AWS_CA_BUNDLE", ""),
    ("AWS_CA_BUNDLE", "/nowhere/ca.pem"),
    ("AWS_USE_FIPS_ENDPOINT", ""),
    ("AWS_USE_FIPS_ENDPOINT", "yes"),
    ("AWS_USE_DUALSTACK_ENDPOINT", "1"),
    ("AWS_EC2_METADATA_DISABLED", "maybe"),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "no url"),
    ("AWS_CONFIG_FILE", ""),
    ("AWS_CONFIG_FILE", "/"),
    ("AWS_CONFIG_FILE", "/nowhere/config"),
    ("AWS_SHARED_CREDENTIALS_FILE", ""),
    ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials"),
    ("AWS_SDK_UA_APP_ID", "an app, with \u{fc}mlaut"),
    ("AWS_DEFAULTS_MODE", "whatever"),
    ("AWS_DISABLE_REQUEST_COMPRESSION", "whatever"),
    ("AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES", "-1"),
    ("AWS_ACCOUNT_ID_ENDPOINT_MODE", "whatever"),
    ("AWS_AUTH_SCHEME_PREFERENCE", ",,"),
    ("AWS_REQUEST_CHECKSUM_CALCULATION", "whatever"),
    ("AWS_ROLE_ARN", ""),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", ""),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", ""),
    ("HTTPS_PROXY", ""),
    ("HTTPS_PROXY", "::::"),
    ("NO_PROXY", ","),
];

/// Configuration files that other tools read past, or do not need.
const FILES: [&str; 7] = [
    "",
    "[default]\nregion =\n",
    "[default]\nmax_attempts = many\nretry_mode = sometimes\n",
    "[default]\nendpoint_url =\nuse_fips_endpoint = perhaps\n",
    "[default]\nsdk_ua_app_id = an app\nrequest_min_compression_size_bytes = x\n",
    "[profile\nregion = us-east-1\n",
    "\u{0}\u{1} not a configuration file",
];

fn produce(mock: &MockProcess, folder: &Folder) -> Command {
    let lines = folder.path("lines");
    std::fs::write(&lines, "one\n").unwrap();
    let mut command = shardwise(&["produce", "--stream", "orders", lines.to_str().unwrap()]);
    command
        .env("AWS_ENDPOINT_URL", mock.url())
        .env("AWS_CONFIG_FILE", folder.path("config"))
        .env("AWS_SHARED_CREDENTIALS_FILE", folder.path("credentials"));
    command
}

fn assert_stored(command: &mut Command, what: &str) {
    let output = command.output().unwrap();
    let summary = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && summary.starts_with("1 records stored"),
        "{what}: {output:?}"
    );
}

#[test]
fn variables_that_are_not_needed_are_tolerated_whatever_they_hold() {
    let (mock, folder) = (MockProcess::start(1), Folder::new());
    for (name, value) in TOLERATED {
        let what = format!("{name}={value:?}");
        assert_stored(produce(&mock, &folder).env(name, value), &what);
    }
}

#[test]
fn configuration_files_that_are_not_needed_are_tolerated() {
    let (mock, folder) = (MockProcess::start(1), Folder::new());
    for text in FILES {
        std::fs::write(folder.path("config"), text).unwrap();
        assert_stored(&mut produce(&mock, &folder), text);
    }
}

#[test]
fn an_empty_variable_gives_way_to_the_profile() {
    let (mock, folder) = (MockProcess::start(1), Folder::new());
    let config = format!(
        "[default]\nregion = us-east-1\nendpoint_url = {}\n",
        mock.url()
    );
    std::fs::write(folder.path("config"), config).unwrap();
    let keys = "[default]\naws_access_key_id = test\naws_secret_access_key = test\n";
    std::fs::write(folder.path("credentials"), keys).unwrap();
    let mut command = produce(&mock, &folder);
    for name in [
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_PROFILE",
    ] {
        command.env(name, "");
    }
    assert_stored(&mut command, "all empty");
}

#[tokio::test]
async fn a_worker_tolerates_them_too() {
    let (mock, folder) = (MockProcess::start(1), Folder::new());
    assert_stored(&mut produce(&mock, &folder), "plain");
    let mut command = shardwise(&[
        "consume",
        "--stream",
        "orders",
        "--application",
        "tolerant",
        "--output",
        "json",
    ]);
    command
        .env("AWS_ENDPOINT_URL", mock.url())
        .stdout(folder.append("output"));
    for (name, value) in TOLERATED {
        if value.is_empty() {
            command.env(name, value);
        }
    }
    command.env("AWS_MAX_ATTEMPTS", "many");
    let mut worker = Process::start(&mut command);
    until("the record is printed", async || {
        assert!(worker.is_running());
        (folder.text("output").lines().count() == 1).then_some(())
    })
    .await;
    worker.signal("TERM");
    assert!(worker.ended().await.success());
}
