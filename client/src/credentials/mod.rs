//! Credentials that are fetched once, shared, and fetched again ahead of their expiry.

use std::fmt;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use shardwise_env::Env;
use tokio::sync::Mutex;

/// Credentials are fetched again this long before they expire, so that a slow provider fails while
/// the old ones still sign.
const REFRESH_AHEAD: Duration = Duration::from_secs(300);

/// What [`REFRESH_AHEAD`] is spread by, so that the workers of a fleet that were started together
/// do not all ask at one moment.
const REFRESH_SPREAD_MS: u64 = 60_000;

/// A cache in front of any provider: one fetch at a time, whoever asks.
pub(crate) struct Cached {
    provider: SharedCredentialsProvider,
    env: Env,
    spread: Duration,
    held: Mutex<Option<Credentials>>,
}

impl Cached {
    pub(crate) fn new(provider: SharedCredentialsProvider, env: Env) -> Self {
        let spread = Duration::from_millis(env.random_below(REFRESH_SPREAD_MS));
        Self {
            provider,
            env,
            spread,
            held: Mutex::new(None),
        }
    }

    /// The credentials to sign with now.
    pub(crate) async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let mut held = self.held.lock().await;
        if let Some(credentials) = held.as_ref().filter(|held| !self.is_due(held)) {
            return Ok(credentials.clone());
        }
        match self.provider.provide_credentials().await {
            Ok(fresh) => {
                *held = Some(fresh.clone());
                Ok(fresh)
            }
            // A provider that fails ahead of the expiry costs nothing yet.
            Err(error) => match held.as_ref().filter(|held| !self.is_expired(held)) {
                Some(old) => {
                    tracing::warn!(error = %error, "could not refresh the credentials, the old ones still hold");
                    Ok(old.clone())
                }
                None => Err(error),
            },
        }
    }

    /// Forgets credentials that the service has refused as expired.
    pub(crate) async fn discard(&self, refused: &Credentials) {
        let mut held = self.held.lock().await;
        if held
            .as_ref()
            .is_some_and(|held| held.access_key_id() == refused.access_key_id())
        {
            *held = None;
        }
    }

    fn is_due(&self, credentials: &Credentials) -> bool {
        let ahead = REFRESH_AHEAD + self.spread;
        credentials
            .expiry()
            .is_some_and(|expiry| self.env.wall_now() + ahead >= expiry)
    }

    fn is_expired(&self, credentials: &Credentials) -> bool {
        credentials
            .expiry()
            .is_some_and(|expiry| self.env.wall_now() >= expiry)
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cached(<redacted>)")
    }
}

/// So that `aws-sdk-dynamodb` signs with the same cache.
impl ProvideCredentials for Cached {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use shardwise_env::Simulation;

    use super::*;

    #[derive(Debug)]
    struct Hourly {
        env: Env,
        fetched: Arc<AtomicUsize>,
        fails_after: usize,
    }

    impl ProvideCredentials for Hourly {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.fetched.fetch_add(1, Ordering::Relaxed);
            let expiry = self.env.wall_now() + Duration::from_secs(3600);
            future::ProvideCredentials::ready(if number < self.fails_after {
                let id = format!("AKID{number}");
                Ok(Credentials::new(id, "secret", None, Some(expiry), "test"))
            } else {
                Err(CredentialsError::provider_error("out of order"))
            })
        }
    }

    fn cached(fails_after: usize) -> (Cached, Env, Arc<AtomicUsize>) {
        let env = Simulation::new(1).node("n", 1.0).env();
        let fetched = Arc::new(AtomicUsize::new(0));
        let provider = Hourly {
            env: env.clone(),
            fetched: fetched.clone(),
            fails_after,
        };
        (
            Cached::new(SharedCredentialsProvider::new(provider), env.clone()),
            env,
            fetched,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_are_fetched_once_and_again_ahead_of_their_expiry() {
        let (cached, env, fetched) = cached(usize::MAX);
        for _ in 0..3 {
            assert_eq!(cached.credentials().await.unwrap().access_key_id(), "AKID0");
        }
        env.sleep(Duration::from_secs(3200)).await;
        assert_eq!(cached.credentials().await.unwrap().access_key_id(), "AKID0");
        env.sleep(Duration::from_secs(101)).await;
        assert_eq!(cached.credentials().await.unwrap().access_key_id(), "AKID1");
        assert_eq!(fetched.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_fails_is_survived_until_the_expiry() {
        let (cached, env, _) = cached(1);
        cached.credentials().await.unwrap();
        env.sleep(Duration::from_secs(3500)).await;
        assert_eq!(cached.credentials().await.unwrap().access_key_id(), "AKID0");
        env.sleep(Duration::from_secs(101)).await;
        assert!(cached.credentials().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn refused_credentials_are_forgotten_once() {
        let (cached, _, _) = cached(usize::MAX);
        let refused = cached.credentials().await.unwrap();
        cached.discard(&refused).await;
        assert_eq!(cached.credentials().await.unwrap().access_key_id(), "AKID1");
        cached.discard(&refused).await;
        assert_eq!(cached.credentials().await.unwrap().access_key_id(), "AKID1");
    }
}
