//! Mutants: mistakes kept as patches in `tests/mutants/`, each with what must find it.
//!
//! A patch is a unified diff below a few lines of its own:
//!
//! ```text
//! What is wrong, in a sentence.
//!
//! finds: FENCE in seed 0
//! test: consumer/src/leases/tests/model.rs::the_model_holds
//! --- a/consumer/src/leases/decide.rs
//! +++ b/consumer/src/leases/decide.rs
//! @@
//!  a line of context
//! -what is right
//! +what is wrong
//! ```
//!
//! `finds` names a rule of the fleet's oracle and a seed that breaks it, `test` a test that fails; a
//! mutant has at least one of the two, and each of them must find it. Line numbers and indentation do
//! not count: the lines of a hunk must stand in the file exactly once, wherever that is, so that a
//! patch outlives edits around it. `cargo run -p shardwise-tests --bin mutants` plays them.

use std::fmt;
use std::path::Path;

use crate::tree;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mutant {
    /// The name of its file, without the ending.
    pub name: String,
    /// The rule of the oracle that it breaks, and the seed to begin with.
    pub rule: Option<(String, u64)>,
    /// Tests that it breaks, as `file::test`.
    pub tests: Vec<String>,
    edits: Vec<Edit>,
}

/// A change of one place in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edit {
    file: String,
    before: Vec<String>,
    after: Vec<String>,
}

/// Why a patch is no use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatchError {
    /// Its text is not a patch of the form above.
    Malformed(String),
    /// The lines of a hunk do not stand in the file, or more than once.
    DoesNotApply {
        /// The file to be changed.
        file: String,
        /// How often the lines stand there.
        places: usize,
        /// The first of the lines.
        line: String,
    },
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => f.write_str(why),
            Self::DoesNotApply { file, places, line } => {
                write!(
                    f,
                    "the hunk at `{line}` fits {places} places of {file}, not one"
                )
            }
        }
    }
}

impl std::error::Error for PatchError {}

/// All mutants of the workspace, by name.
///
/// # Errors
/// [`PatchError`] for the first that cannot be read, below its name.
pub fn all() -> Result<Vec<Mutant>, (String, PatchError)> {
    let folder = tree::root().join("tests/mutants");
    tree::files(&folder, ".patch")
        .iter()
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            Mutant::parse(&name, &tree::text(path)).map_err(|error| (name.into_owned(), error))
        })
        .collect()
}

impl Mutant {
    /// Reads a patch.
    ///
    /// # Errors
    /// [`PatchError::Malformed`].
    pub fn parse(name: &str, text: &str) -> Result<Self, PatchError> {
        let malformed = |why: &str| Err(PatchError::Malformed(why.to_owned()));
        let mut mutant = Self {
            name: name.to_owned(),
            rule: None,
            tests: Vec::new(),
            edits: Vec::new(),
        };
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next_if(|line| !line.starts_with("--- ")) {
            if let Some(rule) = line.strip_prefix("finds: ") {
                let Some((rule, seed)) = rule.split_once(" in seed ") else {
                    return malformed("`finds` is not `RULE in seed N`");
                };
                let Ok(seed) = seed.parse() else {
                    return malformed("the seed is no number");
                };
                mutant.rule = Some((rule.to_owned(), seed));
            } else if let Some(test) = line.strip_prefix("test: ") {
                mutant.tests.push(test.to_owned());
            }
        }
        if mutant.rule.is_none() && mutant.tests.is_empty() {
            return malformed("neither `finds` nor `test` says what finds it");
        }
        let mut file = String::new();
        for line in lines {
            if let Some(path) = line.strip_prefix("+++ b/") {
                path.clone_into(&mut file);
            } else if line.starts_with("@@") {
                mutant.edits.push(Edit {
                    file: file.clone(),
                    before: Vec::new(),
                    after: Vec::new(),
                });
            } else if let Some(edit) = mutant.edits.last_mut()
                && !line.starts_with("--- ")
            {
                let (sign, rest) = line.split_at_checked(1).unwrap_or((" ", ""));
                if sign != "+" {
                    edit.before.push(rest.to_owned());
                }
                if sign != "-" {
                    edit.after.push(rest.to_owned());
                }
            }
        }
        if mutant.edits.is_empty() {
            return malformed("it has no hunk");
        }
        Ok(mutant)
    }

    /// Changes the tree below `root` on disk.
    ///
    /// # Errors
    /// [`PatchError::DoesNotApply`]; earlier hunks may have been applied.
    pub fn apply(&self, root: &Path) -> Result<(), PatchError> {
        for edit in &self.edits {
            let path = root.join(&edit.file);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| PatchError::Malformed(format!("{}: {error}", edit.file)))?;
            let changed = edit.apply(&text)?;
            std::fs::write(&path, changed)
                .map_err(|error| PatchError::Malformed(format!("{}: {error}", edit.file)))?;
        }
        Ok(())
    }

    /// Whether each hunk fits the workspace as it is. Of two hunks for one place only the first is
    /// looked at truly.
    ///
    /// # Errors
    /// [`PatchError`].
    pub fn check(&self) -> Result<(), PatchError> {
        for edit in &self.edits {
            let path = tree::root().join(&edit.file);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| PatchError::Malformed(format!("{}: {error}", edit.file)))?;
            edit.apply(&text)?;
        }
        Ok(())
    }
}

impl Edit {
    /// The text with the edit in it, if its lines stand there exactly once.
    fn apply(&self, text: &str) -> Result<String, PatchError> {
        let lines: Vec<&str> = text.lines().collect();
        let before: Vec<&str> = self.before.iter().map(|line| line.trim()).collect();
        let places: Vec<usize> = (0..(lines.len() + 1).saturating_sub(before.len()))
            .filter(|at| {
                let there = &lines[*at..*at + before.len()];
                there
                    .iter()
                    .map(|line| line.trim())
                    .eq(before.iter().copied())
            })
            .collect();
        let [at] = places[..] else {
            return Err(PatchError::DoesNotApply {
                file: self.file.clone(),
                places: places.len(),
                line: before.first().copied().unwrap_or_default().to_owned(),
            });
        };
        let after = self.after.iter().map(String::as_str);
        let kept = lines[..at].iter().copied();
        let rest = lines[at + before.len()..].iter().copied();
        let mut changed: Vec<&str> = kept.chain(after).chain(rest).collect();
        changed.push("");
        Ok(changed.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "Nothing is right.\n\nfinds: LOST in seed 7\ntest: a/src/b.rs::c_holds\n\
                         --- a/a/src/b.rs\n+++ b/a/src/b.rs\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n";

    fn apply(text: &str) -> Result<String, PatchError> {
        Mutant::parse("x", PATCH).unwrap().edits[0].apply(text)
    }

    #[test]
    fn a_patch_says_what_finds_it_and_changes_one_place() {
        let mutant = Mutant::parse("x", PATCH).unwrap();
        assert_eq!(mutant.rule, Some(("LOST".to_owned(), 7)));
        assert_eq!(mutant.tests, ["a/src/b.rs::c_holds"]);
        assert_eq!(mutant.edits.len(), 1);
        let changed = apply("zero\n    one\n    two\nfour\n").unwrap();
        assert_eq!(changed, "zero\none\nthree\nfour\n");
    }

    #[test]
    fn a_hunk_that_fits_no_place_or_two_is_refused() {
        for (text, expected) in [("one\n", 0), ("one\ntwo\none\ntwo\n", 2)] {
            let Err(PatchError::DoesNotApply { places, .. }) = apply(text) else {
                panic!("{text}");
            };
            assert_eq!(places, expected);
        }
    }

    #[test]
    fn a_patch_without_a_finder_or_a_hunk_is_refused() {
        for text in [
            "test: a/src/b.rs::c\n",
            "--- a/x\n+++ b/x\n@@\n-one\n",
            "finds: LOST\n",
            "finds: LOST in seed x\n",
        ] {
            let refused = Mutant::parse("x", text);
            assert!(matches!(refused, Err(PatchError::Malformed(_))), "{text}");
        }
    }
}
