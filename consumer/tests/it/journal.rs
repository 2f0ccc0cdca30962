//! Processors that write down what they see, and a journal of all hosts.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shardwise_consumer::{
    Batch, BoxError, CheckpointErrorKind, Checkpointer, EndAcked, Position, RecordForm,
    RecordProcessor, ShardEnd, ShardInfo,
};
use shardwise_env::{Env, Instant};

/// How a processor behaves.
#[derive(Clone)]
pub(crate) struct Habits {
    pub(crate) checkpoints: Checkpoints,
    /// How long a batch takes.
    pub(crate) slow: Duration,
    /// What to do instead of processing.
    #[expect(clippy::type_complexity, reason = "a hook of tests")]
    pub(crate) trouble: Option<Arc<dyn Fn(&Batch) -> Trouble + Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checkpoints {
    EachBatch,
    /// Of the first record of each batch only.
    FirstRecord,
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    Fail,
    Panic,
    /// For ever.
    Hang,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            checkpoints: Checkpoints::EachBatch,
            slow: Duration::ZERO,
            trouble: None,
        }
    }
}

impl Habits {
    pub(crate) fn checkpoints(checkpoints: Checkpoints) -> Self {
        Self {
            checkpoints,
            ..Self::default()
        }
    }

    pub(crate) fn slow(slow: Duration) -> Self {
        Self {
            slow,
            ..Self::default()
        }
    }

    pub(crate) fn trouble(trouble: impl Fn(&Batch) -> Trouble + Send + Sync + 'static) -> Self {
        Self {
            trouble: Some(Arc::new(trouble)),
            ..Self::default()
        }
    }
}

/// What the processors of all hosts saw, in order.
#[derive(Clone)]
pub(crate) struct Journal {
    env: Env,
    entries: Arc<Mutex<Vec<Entry>>>,
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) at: Instant,
    pub(crate) host: String,
    pub(crate) shard: u32,
    pub(crate) what: What,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            at,
            host,
            shard,
            what,
        } = self;
        write!(f, "{at:?} {host} {shard} {what:?}")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Started(Option<String>),
    Record {
        data: String,
        sub: u64,
        form: RecordForm,
        position: Position,
    },
    Checkpointed(String),
    Refused(CheckpointErrorKind),
    Ended,
    LeaseLost,
    ShuttingDown,
}

impl Journal {
    pub(crate) fn new(env: Env) -> Self {
        Self {
            env,
            entries: Arc::default(),
        }
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }

    /// The data of all records processed so far, each once.
    pub(crate) fn data(&self) -> BTreeSet<String> {
        self.records(|_| true).into_iter().collect()
    }

    /// The data of records in the order of processing, duplicates included.
    pub(crate) fn records(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<String> {
        let record = |entry: Entry| match entry.what {
            What::Record { data, .. } => Some(data),
            _ => None,
        };
        let entries = self.entries();
        let wanted = entries.into_iter().filter(|entry| wanted(entry));
        wanted.filter_map(record).collect()
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Entry) -> bool) -> usize {
        self.entries().iter().filter(|entry| wanted(entry)).count()
    }

    /// When the first entry like this was made.
    pub(crate) fn first(&self, wanted: impl Fn(&Entry) -> bool) -> Option<Instant> {
        let entries = self.entries();
        entries
            .iter()
            .find(|entry| wanted(entry))
            .map(|entry| entry.at)
    }

    pub(crate) fn processor(&self, host: &str, shard: &ShardInfo, habits: &Habits) -> Journaling {
        Journaling {
            journal: self.clone(),
            host: host.to_owned(),
            shard: shard.shard_id.number().unwrap(),
            habits: habits.clone(),
            busy: Arc::default(),
        }
    }
}

/// A processor that writes everything down.
pub(crate) struct Journaling {
    journal: Journal,
    host: String,
    shard: u32,
    habits: Habits,
    busy: Arc<AtomicBool>,
}

impl Journaling {
    fn note(&self, what: What) {
        self.journal.entries.lock().unwrap().push(Entry {
            at: self.journal.env.now(),
            host: self.host.clone(),
            shard: self.shard,
            what,
        });
    }

    /// Calls for one shard never overlap: every test checks it.
    fn enter(&self) -> Busy {
        assert!(!self.busy.swap(true, Ordering::SeqCst), "calls overlap");
        Busy(self.busy.clone())
    }

    /// As `World::checkpoint` shows the table's.
    fn text(at: &Position) -> String {
        format!("{}/{}", at.sequence_number(), at.sub_sequence_number())
    }

    async fn checkpoint(&self, checkpointer: &Checkpointer, at: &Position) -> Result<(), BoxError> {
        match checkpointer.checkpoint(at).await {
            Ok(()) => {
                self.note(What::Checkpointed(Self::text(at)));
                Ok(())
            }
            Err(error) => {
                self.note(What::Refused(error.kind()));
                Err(error.into())
            }
        }
    }
}

struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl RecordProcessor for Journaling {
    async fn started(&mut self, from: Option<&Position>) -> Result<(), BoxError> {
        let _busy = self.enter();
        self.note(What::Started(from.map(Self::text)));
        Ok(())
    }

    async fn process(&mut self, batch: Batch, checkpointer: &Checkpointer) -> Result<(), BoxError> {
        let _busy = self.enter();
        if !self.habits.slow.is_zero() {
            self.journal.env.sleep(self.habits.slow).await;
        }
        match self
            .habits
            .trouble
            .as_ref()
            .map_or(Trouble::None, |trouble| trouble(&batch))
        {
            Trouble::None => {}
            Trouble::Fail => return Err("as the test asks".into()),
            Trouble::Panic => panic!("as the test asks"),
            Trouble::Hang => std::future::pending().await,
        }
        for record in &batch {
            self.note(What::Record {
                data: String::from_utf8_lossy(&record.data).into_owned(),
                sub: record.sub_sequence_number,
                form: record.form,
                position: record.position(),
            });
        }
        match self.habits.checkpoints {
            Checkpoints::EachBatch => self.checkpoint(checkpointer, batch.end()).await,
            Checkpoints::FirstRecord => {
                let first = batch.records()[0].position();
                self.checkpoint(checkpointer, &first).await
            }
            Checkpoints::Never => Ok(()),
        }
    }

    async fn shard_ended(&mut self, end: ShardEnd) -> Result<EndAcked, BoxError> {
        let _busy = self.enter();
        let acked = end.checkpoint().await?;
        self.note(What::Ended);
        Ok(acked)
    }

    async fn lease_lost(&mut self) {
        let _busy = self.enter();
        self.note(What::LeaseLost);
    }

    async fn shutting_down(&mut self, _checkpointer: &Checkpointer) -> Result<(), BoxError> {
        let _busy = self.enter();
        self.note(What::ShuttingDown);
        Ok(())
    }
}
