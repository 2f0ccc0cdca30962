//! What an idle worker holds: said when nothing has come for a while, and again when that changes.

use std::time::Duration;

use shardwise_consumer::{StatsHandle, WorkerStats};
use shardwise_env::Env;

use crate::log::{LogFormat, say};

/// Without a record for so long, a worker is idle.
const IDLE_FOR: Duration = Duration::from_secs(5);

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Shards that are named; the rest is counted.
const NAMED: usize = 4;

/// Says it for as long as it is polled.
pub(super) async fn tell(env: Env, stats: StatsHandle, format: LogFormat) {
    let (mut records, mut since) = (0, env.now());
    let mut said = String::new();
    loop {
        env.sleep(LOOK).await;
        let now = stats.snapshot();
        if now.records != records {
            (records, since) = (now.records, env.now());
        } else if env.now() - since >= IDLE_FOR {
            let text = holdings(&now);
            if text != said {
                say(format, &text);
                said = text;
            }
        }
    }
}

fn holdings(stats: &WorkerStats) -> String {
    let shards: Vec<_> = stats.shards.keys().map(ToString::to_string).collect();
    let (count, named) = (shards.len(), shards.len().min(NAMED));
    let more = match count - named {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let names = shards[..named].join(", ");
    match count {
        0 => "no records: this worker holds no shard; those of the stream that are not read by other \
              workers of the application are taken within seconds"
            .to_owned(),
        1 => format!("no new records: this worker holds the shard {names}"),
        _ => format!("no new records: this worker holds {count} shards: {names}{more}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_names_some_shards_and_counts_the_others() {
        let mut stats = WorkerStats::default();
        assert!(holdings(&stats).contains("no shard"));
        for number in 0..6 {
            let shard = shardwise_consumer::ShardId::from_number(number);
            stats
                .shards
                .insert(shard.into(), shardwise_consumer::ShardState::Processing);
            if number == 0 {
                assert!(holdings(&stats).ends_with("the shard shardId-000000000000"));
            }
        }
        let text = holdings(&stats);
        assert!(text.contains("6 shards: shardId-000000000000,"), "{text}");
        assert!(text.ends_with("shardId-000000000003 and 2 more"), "{text}");
    }
}
