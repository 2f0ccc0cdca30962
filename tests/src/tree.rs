//! The workspace's own files, for tests that read them and for the runner of mutants.

use std::fs;
use std::path::{Path, PathBuf};

/// The workspace's folder.
#[must_use]
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ is in a workspace").to_owned()
}

/// The crates: each folder of the workspace with a manifest, in order.
#[must_use]
pub fn crates() -> Vec<PathBuf> {
    let mut crates: Vec<PathBuf> = entries(&root())
        .into_iter()
        .filter(|path| path.join("Cargo.toml").is_file())
        .collect();
    crates.sort();
    crates
}

/// All files below a folder whose names end so, in order. Build output and hidden folders are left
/// out.
#[must_use]
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(folder, ending, &mut found);
    found.sort();
    found
}

/// The path as the workspace's documents write it: relative, with slashes.
#[must_use]
pub fn name(path: &Path) -> String {
    let root = root();
    let relative = path.strip_prefix(&root).unwrap_or(path);
    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// A file's text; a file that cannot be read ends the test.
#[must_use]
pub fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of a file's functions that bear `#[test]` or `#[tokio::test]`; those within
/// `proptest!` bear the former.
#[must_use]
pub fn tests(text: &str) -> Vec<&str> {
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

/// The package that a file belongs to.
#[must_use]
pub fn package(file: &str) -> String {
    let folder = file.split('/').next().unwrap_or_default();
    let manifest = text(&root().join(folder).join("Cargo.toml"));
    let name = manifest
        .lines()
        .find_map(|line| line.strip_prefix("name = \""));
    let name = name.and_then(|rest| rest.split('"').next());
    name.unwrap_or_else(|| panic!("{folder} has no name"))
        .to_owned()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .map(|entry| entry.expect("a folder's entry").path())
        .collect()
}

fn collect(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for path in entries(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name == "target" || name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            collect(&path, ending, found);
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}
