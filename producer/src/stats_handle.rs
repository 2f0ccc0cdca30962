//! A handle to a producer's counters, for those who watch it and do not send.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::shared::Shared;
use crate::stats::ProducerStats;

/// What a producer counts, from [`Producer::stats`](crate::Producer::stats).
///
/// Cheap to clone. It keeps no producer alive, and can be read after the producer's end.
///
/// ```
/// use shardwise_producer::{Aws, Producer, Record};
/// # use shardwise_mock::Mock;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// # let mock = Mock::new();
/// # let aws = Aws::in_process(mock.service());
/// # aws.kinesis().create_stream(&"orders".parse()?, 2).await?;
/// let producer = Producer::builder(&aws).stream("orders").build()?;
/// let stats = producer.stats();
/// producer.send(Record::new("user-42".parse()?, "hello")).await?;
/// producer.flush().await?;
/// assert_eq!(stats.snapshot().user_records_acknowledged, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct StatsHandle(Arc<Shared>);

impl StatsHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// The counters as they are now. Costs one short lock.
    #[must_use]
    pub fn snapshot(&self) -> ProducerStats {
        let mut stats = self.0.lock().stats();
        stats.failures_unheeded = self.0.ledger.unheeded.load(Ordering::Relaxed);
        stats
    }
}

impl fmt::Debug for StatsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StatsHandle")
            .field(&self.snapshot())
            .finish()
    }
}
