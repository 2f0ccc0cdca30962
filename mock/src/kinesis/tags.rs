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

/// What begins the keys that only AWS may give.
const RESERVED: &str = "aws:";

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTagsForStreamOutput {
    tags: Vec<Tag>,
    has_more_tags: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    key: String,
    value: String,
}

impl From<(&String, &String)> for Tag {
    fn from((key, value): (&String, &String)) -> Self {
        Self {
            key: key.clone(),
            value: value.clone(),
        }
    }
}

impl Kinesis {
    pub(super) fn add_tags_to_stream(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let tags = input.texts("Tags", rules::TAGS, rules::TAG_KEY, rules::TAG_VALUE)?;
        let tags = input.required("Tags", tags);
        let stream = StreamRef::read(&input, name)?;
        input.finish()?;

        let stream = self.stream(&stream, now)?;
        let failed = self.failed_to(&format!("add tags to stream {}", stream.name));
        let mut state = stream.lock(now);
        add_tags(&mut state.attached.tags, tags, "stream", &failed)
    }

    pub(super) fn remove_tags_from_stream(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<(), Failure> {
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let keys = input.required_text_list("TagKeys", Count::new(1, 50), &rules::TAG_KEY_TEXT)?;
        let stream = StreamRef::read(&input, name)?;
        input.finish()?;

        let stream = self.stream(&stream, now)?;
        let failed = self.failed_to(&format!("remove tags from stream {}", stream.name));
        remove_tags(&mut stream.lock(now).attached.tags, &keys, &failed)
    }

    pub(super) fn list_tags_for_stream(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<ListTagsForStreamOutput, Failure> {
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let after = input.text("ExclusiveStartTagKey", &rules::TAG_KEY_TEXT)?;
        let limit = input.integer("Limit", 1, 50)?;
        let stream = StreamRef::read(&input, name)?;
        input.finish()?;

        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let stream = self.stream(&stream, now)?;
        let state = stream.lock(now);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = state
            .attached
            .tags
            .range::<str, _>((from, Bound::Unbounded));
        let page = rest.by_ref().take(limit.unwrap_or(MAX_TAGS));
        Ok(ListTagsForStreamOutput {
            tags: page.map(Tag::from).collect(),
            has_more_tags: rest.next().is_some(),
        })
    }

    pub(super) fn failed_to(&self, what: &str) -> String {
        format!("Failed to {what} under account {}", self.config.account)
    }
}

/// The tags of a stream or another `resource` that is being created.
pub(super) fn initial_tags(
    tags: Option<Vec<(&str, &str)>>,
    resource: &str,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut initial = BTreeMap::new();
    let failed = format!("Failed to create the {resource}");
    add_tags(&mut initial, tags.unwrap_or_default(), resource, &failed)?;
    Ok(initial)
}

/// Adds tags and overwrites those with the same keys, unless there would then be too many.
/// `failed` begins the error texts.
pub(super) fn add_tags(
    present: &mut BTreeMap<String, String>,
    tags: Vec<(&str, &str)>,
    resource: &str,
    failed: &str,
) -> Result<(), Failure> {
    check_characters(tags.iter().flat_map(|&(k, v)| [k, v]), failed)?;
    if tags.iter().any(|(key, _)| key.starts_with(RESERVED)) {
        return Err(Failure::invalid_argument(format!(
            "{failed} because tag keys that start with {RESERVED} are reserved for system use."
        )));
    }
    let new_keys = tags.iter().filter(|(k, _)| !present.contains_key(*k));
    if present.len() + new_keys.count() > MAX_TAGS {
        return Err(Failure::invalid_argument(format!(
            "{failed} because a given {resource} cannot have more than {MAX_TAGS} tags associated \
             with it."
        )));
    }
    let owned = tags.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
    present.extend(owned);
    Ok(())
}

/// Removes the tags with these keys; one that is not there is none too many. `failed` begins the
/// error texts.
pub(super) fn remove_tags(
    present: &mut BTreeMap<String, String>,
    keys: &[&str],
    failed: &str,
) -> Result<(), Failure> {
    check_characters(keys.iter().copied(), failed)?;
    for key in keys {
        present.remove(*key);
    }
    Ok(())
}

/// The service checks twice, and only the first check lets `%` pass. The texts are recorded ones from
/// before it took colons.
fn check_characters<'t>(texts: impl Iterator<Item = &'t str>, failed: &str) -> Result<(), Failure> {
    let mut percent = false;
    for character in texts.flat_map(str::chars) {
        percent |= character == '%';
        if !is_tag_character(character) {
            return Err(Failure::invalid_argument(
                "Some tags contain invalid characters. Valid characters: Unicode letters, digits, \
                 white space, _ . / = + - % @.",
            ));
        }
    }
    if percent {
        return Err(Failure::invalid_argument(format!(
            "{failed} because some tags contained illegal characters. The allowed characters are \
             Unicode letters, white-spaces, '_',',','/','=','+','-','@'."
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
