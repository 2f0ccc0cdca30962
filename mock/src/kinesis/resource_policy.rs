//! PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy, on streams and consumers.
//!
//! A policy is kept and returned; no request is refused by it.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutResourcePolicy.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetResourcePolicy.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DeleteResourcePolicy.html>

use serde::Serialize;
use serde::de::IgnoredAny;

use super::failure::Failure;
use super::input::Input;
use super::resource_ref::ResourceRef;
use super::{Kinesis, rules};
use crate::clock::Now;

/// What the service tells while there is no policy.
const NO_POLICY: &str = "{}";

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetResourcePolicyOutput {
    policy: String,
}

impl Kinesis {
    pub(super) fn put_resource_policy(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        let resource = ResourceRef::read(&input)?;
        let policy = input.required_text("Policy", &rules::POLICY)?;
        input.finish()?;

        self.attached(resource, true, now, |attached| {
            if !is_json_object(policy) {
                return Err(Failure::invalid_argument(
                    "The resource policy is not a valid JSON document.",
                ));
            }
            attached.policy = Some(policy.to_owned());
            Ok(())
        })
    }

    pub(super) fn get_resource_policy(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<GetResourcePolicyOutput, Failure> {
        let resource = ResourceRef::read(&input)?;
        input.finish()?;

        self.attached(resource, false, now, |attached| {
            let policy = attached.policy.as_deref().unwrap_or(NO_POLICY).to_owned();
            Ok(GetResourcePolicyOutput { policy })
        })
    }

    pub(super) fn delete_resource_policy(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        let resource = ResourceRef::read(&input)?;
        input.finish()?;

        self.attached(resource, true, now, |attached| {
            let policy = attached.policy.take();
            policy.map(drop).ok_or_else(|| {
                let arn = resource.arn;
                Failure::not_found(format!("No resource policy found for resource ARN {arn}."))
            })
        })
    }
}

fn is_json_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}
