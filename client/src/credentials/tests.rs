//! The cache before providers that are slow, hang, fail, rotate or are wrong, in virtual time.

use std::sync::atomic::{AtomicUsize, Ordering};

use shardwise_env::Simulation;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// What a fetch does: how long it takes, and whether it succeeds.
type Behaviour = dyn Fn(usize) -> (Duration, bool) + Send + Sync;

/// Gives `AKID0`, `AKID1` and so on, each for an hour.
struct Hourly {
    env: Env,
    life: Duration,
    fetches: AtomicUsize,
    behaviour: Box<Behaviour>,
}

impl fmt::Debug for Hourly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hourly")
    }
}

/// The provider, where a test can count its fetches.
#[derive(Debug, Clone)]
struct Provider(Arc<Hourly>);

impl Provider {
    fn fetches(&self) -> usize {
        self.0.fetches.load(Ordering::Relaxed)
    }
}

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let number = self.0.fetches.fetch_add(1, Ordering::Relaxed);
            let (takes, succeeds) = (self.0.behaviour)(number);
            self.0.env.sleep(takes).await;
            if !succeeds {
                return Err(CredentialsError::provider_error("out of order"));
            }
            let expiry = self.0.env.wall_now() + self.0.life;
            let id = format!("AKID{number}");
            Ok(Credentials::new(id, "secret", None, Some(expiry), "test"))
        })
    }
}

struct World {
    env: Env,
    provider: Provider,
    cache: Arc<CredentialsCache>,
}

impl World {
    fn new(behaviour: impl Fn(usize) -> (Duration, bool) + Send + Sync + 'static) -> Self {
        Self::with_life(Duration::from_secs(3_600), behaviour)
    }

    fn with_life(
        life: Duration,
        behaviour: impl Fn(usize) -> (Duration, bool) + Send + Sync + 'static,
    ) -> Self {
        let env = Simulation::new(1).node("n", 1.0).env();
        let provider = Provider(Arc::new(Hourly {
            env: env.clone(),
            life,
            fetches: AtomicUsize::new(0),
            behaviour: Box::new(behaviour),
        }));
        let shared = SharedCredentialsProvider::new(provider.clone());
        let cache = Arc::new(CredentialsCache::new(shared, env.clone()));
        Self {
            env,
            provider,
            cache,
        }
    }

    /// The key that a caller gets, and how long it waits.
    async fn get(&self) -> (Result<String, CredentialsError>, Duration) {
        let begin = self.env.now();
        let result = self.cache.credentials().await;
        let key = result.map(|credentials| credentials.access_key_id().to_owned());
        (key, self.env.now() - begin)
    }

    async fn key(&self) -> String {
        self.get().await.0.unwrap()
    }
}

fn prompt(_: usize) -> (Duration, bool) {
    (Duration::ZERO, true)
}

#[tokio::test(start_paused = true)]
async fn a_refresh_runs_ahead_of_the_expiry_and_no_caller_waits() {
    let world = World::new(|_| (SECOND * 5, true));
    assert_eq!(world.get().await.1, SECOND * 5, "the first fetch");
    world.env.sleep(Duration::from_secs(3_200)).await;
    assert_eq!(world.key().await, "AKID0");
    assert_eq!(world.provider.fetches(), 1, "not due yet");
    world.env.sleep(SECOND * 101).await;
    let (key, waited) = world.get().await;
    assert_eq!((key.unwrap(), waited), ("AKID0".to_owned(), Duration::ZERO));
    world.env.sleep(SECOND * 6).await;
    assert_eq!(world.key().await, "AKID1");
    assert_eq!(world.provider.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_cause_one_fetch() {
    let world = World::new(|_| (SECOND * 5, true));
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let cache = world.cache.clone();
            world.env.spawn(async move { cache.credentials().await })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap().access_key_id(), "AKID0");
    }
    assert_eq!(world.provider.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_does_not_end_the_fetch() {
    let world = World::new(|_| (SECOND * 5, true));
    let given_up = world.env.timeout(SECOND, world.cache.credentials()).await;
    assert!(given_up.is_err());
    assert_eq!(world.get().await.1, SECOND * 4);
    assert_eq!(world.provider.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_is_given_up_after_ten_seconds() {
    let world = World::new(|number| (SECOND * if number == 0 { 1_000_000 } else { 0 }, true));
    let (result, waited) = world.get().await;
    let error = result.unwrap_err();
    assert!(matches!(error, CredentialsError::ProviderTimedOut(_)));
    assert_eq!(waited, SECOND * 10);
    let (result, waited) = world.get().await;
    assert!(result.is_err(), "the pause after a failure");
    assert_eq!(waited, Duration::ZERO);
    world.env.sleep(SECOND).await;
    assert_eq!(world.key().await, "AKID1");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_refresh_delays_no_caller_while_the_old_ones_serve() {
    let world = World::new(|number| (SECOND * if number == 0 { 0 } else { 1_000_000 }, true));
    world.key().await;
    world.env.sleep(Duration::from_secs(3_400)).await;
    for _ in 0..100 {
        let (key, waited) = world.get().await;
        assert_eq!((key.unwrap(), waited), ("AKID0".to_owned(), Duration::ZERO));
        world.env.sleep(SECOND).await;
    }
    let fetches = world.provider.fetches();
    assert!(
        (4..=9).contains(&fetches),
        "10 s each, and pauses: {fetches}"
    );
}

#[tokio::test(start_paused = true)]
async fn failures_pause_a_second_to_a_minute_while_the_old_ones_serve() {
    let world = World::new(|number| (Duration::ZERO, number == 0));
    world.key().await;
    world.env.sleep(Duration::from_secs(3_250)).await;
    let mut at = Vec::new();
    for second in 0..345 {
        let before = world.provider.fetches();
        assert_eq!(world.key().await, "AKID0");
        world.env.sleep(Duration::ZERO).await;
        tokio::task::yield_now().await;
        if world.provider.fetches() > before {
            at.push(second);
        }
        world.env.sleep(SECOND).await;
    }
    let pauses: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses[..6], [1, 2, 4, 8, 16, 32], "{at:?}");
    assert!(pauses[6..].iter().all(|pause| *pause == 60), "{at:?}");
    world.env.sleep(SECOND * 20).await;
    let error = world.get().await.0.unwrap_err();
    assert!(with_causes(&error).contains("out of order"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn short_lived_credentials_are_fetched_at_half_of_their_life() {
    let world = World::with_life(SECOND * 60, prompt);
    for _ in 0..600 {
        world.key().await;
        world.env.sleep(SECOND).await;
    }
    let fetches = world.provider.fetches();
    assert!((18..=21).contains(&fetches), "{fetches}");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_look_expired_at_once_serve_all_the_same() {
    let world = World::with_life(Duration::ZERO, prompt);
    for _ in 0..120 {
        world.key().await;
        world.env.sleep(SECOND).await;
    }
    assert!(world.provider.fetches() <= 3);
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_fetched_afresh_at_once_and_then_ever_less() {
    let world = World::new(prompt);
    assert_eq!(world.key().await, "AKID0");
    assert!(world.cache.refused("AKID0", None));
    assert_eq!(world.key().await, "AKID1");
    assert!(world.cache.refused("AKID0", None), "there are others");
    assert_eq!(world.key().await, "AKID1");
    assert!(!world.cache.refused("AKID1", None), "not at once again");
    assert_eq!(world.key().await, "AKID1");
    assert_eq!(world.provider.fetches(), 2);
    world.env.sleep(SECOND).await;
    assert_eq!(world.key().await, "AKID2");
    world.env.sleep(SECOND * 3_000).await;
    assert!(world.cache.refused("AKID2", None), "they had served long");
    assert_eq!(world.key().await, "AKID3");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_fails_and_is_asked_again() {
    let world = World::new(|number| {
        assert!(number > 0, "the provider panics");
        (Duration::ZERO, true)
    });
    assert!(world.get().await.0.is_err());
    world.env.sleep(SECOND).await;
    assert_eq!(world.key().await, "AKID1");
}
