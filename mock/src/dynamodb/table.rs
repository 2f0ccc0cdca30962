//! The state of a table: its settings, its items, its indexes.
//!
//! Every change of an item goes through [`Table::write`], which keeps the indexes in step.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::SystemTime;

use serde_json::{Value, json};
use shardwise_env::Instant;

use super::backups::Recovery;
use super::error::Failure;
use super::key::{ItemKey, KeyAttribute, KeySchema, KeyValue};
use super::tags::Tags;
use super::ttl::TimeToLive;
use super::value::{Item, item_size};
use super::versions::Versions;

/// The state in which a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Creating,
    Active,
    Updating,
    Deleting,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
        }
    }
}

/// A table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) id: String,
    pub(super) created: SystemTime,
    pub(super) definitions: Vec<KeyAttribute>,
    pub(super) schema: KeySchema,
    pub(super) settings: Settings,
    pub(super) indexes: Vec<Index>,
    /// The last change of state, and when it is over.
    pub(super) change: (Status, Instant),
    pub(super) items: BTreeMap<ItemKey, Item>,
    /// What the items were before.
    pub(super) versions: Versions,
    pub(super) ttl: TimeToLive,
    pub(super) recovery: Option<Recovery>,
    pub(super) tags: Tags,
}

/// What has no effect on a mock, and is kept to be described.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    /// Capacity units; none on demand.
    pub(super) throughput: Option<Throughput>,
    /// When the table was put on demand.
    pub(super) on_demand_since: Option<SystemTime>,
    pub(super) class: Option<&'static str>,
    /// The key that encrypts the table, if it is not the service's own.
    pub(super) encryption_key: Option<String>,
    pub(super) deletion_protection: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Throughput {
    pub(super) read: i64,
    pub(super) write: i64,
}

/// A global secondary index.
#[derive(Debug, Clone)]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) schema: KeySchema,
    pub(super) projection: IndexProjection,
    pub(super) throughput: Option<Throughput>,
    /// When it can be queried.
    pub(super) ready: Instant,
    /// Whether it was added to a table that was there already.
    pub(super) backfilled: bool,
    /// Key in the index, key in the table.
    entries: BTreeSet<RowKey>,
}

/// Which attributes an index holds besides the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IndexProjection {
    All,
    KeysOnly,
    Include(Vec<String>),
}

/// Where a row stands: its key in the index or table that is read, and its key in the table.
pub(super) type RowKey = (ItemKey, ItemKey);

/// A row that is read: an item, or what an index holds of it.
pub(super) struct Row<'a> {
    /// Its key where it is read.
    pub(super) key: &'a ItemKey,
    pub(super) table_key: &'a ItemKey,
    pub(super) item: Cow<'a, Item>,
}

impl Table {
    pub(super) fn status(&self, now: Instant) -> Status {
        let (status, until) = self.change;
        if status == Status::Deleting || now < until {
            status
        } else {
            Status::Active
        }
    }

    /// Whether its deletion is over.
    pub(super) fn is_gone(&self, now: Instant) -> bool {
        let (status, until) = self.change;
        status == Status::Deleting && now >= until
    }

    /// Refuses what a table cannot do while it changes its state.
    pub(super) fn check_settled(&self, now: Instant) -> Result<(), Failure> {
        let doing = match self.status(now) {
            Status::Active => return Ok(()),
            Status::Creating => "created",
            Status::Updating => "updated",
            Status::Deleting => "deleted",
        };
        Err(Failure::table_in_use(&self.name, doing))
    }

    /// Puts an item, or deletes it.
    pub(super) fn write(&mut self, key: ItemKey, item: Option<Item>, now: Instant) {
        let old = self.items.remove(&key);
        for index in &mut self.indexes {
            index.update(&key, old.as_ref(), item.as_ref());
        }
        self.versions.record(&key, old, now);
        if let Some(item) = item {
            self.items.insert(key, item);
        }
    }

    /// Adds an index and fills it.
    pub(super) fn add_index(&mut self, mut index: Index) {
        for (key, item) in &self.items {
            index.update(key, None, Some(item));
        }
        self.indexes.push(index);
    }

    pub(super) fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| index.name == name)
    }

    /// Refuses attributes that an expression looks into, where they are keys.
    pub(super) fn check_nested(&self, nested: &BTreeSet<String>) -> Result<(), Failure> {
        let index_key = |name: &str| self.indexes.iter().any(|index| index.schema.has(name));
        let refused = nested.iter().find_map(|name| match name {
            name if self.schema.has(name) => Some(("Key", name)),
            name if index_key(name) => Some(("IndexKey", name)),
            _ => None,
        });
        match refused {
            Some((kind, name)) => Err(Failure::validation(format!(
                "Key attributes must be scalars; list random access '[]' and map lookup '.' are \
                 not allowed: {kind}: {name}"
            ))),
            None => Ok(()),
        }
    }

    /// All rows of the table or of an index, in order, after a given one.
    pub(super) fn rows<'a>(
        &'a self,
        index: Option<&'a Index>,
        after: Option<&RowKey>,
    ) -> Box<dyn Iterator<Item = Row<'a>> + 'a> {
        if let Some(index) = index {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let entries = index.entries.range((start, Bound::Unbounded));
            return Box::new(entries.filter_map(|entry| self.index_row(index, entry)));
        }
        let start = after.map_or(Bound::Unbounded, |(key, _)| Bound::Excluded(key));
        Box::new(self.items.range((start, Bound::Unbounded)).map(Row::of))
    }

    /// The rows of the table or of an index that have a hash key, in order.
    pub(super) fn rows_of<'a>(&'a self, index: Option<&'a Index>, hash: &KeyValue) -> Vec<Row<'a>> {
        let first = ItemKey::new(hash.clone(), None);
        if let Some(index) = index {
            return index
                .entries
                .range((first, ItemKey::least())..)
                .take_while(|(key, _)| key.hash == *hash)
                .filter_map(|entry| self.index_row(index, entry))
                .collect();
        }
        self.items
            .range(first..)
            .take_while(|(key, _)| key.hash == *hash)
            .map(Row::of)
            .collect()
    }

    fn index_row<'a>(&'a self, index: &'a Index, entry: &'a RowKey) -> Option<Row<'a>> {
        let (key, table_key) = entry;
        let item = self.items.get(table_key)?;
        Some(Row {
            key,
            table_key,
            item: index.project(&self.schema, item),
        })
    }

    /// The table as the service describes it.
    pub(super) fn describe(&self, now: Instant) -> Value {
        let Settings {
            throughput,
            on_demand_since,
            class,
            encryption_key,
            deletion_protection,
        } = &self.settings;
        let definitions = self.definitions.iter().map(|attribute| {
            json!({"AttributeName": attribute.name, "AttributeType": attribute.key_type.name()})
        });
        let mut table = json!({
            "TableName": self.name,
            "TableArn": self.arn,
            "TableId": self.id,
            "TableStatus": self.status(now).name(),
            "CreationDateTime": epoch_seconds(self.created),
            "AttributeDefinitions": definitions.collect::<Vec<_>>(),
            "KeySchema": self.schema.to_json(),
            "ItemCount": self.items.len(),
            "TableSizeBytes": self.items.values().map(item_size).sum::<usize>(),
            "ProvisionedThroughput": throughput.unwrap_or_default().to_json(),
            "DeletionProtectionEnabled": deletion_protection,
        });
        if let Some(since) = on_demand_since {
            table["BillingModeSummary"] = json!({
                "BillingMode": if throughput.is_some() { "PROVISIONED" } else { "PAY_PER_REQUEST" },
                "LastUpdateToPayPerRequestDateTime": epoch_seconds(*since),
            });
        }
        if let Some(class) = class {
            table["TableClassSummary"] = json!({"TableClass": class});
        }
        if let Some(key) = encryption_key {
            table["SSEDescription"] =
                json!({"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": key});
        }
        if !self.indexes.is_empty() {
            let indexes = self.indexes.iter().map(|index| index.describe(self, now));
            table["GlobalSecondaryIndexes"] = indexes.collect();
        }
        table
    }
}

impl<'a> Row<'a> {
    fn of((key, item): (&'a ItemKey, &'a Item)) -> Self {
        Self {
            key,
            table_key: key,
            item: Cow::Borrowed(item),
        }
    }

    /// Where it stands, compared with another place.
    pub(super) fn compare(&self, other: &RowKey) -> Ordering {
        (self.key, self.table_key).cmp(&(&other.0, &other.1))
    }
}

impl Index {
    pub(super) fn new(
        name: String,
        schema: KeySchema,
        projection: IndexProjection,
        throughput: Option<Throughput>,
        ready: Instant,
        backfilled: bool,
    ) -> Self {
        Self {
            name,
            schema,
            projection,
            throughput,
            ready,
            backfilled,
            entries: BTreeSet::new(),
        }
    }

    /// What the index holds of an item.
    pub(super) fn project<'a>(&self, table: &KeySchema, item: &'a Item) -> Cow<'a, Item> {
        if self.projection == IndexProjection::All {
            return Cow::Borrowed(item);
        }
        let held = item.iter().filter(|(name, _)| self.holds(table, name));
        let held = held.map(|(name, value)| (name.clone(), value.clone()));
        Cow::Owned(held.collect())
    }

    /// Whether the index holds an attribute.
    pub(super) fn holds(&self, table: &KeySchema, name: &str) -> bool {
        match &self.projection {
            IndexProjection::All => true,
            _ if table.has(name) || self.schema.has(name) => true,
            IndexProjection::KeysOnly => false,
            IndexProjection::Include(names) => names.iter().any(|included| included == name),
        }
    }

    fn update(&mut self, key: &ItemKey, old: Option<&Item>, new: Option<&Item>) {
        let entry = |item| self.schema.key_in_index(item);
        let (old, new) = (old.and_then(entry), new.and_then(entry));
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.entries.remove(&(old, key.clone()));
        }
        if let Some(new) = new {
            self.entries.insert((new, key.clone()));
        }
    }

    fn describe(&self, table: &Table, now: Instant) -> Value {
        let projection = match &self.projection {
            IndexProjection::All => json!({"ProjectionType": "ALL"}),
            IndexProjection::KeysOnly => json!({"ProjectionType": "KEYS_ONLY"}),
            IndexProjection::Include(names) => {
                json!({"ProjectionType": "INCLUDE", "NonKeyAttributes": names})
            }
        };
        let active = now >= self.ready;
        let size = |row: Row<'_>| item_size(&row.item);
        let mut index = json!({
            "IndexName": self.name,
            "IndexArn": format!("{}/index/{}", table.arn, self.name),
            "IndexStatus": if active { "ACTIVE" } else { "CREATING" },
            "KeySchema": self.schema.to_json(),
            "Projection": projection,
            "ItemCount": self.entries.len(),
            "IndexSizeBytes": table.rows(Some(self), None).map(size).sum::<usize>(),
            "ProvisionedThroughput": self.throughput.unwrap_or_default().to_json(),
        });
        if self.backfilled && !active {
            index["Backfilling"] = true.into();
        }
        index
    }
}

impl Throughput {
    fn to_json(self) -> Value {
        json!({
            "NumberOfDecreasesToday": 0,
            "ReadCapacityUnits": self.read,
            "WriteCapacityUnits": self.write,
        })
    }
}

/// A time as JSON 1.0 has it: seconds, with milliseconds behind the point.
pub(super) fn epoch_seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds are exact in an f64 for 285,000 years"
    )]
    let millis = millis as f64;
    millis / 1000.0
}
