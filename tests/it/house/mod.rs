//! The rules of CONTRIBUTING.md that a program can check by reading the sources.
//!
//! - `circles`: the files of a crate do not import each other in circles.
//! - `threads`: what an application holds may cross threads.
//! - here: names, sizes, documentation and words.

mod circles;
mod threads;

use shardwise_tests::tree::{crates, files, name, root, tests, text};

/// A test's name is a sentence, and has to fit on a line.
const LONGEST_NAME: usize = 70;

/// A file is split before it has more lines.
const LONGEST_FILE: usize = 600;

/// The crates that applications build on.
const LIBRARIES: [&str; 8] = [
    "types",
    "env",
    "aggregation-proto",
    "client",
    "producer",
    "consumer",
    "mock",
    "shardwise",
];

/// Words that are not plain technical English: the first person, and habits of speech.
const FOREIGN_WORDS: [&str; 9] = [
    "mine", "my", "I", "nobody", "for ever", "befall", "befalls", "befell", "told",
];

/// Fails with all findings but those of files or folders that `house-allowed.txt` still lists for the
/// rule.
fn demand(rule: &str, findings: Vec<String>) {
    let allowed = text(&root().join("tests/house-allowed.txt"));
    let left: Vec<String> = findings
        .into_iter()
        .filter(|finding| {
            !allowed.lines().any(|line| {
                line.split_once(' ')
                    .is_some_and(|(of, file)| of == rule && finding.starts_with(file))
            })
        })
        .collect();
    assert!(
        left.is_empty(),
        "{rule}: {} findings\n{}",
        left.len(),
        left.join("\n")
    );
}

/// Each Rust file of the workspace, by its name, with its text.
fn sources() -> Vec<(String, String)> {
    crates()
        .iter()
        .flat_map(|folder| files(folder, ".rs"))
        .map(|path| (name(&path), text(&path)))
        .collect()
}

fn is_library(file: &str) -> bool {
    LIBRARIES
        .iter()
        .any(|library| file.starts_with(&format!("{library}/src/")))
}

#[test]
fn test_names_fit_on_a_line() {
    let mut findings = Vec::new();
    for (file, text) in sources() {
        for test in tests(&text) {
            if test.len() > LONGEST_NAME {
                findings.push(format!("{file}: {test} has {} characters", test.len()));
            }
        }
    }
    demand("test-name", findings);
}

#[test]
fn files_are_split_before_they_are_long() {
    let mut findings = Vec::new();
    for (file, text) in sources() {
        let lines = text.lines().count();
        if file.contains("/src/") && lines > LONGEST_FILE {
            findings.push(format!("{file}: {lines} lines"));
        }
    }
    demand("file-length", findings);
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!") && !text.starts_with("#!"))
        .map(|(file, _)| file)
        .collect();
    demand("module-documentation", silent);
}

#[test]
fn every_public_async_fn_says_what_a_dropped_call_has_done() {
    let mut findings = Vec::new();
    for (file, text) in sources() {
        if !is_library(&file) {
            continue;
        }
        let mut comment = String::new();
        for line in text.lines().map(str::trim_start) {
            if line.starts_with("///") {
                comment.push_str(line);
            } else if let Some(rest) = line.strip_prefix("pub async fn ") {
                if !comment.contains("# Cancel safety") {
                    let function = rest.split(['(', '<']).next().unwrap_or_default();
                    findings.push(format!("{file}: {function}"));
                }
                comment.clear();
            } else if !line.starts_with("#[") {
                comment.clear();
            }
        }
    }
    demand("cancel-safety", findings);
}

#[test]
fn comments_and_texts_are_plain_technical_english() {
    let mut findings = Vec::new();
    let sources = sources()
        .into_iter()
        .filter(|(file, _)| !file.starts_with("tests/it/house/"));
    for (file, text) in sources {
        for (number, line) in (1..).zip(text.lines()) {
            findings.extend(foreign(&prose(line)).map(|word| format!("{file}:{number}: {word}")));
        }
    }
    for path in files(&root(), ".md") {
        for (number, line) in (1..).zip(text(&path).lines()) {
            let file = name(&path);
            findings.extend(foreign(line).map(|word| format!("{file}:{number}: {word}")));
        }
    }
    demand("words", findings);
}

/// What a line of code says in words: its comment, and the texts in it.
fn prose(line: &str) -> String {
    if let Some((_, comment)) = line.split_once("// ").or_else(|| line.split_once("//! ")) {
        return comment.to_owned();
    }
    if let Some((_, comment)) = line.split_once("/// ") {
        return comment.to_owned();
    }
    let texts: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
    // A text of one word is a name.
    texts
        .into_iter()
        .filter(|text| text.contains(' '))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The first foreign word of a text.
fn foreign(text: &str) -> impl Iterator<Item = &'static str> {
    let plain: String = text
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || "-'_/`".contains(c) {
                c
            } else {
                ' '
            }
        })
        .collect();
    let padded = format!(
        " {} ",
        plain.split_whitespace().collect::<Vec<_>>().join(" ")
    );
    FOREIGN_WORDS
        .into_iter()
        .filter(move |word| padded.contains(&format!(" {word} ")))
}

#[test]
fn no_release_holds_the_strings_of_mistakes() {
    let words = ["planted", "mutant"];
    let mut findings = Vec::new();
    for (file, text) in sources() {
        if !is_library(&file) && !file.starts_with("cli/src/") || file.contains("/tests/") {
            continue;
        }
        let found = words.iter().filter(|word| text.contains(**word));
        findings.extend(found.map(|word| format!("{file}: {word}")));
    }
    demand("mistakes", findings);
}
