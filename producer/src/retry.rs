//! Parcels that must wait: for another try, or for a map that says what became of them. Pure.
//!
//! These are the retries of single *entries* of PutRecords. Those of whole requests of other kinds
//! are the client's (`shardwise_client::retry`), and a PutRecords call is sent by the client just
//! once, so attempts are counted here alone. How long to wait is the client's
//! [`RetryPolicy`](shardwise_client::retry::RetryPolicy).

use std::collections::BTreeMap;
use std::time::Duration;

use shardwise_client::PutSuccess;
use shardwise_env::Instant;

use crate::aggregate::{Limits, Parcel, Routing};
use crate::shard_map::ShardMap;

/// An aggregate that was stored by another shard than it was bound for, so that a map is needed to
/// say whether consumers can read it.
#[derive(Debug)]
pub(crate) struct Stray {
    pub(crate) parcel: Parcel,
    pub(crate) landing: PutSuccess,
}

/// What a map says of a stray.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The shard owns all members: it counts as stored.
    Fits,
    /// Some member lies outside: consumers may drop it.
    WrongShard,
    /// The map does not know the shard.
    Unknown,
}

/// Judges an aggregate by the shard that took it.
pub(crate) fn judge(parcel: &Parcel, landing: &PutSuccess, map: Option<&ShardMap>) -> Judgement {
    if !parcel.is_aggregate() {
        // A record that travels alone is readable wherever it lands.
        return Judgement::Fits;
    }
    let known = map.and_then(|map| map.range(&landing.shard_id));
    // The shard that it was packed for may have left the map since: it held its members then.
    let packed_for = parcel
        .target
        .as_ref()
        .filter(|target| target.shard_id == landing.shard_id)
        .map(|target| target.range);
    match known.or(packed_for) {
        None => Judgement::Unknown,
        Some(range) if parcel.fits(&range) => Judgement::Fits,
        Some(_) => Judgement::WrongShard,
    }
}

/// The waiting parcels. Bounded by the producer's room.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    /// By the time of their next try, or of their expiry if that is earlier.
    delayed: BTreeMap<(Instant, u64), Parcel>,
    /// By expiry.
    strays: BTreeMap<(Instant, u64), Stray>,
    next_id: u64,
}

impl Retries {
    /// Keeps a parcel for another try.
    pub(crate) fn delay(&mut self, parcel: Parcel, now: Instant, delay: Duration) {
        let key = (parcel.expires().min(now + delay), self.id());
        self.delayed.insert(key, parcel);
    }

    /// Keeps a stray until a map judges it.
    pub(crate) fn keep_stray(&mut self, stray: Stray) {
        let key = (stray.parcel.expires(), self.id());
        self.strays.insert(key, stray);
    }

    pub(crate) fn has_strays(&self) -> bool {
        !self.strays.is_empty()
    }

    /// Takes the parcels whose wait is over. Those that have expired are among them.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Parcel> {
        let mut due = Vec::new();
        while let Some(head) = self.delayed.first_entry()
            && head.key().0 <= now
        {
            due.push(head.remove());
        }
        due
    }

    /// Takes the strays that no map has judged in time.
    pub(crate) fn take_expired_strays(&mut self, now: Instant) -> Vec<Stray> {
        let mut expired = Vec::new();
        while let Some(head) = self.strays.first_entry()
            && head.key().0 <= now
        {
            expired.push(head.remove());
        }
        expired
    }

    /// Takes the strays that this map can judge, with its judgement.
    pub(crate) fn judge_strays(&mut self, map: &ShardMap) -> Vec<(Stray, Judgement)> {
        let mut judged = Vec::new();
        for stray in std::mem::take(&mut self.strays).into_values() {
            match judge(&stray.parcel, &stray.landing, Some(map)) {
                Judgement::Unknown => self.keep_stray(stray),
                judgement => judged.push((stray, judgement)),
            }
        }
        judged
    }

    /// Packs anew what the routing no longer serves.
    pub(crate) fn reroute(&mut self, routing: &Routing, limits: &Limits) {
        for ((due, _), parcel) in std::mem::take(&mut self.delayed) {
            for parcel in parcel.reroute(routing, limits) {
                let key = (due, self.id());
                self.delayed.insert(key, parcel);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.delayed.is_empty() && self.strays.is_empty()
    }

    /// When the next wait or life ends.
    pub(crate) fn next(&self) -> Option<Instant> {
        let delayed = self.delayed.first_key_value().map(|(key, _)| key.0);
        let strays = self.strays.first_key_value().map(|(key, _)| key.0);
        delayed.into_iter().chain(strays).min()
    }

    /// Takes everything.
    pub(crate) fn take_all(&mut self) -> (Vec<Parcel>, Vec<Stray>) {
        (
            std::mem::take(&mut self.delayed).into_values().collect(),
            std::mem::take(&mut self.strays).into_values().collect(),
        )
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}
