//! What a [`Mock`](crate::Mock) is made of: the clock, the accounts and the fault rules that its
//! handles, services and servers share.

use std::borrow::Cow;
use std::fmt;

use shardwise_env::{Env, ManualClock};
use shardwise_types::{StreamName, with_causes};

use crate::accounts::{Account, Accounts};
use crate::auth::Verifier;
use crate::call_counts::CallCounts;
use crate::clock::{Clock, Now};
use crate::fault::Fault;
use crate::fault_rules::{ActiveRule, Effect, FaultRules, RuleHandle};
use crate::fault_text::{self, FaultsError, NewRule};

/// The state behind a handle.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) env: Env,
    pub(crate) manual_clock: Option<ManualClock>,
    pub(crate) clock: Clock,
    /// What request ids are drawn from.
    pub(crate) random: Env,
    pub(crate) calls: CallCounts,
    pub(crate) rules: FaultRules,
    pub(crate) verifier: Option<Verifier>,
    pub(crate) accounts: Accounts,
    /// Whether the services' port takes `POST /moto-api/reset`.
    pub(crate) moto_reset: bool,
}

impl Backend {
    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The clock, if it is moved by hand.
    pub(crate) fn manual_clock(&self) -> Option<&ManualClock> {
        self.manual_clock.as_ref()
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// What request ids are drawn from.
    pub(crate) fn random(&self) -> &Env {
        &self.random
    }

    /// How often each operation was called.
    pub(crate) fn calls(&self) -> &CallCounts {
        &self.calls
    }

    /// The fault rules in force.
    pub(crate) fn rules(&self) -> &FaultRules {
        &self.rules
    }

    /// What signatures are checked against, if they are.
    pub(crate) fn verifier(&self) -> Option<&Verifier> {
        self.verifier.as_ref()
    }

    pub(crate) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Drops all streams, tables, fault rules and counts.
    pub(crate) fn reset(&self) {
        self.accounts.reset(self.now());
        self.rules.clear();
        self.calls.reset();
    }

    /// Creates a provisioned stream that is ACTIVE at once.
    pub(crate) fn create_stream(
        &self,
        account: &Account,
        name: &StreamName,
        shards: u32,
    ) -> Result<(), CreateStreamError> {
        account
            .kinesis
            .create_active_stream(name.as_str(), shards, self.now())
            .map_err(|failure| CreateStreamError {
                stream: name.clone(),
                kind: failure.kind,
                message: failure.message.unwrap_or_default(),
            })
    }

    /// Adds the rules of a text, and tells the id of each.
    pub(crate) fn add_rules(&self, text: &str) -> Result<Vec<(u64, RuleHandle)>, FaultsError> {
        let uptime = self.now().uptime;
        let add = |rule: NewRule| {
            let rule = rule.begin(uptime);
            let struck = rule.struck.clone();
            (self.add_rule(rule), RuleHandle { struck })
        };
        Ok(fault_text::read(text)?.into_iter().map(add).collect())
    }

    /// Puts a rule in force, and tells its id.
    pub(crate) fn add_rule(&self, rule: ActiveRule) -> u64 {
        if let Effect::Whole(Fault::StaleRead(age)) = rule.effect {
            self.accounts.keep_past(age);
        }
        self.rules.add(rule)
    }
}

/// A stream that [`Mock::create_stream`](crate::Mock::create_stream) did not create, and why.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not create stream {stream}: {kind}: {message}")]
pub struct CreateStreamError {
    stream: StreamName,
    kind: Cow<'static, str>,
    message: String,
}

impl fmt::Debug for CreateStreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_causes(self))
    }
}
