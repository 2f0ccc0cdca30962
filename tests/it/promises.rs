//! SEMANTICS.md names a test for each promise: the tests must be there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The names of all functions in the Rust files below `folder`.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                functions(&path, names);
            }
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap();
            let after_fn = text.split("fn ").skip(1);
            names.extend(after_fn.filter_map(|rest| {
                let (name, _) = rest.split_once('(')?;
                Some(name.to_owned())
            }));
        }
    }
}

#[test]
fn every_promise_names_tests_that_exist() {
    let mut names = BTreeSet::new();
    functions(&root(), &mut names);
    let semantics = fs::read_to_string(root().join("SEMANTICS.md")).unwrap();
    let promises: Vec<&str> = semantics
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| promise"))
        .collect();
    assert!(
        promises.len() > 40,
        "only {} promises were found",
        promises.len()
    );
    for promise in promises {
        let tests = promise.trim_end_matches('|').rsplit('|').next().unwrap();
        let tests: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test is named: {promise}");
        for test in tests {
            assert!(names.contains(test), "there is no test {test}: {promise}");
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
