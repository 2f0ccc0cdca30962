//! TagResource, UntagResource and ListTagsOfResource, and the tags of CreateTable.
//!
//! A table has at most 50 tags, so a list is always one page and a `NextToken` is refused. Tags
//! of other resources than tables of this account are not found.

use serde_json::{Value, json};

use super::DynamoDb;
use super::error::Failure;
use super::members::Members;
use super::table::{Table, Tags};

const MAX_TAGS: usize = 50;

impl DynamoDb {
    pub(super) fn tag_resource(&self, mut members: Members) -> Result<Value, Failure> {
        let arn = take_arn(&mut members)?;
        let tags = take_tags(&mut members)?;
        members.finish()?;
        if tags.is_empty() {
            return Err(Failure::validation(
                "Atleast one Tag needs to be provided as Input.",
            ));
        }
        self.with_tagged(&arn, |table| {
            let mut all = table.tags.clone();
            all.extend(tags);
            check_count(&all)?;
            table.tags = all;
            Ok(json!({}))
        })
    }

    pub(super) fn untag_resource(&self, mut members: Members) -> Result<Value, Failure> {
        let arn = take_arn(&mut members)?;
        let keys = members.strings("TagKeys")?;
        let keys = keys.ok_or_else(|| members.missing("TagKeys"))?;
        members.finish()?;
        if keys.is_empty() {
            return Err(Failure::validation(
                "Atleast one Tag Key needs to be provided as Input.",
            ));
        }
        self.with_tagged(&arn, |table| {
            table.tags.retain(|key, _| !keys.contains(key));
            Ok(json!({}))
        })
    }

    pub(super) fn list_tags_of_resource(&self, mut members: Members) -> Result<Value, Failure> {
        let arn = take_arn(&mut members)?;
        members.finish()?;
        self.with_tagged(&arn, |table| {
            let tags = table.tags.iter();
            let tags = tags.map(|(key, value)| json!({"Key": key, "Value": value}));
            Ok(json!({"Tags": tags.collect::<Vec<_>>()}))
        })
    }

    fn with_tagged<T>(
        &self,
        arn: &str,
        operation: impl FnOnce(&mut Table) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut parts = arn.splitn(6, ':').skip(2);
        let (service, resource) = (parts.next(), parts.nth(2));
        let table = resource.and_then(|resource| resource.strip_prefix("table/"));
        match table {
            Some(table)
                if service == Some("dynamodb") && table.len() > 2 && !table.contains('/') => {}
            _ => {
                return Err(Failure::validation(format!(
                    "Invalid TableArn: Invalid ResourceArn provided as input {arn}"
                )));
            }
        }
        let mut tables = self.tables();
        let table = arn
            .strip_prefix(&self.arn(""))
            .and_then(|name| tables.get_mut(name));
        operation(table.ok_or_else(|| Failure::arn_not_found(arn))?)
    }
}

/// Takes `Tags`; a key that comes twice keeps its last value.
pub(super) fn take_tags(members: &mut Members) -> Result<Tags, Failure> {
    let mut tags = Tags::new();
    for mut tag in members.structures("Tags")?.unwrap_or_default() {
        let key = tag.required_string("Key")?;
        let value = tag.required_string("Value")?;
        tag.finish()?;
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Failure::invalid_parameters(&format!(
                "Tag keys starting with 'aws:' are reserved for system use. Key: {key}"
            )));
        }
        tags.insert(key, value);
    }
    check_count(&tags)?;
    Ok(tags)
}

fn check_count(tags: &Tags) -> Result<(), Failure> {
    if tags.len() > MAX_TAGS {
        return Err(Failure::invalid_parameters(&format!(
            "Too many tags: {}, a resource can have at most {MAX_TAGS}",
            tags.len()
        )));
    }
    Ok(())
}

fn take_arn(members: &mut Members) -> Result<String, Failure> {
    members.required_string("ResourceArn")
}
