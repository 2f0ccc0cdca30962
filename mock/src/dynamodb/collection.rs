//! `ReturnItemCollectionMetrics`: how large the item collections are that a write touched.
//!
//! Only tables with local secondary indexes have collections. Their limit of 10 GB is not kept: it
//! would not fit into memory.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LSI.html>

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::error::Failure;
use super::key::ItemKey;
use super::members::Members;
use super::table::{IndexKind, Table};
use super::value::{Item, item_size};

/// One gigabyte, of which the estimates are.
const GIGABYTE: usize = 1024 * 1024 * 1024;

/// The collections that a request has touched, if it wants to know.
#[derive(Debug)]
pub(super) struct CollectionMetrics {
    is_wanted: bool,
    by_table: BTreeMap<String, Vec<Value>>,
}

impl CollectionMetrics {
    /// Takes `ReturnItemCollectionMetrics`.
    pub(super) fn take(members: &mut Members) -> Result<Self, Failure> {
        let choice = members.choice("ReturnItemCollectionMetrics", &["SIZE", "NONE"])?;
        Ok(Self {
            is_wanted: choice == Some("SIZE"),
            by_table: BTreeMap::new(),
        })
    }

    /// Notes a write of the item with that key, which `named_by` has the attributes of.
    pub(super) fn note(&mut self, table: &Table, key: &ItemKey, named_by: &Item) {
        let hash = &table.schema.hash.name;
        if !self.is_wanted || table.indexes_of(IndexKind::Local).next().is_none() {
            return;
        }
        let Some(value) = named_by.get(hash) else {
            return;
        };
        let rows = table.rows_of(None, &key.hash).into_iter();
        let size: usize = rows.map(|row| item_size(&row.item)).sum();
        let from = u32::try_from(size / GIGABYTE).unwrap_or(u32::MAX - 1);
        let metrics = json!({
            "ItemCollectionKey": {hash: value.to_json()},
            "SizeEstimateRangeGB": [f64::from(from), f64::from(from + 1)],
        });
        let noted = self.by_table.entry(table.name.clone()).or_default();
        if !noted.contains(&metrics) {
            noted.push(metrics);
        }
    }

    /// Adds the one collection that a write of a single item touched.
    pub(super) fn add_to(self, answer: &mut Value) {
        if let Some(metrics) = self.by_table.into_values().flatten().next() {
            answer["ItemCollectionMetrics"] = metrics;
        }
    }

    /// Adds all collections, by table.
    pub(super) fn add_all_to(self, answer: &mut Value) {
        if !self.by_table.is_empty() {
            answer["ItemCollectionMetrics"] = json!(self.by_table);
        }
    }
}
