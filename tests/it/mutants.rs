//! The patches of `tests/mutants/` fit the code as it is; what finds them is there. The runner
//! (`cargo run -p shardwise-tests --bin mutants`) shows that it does.

use shardwise_tests::mutants::all;
use shardwise_tests::tree::{root, tests, text};

#[test]
fn every_mutant_applies_and_names_a_rule_or_test_that_exists() {
    let oracle = text(&root().join("tests/src/fleet/oracle.rs"));
    let mutants = all().unwrap_or_else(|(name, error)| panic!("{name}: {error}"));
    let mut broken = Vec::new();
    for mutant in &mutants {
        if let Err(error) = mutant.check() {
            broken.push(format!("{}: {error}", mutant.name));
        }
        if let Some((rule, _)) = &mutant.rule
            && !oracle.contains(&format!("//! | {rule} |"))
        {
            broken.push(format!("{}: the oracle has no rule {rule}", mutant.name));
        }
        for test in &mutant.tests {
            let known = test.split_once("::").is_some_and(|(file, name)| {
                let path = root().join(file);
                path.is_file() && tests(&text(&path)).contains(&name)
            });
            if !known {
                broken.push(format!("{}: there is no test {test}", mutant.name));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
