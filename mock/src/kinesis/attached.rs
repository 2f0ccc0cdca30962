//! What is attached to a stream, a consumer or a channel: tags and a policy.

use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct Attached {
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) policy: Option<String>,
}
