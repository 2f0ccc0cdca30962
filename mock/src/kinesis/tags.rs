//! AddTagsToStream, RemoveTagsFromStream, ListTagsForStream.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_AddTagsToStream.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RemoveTagsFromStream.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListTagsForStream.html>

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::Serialize;

use super::failure::Failure;
use super::input::Input;
use super::rules::Count;
use super::stream_ref::StreamRef;
use super::{Kinesis, rules};
use crate::clock::Now;

/// Tags of one stream.
/// <https://docs.aws.amazon.com/streams/latest/dev/tagging.html>
const MAX_TAGS: usize = 50;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTagsForStreamOutput {
    tags: Vec<Tag>,
    has_more_tags: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

impl Kinesis {
    pub(super) fn add_tags_to_stream(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        let tags = input.texts("Tags", rules::TAGS, rules::TAG_KEY, rules::TAG_VALUE)?;
        let tags = input.required("Tags", tags);
        let stream = StreamRef::read(&input)?;
        input.finish()?;

        let stream = self.stream(&stream, now)?;
        let context = || format!("add tags to stream {}", stream.name);
        check_characters(tags.iter().flat_map(|&(k, v)| [k, v]), || {
            self.failed_to(&context())
        })?;
        let mut state = stream.lock(now);
        let new_keys = tags.iter().filter(|(k, _)| !state.tags.contains_key(*k));
        if state.tags.len() + new_keys.count() > MAX_TAGS {
            return Err(Failure::invalid_argument(format!(
                "{} because a given stream cannot have more than {MAX_TAGS} tags associated with \
                 it.",
                self.failed_to(&context())
            )));
        }
        state.tags.extend(owned(tags));
        Ok(())
    }

    pub(super) fn remove_tags_from_stream(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<(), Failure> {
        let keys = input.required_text_list("TagKeys", Count::new(1, 50), rules::TAG_KEY)?;
        let stream = StreamRef::read(&input)?;
        input.finish()?;

        let stream = self.stream(&stream, now)?;
        check_characters(keys.iter().copied(), || {
            self.failed_to(&format!("remove tags from stream {}", stream.name))
        })?;
        let mut state = stream.lock(now);
        for key in keys {
            state.tags.remove(key);
        }
        Ok(())
    }

    pub(super) fn list_tags_for_stream(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<ListTagsForStreamOutput, Failure> {
        let limit = input.integer("Limit", 1, 50)?;
        let after = input.text("ExclusiveStartTagKey", &rules::TAG_KEY_TEXT)?;
        let stream = StreamRef::read(&input)?;
        input.finish()?;

        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let stream = self.stream(&stream, now)?;
        let state = stream.lock(now);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = state.tags.range::<str, _>((from, Bound::Unbounded));
        let page = rest.by_ref().take(limit.unwrap_or(MAX_TAGS));
        Ok(ListTagsForStreamOutput {
            tags: page
                .map(|(key, value)| Tag {
                    key: key.clone(),
                    value: value.clone(),
                })
                .collect(),
            has_more_tags: rest.next().is_some(),
        })
    }

    fn failed_to(&self, what: &str) -> String {
        format!("Failed to {what} under account {}", self.config.account)
    }
}

/// The tags of a stream that is being created.
pub(super) fn initial_tags(
    tags: Option<Vec<(&str, &str)>>,
) -> Result<BTreeMap<String, String>, Failure> {
    let tags = tags.unwrap_or_default();
    check_characters(tags.iter().flat_map(|&(k, v)| [k, v]), || {
        "Failed to create the stream".to_owned()
    })?;
    if tags.len() > MAX_TAGS {
        return Err(Failure::invalid_argument(format!(
            "Failed to create the stream because a given stream cannot have more than {MAX_TAGS} \
             tags associated with it."
        )));
    }
    Ok(owned(tags).collect())
}

fn owned(tags: Vec<(&str, &str)>) -> impl Iterator<Item = (String, String)> {
    tags.into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// The service checks twice, and only the first check lets `%` pass.
fn check_characters<'t>(
    texts: impl Iterator<Item = &'t str>,
    failed: impl Fn() -> String,
) -> Result<(), Failure> {
    let mut percent = false;
    for character in texts.flat_map(str::chars) {
        percent |= character == '%';
        if !is_tag_character(character) {
            return Err(Failure::invalid_argument(
                "Some tags contain invalid characters. Valid characters: Unicode letters, digits, \
                 white space, _ . / = + - % @ :.",
            ));
        }
    }
    if percent {
        return Err(Failure::invalid_argument(format!(
            "{} because some tags contained illegal characters. The allowed characters are Unicode \
             letters, white-spaces, '_',',','/','=','+','-','@',':'.",
            failed()
        )));
    }
    Ok(())
}

fn is_tag_character(character: char) -> bool {
    matches!(character,
        '\u{C0}'..='\u{1FFF}' | '\u{2C00}'..='\u{D7FF}'
        | 'a'..='z' | 'A'..='Z' | '0'..='9'
        | '_' | '.' | '/' | '-' | '=' | '+' | ' ' | '@' | '%' | ':')
}
