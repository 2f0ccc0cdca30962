//! Changes of a lease as DynamoDB's update expression.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html>

use aws_sdk_dynamodb::types::AttributeValue;

use super::super::decide::Change;
use super::super::row::{Item, attribute, epoch_millis, number, text, texts};

const SEEN: &str = ":seen";

/// An update that is conditional on the counter and adds one to it.
#[derive(Debug)]
pub(super) struct Update {
    set: Vec<String>,
    remove: Vec<&'static str>,
    values: Item,
}

impl Update {
    pub(super) fn new(counter: u64, changes: &[Change]) -> Self {
        let mut update = Self {
            set: Vec::new(),
            remove: Vec::new(),
            values: Item::new(),
        };
        update.values.insert(SEEN.to_owned(), number(counter));
        update.set(attribute::COUNTER, number(counter.saturating_add(1)));
        for change in changes {
            update.add(change);
        }
        update
    }

    pub(super) fn condition(&self) -> String {
        format!("{} = {SEEN}", attribute::COUNTER)
    }

    pub(super) fn expression(&self) -> String {
        let mut expression = format!("SET {}", self.set.join(", "));
        if !self.remove.is_empty() {
            expression.push_str(" REMOVE ");
            expression.push_str(&self.remove.join(", "));
        }
        expression
    }

    pub(super) fn into_values(self) -> Item {
        self.values
    }

    /// The values of the condition alone: DynamoDB refuses those that no expression uses.
    pub(super) fn into_condition_values(mut self) -> Item {
        self.values.retain(|name, _| name == SEEN);
        self.values
    }

    fn add(&mut self, change: &Change) {
        match change {
            Change::Owner(owner) => self.set_or_remove(attribute::OWNER, owner.as_ref().map(text)),
            Change::Incarnation(incarnation) => self.set_or_remove(
                attribute::INCARNATION,
                incarnation.as_ref().map(|it| text(it.as_str())),
            ),
            Change::RemoveCheckpointOwner => self.remove.push(attribute::CHECKPOINT_OWNER),
            Change::OwnerSwitches(count) => self.set(attribute::OWNER_SWITCHES, number(*count)),
            Change::StartedAt(time) => self.set(attribute::STARTED_AT, number(epoch_millis(*time))),
            Change::Checkpoint(checkpoint) => {
                self.set(attribute::CHECKPOINT, text(checkpoint.as_str()));
                self.set(attribute::SUB_SEQUENCE, number(checkpoint.sub_sequence()));
                self.remove.extend(attribute::PENDING);
                self.remove.push(attribute::STARTED_AT);
            }
            Change::Children(children) => {
                let children = (!children.is_empty()).then(|| texts(children));
                self.set_or_remove(attribute::CHILDREN, children);
            }
        }
    }

    fn set_or_remove(&mut self, name: &'static str, value: Option<AttributeValue>) {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove.push(name),
        }
    }

    fn set(&mut self, name: &'static str, value: AttributeValue) {
        self.set.push(format!("{name} = :{name}"));
        self.values.insert(format!(":{name}"), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leases::lease::Checkpoint;

    #[test]
    fn an_update_names_each_value_that_it_uses_and_no_other() {
        let update = Update::new(
            7,
            &[
                Change::Checkpoint(Checkpoint::TrimHorizon),
                Change::Owner(None),
            ],
        );
        assert_eq!(update.condition(), "leaseCounter = :seen");
        assert_eq!(
            update.expression(),
            "SET leaseCounter = :leaseCounter, checkpoint = :checkpoint, \
             checkpointSubSequenceNumber = :checkpointSubSequenceNumber \
             REMOVE pendingCheckpoint, pendingCheckpointSubSequenceNumber, \
             pendingCheckpointState, startedAt, leaseOwner"
        );
        let values = update.into_values();
        assert_eq!(values.len(), 4);
        assert_eq!(values[":seen"], number(7));
        assert_eq!(values[":leaseCounter"], number(8));
    }

    #[test]
    fn a_heartbeat_touches_the_counter_only() {
        let update = Update::new(0, &[]);
        assert_eq!(update.expression(), "SET leaseCounter = :leaseCounter");
        assert_eq!(update.into_condition_values().len(), 1);
    }
}
