//! ListShards: pages by NextToken, ExclusiveStartShardId, StreamCreationTimestamp, every
//! ShardFilter.
//!
//! Shards that were closed longer ago than the retention period are no longer listed.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html>

use serde::Serialize;
use shardwise_types::limits;

use super::failure::Failure;
use super::input::Input;
use super::shard::{Description, Shard};
use super::status::Status;
use super::stream::{State, Stream};
use super::stream_ref::StreamRef;
use super::token::Kind;
use super::{Kinesis, rules};
use crate::clock::{Now, millis};

/// Shards of one answer, by default and at most: a larger `MaxResults` is taken and cut down.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html>
const MAX_RESULTS: usize = limits::LIST_SHARDS_DEFAULT_RESULTS as usize;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListShardsOutput {
    shards: Vec<Description>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Which shards are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    All,
    After(u32),
    /// Those open at that time of the wall clock.
    At(u64),
    /// Those open then or later.
    From(u64),
    AtLatest,
    AtTrimHorizon,
}

impl Filter {
    fn admits(self, shard: &Shard, horizon_ms: u64) -> bool {
        match self {
            Self::All => true,
            Self::After(number) => shard.number > number,
            Self::AtLatest => shard.is_open(),
            Self::AtTrimHorizon => shard.was_open_at(horizon_ms),
            Self::At(ms) => shard.was_open_at(ms.max(horizon_ms)),
            Self::From(ms) => shard.closed.is_none_or(|at| at.wall_ms >= ms),
        }
    }

    /// As it stands in a NextToken.
    fn text(self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::After(number) => format!("after:{number}"),
            Self::At(ms) => format!("at:{ms}"),
            Self::From(ms) => format!("from:{ms}"),
            Self::AtLatest => "latest".to_owned(),
            Self::AtTrimHorizon => "horizon".to_owned(),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None => match text {
                "all" => Some(Self::All),
                "latest" => Some(Self::AtLatest),
                "horizon" => Some(Self::AtTrimHorizon),
                _ => None,
            },
            Some(("after", number)) => number.parse().ok().map(Self::After),
            Some(("at", ms)) => ms.parse().ok().map(Self::At),
            Some(("from", ms)) => ms.parse().ok().map(Self::From),
            Some(_) => None,
        }
    }
}

/// Where the next page goes on.
#[derive(Debug)]
struct Page {
    stream: String,
    stream_id: String,
    /// The last shard already listed.
    after: Option<u32>,
    filter: Filter,
}

impl Page {
    fn text(&self) -> String {
        let after = self.after.map(|number| number.to_string());
        let after = after.unwrap_or_default();
        let Self {
            stream,
            stream_id,
            filter,
            ..
        } = self;
        format!("{stream}/{stream_id}/{after}/{}", filter.text())
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        Some(Self {
            stream: parts.next()?.to_owned(),
            stream_id: parts.next()?.to_owned(),
            after: parts.next()?.parse().ok(),
            filter: Filter::from_text(parts.next()?)?,
        })
    }
}

impl Kinesis {
    pub(super) fn list_shards(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<ListShardsOutput, Failure> {
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let token = input.text("NextToken", &rules::NEXT_TOKEN)?;
        let after = input.text("ExclusiveStartShardId", &rules::SHARD_ID)?;
        let max_results = input.integer("MaxResults", 1, limits::LIST_SHARDS_MAX_RESULTS.into())?;
        let created = input.timestamp_ms("StreamCreationTimestamp")?;
        let filter = read_filter(&input)?;
        let stream = StreamRef::read(&input, name)?;
        input.finish()?;

        let max_results = max_results.and_then(|most| usize::try_from(most).ok());
        let max_results = max_results.unwrap_or(MAX_RESULTS).min(MAX_RESULTS);
        let (found, page) = match token {
            Some(token) => {
                refuse_beside_token("ExclusiveStartShardId", after.is_some())?;
                refuse_beside_token("StreamCreationTimestamp", created.is_some())?;
                let text = self.open_page_token(Kind::ListShards, token, now)?;
                let page = Page::from_text(&text).ok_or_else(invalid_token)?;
                // The service refuses any name beside a token, and so the paginators of its own
                // SDKs, which repeat it. Here they get all pages, and a wrong name is refused.
                if !stream.is_empty() && stream.resolve(self)? != page.stream {
                    return Err(Failure::invalid_argument(
                        "NextToken and StreamName cannot be provided together.",
                    ));
                }
                let found = self.stream(
                    &StreamRef {
                        name: Some(&page.stream),
                        arn: None,
                        id: Some(&page.stream_id),
                    },
                    now,
                )?;
                (found, page)
            }
            None if stream.is_empty() => {
                return Err(Failure::invalid_argument(
                    "Either NextToken or StreamName should be provided.",
                ));
            }
            None => {
                let found = self.stream(&stream, now)?;
                let page = Page {
                    stream: found.name.clone(),
                    stream_id: found.id.clone(),
                    after: after.map(|id| self.known_shard(id, &found)).transpose()?,
                    filter: self.filter(filter, &found, now)?,
                };
                (found, page)
            }
        };
        found.check_created(created)?;
        let state = found.lock(now);
        if !matches!(state.status, Status::Active | Status::Updating) {
            return Err(found.not_active(state.status));
        }
        Ok(self.page_of_shards(&found, &state, page, max_results, now))
    }

    fn page_of_shards(
        &self,
        stream: &Stream,
        state: &State,
        page: Page,
        max_results: usize,
        now: Now,
    ) -> ListShardsOutput {
        let retention_ms = millis(state.settings.retention);
        let first_ms = state
            .shards(now)
            .next()
            .map_or(stream.created_ms, |shard| shard.created.wall_ms);
        let horizon_ms = now.wall_ms.saturating_sub(retention_ms).max(first_ms);
        let mut rest = state
            .shards(now)
            .filter(|shard| page.after.is_none_or(|after| shard.number > after))
            .filter(|shard| page.filter.admits(shard, horizon_ms));
        let listed: Vec<&Shard> = rest.by_ref().take(max_results).collect();
        let last = listed.last().map(|shard| shard.number);
        let next_token = rest.next().map(|_| {
            let next = Page {
                after: last,
                ..page
            };
            self.seal_page_token(Kind::ListShards, &next.text(), now)
        });
        ListShardsOutput {
            shards: listed.into_iter().map(Shard::describe).collect(),
            next_token,
        }
    }

    fn filter(
        &self,
        read: Option<ReadFilter<'_>>,
        stream: &Stream,
        now: Now,
    ) -> Result<Filter, Failure> {
        let Some(filter) = read else {
            return Ok(Filter::All);
        };
        let without = |member: &str| {
            Failure::invalid_argument(format!(
                "ShardFilter of type {} must have a {member}.",
                filter.kind
            ))
        };
        let timestamp = || {
            let ms = filter.timestamp_ms.ok_or_else(|| without("Timestamp"))?;
            if ms > now.wall_ms {
                return Err(Failure::invalid_argument(format!(
                    "The Timestamp of a ShardFilter of type {} cannot be in the future.",
                    filter.kind
                )));
            }
            Ok(ms)
        };
        match filter.kind {
            "AFTER_SHARD_ID" => {
                let id = filter.shard_id.ok_or_else(|| without("ShardId"))?;
                self.known_shard(id, stream).map(Filter::After)
            }
            "AT_TIMESTAMP" => timestamp().map(Filter::At),
            "FROM_TIMESTAMP" => timestamp().map(Filter::From),
            "AT_LATEST" => Ok(Filter::AtLatest),
            "AT_TRIM_HORIZON" => Ok(Filter::AtTrimHorizon),
            // FROM_TRIM_HORIZON: everything within retention, which is all that is kept.
            _ => Ok(Filter::All),
        }
    }

    /// A token that says when it was made and where to go on.
    pub(super) fn seal_page_token(&self, kind: Kind, text: &str, now: Now) -> String {
        self.sealer
            .seal(kind, &format!("{}/{text}", now.uptime_ms()))
    }

    pub(super) fn open_page_token(
        &self,
        kind: Kind,
        token: &str,
        now: Now,
    ) -> Result<String, Failure> {
        let text = self.sealer.open(kind, token).ok_or_else(invalid_token)?;
        let (made, rest) = text.split_once('/').ok_or_else(invalid_token)?;
        let made: u64 = made.parse().map_err(|_| invalid_token())?;
        if now.uptime_ms().saturating_sub(made) > millis(limits::NEXT_TOKEN_LIFETIME) {
            return Err(Failure::new(
                "ExpiredNextTokenException",
                "The NextToken has expired: it was issued more than 300 seconds ago.",
            ));
        }
        Ok(rest.to_owned())
    }
}

/// A NextToken says itself where it goes on.
fn refuse_beside_token(member: &str, is_there: bool) -> Result<(), Failure> {
    if is_there {
        return Err(Failure::invalid_argument(format!(
            "NextToken and {member} cannot be provided together."
        )));
    }
    Ok(())
}

/// The members of a ShardFilter.
struct ReadFilter<'r> {
    kind: &'r str,
    shard_id: Option<&'r str>,
    timestamp_ms: Option<u64>,
}

fn read_filter<'r>(input: &Input<'r>) -> Result<Option<ReadFilter<'r>>, Failure> {
    let Some(filter) = input.structure("ShardFilter")? else {
        return Ok(None);
    };
    Ok(Some(ReadFilter {
        kind: filter.required_text("Type", &rules::SHARD_FILTER_TYPE)?,
        shard_id: filter.text("ShardId", &rules::SHARD_ID)?,
        timestamp_ms: filter.timestamp_ms("Timestamp")?,
    }))
}

pub(super) fn invalid_token() -> Failure {
    Failure::invalid_argument("Invalid NextToken.")
}
