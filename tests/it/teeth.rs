//! A simulation is only as good as what it finds: twelve mistakes, planted one by one in the code,
//! must each be found. The table tells by which rule and in which seed; should a change of the
//! simulation revive a mistake in that seed, the next ones are played.

use std::time::Duration;

use shardwise_tests::fleet::{MISTAKES, Setup, run};

/// A mistake that survives so many seeds is not found.
const SEEDS: u64 = 60;

const TROUBLE: Duration = Duration::from_secs(300);

/// Mistake, the rule that it breaks, the first seed in which that was seen.
const FOUND: [(&str, &str, u64); 12] = [
    ("a checkpoint is not conditional", "FENCE", 0),
    ("a child does not wait", "ORDER", 0),
    ("a failed entry is forgotten", "OUTCOME", 0),
    ("a wrong shard does for a member", "WRONG OK", 1),
    ("a resume skips the rest of an aggregate", "LOST", 7),
    ("a failing batch is skipped", "LOST", 0),
    ("a take does not move the counter", "FENCE", 0),
    ("validity is not checked", "OVERLAP", 0),
    ("a lost answer is a loss", "FALSE LOSS", 2),
    ("latest is not durable", "LOST", 3),
    ("not found is the end", "LOST", 3),
    ("a worker id is enough", "FENCE", 1),
];

fn is_found(mistake: &'static str, rule: &str, seed: u64) -> bool {
    let mut setup = Setup::new(seed, TROUBLE);
    setup.mistake = Some(mistake);
    run(setup)
        .violations
        .iter()
        .any(|violation| violation.contains(rule))
}

#[test]
fn every_planted_mistake_is_found() {
    for (mistake, rule, seed) in FOUND {
        assert!(MISTAKES.contains(&mistake), "{mistake}");
        let others = (0..SEEDS).filter(|other| *other != seed);
        let found = std::iter::once(seed)
            .chain(others)
            .find(|seed| is_found(mistake, rule, *seed));
        assert!(found.is_some(), "{mistake} survives {SEEDS} seeds");
    }
}
