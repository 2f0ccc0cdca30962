//! A number of seeds in every run; `simulate` plays more of them.

use std::time::Duration;

use shardwise_tests::fleet::{Setup, run};

/// Two halves, so that two threads share the work.
const SEEDS: u64 = 10;

const FAULTS_FOR: Duration = Duration::from_secs(600);

fn play(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let outcome = run(Setup::new(seed, FAULTS_FOR));
        assert!(
            outcome.violations.is_empty(),
            "seed {seed}: {:#?}\nbefore: {:#?}\nreplay with: cargo run --release -p shardwise-tests \
             --bin simulate -- --from {seed} --seeds 1 --minutes 10",
            outcome.violations,
            outcome.last_events
        );
    }
}

#[test]
fn a_fleet_under_faults_loses_reorders_and_skips_nothing() {
    play(0..SEEDS);
}

#[test]
fn another_fleet_under_faults_loses_reorders_and_skips_nothing() {
    play(SEEDS..2 * SEEDS);
}

#[test]
fn a_seed_replays_the_same_run() {
    let play = |seed| run(Setup::new(seed, Duration::from_secs(120))).trace_hash;
    for seed in 1_000..1_003 {
        assert_eq!(play(seed), play(seed), "seed {seed}");
    }
    assert_ne!(play(1_000), play(1_001));
}
