//! `ReturnConsumedCapacity`: what an operation would have cost.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::error::Failure;
use super::members::Members;
use super::table::{Index, IndexKind, Table};
use super::value::{Item, item_size};

/// How much of the cost an answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CapacityReport {
    None,
    Total,
    Indexes,
}

/// The cost of an operation, in half units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Consumed {
    table: u32,
    /// By kind and name.
    indexes: BTreeMap<(IndexKind, String), u32>,
}

impl CapacityReport {
    /// Takes `ReturnConsumedCapacity`.
    pub(super) fn take(members: &mut Members) -> Result<Self, Failure> {
        let choices = ["INDEXES", "TOTAL", "NONE"];
        Ok(match members.choice("ReturnConsumedCapacity", &choices)? {
            Some("INDEXES") => Self::Indexes,
            Some("TOTAL") => Self::Total,
            _ => Self::None,
        })
    }

    /// Adds the cost to an answer.
    pub(super) fn add_to(self, answer: &mut Value, table: &str, consumed: &Consumed) {
        if self != Self::None {
            answer["ConsumedCapacity"] = self.describe(table, consumed, None);
        }
    }

    /// Adds the costs of an operation on several tables to an answer. A transaction says of what kind
    /// its units are, by the member that tells them once more.
    pub(super) fn add_all_to(
        self,
        answer: &mut Value,
        costs: &BTreeMap<String, Consumed>,
        kind: Option<&str>,
    ) {
        if self != Self::None {
            let costs = costs.iter();
            let costs = costs.map(|(table, consumed)| self.describe(table, consumed, kind));
            answer["ConsumedCapacity"] = costs.collect();
        }
    }

    fn describe(self, table: &str, consumed: &Consumed, kind: Option<&str>) -> Value {
        let capacity = |halves| {
            let mut capacity = json!({"CapacityUnits": units(halves)});
            if let Some(kind) = kind {
                capacity[kind] = units(halves).into();
            }
            capacity
        };
        let mut described = capacity(consumed.table + consumed.indexes.values().sum::<u32>());
        described["TableName"] = table.into();
        if self == Self::Indexes {
            described["Table"] = capacity(consumed.table);
            for ((kind, name), halves) in &consumed.indexes {
                described[kind.member()][name] = capacity(*halves);
            }
        }
        described
    }
}

impl Consumed {
    /// Adds another cost.
    pub(super) fn add(&mut self, other: &Self) {
        self.table += other.table;
        for (index, halves) in &other.indexes {
            *self.indexes.entry(index.clone()).or_default() += halves;
        }
    }

    /// The cost of the same in a transaction, which does everything twice.
    pub(super) fn in_transaction(mut self) -> Self {
        self.table *= 2;
        for halves in self.indexes.values_mut() {
            *halves *= 2;
        }
        self
    }

    /// The same, and an item of so many bytes fetched from the table.
    pub(super) fn and_fetched(mut self, bytes: usize, consistent: bool) -> Self {
        self.table += read_halves(bytes, consistent);
        self
    }

    /// Bytes read from the table, or from an index of it.
    pub(super) fn read(bytes: usize, consistent: bool, index: Option<&Index>) -> Self {
        let halves = read_halves(bytes, consistent);
        match index {
            None => Self {
                table: halves,
                indexes: BTreeMap::new(),
            },
            Some(index) => Self {
                table: 0,
                indexes: BTreeMap::from([((index.kind, index.name.clone()), halves)]),
            },
        }
    }

    /// An item written over another.
    pub(super) fn write(table: &Table, old: Option<&Item>, new: Option<&Item>) -> Self {
        let indexes = table.indexes.iter().filter_map(|index| {
            let held = |item| {
                let key = index.schema.key_in_index(item)?;
                Some((key, index.project(&table.schema, item)))
            };
            let (old, new) = (old.and_then(held), new.and_then(held));
            let size = |held: &(_, std::borrow::Cow<'_, Item>)| write_halves(item_size(&held.1));
            let halves = match (&old, &new) {
                _ if old == new => return None,
                (Some(old), Some(new)) if old.0 == new.0 => size(old).max(size(new)),
                // Another key: the index deletes one row and puts another.
                (old, new) => old.as_ref().map_or(0, size) + new.as_ref().map_or(0, size),
            };
            Some(((index.kind, index.name.clone()), halves))
        });
        let size = |item: Option<&Item>| item.map_or(0, item_size);
        Self {
            table: write_halves(size(old).max(size(new))),
            indexes: indexes.collect(),
        }
    }
}

fn read_halves(bytes: usize, consistent: bool) -> u32 {
    blocks(bytes, READ_BLOCK) * if consistent { 2 } else { 1 }
}

fn write_halves(bytes: usize) -> u32 {
    2 * blocks(bytes, WRITE_BLOCK)
}

/// How many blocks the bytes fill, at least one.
fn blocks(bytes: usize, block: usize) -> u32 {
    u32::try_from(bytes.div_ceil(block))
        .unwrap_or(u32::MAX / 4)
        .max(1)
}

fn units(halves: u32) -> f64 {
    f64::from(halves) / 2.0
}

const READ_BLOCK: usize = 4096;
const WRITE_BLOCK: usize = 1024;
