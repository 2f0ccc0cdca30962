//! What a request is about, as far as it says so itself: for fault rules, before anything of the
//! request was checked.

use std::borrow::Cow;
use std::sync::Arc;

use super::put_record::hash_key_of;
use super::shard::shard_number;
use super::stream::Stream;
use super::{Kinesis, Value};
use crate::clock::Now;

impl Kinesis {
    /// Whether the request is about the stream of that name: by its name, its ARN, an ARN of
    /// something that belongs to it, or an iterator of one of its shards.
    pub(crate) fn is_about(&self, request: &Value<'_>, stream: &str) -> bool {
        self.stream_name(request).is_some_and(|name| name == stream)
    }

    /// Whether the request is about the shard of that number: by its id, by an iterator, or by a
    /// record that it would take.
    pub(crate) fn is_about_shard(&self, request: &Value<'_>, shard: u32, now: Now) -> bool {
        let by_id = [
            "ShardId",
            "ShardToSplit",
            "ShardToMerge",
            "AdjacentShardToMerge",
        ]
        .iter()
        .filter_map(|name| text(request, name))
        .any(|id| shard_number(id) == Some(shard));
        let by_iterator = || {
            text(request, "ShardIterator")
                .and_then(|token| self.read_iterator(token))
                .is_some_and(|iterator| iterator.shard == shard)
        };
        by_id || by_iterator() || self.has_record_for(request, shard, now)
    }

    fn has_record_for(&self, request: &Value<'_>, shard: u32, now: Now) -> bool {
        let records = match request.member("Records") {
            Some(Value::List(records)) => records.as_slice(),
            _ => std::slice::from_ref(request),
        };
        let mut hash_keys = records
            .iter()
            .filter_map(|record| {
                let key = text(record, "PartitionKey")?;
                hash_key_of(key, text(record, "ExplicitHashKey")).ok()
            })
            .peekable();
        if hash_keys.peek().is_none() {
            return false;
        }
        self.stream_of(request, now).is_some_and(|stream| {
            let state = stream.lock(now);
            hash_keys.any(|key| state.owner(key).is_some_and(|owner| owner.number == shard))
        })
    }

    /// The stream that the request is about, if there is one.
    pub(super) fn stream_of(&self, request: &Value<'_>, now: Now) -> Option<Arc<Stream>> {
        self.find(&self.stream_name(request)?, now)
    }

    pub(super) fn stream_name<'r>(&self, request: &'r Value<'_>) -> Option<Cow<'r, str>> {
        if let Some(name) = text(request, "StreamName") {
            return Some(name.into());
        }
        let arn = ["StreamARN", "ConsumerARN", "ResourceARN"]
            .iter()
            .find_map(|name| text(request, name));
        if let Some((_, name)) = arn.and_then(|arn| arn.split_once(":stream/")) {
            return name.split('/').next().map(Cow::Borrowed);
        }
        let iterator = self.read_iterator(text(request, "ShardIterator")?)?;
        Some(iterator.stream.into())
    }
}

fn text<'r>(request: &'r Value<'_>, name: &str) -> Option<&'r str> {
    match request.member(name) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}
