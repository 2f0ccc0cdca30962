//! Processes that end with the test, and waiting for what they do.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shardwise_client::{Aws, Env, credential_types::Credentials};

/// Longer than anything takes, even on a machine that is busy with other things.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until something is there.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let env = Env::system();
    let deadline = env.now() + LIMIT;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(env.now() < deadline, "never: {what}");
        env.sleep(LOOK).await;
    }
}

/// The `shardwise` command, with nothing of this process's environment that concerns it.
pub(crate) fn shardwise(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardwise"));
    command.args(arguments);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        if text.starts_with("AWS_") || text.starts_with("SHARDWISE_") || text.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
    command
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A process that is killed when it is dropped, frozen or not.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap();
        assert!(status.success(), "kill -{name}");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        until("the process ends", async || self.0.try_wait().unwrap()).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _ended_already = self.0.wait();
    }
}

/// A mock in a process of its own.
pub(crate) struct MockProcess {
    pub(crate) address: String,
    _process: Process,
}

impl MockProcess {
    /// A mock with a stream `orders` of this many shards.
    pub(crate) fn start(shards: u32) -> Self {
        Self::start_with(shards, &[])
    }

    /// The same with more options.
    pub(crate) fn start_with(shards: u32, more: &[&str]) -> Self {
        let stream = format!("orders:{shards}");
        let mut arguments = vec!["mock", "--listen", "127.0.0.1:0", "--state-delay", "0"];
        arguments.extend(["--create-stream", &stream]);
        arguments.extend(more);
        let mut process = Process::start(&mut shardwise(&arguments));
        let mut line = String::new();
        BufReader::new(process.child().stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim_end()
            .strip_prefix("ready http://")
            .unwrap()
            .to_owned();
        Self {
            address,
            _process: process,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What this process itself talks to it with.
    pub(crate) fn aws(&self) -> Aws {
        Aws::builder()
            .region("us-east-1")
            .credentials(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(self.url())
            .build()
            .unwrap()
    }

    /// Runs a command against it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        shardwise(arguments)
            .env("AWS_ENDPOINT_URL", self.url())
            .output()
            .unwrap()
    }
}

/// A directory that goes away with the test, unless it fails.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("processes-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file that several processes append to.
    pub(crate) fn append(&self, name: &str) -> File {
        File::options()
            .create(true)
            .append(true)
            .open(self.path(name))
            .unwrap()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        let bytes = std::fs::read(self.path(name)).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _gone_already = std::fs::remove_dir_all(&self.0);
        }
    }
}
