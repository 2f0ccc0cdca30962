//! No circle of imports within a crate.
//!
//! A parent and its child may see each other, as a `mod.rs` and what it re-exports do. A circle is
//! bad if one is left without the arrows from parents to children, or without those from children to
//! parents: then siblings, or strangers, cannot be read one without the other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use shardwise_tests::tree::{crates, files, name, root, text};

use super::demand;

/// Modules by name, each with the modules of the crate that it names. The root is the empty name.
type Imports = BTreeMap<String, BTreeSet<String>>;

fn imports(folder: &Path) -> Imports {
    let src = folder.join("src");
    let mut texts = BTreeMap::new();
    for path in files(&src, ".rs") {
        let relative = name(&path);
        let relative = relative.rsplit_once("/src/").map_or("", |(_, rest)| rest);
        let is_test = relative.contains("tests/") || relative.ends_with("tests.rs");
        if is_test || relative.starts_with("bin/") {
            continue;
        }
        let module = relative.trim_end_matches(".rs").replace('/', "::");
        let module = module.trim_end_matches("::mod");
        let module = if module == "lib" { "" } else { module };
        texts.insert(module.to_owned(), code(&text(&path)));
    }
    texts
        .iter()
        .map(|(module, text)| {
            let named = paths(text).into_iter().filter_map(|path| {
                let target = resolve(module, &path, &texts)?;
                (target != *module && !target.is_empty()).then_some(target)
            });
            (module.clone(), named.collect())
        })
        .collect()
}

/// The text without comments and without its tests.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let lines = text[..end].lines();
    let lines = lines.map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    lines.collect::<Vec<_>>().join("\n")
}

/// All paths of a text that begin within the crate, `use` trees unfolded.
fn paths(text: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut rest = text;
    while let Some(at) = start(rest) {
        let tail = &rest[at..];
        let is_use = rest[..at].trim_end().ends_with("use");
        let is_visibility = rest[..at].ends_with("(in ");
        let end = if is_use {
            tail.find(';').unwrap_or(tail.len())
        } else {
            tail.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
                .unwrap_or(tail.len())
        };
        if !is_visibility {
            unfold("", &tail[..end], &mut paths);
        }
        rest = &tail[end..];
    }
    paths
}

/// Where the next path of the crate begins.
fn start(text: &str) -> Option<usize> {
    ["crate::", "super::", "self::"]
        .iter()
        .filter_map(|word| {
            let is_whole = |at: &usize| {
                !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            };
            text.match_indices(word).map(|(at, _)| at).find(is_whole)
        })
        .min()
}

fn unfold(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((head, inner)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        paths.push(format!("{prefix}{path}"));
        return;
    };
    let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
    let prefix = format!("{prefix}{}", head.trim());
    let (mut depth, mut begin) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                unfold(&prefix, &inner[begin..at], paths);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if !inner[begin..].trim().is_empty() {
        unfold(&prefix, &inner[begin..], paths);
    }
}

/// The module that a path of `module` lies in.
fn resolve(module: &str, path: &str, texts: &BTreeMap<String, String>) -> Option<String> {
    let mut here: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    let mut parts: Vec<&str> = path.split("::").map(str::trim).collect();
    loop {
        match parts.first() {
            Some(&"crate") => here.clear(),
            Some(&"self") => {}
            Some(&"super") => {
                here.pop();
            }
            _ => break,
        }
        parts.remove(0);
    }
    here.extend(parts);
    (0..=here.len())
        .rev()
        .map(|length| here[..length].join("::"))
        .find(|candidate| texts.contains_key(candidate))
}

fn is_parent(parent: &str, child: &str) -> bool {
    child
        .rsplit_once("::")
        .map_or(parent.is_empty(), |(above, _)| above == parent)
}

/// Groups of modules that reach each other.
fn groups(imports: &Imports, counts: impl Fn(&str, &str) -> bool) -> Vec<Vec<&String>> {
    let reach = |from: &String| {
        let mut seen: BTreeSet<&String> = BTreeSet::new();
        let mut open = vec![from];
        while let Some(module) = open.pop() {
            for next in imports.get(module).into_iter().flatten() {
                if counts(module, next) && seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<&String>> = imports
        .keys()
        .map(|module| (module, reach(module)))
        .collect();
    let mut groups: BTreeSet<Vec<&String>> = BTreeSet::new();
    for (module, there) in &reached {
        if there.contains(module) {
            let back = there
                .iter()
                .filter(|other| reached[*other].contains(*module));
            groups.insert(back.copied().collect());
        }
    }
    groups.into_iter().collect()
}

/// The circles of a crate that are more than a parent and its child.
fn circles(imports: &Imports) -> Vec<String> {
    let without_children = groups(imports, |from, to| !is_parent(from, to));
    let without_parents = groups(imports, |from, to| !is_parent(to, from));
    let mut found: BTreeSet<String> = BTreeSet::new();
    for group in without_children.into_iter().chain(without_parents) {
        let names: Vec<&str> = group.iter().map(|name| name.as_str()).collect();
        found.insert(names.join(" "));
    }
    found.into_iter().collect()
}

#[test]
fn no_crate_has_a_circle_of_imports() {
    let allowed = text(&root().join("tests/circles-allowed.txt"));
    let allowed: BTreeSet<&str> = allowed
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .collect();
    let mut findings = Vec::new();
    let crates = crates()
        .into_iter()
        .filter(|folder| folder.join("src").is_dir());
    for folder in crates {
        let mut imports = imports(&folder);
        let of = name(&folder);
        // What is allowed to lie in a circle takes part in none.
        imports.retain(|module, _| !allowed.contains(format!("{of}::{module}").as_str()));
        findings.extend(
            circles(&imports)
                .into_iter()
                .map(|circle| format!("{of}: {circle}")),
        );
    }
    demand("circle", findings);
}

#[test]
fn a_circle_of_siblings_is_found_and_one_with_a_parent_is_not() {
    let imports = |arrows: &[(&str, &str)]| {
        let mut imports = Imports::new();
        for (from, to) in arrows {
            imports.entry((*to).to_owned()).or_default();
            imports
                .entry((*from).to_owned())
                .or_default()
                .insert((*to).to_owned());
        }
        imports
    };
    let family = imports(&[
        ("a", "a::b"),
        ("a::b", "a"),
        ("a::b", "a::c"),
        ("a::c", "a"),
    ]);
    assert!(circles(&family).is_empty());
    let siblings = imports(&[("a::b", "a::c"), ("a::c", "a::b")]);
    assert_eq!(circles(&siblings), ["a::b a::c"]);
    let stranger = imports(&[("a", "x"), ("x", "a::b"), ("a::b", "a")]);
    assert_eq!(circles(&stranger), ["a a::b x"]);
}

#[test]
fn the_paths_of_a_use_tree_are_unfolded() {
    let text = "use crate::a::{self, b::{C, D}};\nlet x = super::e::f();";
    let found = paths(text);
    assert_eq!(
        found,
        [
            "crate::a::self",
            "crate::a::b::C",
            "crate::a::b::D",
            "super::e::f"
        ]
    );
}
