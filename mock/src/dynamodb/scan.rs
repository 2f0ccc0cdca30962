//! Scan, of a table or an index, whole or in segments.
//!
//! Refused: `ScanFilter`, `AttributesToGet`.

use serde_json::Value;

use super::DynamoDb;
use super::error::Failure;
use super::expression::Expressions;
use super::members::Members;
use super::page::PageRequest;

impl DynamoDb {
    pub(super) fn scan(&self, mut members: Members) -> Result<Value, Failure> {
        let name = self.table_name(&mut members)?;
        let fields = ["ProjectionExpression", "FilterExpression"];
        let legacy = ["AttributesToGet", "ScanFilter", "ConditionalOperator"];
        let mut expressions = Expressions::take(&mut members, &fields, &legacy)?;
        let request = PageRequest::take(&mut members, &mut expressions)?;
        let segment = take_segment(&mut members)?;
        let nested = expressions.finish()?;
        members.finish()?;

        let now = self.env.now();
        self.with_table(&name, |table| {
            let table = &*self.as_read(table, request.consistent, now);
            table.check_nested(&nested)?;
            let index = request.find_index(table, now)?;
            let start = request.start_key(table, index)?;
            if let (Some((key, _)), Some((segment, total))) = (&start, segment)
                && key.segment(total) != segment
            {
                return Err(Failure::validation(format!(
                    "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use \
                     ExclusiveStartKey with correct Segment. TotalSegments: {total} Segment: \
                     {segment}"
                )));
            }
            let mine = |key: &super::key::ItemKey| {
                segment.is_none_or(|(segment, total)| key.segment(total) == segment)
            };
            let rows = table.rows(index, start.as_ref());
            Ok(request.read(table, index, rows.filter(|row| mine(row.key))))
        })
    }
}

/// The number of a segment and of all segments.
fn take_segment(members: &mut Members) -> Result<Option<(u64, u64)>, Failure> {
    let total = members.integer("TotalSegments", 1..=1_000_000)?;
    let segment = members.integer("Segment", 0..=999_999)?;
    match (segment, total) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(Failure::validation(
            "The TotalSegments parameter is required but was not present in the request when \
             Segment parameter is present",
        )),
        (None, Some(_)) => Err(Failure::validation(
            "The Segment parameter is required but was not present in the request when parameter \
             TotalSegments is present",
        )),
        (Some(segment), Some(total)) if segment >= total => Err(Failure::validation(format!(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: \
             Segment: {segment} is not less than TotalSegments: {total}"
        ))),
        (Some(segment), Some(total)) => Ok(Some((segment.unsigned_abs(), total.unsigned_abs()))),
    }
}
