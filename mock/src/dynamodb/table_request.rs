//! The parts that CreateTable and UpdateTable have in common: keys, indexes, throughput.

use shardwise_types::limits;

use super::error::Failure;
use super::key::{KeyAttribute, KeySchema, KeyType};
use super::members::Members;
use super::table::{IndexKind, IndexProjection, Throughput};

const MIN_NAME: usize = limits::TABLE_NAME_MIN_CHARS;
const MAX_NAME: usize = limits::TABLE_NAME_MAX_CHARS;

/// An index as a request describes it.
#[derive(Debug)]
pub(super) struct IndexRequest {
    pub(super) name: String,
    pub(super) kind: IndexKind,
    pub(super) schema: KeySchema,
    pub(super) projection: IndexProjection,
    pub(super) throughput: Option<Throughput>,
}

impl IndexRequest {
    pub(super) fn take_global(
        mut members: Members,
        definitions: &[KeyAttribute],
    ) -> Result<Self, Failure> {
        let (name, schema) = take_index_key(&mut members, definitions)?;
        let projection = take_projection(&mut members)?;
        let throughput = throughput(&mut members)?;
        members.finish()?;
        Ok(Self {
            name,
            kind: IndexKind::Global,
            schema,
            projection,
            throughput,
        })
    }

    /// An index of a table with that key.
    pub(super) fn take_local(
        mut members: Members,
        definitions: &[KeyAttribute],
        table: &KeySchema,
    ) -> Result<Self, Failure> {
        let (name, schema) = take_index_key(&mut members, definitions)?;
        if table.range.is_none() {
            return Err(Failure::invalid_parameters(
                "Table KeySchema does not have a range key, which is required when specifying a \
                 LocalSecondaryIndex",
            ));
        }
        if schema.range.is_none() {
            return Err(Failure::invalid_parameters(&format!(
                "Index KeySchema does not have a range key for index: {name}"
            )));
        }
        if schema.hash.name != table.hash.name {
            return Err(Failure::invalid_parameters(&format!(
                "Index KeySchema does not have the same leading hash key as table KeySchema for \
                 index: {name}. index hash key: {}, table hash key: {}",
                schema.hash.name, table.hash.name
            )));
        }
        let projection = take_projection(&mut members)?;
        members.finish()?;
        Ok(Self {
            name,
            kind: IndexKind::Local,
            schema,
            projection,
            throughput: None,
        })
    }

    /// The throughput of an index goes with that of its table.
    pub(super) fn check_throughput(&self, on_demand: bool) -> Result<(), Failure> {
        let name = &self.name;
        match (on_demand, self.throughput) {
            (true, Some(_)) => Err(Failure::invalid_parameters(&format!(
                "ProvisionedThroughput should not be specified for index: {name} when \
                 BillingMode is PAY_PER_REQUEST"
            ))),
            (false, None) => Err(Failure::invalid_parameters(&format!(
                "ProvisionedThroughput must be specified for index: {name}"
            ))),
            _ => Ok(()),
        }
    }
}

/// Checks the name of a table or an index.
pub(super) fn check_name(what: &str, at: &str, name: &str) -> Result<(), Failure> {
    if !(MIN_NAME..=MAX_NAME).contains(&name.len()) {
        return Err(Failure::validation(format!(
            "{what} must be at least {MIN_NAME} characters long and at most {MAX_NAME} characters \
             long"
        )));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if !name.bytes().all(fits) {
        let must = "satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
        return Err(Failure::constraint(name, at, must));
    }
    Ok(())
}

/// Takes `AttributeDefinitions`.
pub(super) fn definitions(members: &mut Members) -> Result<Option<Vec<KeyAttribute>>, Failure> {
    let Some(list) = members.structures("AttributeDefinitions")? else {
        return Ok(None);
    };
    let mut definitions = Vec::<KeyAttribute>::new();
    for mut definition in list {
        let name = attribute_name(&mut definition)?;
        let key_type = match definition.choice("AttributeType", &["B", "N", "S"])? {
            Some("B") => KeyType::B,
            Some("N") => KeyType::N,
            Some(_) => KeyType::S,
            None => return Err(definition.missing("AttributeType")),
        };
        definition.finish()?;
        if definitions.iter().any(|known| known.name == name) {
            return Err(Failure::invalid_parameters(
                "Cannot have two attributes with the same name",
            ));
        }
        definitions.push(KeyAttribute { name, key_type });
    }
    Ok(Some(definitions))
}

/// Reads the `KeySchema` of a table. A key attribute without a definition has another text
/// where the table has indexes.
pub(super) fn table_key_schema(
    elements: Vec<Members>,
    definitions: &[KeyAttribute],
    has_indexes: bool,
) -> Result<KeySchema, Failure> {
    let keys = key_elements(elements)?;
    let is_defined = |name: &str| definitions.iter().any(|known| known.name == name);
    if !has_indexes && !keys.iter().all(|(name, _)| is_defined(name)) {
        return Err(Failure::validation(
            "Invalid KeySchema: Some index key attribute have no definition",
        ));
    }
    key_schema(&keys, definitions)
}

/// The name and the `KeyType` of each element of a `KeySchema`.
fn key_elements(elements: Vec<Members>) -> Result<Vec<(String, &'static str)>, Failure> {
    let mut keys = Vec::new();
    for mut element in elements {
        let name = attribute_name(&mut element)?;
        let kind = element.choice("KeyType", &["HASH", "RANGE"])?;
        keys.push((name, kind.ok_or_else(|| element.missing("KeyType"))?));
        element.finish()?;
    }
    Ok(keys)
}

fn key_schema(
    keys: &[(String, &'static str)],
    definitions: &[KeyAttribute],
) -> Result<KeySchema, Failure> {
    let find = |name: &String| {
        let found = definitions.iter().find(|known| known.name == *name);
        found.cloned().ok_or_else(|| {
            Failure::invalid_parameters(&format!(
                "Some index key attributes are not defined in AttributeDefinitions. \
                 Keys: [{}], AttributeDefinitions: [{}]",
                join(keys.iter().map(|(name, _)| name)),
                join(definitions.iter().map(|known| &known.name)),
            ))
        })
    };
    match keys {
        [(_, kind), ..] if *kind != "HASH" => Err(Failure::validation(
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
        )),
        [(hash, _)] => Ok(KeySchema {
            hash: find(hash)?,
            range: None,
        }),
        [_, (_, kind)] if *kind != "RANGE" => Err(Failure::validation(
            "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
        )),
        [(hash, _), (range, _)] if hash == range => Err(Failure::validation(
            "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        )),
        [(hash, _), (range, _)] => Ok(KeySchema {
            hash: find(hash)?,
            range: Some(find(range)?),
        }),
        [] => Err(Failure::constraint(
            "[]",
            "keySchema",
            "have length greater than or equal to 1",
        )),
        _ => Err(Failure::constraint(
            &format!("[{}]", join(keys.iter().map(|(name, _)| name))),
            "keySchema",
            "have length less than or equal to 2",
        )),
    }
}

/// Takes `ProvisionedThroughput`.
pub(super) fn throughput(members: &mut Members) -> Result<Option<Throughput>, Failure> {
    let Some(mut throughput) = members.structure("ProvisionedThroughput")? else {
        return Ok(None);
    };
    let mut units = |name| {
        let units = throughput.integer(name, 1..=i64::MAX)?;
        units.ok_or_else(|| throughput.missing(name))
    };
    let (read, write) = (units("ReadCapacityUnits")?, units("WriteCapacityUnits")?);
    throughput.finish()?;
    Ok(Some(Throughput { read, write }))
}

/// Checks that a table has throughput exactly if it is not on demand.
pub(super) fn check_throughput(
    on_demand: bool,
    throughput: Option<Throughput>,
) -> Result<(), Failure> {
    match (on_demand, throughput) {
        (true, Some(_)) => Err(Failure::invalid_parameters(
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode \
             is PAY_PER_REQUEST",
        )),
        (false, None) => Err(Failure::invalid_parameters(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is \
             PROVISIONED",
        )),
        _ => Ok(()),
    }
}

/// Checks that each attribute is defined for a key.
pub(super) fn check_all_used(
    definitions: &[KeyAttribute],
    schemas: &[&KeySchema],
) -> Result<(), Failure> {
    let used = |name: &str| schemas.iter().any(|schema| schema.has(name));
    if definitions.iter().all(|known| used(&known.name)) {
        return Ok(());
    }
    if schemas.len() == 1 {
        return Err(Failure::invalid_parameters(
            "Number of attributes in KeySchema does not exactly match number of attributes \
             defined in AttributeDefinitions",
        ));
    }
    let keys = definitions.iter().filter(|known| used(&known.name));
    Err(Failure::invalid_parameters(&format!(
        "Some AttributeDefinitions are not used. AttributeDefinitions: [{}], keys used: [{}]",
        join(definitions.iter().map(|known| &known.name)),
        join(keys.map(|known| &known.name)),
    )))
}

/// The name and the key of an index.
fn take_index_key(
    members: &mut Members,
    definitions: &[KeyAttribute],
) -> Result<(String, KeySchema), Failure> {
    let name = members.required_string("IndexName")?;
    check_name("IndexName", &members.at("IndexName"), &name)?;
    let keys = members.structures("KeySchema")?;
    let keys = key_elements(keys.ok_or_else(|| members.missing("KeySchema"))?)?;
    Ok((name, key_schema(&keys, definitions)?))
}

fn take_projection(members: &mut Members) -> Result<IndexProjection, Failure> {
    let projection = members.structure("Projection")?;
    index_projection(projection.ok_or_else(|| members.missing("Projection"))?)
}

fn index_projection(mut members: Members) -> Result<IndexProjection, Failure> {
    let kind = members.choice("ProjectionType", &["ALL", "INCLUDE", "KEYS_ONLY"])?;
    let included = members.strings("NonKeyAttributes")?;
    members.finish()?;
    match (kind, included) {
        (None, _) => Err(Failure::invalid_parameters("Unknown ProjectionType: null")),
        (Some("ALL"), None) => Ok(IndexProjection::All),
        (Some("KEYS_ONLY"), None) => Ok(IndexProjection::KeysOnly),
        (Some("INCLUDE"), Some(names)) if !names.is_empty() => Ok(IndexProjection::Include(names)),
        (Some("INCLUDE"), _) => Err(Failure::invalid_parameters(
            "ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
        )),
        (Some(kind), Some(_)) => Err(Failure::invalid_parameters(&format!(
            "ProjectionType is {kind}, but NonKeyAttributes is specified"
        ))),
        (Some(kind), None) => Err(Failure::invalid_parameters(&format!(
            "Unknown ProjectionType: {kind}"
        ))),
    }
}

fn attribute_name(members: &mut Members) -> Result<String, Failure> {
    let name = members.required_string("AttributeName")?;
    let must = match name.len() {
        0 => "have length greater than or equal to 1",
        1..=255 => return Ok(name),
        _ => "have length less than or equal to 255",
    };
    Err(Failure::constraint(
        &name,
        &members.at("AttributeName"),
        must,
    ))
}

fn join<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}
