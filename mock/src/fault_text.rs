//! Fault rules as text: what `--faults FILE` reads, and the admin API takes and lists.
//!
//! A JSON array of rules. Every member but `fault` is optional, and what is left out fits every
//! request:
//!
//! ```json
//! [
//!   {"operation": "PutRecords", "stream": "orders", "rate": 0.1, "fault": "throttle"},
//!   {"operation": "GetRecords", "shard": "shardId-000000000002", "times": 3,
//!    "fault": {"truncate_body": 100}},
//!   {"service": "dynamodb", "table": "leases", "after_ms": 30000, "for_ms": 10000,
//!    "fault": "unavailable"},
//!   {"operation": "PutRecords", "caller": "AKIDEXAMPLE",
//!    "fault": {"throttle_entries": {"every": 2}}},
//!   {"fault": {"error": {"status": 400, "type": "KMSThrottlingException", "message": "slow"}}}
//! ]
//! ```
//!
//! The other faults: `internal`, `lose_request`, `lose_answer`, `lose_response`, `{"delay_ms": 100}`,
//! `{"stale_read_ms": 1500}`, `{"slow_body": {"bytes": 16, "every_ms": 100}}` and
//! `{"fail_entries": {}}`.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shardwise_types::with_causes;

use crate::clock::millis;
use crate::fault::{EntryFault, EntryFaults, Fault, Which};
use crate::fault_rules::{ActiveRule, Effect};
use crate::kinesis::{shard_id, shard_number};
use crate::operation::{Api, Operation};

/// Text that is not a list of fault rules: what is wrong, and on which line.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultsError(String);

impl fmt::Debug for FaultsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_causes(self))
    }
}

/// A rule of that text, read and found good.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RuleText")]
pub(crate) struct NewRule(RuleText);

/// Reads an array of rules.
pub(crate) fn read(text: &str) -> Result<Vec<NewRule>, FaultsError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let rules = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        FaultsError(match path.as_str() {
            "." => error.to_string(),
            path => format!("{path}: {error}"),
        })
    })?;
    match deserializer.end() {
        Ok(()) => Ok(rules),
        Err(error) => Err(FaultsError(error.to_string())),
    }
}

/// A rule that is there, and how it has fared.
#[derive(Debug, Serialize)]
pub(crate) struct RuleReport {
    pub(crate) id: u64,
    /// How many requests it has struck.
    pub(crate) struck: u64,
    #[serde(flatten)]
    rule: RuleText,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<Api>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<OperationName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shard: Option<ShardName>,
    /// An access key id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<Probability>,
    /// After so many requests the rule is over; in a report, how many are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
    /// The rule begins so long after it was added; in a report, after the mock began.
    #[serde(default)]
    after_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    for_ms: Option<u64>,
    fault: FaultText,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum FaultText {
    Throttle,
    Internal,
    Unavailable,
    LoseRequest,
    LoseAnswer,
    LoseResponse,
    DelayMs(u64),
    StaleReadMs(u64),
    TruncateBody(usize),
    SlowBody {
        bytes: NonZeroUsize,
        every_ms: u64,
    },
    Error {
        status: ErrorStatus,
        r#type: String,
        #[serde(default)]
        message: String,
    },
    ThrottleEntries(Entries),
    FailEntries(Entries),
}

/// Which entries of a PutRecords: the first of every so many.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    #[serde(default = "one")]
    every: NonZeroUsize,
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String")]
struct OperationName(String);

impl TryFrom<String> for OperationName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if Operation::ALL
            .iter()
            .any(|operation| operation.name() == name)
        {
            Ok(Self(name))
        } else {
            Err(format!("no such operation: {name}"))
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "f64")]
struct Probability(f64);

impl TryFrom<f64> for Probability {
    type Error = &'static str;

    fn try_from(number: f64) -> Result<Self, &'static str> {
        if (0.0..=1.0).contains(&number) {
            Ok(Self(number))
        } else {
            Err("a rate is from 0 to 1")
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "u16")]
struct ErrorStatus(u16);

impl TryFrom<u16> for ErrorStatus {
    type Error = &'static str;

    fn try_from(status: u16) -> Result<Self, &'static str> {
        if (400..600).contains(&status) {
            Ok(Self(status))
        } else {
            Err("the status of an error is from 400 to 599")
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct ShardName(u32);

impl TryFrom<String> for ShardName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        shard_number(&name)
            .map(Self)
            .ok_or_else(|| format!("{name} is no shard id, such as {}", shard_id(0)))
    }
}

impl From<ShardName> for String {
    fn from(shard: ShardName) -> Self {
        shard_id(shard.0)
    }
}

impl TryFrom<RuleText> for NewRule {
    type Error = String;

    /// What no member can know alone.
    fn try_from(rule: RuleText) -> Result<Self, String> {
        if rule.times == Some(0) {
            return Err("a rule holds for a number of times from 1".to_owned());
        }
        if rule.stream.is_some() && rule.table.is_some() {
            return Err("a rule is for a stream or a table, not both".to_owned());
        }
        let operation = rule.operation()?;
        let is_for_entries = matches!(
            rule.fault,
            FaultText::ThrottleEntries(_) | FaultText::FailEntries(_)
        );
        if is_for_entries && operation != Some(Operation::PutRecords) {
            return Err("only PutRecords has entries: name it as the operation".to_owned());
        }
        Ok(Self(rule))
    }
}

impl RuleText {
    fn operation(&self) -> Result<Option<Operation>, String> {
        let Some(OperationName(name)) = &self.operation else {
            return Ok(None);
        };
        let fits = |operation: &&Operation| {
            operation.name() == name && self.service.is_none_or(|api| api == operation.api())
        };
        let mut found = Operation::ALL.iter().filter(fits);
        match (found.next(), found.next(), self.service) {
            (Some(operation), None, _) => Ok(Some(*operation)),
            (None, _, Some(api)) => Err(format!("{} has no operation {name}", api.name())),
            _ => Err(format!(
                "both services have an operation {name}: name the service"
            )),
        }
    }
}

impl NewRule {
    /// The rule, made at that time.
    pub(crate) fn begin(self, uptime: Duration) -> ActiveRule {
        let Self(rule) = self;
        let operation = rule.operation().unwrap_or_default();
        let shard = rule.shard.map(|ShardName(number)| number);
        let effect = rule.fault.effect(shard);
        ActiveRule {
            api: rule.service,
            operation,
            resource: rule.stream.or(rule.table),
            shard,
            caller: rule.caller,
            rate: rule.rate.map(|Probability(rate)| rate),
            left: rule.times,
            lasts: rule.for_ms.map(Duration::from_millis),
            ..ActiveRule::new(
                effect,
                uptime.saturating_add(Duration::from_millis(rule.after_ms)),
            )
        }
    }
}

impl FaultText {
    fn effect(self, shard: Option<u32>) -> Effect {
        let entries = |fault, Entries { every }| {
            Effect::Entries(Arc::new(EntryFaults {
                fault,
                which: Which::Every(every),
                shard,
            }))
        };
        let ms = Duration::from_millis;
        Effect::Whole(match self {
            Self::Throttle => Fault::Throttle,
            Self::Internal => Fault::Internal,
            Self::Unavailable => Fault::Unavailable,
            Self::LoseRequest => Fault::LoseRequest,
            Self::LoseAnswer => Fault::LoseAnswer,
            Self::LoseResponse => Fault::LoseResponse,
            Self::DelayMs(time) => Fault::Delay(ms(time)),
            Self::StaleReadMs(age) => Fault::StaleRead(ms(age)),
            Self::TruncateBody(bytes) => Fault::TruncateBody(bytes),
            Self::SlowBody { bytes, every_ms } => Fault::slow_body(bytes, ms(every_ms)),
            Self::Error {
                status: ErrorStatus(status),
                r#type,
                message,
            } => Fault::error(status, r#type, message),
            Self::ThrottleEntries(which) => return entries(EntryFault::Throttle, which),
            Self::FailEntries(which) => return entries(EntryFault::Internal, which),
        })
    }

    fn of(effect: &Effect) -> Self {
        let fault = match effect {
            Effect::Whole(fault) => fault,
            Effect::Entries(entries) => {
                let every = match entries.which {
                    Which::Every(every) => every,
                    // A function, which has no form as text.
                    Which::Picked(_) => one(),
                };
                return match entries.fault {
                    EntryFault::Throttle => Self::ThrottleEntries(Entries { every }),
                    EntryFault::Internal => Self::FailEntries(Entries { every }),
                };
            }
        };
        match fault {
            Fault::Throttle => Self::Throttle,
            Fault::Internal => Self::Internal,
            Fault::Unavailable => Self::Unavailable,
            Fault::LoseRequest => Self::LoseRequest,
            Fault::LoseAnswer => Self::LoseAnswer,
            Fault::LoseResponse => Self::LoseResponse,
            Fault::Delay(time) => Self::DelayMs(millis(*time)),
            Fault::StaleRead(age) => Self::StaleReadMs(millis(*age)),
            Fault::TruncateBody(bytes) => Self::TruncateBody(*bytes),
            Fault::SlowBody { bytes, every } => Self::SlowBody {
                bytes: *bytes,
                every_ms: millis(*every),
            },
            Fault::Error {
                status,
                kind,
                message,
            } => Self::Error {
                status: ErrorStatus(*status),
                r#type: kind.clone(),
                message: message.clone(),
            },
        }
    }
}

impl From<&ActiveRule> for RuleReport {
    fn from(rule: &ActiveRule) -> Self {
        let is_table = rule.operation.map(Operation::api).or(rule.api) == Some(Api::DynamoDb);
        let (table, stream) = match &rule.resource {
            Some(name) if is_table => (Some(name.clone()), None),
            name => (None, name.clone()),
        };
        Self {
            id: rule.id,
            struck: rule.struck.load(Ordering::Relaxed),
            rule: RuleText {
                service: rule.operation.map(Operation::api).or(rule.api),
                operation: rule
                    .operation
                    .map(|operation| OperationName(operation.name().to_owned())),
                stream,
                table,
                shard: rule.shard.map(ShardName),
                caller: rule.caller.clone(),
                rate: rule.rate.map(Probability),
                times: rule.left,
                after_ms: millis(rule.from),
                for_ms: rule.lasts.map(millis),
                fault: FaultText::of(&rule.effect),
            },
        }
    }
}
