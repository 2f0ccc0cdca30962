//! When an on-demand stream grows: writes are counted, and more shards are planned.
//!
//! How many they ask for, [`super::growth`] says; [`super::stream::State`] carries it out when it
//! falls due.

use super::Kinesis;
use super::shard::Moment;
use super::status::Status;
use super::stream::State;
use super::stream_settings::Mode;
use crate::clock::{Now, millis};

impl Kinesis {
    /// Counts a record that was stored, which may make an on-demand stream grow.
    pub(super) fn note_write(&self, state: &mut State, bytes: usize, now: Now) {
        let after = self.config.scale_every;
        if state.settings.mode == Mode::Provisioned
            || state.status != Status::Active
            || after.is_zero()
        {
            return;
        }
        let open = u32::try_from(state.open_shard_count()).unwrap_or(u32::MAX);
        let wanted = state.growth.count(bytes, open, now.uptime);
        let Some(more) = wanted.checked_sub(state.reserved).filter(|&n| n > 0) else {
            return;
        };
        let granted = self.reserve_at_most(more);
        if granted > 0 {
            state.reserved += granted;
            let due = Moment {
                wall_ms: now.wall_ms + millis(after),
                uptime: now.uptime + after,
            };
            state.growth.plan(state.reserved, due);
            // They must know when their shard may be closed.
            state.wake_subscriptions();
        }
    }

    /// Forgets the growth that is planned.
    pub(super) fn cancel_growth(&self, state: &mut State) {
        if let Some(shard_count) = state.growth.cancel() {
            let open = u32::try_from(state.open_shard_count()).unwrap_or(u32::MAX);
            let more = shard_count.saturating_sub(open);
            state.reserved -= more;
            self.release_shards(more);
        }
    }
}
