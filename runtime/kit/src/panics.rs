//! The line of source that a panic names.
//!
//! A panic of an agent is a line of its log, `panicked at src/lib.rs:12:5: message`: the SDK writes it before the trap. Where the source is
//! at hand, its line says more than its number.

use remit_package::disk;
use std::{
    fmt,
    path::{Component, Path, PathBuf},
};

/// How the SDK begins such a line.
const BEGINNING: &str = "panicked at ";

/// As large as a source file may be to be looked into.
const SOURCE_BYTES_MAX: u64 = 4 << 20;

/// As much of a line as is shown.
const LINE_CHARS_MAX: usize = 160;

/// A place in a project's source, with what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// The file, below the project's folder.
    pub file: PathBuf,
    /// The line's number, from 1 on.
    pub line: usize,
    /// The column in it, in characters, from 1 on.
    pub column: usize,
    /// The line, without what would move a terminal's cursor.
    pub text: String,
}

/// The line of a project that a line of its agent's log names; `None` where it names none, or one of no file of the project: what an agent
/// logs opens nothing outside of the folder.
#[must_use]
pub fn source_line(project: &Path, log: &str) -> Option<SourceLine> {
    let place = log.strip_prefix(BEGINNING)?;
    let (file, line, column) = parse(place)?;
    let is_inside = file.components().all(|part| matches!(part, Component::Normal(_)));
    if !is_inside || file.extension().is_none_or(|extension| extension != "rs") {
        return None;
    }
    // Links do not lead out either.
    let root = project.canonicalize().ok()?;
    let path = root.join(&file).canonicalize().ok().filter(|path| path.starts_with(&root))?;
    let source = String::from_utf8(disk::read(&path, SOURCE_BYTES_MAX).ok()?).ok()?;
    let text = source.lines().nth(line.checked_sub(1)?)?;
    let shown = text.chars().take(LINE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c });
    Some(SourceLine { file, line, column, text: shown.collect() })
}

/// `src/lib.rs:12:5: message`. The message may hold anything, colons included.
fn parse(place: &str) -> Option<(PathBuf, usize, usize)> {
    place.match_indices(':').find_map(|(at, _)| {
        let (file, rest) = place.split_at(at);
        let mut parts = rest.get(1..)?.splitn(3, ':');
        let (line, column) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some((PathBuf::from(file), line, column))
    })
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, text } = self;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{margin} --> {}:{line}:{column}", file.display())?;
        writeln!(f, "{number} | {text}")?;
        write!(f, "{margin} | {}^", " ".repeat(column.saturating_sub(1).min(LINE_CHARS_MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_panic_shows_the_line_that_it_names() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        fs::create_dir(folder.path().join("src")).expect("it is writable");
        fs::write(folder.path().join("src/lib.rs"), "fn f() {\n    panic!(\"a: b\")\n}\n").expect("it is writable");
        let shown = |log: &str| source_line(folder.path(), log).map(|line| line.to_string());
        let expect = "  --> src/lib.rs:2:5\n2 |     panic!(\"a: b\")\n  |     ^";
        assert_eq!(shown("panicked at src/lib.rs:2:5: a: b:1:2").as_deref(), Some(expect));
        for nothing in [
            "panicked at src/lib.rs:9:5: beyond the end",
            "panicked at src/lib.rs:0:5: no line",
            "panicked at src/other.rs:1:1: no file",
            "panicked at src/lib.rs: no place",
            "panicked: no place at all",
            "all is well at src/lib.rs:2:5",
        ] {
            assert_eq!(shown(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn what_an_agent_logs_opens_nothing_outside_of_its_project() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let project = folder.path().join("project");
        fs::create_dir(&project).expect("it is writable");
        let secret = folder.path().join("secret.rs");
        fs::write(&secret, "secret\n").expect("it is writable");
        fs::write(project.join("notes.txt"), "secret\n").expect("it is writable");
        #[cfg(unix)]
        std::os::unix::fs::symlink(&secret, project.join("link.rs")).expect("it is writable");
        for file in ["../secret.rs", "link.rs", "notes.txt", &secret.display().to_string()] {
            assert_eq!(source_line(&project, &format!("panicked at {file}:1:1: x")), None, "{file}");
        }
    }
}
