//! SEMANTICS.md names a test for each promise, as `file::test`: the file must have that test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The names of a file's functions that bear `#[test]` or `#[tokio::test]`; those within
/// `proptest!` bear the former.
fn tests(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let function = line.strip_prefix("async ").unwrap_or(line);
        if let Some(rest) = function.strip_prefix("fn ") {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            if std::mem::take(&mut is_test) {
                names.push(name);
            }
        }
    }
    names
}

#[test]
fn every_promise_names_tests_that_exist() {
    let semantics = fs::read_to_string(root().join("SEMANTICS.md")).unwrap();
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
            let text = texts.entry(file).or_insert_with(|| {
                fs::read_to_string(root().join(file))
                    .unwrap_or_else(|error| panic!("{file}: {error}: {promise}"))
            });
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
        let text = fs::read_to_string(root().join(document)).unwrap();
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
