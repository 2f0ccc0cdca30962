//! Whether the services can be reached: says soon what is waited for, while the libraries go on trying.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use shardwise_client::Env;
use shardwise_client::transport::{Body, BoxFuture, Transport, TransportError};
use shardwise_env::{Instant, Task, lock};
use shardwise_types::root_cause;

use crate::log::{LogFormat, say};

/// A host that refuses connections for so long is named.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// A host that gives no answer for so long is named: an answer may be large, and the line slow.
const SILENT_FOR: Duration = Duration::from_secs(4);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// A transport that remembers which hosts do not answer.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: Arc<dyn Transport>,
    env: Env,
    hosts: Hosts,
}

/// What is known of the hosts that were called.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts(Arc<Mutex<BTreeMap<String, Host>>>);

#[derive(Debug, Default)]
struct Host {
    /// Since when there has been no answer though one was asked for.
    waiting_since: Option<Instant>,
    /// How the last try failed, if one has.
    failure: Option<String>,
    said: bool,
}

impl Watched {
    pub(crate) fn new(inner: Arc<dyn Transport>, env: Env, hosts: Hosts) -> Self {
        Self { inner, env, hosts }
    }
}

impl Transport for Watched {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, TransportError>> {
        let host = request.uri().authority().map(ToString::to_string);
        Box::pin(async move {
            let Some(host) = host else {
                return self.inner.send(request).await;
            };
            self.hosts.asked(&host, self.env.now());
            let result = self.inner.send(request).await;
            self.hosts.answered(&host, result.as_ref().err());
            result
        })
    }
}

impl Hosts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Host>> {
        lock(&self.0)
    }

    fn asked(&self, host: &str, now: Instant) {
        let mut hosts = self.lock();
        if !hosts.contains_key(host) {
            hosts.insert(host.to_owned(), Host::default());
        }
        if let Some(host) = hosts.get_mut(host) {
            host.waiting_since.get_or_insert(now);
        }
    }

    fn answered(&self, host: &str, failure: Option<&TransportError>) {
        if let Some(host) = self.lock().get_mut(host) {
            host.failure = failure.map(cause);
            if failure.is_none() {
                host.waiting_since = None;
            }
        }
    }

    /// What is to be said now.
    fn news(&self, now: Instant) -> Vec<String> {
        let mut news = Vec::new();
        for (name, host) in self.lock().iter_mut() {
            let limit = match host.failure {
                Some(_) => REFUSED_FOR,
                None => SILENT_FOR,
            };
            let overdue = host.waiting_since.is_some_and(|since| now - since >= limit);
            if overdue && !host.said {
                let failure = host.failure.as_deref().unwrap_or("no answer yet");
                news.push(format!("waiting for {name}: {failure}"));
                host.said = true;
            } else if host.said && host.waiting_since.is_none() {
                news.push(format!("{name} answers again"));
                host.said = false;
            }
        }
        news
    }

    /// Says it for as long as the task is kept.
    pub(crate) fn tell(self, env: &Env, format: LogFormat) -> Task<()> {
        let clock = env.clone();
        env.spawn(async move {
            loop {
                clock.sleep(LOOK).await;
                for text in self.news(clock.now()) {
                    say(format, &text);
                }
            }
        })
    }
}

/// The innermost cause, as one says it: `Connection refused (os error 111)` → `connection refused`.
fn cause(error: &TransportError) -> String {
    let innermost = root_cause(error).unwrap_or(error);
    let text = innermost.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> TransportError {
        TransportError::connect(std::io::Error::from_raw_os_error(111))
    }

    #[test]
    fn a_host_that_refuses_is_named_once_and_so_is_its_return() {
        let (hosts, begin) = (Hosts::default(), Env::system().now());
        hosts.asked("here:1", begin);
        hosts.answered("here:1", Some(&refused()));
        assert!(hosts.news(begin).is_empty());
        hosts.asked("here:1", begin + REFUSED_FOR / 2);
        hosts.answered("here:1", Some(&refused()));
        let later = begin + REFUSED_FOR;
        assert_eq!(
            hosts.news(later),
            ["waiting for here:1: connection refused"]
        );
        assert!(hosts.news(later).is_empty());
        hosts.answered("here:1", None);
        assert_eq!(hosts.news(later), ["here:1 answers again"]);
        assert!(hosts.news(later + SILENT_FOR).is_empty());
    }

    #[test]
    fn a_host_that_says_nothing_is_named_later() {
        let (hosts, begin) = (Hosts::default(), Env::system().now());
        hosts.asked("here:1", begin);
        assert!(hosts.news(begin + REFUSED_FOR).is_empty());
        let news = hosts.news(begin + SILENT_FOR);
        assert_eq!(news, ["waiting for here:1: no answer yet"]);
    }
}
