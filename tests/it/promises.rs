//! SEMANTICS.md names a test for each promise, as `file::test`: the file must have that test.

use std::collections::BTreeMap;

use shardwise_tests::tree::{root, tests, text};

#[test]
fn every_promise_names_tests_that_exist() {
    let semantics = text(&root().join("SEMANTICS.md"));
    let promises: Vec<&str> = semantics
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| promise"))
        .collect();
    let count = promises.len();
    assert!(count > 40, "only {count} promises were found");
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    for promise in promises {
        let column = promise.trim_end_matches('|').rsplit(" | ").next().unwrap();
        let named: Vec<&str> = column.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test is named: {promise}");
        for name in named {
            let (file, test) = name
                .split_once("::")
                .unwrap_or_else(|| panic!("{name} is no file::test: {promise}"));
            let text = texts
                .entry(file)
                .or_insert_with(|| text(&root().join(file)));
            assert!(tests(text).contains(&test), "no test {name}: {promise}");
        }
    }
}

#[test]
fn every_file_that_the_documents_link_to_exists() {
    for document in [
        "README.md",
        "DESIGN.md",
        "SEMANTICS.md",
        "CONTRIBUTING.md",
        "BENCHMARKS.md",
    ] {
        let text = text(&root().join(document));
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
        {
            let target = link.0;
            if !target.starts_with("http") && !target.starts_with('#') {
                assert!(root().join(target).exists(), "{document} links to {target}");
            }
        }
    }
}
