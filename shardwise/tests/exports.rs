//! What the libraries have is reachable through this crate, each thing by one path.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which may panic as tests do"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The names that the `pub use` lines and `pub mod` lines of a file bring in, and from where.
fn exports(file: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).unwrap();
    let mut found = Vec::new();
    for statement in text.split(';') {
        let code: Vec<&str> = statement
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("//") && !line.starts_with('#'))
            .collect();
        let code = code.concat();
        if let Some(module) = code.trim().strip_prefix("pub mod ") {
            found.push((module.to_owned(), String::new()));
        }
        let Some(path) = code.trim().strip_prefix("pub use ") else {
            continue;
        };
        match path.split_once('{') {
            Some((from, names)) => {
                let names = names.trim_end_matches('}').split(',');
                let names = names.map(str::trim).filter(|name| !name.is_empty());
                found.extend(names.map(|name| (last(name), from.to_owned())));
            }
            // All of a private module, whose file has the names.
            None if path.ends_with("::*") => {
                let module = path.trim_start_matches("crate::").trim_end_matches("::*");
                let folder = file.trim_end_matches("lib.rs");
                let names = exports(&format!("{folder}{module}/mod.rs")).into_iter();
                found.extend(names.map(|(name, _)| (name, path.to_owned())));
            }
            None => found.push((last(path), path.to_owned())),
        }
    }
    found
}

/// `a::b` is known as `b`, and `a as b` too.
fn last(path: &str) -> String {
    let name = path.rsplit(" as ").next().unwrap_or(path);
    name.rsplit("::").next().unwrap_or(name).trim().to_owned()
}

/// What a library itself defines, and does not pass on from another. What one of its public modules has
/// is reached through the module.
fn own(library: &str) -> Vec<String> {
    let all = exports(&format!("../{library}/src/lib.rs"));
    let modules: Vec<String> = all
        .iter()
        .filter(|(_, from)| from.is_empty())
        .map(|(name, _)| format!("crate::{name}::"))
        .collect();
    all.into_iter()
        .filter(|(_, from)| {
            !modules
                .iter()
                .any(|module| from.starts_with(module.as_str()))
        })
        .filter(|(_, from)| {
            from.is_empty() || from.starts_with("crate") || !from.contains("shardwise_")
        })
        .filter(|(_, from)| !from.starts_with("bytes") && !from.starts_with("aws_"))
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn every_name_of_the_libraries_is_reachable() {
    for (library, module) in [
        ("types", "lib"),
        ("env", "env"),
        ("client", "client"),
        ("producer", "producer"),
        ("consumer", "consumer"),
    ] {
        let root = exports("src/lib.rs");
        let here = exports(&format!("src/{module}.rs"));
        for name in own(library) {
            let reachable = here.iter().chain(&root).any(|(other, _)| *other == name);
            assert!(reachable, "{name} of shardwise-{library} is not exported");
        }
    }
}

#[test]
fn each_name_is_reachable_by_one_path() {
    let mut paths: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for module in ["lib", "client", "env", "producer", "consumer"] {
        for (name, from) in exports(&format!("src/{module}.rs")) {
            let library = from.split("::").next().unwrap_or_default().to_owned();
            paths
                .entry((library, name))
                .or_default()
                .push(module.to_owned());
        }
    }
    for ((library, name), modules) in paths {
        assert_eq!(modules.len(), 1, "{name} of {library} is in {modules:?}");
    }
}
