//! Credentials that are fetched once, shared, and fetched again ahead of their expiry.
//!
//! A fetch is a task of the cache: nothing waits for it while older credentials serve, and a caller
//! that gives up does not end it. When to fetch is decided in `state`.

mod state;

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use shardwise_env::{Env, Task, lock};
use shardwise_types::with_causes;
use tokio::sync::Notify;

use self::state::{CredentialsState, Step};

/// How long a provider may take. A process or an instance's metadata answer within a second; one that
/// hangs must not hold up every call.
const FETCH_LIMIT: Duration = Duration::from_secs(10);

/// What refreshing is spread by, in milliseconds.
const REFRESH_SPREAD_MS: u64 = 60_000;

/// A cache in front of any provider: one fetch at a time, for all callers together.
pub(crate) struct CredentialsCache {
    shared: Arc<Shared>,
    /// The fetch that runs, or the last one.
    fetch: Mutex<Option<Task<()>>>,
}

struct Shared {
    provider: SharedCredentialsProvider,
    env: Env,
    state: Mutex<CredentialsState>,
    /// Notified at the end of each fetch.
    ended: Notify,
}

impl CredentialsCache {
    pub(crate) fn new(provider: SharedCredentialsProvider, env: Env) -> Self {
        let spread = Duration::from_millis(env.random_below(REFRESH_SPREAD_MS));
        let shared = Shared {
            provider,
            env,
            state: Mutex::new(CredentialsState::new(spread)),
            ended: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
            fetch: Mutex::default(),
        }
    }

    /// The credentials to sign with now.
    pub(crate) async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        loop {
            // Before the state is looked at, so that no end of a fetch is missed.
            let ended = self.shared.ended.notified();
            let env = &self.shared.env;
            let step = lock(&self.shared.state).ask(env.now(), env.wall_now());
            match step {
                Step::Use(credentials) => return Ok(credentials),
                Step::UseAndFetch(credentials) => {
                    self.start_fetch();
                    return Ok(credentials);
                }
                Step::FetchAndWait => self.start_fetch(),
                Step::Wait => {}
                Step::Fail(error) => return Err(same_again(error)),
            }
            ended.await;
        }
    }

    /// The service has refused a signature with this key and token as expired. Says whether asking
    /// again gives others.
    pub(crate) fn refused(&self, access_key_id: &str, session_token: Option<&str>) -> bool {
        let now = self.shared.env.now();
        lock(&self.shared.state).refused(access_key_id, session_token, now)
    }

    fn start_fetch(&self) {
        let running = Running(Some(self.shared.clone()));
        let task = self.shared.env.spawn(running.fetch());
        *lock(&self.fetch) = Some(task);
    }
}

/// A fetch that runs. Ends in the state whatever becomes of its task.
struct Running(Option<Arc<Shared>>);

impl Running {
    async fn fetch(mut self) {
        let Some(shared) = self.0.clone() else {
            return;
        };
        let fetching = shared.provider.provide_credentials();
        let result = match shared.env.timeout(FETCH_LIMIT, fetching).await {
            Ok(result) => result,
            Err(_elapsed) => Err(CredentialsError::provider_timed_out(FETCH_LIMIT)),
        };
        self.0 = None;
        shared.fetched(result);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.fetched(Err(CredentialsError::unhandled(
                "the task that fetched the credentials was ended",
            )));
        }
    }
}

impl Shared {
    fn fetched(&self, result: Result<Credentials, CredentialsError>) {
        let result = result.map_err(Arc::new);
        let error = result.as_ref().err().cloned();
        let (now, wall_now) = (self.env.now(), self.env.wall_now());
        let old_ones_serve = lock(&self.state).fetched(result, now, wall_now);
        if let Some(error) = error.filter(|_| old_ones_serve) {
            tracing::warn!(
                "could not refresh the credentials, the old ones serve until they expire: {}",
                with_causes(&*error)
            );
        }
        self.ended.notify_waiters();
    }
}

/// The error of a fetch, for each of those who waited for it.
fn same_again(error: Arc<CredentialsError>) -> CredentialsError {
    match &*error {
        CredentialsError::ProviderTimedOut(details) => {
            CredentialsError::provider_timed_out(details.timeout_duration())
        }
        CredentialsError::CredentialsNotLoaded(_) => {
            CredentialsError::not_loaded(SharedError(error))
        }
        _ => CredentialsError::provider_error(SharedError(error)),
    }
}

#[derive(Debug)]
struct SharedError(Arc<CredentialsError>);

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for SharedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl fmt::Debug for CredentialsCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialsCache(<redacted>)")
    }
}

/// So that `aws-sdk-dynamodb` signs with the same cache.
impl ProvideCredentials for CredentialsCache {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

#[cfg(test)]
mod tests;
