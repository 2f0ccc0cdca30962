//! TagResource, UntagResource, ListTagsForResource: the tags of streams, which
//! [`super::tags`] sees too, and of consumers.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_TagResource.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UntagResource.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListTagsForResource.html>

use serde::Serialize;

use super::failure::Failure;
use super::input::Input;
use super::resource_ref::ResourceRef;
use super::rules::Count;
use super::tags::{Tag, add_tags, remove_tags};
use super::{Kinesis, rules};
use crate::clock::Now;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTagsForResourceOutput {
    tags: Vec<Tag>,
}

impl Kinesis {
    pub(super) fn tag_resource(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        let tags = input.texts("Tags", rules::TAGS, rules::TAG_KEY, rules::TAG_VALUE)?;
        let tags = input.required("Tags", tags);
        let resource = ResourceRef::read(&input)?;
        input.finish()?;

        let failed = self.failed_to(&format!("add tags to resource {}", resource.arn));
        self.attached(resource, false, now, |attached| {
            add_tags(&mut attached.tags, tags, "resource", &failed)
        })
    }

    pub(super) fn untag_resource(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        let keys = input.required_text_list("TagKeys", Count::new(1, 50), &rules::TAG_KEY_TEXT)?;
        let resource = ResourceRef::read(&input)?;
        input.finish()?;

        let failed = self.failed_to(&format!("remove tags from resource {}", resource.arn));
        self.attached(resource, false, now, |attached| {
            remove_tags(&mut attached.tags, &keys, &failed)
        })
    }

    pub(super) fn list_tags_for_resource(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<ListTagsForResourceOutput, Failure> {
        let resource = ResourceRef::read(&input)?;
        input.finish()?;

        self.attached(resource, false, now, |attached| {
            Ok(ListTagsForResourceOutput {
                tags: attached.tags.iter().map(Tag::from).collect(),
            })
        })
    }
}
