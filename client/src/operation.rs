//! What is known of an operation before it is called.
//!
//! The operations are defined in [`crate::kinesis`], one file each, and called by [`crate::call`].

use crate::error::Written;

/// What an operation needs to be called. Each file of an operation begins with its definition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    /// The name, as AWS spells it.
    pub(crate) name: &'static str,
    /// What a lost answer means.
    pub(crate) effect: Effect,
    /// How often it is tried.
    pub(crate) plane: Plane,
}

impl Operation {
    /// One that carries records or leads to them: its limits are counted per shard and second.
    pub(crate) const fn data(name: &'static str, effect: Effect) -> Self {
        Self {
            name,
            effect,
            plane: Plane::Data,
        }
    }

    /// One that creates, changes, lists or describes: its limits are a few calls per second for the
    /// whole account.
    pub(crate) const fn control(name: &'static str, effect: Effect) -> Self {
        Self {
            name,
            effect,
            plane: Plane::Control,
        }
    }
}

/// Which of the two retry policies an operation has.
/// <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plane {
    /// [`RetryPolicy::data_path`](crate::retry::RetryPolicy::data_path).
    Data,
    /// [`RetryPolicy::control_plane`](crate::retry::RetryPolicy::control_plane).
    Control,
}

/// What a lost answer means, and so whether the call may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The call reads: it can always be sent again.
    Reads,
    /// The call writes records: sending again may duplicate, which at-least-once allows.
    Puts,
    /// The call changes a stream: sent again, a call that had succeeded would be answered with an
    /// error, so a lost answer is the caller's to look into.
    Changes,
}

impl Effect {
    /// What is known of a call that was sent and not answered.
    pub(crate) fn written_if_unanswered(self) -> Written {
        match self {
            Self::Reads => Written::No,
            Self::Puts | Self::Changes => Written::Unknown,
        }
    }
}
