//! When credentials are used, fetched and given up: pure, without a clock or a provider.
//!
//! Fetching is the cache's part.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use shardwise_env::Instant;

/// Credentials are fetched again this long before they expire, or at half of their life if that is
/// shorter, so that a slow provider fails while the old ones still sign.
const REFRESH_AHEAD: Duration = Duration::from_secs(300);

/// The least time between two fetches, and the pause after the first one that fails. It doubles with
/// each failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause after a fetch that failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Credentials that are expired as soon as they come are used, since the clock may be wrong and not
/// they, and fetched again after this.
const DOUBTFUL_LIFE: Duration = Duration::from_secs(60);

/// Credentials that have served this long before they are refused have expired early or were
/// rotated; a provider whose credentials are refused sooner gives wrong ones, and is asked ever less.
const STEADY: Duration = Duration::from_secs(60);

/// What is held, and what is known of the provider.
#[derive(Default)]
pub(super) struct CredentialsState {
    /// What is added to [`REFRESH_AHEAD`].
    spread: Duration,
    held: Option<Held>,
    is_fetching: bool,
    /// No fetch begins before this.
    not_before: Option<Instant>,
    /// Fetches that failed, in a row.
    failures: u32,
    /// Credentials that were refused soon after they came, in a row.
    refusals: u32,
    last_error: Option<Arc<CredentialsError>>,
}

struct Held {
    credentials: Credentials,
    fetched_at: Instant,
    refresh_at: Option<SystemTime>,
    expires_at: Option<SystemTime>,
    is_refused: bool,
}

/// What a caller is to do that wants to sign.
#[derive(Debug)]
pub(super) enum Step {
    /// Sign with these.
    Use(Credentials),
    /// Sign with these; a fetch is to be started.
    UseAndFetch(Credentials),
    /// A fetch is to be started; ask again when it has ended.
    FetchAndWait,
    /// Ask again when the fetch that runs has ended.
    Wait,
    /// There are none: the last fetch failed with this, and the next one has to wait.
    Fail(Arc<CredentialsError>),
}

impl CredentialsState {
    /// Nothing is held yet. Refreshing is `spread` earlier than for others, so that the workers of a
    /// fleet that were started together do not all ask at one moment.
    pub(super) fn new(spread: Duration) -> Self {
        Self {
            spread,
            ..Self::default()
        }
    }

    /// What to do at this time. After a step that says so, a fetch counts as running until
    /// [`fetched`](Self::fetched).
    pub(super) fn ask(&mut self, now: Instant, wall_now: SystemTime) -> Step {
        let may_fetch = !self.is_fetching && self.not_before.is_none_or(|time| time <= now);
        let passed = |time: Option<SystemTime>| time.is_some_and(|time| time <= wall_now);
        let step = match &self.held {
            Some(held) if !passed(held.expires_at) => {
                let credentials = held.credentials.clone();
                if held.is_refused && may_fetch {
                    Step::FetchAndWait
                } else if held.is_refused && self.is_fetching {
                    Step::Wait
                } else if passed(held.refresh_at) && may_fetch {
                    Step::UseAndFetch(credentials)
                } else {
                    Step::Use(credentials)
                }
            }
            _ if may_fetch => Step::FetchAndWait,
            _ => match &self.last_error {
                Some(error) if !self.is_fetching => Step::Fail(error.clone()),
                _ if self.is_fetching => Step::Wait,
                // Expired within the least time between two fetches.
                _ => Step::FetchAndWait,
            },
        };
        if matches!(step, Step::FetchAndWait | Step::UseAndFetch(_)) {
            self.is_fetching = true;
        }
        step
    }

    /// The fetch has ended. Says whether older credentials go on serving after one that failed.
    pub(super) fn fetched(
        &mut self,
        result: Result<Credentials, Arc<CredentialsError>>,
        now: Instant,
        wall_now: SystemTime,
    ) -> bool {
        self.is_fetching = false;
        match result {
            Ok(credentials) => {
                self.held = Some(self.hold(credentials, now, wall_now));
                self.failures = 0;
                self.last_error = None;
                self.not_before = Some(now + FIRST_PAUSE);
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.last_error = Some(error);
                self.not_before = Some(now + pause_after(self.failures));
            }
        }
        self.held
            .as_ref()
            .is_some_and(|held| held.expires_at.is_none_or(|expiry| wall_now < expiry))
    }

    /// The service has refused a signature with this key and token as expired. Says whether asking
    /// again gives others.
    pub(super) fn refused(
        &mut self,
        access_key_id: &str,
        session_token: Option<&str>,
        now: Instant,
    ) -> bool {
        let Some(held) = &mut self.held else {
            return true;
        };
        let credentials = &held.credentials;
        if credentials.access_key_id() != access_key_id
            || credentials.session_token() != session_token
        {
            return true;
        }
        if !held.is_refused {
            held.is_refused = true;
            let served = now.saturating_duration_since(held.fetched_at);
            self.refusals = if served < STEADY {
                self.refusals.saturating_add(1)
            } else {
                1
            };
            self.not_before = match self.refusals {
                1 => None,
                refusals => Some(now + pause_after(refusals - 1)),
            };
        }
        self.is_fetching || self.not_before.is_none_or(|time| time <= now)
    }

    fn hold(&self, credentials: Credentials, now: Instant, wall_now: SystemTime) -> Held {
        let (refresh_at, expires_at) = match credentials.expiry() {
            None => (None, None),
            Some(expiry) => match expiry.duration_since(wall_now) {
                Ok(life) if !life.is_zero() => {
                    let ahead = (REFRESH_AHEAD + self.spread).min(life / 2);
                    (Some(expiry - ahead), Some(expiry))
                }
                _ => (Some(wall_now + DOUBTFUL_LIFE), None),
            },
        };
        Held {
            credentials,
            fetched_at: now,
            refresh_at,
            expires_at,
            is_refused: false,
        }
    }
}

/// One second, doubling to a minute.
fn pause_after(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1));
    FIRST_PAUSE
        .saturating_mul(doubled.unwrap_or(u32::MAX))
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_a_second_to_a_minute() {
        let pauses = [1, 2, 3, 6, 7, 40, u32::MAX].map(|n| pause_after(n).as_secs());
        assert_eq!(pauses, [1, 2, 4, 32, 60, 60, 60]);
    }
}
