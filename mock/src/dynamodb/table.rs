//! The state of a table: its settings, its items, its indexes.
//!
//! Every change of an item goes through [`Table::write`], which keeps the indexes in step.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use shardwise_env::Instant;

use super::backups::Recovery;
use super::error::Failure;
use super::key::{ItemKey, KeyAttribute, KeySchema, KeyValue};
use super::timestamp::epoch_seconds;
use super::ttl::TimeToLive;
use super::value::{Item, item_size};
use super::versions::Versions;

/// Tags by key.
pub(super) type Tags = BTreeMap<String, String>;

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
    pub(super) settings: TableSettings,
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
pub(super) struct TableSettings {
    /// Capacity units; none on demand.
    pub(super) throughput: Option<Throughput>,
    pub(super) throughput_changes: ThroughputChanges,
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

/// When the throughput of a table was raised and lowered.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ThroughputChanges {
    last_increase: Option<SystemTime>,
    last_decrease: Option<SystemTime>,
    /// The decreases of the day of the last one.
    decreases: u32,
}

impl ThroughputChanges {
    /// Notes a change from one throughput to another; one of its two numbers may rise while the other
    /// falls.
    pub(super) fn note(&mut self, old: Throughput, new: Throughput, wall: SystemTime) {
        if new.read > old.read || new.write > old.write {
            self.last_increase = Some(wall);
        }
        if new.read < old.read || new.write < old.write {
            self.decreases = self.decreases_on(wall) + 1;
            self.last_decrease = Some(wall);
        }
    }

    /// How many decreases there were on the day of that time, by UTC.
    fn decreases_on(&self, wall: SystemTime) -> u32 {
        match self.last_decrease {
            Some(last) if day(last) == day(wall) => self.decreases,
            _ => 0,
        }
    }

    /// The throughput as a table's description has it.
    fn describe(&self, throughput: Throughput, wall: SystemTime) -> Value {
        let mut described = throughput.to_json();
        described["NumberOfDecreasesToday"] = self.decreases_on(wall).into();
        if let Some(at) = self.last_increase {
            described["LastIncreaseDateTime"] = epoch_seconds(at).into();
        }
        if let Some(at) = self.last_decrease {
            described["LastDecreaseDateTime"] = epoch_seconds(at).into();
        }
        described
    }
}

fn day(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs() / (24 * 60 * 60)
}

/// Which kind of secondary index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum IndexKind {
    /// By any attribute; read eventually, and added and deleted at any time.
    Global,
    /// By the table's hash key and another attribute; made with the table, read consistently where
    /// that is asked for, and what it does not hold is fetched from the table.
    Local,
}

impl IndexKind {
    /// The member that tells of such indexes.
    pub(super) const fn member(self) -> &'static str {
        match self {
            Self::Global => "GlobalSecondaryIndexes",
            Self::Local => "LocalSecondaryIndexes",
        }
    }
}

/// A secondary index.
#[derive(Debug, Clone)]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) kind: IndexKind,
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

    /// Deletes what expired before the last sweep that is due, if that has not been made.
    pub(super) fn sweep(&mut self, now: Instant, wall: SystemTime) {
        let Some(sweep) = self.ttl.due(now, wall) else {
            return;
        };
        let expired = self.items.iter().filter(|(_, item)| sweep.deletes(item));
        for key in expired.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.write(key, None, now);
        }
    }

    /// An item as it was that long ago.
    pub(super) fn item_of_age(&self, key: &ItemKey, age: Duration, now: Instant) -> Option<&Item> {
        match self.versions.of_age(key, age, now) {
            Some(past) => past,
            None => self.items.get(key),
        }
    }

    /// The table with each item as old as `draw_age` says for it.
    pub(super) fn of_ages(
        &self,
        mut draw_age: impl FnMut() -> Duration,
        now: Instant,
    ) -> Cow<'_, Self> {
        let mut stale = Vec::new();
        for key in self.versions.keys() {
            if let Some(past) = self.versions.of_age(key, draw_age(), now) {
                stale.push((key, past));
            }
        }
        if stale.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut table = self.clone();
        table.versions = Versions::default();
        for (key, past) in stale {
            table.write(key.clone(), past.cloned(), now);
        }
        Cow::Owned(table)
    }

    /// Adds an index and fills it.
    pub(super) fn add_index(&mut self, mut index: Index) {
        for (key, item) in &self.items {
            index.update(key, None, Some(item));
        }
        self.indexes.push(index);
    }

    pub(super) fn indexes_of(&self, kind: IndexKind) -> impl Iterator<Item = &Index> {
        self.indexes.iter().filter(move |index| index.kind == kind)
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
    pub(super) fn describe(&self, now: Instant, wall: SystemTime) -> Value {
        let TableSettings {
            throughput,
            throughput_changes,
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
            "ProvisionedThroughput":
                throughput_changes.describe(throughput.unwrap_or_default(), wall),
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
        for kind in [IndexKind::Local, IndexKind::Global] {
            let indexes: Vec<Value> = self
                .indexes_of(kind)
                .map(|index| index.describe(self, now))
                .collect();
            if !indexes.is_empty() {
                table[kind.member()] = indexes.into();
            }
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
        kind: IndexKind,
        schema: KeySchema,
        projection: IndexProjection,
        throughput: Option<Throughput>,
        ready: Instant,
        backfilled: bool,
    ) -> Self {
        Self {
            name,
            kind,
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
            "KeySchema": self.schema.to_json(),
            "Projection": projection,
            "ItemCount": self.entries.len(),
            "IndexSizeBytes": table.rows(Some(self), None).map(size).sum::<usize>(),
        });
        if self.kind == IndexKind::Local {
            return index;
        }
        index["IndexStatus"] = if active { "ACTIVE" } else { "CREATING" }.into();
        index["ProvisionedThroughput"] = self.throughput.unwrap_or_default().to_json();
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
