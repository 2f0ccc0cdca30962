//! The accounts and regions of a mock: the streams and tables of each are wholly separate.
//!
//! An access key id of twelve digits is the account of that number, any other belongs to the
//! mock's own account. The region is that of the signature's credential scope, unless the mock
//! was given one: then there is no other.
//!
//! What has nothing yet is not kept: endless access key ids take no memory. An account's seed comes
//! from the mock's seed and the account's own name, so it does not matter who came first.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use md5::{Digest as _, Md5};

use crate::arn::{is_account, is_region};
use crate::auth::Claim;
use crate::clock::Now;
use crate::dynamodb::DynamoDb;
use crate::kinesis::{Config, Kinesis};
use crate::operation::Operation;
use crate::settings::BackendSettings;

/// How many accounts are kept before those that have nothing are looked for and forgotten.
const MIN_SWEEP: usize = 64;

/// One account in one region.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) kinesis: Kinesis,
    pub(crate) dynamodb: DynamoDb,
}

impl Account {
    fn is_empty(&self, now: Now) -> bool {
        self.kinesis.is_empty(now) && self.dynamodb.is_empty()
    }
}

/// All accounts in all regions.
#[derive(Debug)]
pub(crate) struct Accounts {
    settings: BackendSettings,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    /// The mock's own account in its own region.
    home: Arc<Account>,
    /// By account and region.
    others: BTreeMap<String, Arc<Account>>,
    /// How many others there are when the empty ones are next looked for.
    sweep_at: usize,
    /// For how long tables keep what was replaced.
    keep_past: Duration,
}

impl Accounts {
    pub(crate) fn new(settings: BackendSettings) -> Self {
        Self {
            state: RwLock::new(State {
                home: Arc::new(new_account(
                    &settings,
                    &settings.account,
                    settings.home_region(),
                )),
                others: BTreeMap::new(),
                sweep_at: MIN_SWEEP,
                keep_past: Duration::ZERO,
            }),
            settings,
        }
    }

    /// The mock's own account in its own region.
    pub(crate) fn home(&self) -> Arc<Account> {
        self.read().home.clone()
    }

    /// The account that a request by this signer is for.
    pub(crate) fn of(
        &self,
        claim: &Claim<'_>,
        operation: Option<Operation>,
        now: Now,
    ) -> Arc<Account> {
        let account = claim.access_key_id();
        let account = if is_account(account) {
            account
        } else {
            &self.settings.account
        };
        let home_region = self.settings.home_region();
        let region = match &self.settings.region {
            None if is_region(claim.region()) => claim.region(),
            _ => home_region,
        };
        self.account(
            account,
            region,
            operation.is_some_and(begins_an_account),
            now,
        )
    }

    /// The mock's own account in that region, where something is about to be created.
    #[cfg(feature = "cli")]
    pub(crate) fn own(&self, region: &str, now: Now) -> Arc<Account> {
        self.account(&self.settings.account, region, true, now)
    }

    /// That account, kept from now on if it `begins`.
    fn account(&self, account: &str, region: &str, begins: bool, now: Now) -> Arc<Account> {
        if account == self.settings.account && region == self.settings.home_region() {
            return self.home();
        }
        let key = format!("{account}/{region}");
        let keep_past = {
            let state = self.read();
            if let Some(account) = state.others.get(&key) {
                return account.clone();
            }
            state.keep_past
        };
        let new = Arc::new(new_account(&self.settings, account, region));
        new.dynamodb.keep_past(keep_past);
        if !begins {
            return new;
        }
        let mut state = self.write();
        if state.others.len() >= state.sweep_at {
            // Whoever still holds one may be about to put something into it.
            state
                .others
                .retain(|_, account| Arc::strong_count(account) > 1 || !account.is_empty(now));
            state.sweep_at = MIN_SWEEP.max(2 * state.others.len());
        }
        state.others.entry(key).or_insert(new).clone()
    }

    /// Forgets everything of every account, and ends what is still being read.
    pub(crate) fn reset(&self, now: Now) {
        let home = self.new_home();
        let old = {
            let mut state = self.write();
            state.keep_past = Duration::ZERO;
            let others = std::mem::take(&mut state.others);
            let home = std::mem::replace(&mut state.home, Arc::new(home));
            others.into_values().chain([home])
        };
        for account in old {
            account.kinesis.delete_all(now);
        }
    }

    /// Lets every table keep what is replaced from now on for at least that long.
    pub(crate) fn keep_past(&self, time: Duration) {
        let mut state = self.write();
        state.keep_past = time.max(state.keep_past);
        for account in state.others.values().chain([&state.home]) {
            account.dynamodb.keep_past(time);
        }
    }

    fn new_home(&self) -> Account {
        let (account, region) = (&self.settings.account, self.settings.home_region());
        new_account(&self.settings, account, region)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new account, which has nothing.
fn new_account(settings: &BackendSettings, account: &str, region: &str) -> Account {
    let random = settings
        .env
        .with_seed(derive(settings.seed, &[account, region]));
    Account {
        kinesis: Kinesis::new(Config {
            account: account.to_owned(),
            region: region.to_owned(),
            shard_limit: settings.shard_limit,
            limits: settings.limits,
            control_plane_limits: settings.control_plane_limits,
            scale_every: settings.scale_every,
            state_delay: settings.state_delay,
            random: random.with_seed(random.random_u64()),
        }),
        dynamodb: DynamoDb::new(settings.env.clone(), account, region, settings.table_delay)
            .drawing_from(random)
            .stale_reads(settings.stale_reads),
    }
}

/// The operations that can leave something in an account that had nothing.
fn begins_an_account(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::CreateStream | Operation::CreateTable | Operation::UpdateAccountSettings
    )
}

/// A seed for the one of that name.
fn derive(seed: u64, name: &[&str]) -> u64 {
    let mut digest = Md5::new().chain_update(seed.to_be_bytes());
    for part in name {
        digest.update(part);
        digest.update("/");
    }
    let digest: [u8; 16] = digest.finalize().into();
    digest
        .iter()
        .take(8)
        .fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use http::Request;
    use shardwise_env::Env;

    use super::*;
    use crate::clock::Clock;
    use crate::settings::LimitsMode;

    #[test]
    fn callers_who_create_nothing_are_not_kept() {
        let env = Env::system();
        let now = Clock::new(env.clone()).now();
        let accounts = Accounts::new(BackendSettings {
            env,
            account: "000000000000".to_owned(),
            region: None,
            shard_limit: 0,
            limits: LimitsMode::Relaxed,
            control_plane_limits: false,
            scale_every: Duration::ZERO,
            state_delay: Duration::ZERO,
            table_delay: Duration::ZERO,
            stale_reads: Duration::ZERO,
            seed: 1,
        });
        for operation in [Operation::ListStreams, Operation::CreateStream] {
            for account in 0..1000 {
                let (head, ()) = Request::get("/")
                    .header("x-amz-date", "0")
                    .header(
                        "authorization",
                        format!(
                            "a Credential=1{account:011}/d/r/s/t, SignedHeaders=h, Signature=0"
                        ),
                    )
                    .body(())
                    .unwrap()
                    .into_parts();
                let claim = Claim::read(&head).unwrap();
                accounts.of(&claim, Some(operation), now);
            }
            let kept = accounts.read().others.len();
            let most = if begins_an_account(operation) {
                MIN_SWEEP
            } else {
                0
            };
            assert!(kept <= most, "{kept} after {operation}");
        }
    }
}
