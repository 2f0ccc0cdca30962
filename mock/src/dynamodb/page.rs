//! What Scan and Query have in common: filter, projection, selection, and the end of a page.
//!
//! A page ends after `Limit` rows or 1 MiB of what is read, before the filter.
//! Refused: `AttributesToGet`, `ScanFilter`, `QueryFilter`.

use serde_json::{Value, json};

use super::capacity::{CapacityReport, Consumed};
use super::error::Failure;
use super::expression::{Condition, Expressions, Projection};
use super::members::Members;
use super::table::{Index, IndexKind, IndexProjection, Row, RowKey, Table};
use super::value::{Item, item_size, item_to_json};

/// The members that Scan and Query share.
pub(super) struct PageRequest {
    pub(super) index: Option<String>,
    limit: Option<usize>,
    select: Option<&'static str>,
    pub(super) filter: Option<Condition>,
    projection: Option<Projection>,
    pub(super) start: Option<Item>,
    pub(super) consistent: bool,
    capacity: CapacityReport,
}

impl PageRequest {
    pub(super) fn take(
        members: &mut Members,
        expressions: &mut Expressions,
    ) -> Result<Self, Failure> {
        let limit = members.integer("Limit", 1..=i64::MAX)?;
        let index = members.string("IndexName")?;
        if let Some(name) = &index {
            super::table_request::check_name("IndexName", &members.at("IndexName"), name)?;
        }
        let request = Self {
            index,
            limit: limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            select: members.choice("Select", &SELECT)?,
            filter: expressions.condition("FilterExpression")?,
            projection: expressions.projection("ProjectionExpression")?,
            start: members.item("ExclusiveStartKey")?,
            consistent: members.boolean("ConsistentRead")?.unwrap_or(false),
            capacity: CapacityReport::take(members)?,
        };
        request.check_selection()?;
        Ok(request)
    }

    fn check_selection(&self) -> Result<(), Failure> {
        let text = match (self.select, &self.projection) {
            (Some("SPECIFIC_ATTRIBUTES"), None) => {
                "Must specify the AttributesToGet or ProjectionExpression when choosing to get \
                 SPECIFIC_ATTRIBUTES"
                    .to_owned()
            }
            (Some("ALL_PROJECTED_ATTRIBUTES"), _) if self.index.is_none() => {
                "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName"
                    .to_owned()
            }
            (None | Some("SPECIFIC_ATTRIBUTES"), _) | (_, None) => return Ok(()),
            (Some(select), Some(_)) => {
                let wanted = match select {
                    "COUNT" => "only the Count",
                    other => other,
                };
                return Err(Failure::validation(format!(
                    "Cannot specify the ProjectionExpression when choosing to get {wanted}"
                )));
            }
        };
        Err(Failure::invalid_parameters(&text))
    }

    /// The index that is read, if one is, checked for what is asked of it.
    pub(super) fn find_index<'a>(
        &self,
        table: &'a Table,
        now: shardwise_env::Instant,
    ) -> Result<Option<&'a Index>, Failure> {
        let Some(name) = &self.index else {
            return Ok(None);
        };
        let index = table.index(name).ok_or_else(|| {
            Failure::validation(format!(
                "The table does not have the specified index: {name}"
            ))
        })?;
        if now < index.ready {
            return Err(Failure::validation(format!(
                "Cannot read from backfilling global secondary index: {name}"
            )));
        }
        if index.kind == IndexKind::Local {
            return Ok(Some(index));
        }
        if self.consistent {
            return Err(Failure::validation(
                "Consistent reads are not supported on global secondary indexes",
            ));
        }
        if self.select == Some("ALL_ATTRIBUTES") && index.projection != IndexProjection::All {
            return Err(Failure::invalid_parameters(&format!(
                "Select type ALL_ATTRIBUTES is not supported for global secondary index {name} \
                 because its projection type is not ALL"
            )));
        }
        let wanted = self.projection.iter().flat_map(Projection::attributes);
        let mut missing = wanted.filter(|name| !index.holds(&table.schema, name));
        match missing.next() {
            Some(attribute) => Err(Failure::invalid_parameters(&format!(
                "Global secondary index {name} does not project [{attribute}]"
            ))),
            None => Ok(Some(index)),
        }
    }

    /// Whether a read of a local index must fetch items from the table, for what it does not hold.
    fn fetches(&self, table: &Table, index: &Index) -> bool {
        let is_missing = |name: &str| !index.holds(&table.schema, name);
        let filtered = self.filter.as_ref().map(Condition::attributes);
        index.kind == IndexKind::Local
            && index.projection != IndexProjection::All
            && (self.select == Some("ALL_ATTRIBUTES")
                || self
                    .projection
                    .iter()
                    .flat_map(Projection::attributes)
                    .any(|name| is_missing(name))
                || filtered
                    .unwrap_or_default()
                    .iter()
                    .any(|name| is_missing(name)))
    }

    /// Where the page begins: after the row that `ExclusiveStartKey` names.
    pub(super) fn start_key(
        &self,
        table: &Table,
        index: Option<&Index>,
    ) -> Result<Option<RowKey>, Failure> {
        let Some(start) = &self.start else {
            return Ok(None);
        };
        let invalid =
            |why: &str| Failure::validation(format!("The provided starting key is invalid{why}"));
        let mut table_part = start.clone();
        table_part.retain(|name, _| table.schema.has(name));
        let misfit = ": The provided key element does not match the schema";
        let table_key = table.schema.key_of_request(&table_part);
        let table_key = table_key.map_err(|_| invalid(misfit))?;
        let (row_key, count) = match index {
            None => (table_key.clone(), table_part.len()),
            Some(index) => {
                let row_key = index.schema.key_in_index(start);
                let names = index.schema.attributes().map(|attribute| &attribute.name);
                let added = names.filter(|name| !table.schema.has(name)).count();
                (
                    row_key.ok_or_else(|| invalid(""))?,
                    table_part.len() + added,
                )
            }
        };
        if start.len() != count {
            return Err(invalid(if index.is_some() { "" } else { misfit }));
        }
        Ok(Some((row_key, table_key)))
    }

    /// Reads a page from the rows.
    pub(super) fn read<'a>(
        &self,
        table: &Table,
        index: Option<&Index>,
        rows: impl Iterator<Item = Row<'a>>,
    ) -> Value {
        let fetches = index.is_some_and(|index| self.fetches(table, index));
        let mut fetched = Vec::new();
        let (mut scanned, mut bytes) = (0, 0);
        let mut items = Vec::new();
        let mut count = 0;
        let mut last = None;
        for row in rows {
            scanned += 1;
            bytes += item_size(&row.item);
            if Some(scanned) == self.limit || bytes >= PAGE_SIZE {
                last = Some(start_key_of(table, index, &row.item));
            }
            let whole = table.items.get(row.table_key).filter(|_| fetches);
            fetched.extend(whole.map(item_size));
            let item = whole.unwrap_or(&row.item);
            let fits = |filter: &Condition| filter.holds(item);
            if self.filter.as_ref().is_none_or(fits) {
                count += 1;
                if self.select != Some("COUNT") {
                    items.push(match &self.projection {
                        Some(projection) => item_to_json(&projection.apply(item)),
                        None if self.select == Some("ALL_ATTRIBUTES") => item_to_json(item),
                        None => item_to_json(&row.item),
                    });
                }
            }
            if last.is_some() {
                break;
            }
        }
        let mut answer = json!({"Count": count, "ScannedCount": scanned});
        if self.select != Some("COUNT") {
            answer["Items"] = items.into();
        }
        if let Some(last) = last {
            answer["LastEvaluatedKey"] = last;
        }
        let mut consumed = Consumed::read(bytes, self.consistent, index);
        for bytes in fetched {
            consumed = consumed.and_fetched(bytes, self.consistent);
        }
        self.capacity.add_to(&mut answer, &table.name, &consumed);
        answer
    }
}

/// The key attributes of a row: where the next page begins.
fn start_key_of(table: &Table, index: Option<&Index>, item: &Item) -> Value {
    let in_index = |name: &str| index.is_some_and(|index| index.schema.has(name));
    let mut key = item.clone();
    key.retain(|name, _| table.schema.has(name) || in_index(name));
    item_to_json(&key)
}

const SELECT: [&str; 4] = [
    "SPECIFIC_ATTRIBUTES",
    "COUNT",
    "ALL_ATTRIBUTES",
    "ALL_PROJECTED_ATTRIBUTES",
];
const PAGE_SIZE: usize = 1024 * 1024;
