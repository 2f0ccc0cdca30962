//! One fetch for all producers of a stream: a thousand producers of one process ask the service no
//! more often than one.
//!
//! It hangs on the [`Aws`](shardwise_client::Aws) handle that the producers share. Each says what
//! would serve it; one that finds nothing makes the calls, while the others wait for what it
//! brings. No task belongs to it: a producer that goes away while it fetches leaves the calls to
//! the next. When a producer asks is [`Refresh`](crate::refresh::Refresh)'s to say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use shardwise_client::Kinesis;
use shardwise_client::retry::{Delays, RetryPolicy};
use shardwise_env::{Instant, lock};
use shardwise_types::StreamName;

use crate::error::is_passing;
use crate::fetch::{Fetched, fetch};
use crate::refresh::FETCH_SPACING;

/// Between two fetches for a stream that does not exist, or whose shards may not be listed: records
/// that come later wait for another look for this long at most.
pub(crate) const REFUSED_SPACING: Duration = Duration::from_secs(1);

/// How long a producer waits for another's fetch before it makes its own: longer than a fetch takes
/// with its retries, so that it matters only if the other's runtime stands still.
const OTHERS_PATIENCE: Duration = Duration::from_secs(60);

/// The streams that producers of one handle have in use.
#[derive(Debug, Default)]
pub(crate) struct StreamCache {
    streams: Mutex<BTreeMap<StreamName, Weak<SharedStream>>>,
}

impl StreamCache {
    /// What the producers of this stream share.
    pub(crate) fn stream(&self, name: &StreamName) -> Arc<SharedStream> {
        let mut streams = lock(&self.streams);
        if let Some(shared) = streams.get(name).and_then(Weak::upgrade) {
            return shared;
        }
        streams.retain(|_, shared| shared.strong_count() > 0);
        let shared = Arc::new(SharedStream::default());
        streams.insert(name.clone(), Arc::downgrade(&shared));
        shared
    }
}

/// What was fetched last of one stream.
#[derive(Debug, Default)]
pub(crate) struct SharedStream {
    last: tokio::sync::Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    fetched: Option<Arc<Fetched>>,
    /// No fetch begins before.
    not_before: Option<Instant>,
    /// The waits between fetches that fail, since the last that did not.
    delays: Option<Delays>,
}

/// What serves a producer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// A fetch that began then or later; any if absent.
    pub(crate) since: Option<Instant>,
    /// Whether closed shards are wanted, too.
    pub(crate) closed: bool,
}

impl Wanted {
    /// Whether this serves one who asks at `now`. A failure serves only those who were waiting when
    /// it was fetched.
    fn is_served_by(&self, fetched: &Fetched, now: Instant) -> bool {
        let since = if fetched.is_complete() {
            self.since
        } else {
            Some(now)
        };
        (fetched.closed || !self.closed) && since.is_none_or(|since| fetched.begun >= since)
    }
}

impl SharedStream {
    /// Brings what is wanted, by calls if need be.
    pub(crate) async fn fetch(
        self: Arc<Self>,
        kinesis: Kinesis,
        stream: StreamName,
        wanted: Wanted,
    ) -> Arc<Fetched> {
        let env = kinesis.env();
        let asked_at = env.now();
        let Ok(mut last) = env.timeout(OTHERS_PATIENCE, self.last.lock()).await else {
            return Arc::new(fetch(&kinesis, &stream, wanted.closed).await);
        };
        if let Some(fetched) = &last.fetched
            && wanted.is_served_by(fetched, asked_at)
        {
            return fetched.clone();
        }
        if let Some(at) = last.not_before.filter(|at| *at > env.now()) {
            env.sleep_until(at).await;
        }
        let fetched = Arc::new(fetch(&kinesis, &stream, wanted.closed).await);
        let pause = match &fetched.shards {
            Err(error) if !is_passing(error) => REFUSED_SPACING,
            _ if fetched.is_complete() => {
                last.delays = None;
                FETCH_SPACING
            }
            _ => last
                .delays
                .get_or_insert_with(|| RetryPolicy::control_plane().delays(env))
                .next_delay(),
        };
        last.not_before = Some(env.now() + pause);
        last.fetched = Some(fetched.clone());
        fetched
    }
}

#[cfg(test)]
mod tests {
    use shardwise_client::Aws;
    use shardwise_mock::{Mock, Operation};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_fetch_serves_all_who_wait_and_those_whom_it_is_new_enough_for() {
        let mock = Mock::new();
        let stream: StreamName = "orders".parse().unwrap();
        mock.create_stream(&stream, 2).unwrap();
        let aws = Aws::in_process(mock.service());
        let fetch = |since| {
            let shared = aws.extension::<StreamCache>().stream(&stream);
            let wanted = Wanted {
                since,
                closed: false,
            };
            shared.fetch(aws.kinesis(), stream.clone(), wanted)
        };
        let (first, second) = tokio::join!(fetch(None), fetch(None));
        assert!(Arc::ptr_eq(&first, &second));
        let third = fetch(Some(first.begun)).await;
        assert!(
            !Arc::ptr_eq(&first, &third),
            "it lives as long as it is in use"
        );
        let kept = aws.extension::<StreamCache>().stream(&stream);
        let fourth = fetch(None).await;
        let fifth = fetch(Some(fourth.begun)).await;
        assert!(Arc::ptr_eq(&fourth, &fifth));
        let newer = fetch(Some(fourth.begun + Duration::from_nanos(1))).await;
        assert_eq!(newer.begun - fourth.begun, FETCH_SPACING);
        assert_eq!(mock.calls(Operation::ListShards), 4);
        drop(kept);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_serves_only_those_who_waited_for_it() {
        let mock = Mock::new();
        let stream: StreamName = "orders".parse().unwrap();
        let aws = Aws::in_process(mock.service());
        let shared = aws.extension::<StreamCache>().stream(&stream);
        let fetch = || {
            let wanted = Wanted {
                since: None,
                closed: false,
            };
            shared.clone().fetch(aws.kinesis(), stream.clone(), wanted)
        };
        let (first, second) = tokio::join!(fetch(), fetch());
        assert!(Arc::ptr_eq(&first, &second));
        assert!(first.shards.is_err());
        mock.create_stream(&stream, 2).unwrap();
        aws.env().sleep(Duration::from_millis(1)).await;
        let third = fetch().await;
        assert!(third.is_complete());
        assert!(third.begun - first.begun >= REFUSED_SPACING);
    }
}
