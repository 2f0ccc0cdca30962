//! Keys: schemas, key values, and the order in which a table holds its items.
//!
//! Items lie in the order of a hash of their hash key, as they do in the service, so that a
//! program which takes a Scan for sorted fails here as it would there.

use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::error::Failure;
use super::number::Number;
use super::value::{AttributeValue, Item};

/// The type of a key attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyType {
    S,
    N,
    B,
}

impl KeyType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
        }
    }
}

/// A value that a key attribute can have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyValue {
    S(String),
    N(Number),
    B(Vec<u8>),
}

impl KeyValue {
    /// The value as one of a key of this type, or none if it has another type.
    pub(super) fn of(value: &AttributeValue, key_type: KeyType) -> Option<Self> {
        match (value, key_type) {
            (AttributeValue::S(text), KeyType::S) => Some(Self::S(text.clone())),
            (AttributeValue::N(number), KeyType::N) => Some(Self::N(*number)),
            (AttributeValue::B(bytes), KeyType::B) => Some(Self::B(bytes.clone())),
            _ => None,
        }
    }

    /// Whether it begins with another value; a number begins with nothing.
    pub(super) fn begins_with(&self, prefix: &Self) -> bool {
        match (self, prefix) {
            (Self::S(text), Self::S(prefix)) => text.starts_with(prefix),
            (Self::B(bytes), Self::B(prefix)) => bytes.starts_with(prefix),
            _ => false,
        }
    }

    /// The kind of emptiness that a key may not have.
    fn emptiness(&self) -> Option<&'static str> {
        match self {
            Self::S(text) if text.is_empty() => Some("string"),
            Self::B(bytes) if bytes.is_empty() => Some("binary"),
            Self::S(_) | Self::N(_) | Self::B(_) => None,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::S(text) => text.len(),
            Self::B(bytes) => bytes.len(),
            Self::N(_) => 0,
        }
    }

    /// Where the items of this hash key lie in the table.
    fn position(&self) -> u128 {
        let mut hash = Md5::new();
        // The service's own order for string and binary keys, found by experiment by others;
        // its binary form of numbers is not imitated.
        hash.update(b"Outliers");
        match self {
            Self::S(text) => hash.update(text),
            Self::N(number) => hash.update(number.to_string()),
            Self::B(bytes) => hash.update(bytes),
        }
        u128::from_be_bytes(hash.finalize().into())
    }
}

/// The key of an item in a table or an index; keys order as the items lie there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ItemKey {
    position: u128,
    pub(super) hash: KeyValue,
    pub(super) range: Option<KeyValue>,
}

impl ItemKey {
    pub(super) fn new(hash: KeyValue, range: Option<KeyValue>) -> Self {
        Self {
            position: hash.position(),
            hash,
            range,
        }
    }

    /// A key that no key is before.
    pub(super) fn least() -> Self {
        Self {
            position: 0,
            hash: KeyValue::S(String::new()),
            range: None,
        }
    }

    /// Which of `total` segments of a parallel scan it falls into.
    pub(super) fn segment(&self, total: u64) -> u64 {
        // The service divides the table into 4096 slots by the first bits of the hash.
        let slot = (self.position >> 116) * u128::from(total) / 4096;
        u64::try_from(slot).unwrap_or(u64::MAX)
    }
}

/// One attribute of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyAttribute {
    pub(super) name: String,
    pub(super) key_type: KeyType,
}

impl KeyAttribute {
    /// The value, if it is one that a key can have.
    pub(super) fn not_empty(&self, value: KeyValue) -> Result<KeyValue, Failure> {
        match value.emptiness() {
            None => Ok(value),
            Some(kind) => Err(Failure::validation(format!(
                "One or more parameter values are not valid. The AttributeValue for a key \
                 attribute cannot contain an empty {kind} value. Key: {}",
                self.name
            ))),
        }
    }

    /// Checks the value that an item has for this attribute of an index.
    fn check_in_index(&self, value: &AttributeValue, index: &str) -> Result<KeyValue, Failure> {
        let Self { name, key_type } = self;
        let Some(key) = KeyValue::of(value, *key_type) else {
            return Err(Failure::invalid_parameters(&format!(
                "Type mismatch for Index Key {name} Expected: {} Actual: {} IndexName: {index}",
                key_type.name(),
                value.type_name(),
            )));
        };
        match key.emptiness() {
            None => Ok(key),
            Some(kind) => Err(Failure::validation(format!(
                "One or more parameter values are not valid. A value specified for a secondary \
                 index key is not supported. The AttributeValue for a key attribute cannot \
                 contain an empty {kind} value. IndexName: {index}, IndexKey: {name}"
            ))),
        }
    }
}

/// The attributes that make the key of a table or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeySchema {
    pub(super) hash: KeyAttribute,
    pub(super) range: Option<KeyAttribute>,
}

impl KeySchema {
    pub(super) fn attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        std::iter::once(&self.hash).chain(&self.range)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attributes().any(|attribute| attribute.name == name)
    }

    /// The key of an item that shall be put.
    pub(super) fn key_of_item(&self, item: &Item) -> Result<ItemKey, Failure> {
        self.build(|attribute| {
            let KeyAttribute { name, key_type } = attribute;
            let value = item.get(name).ok_or_else(|| {
                Failure::invalid_parameters(&format!("Missing the key {name} in the item"))
            })?;
            KeyValue::of(value, *key_type).ok_or_else(|| {
                Failure::invalid_parameters(&format!(
                    "Type mismatch for key {name} expected: {} actual: {}",
                    key_type.name(),
                    value.type_name(),
                ))
            })
        })
    }

    /// The key that a request names: exactly the attributes of the schema.
    pub(super) fn key_of_request(&self, key: &Item) -> Result<ItemKey, Failure> {
        let misfit = || Failure::validation("The provided key element does not match the schema");
        if key.len() != self.attributes().count() {
            return Err(misfit());
        }
        self.build(|attribute| {
            key.get(&attribute.name)
                .and_then(|value| KeyValue::of(value, attribute.key_type))
                .ok_or_else(misfit)
        })
    }

    /// The key of an item that a batch puts: the service tells a missing attribute from one of a
    /// wrong type for a single item, not for a batch.
    pub(super) fn key_in_batch(&self, item: &Item) -> Result<ItemKey, Failure> {
        let mut key = item.clone();
        key.retain(|name, _| self.has(name));
        self.key_of_request(&key)
    }

    /// Refuses a key attribute without content; whether there is one at all is not asked.
    pub(super) fn check_not_empty(&self, item: &Item) -> Result<(), Failure> {
        for attribute in self.attributes() {
            let value = item.get(&attribute.name);
            let value = value.and_then(|value| KeyValue::of(value, attribute.key_type));
            if let Some(value) = value {
                attribute.not_empty(value)?;
            }
        }
        Ok(())
    }

    /// Checks what an item has for the attributes of this index: each may be absent, but not of another
    /// type, empty or too long.
    pub(super) fn check_in_index(&self, item: &Item, index: &str) -> Result<(), Failure> {
        if let Some(value) = item.get(&self.hash.name) {
            check_hash_size(&self.hash.check_in_index(value, index)?)?;
        }
        if let Some(attribute) = &self.range
            && let Some(value) = item.get(&attribute.name)
        {
            check_range_size(&attribute.check_in_index(value, index)?)?;
        }
        Ok(())
    }

    /// The key under which an index holds an item; none if the item is not in the index.
    pub(super) fn key_in_index(&self, item: &Item) -> Option<ItemKey> {
        let value = |attribute: &KeyAttribute| {
            item.get(&attribute.name)
                .and_then(|value| KeyValue::of(value, attribute.key_type))
        };
        let hash = value(&self.hash)?;
        let range = match &self.range {
            Some(attribute) => Some(value(attribute)?),
            None => None,
        };
        Some(ItemKey::new(hash, range))
    }

    pub(super) fn to_json(&self) -> Value {
        let kinds = ["HASH", "RANGE"];
        self.attributes()
            .zip(kinds)
            .map(|(attribute, kind)| json!({"AttributeName": attribute.name, "KeyType": kind}))
            .collect()
    }

    fn build(
        &self,
        value: impl Fn(&KeyAttribute) -> Result<KeyValue, Failure>,
    ) -> Result<ItemKey, Failure> {
        let checked = |attribute: &KeyAttribute| attribute.not_empty(value(attribute)?);
        let hash = checked(&self.hash)?;
        check_hash_size(&hash)?;
        let range = self.range.as_ref().map(checked).transpose()?;
        if let Some(range) = &range {
            check_range_size(range)?;
        }
        Ok(ItemKey::new(hash, range))
    }
}

fn check_hash_size(hash: &KeyValue) -> Result<(), Failure> {
    if hash.len() > MAX_HASH_KEY {
        return Err(Failure::invalid_parameters(
            "Size of hashkey has exceeded the maximum size limit of2048 bytes",
        ));
    }
    Ok(())
}

fn check_range_size(range: &KeyValue) -> Result<(), Failure> {
    if range.len() > MAX_RANGE_KEY {
        return Err(Failure::invalid_parameters(
            "Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
        ));
    }
    Ok(())
}

const MAX_HASH_KEY: usize = 2048;
const MAX_RANGE_KEY: usize = 1024;
